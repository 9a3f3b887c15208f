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
        // In one step: no two sets of keys have one epoch, whoever publishes at the same moment.
        self.keys.0.current.rcu(|current| {
            let same = current.keys.len() == keys.len()
                && keys.iter().all(|key| current.get(key.id()).is_some_and(|known| known.is(key)));
            if same {
                return Arc::clone(current);
            }
            Arc::new(KeySet { keys: keys.clone(), epoch: current.epoch + 1 })
        });
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Algorithm, SigningKey};

    /// A token is remembered with the epoch of its keys: two sets of one epoch would make one believe what the other does not.
    #[test]
    fn no_two_sets_of_keys_have_one_epoch() {
        const EACH: u64 = 100_000;
        let (keys, supply) = Keys::supplied(Duration::from_secs(1));
        let key = || SigningKey::generate(Algorithm::EdDsa).unwrap().verifying_key().clone();
        let together = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for set in [[key(), key()], [key(), key()]] {
                let (supply, together) = (&supply, &together);
                // One after the other they differ, whatever comes in between.
                scope.spawn(move || {
                    together.wait();
                    (0..EACH).for_each(|n| supply.publish(vec![set[n as usize % 2].clone()]));
                });
            }
        });
        assert_eq!(keys.current().epoch(), 2 * EACH);
    }
}
