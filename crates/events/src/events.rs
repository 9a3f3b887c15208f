use std::fmt;
use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use shared_core::Failure;
use shared_db::TenantTx;

use crate::{Consumer, Envelope, Error, Event, FromDelivery, Received};

/// The consumers of a program, over its state `S`.
pub struct Events<S> {
    consumers: Vec<Unbound<S>>,
}

struct Unbound<S> {
    name: &'static str,
    event: &'static str,
    run: RunWith<S>,
}

type RunWith<S> =
    Box<dyn for<'a> Fn(&'a mut TenantTx, &Envelope, &S) -> BoxFuture<'a, Result<(), Failure>> + Send + Sync>;

impl<S: 'static> Events<S> {
    /// No consumer yet.
    pub fn new() -> Self {
        Self { consumers: Vec::new() }
    }

    /// Lets `consumer` consume every event of its type. What it writes through its transaction commits together with the mark
    /// that it was done: however often the event is delivered, the effect happens once.
    ///
    /// The name identifies the mark in the database: keep it when you rename the function. One name can stand for consumers
    /// of several types of event, which then stay in order with each other. A consumer that is added later gets
    /// the events that its subscription has not passed yet.
    pub fn handle<E, Args, C>(mut self, name: &'static str, consumer: C) -> Self
    where
        C: for<'a> Consumer<'a, E, Args> + Send + Sync + 'static,
        E: Event,
        Args: FromDelivery<S>,
        for<'a> <C as Consumer<'a, E, Args>>::Future: Future<Output = Result<(), Failure>> + Send,
    {
        self.consumers.push(Unbound {
            name,
            event: E::NAME,
            run: Box::new(move |tx, envelope, state| match envelope.read::<E>() {
                Ok(received) => {
                    let args = Args::from_delivery(Received::context(&received), state);
                    Box::pin(consumer.call(tx, received, args))
                }
                Err(failure) => Box::pin(ready(Err(failure))),
            }),
        });
        self
    }
}

impl<S: Send + Sync + 'static> Events<S> {
    /// The consumers, each with the state.
    pub(crate) fn bind(self, state: S) -> Result<Vec<Bound>, Error> {
        let state = Arc::new(state);
        let mut bound: Vec<Bound> = Vec::with_capacity(self.consumers.len());
        for Unbound { name, event, run } in self.consumers {
            if !(1..=63).contains(&name.chars().count()) {
                return Err(Error::Config(format!(
                    "the name of consumer `{name}` has not 1 to 63 characters"
                )));
            }
            if bound.iter().any(|other| (other.name, other.event) == (name, event)) {
                return Err(Error::Config(format!(
                    "two consumers of `{event}` are named `{name}`; rename one"
                )));
            }
            let state = Arc::clone(&state);
            bound.push(Bound { name, event, run: Arc::new(move |tx, envelope| run(tx, envelope, &state)) });
        }
        Ok(bound)
    }
}

impl<S: 'static> Default for Events<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Events<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.consumers.iter().map(|consumer| (consumer.name, consumer.event));
        f.debug_list().entries(names).finish()
    }
}

/// A consumer of one type of event, ready to run.
#[derive(Clone)]
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) event: &'static str,
    pub(crate) run: Run,
}

type Run =
    Arc<dyn for<'a> Fn(&'a mut TenantTx, &Envelope) -> BoxFuture<'a, Result<(), Failure>> + Send + Sync>;
