use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The identity of a `T`: a UUID that knows what it identifies.
///
/// New ids are UUIDv7 (RFC 9562): their order is about the order of their making, so they are kind to indexes.
/// An `Id<Note>` is not an `Id<User>`:
///
/// ```
/// # use shared_core::Id;
/// struct Note;
/// let note: Id<Note> = Id::new();
/// let same: Id<Note> = note;
/// # assert_eq!(note, same);
/// ```
///
/// ```compile_fail
/// # use shared_core::Id;
/// struct Note;
/// struct User;
/// let note: Id<Note> = Id::new();
/// let other: Id<User> = note;
/// ```
pub struct Id<T> {
    uuid: Uuid,
    of: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// A new id, unique everywhere.
    #[allow(clippy::new_without_default, reason = "a default id would suggest a fixed value")]
    pub fn new() -> Self {
        Self::from_uuid(Uuid::now_v7())
    }

    /// The id with this UUID, of whatever version.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self { uuid, of: PhantomData }
    }

    /// The UUID inside.
    pub const fn as_uuid(&self) -> Uuid {
        self.uuid
    }
}

// By hand, since a derive would ask the same of `T`.
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}

impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(f)
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = std::any::type_name::<T>();
        write!(f, "{}({})", path.rsplit("::").next().unwrap_or(path), self.uuid)
    }
}

impl<T> FromStr for Id<T> {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::from_uuid)
    }
}

impl<T> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.uuid.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from_uuid)
    }
}

#[cfg(test)]
mod tests {
    use super::Id;

    struct Note;

    #[test]
    fn says_what_it_identifies_and_travels_as_a_plain_uuid() {
        let id: Id<Note> = "018f2b6e-0000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(format!("{id:?}"), "Note(018f2b6e-0000-7000-8000-000000000001)");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, "\"018f2b6e-0000-7000-8000-000000000001\"");
        assert_eq!(serde_json::from_str::<Id<Note>>(&json).unwrap(), id);
    }

    #[test]
    fn new_ids_grow() {
        let ids: Vec<Id<Note>> = (0..1000).map(|_| Id::new()).collect();
        assert!(ids.is_sorted());
    }
}
