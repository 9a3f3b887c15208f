//! Aligned columns whose cells wrap.

use shared_core::schema::Mistake;

/// The widest that the second and the third column become before they wrap. With names of 30 characters a line then
/// ends before column 140, which is what log viewers and half a wide screen show.
const MESSAGE: usize = 60;
const ASIDE: usize = 44;

/// A line for each mistake: name, message, where from and what to do.
pub(crate) fn render(mistakes: &[Mistake]) -> String {
    let rows: Vec<_> = mistakes
        .iter()
        .map(|mistake| {
            (mistake.name.as_str(), wrap(&mistake.message, MESSAGE), wrap(&mistake.aside(), ASIDE))
        })
        .collect();
    let name_width = rows.iter().map(|(name, ..)| width(name)).max().unwrap_or(0);
    let message_width =
        rows.iter().flat_map(|(_, message, _)| message).map(|line| width(line)).max().unwrap_or(0);
    let mut text = String::new();
    for (name, message, aside) in &rows {
        for i in 0..message.len().max(aside.len()) {
            let cell = |lines: &[String]| lines.get(i).cloned().unwrap_or_default();
            let (name, message, aside) = (if i == 0 { name } else { "" }, cell(message), cell(aside));
            let line = format!("  {name:name_width$}  {message:message_width$}  {aside}");
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// Breaks between words; a word that is wider than the column stays whole, so that it can be copied.
fn wrap(text: &str, limit: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if width(line) + 1 + width(word) <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn width(text: &str) -> usize {
    text.chars().count()
}
