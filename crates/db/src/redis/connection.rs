use std::fmt;
use std::time::{Duration, Instant};

use bb8_redis::bb8::PooledConnection;
use redis::{Cmd, FromRedisValue, Pipeline};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Redis;
use super::calls::read;
use super::error::{because, leads_elsewhere};
use super::link::Link;
use super::pool::Slots;
use super::request::{Effect, Request};
use super::script::Call;
use crate::error::Error;

/// A connection that nobody else uses, from [`Redis::get`]: for commands that wait, and for transactions that watch keys.
///
/// When it is dropped, it goes back to the pool, but only if every request on it was answered and nothing is left on it: no
/// watched key, no other database. A connection whose future was dropped half-way is closed, and with it ends what
/// waited on the server. What was asked of it may have happened.
///
/// ```
/// use shared_db::redis::{Connection, cmd, pipe};
///
/// /// Doubles a number, unless somebody else changes it at the same time.
/// async fn double(connection: &mut Connection, key: &str) -> Result<bool, shared_db::Error> {
///     let () = connection.command(cmd("WATCH").arg(key)).await?;
///     let number: i64 = connection.command(cmd("GET").arg(key)).await?;
///     let done: Option<()> = connection.pipeline(pipe().atomic().set(key, 2 * number).ignore()).await?;
///     Ok(done.is_some())
/// }
/// ```
pub struct Connection {
    link: Link,
    state: State,
    redis: Redis,
    place: PooledConnection<'static, Slots>,
    lent: Instant,
    _inside: TaskTrackerToken,
}

/// What is known of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Clean,
    /// Keys are watched, or commands are collected.
    Watching,
    /// It is not as it was when it was opened.
    Changed,
    /// A request was sent and not answered, perhaps since its future was dropped.
    Waiting,
}

impl Connection {
    pub(super) fn new(
        redis: Redis,
        place: PooledConnection<'static, Slots>,
        link: Link,
        inside: TaskTrackerToken,
    ) -> Self {
        Self { link, state: State::Clean, redis, place, lent: Instant::now(), _inside: inside }
    }

    /// Runs a command.
    ///
    /// # Errors
    /// As of [`Redis::command`]. After an error other than a refusal of the server nothing more can be sent on this connection.
    pub async fn command<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Error> {
        self.wait(command, Duration::ZERO).await
    }

    /// Runs a command that the server may answer late, such as BLPOP: its deadline is so much later. The command itself
    /// says to the server how long it is to wait.
    ///
    /// Dropping the future closes the connection, and the server stops waiting. An element that it had taken from a list at
    /// that moment is lost: what must not be lost is moved, as BLMOVE does.
    ///
    /// # Errors
    /// As of [`command`](Self::command).
    pub async fn wait<T: FromRedisValue>(&mut self, command: &Cmd, wait: Duration) -> Result<T, Error> {
        let request = Request::Command(command);
        read(self.send(request, wait).await?, &request)
    }

    /// Sends several commands at once, and returns their answers. [`atomic`](Pipeline::atomic) ones run as one; where a
    /// watched key has changed nothing happens, and the answer is nil: read it as an `Option`.
    ///
    /// # Errors
    /// As of [`Redis::pipeline`].
    pub async fn pipeline<T: FromRedisValue>(&mut self, pipeline: &Pipeline) -> Result<T, Error> {
        let request = Request::Pipeline(pipeline);
        read(self.send(request, Duration::ZERO).await?, &request)
    }

    /// Calls a script.
    ///
    /// # Errors
    /// As of [`Redis::script`].
    pub async fn script<T: FromRedisValue>(&mut self, call: &Call) -> Result<T, Error> {
        self.redis.check_slots(call)?;
        let request = Request::Script(call.name(), call.command());
        match self.send(request, Duration::ZERO).await {
            Err(unknown) if unknown.code() == Some("NOSCRIPT") => {
                let with_text = call.with_text();
                let request = Request::Script(call.name(), &with_text);
                read(self.send(request, Duration::ZERO).await?, &request)
            }
            answer => read(answer?, &request),
        }
    }

    async fn send(&mut self, request: Request<'_>, wait: Duration) -> Result<redis::Value, Error> {
        let refused = |reason| Error::Command { command: request.name(), cause: because(reason) };
        if self.state == State::Waiting {
            return Err(refused(
                "an earlier request on this connection was given up; take another connection",
            ));
        }
        let effect = request.effect();
        if effect == Effect::Begins && self.redis.is_cluster() {
            return Err(refused("a cluster does not watch keys whose slot moves; use a script"));
        }
        let before = std::mem::replace(&mut self.state, State::Waiting);
        let deadline = self.redis.config().command_timeout.saturating_add(wait);
        let answer = self.redis.calls().send(&mut self.link, request, deadline).await;
        self.state = match &answer {
            Ok(_) => before.after(effect, true),
            // A server that is no master any more must not serve the next caller either.
            Err(error @ Error::Command { .. }) if leads_elsewhere(error) => State::Changed,
            Err(Error::Command { .. }) => before.after(effect, false),
            Err(_) => State::Waiting,
        };
        answer
    }
}

impl State {
    /// A refused command may have had its effect in part: the end of a watch is only believed when it is said.
    fn after(self, effect: Effect, done: bool) -> Self {
        match (self, effect) {
            (Self::Changed, _) | (_, Effect::Changes) => Self::Changed,
            (_, Effect::Begins) => Self::Watching,
            (_, Effect::Ends) if done => Self::Clean,
            (before, _) => before,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.redis.metrics().used(self.lent.elapsed());
        match self.state {
            State::Clean => self.place.put(self.link.clone()),
            // The place stays empty, and the connection ends here.
            _ => self.redis.count_discarded(),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
