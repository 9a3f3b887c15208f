use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared_core::{InTenant, TenantId};

use super::definition::{Definition, Tables};
use super::embedder::Embedder;
use super::hashing::Hashing;
use crate::statement::Text;
use crate::{Db, Error, Tenant, statements};

statements! {
    const REMEMBER_MODEL: Statement<(String, String), String> = "
        with new as (insert into shared_db.collection (name, model) values ($1, $2) on conflict (name) do nothing returning model)
        select model from new union all select model from shared_db.collection where name = $1 limit 1";
}

/// How long a tenant's size is believed. A tenant that grows past the limit is scanned exactly for that long: slower,
/// never wrong.
const SIZE_HOLDS: Duration = Duration::from_secs(60);

/// Sizes remembered at most: 16 bytes and two words each, so about half a megabyte. Beyond, all are forgotten.
const SIZES: usize = 10_000;

/// Texts about `T`s, found by meaning, each tenant's for itself. Clones share everything.
pub struct Collection<T> {
    pub(super) inner: Arc<Inner>,
    of: PhantomData<fn() -> T>,
}

pub(super) struct Inner {
    db: Db,
    pub(super) sql: Sql,
    pub(super) embedder: Arc<dyn Embedder>,
    sizes: Mutex<HashMap<TenantId, (Instant, i64)>>,
}

impl Inner {
    fn sizes(&self) -> MutexGuard<'_, HashMap<TenantId, (Instant, i64)>> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Collection<T> {
    /// Opens a collection with the embedder [`Hashing`], which needs no model.
    ///
    /// # Errors
    /// [`Error::Config`] if the collection holds vectors of another embedder; [`Error::Statement`] if its migration was
    /// not applied.
    pub async fn open(db: &Db, definition: &Definition<T>) -> Result<Self, Error> {
        Self::open_with(db, definition, Arc::new(Hashing::new(definition.tables().dimensions))).await
    }

    /// Opens a collection with an embedder of your own.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and [`Error::Config`] if the embedder's vectors are of another length.
    pub async fn open_with(
        db: &Db,
        definition: &Definition<T>,
        embedder: Arc<dyn Embedder>,
    ) -> Result<Self, Error> {
        let tables = definition.tables();
        let wrong = |reason: String| Error::Config(format!("collection {}: {reason}", tables.name));
        if embedder.dimensions() != tables.dimensions {
            let (is, holds) = (embedder.dimensions(), tables.dimensions);
            return Err(wrong(format!(
                "its vectors have {holds} dimensions, those of {} have {is}",
                embedder.name()
            )));
        }
        let remember = async || db.untenanted().opt(&REMEMBER_MODEL, (tables.name, embedder.name())).await;
        let model = match remember().await? {
            Some(model) => model,
            // Another program wrote it after this statement's snapshot; the next statement sees it.
            None => remember().await?.unwrap_or_default(),
        };
        if model != embedder.name() {
            let asked = embedder.name();
            return Err(wrong(format!(
                "it holds vectors of {model}, which can't be compared with those of {asked}; use another collection"
            )));
        }
        let inner = Inner { db: db.clone(), sql: Sql::of(tables), embedder, sizes: Mutex::default() };
        Ok(Self { inner: Arc::new(inner), of: PhantomData })
    }

    /// One tenant's part of it.
    pub fn tenant(&self, proof: &impl InTenant) -> TenantCollection<T> {
        TenantCollection { collection: self.clone(), tenant: self.inner.db.tenant(proof) }
    }
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), of: PhantomData }
    }
}

impl<T> fmt::Debug for Collection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("embedder", &self.inner.embedder.name()).finish_non_exhaustive()
    }
}

/// One tenant's part of a [`Collection`].
pub struct TenantCollection<T> {
    pub(super) collection: Collection<T>,
    pub(super) tenant: Tenant,
}

impl<T> TenantCollection<T> {
    /// How many different contents the tenant has, counted up to one more than `limit`, and believed for a minute.
    pub(super) async fn size(&self, limit: i64) -> Result<i64, Error> {
        let inner = &self.collection.inner;
        let tenant = self.tenant.context().tenant();
        let known = inner.sizes().get(&tenant).copied();
        if let Some((_, size)) = known.filter(|(at, _)| at.elapsed() < SIZE_HOLDS) {
            return Ok(size);
        }
        let size =
            self.tenant.rows(&inner.sql.text("COUNT", &inner.sql.count), &(limit + 1,)).await?.one()?;
        let mut sizes = inner.sizes();
        if sizes.len() >= SIZES {
            sizes.clear();
        }
        sizes.insert(tenant, (Instant::now(), size));
        Ok(size)
    }
}

impl<T> fmt::Debug for TenantCollection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantCollection")
            .field("tenant", &self.tenant.context().tenant())
            .finish_non_exhaustive()
    }
}

/// The collection's statements; `$1` is the tenant in each.
pub(super) struct Sql {
    pub(super) count: String,
    pub(super) missing: String,
    pub(super) insert_embeddings: String,
    pub(super) replace_items: String,
    pub(super) enter: String,
    pub(super) alone: String,
    pub(super) turn: String,
    pub(super) drop_orphans: String,
    pub(super) exact: String,
    pub(super) approximate: String,
}

impl Sql {
    fn of(Tables { name, .. }: Tables) -> Self {
        // The nearest contents first, then the texts that have them.
        let found = |nearest: &str| {
            format!(
                "with nearest as materialized ({nearest})
                 select i.id, i.part, i.text, n.distance
                   from nearest n join {name}_item i on i.tenant_id = $1 and i.hash = n.hash
                  order by n.distance + 0, i.id, i.part limit $3"
            )
        };
        Self {
            count: format!("select count(*) from (select 1 from {name} where tenant_id = $1 limit $2) as counted"),
            missing: format!(
                "select given.hash from unnest($2::bytea[]) as given (hash)
                  where not exists (select 1 from {name} e where e.tenant_id = $1 and e.hash = given.hash)"
            ),
            insert_embeddings: format!(
                "insert into {name} (tenant_id, hash, embedding)
                 select $1, given.hash, given.embedding
                   from unnest($2::bytea[], $3::public.vector[]) as given (hash, embedding)
                  order by given.hash on conflict do nothing"
            ),
            // Returns the contents that the items had before and no longer have.
            replace_items: format!(
                "with given as materialized (
                    select given.id, given.part, given.hash, given.text
                      from unnest($2::uuid[], $3::int[], $4::bytea[], $5::text[]) as given (id, part, hash, text)),
                 before as materialized (
                    select i.id, i.part, i.hash from {name}_item i
                     where i.tenant_id = $1 and i.id = any ($6::uuid[]) for update),
                 gone as (
                    delete from {name}_item i using before b
                     where i.tenant_id = $1 and i.id = b.id and i.part = b.part
                       and not exists (select 1 from given g where g.id = b.id and g.part = b.part)),
                 written as (
                    insert into {name}_item as i (tenant_id, id, part, hash, text)
                    select $1, g.id, g.part, g.hash, g.text from given g order by g.id, g.part
                    on conflict (tenant_id, id, part) do update set hash = excluded.hash, text = excluded.text
                     where i.hash is distinct from excluded.hash)
                 select distinct b.hash from before b
                  where not exists (select 1 from given g where g.id = b.id and g.part = b.part and g.hash = b.hash)"
            ),
            enter: format!("select pg_advisory_xact_lock_shared(hashtextextended('{name} alone ' || $1::uuid::text, 0))"),
            alone: format!("select pg_advisory_xact_lock(hashtextextended('{name} alone ' || $1::uuid::text, 0))"),
            turn: format!("select pg_advisory_xact_lock(hashtextextended('{name} turn ' || $1::uuid::text, 0))"),
            drop_orphans: format!(
                "delete from {name} e where e.tenant_id = $1 and e.hash = any ($2::bytea[])
                    and not exists (select 1 from {name}_item i where i.tenant_id = $1 and i.hash = e.hash)"
            ),
            // The `+ 0` keeps the planner from the index, in whatever mood it is.
            exact: found(&format!(
                "select e.hash, e.embedding operator(public.<=>) $2 as distance from {name} e
                  where e.tenant_id = $1 order by (e.embedding operator(public.<=>) $2) + 0 limit $3"
            )),
            approximate: found(&format!(
                "select e.hash, e.embedding operator(public.<=>) $2 as distance from {name} e
                  where e.tenant_id = $1 order by e.embedding operator(public.<=>) $2 limit $3"
            )),
        }
    }

    pub(super) fn text<'a>(&self, name: &'static str, sql: &'a str) -> Text<'a> {
        Text { name, sql, takes_tenant: true }
    }
}
