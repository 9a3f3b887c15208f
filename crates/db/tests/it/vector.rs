//! Search by meaning, per tenant, with every content stored once.

use std::collections::BTreeSet;

use shared_core::{AssumedTenant, Id, InTenant};
use shared_db::vector::{Collection, Definition, Recall, Route, TenantCollection};
use shared_db::{Config, Db, Error, MigrationSet, Step, bootstrap, statements};
use shared_devkit::{Postgres, TestDatabase};

use crate::support::tenant;

struct Text;

const TEXTS: Definition<Text> = Definition::new("texts.vector", 32);
const MIGRATIONS: MigrationSet =
    MigrationSet::new("texts", &[Step::collection(1, "vector", &TEXTS)]).requires(&["shared_db"]);

statements! {
    const CONTENTS: Statement<(), i64> = "select count(*) from texts.vector where tenant_id = $tenant";
    const ORPHANS: Statement<(), i64> = "
        select count(*) from texts.vector e where tenant_id = $tenant
           and not exists (select 1 from texts.vector_item i where i.tenant_id = e.tenant_id and i.hash = e.hash)";
    const PARTS: Statement<(Id<Text>,), (i32, String)> = "
        select part, text from texts.vector_item where tenant_id = $tenant and id = $1 order by part";
    const VERSIONS: Statement<(), String> = "
        select string_agg(ctid::text || xmin::text, ',' order by hash) from texts.vector where tenant_id = $tenant";
}

struct Fixture {
    db: Db,
    texts: Collection<Text>,
    _database: TestDatabase,
    _server: Postgres,
}

async fn fixture() -> Fixture {
    let server = Postgres::shared().await.unwrap();
    let migrate = async |url: String| bootstrap(&Config::new(url), &[MIGRATIONS]).await.map(drop);
    let key = format!("texts {}", shared_db::fingerprint(&[shared_db::MIGRATIONS, MIGRATIONS]));
    let database = server.database(&key, migrate).await.unwrap();
    let db = Db::connect(&Config::new(database.url())).await.unwrap();
    let texts = Collection::open(&db, &TEXTS).await.unwrap();
    Fixture { db, texts, _database: database, _server: server }
}

/// Different words for each number.
fn words(n: u32) -> String {
    format!("{:x} {:x} {n}", n.wrapping_mul(2_654_435_761), n.wrapping_mul(40_503).rotate_left(7))
}

async fn found(texts: &TenantCollection<Text>, text: &str) -> Vec<String> {
    texts.search(text).k(3).await.unwrap().items.into_iter().map(|hit| hit.text).collect()
}

#[tokio::test]
async fn a_text_is_found_by_its_own_tenant_only() {
    let fixture = fixture().await;
    let (a, b) = (tenant(), tenant());
    fixture
        .texts
        .tenant(&a)
        .upsert([(Id::new(), "rotate the signing keys"), (Id::new(), "drink tea")])
        .await
        .unwrap();
    assert_eq!(found(&fixture.texts.tenant(&a), "key rotation").await[0], "rotate the signing keys");
    assert!(found(&fixture.texts.tenant(&b), "rotate the signing keys").await.is_empty());
}

#[tokio::test]
async fn every_content_is_embedded_and_stored_once() {
    let fixture = fixture().await;
    let a = tenant();
    let texts = fixture.texts.tenant(&a);
    let (first, second) = (Id::new(), Id::new());
    let done = texts.upsert([(first, "one"), (first, "two"), (first, "one"), (second, "two")]).await.unwrap();
    assert_eq!((done.texts, done.embedded, done.reused()), (4, 2, 2));

    let before = fixture.db.tenant(&a).one(&VERSIONS, ()).await.unwrap();
    let again =
        texts.upsert([(first, "one"), (first, "two"), (first, "one"), (second, "two")]).await.unwrap();
    assert_eq!((again.texts, again.embedded), (4, 0));
    assert_eq!(
        fixture.db.tenant(&a).one(&VERSIONS, ()).await.unwrap(),
        before,
        "no row of an embedding was written"
    );
}

#[tokio::test]
async fn the_parts_of_an_id_are_replaced_together() {
    let fixture = fixture().await;
    let a = tenant();
    let texts = fixture.texts.tenant(&a);
    let id = Id::new();
    texts.upsert([(id, "one"), (id, "two"), (id, "three")]).await.unwrap();
    texts.upsert([(id, "one"), (id, "deux")]).await.unwrap();
    let parts = fixture.db.tenant(&a).all(&PARTS, (id,)).await.unwrap();
    assert_eq!(parts, [(0, "one".to_owned()), (1, "deux".to_owned())]);
    assert_eq!(contents(&fixture.db, &a).await, (2, 0), "what nothing refers to is gone");

    texts.remove([id]).await.unwrap();
    assert_eq!(contents(&fixture.db, &a).await, (0, 0));
}

/// How many contents a tenant has, and how many of them nothing refers to.
async fn contents(db: &Db, proof: &impl InTenant) -> (i64, i64) {
    let db = db.tenant(proof);
    (db.one(&CONTENTS, ()).await.unwrap(), db.one(&ORPHANS, ()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_meet_on_the_same_contents_agree() {
    let fixture = fixture().await;
    let a = tenant();
    let ids: Vec<Id<Text>> = (0..4).map(|_| Id::new()).collect();
    let calls: Vec<_> = (0..8u32)
        .map(|caller| {
            let (texts, ids) = (fixture.texts.tenant(&a), ids.clone());
            tokio::spawn(async move {
                for round in 0..20u32 {
                    let id = ids[((caller + round) % 4) as usize];
                    if (caller * 7 + round) % 5 == 0 {
                        texts.remove([id]).await.unwrap();
                    } else {
                        let few = (0..3).map(|n| (id, words((caller * round + n) % 6)));
                        texts.upsert(few).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(contents(&fixture.db, &a).await.1, 0, "no content without a text");
    fixture.texts.tenant(&a).remove(ids).await.unwrap();
    assert_eq!(contents(&fixture.db, &a).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn small_tenants_miss_nothing_beside_a_large_one() {
    let fixture = fixture().await;
    let (large, small) = (tenant(), tenant());
    let many = (0..10_300).map(|n| (Id::new(), words(n)));
    fixture.texts.tenant(&large).upsert(many).await.unwrap();
    fixture.texts.tenant(&small).upsert((0..40).map(|n| (Id::new(), words(n * 100)))).await.unwrap();

    let hits = fixture.texts.tenant(&small).search(words(700)).k(10).await.unwrap();
    assert_eq!((hits.route, hits.complete, hits.items.len()), (Route::Exact, true, 10));
    assert_eq!(hits.items[0].text, words(700));

    let within = fixture.texts.tenant(&large);
    let mut recalled = 0;
    for n in (0..10_000).step_by(500) {
        let near = within.search(words(n)).k(10).await.unwrap();
        assert_eq!((near.route, near.items.len()), (Route::Approximate, 10));
        assert!(near.items.is_sorted_by(|a, b| a.score >= b.score));
        let exact = within.search(words(n)).k(10).recall(Recall::Exact).await.unwrap();
        assert_eq!((exact.route, exact.complete), (Route::Exact, true));
        let truth: BTreeSet<_> = exact.items.iter().map(|hit| &hit.text).collect();
        recalled += near.items.iter().filter(|hit| truth.contains(&hit.text)).count();
    }
    assert!(recalled >= 190, "{recalled} of 200 of the truly nearest");
}

#[tokio::test]
async fn vectors_of_two_embedders_do_not_mix() {
    let fixture = fixture().await;
    let other = std::sync::Arc::new(Other);
    let refused = Collection::open_with(&fixture.db, &TEXTS, other).await.unwrap_err();
    assert!(matches!(&refused, Error::Config(reason) if reason.contains("hashing-32-v1")), "{refused}");
}

struct Other;

impl shared_db::vector::Embedder for Other {
    fn name(&self) -> &str {
        "other"
    }
    fn dimensions(&self) -> usize {
        32
    }
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(vec![vec![1.0; 32]; texts.len()])
    }
}

#[tokio::test]
async fn a_search_keeps_its_deadline() {
    let fixture = fixture().await;
    let a: AssumedTenant = tenant();
    let late =
        fixture.texts.tenant(&a).search("anything").deadline(std::time::Duration::ZERO).await.unwrap_err();
    assert!(late.is_timeout(), "{late}");
}
