use std::sync::Arc;

use tokio::sync::watch;

use super::{KeySet, Keys};
use crate::VerifyingKey;

/// The end from which [`Keys`] come: their source holds it. When it is dropped, no key is believed any more, since nobody
/// would notice that one was withdrawn.
pub(crate) struct Supply {
    keys: Keys,
    answers: watch::Sender<bool>,
}

impl Supply {
    pub(super) fn new(keys: Keys, answers: watch::Sender<bool>) -> Self {
        Self { keys, answers }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Puts these in place of the others. The epoch grows only if they differ.
    pub(crate) fn publish(&self, keys: Vec<VerifyingKey>) {
        let current = self.keys.current();
        let same = current.keys.len() == keys.len()
            && keys.iter().all(|key| current.get(key.id()).is_some_and(|known| known.is(key)));
        if !same {
            let epoch = current.epoch + 1;
            self.keys.0.current.store(Arc::new(KeySet { keys, epoch }));
        }
    }

    /// Until somebody asks for a key that is not there.
    pub(crate) async fn wanted(&self) {
        match &self.keys.0.lookup {
            Some(lookup) => lookup.wanted().await,
            None => std::future::pending().await,
        }
    }

    /// Tells who has asked that the source was read, or could not be.
    pub(crate) fn answer(&self, heard: bool) {
        if let Some(lookup) = &self.keys.0.lookup {
            lookup.answer(&self.answers, heard);
        }
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.publish(Vec::new());
    }
}
