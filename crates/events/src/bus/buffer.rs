/// How many events wait for a subscriber, and what happens when it has no room for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    pub(super) capacity: usize,
    pub(super) when_full: WhenFull,
}

/// What happens when a subscriber is slower than its publishers, and its buffer full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The publisher waits for room: nothing is lost, and all publishers are as slow as the slowest subscriber.
    Wait,
    /// The oldest event in the buffer is dropped and counted: the subscriber sees the latest ones.
    DropOldest,
    /// The subscriber is closed: it gets what is in its buffer, and then the end. So it knows that it has missed something.
    Close,
}

impl Buffer {
    /// So many events, at least 1; then publishers [wait](WhenFull::Wait).
    pub fn wait(capacity: usize) -> Self {
        Self::new(capacity, WhenFull::Wait)
    }

    /// So many events, at least 1; then the [oldest is dropped](WhenFull::DropOldest).
    pub fn drop_oldest(capacity: usize) -> Self {
        Self::new(capacity, WhenFull::DropOldest)
    }

    /// So many events, at least 1; then the [subscriber is closed](WhenFull::Close).
    pub fn close(capacity: usize) -> Self {
        Self::new(capacity, WhenFull::Close)
    }

    fn new(capacity: usize, when_full: WhenFull) -> Self {
        Self { capacity: capacity.max(1), when_full }
    }
}
