//! What takes a server with pgvector, of the suites that also run on one without.

use shared_db::testing::{Outcome, Verb};
use shared_db::{Config, bootstrap};

use crate::probe::probed;
use crate::roles::{login, make_login};
use crate::support::{NOTES, admin};

#[tokio::test]
async fn rows_are_found_for_vectors() {
    let probed = probed(
        "create table t.near (tenant_id uuid not null, id uuid not null, at public.vector(3) not null, primary key (tenant_id, id));
         select shared_db.tenant_table('t.near');",
    )
    .await;
    assert!(probed.is_isolated(), "{probed}");
    assert_eq!(probed.outcome("t.near", Verb::Select), Some(Outcome::Nothing), "{probed}");
}

#[tokio::test]
async fn the_extension_is_the_one_thing_that_takes_a_superuser() {
    let server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    make_login(&admin(&config).await, "migrates", "createrole").await;
    config.owner_url = Some(login(&config, "migrates"));
    let error = bootstrap(&config, &[NOTES]).await.unwrap_err();
    assert!(error.to_string().contains("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;"), "{error}");
}
