//! PgBouncer in transaction mode, in front of a PostgreSQL of devkit.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::try_join_all;
use shared_core::{AssumedTenant, Secret, TenantId};
use shared_db::{Db, Error, MigrationSet, Statement, Step, bootstrap, statements};
use shared_devkit::{Postgres, TestDatabase};
use system_tests::PGBOUNCER;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config, NoTls};

use crate::process::{Place, Server, free_port, run};

struct Bouncer {
    port: u16,
    _server: Server,
    database: TestDatabase,
    _postgres: Postgres,
}

impl Bouncer {
    async fn start() -> Self {
        let postgres = Postgres::shared().await.expect("a server");
        let database = postgres.empty_database().await.expect("a database");
        let (place, port) = (Place::new(), free_port());
        let settings = place.write("pgbouncer.ini", settings(database.url(), port).await);
        let mut command = place.command(&PGBOUNCER);
        command.arg(settings);
        let mut server = Server::start(command, place);
        server.until("PgBouncer answers", async || connect(port).await).await;
        Self { port, _server: server, database, _postgres: postgres }
    }

    async fn connect(&self) -> Client {
        connect(self.port).await.expect("a connection")
    }
}

/// Two connections to the server; whoever asks, asks as the superuser of the database.
async fn settings(url: &str, port: u16) -> String {
    let server: Config = url.parse().expect("a URL");
    let Host::Tcp(host) = &server.get_hosts()[0] else { panic!("a host with a port") };
    let password = String::from_utf8_lossy(server.get_password().expect("a password"));
    let (user, database) = (server.get_user().expect("a user"), server.get_dbname().expect("a database"));
    // It keeps statements apart where it can, which is from 1.21 on, and by default from 1.24 on.
    let plain = if keeps_statements().await { "max_prepared_statements = 0" } else { "" };
    format!(
        "[databases]\n\
         test = host={host} port={} dbname={database} user={user} password={password}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = any\n\
         pool_mode = transaction\n\
         default_pool_size = 2\n\
         {plain}\n",
        server.get_ports()[0],
    )
}

async fn keeps_statements() -> bool {
    let mut command = Place::new().command(&PGBOUNCER);
    let (_, said) = run(command.current_dir("/").arg("--version")).await;
    // "PgBouncer 1.18.0".
    let minor = said.split('.').nth(1).and_then(|minor| minor.parse().ok());
    minor.is_some_and(|minor: u32| minor >= 21)
}

async fn connect(port: u16) -> Option<Client> {
    let url = format!("postgres://anybody@127.0.0.1:{port}/test");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

#[tokio::test]
async fn a_query_goes_through() {
    let bouncer = Bouncer::start().await;
    let client = bouncer.connect().await;
    client.batch_execute("select 1").await.expect("a simple query");
    // Prepared without a name, bound and run in one message.
    let row =
        client.query_typed("select $1 + 1", &[(&1, Type::INT4)]).await.expect("a query with a parameter");
    assert_eq!(row[0].get::<_, i32>(0), 2);
}

#[tokio::test]
async fn a_prepared_statement_is_lost_with_the_transaction_that_made_it() {
    let bouncer = Bouncer::start().await;
    let (one, other) = (bouncer.connect().await, bouncer.connect().await);
    let prepared = one.prepare("select 1").await.expect("prepared on the first connection to the server");
    other.batch_execute("begin").await.expect("the first connection is taken, and kept");
    let error = one.query(&prepared, &[]).await.expect_err("the second connection knows no statement");
    assert_eq!(error.code(), Some(&SqlState::INVALID_SQL_STATEMENT_NAME));
}

const NOTES: MigrationSet = MigrationSet::new(
    "notes",
    &[Step::sql(
        1,
        "note",
        "create type notes.colour as enum ('red', 'blue');
         create table notes.note (
             tenant_id uuid not null, id bigint generated always as identity, body text not null,
             colour notes.colour not null default 'red', primary key (tenant_id, id));
         select shared_db.tenant_table('notes.note');",
    )],
)
.requires(&["shared_db"]);

statements! {
    const INSERT: Statement<(String,), i64> = "
        insert into notes.note (tenant_id, body) values ($tenant, $1) returning id";
    const BODIES: Statement<(), String> = "select body from notes.note where tenant_id = $tenant order by id";
    const COLOURS: Statement<(), String> = "select colour from notes.note where tenant_id = $tenant";
    const COLOUR_NAMES: Statement<(), String> = "select colour::text from notes.note where tenant_id = $tenant";
    const PAINT: Statement<(String,), ()> = "update notes.note set colour = $1 where tenant_id = $tenant";
    const ALL: Statement<(), i64> = "select count(*) from notes.note";
    const SESSION: Statement<(), (String, String, String)> = "
        select current_user::text, current_setting('statement_timeout'), coalesce(current_setting('app.tenant_id', true), '')";
    const SLEEP: Statement<(f64,), ()> = "select pg_sleep($1)";
}

/// The settings of a service whose URL leads to PgBouncer.
async fn pooled(bouncer: &Bouncer) -> shared_db::Config {
    pooled_as(bouncer, "shared").await
}

async fn pooled_as(bouncer: &Bouncer, prefix: &str) -> shared_db::Config {
    let direct = Secret::new(bouncer.database.url());
    let mut config = shared_db::Config::new(format!("postgres://postgres@127.0.0.1:{}/test", bouncer.port));
    config.pooler = true;
    config.role_prefix = prefix.to_owned();
    config.owner_url = Some(direct.clone());
    bootstrap(&config, &[NOTES]).await.expect("the migrations, past the pooler");
    assert!(matches!(
        Db::connect(&config).await.expect("a pool").listen(&["notes"]).await,
        Err(Error::Config(_))
    ));
    config.direct_url = Some(direct);
    config
}

fn tenant() -> AssumedTenant {
    AssumedTenant::new(TenantId::new(), "a test has no token")
}

#[tokio::test]
async fn behind_it_tenants_share_two_connections_and_no_row() {
    let bouncer = Bouncer::start().await;
    let db = Db::connect(&pooled(&bouncer).await).await.expect("a pool");
    let tenants = (0..20).map(async |number| -> Result<(), Error> {
        let tenant = tenant();
        let (door, mine) = (db.tenant(&tenant), format!("note of {number}"));
        for round in 1..=10 {
            door.one(&INSERT, (&mine,)).await?;
            door.tx(async |tx| -> Result<(), Error> {
                tx.one(&INSERT, (&mine,)).await?;
                assert_eq!(tx.all(&BODIES, ()).await?, vec![mine.clone(); 2 * round]);
                Ok(())
            })
            .await?;
        }
        Ok(())
    });
    try_join_all(tenants).await.expect("every statement goes through");
    assert_eq!(db.untenanted().one(&ALL, ()).await.expect("a count"), 0, "without a tenant nothing shows");
    assert_eq!(db.across_tenants("a test counts").one(&ALL, ()).await.expect("a count"), 400);
}

#[tokio::test]
async fn behind_it_role_and_settings_go_with_each_transaction_and_stay_nowhere() {
    let bouncer = Bouncer::start().await;
    let db = Db::connect(&pooled(&bouncer).await).await.expect("a pool");
    let session = |role: &str, tenant: &str| (role.to_owned(), "30s".to_owned(), tenant.to_owned());
    assert_eq!(db.untenanted().one(&SESSION, ()).await.expect("a row"), session("shared_app", ""));
    assert_eq!(db.system().one(&SESSION, ()).await.expect("a row"), session("shared_system", ""));
    let tenant = tenant();
    let id = shared_core::InTenant::context(&tenant).tenant().to_string();
    assert_eq!(db.tenant(&tenant).one(&SESSION, ()).await.expect("a row"), session("shared_app", &id));

    let others = bouncer.connect().await;
    for _ in 0..4 {
        let row = others.simple_query("select current_user, current_setting('app.tenant_id', true)").await;
        let text = format!("{:?}", row.expect("a row"));
        assert!(text.contains("postgres") && !text.contains(&id), "{text}");
    }
    let prepared = others.simple_query("select name from pg_prepared_statements").await.expect("a list");
    let rows =
        prepared.iter().filter(|message| matches!(message, tokio_postgres::SimpleQueryMessage::Row(_)));
    assert_eq!(rows.count(), 0, "nothing that was prepared stays on a connection of the pooler");
}

#[tokio::test]
async fn behind_it_a_dropped_future_leaves_no_query_and_others_go_on() {
    let bouncer = Bouncer::start().await;
    let db = Db::connect(&pooled(&bouncer).await).await.expect("a pool");
    let door = db.untenanted();
    for _ in 0..10 {
        let sleeping = door.execute(&SLEEP, (60.0,));
        let given_up = tokio::time::timeout(Duration::from_millis(50), sleeping).await;
        assert!(given_up.is_err(), "{given_up:?}");
    }
    let (server, connection) = tokio_postgres::connect(bouncer.database.url(), NoTls).await.expect("past it");
    tokio::spawn(connection);
    let asleep = "select count(*) from pg_stat_activity
        where datname = current_database() and state = 'active' and query like '%pg_sleep%' and pid <> pg_backend_pid()";
    let noticed = async {
        while server.query_one(asleep, &[]).await.expect("a count").get::<_, i64>(0) > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await; // a condition is polled
        }
    };
    tokio::time::timeout(Duration::from_secs(20), noticed).await.expect("no query runs on");
    let tenant = tenant();
    let done = tokio::time::timeout(Duration::from_secs(20), db.tenant(&tenant).one(&INSERT, ("on",))).await;
    done.expect("in time").expect("a row");
}

#[tokio::test]
async fn behind_it_a_first_use_that_is_dropped_at_any_point_leaves_nothing_prepared() {
    let bouncer = Bouncer::start().await;
    let db = Db::connect(&pooled(&bouncer).await).await.expect("a pool");
    let tenant = tenant();
    for number in 0..150_i64 {
        // A statement's text is a constant; a test may make one. Nobody has asked for its types yet.
        let sql: &'static str = format!("select {number}::int8 + $1 from notes.note").leak();
        let made = Statement::<(i64,), i64>::from_macro("MADE", sql, false);
        let door = db.tenant(&tenant);
        let mut asked = pin!(door.all(&made, (1_i64,)));
        // So many polls, and no more.
        for _ in 0..number % 15 {
            if tokio::time::timeout(Duration::from_micros(300), asked.as_mut()).await.is_ok() {
                break;
            }
        }
    }
    db.tenant(&tenant).one(&INSERT, ("on",)).await.expect("the pool serves");
    assert_eq!(db.tenant(&tenant).all(&BODIES, ()).await.expect("its row"), ["on"]);
    let others = bouncer.connect().await;
    for _ in 0..4 {
        let prepared =
            others.query_typed("select count(*) from pg_prepared_statements", &[]).await.expect("a count");
        assert_eq!(
            prepared[0].get::<_, i64>(0),
            0,
            "nothing that was prepared stays on a connection of the pooler"
        );
    }
}

#[tokio::test]
async fn behind_it_a_role_that_is_taken_away_is_an_error_and_leaves_nothing_open() {
    let bouncer = Bouncer::start().await;
    // Of its own, since the roles of a server belong to all its databases.
    let prefix = format!("lost{}", bouncer.port);
    let mut config = pooled_as(&bouncer, &prefix).await;
    config.pool_size = 1;
    let db = Db::connect(&config).await.expect("a pool");
    let others = bouncer.connect().await;
    let run = async |sql: String| others.batch_execute(&sql).await.expect("it is allowed");
    run(format!("alter role {prefix}_app rename to {prefix}_gone")).await;
    for _ in 0..3 {
        let error = db.untenanted().one(&ALL, ()).await.expect_err("there is no such role");
        assert_eq!(error.code(), Some("22023"), "{error}");
    }
    run(format!("alter role {prefix}_gone rename to {prefix}_app")).await;
    assert_eq!(db.untenanted().one(&ALL, ()).await.expect("it is back"), 0);

    let roles =
        ["owner", "app", "system", "across", "definer"].map(|role| format!("{prefix}_{role}")).join(", ");
    run(format!("drop owned by {roles} cascade; drop role {roles}")).await;
}

#[tokio::test]
async fn behind_it_types_that_are_not_built_in_are_told_and_harm_nobody() {
    let bouncer = Bouncer::start().await;
    let mut config = pooled(&bouncer).await;
    config.pool_size = 1;
    let db = Db::connect(&config).await.expect("a pool");
    let tenant = tenant();
    let door = db.tenant(&tenant);
    door.one(&INSERT, ("red",)).await.expect("a row");
    for _ in 0..3 {
        let read = door.all(&COLOURS, ()).await.expect_err("an enum");
        assert!(
            read.to_string().contains("column `colour` is notes.colour, which can't be read behind a pooler"),
            "{read}"
        );
        let written = door.execute(&PAINT, ("blue",)).await.expect_err("no text");
        assert!(written.to_string().contains("parameter"), "{written}");
        assert_eq!(door.all(&COLOUR_NAMES, ()).await.expect("texts"), ["red"]);
    }
}
