use shared_db::{Db, statements};

use crate::Error;

statements! {
    /// A session that is over is kept for a day, so that a stolen token that comes late is told from one of nobody. `$1` rows.
    const SESSIONS: Statement<(i64,), i64> = "
        with gone as (
            delete from shared_security.session s using (
                select tenant_id, id from shared_security.session
                 where least(coalesce(ended_at, 'infinity'::timestamptz), idle_until, expires_at)
                       < clock_timestamp() - interval '1 day'
                 limit $1 for update skip locked) old
             where s.tenant_id = old.tenant_id and s.id = old.id
            returning 1)
        select count(*) from gone";
    /// Not while a login may be under way that has seen the epoch, which takes 15 minutes at most.
    const SUBJECTS: Statement<(i64,), i64> = "
        with gone as (
            delete from shared_security.subject u using (
                select tenant_id, subject from shared_security.subject s
                 where touched_at < clock_timestamp() - interval '1 day' and disabled_at is null
                   and not exists (select from shared_security.session
                                    where tenant_id = s.tenant_id and subject = s.subject)
                 limit $1 for update skip locked) old
             where u.tenant_id = old.tenant_id and u.subject = old.subject
            returning 1)
        select count(*) from gone";
    const REVOCATIONS: Statement<(i64,), i64> = "
        with gone as (
            delete from shared_security.revocation r using (
                select tenant_id, kind, name from shared_security.revocation
                 where expires_at < clock_timestamp() limit $1 for update skip locked) old
             where r.tenant_id = old.tenant_id and r.kind = old.kind and r.name = old.name
            returning 1)
        select count(*) from gone";
    /// Failures count for a day; where an account has logged in from is known for 30.
    const FAILURES: Statement<(i64,), i64> = "
        with gone as (
            delete from shared_security.login_failures f using (
                select tenant_id, kind, bucket from shared_security.login_failures
                 where last_at < clock_timestamp() - interval '1 day'
                   and (known is null or last_at < clock_timestamp() - interval '30 days')
                 limit $1 for update skip locked) old
             where f.tenant_id = old.tenant_id and f.kind = old.kind and f.bucket = old.bucket
            returning 1)
        select count(*) from gone";
}

/// Rows in one transaction: some milliseconds of locks.
const AT_ONCE: i64 = 1000;

/// How many rows [`prune`] has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Sessions that were over for a day.
    pub sessions: u64,
    /// Users without a session.
    pub subjects: u64,
    /// Revocations whose tokens have all expired.
    pub revocations: u64,
    /// Counters of failed logins.
    pub login_failures: u64,
}

/// Removes what is over, for all tenants: sessions, users without one, revocations, and counters of failed logins.
/// [`Upkeep`](crate::Upkeep) does it once an hour; several instances may at the same time.
///
/// It works in batches of 1,000 rows, each a transaction of its own. If the future is dropped, what was done stays done.
///
/// # Errors
/// [`Error::Database`].
pub async fn prune(db: &Db) -> Result<Pruned, Error> {
    let mut pruned = Pruned::default();
    let parts = [
        (&SESSIONS, &mut pruned.sessions),
        (&SUBJECTS, &mut pruned.subjects),
        (&REVOCATIONS, &mut pruned.revocations),
        (&FAILURES, &mut pruned.login_failures),
    ];
    for (statement, removed) in parts {
        loop {
            let rows = db.system().one(statement, (AT_ONCE,)).await?;
            *removed += rows.unsigned_abs();
            if rows < AT_ONCE {
                break;
            }
        }
    }
    Ok(pruned)
}
