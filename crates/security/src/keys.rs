use std::fmt;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::VerifyingKey;

/// The public keys that are believed at one moment.
#[derive(Debug)]
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
pub struct Keys(Arc<ArcSwap<KeySet>>);

impl Keys {
    /// These, for good.
    pub fn fixed(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(KeySet { keys: keys.into_iter().collect(), epoch: 0 })))
    }

    /// Those of now. Hold it no longer than a verification takes.
    pub fn current(&self) -> Guard<Arc<KeySet>> {
        self.0.load()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.current().iter().map(VerifyingKey::id)).finish()
    }
}
