//! Who may do what: the logins and roles of a server of one's own, since roles belong to all its databases.

use shared_core::{Id, Secret};
use shared_db::{Config, Db, Error, Roles, bootstrap, statements};
use shared_devkit::Postgres;
use tokio_postgres::Client;

use crate::support::{BODIES, COUNT, INSERT, NOTES, admin, tenant};

statements! {
    const ROLE: Statement<(), String> = "select current_user::text";
    const VIEWED: Statement<(), i64> = "select count(*) from notes.every_note";
}

/// The same URL for another user.
fn login(config: &Config, user: &str) -> Secret {
    let url = config.url.expose();
    let at = url.find('@').unwrap();
    Secret::new(format!("postgres://{user}:secret{}", &url[at..]))
}

async fn make_login(admin: &Client, name: &str, rights: &str) {
    admin.batch_execute(&format!("create role {name} login {rights} password 'secret'")).await.unwrap();
}

#[tokio::test]
async fn separate_logins_need_no_more_than_their_roles() {
    let server = Postgres::exclusive().await.unwrap();
    let mut config = Config::new(server.url());
    let admin = admin(&config).await;
    make_login(&admin, "migrates", "createrole").await;
    make_login(&admin, "serves", "").await;
    make_login(&admin, "relays", "").await;
    (config.owner_url, config.system_url) =
        (Some(login(&config, "migrates")), Some(login(&config, "relays")));
    config.url = login(&config, "serves");

    // pgvector is the one thing that takes a superuser.
    let error = bootstrap(&config, &[NOTES]).await.unwrap_err();
    assert!(error.to_string().contains("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;"), "{error}");
    admin.batch_execute("create extension vector").await.unwrap();
    let error = bootstrap(&config, &[NOTES]).await.unwrap_err();
    let statement = "GRANT CREATE ON DATABASE \"postgres\" TO \"shared_owner\"";
    assert!(error.to_string().contains(statement), "{error}");
    admin.batch_execute(statement).await.unwrap();
    bootstrap(&config, &[NOTES]).await.unwrap();

    let db = Db::connect(&config).await.unwrap();
    assert_eq!(db.untenanted().one(&ROLE, ()).await.unwrap(), "shared_app");
    assert_eq!(db.system().one(&ROLE, ()).await.unwrap(), "shared_system");
    let tenant = tenant();
    db.tenant(&tenant).one(&INSERT, (Id::new(), "mine")).await.unwrap();
    assert_eq!(db.tenant(&tenant).all(&BODIES, ()).await.unwrap(), ["mine"]);
}

#[tokio::test]
async fn a_login_that_may_not_make_roles_is_told_what_somebody_else_can_run() {
    let server = Postgres::exclusive().await.unwrap();
    let mut config = Config::new(server.url());
    let admin = admin(&config).await;
    make_login(&admin, "nobody_much", "").await;
    config.url = login(&config, "nobody_much");
    for _ in 0..12 {
        let error = match bootstrap(&config, &[NOTES]).await {
            Ok(_) => return drop(Db::connect(&config).await.unwrap()),
            Err(error) => error.to_string(),
        };
        let (_, statement) =
            error.split_once("let somebody who may run: ").unwrap_or_else(|| panic!("{error}"));
        admin.batch_execute(statement).await.unwrap();
    }
    panic!("it has run a dozen statements, and is still asked for another");
}

#[tokio::test]
async fn roles_can_have_another_prefix() {
    let server = Postgres::exclusive().await.unwrap();
    let mut config = Config::new(server.url());
    config.role_prefix = "My-team_2".to_owned();
    bootstrap(&config, &[NOTES]).await.unwrap();
    bootstrap(&config, &[NOTES]).await.unwrap();
    let db = Db::connect(&config).await.unwrap();
    assert_eq!(db.untenanted().one(&ROLE, ()).await.unwrap(), Roles::with_prefix(&config.role_prefix).app);
    db.tenant(&tenant()).one(&INSERT, (Id::new(), "theirs")).await.unwrap();
    assert_eq!(db.untenanted().one(&COUNT, ()).await.unwrap(), 0);

    for odd in ["", "it's", "a b", "\"", "\\", "tëam", &"x".repeat(41)] {
        config.role_prefix = odd.to_owned();
        assert!(matches!(Db::connect(&config).await, Err(Error::Config(_))), "{odd}");
        assert!(matches!(bootstrap(&config, &[]).await, Err(Error::Config(_))), "{odd}");
    }
}

#[tokio::test]
async fn a_database_that_would_leak_is_refused() {
    let server = Postgres::exclusive().await.unwrap();
    let config = Config::new(server.url());
    bootstrap(&config, &[NOTES]).await.unwrap();
    let admin = admin(&config).await;
    Db::connect(&config).await.unwrap();

    let cases = [
        ("alter role shared_app bypassrls", "alter role shared_app nobypassrls", "role shared_app bypasses"),
        ("alter role shared_app superuser", "alter role shared_app nosuperuser", "role shared_app bypasses"),
        (
            "alter role shared_system bypassrls",
            "alter role shared_system nobypassrls",
            "role shared_system bypasses",
        ),
        (
            "alter table notes.note no force row level security",
            "alter table notes.note force row level security",
            "notes.note has policies that its owner escapes",
        ),
    ];
    for (harm, mend, complaint) in cases {
        admin.batch_execute(harm).await.unwrap();
        let error = Db::connect(&config).await.unwrap_err();
        assert!(matches!(&error, Error::Unsafe(_)) && error.to_string().contains(complaint), "{error}");
        admin.batch_execute(mend).await.unwrap();
    }
    Db::connect(&config).await.unwrap();
}

#[tokio::test]
async fn a_database_without_its_roles_says_which_one_is_missing() {
    let server = Postgres::exclusive().await.unwrap();
    let error = Db::connect(&Config::new(server.url())).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { .. }), "{error}");
    assert!(error.to_string().contains("shared_app"), "{error}");
}

#[tokio::test]
async fn what_the_definer_may_read_is_not_the_owners_to_show() {
    let server = Postgres::exclusive().await.unwrap();
    let config = Config::new(server.url());
    let admin = admin(&config).await;
    // As an earlier set-up may have left it: the owner inherits.
    admin
        .batch_execute(
            "create role shared_owner nologin; create role shared_definer nologin; grant shared_definer to shared_owner",
        )
        .await
        .unwrap();
    bootstrap(&config, &[NOTES]).await.unwrap();
    admin
        .batch_execute(
            "set role shared_owner;
             grant select on notes.note to shared_definer;
             create policy definer_reads on notes.note for select to shared_definer using (true);
             create view notes.every_note as select body from notes.note;
             grant select on notes.every_note to shared_app",
        )
        .await
        .unwrap();
    let db = Db::connect(&config).await.unwrap();
    db.tenant(&tenant()).one(&INSERT, (Id::new(), "mine")).await.unwrap();
    assert_eq!(db.tenant(&tenant()).one(&VIEWED, ()).await.unwrap(), 0);
}
