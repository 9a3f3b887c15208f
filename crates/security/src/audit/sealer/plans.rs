//! What a look and a page cost on a large log: by the size of the batch, and not by that of the log.

use shared_db::{Config, bootstrap};
use shared_devkit::Postgres;
use tokio_util::task::AbortOnDropHandle;

use super::{page, state};
use crate::MIGRATIONS;

/// 200,000 entries of 50,000 transactions.
const LARGE: &str = "
    insert into shared_security.audit_log (xid, id, tenant_id, action, outcome)
    select (1000000 + g / 4)::text::xid8, gen_random_uuid(), gen_random_uuid(), 'a.b', 'allowed' from generate_series(0, 199999) g;
    analyze shared_security.audit_log, shared_security.audit_sealer";

/// Everything is sealed.
const IDLE: &str = "update shared_security.audit_sealer set seen = '1050000:1050000:'";

/// 10 transactions lie between two cuts, of which two were open at the first.
const BEHIND: &str = "
    update shared_security.audit_sealer set seen = '1040000:1040010:1040002,1040005', sees = '1040020:1040020:', sees_at = seen_at";

#[tokio::test]
async fn it_costs_by_the_batch_and_not_by_the_log() {
    let server = Postgres::shared().await.unwrap();
    let database = server.empty_database().await.unwrap();
    bootstrap(&Config::new(database.url()), &[MIGRATIONS]).await.unwrap();
    let (client, connection) = tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
    let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
    client.batch_execute(LARGE).await.unwrap();
    for (what, before, sql, arguments, most) in [
        ("an idle look", IDLE, state::LOOK.sql(), "(0)", 20),
        ("a look", BEHIND, state::LOOK.sql(), "(0)", 20),
        ("a batch of 48", BEHIND, page::FIRST.sql(), "(0, 1000)", 48 * 5),
    ] {
        // The plans that the system role's connections get.
        let generic = "set role shared_system; set enable_seqscan = off; set enable_hashjoin = off;
                       set enable_mergejoin = off; set plan_cache_mode = force_generic_plan";
        client
            .batch_execute(&format!("reset role; {before}; {generic}; prepare measured as {sql}"))
            .await
            .unwrap();
        let explain = format!("explain (analyze, buffers, format json) execute measured {arguments}");
        let plan: serde_json::Value = client.query_one(&explain, &[]).await.unwrap().get(0);
        client.batch_execute("deallocate measured").await.unwrap();
        let blocks = |name: &str| plan[0]["Plan"][name].as_u64().unwrap();
        let pages = blocks("Shared Hit Blocks") + blocks("Shared Read Blocks");
        assert!(pages <= most, "{what} reads {pages} pages of the server");
    }
}
