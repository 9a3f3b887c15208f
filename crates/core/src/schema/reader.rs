//! Reads settings out of variables and notes every mistake on the way.

use std::cmp::Ordering;
use std::mem;

use super::{
    Code, Entry, Field, Kind, Mistake, Origin, Profile, Schema, Setting, Value, Variables, expected,
};

/// Walks the settings, and keeps every mistake instead of stopping at the first.
#[derive(Debug)]
pub struct Reader<'a> {
    variables: &'a Variables,
    profile: Profile,
    /// The variable of the field being read; of a group: its prefix.
    name: String,
    mistakes: Vec<Mistake>,
}

/// What reading has come to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reading<T> {
    /// The settings, if there is no mistake.
    pub settings: Option<T>,
    /// The profile that the rules were those of. An unreadable one counts as `production`, the strictest.
    pub profile: Profile,
    /// Every mistake, in the order of the structs.
    pub mistakes: Vec<Mistake>,
}

/// Reads the settings of a program. Names that no setting has do not matter here: `shared-config` judges them.
pub fn read<T: Setting>(variables: &Variables) -> Reading<T> {
    let prefix = T::SCHEMA.prefix();
    let (profile, mistakes) = match Profile::find(variables, prefix) {
        Ok(profile) => (profile, Vec::new()),
        Err(mistake) => (Profile::Production, vec![mistake]),
    };
    let mut reader = Reader { variables, profile, name: prefix.to_owned(), mistakes };
    let settings = T::read(&mut reader, const { &Field::new("", T::SCHEMA) });
    let Reader { mistakes, .. } = reader;
    Reading { settings: settings.filter(|_| mistakes.is_empty()), profile, mistakes }
}

/// Reads settings from a few texts and the defaults: for tests, and for `Default` of a struct whose fields all have
/// a default, so that no default is written twice.
///
/// # Errors
/// Every mistake, as in a report.
pub fn from_pairs<'t, T: Setting>(
    pairs: impl IntoIterator<Item = (&'t str, &'t str)>,
) -> Result<T, Vec<Mistake>> {
    let mut variables = Variables::new();
    for (name, text) in pairs {
        variables.set(name, Entry { text: Some(text.to_owned()), origin: Origin::Environment });
    }
    let reading = read(&variables);
    reading.settings.ok_or(reading.mistakes)
}

/// The text that counts for a field.
struct Text<'a> {
    text: &'a str,
    origin: &'a Origin,
}

impl<'a> Reader<'a> {
    /// The profile that the settings are read for.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Reads a field of the current group.
    pub fn field<T: Setting>(&mut self, field: &'static Field) -> Option<T> {
        let name = field.name_under(&self.name);
        let group = mem::replace(&mut self.name, name);
        let value = T::read(self, field);
        self.name = group;
        value
    }

    /// Reads the current field as one text.
    pub fn value<V: Value>(&mut self, field: &'static Field) -> Option<V> {
        let found = self.text(field, V::KIND, false)?;
        let value = item(found.text, field).and_then(|value: V| match V::KIND {
            Kind::Text | Kind::Secret => has_length(field, found.text.chars().count()).map(|()| value),
            _ => Ok(value),
        });
        value.map_err(|code| self.refuse(field, V::KIND, false, code, &found)).ok()
    }

    /// Reads the current field as texts separated by commas.
    pub fn list<V: Value>(&mut self, field: &'static Field) -> Option<Vec<V>> {
        let found = self.text(field, V::KIND, true)?;
        let texts: Vec<&str> = found.text.split(',').map(str::trim).filter(|text| !text.is_empty()).collect();
        let items: Result<Vec<V>, Code> = texts.iter().map(|text| item(text, field)).collect();
        items
            .and_then(|items| has_length(field, items.len()).map(|()| items))
            .map_err(|code| self.refuse(field, V::KIND, true, code, &found))
            .ok()
    }

    /// Something is given for the current field: a variable at or below it, or a default of its own.
    pub(super) fn is_set(&self, field: &'static Field, schema: &'static Schema) -> bool {
        let mut below = Vec::new();
        schema.walk(field, self.name.clone(), String::new(), true, &mut below);
        field.default.is_some()
            || below.iter().any(|variable| variable.names().any(|name| self.variables.get(&name).is_some()))
    }

    /// Notes a mistake in the group being read.
    pub(super) fn note(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// What the names of the group being read begin with, as a pattern.
    pub(super) fn name_of_group(&self) -> String {
        format!("{}_*", self.name).trim_start_matches('_').to_owned()
    }

    /// The variable of a field of the group being read.
    pub(super) fn name_of(&self, field: &Field) -> String {
        field.name_under(&self.name)
    }

    /// Where the text of this field comes from.
    pub(super) fn origin_of(&self, field: &Field) -> Origin {
        let name = self.name_of(field);
        let entry = self.variables.get(&name).or_else(|| self.variables.get(field.alias?));
        entry.map_or(Origin::Default, |entry| entry.origin.clone())
    }

    /// Finds the text of the current field: the variable, its alias, the default.
    fn text(&mut self, field: &'static Field, kind: Kind, list: bool) -> Option<Text<'a>> {
        match self.lookup(field, kind, list) {
            Ok(found) if self.is_refused(field, found.text) => {
                let words = field.not_in_production.unwrap_or_default();
                let message = format!("refused in profile `{}`: {words}", self.profile);
                self.note(Mistake::new(&self.name, Code::Refused, message).from(found.origin.clone()));
                None
            }
            Ok(found) => Some(found),
            Err(mistake) => {
                self.note(mistake);
                None
            }
        }
    }

    fn lookup(&self, field: &'static Field, kind: Kind, list: bool) -> Result<Text<'a>, Mistake> {
        if let Some(entry) = self.entry(field)? {
            let text = entry.text.as_deref().ok_or_else(|| {
                Mistake::new(&self.name, Code::NotUtf8, "not valid UTF-8").from(entry.origin.clone())
            })?;
            return Ok(Text { text, origin: &entry.origin });
        }
        let default = field.default.map(|text| Text { text, origin: &Origin::Default });
        default.ok_or_else(|| {
            let message = format!("missing; expected {}", expected::words(kind, field, list));
            Mistake::new(&self.name, Code::Missing, message).hint(field.hint.unwrap_or("set it"))
        })
    }

    /// The variable or its alias. A source that outranks the other decides; within one source they must agree.
    fn entry(&self, field: &'static Field) -> Result<Option<&'a Entry>, Mistake> {
        let Some(alias) = field.alias else { return Ok(self.variables.get(&self.name)) };
        match (self.variables.get(&self.name), self.variables.get(alias)) {
            (Some(a), Some(b)) if a.origin.rank() != b.origin.rank() => {
                Ok(Some(if a.origin.rank() < b.origin.rank() { a } else { b }))
            }
            (Some(a), Some(b)) if a.text != b.text => {
                let message = format!("set twice, differently: {alias} is another name for it");
                Err(Mistake::new(&self.name, Code::Conflict, message)
                    .from(a.origin.clone())
                    .hint("set one of the two"))
            }
            (a, b) => Ok(a.or(b)),
        }
    }

    /// The same text is refused wherever it comes from: a copied default is as public as the default.
    fn is_refused(&self, field: &Field, text: &str) -> bool {
        self.profile == Profile::Production
            && field.not_in_production.is_some()
            && field.default == Some(text)
    }

    fn refuse(&mut self, field: &Field, kind: Kind, list: bool, code: Code, found: &Text<'_>) {
        let expected = expected::words(kind, field, list);
        let message = format!("expected {expected}, found {}", expected::found(found.text));
        self.note(Mistake::new(&self.name, code, message).from(found.origin.clone()));
    }
}

/// Reads one text, and holds it against the bounds of its field.
fn item<V: Value>(text: &str, field: &Field) -> Result<V, Code> {
    if field.url.is_some_and(|schemes| !is_url(text, schemes)) {
        return Err(Code::WrongType);
    }
    let value = V::parse(text).ok_or_else(|| match V::KIND {
        // An integer, but not one that the type can hold.
        Kind::Integer { .. } if text.parse::<i128>().is_ok() => Code::OutOfRange,
        _ => Code::WrongType,
    })?;
    let beyond = |bound: Option<&str>, side| bound.and_then(|bound| value.compare(bound)) == Some(side);
    if beyond(field.min, Ordering::Less) || beyond(field.max, Ordering::Greater) {
        return Err(Code::OutOfRange);
    }
    Ok(value)
}

fn has_length(field: &Field, length: usize) -> Result<(), Code> {
    let length = length as u64;
    let short = field.min_length.is_some_and(|min| length < min);
    let long = field.max_length.is_some_and(|max| length > max);
    if short || long { Err(Code::OutOfRange) } else { Ok(()) }
}

/// `scheme://something`, which is enough to tell a URL from a slip; its owner parses it.
fn is_url(text: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let known = schemes.is_empty() || schemes.contains(&scheme);
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    known && named && !rest.is_empty() && !text.contains(char::is_whitespace)
}
