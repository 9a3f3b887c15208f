//! A program in another language reads what a relay has brought to Redis and to NATS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared_core::{AssumedTenant, TenantId};
use shared_db::redis::{Config as RedisConfig, Redis};
use shared_db::{Db, bootstrap, statements};
use shared_devkit::{Nats, Platform, Postgres, Redis as RedisServer, TestDatabase, Wheel};
use shared_events::sink::{JetStream, RedisStreams, Sink};
use shared_events::{Config, Event, MIGRATIONS, Publish as _, Relay};
use system_tests::PYTHON_PIP;

use crate::process::run;

const REDIS_PY: Wheel = Wheel {
    package: "redis",
    version: "8.1.0",
    files: &[(Platform::Any, "a4fe1aac3d3b3cc791d4b3d5931c5a956045dc951ee74d1c913ee3ac4d2ee9fb")],
};

const NATS_PY: Wheel = Wheel {
    package: "nats-py",
    version: "2.16.0",
    files: &[(Platform::Any, "aeb1ff123966c05833d26c7df7e1d54c1c6d32b612428b21677a2e921f1fecae")],
};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "note.created", version = 1, key = "note")]
struct NoteCreated {
    note: String,
    n: u32,
}

statements! {
    const LOG: Statement<(), (String, String, String, i16)> = "
        select id::text, key, payload::text, lane from shared_events.log order by lane, pos";
}

/// A log with events of several keys, not all of ASCII.
struct Here {
    _database: TestDatabase,
    db: Db,
}

impl Here {
    async fn new() -> Self {
        let server = Postgres::shared().await.expect("a server");
        let database = server.empty_database().await.expect("a database");
        let config = shared_db::Config::new(database.url());
        bootstrap(&config, &[MIGRATIONS]).await.expect("a schema");
        let db = Db::connect(&config).await.expect("a connection");
        let tenant = AssumedTenant::new(TenantId::new(), "a test");
        for n in 0..40 {
            let note = format!("note {} – 100 % ü", n % 10);
            db.tenant(&tenant)
                .tx(async |tx| tx.publish(NoteCreated { note, n }).await)
                .await
                .expect("an event");
        }
        Self { _database: database, db }
    }

    /// Brings all of it to the sink.
    async fn bring(&self, sink: Arc<dyn Sink>) -> Relay {
        let config = Config { poll: Duration::from_millis(20), ..Config::default() };
        Relay::to(self.db.clone(), sink, config).await.expect("a relay")
    }

    /// What a reader should find: id, key and payload of each lane's events, in their order.
    async fn published(&self) -> BTreeMap<String, Vec<[String; 3]>> {
        let mut lanes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (id, key, payload, lane) in self.db.system().all(&LOG, ()).await.expect("the log") {
            lanes.entry(lane.to_string()).or_default().push([id, key, payload]);
        }
        lanes
    }
}

/// Runs a script with a wheel in its path, and returns what it says: a JSON object of the lanes.
async fn python(
    wheel: &'static Wheel,
    script: &str,
    arguments: &[&str],
) -> BTreeMap<String, Vec<[String; 3]>> {
    let fetched = tokio::task::spawn_blocking(|| wheel.fetch()).await.expect("a download");
    // Under the tests' own account, which can read its wheels.
    let mut command = tokio::process::Command::new(PYTHON_PIP.path());
    command
        .current_dir("/")
        .env("PYTHONPATH", fetched.expect("a wheel"))
        .args(["-c", script])
        .args(arguments);
    let (success, said) = run(&mut command).await;
    assert!(success, "{said}");
    serde_json::from_str(&said).expect(&said)
}

/// What both readers do with a message: known by its place, however often it comes.
const INBOX: &str = "
import json, sys
from urllib.parse import unquote

class Inbox:
    def __init__(self):
        self.places, self.lanes = {}, {}

    def receive(self, attributes, data):
        event = {name[3:]: unquote(value) for name, value in attributes.items() if name.startswith('ce-')}
        assert event['specversion'] == '1.0' and event['type'] == 'note.created' and event['tenantid'], event
        lane, place = event['lane'], tuple(int(part) for part in event['place'].split('-'))
        if place <= self.places.get(lane, (0, 0)):
            return
        self.places[lane] = place
        self.lanes.setdefault(lane, []).append([event['id'], event['subject'], data])

    def count(self):
        return sum(len(lane) for lane in self.lanes.values())

inbox = Inbox()
";

/// Reads until so many are there, and then all of it once more.
const REDIS: &str = "
import redis, time
url, expected = sys.argv[1:]
client = redis.Redis.from_url(url, decode_responses=True)
deadline = time.monotonic() + 30
def read_all():
    for lane in range(16):
        for _, fields in client.xrange('{events:%d}' % lane):
            inbox.receive(fields, fields['data'])
while inbox.count() < int(expected) and time.monotonic() < deadline:
    read_all()
    time.sleep(0.02)
read_all()
print(json.dumps(inbox.lanes))
";

const NATS: &str = "
import asyncio, nats
url, stream, expected = sys.argv[1:]
async def main():
    client = await nats.connect(url)
    for times in range(2):
        subscription = await client.jetstream().subscribe(stream + '.*', ordered_consumer=True)
        for _ in range(int(expected)):
            message = await subscription.next_msg(timeout=30)
            inbox.receive(message.headers, message.data.decode())
        await subscription.unsubscribe()
    await client.close()
asyncio.run(main())
print(json.dumps(inbox.lanes))
";

#[tokio::test]
async fn redis_py_finds_every_event_once_and_in_its_order() {
    let (here, server) = (Here::new().await, RedisServer::shared().await.expect("a server"));
    let database = server.database().await.expect("a database");
    let redis = Redis::connect(&RedisConfig::new(database.url())).await.expect("a connection");
    let relay = here.bring(Arc::new(RedisStreams::new(&redis))).await;
    let found = python(&REDIS_PY, &format!("{INBOX}{REDIS}"), &[database.url(), "40"]).await;
    assert_eq!(found, here.published().await);
    relay.stop().await;
}

#[tokio::test]
async fn nats_py_finds_every_event_once_and_in_its_order() {
    let (here, server) = (Here::new().await, Nats::shared().await.expect("a server"));
    let namespace = server.namespace().await.expect("a namespace");
    // The client takes no login from a URL.
    let (login, address) = namespace.url().trim_start_matches("nats://").split_once('@').expect("a login");
    let (user, password) = login.split_once(':').expect("a password");
    let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    let client = options.connect(address).await.expect("a connection");
    let stream =
        JetStream::open(async_nats::jetstream::new(client), namespace.prefix()).await.expect("a stream");
    let relay = here.bring(Arc::new(stream)).await;
    let arguments = [namespace.url(), namespace.prefix(), "40"];
    let found = python(&NATS_PY, &format!("{INBOX}{NATS}"), &arguments).await;
    assert_eq!(found, here.published().await);
    relay.stop().await;
}
