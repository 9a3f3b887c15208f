use shared_db::{Config, Db, bootstrap, statements};
use shared_devkit::{Postgres, Proxy, TestDatabase};

use super::*;
use crate::sink::PostgresLog;
use crate::{Error, MIGRATIONS, context};

statements! {
    const LOG: Statement<(i64,), (i64, Uuid, TenantId, String, i32, String, String, String)> = "
        select pos, id, tenant_id, name, version, key, payload::text, context::text
          from shared_events.log where pos > $1 order by pos";
}

struct There {
    database: TestDatabase,
    db: Db,
}

async fn there() -> There {
    let server = Postgres::shared().await.unwrap();
    let database = server.empty_database().await.unwrap();
    bootstrap(&Config::new(database.url()), &[MIGRATIONS]).await.unwrap();
    let db = Db::connect(&Config::new(database.url())).await.unwrap();
    There { database, db }
}

/// The log over there as the events that it was given: it has their places no more.
async fn read(db: &Db) -> Vec<Envelope> {
    let rows = db.system().all(&LOG, (0,)).await.unwrap();
    let event = |row: (i64, Uuid, TenantId, String, i32, String, String, String)| {
        let (_, id, tenant, name, version, key, payload, context) = row;
        let (tick, pos) = id.as_u64_pair();
        let known = event(Place::new(tick.cast_signed(), pos.cast_signed()));
        let context = context::read(tenant, &context).unwrap();
        Envelope { id, tenant, name, version: version.unsigned_abs(), key, payload, context, ..known }
    };
    rows.into_iter().map(event).collect()
}

#[tokio::test]
async fn another_log_keeps_what_sinks_promise() {
    let open = async || {
        let there = there().await;
        (PostgresLog::new(&there.db, "notes").unwrap(), there)
    };
    keeps_what_sinks_promise(open, async |_, there: &There| read(&there.db).await).await;
}

#[tokio::test]
async fn each_source_has_its_own_places() {
    let there = there().await;
    for source in ["notes", "billing"] {
        let sink = PostgresLog::new(&there.db, source).unwrap();
        all(&sink.send(LANE, None, &events(1, 1..=5)).await, 5);
        assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(1, 5)));
    }
    assert_eq!(read(&there.db).await.len(), 10);
    assert!(matches!(PostgresLog::new(&there.db, ""), Err(Error::Config(_))));
}

#[tokio::test]
async fn lines_that_break_in_the_middle_of_a_page_lose_and_double_nothing() {
    let there = there().await;
    let proxy = Proxy::to(there.database.url()).await.unwrap();
    let db = Db::connect(&Config::new(proxy.url(there.database.url()))).await.unwrap();
    let sink = PostgresLog::new(&db, "notes").unwrap();
    let page = events(1, 1..=300);
    for bytes in [0, 2_000, 10_000, 40_000] {
        for answers in [false, true] {
            let way = if answers { proxy.to_client() } else { proxy.to_server() };
            way.cut_after(bytes / if answers { 50 } else { 1 });
            let _ = sink.send(LANE, None, &page[..100]).await;
            proxy.heal();
        }
    }
    deliver(&sink, &page, 100).await;
    assert_eq!(places(&read(&there.db).await), places(&page));
}

#[tokio::test]
async fn what_the_other_log_will_never_have_is_said_and_those_before_it_are_there() {
    let there = there().await;
    let sink = PostgresLog::new(&there.db, "notes").unwrap();
    let mut page = events(1, 1..=5);
    page[3].payload = "{no json".to_owned();
    let accepted = sink.send(LANE, None, &page).await;
    assert!(matches!(accepted.refusal, Some(Refusal::Never(_))), "{accepted:?}");
    assert_eq!(accepted.count, 3);
    all(&sink.send(LANE, Some(Place::new(1, 3)), &page[4..]).await, 1);
    assert_eq!(sink.last(LANE).await.unwrap(), Some(Place::new(1, 5)));
}
