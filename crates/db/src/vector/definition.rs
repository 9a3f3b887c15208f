use std::fmt;
use std::marker::PhantomData;

/// What a collection of texts about `T`s is called in the database, and how long its vectors are.
pub struct Definition<T> {
    tables: Tables,
    of: PhantomData<fn() -> T>,
}

/// The two tables of a collection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    pub(crate) name: &'static str,
    pub(crate) dimensions: usize,
}

impl<T> Definition<T> {
    /// A collection in the table `name`, given as `schema.table`, and `name_item` beside it.
    ///
    /// # Panics
    /// At compile time, if it is a constant: when the name is not two words of lower-case letters, digits and
    /// underscores with a dot between, or the dimensions are not 1 to 2000, which is what an HNSW index holds.
    pub const fn new(name: &'static str, dimensions: usize) -> Self {
        assert!(
            is_qualified(name),
            "a collection is named schema.table, in lower-case letters, digits and underscores"
        );
        assert!(dimensions >= 1 && dimensions <= 2000, "an HNSW index holds vectors of 1 to 2000 dimensions");
        Self { tables: Tables { name, dimensions }, of: PhantomData }
    }

    pub(crate) const fn tables(&self) -> Tables {
        self.tables
    }
}

impl<T> fmt::Debug for Definition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tables.fmt(f)
    }
}

/// So that a name can stand in SQL without quotes. 40 bytes leave room for the suffixes of indexes.
const fn is_qualified(name: &str) -> bool {
    let bytes = name.as_bytes();
    let (mut at, mut dots) = (0, 0);
    while at < bytes.len() {
        let first = at == 0 || bytes[at - 1] == b'.';
        match bytes[at] {
            b'a'..=b'z' => {}
            b'_' | b'0'..=b'9' if !first => {}
            b'.' if !first => dots += 1,
            _ => return false,
        }
        at += 1;
    }
    dots == 1 && bytes.len() <= 80 && bytes[bytes.len() - 1] != b'.'
}

impl Tables {
    /// The SQL that makes the tables.
    pub(crate) fn migration(&self) -> String {
        let Self { name, dimensions } = self;
        format!(
            "create table {name} (
                tenant_id uuid not null,
                hash bytea not null,
                embedding public.vector({dimensions}) not null,
                primary key (tenant_id, hash));
            create index on {name} using hnsw (embedding public.vector_cosine_ops);
            create table {name}_item (
                tenant_id uuid not null,
                id uuid not null,
                part integer not null,
                hash bytea not null,
                text text not null,
                primary key (tenant_id, id, part),
                foreign key (tenant_id, hash) references {name} (tenant_id, hash));
            create index on {name}_item (tenant_id, hash);
            select shared_db.tenant_table('{name}');
            select shared_db.tenant_table('{name}_item');"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::is_qualified;

    #[test]
    fn names_need_no_quotes() {
        for good in ["notes.note_vector", "a.b2"] {
            assert!(is_qualified(good), "{good}");
        }
        for bad in ["", "notes", "a.b.c", ".a", "a.", "A.b", "a.b;drop", "a.2b", "a b.c", "a\".b"] {
            assert!(!is_qualified(bad), "{bad}");
        }
    }
}
