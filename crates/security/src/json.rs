//! JSON as tokens have it: one object, no name twice, nothing nested deeply. Texts are borrowed where they have no escapes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// How deeply values may be nested that nobody reads: claims are flat, but for an address or an actor's actor.
const MAX_DEPTH: u8 = 8;

/// An object that is read member by member.
pub(crate) trait Members<'j>: Default {
    /// Reads the value of the member with this name, if it is one of those wanted.
    fn member<A: MapAccess<'j>>(&mut self, name: &str, values: &mut A) -> Result<bool, A::Error>;
}

/// Reads a text that is one object and nothing else. Why it is not goes unsaid, since it would quote the text.
pub(crate) fn read<'j, T: Members<'j>>(json: &'j [u8]) -> Option<T> {
    let mut reader = serde_json::Deserializer::from_str(std::str::from_utf8(json).ok()?);
    let object = Object::deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(object.0)
}

/// Puts the value of a member into its place, which is still empty unless the name comes twice.
pub(crate) fn once<'j, V: Deserialize<'j>, A: MapAccess<'j>>(
    place: &mut Option<V>,
    values: &mut A,
) -> Result<bool, A::Error> {
    if place.is_some() {
        return Err(twice());
    }
    *place = Some(values.next_value()?);
    Ok(true)
}

fn twice<E: Error>() -> E {
    E::custom("a name comes twice")
}

/// An object with the members of `T`, and others, which are read over.
pub(crate) struct Object<T>(pub(crate) T);

impl<'j, T: Members<'j>> Deserialize<'j> for Object<T> {
    fn deserialize<D: Deserializer<'j>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'j, T: Members<'j>> Visitor<'j> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut members: A) -> Result<T, A::Error> {
        let mut object = T::default();
        let mut others = BTreeSet::new();
        while let Some(name) = members.next_key::<Text<'j>>()? {
            if object.member(&name, &mut members)? {
                continue;
            }
            if !others.insert(name) {
                return Err(twice());
            }
            members.next_value_seed(Unread { depth: MAX_DEPTH })?;
        }
        Ok(object)
    }
}

/// A value that nobody reads. It is looked through for what a parser elsewhere might take differently.
struct Unread {
    depth: u8,
}

impl Unread {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth })
    }
}

impl<'j> DeserializeSeed<'j> for Unread {
    type Value = ();

    fn deserialize<D: Deserializer<'j>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'j> Visitor<'j> for Unread {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'j>>(self, mut values: A) -> Result<(), A::Error> {
        while values.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'j>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = members.next_key::<Text<'j>>()? {
            if !names.insert(name) {
                return Err(twice());
            }
            members.next_value_seed(self.deeper()?)?;
        }
        Ok(())
    }
}

/// A text, borrowed from the token unless it has escapes in it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text<'j>(pub(crate) Cow<'j, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'j> Deserialize<'j> for Text<'j> {
    fn deserialize<D: Deserializer<'j>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'j> Visitor<'j> for TextVisitor {
    type Value = Text<'j>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'j str) -> Result<Text<'j>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'j>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// Any value at all, by its presence.
pub(crate) type Present = IgnoredAny;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Pair {
        a: Option<u64>,
    }

    impl<'j> Members<'j> for Pair {
        fn member<A: MapAccess<'j>>(&mut self, name: &str, values: &mut A) -> Result<bool, A::Error> {
            if name == "a" { once(&mut self.a, values) } else { Ok(false) }
        }
    }

    fn a(json: &str) -> Option<u64> {
        read::<Pair>(json.as_bytes())?.a
    }

    #[test]
    fn other_members_are_read_over() {
        assert_eq!(a(r#"{"b": {"c": [1, -2, 3.5, null, true, "x"]}, "a": 7}"#), Some(7));
    }

    /// The second is the first with an escape in its name: parsers that compare raw text take them for two.
    #[test]
    fn no_name_comes_twice_wherever_it_stands() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":1,"b":1,"b":1}"#,
            r#"{"a":1,"b":{"c":1,"c":1}}"#,
            r#"{"a":1,"b":[{"c":1,"\u0063":1}]}"#,
        ] {
            assert_eq!(a(json), None, "{json}");
        }
    }

    #[test]
    fn depth_has_a_bound() {
        let nested = |levels: usize| format!(r#"{{"a":1,"b":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        assert_eq!(a(&nested(8)), Some(1));
        assert_eq!(a(&nested(9)), None);
        assert_eq!(a(&nested(3000)), None);
    }

    #[test]
    fn nothing_stands_beside_the_object() {
        for json in [r#"{"a":1}{}"#, r#"{"a":1} x"#, "[]", "7", "", "\u{feff}{\"a\":1}", "{\"a\":1}\0"] {
            assert_eq!(a(json), None, "{json}");
        }
        assert_eq!(a(" {\"a\":1}\n"), Some(1));
    }
}
