//! What may handle a job: an async function, and what it may ask for.

use shared_core::Failure;

use crate::{JobContext, Outcome};

/// An async function that takes a job, and after it up to five arguments that it asks for.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use shared_core::Failure;
/// use shared_queues::{Job, JobContext, Jobs};
/// use validator::Validate;
///
/// #[derive(Serialize, Deserialize, Validate, Job)]
/// #[job(name = "notes:index")]
/// struct IndexNote { note: u64 }
///
/// async fn index_note(job: IndexNote, cx: JobContext) -> Result<(), Failure> {
///     tracing::info!(job.note, attempt = cx.attempt(), "indexing");
///     Ok(())
/// }
/// let jobs: Jobs<()> = Jobs::new().handle(index_note);
/// ```
///
/// Each mistake is reported by itself, such as "a job handler can't ask for `String`":
/// ```compile_fail,E0277
/// # use serde::{Deserialize, Serialize};
/// # use shared_core::Failure;
/// # use shared_queues::{Job, Jobs};
/// # use validator::Validate;
/// # #[derive(Serialize, Deserialize, Validate, Job)]
/// # #[job(name = "notes:index")]
/// # struct IndexNote { note: u64 }
/// async fn index_note(job: IndexNote, text: String) -> Result<(), Failure> {
///     Ok(())
/// }
/// let jobs: Jobs<()> = Jobs::new().handle(index_note);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job handler",
    label = "expected `async fn(J, ...) -> Result<(), Failure>` or `-> Result<Outcome, Failure>`"
)]
pub trait Handler<J, Args>: Clone + Send + Sync + 'static {
    /// What the function returns when it is called.
    type Future: Future;

    /// Calls it.
    fn call(&self, job: J, args: Args) -> Self::Future;
}

/// What a handler may ask for besides the job: [`JobContext`], and with the feature `axum` the `State<T>` of the
/// service's state.
///
/// ```
/// # #[cfg(feature = "axum")] {
/// # use serde::{Deserialize, Serialize};
/// # use shared_queues::{Job, Jobs};
/// # use validator::Validate;
/// # #[derive(Serialize, Deserialize, Validate, Job)]
/// # #[job(name = "notes:index")]
/// # struct IndexNote { note: u64 }
/// use axum::extract::{FromRef, State};
/// use shared_core::Failure;
///
/// #[derive(Clone)]
/// struct Index;
/// #[derive(Clone)]
/// struct App { index: Index }
/// impl FromRef<App> for Index {
///     fn from_ref(app: &App) -> Index { app.index.clone() }
/// }
///
/// async fn index_note(job: IndexNote, State(index): State<Index>) -> Result<(), Failure> {
///     Ok(())
/// }
/// let jobs: Jobs<App> = Jobs::new().handle(index_note);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "a job handler can't ask for `{Self}`",
    note = "it can ask for `JobContext` and `State<T>` of the service's state"
)]
pub trait FromJob<S>: Sized + Send {
    /// Takes it from the job's context or the state.
    fn from_job(cx: &JobContext, state: &S) -> Self;
}

impl<S> FromJob<S> for JobContext {
    fn from_job(cx: &JobContext, _: &S) -> Self {
        cx.clone()
    }
}

#[cfg(feature = "axum")]
impl<S, T: axum::extract::FromRef<S> + Send> FromJob<S> for axum::extract::State<T> {
    fn from_job(_: &JobContext, state: &S) -> Self {
        Self(T::from_ref(state))
    }
}

/// What a handler returns: `Result<(), E>`, or `Result<Outcome, E>` to say more than that it is done.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a job handler returns",
    note = "it returns `Result<(), Failure>` or `Result<Outcome, Failure>`"
)]
pub trait IntoOutcome {
    /// How the attempt ended.
    fn into_outcome(self) -> Result<Outcome, Failure>;
}

impl<E: Into<Failure>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Result<Outcome, Failure> {
        self.map(|()| Outcome::done()).map_err(Into::into)
    }
}

impl<E: Into<Failure>> IntoOutcome for Result<Outcome, E> {
    fn into_outcome(self) -> Result<Outcome, Failure> {
        self.map_err(Into::into)
    }
}

/// Functions of as many arguments as there are names. The marker is the tuple of arguments.
macro_rules! handler {
    ($($argument:ident)*) => {
        impl<J, F, Fut, $($argument,)*> Handler<J, ($($argument,)*)> for F
        where
            F: Fn(J, $($argument,)*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future,
        {
            type Future = Fut;

            #[allow(non_snake_case, reason = "the types' names serve as the arguments'")]
            fn call(&self, job: J, ($($argument,)*): ($($argument,)*)) -> Fut {
                self(job, $($argument,)*)
            }
        }

        impl<S, $($argument: FromJob<S>,)*> FromJob<S> for ($($argument,)*) {
            #[allow(clippy::unused_unit, unused_variables, reason = "the empty tuple asks for nothing")]
            fn from_job(cx: &JobContext, state: &S) -> Self {
                ($($argument::from_job(cx, state),)*)
            }
        }
    };
}
handler!();
handler!(A);
handler!(A B);
handler!(A B C);
handler!(A B C D);
handler!(A B C D E);
