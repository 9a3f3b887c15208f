//! What a proxy has seen.

/// What a [`Proxy`](crate::Proxy) has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections that reached the server.
    pub accepted: u64,
    /// Connections that were reset before they reached the server: by
    /// [`refuse`](crate::Proxy::refuse), above the limit, or because the server did not accept them.
    pub refused: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Connections that a fault has closed.
    pub cut: u64,
    /// Connections that ended with a reset, by a fault or by one of their sides.
    pub resets: u64,
    /// Directions of connections that a fault has closed.
    pub half_closes: u64,
    /// TLS handshakes that succeeded.
    pub handshakes: u64,
    /// TLS handshakes that failed, such as those of a client that does not trust the certificate.
    pub failed_handshakes: u64,
    /// How often a client has sent something after it was answered, its first word included.
    pub round_trips: u64,
    /// What clients have sent.
    pub to_server: Traffic,
    /// What the server has answered.
    pub to_client: Traffic,
}

/// What has passed in one direction. Inside of TLS it is the plain text that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes that have come from the sender. Those above [`bytes`](Traffic::bytes) are under way, held back, or lost.
    pub read: u64,
    /// Bytes that were passed on to the receiver.
    pub bytes: u64,
    /// The pieces in which they were passed on.
    pub chunks: u64,
}
