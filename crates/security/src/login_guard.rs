//! Guesses of passwords, slowed down.

mod bucket;

use std::fmt;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use shared_core::{Actor, Context, InTenant};
use shared_db::{Db, TenantTx, statements};

use crate::trail::Trail;
use crate::{Audit, AuditEvent, Error};
use bucket::{Bucket, Counted, Kind};

statements! {
    /// Counts the attempts of what was forgotten from zero, and locks the rows, in the order of their keys.
    const LOCK: Statement<(Vec<i16>, Vec<i32>), (i16, i32, i64, Option<Vec<u8>>)> = "
        insert into shared_security.login_failures (tenant_id, kind, bucket)
        select $tenant, kind, bucket from unnest($1::smallint[], $2::integer[]) as given (kind, bucket) order by kind, bucket
            on conflict (tenant_id, kind, bucket) do update
               set failures = case when login_failures.last_at > clock_timestamp() - interval '1 day'
                                   then login_failures.failures else 0 end
        returning kind, failures,
                  greatest(0, case when isfinite(delayed_until)
                                   then ceil(1000 * extract(epoch from delayed_until - clock_timestamp())) else 0 end)::bigint,
                  known";
    const CHARGE: Statement<(i16, i32, i64), ()> = "
        update shared_security.login_failures
           set failures = failures + 1, last_at = clock_timestamp(),
               delayed_until = clock_timestamp() + $3::bigint * interval '1 millisecond'
         where tenant_id = $tenant and kind = $1 and bucket = $2";
    /// A success of this account from this address: both are as if nothing had failed, and the place is known.
    const FORGIVE: Statement<(i16, i32, Option<Vec<u8>>), ()> = "
        update shared_security.login_failures
           set failures = 0, delayed_until = '-infinity', last_at = clock_timestamp(), known = coalesce($3, known)
         where tenant_id = $tenant and kind = $1 and bucket = $2";
    /// Takes back what this attempt was charged, and nothing of others: one good account must not wipe an address clean.
    const REFUND: Statement<(i16, i32), ()> = "
        update shared_security.login_failures
           set failures = greatest(0, failures - 1), delayed_until = '-infinity'
         where tenant_id = $tenant and kind = $1 and bucket = $2";
}

/// Slows down who guesses passwords, by account and by address, in Postgres for all instances.
///
/// The first failures are free; then each doubles the wait before the next attempt, up to a bound. Nobody is locked out:
/// - of one account from one address, 5 failures are free, and the wait grows to 15 minutes;
/// - of one account from anywhere, 10 are free, and the wait grows to one minute; it does not hold where the account has
///   logged in from before, so that a stranger's guesses don't keep its owner out;
/// - from one address (an IPv6 network of 64 bits is one), 20 are free, and the wait grows to 15 minutes.
///
/// A day without a failure forgets them. An attempt is charged when it begins: guesses at the same moment gain nothing. It
/// never looks whether an account exists, so its answers don't tell.
///
/// Counters lie in 262,144 buckets a tenant and kind, by SHA-256: a flood of names fills the table to its bound and no further,
/// and at worst slows down who shares a bucket.
#[derive(Clone)]
pub struct LoginGuard {
    db: Db,
    trail: Trail,
}

/// An attempt that was let through. Say [`succeeded`](Self::succeeded) if it was right; dropped, it counts as failed.
pub struct LoginAttempt {
    db: Db,
    context: Context,
    buckets: [Bucket; 3],
    /// What is recorded of it unless it succeeds.
    failure: Option<AuditEvent>,
    trail: Trail,
}

impl LoginGuard {
    /// A guard that counts in this database.
    pub fn new(db: Db) -> Self {
        Self { db, trail: Trail::default() }
    }

    /// Records in this log which attempts failed and which came too early. A flood is summed from the hundredth of a second on.
    pub fn with_audit(mut self, audit: Audit) -> Self {
        self.trail = Trail::to(audit);
        self
    }

    /// Asks whether an attempt to log in may be made now, before the password is looked at, and counts it.
    ///
    /// If the future is dropped, the attempt may have been counted.
    ///
    /// # Errors
    /// [`Error::LoginDelayed`] with the wait: answer 429, the same for every account. [`Error::Database`].
    pub async fn attempt(
        &self,
        tenant: &impl InTenant,
        account: &str,
        address: IpAddr,
    ) -> Result<LoginAttempt, Error> {
        let buckets = Bucket::of(account, address);
        let wait = self.db.tenant(tenant).tx(async |tx| charge(tx, &buckets).await).await?;
        // The name that was given: whose it is nobody knows yet, nor whether there is somebody.
        let event = |action| {
            let event = AuditEvent::new(action).within(tenant).actor(&Actor::new(account));
            event.denied().from_address(address)
        };
        match wait {
            Some((kind, wait)) => {
                DELAYED.add(1, &[KeyValue::new("by", kind.name())]);
                self.trail.record_of_anybody(event("login.delayed").detail("by", kind.name()));
                Err(Error::LoginDelayed { wait })
            }
            None => Ok(LoginAttempt {
                db: self.db.clone(),
                context: tenant.context().clone(),
                buckets,
                failure: Some(event("login.failed")),
                trail: self.trail.clone(),
            }),
        }
    }
}

impl LoginAttempt {
    /// The login was right: the account starts anew, here and elsewhere, and the address gets back what it was charged.
    ///
    /// # Errors
    /// [`Error::Database`]; the login may go on, and its attempt stays counted.
    pub async fn succeeded(mut self) -> Result<(), Error> {
        self.failure = None;
        let tenant =
            shared_core::AssumedTenant::continuing(self.context.clone(), "the login has begun there");
        let door = self.db.tenant(&tenant);
        let done = door.tx(async |tx| {
            // In the order in which they are locked.
            for bucket in &self.buckets {
                match bucket.kind {
                    Kind::Account => {
                        tx.execute(&FORGIVE, (bucket.kind as i16, bucket.number, None::<Vec<u8>>)).await?
                    }
                    Kind::Pair => {
                        tx.execute(&FORGIVE, (bucket.kind as i16, bucket.number, Some(bucket.mark.clone())))
                            .await?
                    }
                    Kind::Address => tx.execute(&REFUND, (bucket.kind as i16, bucket.number)).await?,
                };
            }
            Ok::<_, shared_db::Error>(())
        });
        Ok(done.await?)
    }
}

/// Charges all counters, or says how long to wait and for which.
async fn charge(tx: &mut TenantTx, buckets: &[Bucket; 3]) -> Result<Option<(Kind, Duration)>, Error> {
    let kinds: Vec<i16> = buckets.iter().map(|bucket| bucket.kind as i16).collect();
    let numbers: Vec<i32> = buckets.iter().map(|bucket| bucket.number).collect();
    let rows = tx.all(&LOCK, (kinds, numbers)).await?;
    let counted: Vec<(&Bucket, Counted)> = buckets
        .iter()
        .filter_map(|bucket| {
            let (_, failures, wait, known) = rows.iter().find(|row| row.0 == bucket.kind as i16)?;
            let is_known = known.as_ref() == Some(&bucket.mark);
            Some((bucket, Counted { failures: failures.unsigned_abs(), wait: wait.unsigned_abs(), is_known }))
        })
        .collect();
    let known = counted.iter().any(|(bucket, counted)| bucket.kind == Kind::Pair && counted.is_known);
    let holds = |kind: Kind| !(known && kind == Kind::Account);
    let longest =
        counted.iter().filter(|(bucket, _)| holds(bucket.kind)).max_by_key(|(_, counted)| counted.wait);
    if let Some((bucket, Counted { wait: wait @ 1.., .. })) = longest {
        return Ok(Some((bucket.kind, Duration::from_millis(*wait))));
    }
    for (bucket, counted) in counted {
        let delay = i64::try_from(bucket.kind.delay(counted.failures + 1).as_millis()).unwrap_or(i64::MAX);
        tx.execute(&CHARGE, (bucket.kind as i16, bucket.number, delay)).await?;
    }
    Ok(None)
}

static DELAYED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    opentelemetry::global::meter("shared_security")
        .u64_counter("security.logins.delayed")
        .with_description("attempts to log in that came too soon after failures, by what was counted")
        .build()
});

impl Drop for LoginAttempt {
    fn drop(&mut self) {
        if let Some(failure) = self.failure.take() {
            self.trail.record_of_anybody(failure);
        }
    }
}

impl fmt::Debug for LoginGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginGuard")
    }
}

impl fmt::Debug for LoginAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginAttempt")
    }
}
