//! Revocations in a stream, which every instance reads from where it was.

use shared_core::TenantId;
use shared_db::redis::{Redis, Script, cmd};

use super::postgres::{kind_of, name_of};
use super::store::{Found, Stored};
use super::view::Entry;
use super::{MARGIN, Revocation, RevocationConfig, seconds};
use crate::Error;

/// One key, so that it lies on one node of a cluster.
const STREAM: &str = "shared_security:revocations";

/// Adds one, by the server's clock. What is older than any token is dropped. A stream that is full is emptied, and says in
/// the place of its entries that everything issued until now is refused.
static WRITE: Script = Script::new(
    "revoke",
    "local now = tonumber(redis.call('TIME')[1])
     local life, most = tonumber(ARGV[1]), tonumber(ARGV[2])
     redis.call('XTRIM', KEYS[1], 'MINID', (now - life) * 1000)
     if redis.call('XLEN', KEYS[1]) >= most then
         redis.call('XTRIM', KEYS[1], 'MAXLEN', 0)
         redis.call('XADD', KEYS[1], '*', 'tenant', '', 'kind', 'all', 'name', '', 'until', now + tonumber(ARGV[7]),
             'expires', now + life)
     end
     local last = ARGV[6] == '' and '' or now + tonumber(ARGV[6])
     redis.call('XADD', KEYS[1], '*', 'tenant', ARGV[3], 'kind', ARGV[4], 'name', ARGV[5], 'until', last, 'expires', now + life)
     redis.call('EXPIRE', KEYS[1], life + 60)
     return 1",
);

/// Entries in one answer: some 100 KiB.
const PAGE: usize = 1000;

pub(super) async fn write(
    redis: &Redis,
    tenant: TenantId,
    what: &[Revocation],
    config: &RevocationConfig,
) -> Result<(), Error> {
    for one in what {
        let margin = one.margin().map(|margin| seconds(margin).to_string()).unwrap_or_default();
        let call = WRITE
            .keys([STREAM])
            .arg(seconds(config.longest_token))
            .arg(config.max_entries)
            .arg(tenant.to_string())
            .arg(name_of(one.kind()))
            .arg(one.name())
            .arg(margin)
            .arg(seconds(MARGIN));
        redis.script::<i64>(&call).await?;
    }
    Ok(())
}

pub(super) async fn read(
    redis: &Redis,
    cursor: &mut String,
    config: &RevocationConfig,
    all: i64,
) -> Result<Found, Error> {
    let mut found = Found { stored: Vec::new(), all_until: None };
    let mut from = again(cursor);
    loop {
        let page: Vec<(String, Vec<(String, String)>)> =
            redis.command(cmd("XRANGE").arg(STREAM).arg(from).arg("+").arg("COUNT").arg(PAGE)).await?;
        let full = page.len() == PAGE;
        for (id, fields) in page {
            *cursor = id;
            match entry(&fields) {
                Some(Written::One(one)) => found.stored.push(one),
                Some(Written::All(until)) => found.all_until = found.all_until.max(Some(until)),
                // It may have been written by a later version: nobody knows whom it refuses.
                None => found.all_until = Some(all),
            }
        }
        if !full || found.stored.len() > config.max_entries {
            return Ok(found);
        }
        // Exclusive: after what was read last.
        from = format!("({cursor}");
    }
}

/// From where to read on: a little before what was read last. Ids are times of the server, and a replica that takes over without
/// the last entries may have a clock that is behind: what it writes then lies before them.
fn again(cursor: &str) -> String {
    let written = cursor.split('-').next().and_then(|time| time.parse::<u128>().ok());
    written.map_or("-".to_owned(), |time| time.saturating_sub(MARGIN.as_millis()).to_string())
}

/// What an entry of the stream says.
enum Written {
    One(Stored),
    All(i64),
}

fn entry(fields: &[(String, String)]) -> Option<Written> {
    let field = |name| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str());
    let issued_until = match field("until")? {
        "" => i64::MAX,
        until => until.parse().ok()?,
    };
    if field("kind")? == "all" {
        return Some(Written::All(issued_until));
    }
    let (tenant, expires) = (field("tenant")?.parse().ok()?, field("expires")?.parse().ok()?);
    let (kind, name) = (kind_of(field("kind")?)?, field("name")?.to_owned());
    Some(Written::One(Stored { entry: Entry { tenant, issued_until, expires }, kind, name }))
}
