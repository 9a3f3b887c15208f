use std::io::Write;

use serde::{Deserialize, Serialize};
use shared_core::TenantId;
use shared_db::{Db, statements};
use time::OffsetDateTime;

use super::chain::Digest;
use super::entry::{Entry, Line, columns};
use crate::Error;

/// Rows in memory at once.
const PAGE: i64 = 1000;

statements! {
    const ALL: Statement<(i64, Option<OffsetDateTime>, Option<OffsetDateTime>, i64), Entry> = concat!("
        select ", columns!(), " from shared_security.audit_log as log
         where log.pos > $1 and log.at >= coalesce($2::timestamptz, '-infinity') and log.at < coalesce($3::timestamptz, 'infinity')
         order by log.pos limit $4");
    const OF_TENANT: Statement<(i64, Option<OffsetDateTime>, Option<OffsetDateTime>, i64, TenantId), Entry> = concat!("
        select ", columns!(), " from shared_security.audit_log as log
         where log.tenant_id = $5 and log.pos > $1
           and log.at >= coalesce($2::timestamptz, '-infinity') and log.at < coalesce($3::timestamptz, 'infinity')
         order by log.pos limit $4");
    /// The ends of the chains behind those of a tenant; `$1` is null before the first. Those alone that have come to `$3` or beyond.
    const ROOTS: Statement<(Option<TenantId>, i64, Option<OffsetDateTime>), (TenantId, i64, Vec<u8>, OffsetDateTime)> = "
        select chain.tenant_id, chain.number, chain.root, seal.until from shared_security.audit_chain as chain
          join shared_security.audit_seal as seal on seal.tenant_id = chain.tenant_id and seal.number = chain.number
         where ($1::uuid is null or chain.tenant_id > $1) and seal.until >= coalesce($3::timestamptz, '-infinity')
         order by chain.tenant_id limit $2";
}

/// Which entries to export: by [`default`](Self::default) all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Export {
    tenant: Option<TenantId>,
    since: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
}

impl Export {
    /// This tenant's alone; [`NO_TENANT`](super::NO_TENANT) for those that belong to none.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// From this time on.
    pub fn since(mut self, time: OffsetDateTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Before this time.
    pub fn until(mut self, time: OffsetDateTime) -> Self {
        self.until = Some(time);
        self
    }

    /// Writes the entries as JSON, one a line, in the order of their positions, and returns how many. Each carries its hash, as its
    /// batch's seal has it. A thousand are in memory at once. It reads page by page, without a lock: of what is committed while it
    /// runs some may be missing.
    ///
    /// # Errors
    /// [`Error::Database`], and [`Error::Output`] if the writer fails; what was written before is whole lines, but for the last.
    pub async fn run(&self, db: &Db, out: &mut (dyn Write + Send)) -> Result<u64, Error> {
        let (mut count, mut after) = (0, 0);
        loop {
            let page = match self.tenant {
                Some(tenant) => {
                    db.system().all(&OF_TENANT, (after, self.since, self.until, PAGE, tenant)).await?
                }
                None => db.system().all(&ALL, (after, self.since, self.until, PAGE)).await?,
            };
            let Some(last) = page.last() else { return Ok(count) };
            after = last.pos;
            count += page.len() as u64;
            for entry in &page {
                line(out, &Line::of(entry))?;
            }
        }
    }
}

/// The end of a chain as it was once, to be kept where the database's owner does not reach: it anchors everything before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Root {
    /// Whose chain.
    pub tenant: TenantId,
    /// The number of its last batch.
    pub number: i64,
    /// That batch's root.
    pub root: Digest,
    /// The time of the cut that the batch ends at.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}

/// Writes the latest root of every chain as JSON, one a line, and returns how many: to be kept elsewhere, such as in a store that is
/// written once, a ticket, or another party's hands (ASVS 16.4.3). [`Verify::anchors`](super::Verify::anchors) reads them.
///
/// # Errors
/// As of [`Export::run`].
pub async fn roots(db: &Db, out: &mut (dyn Write + Send)) -> Result<u64, Error> {
    let mut count = 0;
    each_root(db, None, |root| {
        count += 1;
        line(out, root)
    })
    .await?;
    Ok(count)
}

/// The latest root of every chain that was sealed up to this time or beyond, a thousand in memory at once.
pub(crate) async fn each_root(
    db: &Db,
    since: Option<OffsetDateTime>,
    mut take: impl FnMut(&Root) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = db.system().all(&ROOTS, (after, PAGE, since)).await?;
        let Some((last, ..)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (tenant, number, root, until) in page {
            take(&Root { tenant, number, root: Digest::stored(&root).unwrap_or_default(), until })?;
        }
    }
}

fn line(out: &mut (dyn Write + Send), value: &impl Serialize) -> Result<(), Error> {
    let mut json = serde_json::to_string(value).map_err(|error| Error::Output(error.into()))?;
    json.push('\n');
    out.write_all(json.as_bytes()).map_err(Error::Output)
}
