//! What every side does, and in what measure.

use std::sync::LazyLock;

use crate::streams::Streams;

/// Bytes of text in an event; its payload is somewhat more.
pub(crate) const PAYLOAD: usize = 1_000;
pub(crate) const KEYS: u64 = 1_000;
pub(crate) const TENANTS: u64 = 8;
/// Events that a transaction writes where a backlog is made.
pub(crate) const TOGETHER: usize = 100;
/// Transactions at once, where a backlog is made.
pub(crate) const FILLERS: u64 = 8;

/// An outbox with a relay to Redis.
pub(crate) trait Outbox: Send + Sync + 'static {
    type Running;
    const NAME: &'static str;

    fn streams(&self) -> &Streams;
    /// The database's URL.
    fn database(&self) -> &str;
    /// Throws all events away.
    async fn clear(&self);
    /// Makes a backlog.
    async fn fill(&self, events: u64);
    /// A business transaction that writes a row and publishes this event.
    fn publish(&self, n: u64) -> impl Future<Output = ()> + Send;
    /// Starts relaying.
    async fn start(&self) -> Self::Running;
    async fn stop(&self, running: Self::Running);
}

/// So many bytes that no compression makes nothing of; made once, since their making is nobody's work here.
pub(crate) fn text(bytes: usize) -> String {
    static LETTERS: LazyLock<String> = LazyLock::new(letters);
    LETTERS[..bytes].to_owned()
}

fn letters() -> String {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let letters = std::iter::from_fn(|| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        Some(char::from(b'a' + (random % 26) as u8))
    });
    letters.take(PAYLOAD).collect()
}
