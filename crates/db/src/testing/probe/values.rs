//! Values that a column might take.

use uuid::Uuid;

/// What is known of a type: its name and kind in the catalogue, its length, the labels of an enum.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) name: String,
    /// `pg_type.typtype`.
    pub(super) form: char,
    /// `pg_type.typcategory`.
    pub(super) category: char,
    /// `pg_attribute.atttypmod`.
    pub(super) modifier: i32,
    pub(super) labels: Vec<String>,
    /// The name of the type of an array's elements.
    pub(super) element: Option<String>,
}

impl Kind {
    /// Values to try, as the type's input reads them, the likeliest first. `rules` are the texts of the constraints that the value is
    /// held to: what is written there is a likely value.
    pub(super) fn candidates(&self, rules: &[String]) -> Vec<String> {
        let mut found = match (self.form, self.category) {
            ('e', _) => self.labels.clone(),
            ('r', _) => owned(&["(,)", "empty"]),
            ('m', _) => owned(&["{(,)}", "{}"]),
            (_, 'A') => {
                let element = self.element.as_deref().and_then(|name| plain(name, -1).into_iter().next());
                element.map(|value| format!("{{\"{value}\"}}")).into_iter().chain(["{}".to_owned()]).collect()
            }
            _ => plain(&self.name, self.modifier),
        };
        let hints = match self.category {
            'S' => texts(rules),
            'N' => numbers(rules),
            'D' => quotes(rules),
            _ => Vec::new(),
        };
        // The first is the plainest; then what the rules name; then the rest.
        let at = found.len().min(1);
        found.splice(at..at, hints);
        if let ("varchar" | "bpchar", 5..) = (self.name.as_str(), self.modifier) {
            found.retain(|value| value.chars().count() <= (self.modifier - 4) as usize);
        }
        found
    }
}

fn owned(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// By the name of the type; none for one that nobody has heard of.
fn plain(name: &str, modifier: i32) -> Vec<String> {
    let random = Uuid::new_v4();
    let length = usize::try_from(modifier).unwrap_or(1).max(1);
    let few: &[&str] = match name {
        "uuid" => return vec![random.to_string()],
        "text" | "varchar" | "bpchar" | "name" | "citext" => {
            let mut texts = owned(&[
                "a",
                "A",
                "1",
                "a1",
                "aa",
                "a@example.com",
                "https://example.com",
                "{}",
                "+15550100",
            ]);
            texts.push(random.simple().to_string());
            return texts;
        }
        "int2" | "int4" | "int8" | "numeric" | "float4" | "float8" | "money" | "oid" => {
            let random = (random.as_u128() % 30_000).to_string();
            return ["1", "0", "2", "100", "-1"]
                .iter()
                .map(|one| (*one).to_owned())
                .chain([random])
                .collect();
        }
        "bit" => return vec!["0".repeat(length), "1".repeat(length)],
        "vector" | "halfvec" => return vec![format!("[{}]", vec!["1"; length].join(","))],
        "sparsevec" => return vec![format!("{{1:1}}/{length}")],
        "bool" => &["true", "false"],
        "bytea" => &["\\x00", "\\x", "\\x0000000000000000000000000000000000000000000000000000000000000000"],
        "date" | "timestamp" | "timestamptz" => &["now", "tomorrow", "yesterday", "2000-01-01"],
        "time" | "timetz" => &["12:00", "13:00"],
        "interval" => &["1 day", "1 hour", "0"],
        "json" | "jsonb" => &["{}", "[]", "\"a\"", "1", "null"],
        "inet" | "cidr" => &["127.0.0.1"],
        "macaddr" | "macaddr8" => &["08:00:2b:01:02:03"],
        "varbit" => &["0", "1"],
        "char" => &["a"],
        "xml" => &["<a/>"],
        "point" => &["(0,0)"],
        "line" => &["{1,0,0}"],
        "lseg" | "box" | "path" | "polygon" => &["((0,0),(1,1))"],
        "circle" => &["<(0,0),1>"],
        "tsvector" | "tsquery" | "ltree" | "lquery" => &["a"],
        "hstore" => &["a=>1", ""],
        "xid" | "xid8" | "cid" => &["1"],
        "pg_lsn" => &["0/1"],
        "pg_snapshot" | "txid_snapshot" => &["1:1:"],
        "regclass" => &["pg_class"],
        "regtype" => &["text"],
        _ => &[],
    };
    owned(few)
}

/// What stands in quotes, and texts of the lengths that the rules name.
fn texts(rules: &[String]) -> Vec<String> {
    let of_length =
        numbers(rules).into_iter().filter_map(|number| number.parse().ok()).filter(|length| *length <= 1000);
    quotes(rules).into_iter().chain(of_length.map(|length: usize| "a".repeat(length))).collect()
}

/// What stands in quotes.
fn quotes(rules: &[String]) -> Vec<String> {
    rules.iter().flat_map(|rule| rule.split('\'').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The numbers that the rules name, and their neighbours.
fn numbers(rules: &[String]) -> Vec<String> {
    let words =
        rules.iter().flat_map(|rule| rule.split(|letter: char| !letter.is_ascii_digit() && letter != '-'));
    let found = words.filter_map(|word| word.parse::<i64>().ok());
    found
        .flat_map(|number| [number, number.saturating_add(1), number.saturating_sub(1)])
        .map(|number| number.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, category: char, modifier: i32) -> Kind {
        Kind { name: name.to_owned(), form: 'b', category, modifier, labels: Vec::new(), element: None }
    }

    #[test]
    fn what_a_rule_names_is_tried_early() {
        let rules = ["CHECK ((status = ANY (ARRAY['open'::text, 'done'::text])))".to_owned()];
        assert_eq!(kind("text", 'S', -1).candidates(&rules)[1..3], ["open", "done"]);
        let rules = ["CHECK ((n >= 500))".to_owned()];
        assert!(kind("int4", 'N', -1).candidates(&rules).contains(&"501".to_owned()));
        let rules = ["CHECK ((length(code) = 3))".to_owned()];
        assert!(kind("text", 'S', -1).candidates(&rules).contains(&"aaa".to_owned()));
    }

    #[test]
    fn lengths_are_kept() {
        assert!(kind("varchar", 'S', 6).candidates(&[]).iter().all(|value| value.len() <= 2));
        assert_eq!(kind("vector", 'U', 3).candidates(&[]), ["[1,1,1]"]);
        assert_eq!(kind("nobody_knows", 'U', -1).candidates(&[]), Vec::<String>::new());
    }
}
