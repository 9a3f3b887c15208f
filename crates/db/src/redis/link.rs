//! One connection, to a server or to all nodes of a cluster.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::SingleNodeRoutingInfo;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value, cmd};
use tokio::time::timeout;

/// Clones share the connection. Answers come in the order of the requests, and those of a dropped one are thrown away.
#[derive(Clone)]
pub(super) enum Link {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// A connection that has rested for so long is asked for a sign of life first: firewalls and servers end what is idle, and
/// a request that is sent into the void is one whose outcome nobody knows.
const REST: Duration = Duration::from_secs(1);
/// Who says nothing for so long is given up, and another connection opened.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Slots move one at a time: a request that is sent on more often runs in a circle.
const REDIRECTIONS: usize = 5;

impl Link {
    /// The same link, unless it has rested and is dead.
    pub(super) async fn if_alive(mut self, used: Instant) -> Option<Self> {
        // The driver of a cluster looks after its connections itself.
        if used.elapsed() < REST || matches!(self, Self::Cluster(_)) {
            return Some(self);
        }
        match timeout(SIGN_OF_LIFE, self.command(&cmd("PING"))).await {
            Ok(Ok(_)) => Some(self),
            // Who has no right to ask is answered all the same.
            Ok(Err(refused)) => (refused.code() == Some("NOPERM")).then_some(self),
            Err(_) => None,
        }
    }

    pub(super) async fn command(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => redirected(connection, command).await,
        }
    }

    pub(super) async fn pipeline(&mut self, pipeline: &Pipeline) -> RedisResult<Value> {
        match self {
            Self::Server(connection) => pipeline.query_async(connection).await,
            Self::Cluster(connection) => pipeline.query_async(connection).await,
        }
    }
}

/// Goes where the nodes of a cluster send it. They have not carried out what they send on, so it runs once.
async fn redirected(connection: &mut ClusterConnection, command: &Cmd) -> RedisResult<Value> {
    let mut answer = command.query_async(connection).await;
    for _ in 0..REDIRECTIONS {
        let Err(error) = &answer else { break };
        answer = match error.kind() {
            // The driver has learned the new place, or waits for it.
            ErrorKind::Server(ServerErrorKind::Moved) => command.query_async(connection).await,
            ErrorKind::Server(ServerErrorKind::Ask) => ask(connection, command, error).await,
            _ => break,
        };
    }
    answer
}

/// Asks the node to which a slot is just being moved.
async fn ask(connection: &mut ClusterConnection, command: &Cmd, error: &RedisError) -> RedisResult<Value> {
    let place = error.redirect_node().and_then(|(place, _)| place.rsplit_once(':'));
    let Some((host, Ok(port))) = place.map(|(host, port)| (host, port.parse())) else {
        return Err(error.clone());
    };
    let mut pipeline = redis::pipe();
    // Written as one, so that nothing of others comes in between.
    pipeline.cmd("ASKING").add_command(command.clone());
    let node = SingleNodeRoutingInfo::ByAddress { host: host.to_owned(), port };
    let mut answers = connection.route_pipeline(pipeline, 1, 1, node).await?;
    answers.pop().unwrap_or(Value::Nil).extract_error()
}
