use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use shared_core::Failure;

use super::Subscriber;
use super::meters::METERS;
use crate::Received;

/// An async function that handles events of type `E` on a [`Bus`](super::Bus): `async fn(Received<E>, ..) -> Result<(), Failure>`, with
/// up to three more arguments that come [`FromDelivery`](crate::FromDelivery). It is a [`Consumer`](crate::Consumer) without a
/// transaction.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of `{E}`",
    label = "expected `async fn(Received<{E}>, ..) -> Result<(), Failure>`"
)]
pub trait Handler<E, Args> {
    /// What the function returns.
    type Future: Future;
    /// Calls the function.
    fn call(&self, event: Received<E>, args: Args) -> Self::Future;
}

macro_rules! handler {
    ($($arg:ident)*) => {
        #[allow(non_snake_case, reason = "one name for the type and the value")]
        impl<E, F, Fut, $($arg,)*> Handler<E, ($($arg,)*)> for F
        where
            F: Fn(Received<E>, $($arg,)*) -> Fut,
            Fut: Future,
        {
            type Future = Fut;
            fn call(&self, event: Received<E>, ($($arg,)*): ($($arg,)*)) -> Fut {
                self(event, $($arg,)*)
            }
        }
    };
}
handler!();
handler!(A);
handler!(A B);
handler!(A B C);

/// Handles one event after the other, until no more come.
pub(super) async fn run<E>(
    mut subscriber: Subscriber<E>,
    work: impl AsyncFn(Received<E>) -> Result<(), Failure>,
) {
    while let Some(received) = subscriber.next().await {
        let (name, id) = (subscriber.name(), received.id);
        let done = AssertUnwindSafe(async { work(received).await }).catch_unwind().await;
        let failure = match done {
            Ok(Ok(())) => continue,
            Ok(Err(failure)) => failure.to_string(),
            Err(_) => {
                METERS.panicked(name);
                "it panicked".to_owned()
            }
        };
        METERS.failed(name);
        tracing::warn!(handler = name, event.id = %id.as_uuid(), "an event on the bus was not handled: {failure}");
    }
}
