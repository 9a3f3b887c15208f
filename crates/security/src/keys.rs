//! Keys that may change while they are in use.

use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};

use crate::{Error, SigningKey, VerifyingKey};

#[cfg_attr(
    not(any(feature = "jwks", feature = "postgres")),
    allow(dead_code, reason = "fixed keys have no source")
)]
mod lookup;
#[cfg(any(feature = "jwks", feature = "postgres"))]
mod supply;

use lookup::Lookup;
#[cfg(any(feature = "jwks", feature = "postgres"))]
pub(crate) use supply::Supply;

/// The keys that are believed at one moment.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    epoch: u64,
}

impl KeySet {
    /// The key with this id.
    pub fn get(&self, id: &str) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// The keys, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.keys.iter()
    }

    /// Grows with every change of the keys: what was decided under another epoch has to be decided again.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// Where a verifier finds the keys that are believed now. Clones see the same keys, also when those change.
#[derive(Clone)]
pub struct Keys(Arc<Shared>);

struct Shared {
    current: ArcSwap<KeySet>,
    lookup: Option<Lookup>,
}

impl Keys {
    /// These, for good.
    pub fn fixed(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        let keys = KeySet { keys: keys.into_iter().collect(), epoch: 0 };
        Self(Arc::new(Shared { current: ArcSwap::from_pointee(keys), lookup: None }))
    }

    /// None yet, and the other end, from which they come. Their source is asked for an unknown key once in `cool_down`.
    #[cfg(any(feature = "jwks", feature = "postgres"))]
    pub(crate) fn supplied(cool_down: std::time::Duration) -> (Self, Supply) {
        let (lookup, answers) = Lookup::new(cool_down);
        let shared = Shared { current: ArcSwap::default(), lookup: Some(lookup) };
        let keys = Self(Arc::new(shared));
        (keys.clone(), Supply::new(keys, answers))
    }

    /// Those of now. Hold it no longer than a verification takes.
    pub fn current(&self) -> Guard<Arc<KeySet>> {
        self.0.current.load()
    }

    /// Asks the source for a key that is not among those of now, and says whether it is afterwards. Many that ask at once
    /// share one question, and the source is not asked again before its cool-down is over, nor for a key that it has said
    /// not to have. Fixed keys have nobody to ask. Dropping the future leaves the question to the others.
    #[allow(dead_code, reason = "the layer that verifies tokens asks")]
    pub(crate) async fn look_for(&self, id: &str) -> bool {
        if self.current().get(id).is_some() {
            return true;
        }
        let Some(lookup) = &self.0.lookup else { return false };
        if !lookup.ask(id).await {
            return false;
        }
        let found = self.current().get(id).is_some();
        if !found {
            lookup.remember_absent(id);
        }
        found
    }

    /// How many absent keys are remembered.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.0.lookup.as_ref().map_or(0, Lookup::remembered)
    }
}

impl From<VerifyingKey> for Keys {
    fn from(key: VerifyingKey) -> Self {
        Self::fixed([key])
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.current().iter().map(VerifyingKey::id)).finish()
    }
}

/// Where an issuer finds the key that signs now. Clones see the same key, also when it changes.
#[derive(Clone, Default)]
pub struct SigningKeys(Arc<ArcSwapOption<SigningKey>>);

impl SigningKeys {
    /// The key of now.
    ///
    /// # Errors
    /// [`Error::NoSigningKey`] while there is none.
    pub fn current(&self) -> Result<SigningKey, Error> {
        self.0.load().as_deref().cloned().ok_or(Error::NoSigningKey)
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn set(&self, key: Option<SigningKey>) {
        self.0.store(key.map(Arc::new));
    }
}

impl From<SigningKey> for SigningKeys {
    /// This one, for good.
    fn from(key: SigningKey) -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee(key)))
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKeys({})", self.0.load().as_deref().map_or("none", SigningKey::id))
    }
}
