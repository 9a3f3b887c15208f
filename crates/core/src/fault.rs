//! Named points in the code at which a test can stop or kill the process.
//!
//! A library marks the moments between which a crash must not matter; a test of its guarantees then crashes there. The
//! name is `<crate>.<part>.<moment>`, the moment a participle: what has just been done, or is just being done.
//!
//! ```
//! use shared_core::fault;
//!
//! # fn send() {}
//! fn deliver() {
//!     send();
//!     fault::point("events.relay.sent");
//! }
//! # deliver();
//! ```
//!
//! Without the feature `faults`, which only tests switch on, a point is an empty inline function.

/// A moment at which a test may stop or kill this process.
///
/// It does nothing unless the feature `faults` is on and a hook is installed. It takes no await: in asynchronous code the
/// hook blocks its thread, which is what a process that is held at a point is to do.
#[inline]
pub fn point(name: &'static str) {
    armed::reach(name);
}

#[cfg(feature = "faults")]
pub use armed::install;

#[cfg(feature = "faults")]
mod armed {
    use std::sync::OnceLock;

    type Hook = Box<dyn Fn(&'static str) + Send + Sync>;

    static HOOK: OnceLock<Hook> = OnceLock::new();

    /// Installs what this process does at each [`point`](super::point), and returns whether it was the first to do so: a
    /// hook stays until the process ends.
    ///
    /// The hook runs on the thread that reaches the point, often on several at once.
    ///
    /// ```
    /// use shared_core::fault;
    ///
    /// assert!(fault::install(|name| assert_eq!(name, "events.relay.sent")));
    /// fault::point("events.relay.sent");
    /// assert!(!fault::install(|_| unreachable!("the first one stays")));
    /// ```
    pub fn install(hook: impl Fn(&'static str) + Send + Sync + 'static) -> bool {
        HOOK.set(Box::new(hook)).is_ok()
    }

    pub(super) fn reach(name: &'static str) {
        if let Some(hook) = HOOK.get() {
            hook(name);
        }
    }
}

#[cfg(not(feature = "faults"))]
mod armed {
    #[inline(always)]
    pub(super) fn reach(_: &'static str) {}
}
