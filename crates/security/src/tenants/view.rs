//! What one tenant is like: its roles, who has lost which, and whether it is suspended.

use std::collections::HashMap;
use std::time::Duration;

use shared_core::{AssumedTenant, Context};
use shared_db::Db;
use time::OffsetDateTime;

use crate::roles::statements::{ROLES, STATE, WITHDRAWALS};
use crate::roles::{MAX_ROLES, RoleSet};
use crate::verifier::LEEWAY;
use crate::{Error, Matrix, Principal};

/// 10,000 withdrawals of one day: half a MiB. A tenant with more lets everybody in it fetch a new token instead.
const MAX_WITHDRAWALS: usize = 10_000;
/// Withdrawals are kept a little longer than this; roles in older tokens do not count.
const OLDEST: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug)]
pub(crate) struct TenantView {
    pub(crate) epoch: i64,
    pub(crate) suspended: bool,
    roles: RoleSet,
    withdrawn: Withdrawn,
}

impl TenantView {
    /// Reads it. The epoch comes first: what changes meanwhile makes the view out of date, and never too young.
    pub(crate) async fn read(db: &Db, context: Context, matrix: &'static Matrix) -> Result<Self, Error> {
        let proof = AssumedTenant::continuing(context, "the tenant of a verified token");
        db.tenant(&proof)
            .read_only()
            .tx(async |tx| {
                let (epoch, suspended) = tx.opt(&STATE, ()).await?.unwrap_or((0, false));
                let roles = tx.all(&ROLES, (MAX_ROLES as i64,)).await?;
                let withdrawn = tx.all(&WITHDRAWALS, (MAX_WITHDRAWALS as i64 + 1,)).await?;
                let (roles, withdrawn) = (RoleSet::new(matrix, roles), Withdrawn::new(withdrawn));
                Ok(Self { epoch, suspended, roles, withdrawn })
            })
            .await
    }

    /// The principal with what the roles of its token come to now.
    pub(crate) fn resolve(&self, principal: Principal, now: OffsetDateTime) -> Principal {
        let token = principal.token().clone();
        if token.roles().next().is_none() {
            return principal;
        }
        let issued = token.issued_at();
        principal.holding(|role| {
            let counts = issued + OLDEST > now && !self.withdrawn.includes(token.subject(), role, issued);
            counts.then(|| self.roles.find(role)).flatten()
        })
    }

    pub(crate) fn roles(&self) -> &RoleSet {
        &self.roles
    }
}

/// Roles that no longer count in older tokens.
#[derive(Debug)]
struct Withdrawn {
    /// By subject, which is empty for everybody.
    of: HashMap<String, Vec<(String, OffsetDateTime)>>,
    /// Every role of every subject, up to here.
    all_until: Option<OffsetDateTime>,
}

impl Withdrawn {
    /// The latest comes first.
    fn new(rows: Vec<(String, String, OffsetDateTime)>) -> Self {
        let mut withdrawn = Self { of: HashMap::new(), all_until: None };
        if rows.len() > MAX_WITHDRAWALS {
            withdrawn.all_until = rows.first().map(|(.., at)| *at);
            return withdrawn;
        }
        for (subject, role, at) in rows {
            withdrawn.of.entry(subject).or_default().push((role, at));
        }
        withdrawn
    }

    /// The clocks of the issuer and of the database may differ: who is in doubt fetches a new token.
    fn includes(&self, subject: &str, role: &str, issued: OffsetDateTime) -> bool {
        let before = |at: OffsetDateTime| issued <= at + LEEWAY;
        let of = [subject, ""].into_iter().filter_map(|subject| self.of.get(subject)).flatten();
        let mut of = of.filter(|(withdrawn, _)| withdrawn == role);
        self.all_until.is_some_and(before) || of.any(|(_, at)| before(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-21 12:00:00 UTC);

    #[test]
    fn a_withdrawal_is_about_older_tokens_of_its_subject_and_a_deletion_about_all() {
        let rows = vec![
            ("user:7".to_owned(), "editor".to_owned(), NOW),
            (String::new(), "night".to_owned(), NOW - Duration::from_secs(60)),
        ];
        let withdrawn = Withdrawn::new(rows);
        let later = NOW + LEEWAY + Duration::from_secs(1);
        assert!(
            withdrawn.includes("user:7", "editor", NOW)
                && withdrawn.includes("user:7", "editor", NOW + LEEWAY)
        );
        assert!(!withdrawn.includes("user:7", "editor", later));
        assert!(!withdrawn.includes("user:8", "editor", NOW) && !withdrawn.includes("user:7", "reader", NOW));
        assert!(withdrawn.includes("user:8", "night", NOW - Duration::from_secs(30)));
        assert!(!withdrawn.includes("user:8", "night", NOW));
    }

    /// A flood of withdrawals takes roles from everybody's older tokens, and never gives one back.
    #[test]
    fn more_withdrawals_than_are_kept_are_withdrawals_from_all() {
        let rows = (0..=MAX_WITHDRAWALS).map(|n| (format!("user:{n}"), "editor".to_owned(), NOW)).collect();
        let withdrawn = Withdrawn::new(rows);
        assert!(withdrawn.of.is_empty());
        assert!(withdrawn.includes("somebody else", "reader", NOW));
        assert!(!withdrawn.includes("user:0", "editor", NOW + LEEWAY + Duration::from_secs(1)));
    }
}
