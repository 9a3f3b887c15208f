//! The static tree of a program's settings, and the walk over it.

use super::expected;

/// What a setting is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Schema {
    /// One text.
    Value(Kind),
    /// Texts of one kind, separated by commas.
    List(Kind),
    /// A struct of settings.
    Group(Group),
    /// May be absent.
    Optional(&'static Schema),
    /// The program's [`Profile`](super::Profile), which has one variable wherever it is asked for.
    Profile,
}

/// What a text stands for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number between the bounds of its type; `None` where a bound helps no reader.
    Integer {
        /// The least that the type can hold.
        min: Option<&'static str>,
        /// The most that the type can hold.
        max: Option<&'static str>,
    },
    /// A decimal number.
    Number,
    /// Any text.
    Text,
    /// Any text that nobody may see.
    Secret,
    /// A number with a unit.
    Duration,
    /// One of a few words.
    Choice(&'static [Choice]),
    /// Anything else, in words: "a port from 1 to 65535".
    Words(&'static str),
}

/// One word of an enum.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// The word.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// The settings of a struct.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// What all names begin with if this is the outermost struct; may be empty.
    pub prefix: &'static str,
    /// In the order of the struct.
    pub fields: &'static [Field],
}

/// A field of a group. The attributes are those of the [module's](super) table.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The field's name in Rust.
    pub name: &'static str,
    /// The description.
    pub doc: &'static str,
    /// What holds while nothing is set.
    pub default: Option<&'static str>,
    /// An absolute name.
    pub env: Option<&'static str>,
    /// A second, absolute name.
    pub alias: Option<&'static str>,
    /// The inclusive lower bound.
    pub min: Option<&'static str>,
    /// The inclusive upper bound.
    pub max: Option<&'static str>,
    /// The least number of characters, or of items.
    pub min_length: Option<u64>,
    /// The greatest number of characters, or of items.
    pub max_length: Option<u64>,
    /// The text must be a URL. An empty list allows all schemes.
    pub url: Option<&'static [&'static str]>,
    /// Words that replace the generated ones.
    pub expected: Option<&'static str>,
    /// What to do about a missing value.
    pub hint: Option<&'static str>,
    /// A secret, whatever the type says.
    pub secret: bool,
    /// Profile `production` refuses the default, which these words name.
    pub not_in_production: Option<&'static str>,
    /// What the field is.
    pub schema: &'static Schema,
}

impl Field {
    /// A field without any attribute.
    pub const fn new(name: &'static str, schema: &'static Schema) -> Self {
        Self {
            name,
            doc: "",
            default: None,
            env: None,
            alias: None,
            min: None,
            max: None,
            min_length: None,
            max_length: None,
            url: None,
            expected: None,
            hint: None,
            secret: false,
            not_in_production: None,
            schema,
        }
    }

    /// The field's variable (for a group: its prefix), given the prefix of the group around it.
    pub(super) fn name_under(&self, prefix: &str) -> String {
        match self.env {
            Some(absolute) => absolute.to_owned(),
            None if prefix.is_empty() => self.name.to_ascii_uppercase(),
            None => format!("{prefix}_{}", self.name.to_ascii_uppercase()),
        }
    }
}

/// What the derive asserts when the program is compiled: an attribute of values on a group would do nothing.
#[doc(hidden)]
pub const fn assert_sound(fields: &[Field]) {
    let mut i = 0;
    while i < fields.len() {
        let field = &fields[i];
        if field.schema.is_group() {
            assert!(field.default.is_none(), "`default` belongs on the values of a group, not on the group");
            assert!(field.alias.is_none(), "`alias` belongs on the values of a group, not on the group");
        }
        i += 1;
    }
}

/// A value's place in the environment, as [`Schema::variables`] finds it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Variable {
    /// The variable's name.
    pub name: String,
    /// The path of fields that leads to it: `db.pool_size`.
    pub path: String,
    /// The attributes.
    pub field: &'static Field,
    /// What its text, or each item of it, stands for.
    pub kind: Kind,
    /// Items separated by commas.
    pub list: bool,
    /// May be absent, or its group may.
    pub optional: bool,
}

impl Variable {
    /// What a reader should write, in words: "an integer from 1 to 1000".
    pub fn expected(&self) -> String {
        expected::words(self.kind, self.field, self.list)
    }

    /// Without it the program does not start.
    pub fn is_required(&self) -> bool {
        !self.optional && self.field.default.is_none()
    }

    /// Its text may not be seen, and may be given as a file: see [`file_name`](Self::file_name).
    pub fn is_secret(&self) -> bool {
        self.field.secret || matches!(self.kind, Kind::Secret)
    }

    /// For secrets: the variable that names a file which holds the secret (`DATABASE_URL_FILE`).
    pub fn file_name(&self) -> Option<String> {
        self.is_secret().then(|| format!("{}_FILE", self.name))
    }

    /// Every name by which the variable can be given.
    pub fn names(&self) -> impl Iterator<Item = String> + use<> {
        [Some(self.name.clone()), self.field.alias.map(str::to_owned), self.file_name()].into_iter().flatten()
    }
}

impl Schema {
    /// What all names begin with, if this is the outermost struct.
    pub const fn prefix(&self) -> &'static str {
        match self {
            Self::Group(group) => group.prefix,
            _ => "",
        }
    }

    const fn is_group(&self) -> bool {
        match self {
            Self::Group(_) => true,
            Self::Optional(inner) => inner.is_group(),
            _ => false,
        }
    }

    /// All variables of the tree, in the order of the structs. The profile's, which belongs to no field, is not
    /// among them: see [`Profile::variable`](super::Profile::variable).
    pub fn variables(&'static self) -> Vec<Variable> {
        let mut found = Vec::new();
        if let Self::Group(group) = self {
            for field in group.fields {
                let name = field.name_under(group.prefix);
                field.schema.walk(field, name, field.name.to_owned(), false, &mut found);
            }
        }
        found
    }

    /// Collects what lies at `field`, whose name and path are given, and below it.
    pub(super) fn walk(
        &'static self,
        field: &'static Field,
        name: String,
        path: String,
        optional: bool,
        found: &mut Vec<Variable>,
    ) {
        match self {
            Self::Value(kind) => {
                found.push(Variable { name, path, field, kind: *kind, list: false, optional })
            }
            Self::List(kind) => found.push(Variable { name, path, field, kind: *kind, list: true, optional }),
            Self::Optional(inner) => inner.walk(field, name, path, true, found),
            Self::Group(group) => {
                for inner in group.fields {
                    let path = format!("{path}.{}", inner.name);
                    inner.schema.walk(inner, inner.name_under(&name), path, optional, found);
                }
            }
            Self::Profile => {}
        }
    }
}
