//! What waits for one subscriber.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::meters::METERS;
use super::{Buffer, WhenFull};

/// Why nothing more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The bus has stopped.
    Stopped,
    /// The buffer was full.
    TooSlow,
    /// The subscriber has gone.
    Gone,
}

pub(super) struct Queue<T> {
    pub(super) name: &'static str,
    buffer: Buffer,
    state: Mutex<State<T>>,
    /// Of publishers that wait, in the order in which they came. It has as many permits as there are free places, if they do wait.
    room: Semaphore,
    ready: Notify,
}

struct State<T> {
    items: VecDeque<T>,
    end: Option<End>,
    dropped: u64,
}

impl<T> Queue<T> {
    pub(super) fn new(name: &'static str, buffer: Buffer) -> Self {
        let state = State { items: VecDeque::new(), end: None, dropped: 0 };
        Self {
            name,
            buffer,
            state: Mutex::new(state),
            room: Semaphore::new(buffer.capacity.min(Semaphore::MAX_PERMITS)),
            ready: Notify::new(),
        }
    }

    /// Takes the item in, as the buffer says.
    pub(super) async fn push(&self, item: T) {
        if self.buffer.when_full == WhenFull::Wait {
            // The end closes it.
            let Ok(place) = self.room.acquire().await else { return };
            place.forget();
        }
        let mut state = self.state();
        if state.end.is_some() {
            return;
        }
        if state.items.len() >= self.buffer.capacity {
            match self.buffer.when_full {
                WhenFull::Wait => {}
                WhenFull::DropOldest => {
                    state.items.pop_front();
                    state.dropped += 1;
                    METERS.dropped(self.name);
                }
                WhenFull::Close => {
                    drop(state);
                    METERS.closed(self.name);
                    tracing::warn!(subscriber = self.name, "a subscriber is too slow, and closed");
                    return self.end(End::TooSlow);
                }
            }
        }
        state.items.push_back(item);
        METERS.delivered(self.name);
        drop(state);
        self.ready.notify_one();
    }

    /// The next one; after the end, those that are left, and then none. Dropping the future loses nothing.
    pub(super) async fn pop(&self) -> Option<T> {
        loop {
            {
                let mut state = self.state();
                if let Some(item) = state.items.pop_front() {
                    self.room.add_permits(usize::from(self.buffer.when_full == WhenFull::Wait));
                    return Some(item);
                }
                if state.end.is_some() {
                    return None;
                }
            }
            // There is one reader: what came since the look has left a permit.
            self.ready.notified().await;
        }
    }

    /// The first reason stays.
    pub(super) fn end(&self, why: End) {
        self.state().end.get_or_insert(why);
        self.room.close();
        self.ready.notify_one();
    }

    pub(super) fn ended(&self) -> Option<End> {
        self.state().end
    }

    pub(super) fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
