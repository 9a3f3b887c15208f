//! What a call costs in round trips, counted on the wire.

use shared_core::{Context, Id};
use shared_db::{AtCommit, Bound, Db, statements};

use crate::proxy::Proxy;
use crate::support::{BODIES, COUNT, Database, INSERT, database, tenant};

statements! {
    const ADD: Statement<(Vec<String>,), ()> = "
        insert into notes.note (tenant_id, id, body) select $tenant, gen_random_uuid(), b from unnest($1::text[]) b";
}

/// Bodies that are written with the COMMIT.
#[derive(Default)]
pub(crate) struct Collecting(pub(crate) Vec<String>);

impl AtCommit for Collecting {
    fn mark(&self) -> usize {
        self.0.len()
    }
    fn rewind(&mut self, mark: usize) {
        self.0.truncate(mark);
    }
    fn statements(&self, _: &Context) -> Vec<Bound> {
        vec![ADD.bind((self.0.clone(),))]
    }
    fn committed(&self, db: &Db) {
        db.signal("collected").notify_one();
    }
}

async fn counted() -> (Database, Proxy, Db) {
    let mut database = database().await;
    let proxy = Proxy::before(&mut database.config).await;
    database.config.pool_size = 1;
    let db = Db::connect(&database.config).await.unwrap();
    (database, proxy, db)
}

#[tokio::test]
async fn a_warm_statement_takes_one_trip() {
    let (_database, proxy, db) = counted().await;
    let tenant = tenant();
    db.tenant(&tenant).all(&BODIES, ()).await.unwrap();
    db.untenanted().one(&COUNT, ()).await.unwrap();
    proxy.trips();

    db.tenant(&tenant).all(&BODIES, ()).await.unwrap();
    assert_eq!(proxy.trips(), 1);
    db.untenanted().one(&COUNT, ()).await.unwrap();
    assert_eq!(proxy.trips(), 1);
}

#[tokio::test]
async fn a_transaction_takes_one_trip_to_begin_one_for_each_statement_and_one_to_commit() {
    let (_database, proxy, db) = counted().await;
    let tenant = tenant();
    db.tenant(&tenant).one(&INSERT, (Id::new(), "warm")).await.unwrap();
    proxy.trips();

    db.tenant(&tenant).tx(async |tx| tx.one(&INSERT, (Id::new(), "x")).await).await.unwrap();
    assert_eq!(proxy.trips(), 3);
}

#[tokio::test]
async fn what_is_collected_goes_out_with_the_commit() {
    let (_database, proxy, db) = counted().await;
    let tenant = tenant();
    let collect = async |bodies: &[&str]| {
        let mut tx = db.tenant(&tenant).begin().await.unwrap();
        for body in bodies {
            tx.at_commit::<Collecting>().0.push((*body).to_owned());
        }
        tx.commit().await.unwrap();
    };
    collect(&["warm"]).await;
    proxy.trips();

    let committed = db.signal("collected");
    collect(&["one", "two", "three"]).await;
    assert_eq!(proxy.trips(), 2);
    committed.notified().await;
    assert_eq!(db.tenant(&tenant).one(&COUNT, ()).await.unwrap(), 4);
}
