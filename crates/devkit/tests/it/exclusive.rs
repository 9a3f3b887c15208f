//! A server to kill.

use std::path::Path;

use shared_devkit::{Error, Postgres};

use crate::{
    database::{connect, count},
    sandbox::wait_until,
};

#[tokio::test]
async fn a_killed_server_comes_back_with_every_commit() {
    let mut server = Postgres::exclusive().await.expect("a server");
    let client = connect(server.url()).await;
    client
        .batch_execute("create table note (body text); insert into note values ('kept')")
        .await
        .expect("a row");
    server.kill().await.expect("a kill");
    assert!(client.simple_query("select 1").await.is_err());

    server.start().await.expect("a start");
    let client = connect(server.url()).await;
    assert_eq!(count(&client, "select count(*) from note").await, 1);

    let data = client.query_one("show data_directory", &[]).await.expect("a setting").get::<_, String>(0);
    drop(server);
    wait_until("the server and its directory are gone", || !Path::new(&data).exists());
}

#[tokio::test]
async fn nobody_kills_the_server_of_others() {
    let mut server = Postgres::shared().await.expect("a server");
    assert!(matches!(server.kill().await, Err(Error::NotYours { .. })));
    assert!(matches!(server.start().await, Err(Error::NotYours { .. })));
}
