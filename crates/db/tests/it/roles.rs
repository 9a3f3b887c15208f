//! Who may do what: the logins and roles of a server of one's own, since roles belong to all its databases.

use shared_core::{Id, Secret};
use shared_db::{Config, Db, Error, MigrationSet, Roles, Step, bootstrap, statements};
use tokio_postgres::Client;

use crate::support::{self, BODIES, COUNT, INSERT, NOTES, admin, tenant};

statements! {
    const ROLE: Statement<(), String> = "select current_user::text";
    const VIEWED: Statement<(), i64> = "select count(*) from notes.every_note";
}

/// The same URL for another user.
pub(crate) fn login(config: &Config, user: &str) -> Secret {
    let url = config.url.expose();
    let at = url.find('@').unwrap();
    Secret::new(format!("postgres://{user}:secret{}", &url[at..]))
}

pub(crate) async fn make_login(admin: &Client, name: &str, rights: &str) {
    admin.batch_execute(&format!("create role {name} login {rights} password 'secret'")).await.unwrap();
}

#[tokio::test]
async fn separate_logins_need_no_more_than_their_roles() {
    let server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    let admin = admin(&config).await;
    make_login(&admin, "migrates", "createrole").await;
    make_login(&admin, "serves", "").await;
    make_login(&admin, "relays", "").await;
    (config.owner_url, config.system_url) =
        (Some(login(&config, "migrates")), Some(login(&config, "relays")));
    config.url = login(&config, "serves");

    // The one thing that takes a superuser, where the server has it.
    const EXTENSION: &str = "do $$ begin
        if exists (select from pg_available_extensions where name = 'vector') then create extension vector; end if; end $$";
    admin.batch_execute(EXTENSION).await.unwrap();
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
    let server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    let admin = admin(&config).await;
    make_login(&admin, "nobody_much", "").await;
    config.url = login(&config, "nobody_much");
    for _ in 0..20 {
        let error = match bootstrap(&config, &[NOTES]).await {
            Ok(_) => return drop(Db::connect(&config).await.unwrap()),
            Err(error) => error.to_string(),
        };
        let (_, statement) =
            error.split_once("let somebody who may run: ").unwrap_or_else(|| panic!("{error}"));
        admin.batch_execute(statement).await.unwrap();
    }
    panic!("it has run twenty statements, and is still asked for another");
}

#[tokio::test]
async fn a_migration_makes_no_roles() {
    const MAKES_ONE: MigrationSet =
        MigrationSet::new("notes", &[Step::sql(1, "role", "create role made_by_a_migration")]);
    let server = crate::server::exclusive().await;
    // The login may do everything; what migrates may not.
    let error = bootstrap(&Config::new(server.url()), &[MAKES_ONE]).await.unwrap_err().to_string();
    assert!(error.contains("notes 0001_role") && error.contains("42501"), "{error}");
}

#[tokio::test]
async fn roles_can_have_another_prefix() {
    let server = crate::server::exclusive().await;
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
    let server = crate::server::exclusive().await;
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
    let server = crate::server::exclusive().await;
    let error = Db::connect(&Config::new(server.url())).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { .. }), "{error}");
    assert!(error.to_string().contains("shared_app"), "{error}");
}

#[tokio::test]
async fn what_the_definer_may_read_is_not_the_owners_to_show() {
    let server = crate::server::exclusive().await;
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

#[tokio::test]
async fn the_login_of_requests_cannot_become_more() {
    let server = crate::server::exclusive().await;
    let mut config = Config::new(server.url());
    let admin = admin(&config).await;
    make_login(&admin, "serves", "").await;
    make_login(&admin, "relays", "").await;
    config.owner_url = Some(config.url.clone());
    (config.url, config.system_url) = (login(&config, "serves"), Some(login(&config, "relays")));
    bootstrap(&config, &[NOTES]).await.unwrap();
    let db = Db::connect(&config).await.unwrap();
    db.tenant(&tenant()).one(&INSERT, (Id::new(), "a's")).await.unwrap();
    assert_eq!(db.across_tenants("the system login may").one(&COUNT, ()).await.unwrap(), 1);

    let may_take_on = async |url: &Secret| {
        let client = support::admin(&Config::new(url.expose())).await;
        let mut roles = Vec::new();
        for role in ["owner", "app", "system", "across", "definer"] {
            if client.batch_execute(&format!("set role shared_{role}")).await.is_ok() {
                roles.push(role);
            }
        }
        roles
    };
    assert_eq!(may_take_on(&config.url).await, ["app"]);
    assert_eq!(may_take_on(config.system_url.as_ref().unwrap()).await, ["system", "across"]);
    // As itself, without taking on a role, neither sees a row. Before 16 a login has what its roles have, at any time.
    let before_16 = "select current_setting('server_version_num')::int < 160000";
    let inherits: bool = admin.query_one(before_16, &[]).await.unwrap().get(0);
    for (url, sees) in [(&config.url, false), (config.system_url.as_ref().unwrap(), inherits)] {
        let client = support::admin(&Config::new(url.expose())).await;
        let seen = client.query_one("select count(*) from notes.note", &[]).await;
        assert_eq!(seen.map_or(0, |row| row.get::<_, i64>(0)), i64::from(sees), "without its role");
    }
}
