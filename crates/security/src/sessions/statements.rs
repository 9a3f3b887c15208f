//! The SQL of sessions. Times are the server's, read after the lock was taken: `clock_timestamp()`, not `now()`.

use std::net::IpAddr;

use shared_db::statements;
use time::OffsetDateTime;

use super::family::Locked;
use crate::{Session, SessionId};

statements! {
    /// Reads alone, so that names that nobody has fill no table.
    pub(super) const BEGAN: Statement<(String,), (i64, i64, OffsetDateTime)> = "
        select coalesce((select epoch from shared_security.subject where tenant_id = $tenant and subject = $1), 0),
               coalesce((select epoch from shared_security.tenant_epoch where tenant_id = $tenant), 0),
               clock_timestamp()";
    /// `$2` when the login began. The tenant's epoch is read before the session is written, and compared at each refresh.
    pub(super) const LOCK_SUBJECT: Statement<(String, OffsetDateTime), (i64, bool, i64, bool)> = "
        insert into shared_security.subject (tenant_id, subject) values ($tenant, $1)
            on conflict (tenant_id, subject) do update set touched_at = clock_timestamp()
        returning epoch, disabled_at is not null,
                  coalesce((select t.epoch from shared_security.tenant_epoch t where t.tenant_id = $tenant), 0),
                  $2 > clock_timestamp() - interval '15 minutes'";
    /// `$10` and `$11` milliseconds until it ends, idle and absolutely.
    pub(super) const OPEN: Statement<
        (SessionId, String, String, Vec<u8>, Vec<u8>, i64, Vec<String>, String, Option<IpAddr>, i64, i64), Session> = "
        insert into shared_security.session (tenant_id, id, subject, client, family, current, tenant_epoch, methods,
                                             user_agent, address, idle_until, expires_at)
        values ($tenant, $1, $2, $3, $4, $5, $6, $7, $8, $9,
                clock_timestamp() + least($10::bigint, $11::bigint) * interval '1 millisecond',
                clock_timestamp() + $11::bigint * interval '1 millisecond')
        returning id, subject, client, methods, user_agent, address, opened_at, refreshed_at, idle_until, expires_at";
    /// `$2` sessions that may stay.
    pub(super) const END_EXCESS: Statement<(String, i64), SessionId> = "
        update shared_security.session set ended_at = clock_timestamp(), ended_by = 'limit', successor = null
         where tenant_id = $tenant and ended_at is null and id in (
                   select id from shared_security.session
                    where tenant_id = $tenant and subject = $1 and ended_at is null
                    order by refreshed_at desc, id desc offset $2)
        returning id";
    /// `$2` whose it is, `$3` why.
    pub(super) const END: Statement<(SessionId, String, String), SessionId> = "
        update shared_security.session set ended_at = clock_timestamp(), ended_by = $3, successor = null
         where tenant_id = $tenant and id = $1 and subject = $2 and ended_at is null
        returning id";
    pub(super) const NEXT_EPOCH: Statement<(String,), ()> = "
        insert into shared_security.subject (tenant_id, subject, epoch) values ($tenant, $1, 1)
            on conflict (tenant_id, subject) do update set epoch = subject.epoch + 1, touched_at = clock_timestamp()";
    pub(super) const DISABLE: Statement<(String,), ()> = "
        insert into shared_security.subject (tenant_id, subject, epoch, disabled_at)
        values ($tenant, $1, 1, clock_timestamp())
            on conflict (tenant_id, subject) do update
               set epoch = subject.epoch + 1, touched_at = clock_timestamp(), disabled_at = clock_timestamp()";
    pub(super) const ALLOW: Statement<(String,), ()> = "
        update shared_security.subject set disabled_at = null, touched_at = clock_timestamp()
         where tenant_id = $tenant and subject = $1";
    /// `$2` the one that goes on, `$3` why the others do not.
    pub(super) const END_OF_SUBJECT: Statement<(String, Option<SessionId>, String), SessionId> = "
        update shared_security.session set ended_at = clock_timestamp(), ended_by = $3, successor = null
         where tenant_id = $tenant and subject = $1 and ended_at is null and id is distinct from $2
        returning id";
    pub(super) const END_TENANT: Statement<(), ()> = "
        insert into shared_security.tenant_epoch (tenant_id, epoch) values ($tenant, 1)
            on conflict (tenant_id) do update set epoch = tenant_epoch.epoch + 1";
    pub(super) const LIST: Statement<(String,), Session> = "
        select s.id, s.subject, s.client, s.methods, s.user_agent, s.address, s.opened_at, s.refreshed_at, s.idle_until,
               s.expires_at
          from shared_security.session s
          left join shared_security.tenant_epoch t on t.tenant_id = s.tenant_id
         where s.tenant_id = $tenant and s.subject = $1 and s.ended_at is null
           and least(s.idle_until, s.expires_at) > clock_timestamp() and s.tenant_epoch = coalesce(t.epoch, 0)
         order by s.refreshed_at desc, s.id desc limit 1000";
    /// `$2` milliseconds of grace. Whoever waits for the lock sees the family as it was left.
    pub(super) const LOCK_FAMILY: Statement<(Vec<u8>, i64), Locked> = "
        select s.id, s.subject, s.client, s.current, s.previous, s.successor,
               s.ended_at is not null or s.tenant_epoch <> coalesce(t.epoch, 0) as ended,
               least(s.idle_until, s.expires_at) <= clock_timestamp() as expired,
               s.refreshed_at > clock_timestamp() - $2::bigint * interval '1 millisecond' as in_grace
          from shared_security.session s
          left join shared_security.tenant_epoch t on t.tenant_id = s.tenant_id
         where s.tenant_id = $tenant and s.family = $1 for update of s";
    /// `$2` the hash of the new secret, `$3` that secret, sealed, `$4` milliseconds until it is idle.
    /// Sent when the lock is held, so the statement's own time is late enough, and the same wherever it stands.
    pub(super) const ROTATE: Statement<(SessionId, Vec<u8>, Vec<u8>, i64, String, Option<IpAddr>), Session> = "
        update shared_security.session
           set previous = current, current = $2, successor = $3, generation = generation + 1,
               refreshed_at = statement_timestamp(),
               idle_until = least(expires_at, statement_timestamp() + $4::bigint * interval '1 millisecond'),
               user_agent = $5, address = $6
         where tenant_id = $tenant and id = $1
        returning id, subject, client, methods, user_agent, address, opened_at, refreshed_at, idle_until, expires_at";
    pub(super) const SESSION: Statement<(SessionId,), Session> = "
        select id, subject, client, methods, user_agent, address, opened_at, refreshed_at, idle_until, expires_at
          from shared_security.session where tenant_id = $tenant and id = $1";
}
