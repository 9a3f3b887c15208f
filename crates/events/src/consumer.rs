use shared_core::Context;
use shared_db::TenantTx;

use crate::Received;

/// An async function that consumes events of type `E`: `async fn(&mut TenantTx, Received<E>, ..) -> Result<(), Failure>`, with up to
/// three more arguments that come [`FromDelivery`].
///
/// ```no_run
/// # use serde::{Deserialize, Serialize};
/// # use shared_core::Failure;
/// # use shared_db::TenantTx;
/// # use shared_events::{Event, Events, Received};
/// # #[derive(Serialize, Deserialize, Event)]
/// # #[event(name = "note.created", version = 1, key = "note")]
/// # struct NoteCreated { note: String }
/// async fn digest(_tx: &mut TenantTx, _created: Received<NoteCreated>) -> Result<(), Failure> { Ok(()) }
/// let events: Events<()> = Events::new().handle("digest", digest);
/// ```
///
/// A type that is no event, or an argument that no delivery has, does not compile:
/// ```compile_fail
/// # use shared_core::Failure;
/// # use shared_db::TenantTx;
/// # use shared_events::{Events, Received};
/// async fn digest(_tx: &mut TenantTx, _created: Received<String>) -> Result<(), Failure> { Ok(()) }
/// let events: Events<()> = Events::new().handle("digest", digest);
/// ```
/// ```compile_fail
/// # use serde::{Deserialize, Serialize};
/// # use shared_core::Failure;
/// # use shared_db::TenantTx;
/// # use shared_events::{Event, Events, Received};
/// # #[derive(Serialize, Deserialize, Event)]
/// # #[event(name = "note.created", version = 1, key = "note")]
/// # struct NoteCreated { note: String }
/// async fn digest(_tx: &mut TenantTx, _created: Received<NoteCreated>, _x: String) -> Result<(), Failure> { Ok(()) }
/// let events: Events<()> = Events::new().handle("digest", digest);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a consumer of `{E}`",
    label = "expected `async fn(&mut TenantTx, Received<{E}>, ..) -> Result<(), Failure>`"
)]
pub trait Consumer<'a, E, Args> {
    /// What the function returns.
    type Future: Future + 'a;
    /// Calls the function.
    fn call(&self, tx: &'a mut TenantTx, event: Received<E>, args: Args) -> Self::Future;
}

/// What a consumer can ask for beside the transaction and the event: with the feature `axum`, `State<T>` of the program's state.
#[diagnostic::on_unimplemented(
    message = "a consumer can't ask for `{Self}`",
    note = "it can ask for `State<T>` of the program's state, with the feature `axum`"
)]
pub trait FromDelivery<S>: Sized + Send {
    /// Takes it from the event's context, or from the state.
    fn from_delivery(context: &Context, state: &S) -> Self;
}

#[cfg(feature = "axum")]
impl<S, T: axum::extract::FromRef<S> + Send> FromDelivery<S> for axum::extract::State<T> {
    fn from_delivery(_: &Context, state: &S) -> Self {
        Self(T::from_ref(state))
    }
}

macro_rules! consumer {
    ($($arg:ident)*) => {
        #[allow(non_snake_case, reason = "one name for the type and the value")]
        impl<'a, E, F, Fut, $($arg,)*> Consumer<'a, E, ($($arg,)*)> for F
        where
            F: Fn(&'a mut TenantTx, Received<E>, $($arg,)*) -> Fut,
            Fut: Future + 'a,
        {
            type Future = Fut;
            fn call(&self, tx: &'a mut TenantTx, event: Received<E>, ($($arg,)*): ($($arg,)*)) -> Fut {
                self(tx, event, $($arg,)*)
            }
        }

        impl<S, $($arg: FromDelivery<S>,)*> FromDelivery<S> for ($($arg,)*) {
            #[allow(unused_variables, clippy::unused_unit, reason = "where there is no argument")]
            fn from_delivery(context: &Context, state: &S) -> Self {
                ($($arg::from_delivery(context, state),)*)
            }
        }
    };
}
consumer!();
consumer!(A);
consumer!(A B);
consumer!(A B C);
