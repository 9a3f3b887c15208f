//! Settings made of others: optional ones and lists.

use std::any::{Any, TypeId};

use super::{Field, Reader, Schema, Setting, Value};

/// `None` while nothing of it is set, neither a variable nor a default of the field. For a group: while none of its
/// variables is set; once one is, the group is read as if it were required.
impl<T: Setting> Setting for Option<T> {
    const SCHEMA: &'static Schema = &Schema::Optional(T::SCHEMA);

    fn read(reader: &mut Reader<'_>, field: &'static Field) -> Option<Self> {
        if reader.is_set(field, T::SCHEMA) { T::read(reader, field).map(Some) } else { Some(None) }
    }

    fn part(&self, of: TypeId) -> Option<&dyn Any> {
        self.as_ref()?.part(of)
    }
}

/// Items are separated by commas; white space around them and empty items do not count.
impl<V: Value> Setting for Vec<V> {
    const SCHEMA: &'static Schema = &Schema::List(V::KIND);

    fn read(reader: &mut Reader<'_>, field: &'static Field) -> Option<Self> {
        reader.list(field)
    }
}
