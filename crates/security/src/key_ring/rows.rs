use shared_db::{Db, statements};
use time::OffsetDateTime;

use crate::{Error, Place, Sealed, Sealer, SigningKey, VerifyingKey};

/// What a key of the ring does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// Published, and will sign.
    Next,
    /// Signs.
    Active,
    /// Verifies what it has signed.
    Retiring,
    /// Is believed no more.
    Revoked,
}

/// A key of the ring, as its keepers see it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyStatus {
    /// By which tokens name it.
    pub id: String,
    /// What it does now.
    pub state: KeyState,
    /// With what it signs, such as `EdDSA`.
    pub algorithm: String,
    /// Since when it signs, or from when on it is to.
    pub signs_from: OffsetDateTime,
    /// Until when it verifies or, revoked, is remembered.
    pub expires_at: Option<OffsetDateTime>,
}

type Listed = (String, String, String, OffsetDateTime, Option<OffsetDateTime>);
type Stored = (String, String, Option<Sealed<SigningKey>>, Option<Sealed<VerifyingKey>>);

statements! {
    const LOOK: Statement<(), (i64, bool, i64)> = "
        select ring.epoch,
               count(key.id) filter (where key.state in ('next', 'active')) <> 2
                   or coalesce(bool_or(key.state = 'next' and key.signs_from <= now()), false)
                   or coalesce(bool_or(key.expires_at <= now()), false),
               2 - count(key.id) filter (where key.state in ('next', 'active'))
          from shared_security.key_ring as ring
          left join shared_security.signing_key as key on true
         group by ring.epoch";
    const EPOCH: Statement<(), i64> = "select epoch from shared_security.key_ring";
    pub(super) const STORED: Statement<(), Stored> = "
        select id, state, private_key, public_key
          from shared_security.signing_key
         where state <> 'revoked' and (expires_at is null or expires_at > now())
         order by created_at, id";
    const LIST: Statement<(), Listed> = "
        select id, state, algorithm, signs_from, expires_at
          from shared_security.signing_key
         order by created_at desc, id";
}

/// What there is to do.
pub(super) struct Look {
    pub(super) epoch: i64,
    pub(super) due: bool,
    /// How many of the two keys, the active one and the next, are not there.
    pub(super) missing: usize,
}

pub(super) async fn look(db: &Db) -> Result<Look, Error> {
    let (epoch, due, missing) = db.system().one(&LOOK, ()).await?;
    Ok(Look { epoch, due, missing: usize::try_from(missing).unwrap_or(0) })
}

/// The keys of one epoch or, if they change meanwhile, of a later one.
pub(super) struct Loaded {
    pub(super) epoch: i64,
    pub(super) signs: Option<SigningKey>,
    pub(super) verify: Vec<VerifyingKey>,
    /// Something is sealed under a master key that seals no longer.
    pub(super) outdated: bool,
}

pub(super) async fn load(db: &Db, sealer: &Sealer) -> Result<Loaded, Error> {
    let epoch = db.system().one(&EPOCH, ()).await?;
    let mut loaded = Loaded { epoch, signs: None, verify: Vec::new(), outdated: false };
    for (id, state, private, public) in db.system().all(&STORED, ()).await? {
        // The statement leaves out those that have none.
        let Some(public) = public else { continue };
        let verifies = sealer.open(&public, place("public_key", &id))?;
        loaded.outdated |= !sealer.is_current(&public);
        // Sealed by us for this row, so that it has this id; but a mistake here would sign tokens that nobody believes.
        if verifies.id() != id {
            return Err(Error::Unsealable);
        }
        loaded.verify.push(verifies);
        if let Some(private) = private.filter(|_| state == "active") {
            loaded.signs = Some(sealer.open(&private, place("private_key", &id))?);
        }
    }
    Ok(loaded)
}

pub(super) async fn list(db: &Db) -> Result<Vec<KeyStatus>, Error> {
    let rows = db.system().all(&LIST, ()).await?;
    Ok(rows.into_iter().map(status).collect())
}

fn status((id, state, algorithm, signs_from, expires_at): Listed) -> KeyStatus {
    let state = match state.as_str() {
        "next" => KeyState::Next,
        "active" => KeyState::Active,
        "retiring" => KeyState::Retiring,
        // The table knows no other.
        _ => KeyState::Revoked,
    };
    KeyStatus { id, state, algorithm, signs_from, expires_at }
}

/// Where a half of a key is sealed.
pub(super) fn place<'a>(column: &'a str, id: &'a str) -> Place<'a> {
    Place { table: "shared_security.signing_key", column, row: id.as_bytes() }
}
