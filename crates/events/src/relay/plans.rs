//! What a look and a page cost on a large log: by the size of the batch, and not by that of the log.

use shared_db::{Config, bootstrap};
use shared_devkit::{Postgres, TestDatabase};
use tokio_util::task::AbortOnDropHandle;

use super::{read, send, tick};
use crate::backlog::BACKLOG;
use crate::{MIGRATIONS, seal};

/// 200,000 events of 50,000 transactions, and two ticks: 10 transactions lie between them, of which two were open at the first.
const LARGE: &str = "
    insert into shared_events.log (lane, xid, id, tenant_id, name, version, key, payload, context)
    select shared_events.lane_of(tenant, 'k'), (1000000 + g / 4)::text::xid8, gen_random_uuid(), tenant, 'a.b', 1, 'k', '{}', '{}'
      from generate_series(0, 199999) as g cross join lateral (select gen_random_uuid() as tenant where g is not null) as of;
    insert into shared_events.tick (tick, snap)
    values (1001, '1040000:1040010:1040002,1040005'), (1002, '1040020:1040020:'), (1003, '1050000:1050000:');
    insert into shared_events.subscription (name) values ('main');
    insert into shared_events.cursor (subscription, lane, tick) select 'main', generate_series(0, 15), 1003;
    vacuum (analyze) shared_events.log;
    analyze shared_events.tick, shared_events.cursor";

/// 100,000 events behind each of two keys of a sink, which is due again, and few behind others.
const PARKED: &str = "
    insert into shared_events.subscription (name, kind) values ('out', 'sink');
    insert into shared_events.parked (tenant_id, subscription, consumer, lane, key, pos, event_id, name, state, next_at)
    select '00000000-0000-7000-8000-000000000001', 'out', 'out', 3, 'key ' || of.key, n, gen_random_uuid(), 'a.b',
           case when n = 0 then 'retrying' else 'waiting' end, case when n = 0 then now() - interval '1 minute' end
      from (values (1, 100000), (2, 100000), (3, 10), (4, 10)) as of (key, waiting), generate_series(0, of.waiting) as n;
    vacuum (analyze) shared_events.parked";

/// 100,000 events of a key that a sink has taken since it took it again, 100 that are on their way to it, and 100,000 that wait.
const HALF_SENT: &str = "
    insert into shared_events.subscription (name, kind) values ('out', 'sink');
    insert into shared_events.parked (tenant_id, subscription, consumer, lane, key, pos, event_id, name, state, next_at, tick)
    select '00000000-0000-7000-8000-000000000001', 'out', 'out', 3, 'key', n, gen_random_uuid(), 'a.b',
           case when n < 100000 then 'sent' when n = 100000 then 'retrying' else 'waiting' end,
           case when n = 100000 then now() - interval '1 minute' end,
           case when n < 100000 then 1 + n / 1000 when n < 100100 then 101 end
      from generate_series(0, 200000) as n;
    vacuum (analyze) shared_events.parked";

/// Those of 16 times as many positions.
const WINDOW: &str =
    "(0, 1003, 3::int2, 'main', 100000, 104000, 1024990, 1026010, '-infinity', 'infinity', 1000000)";

const WINDOW_KEYS: &str = "(0, 1003, 3::int2, 100000, 104000, 1024990, 1026010, '-infinity', 'infinity')";

const ALL: &str = "array[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]::int2[]";

#[tokio::test]
async fn it_costs_by_the_batch_and_not_by_the_log() {
    let session = Session::with(LARGE).await;
    for (n, (what, sql, arguments, most)) in costs().into_iter().enumerate() {
        session.prepare(&format!("s{n}"), sql).await;
        let pages = session.pages(&format!("s{n}"), &arguments).await;
        assert!(pages <= most, "{what} reads {pages} pages of the server");
    }
}

/// A plan is made once, and kept until the server has analysed what it reads: it must not go by the log's size on the first day.
#[tokio::test]
async fn so_it_does_where_it_was_planned_while_the_log_was_empty() {
    let session = Session::with("vacuum (analyze) shared_events.log").await;
    // That one reads a whole lane, and its rows too as long as no vacuum has seen them.
    let costs = || costs().into_iter().filter(|(what, ..)| *what != "the windows of a lane").enumerate();
    for (n, (_, sql, arguments, _)) in costs() {
        session.prepare(&format!("s{n}"), sql).await;
        session.client.batch_execute(&format!("execute s{n} {arguments}")).await.unwrap();
    }
    session.fill(LARGE).await;
    for (n, (what, _, arguments, most)) in costs() {
        let pages = session.pages(&format!("s{n}"), &arguments).await;
        assert!(pages <= most, "{what} reads {pages} pages of the server");
    }
}

/// What is asked, with which arguments, and how many pages it may take.
fn costs() -> Vec<(&'static str, &'static str, String, u64)> {
    vec![
        // Sixteen lanes in four partitions.
        ("an idle look", tick::LOOK.sql(), format!("(1003, 'main', {ALL}, 256, 1003)"), 400),
        ("a look", tick::LOOK.sql(), format!("(1001, 'main', {ALL}, 256, 1003)"), 400),
        ("the count of 48", read::COUNT.sql(), format!("(1001, 1002, {ALL}, 'main', 501, 0)"), 400),
        ("a batch of 48", read::BATCH.sql(), format!("(1001, 1002, {ALL}, 'main', 500)"), 48 * 2 + 400),
        (
            "the windows of a lane",
            read::WINDOWS.sql(),
            "(0, 1003, '{3}', 'main', 0, 250, 1000000)".to_owned(),
            400,
        ),
        ("a window of 250", read::WINDOW.sql(), WINDOW.to_owned(), 250 * 2 + 100),
        ("the keys of 48", read::KEYS.sql(), format!("(1001, 1002, {ALL}, 'main')"), 400),
        ("the keys of a window of 250", read::WINDOW_KEYS.sql(), WINDOW_KEYS.to_owned(), 250 * 2 + 100),
        // In the day that they lie in, and in the one before where the hour goes back to it.
        ("100 events by their keys", read::EVENTS.sql(), events(), 100 * 4 * 2),
        ("a backlog of none", BACKLOG.sql(), String::new(), 800),
        ("a seal of 160", seal::SEAL.sql(), "(160)".to_owned(), 1600),
    ]
}

/// Else a key behind which much waits would cost more with each tick in which some of it is sent.
#[tokio::test]
async fn what_comes_back_costs_nothing_for_what_was_sent_before_it() {
    let session = Session::with(HALF_SENT).await;
    let (tenant, positions) = ("00000000-0000-7000-8000-000000000001", Vec::from_iter(100_000..100_100));
    let unstamped = format!("('out', 3::int2, '{tenant}', 'key', 101, 100000)");
    let (sent, stamp) = (format!("('out', 3::int2, 101, array{positions:?}::int8[])"), "(102)".to_owned());
    let parked = format!("('out', 'out', 3::int2, '{tenant}', 'key', 300000, 1, '{tenant}', 'a.b', null)");
    // Each row is written, and an entry in each index.
    for (n, (what, sql, arguments, most)) in [
        ("parking one more", send::PARK.sql().to_owned(), parked, 60),
        ("100 that were sent", send::SENT.sql().to_owned(), sent, 100 * 30),
        ("100 stamps", tick::STAMP.sql().replace("limit 1000", "limit 100"), stamp, 100 * 30),
        ("to take back none", send::UNSTAMP.sql().to_owned(), unstamped, 60),
    ]
    .into_iter()
    .enumerate()
    {
        session.prepare(&format!("s{n}"), &sql).await;
        let pages = session.pages(&format!("s{n}"), &arguments).await;
        assert!(pages <= most, "{what} reads {pages} pages of the server");
    }
}

/// Nobody else makes a tick meanwhile.
#[tokio::test]
async fn a_tick_costs_by_what_it_stamps_and_not_by_what_waits() {
    let session = Session::with(PARKED).await;
    let sql = tick::STAMP.sql().replace("limit 1000", "limit 100");
    // Each row is written, and an entry in each index.
    session.prepare("stamp", &sql).await;
    let pages = session.pages("stamp", "(1)").await;
    assert!(pages <= 100 * 20, "100 stamps read {pages} pages of the server");
}

/// A hundred events, by their transactions and positions.
fn events() -> String {
    let keys =
        |first: u64, each: u64| -> Vec<String> { (0..100).map(|n| (first + n * each).to_string()).collect() };
    let (xids, positions) = (keys(1_025_000, 1).join(","), keys(100_000, 4).join(","));
    format!("(3, '{{{xids}}}', '{{{positions}}}', now() - interval '1 hour', now(), 1000000)")
}

/// A session of the relay's role, with the plans that it gets after a while.
struct Session {
    client: tokio_postgres::Client,
    _driver: AbortOnDropHandle<Result<(), tokio_postgres::Error>>,
    _kept: (Postgres, TestDatabase),
}

impl Session {
    async fn with(rows: &str) -> Self {
        let server = Postgres::shared().await.unwrap();
        let database = server.empty_database().await.unwrap();
        bootstrap(&Config::new(database.url()), &[MIGRATIONS]).await.unwrap();
        let (client, connection) =
            tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
        let driver = AbortOnDropHandle::new(tokio::spawn(connection));
        for statement in rows.split(";\n") {
            client.batch_execute(statement).await.unwrap();
        }
        // As a door's sessions of that role have it.
        client
            .batch_execute("set role shared_system; set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off; \
                 set enable_hashjoin = off; set enable_mergejoin = off; set jit = off")
            .await
            .unwrap();
        Self { client, _driver: driver, _kept: (server, database) }
    }

    /// Further rows, which nobody analyses.
    async fn fill(&self, rows: &str) {
        self.client.batch_execute("reset role").await.unwrap();
        for statement in rows.split(";\n").filter(|statement| !statement.contains("analyze")) {
            self.client.batch_execute(statement).await.unwrap();
        }
        self.client.batch_execute("set role shared_system").await.unwrap();
    }

    async fn prepare(&self, name: &str, sql: &str) {
        self.client.batch_execute(&format!("prepare {name} as {sql}")).await.unwrap();
    }

    /// The pages of the server that a prepared statement touches.
    async fn pages(&self, name: &str, arguments: &str) -> u64 {
        let explain = format!("explain (analyze, buffers, format json) execute {name} {arguments}");
        let plan: serde_json::Value = self.client.query_one(&explain, &[]).await.unwrap().get(0);
        let blocks = |name: &str| plan[0]["Plan"][name].as_u64().unwrap();
        blocks("Shared Hit Blocks") + blocks("Shared Read Blocks")
    }
}
