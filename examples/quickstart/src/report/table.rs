//! A table for the terminal.

/// A title, and rows of cells; each column is as wide as its widest cell.
pub(crate) struct Table {
    title: String,
    rows: Vec<[String; COLUMNS]>,
}

/// What it is, the figure, and what to know about it.
const COLUMNS: usize = 3;

impl Table {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new() }
    }

    pub(crate) fn row(
        &mut self,
        what: impl Into<String>,
        figure: impl Into<String>,
        remark: impl Into<String>,
    ) {
        self.rows.push([what.into(), figure.into(), remark.into()]);
    }

    /// The lines, each ended. The figures stand at the right of their column.
    pub(crate) fn render(&self) -> String {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        // The title has the whole width: it is cut into no columns.
        let inner = widths.iter().sum::<usize>() + 3 * COLUMNS - 1;
        let missing = (self.title.chars().count() + 2).saturating_sub(inner);
        let widths = [widths[0], widths[1], widths[2] + missing];
        let rule = |left: char, between: char, right: char| {
            let lines = widths.map(|width| "─".repeat(width + 2));
            format!("{left}{}{right}\n", lines.join(&between.to_string()))
        };
        let title = format!("│ {:<width$} │\n", self.title, width = inner + missing - 2);
        let rows = self.rows.iter().map(|[what, figure, remark]| {
            let [a, b, c] = widths;
            format!("│ {what:<a$} │ {figure:>b$} │ {remark:<c$} │\n")
        });
        rule('┌', '─', '┐') + &title + &rule('├', '┬', '┤') + &rows.collect::<String>() + &rule('└', '┴', '┘')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new("run");
        table.row("documents", "12", "of 3 tenants");
        table.row("größte", "1,234", "");
        assert_eq!(
            table.render(),
            "\
┌──────────────────────────────────┐
│ run                              │
├───────────┬───────┬──────────────┤
│ documents │    12 │ of 3 tenants │
│ größte    │ 1,234 │              │
└───────────┴───────┴──────────────┘
"
        );
    }

    #[test]
    fn a_long_title_widens_the_table() {
        let mut table = Table::new("a long title");
        table.row("a", "b", "c");
        let lines: Vec<usize> = table.render().lines().map(|line| line.chars().count()).collect();
        assert_eq!(lines, [16; 5]);
    }
}
