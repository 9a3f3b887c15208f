//! Events within the process: typed, bounded, and without a database.
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! # use shared_core::{AssumedTenant, Failure, TenantId};
//! # use shared_events::{Event, Received};
//! use shared_events::bus::{Buffer, Bus};
//! # #[derive(Clone, Serialize, Deserialize, Event)]
//! # #[event(name = "note.created", version = 1, key = "note")]
//! # struct NoteCreated { note: String }
//!
//! async fn announce(created: Received<NoteCreated>) -> Result<(), Failure> {
//!     println!("{} is there", created.note);
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Failure> {
//! # let tenant = AssumedTenant::new(TenantId::new(), "an example has no token");
//! let bus = Bus::new();
//! bus.handle("announce", Buffer::wait(100), (), announce)?;
//! bus.publish(&tenant, NoteCreated { note: "a".to_owned() }).await?;
//! bus.stop().await;
//! # Ok(()) }
//! ```
//!
//! What is published here is gone with the process, and comes to each subscriber once at most: nothing is tried again. What must not
//! get lost is published in a transaction, with [`Publish`](crate::Publish), and comes through a [`Relay`](crate::Relay). A consumer
//! of the log runs here unchanged: [`Bus::consume`].
//!
//! # Order
//! A subscriber gets the events of one publisher, who awaits each [`publish`](Bus::publish), in their order.
//!
//! # Slow subscribers
//! Each subscriber has a [`Buffer`] of its own, which says what happens when it is full: the publisher waits, the oldest event is
//! dropped and counted, or the subscriber is closed.
//!
//! # Metrics
//! | counter, by `messaging.consumer.group.name` | counts |
//! |---|---|
//! | `events.bus.delivered` | events put into a subscriber's buffer |
//! | `events.bus.dropped` | events dropped since the buffer was full |
//! | `events.bus.closed` | subscribers closed since the buffer was full |
//! | `events.bus.failed` | events that a handler did not succeed with, panics among them |
//! | `events.bus.panics` | panics of handlers |

mod buffer;
mod handler;
mod meters;
mod queue;
mod subscriber;

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::future::join_all;
use shared_core::{Failure, InTenant, broken_rules, trace};
use shared_db::Db;
use time::OffsetDateTime;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::{Consumer, Error, Event, FromDelivery, Received};
pub use buffer::{Buffer, WhenFull};
pub use handler::Handler;
use queue::{End, Queue};
pub use subscriber::Subscriber;

/// A bus. Clones are the same bus.
#[derive(Clone, Default)]
pub struct Bus {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// By the type of the event, a [`Topic`] of it.
    topics: HashMap<TypeId, Box<dyn AnyTopic>>,
    handlers: Vec<AbortOnDropHandle<()>>,
    has_stopped: bool,
}

/// The subscribers of a type of event that are still there.
type Topic<E> = Vec<Weak<Queue<E>>>;

/// A topic of whatever type.
trait AnyTopic: Any + Send {
    /// Ends all subscribers: they get what is in their buffers, and then the end.
    fn stop(&self);
}

impl<E: Send + 'static> AnyTopic for Topic<E> {
    fn stop(&self) {
        self.iter().filter_map(Weak::upgrade).for_each(|queue| queue.end(End::Stopped));
    }
}

impl Bus {
    /// A bus without subscribers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Brings the event to all that are subscribed now, in the name of the proof's tenant and actor. It returns when each has it in its
    /// buffer, has dropped another for it, or was closed; where a buffer [waits](Buffer::wait), it waits for room. A handler that
    /// publishes into its own buffer may so wait for itself.
    ///
    /// Dropping the future leaves the event with those that have it.
    ///
    /// # Errors
    /// [`Error::Refused`] if the event breaks its rules, [`Error::Stopped`] once the bus has stopped.
    pub async fn publish<E: Event + Clone>(&self, proof: &impl InTenant, event: E) -> Result<(), Error> {
        event.check().map_err(|errors| Error::refused(E::NAME, broken_rules(&errors)))?;
        let context = proof.context();
        let traceparent = trace::current().or(context.traceparent());
        let context = context.clone().with_traceparent(traceparent);
        let received = Received::new(event, Uuid::now_v7(), OffsetDateTime::now_utc(), context);
        for queue in self.subscribers::<E>()? {
            queue.push(received.clone()).await;
        }
        Ok(())
    }

    /// The events of a type, one by one, for whoever asks for them. The name stands in metrics.
    ///
    /// # Errors
    /// [`Error::Stopped`] once the bus has stopped.
    pub fn subscribe<E: Event>(&self, name: &'static str, buffer: Buffer) -> Result<Subscriber<E>, Error> {
        let queue = Arc::new(Queue::new(name, buffer));
        let mut inner = self.running()?;
        let topic =
            inner.topics.entry(TypeId::of::<E>()).or_insert_with(|| Box::new(Topic::<Received<E>>::new()));
        if let Some(topic) = (topic.as_mut() as &mut dyn Any).downcast_mut::<Topic<Received<E>>>() {
            topic.retain(|queue| queue.strong_count() > 0);
            topic.push(Arc::downgrade(&queue));
        }
        Ok(Subscriber::new(queue))
    }

    /// Runs an async function with each event of its type, one after the other, in a task that the bus owns:
    /// `async fn(Received<E>, ..) -> Result<(), Failure>`, with up to three more arguments that come
    /// [`FromDelivery`]. What fails or panics is logged and counted, and the next one is handled.
    ///
    /// # Errors
    /// [`Error::Stopped`] once the bus has stopped.
    pub fn handle<E, Args, S, H>(
        &self,
        name: &'static str,
        buffer: Buffer,
        state: S,
        handler: H,
    ) -> Result<(), Error>
    where
        E: Event,
        Args: FromDelivery<S>,
        S: Send + Sync + 'static,
        H: Handler<E, Args> + Send + Sync + 'static,
        H::Future: Future<Output = Result<(), Failure>> + Send,
    {
        let subscriber = self.subscribe::<E>(name, buffer)?;
        self.own(handler::run(subscriber, async move |received: Received<E>| {
            let args = Args::from_delivery(received.context(), &state);
            handler.call(received, args).await
        }))
    }

    /// Runs a consumer of the log with each event of its type: each in a transaction of its tenant, which commits if it succeeds. There
    /// is no mark that it happened, and no further attempt.
    ///
    /// # Errors
    /// [`Error::Stopped`] once the bus has stopped.
    pub fn consume<E, Args, S, C>(
        &self,
        name: &'static str,
        buffer: Buffer,
        db: &Db,
        state: S,
        consumer: C,
    ) -> Result<(), Error>
    where
        E: Event,
        Args: FromDelivery<S>,
        S: Send + Sync + 'static,
        C: for<'a> Consumer<'a, E, Args> + Send + Sync + 'static,
        for<'a> <C as Consumer<'a, E, Args>>::Future: Future<Output = Result<(), Failure>> + Send,
    {
        let (subscriber, db) = (self.subscribe::<E>(name, buffer)?, db.clone());
        self.own(handler::run(subscriber, async move |received: Received<E>| {
            let mut tx = db.tenant(&received).begin().await?;
            let args = Args::from_delivery(received.context(), &state);
            consumer.call(&mut tx, received, args).await?;
            Ok(tx.commit().await?)
        }))
    }

    /// Takes no more events, lets handlers finish with what is in their buffers, and returns when none runs any more. If the future is
    /// dropped, handlers end where they wait.
    pub async fn stop(&self) {
        let handlers = {
            let mut inner = self.lock();
            inner.has_stopped = true;
            inner.topics.values().for_each(|topic| topic.stop());
            inner.topics.clear();
            std::mem::take(&mut inner.handlers)
        };
        join_all(handlers).await;
    }

    fn subscribers<E: Event>(&self) -> Result<Vec<Arc<Queue<Received<E>>>>, Error> {
        let inner = self.running()?;
        let topic = inner.topics.get(&TypeId::of::<E>()).map(|topic| topic.as_ref() as &dyn Any);
        let topic = topic.and_then(|topic| topic.downcast_ref::<Topic<Received<E>>>());
        Ok(topic.into_iter().flatten().filter_map(Weak::upgrade).collect())
    }

    fn own(&self, handler: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let mut inner = self.running()?;
        inner.handlers.retain(|handler| !handler.is_finished());
        inner.handlers.push(AbortOnDropHandle::new(tokio::spawn(handler)));
        Ok(())
    }

    fn running(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        let inner = self.lock();
        if inner.has_stopped { Err(Error::Stopped) } else { Ok(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct("Bus")
            .field("topics", &inner.topics.len())
            .field("has_stopped", &inner.has_stopped)
            .finish_non_exhaustive()
    }
}
