//! Invitations: the one way into a tenant that exists.

use shared_service::core::Actor;
use shared_service::prelude::*;

use crate::account::{Account, INSERT};
use crate::app::App;
use crate::caller::Caller;
use crate::permissions::ManageUsers;
use crate::secret;

const PREFIX: &str = "iv";

/// Who is to be let in, and as what.
#[derive(Debug, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInvitation {
    #[validate(length(min = 1, max = 63))]
    role: String,
}

/// An invitation. The secret is shown this once.
#[derive(Debug, Serialize)]
pub(crate) struct Invitation {
    invitation: String,
    user: Id<Account>,
    role: String,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

statements! {
    const INVITE: Statement<(Id<Account>, Vec<u8>, i64), OffsetDateTime> = "
        insert into auth.invitation (tenant_id, account, secret_hash, expires_at)
        values ($tenant, $1, $2, now() + $3::bigint * interval '1 second') returning expires_at";
    /// Once, and in time.
    const USE: Statement<(Vec<u8>,), Id<Account>> = "
        update auth.invitation set used_at = now()
         where tenant_id = $tenant and secret_hash = $1 and used_at is null and expires_at > now()
        returning account";
}

/// The account that is invited has its id and its role from now on, so that whoever invites can give no more than he has, by
/// the same rule as everywhere.
pub(crate) async fn invite(
    may: May<ManageUsers>,
    State(app): State<App>,
    caller: Caller,
    Valid(Json(new)): Valid<Json<NewInvitation>>,
) -> Result<Created<Invitation>, Problem> {
    let user: Id<Account> = Id::new();
    app.tenants.roles(&may).assign(&user.to_string(), &new.role).await?;
    let (secret, hash) = secret::new(PREFIX, may.context().tenant())?;
    let seconds = i64::try_from(app.settings.tokens.invitations.as_secs()).unwrap_or(i64::MAX);
    let expires_at = app
        .db
        .tenant(&may)
        .tx(async |tx| {
            let expires_at = tx.one(&INVITE, (user, &hash, seconds)).await?;
            tx.audit(caller.did("user.invited").target("user", user).detail("role", new.role.as_str()))?;
            Ok::<_, Problem>(expires_at)
        })
        .await?;
    let invitation = secret.expose().to_owned();
    Ok(Created(Invitation { invitation, user, role: new.role, expires_at }))
}

/// Makes the account that was invited.
pub(crate) async fn accept(
    app: &App,
    caller: &Caller,
    invitation: &Secret,
    email: &str,
    hash: &str,
) -> Result<(Account, TenantId), Problem> {
    let unknown = || {
        app.audit.record(caller.did("invitation.refused").denied());
        Problem::not_found().with_detail("the invitation is not valid: unknown, used, or too old")
    };
    let tenant = secret::tenant_of(PREFIX, invitation).ok_or_else(unknown)?;
    let taken = || Problem::conflict().with_detail("this tenant has an account of this address");
    let user = app
        .db
        .tenant(&tenant)
        .tx(async |tx| {
            let id = tx.opt(&USE, (&secret::hash(invitation),)).await?.ok_or_else(unknown)?;
            let user: Account = tx.opt(&INSERT, (id, email, hash)).await?.ok_or_else(taken)?;
            tx.audit(caller.did("user.joined").actor(&Actor::new(id.to_string())))?;
            Ok::<_, Problem>(user)
        })
        .await?;
    Ok((user, tenant.context().tenant()))
}
