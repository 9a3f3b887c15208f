use std::fmt;
use std::sync::Arc;

use super::queue::{End, Queue};
use crate::Received;

/// The events of a type, one by one. See [`Bus::subscribe`](super::Bus::subscribe). Dropping it ends the subscription.
pub struct Subscriber<E> {
    queue: Arc<Queue<Received<E>>>,
}

impl<E> Subscriber<E> {
    pub(super) fn new(queue: Arc<Queue<Received<E>>>) -> Self {
        Self { queue }
    }

    /// The next event; waits for it. `None` when the bus has stopped or this subscriber was closed, and its buffer is empty. Dropping the
    /// future loses nothing.
    pub async fn next(&mut self) -> Option<Received<E>> {
        self.queue.pop().await
    }

    /// How many events were dropped since the buffer was full.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Whether it was closed since the buffer was full.
    pub fn is_too_slow(&self) -> bool {
        self.queue.ended() == Some(End::TooSlow)
    }

    pub(super) fn name(&self) -> &'static str {
        self.queue.name
    }
}

/// Publishers that wait for room go on.
impl<E> Drop for Subscriber<E> {
    fn drop(&mut self) {
        self.queue.end(End::Gone);
    }
}

impl<E> fmt::Debug for Subscriber<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("name", &self.queue.name)
            .field("ended", &self.queue.ended())
            .finish_non_exhaustive()
    }
}
