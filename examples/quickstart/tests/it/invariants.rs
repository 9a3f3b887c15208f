//! What must hold of the database when everything is done, however the way to it was.

use std::collections::BTreeMap;
use std::fmt;

use quickstart::{document_id, parts, tenant_id};
use shared_service::db::redis::{Config, Redis};
use shared_service::queues::Queues;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::corpus::Corpus;

/// What there is, to be printed.
pub(crate) struct Counted {
    pub(crate) documents: usize,
    pub(crate) parts: usize,
    pub(crate) vectors: i64,
    pub(crate) events: i64,
    pub(crate) effects: i64,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { documents, parts, vectors, events, effects } = self;
        write!(
            f,
            "{documents} documents, {parts} parts, {vectors} vectors, {events} events, {effects} effects"
        )
    }
}

/// A client with all rights.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the database is there");
    tokio::spawn(connection);
    client
}

/// The queues of a run whose jobs are in Redis.
pub(crate) async fn queues(redis: &str) -> Queues {
    Queues::redis(&Redis::connect(&Config::new(redis)).await.expect("the server is there"))
}

/// Checks that the database holds the corpus, all of it and nothing else, that every event took effect once, and that
/// nothing is left to do.
pub(crate) async fn check(database: &Client, corpus: &Corpus) -> Counted {
    let documents = documents(database, corpus).await;
    let parts = parts_of(database, corpus).await;
    let one = async |sql: &str| -> i64 { database.query_one(sql, &[]).await.expect(sql).get(0) };

    let vectors = one("select count(*) from quickstart.content").await;
    let contents = one(
        "select count(*) from (select distinct tenant_id, hash from quickstart.content_item) as contents",
    )
    .await;
    assert_eq!(vectors, contents, "one vector for each content of a tenant");

    let events = one("select count(*) from shared_events.log where name = 'content.uploaded'").await;
    let uploads = one("select sum(version)::bigint from quickstart.document").await;
    let effects = one("select sum(uploads)::bigint from quickstart.digest").await;
    assert_eq!((uploads, effects), (events, events), "each upload is one event and one effect");
    let wrong_digests = one(
        "select count(*) from (select tenant_id, count(*) as documents, sum(bytes) as bytes from quickstart.document group by tenant_id) as d
           full join quickstart.digest g using (tenant_id)
          where (d.documents, d.bytes) is distinct from (g.documents, g.bytes::numeric)",
    )
    .await;
    assert_eq!(wrong_digests, 0, "what the consumer counted is what there is");

    for table in [
        "shared_queues.body",
        "shared_queues.ready",
        "shared_queues.scheduled",
        "shared_queues.dead",
        "shared_events.parked",
    ] {
        assert_eq!(one(&format!("select count(*) from {table}")).await, 0, "{table}");
    }
    let held = one("select coalesce(sum(cardinality(ids)), 0)::bigint from shared_queues.lease").await;
    assert_eq!(held, 0, "no job is held");
    assert_eq!(
        one("select count(*) from quickstart.document where indexed <> version").await,
        0,
        "all is indexed"
    );
    Counted { documents, parts, vectors, events, effects }
}

async fn documents(database: &Client, corpus: &Corpus) -> usize {
    let rows =
        database.query("select tenant_id, id, text from quickstart.document", &[]).await.expect("documents");
    let found: BTreeMap<(Uuid, Uuid), String> = rows
        .iter()
        .map(|row| ((row.get(0), row.get(1)), row.get(2)))
        .filter(|(key, _)| is_of_the_corpus(key))
        .collect();
    let expected =
        corpus.texts.iter().map(|((tenant, path), text)| (key(tenant, path), text.clone())).collect();
    assert_eq!(found, expected, "the documents are those of the corpus");
    found.len()
}

async fn parts_of(database: &Client, corpus: &Corpus) -> usize {
    let sql = "select tenant_id, id, text from quickstart.content_item order by tenant_id, id, part";
    let rows = database.query(sql, &[]).await.expect("parts");
    let mut found = BTreeMap::<(Uuid, Uuid), Vec<String>>::new();
    for row in rows.iter() {
        let key = (row.get(0), row.get(1));
        if is_of_the_corpus(&key) {
            found.entry(key).or_default().push(row.get(2));
        }
    }
    let expected =
        corpus.texts.iter().map(|((tenant, path), text)| (key(tenant, path), parts(text))).collect();
    assert_eq!(found, expected, "the parts are those of the documents, each once");
    found.values().map(Vec::len).sum()
}

fn key(tenant: &str, path: &str) -> (Uuid, Uuid) {
    let tenant = tenant_id(tenant);
    (tenant.as_uuid(), document_id(tenant, path).as_uuid())
}

/// All but the note of the program itself.
fn is_of_the_corpus((tenant, _): &(Uuid, Uuid)) -> bool {
    *tenant != tenant_id("this program").as_uuid()
}
