//! What `shared_db.tenant_table` makes of a table, and what it refuses.

use shared_core::Id;
use shared_db::{Config, Db, MigrationSet, Step, bootstrap, doctor, statements};
use shared_devkit::TestDatabase;
use tokio_postgres::Client;

use crate::server::Shared;
use crate::support::{admin, tenant};

statements! {
    const ORDER: Statement<(), i64> = "insert into t.ordered (tenant_id) values ($tenant) returning n::bigint";
    const VISIT: Statement<(Id<()>,), ()> = "insert into t.visit (tenant_id, id, day) values ($tenant, $1, '2026-01-02')";
    const VISITS: Statement<(), i64> = "select count(*) from t.visit";
    const PART: Statement<(), i64> = "select count(*) from t.visit_1";
}

async fn empty() -> (Shared, TestDatabase, Config) {
    let server = crate::server::shared().await;
    let database = server.empty_database().await.unwrap();
    let config = Config::new(database.url());
    (server, database, config)
}

fn set(sql: &str) -> MigrationSet {
    // A step's text is a constant; a test may make one.
    let steps: &'static [Step] = vec![Step::sql(1, "tables", sql.to_owned().leak())].leak();
    MigrationSet::new("t", steps).requires(&["shared_db"])
}

/// The policies of all tables in `t`, and who may do what there.
async fn state(admin: &Client) -> Vec<String> {
    const STATE: &str = "
        select format('%s %s %s %s', tablename, policyname, qual, with_check) from pg_policies where schemaname = 't'
         union all
        select format('%s %s %s %s', relname, relacl, relrowsecurity, relforcerowsecurity)
          from pg_class where relnamespace = 't'::regnamespace
         order by 1";
    admin.query(STATE, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_second_call_changes_nothing_and_mends_what_is_broken() {
    let (_server, _database, config) = empty().await;
    let tables = "create table t.x (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id));
         create table t.y (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id));
         select shared_db.tenant_table('t.x'); select shared_db.family_table('t.y');
         revoke update, delete on t.x from {app};";
    bootstrap(&config, &[set(tables)]).await.unwrap();
    let admin = admin(&config).await;
    let before = state(&admin).await;
    let again =
        "select shared_db.tenant_table('t.x'), shared_db.family_table('t.y'), shared_db.tenant_table('t.y')";
    admin.batch_execute(again).await.unwrap();
    assert_eq!(state(&admin).await, before);

    let harm = "alter table t.x no force row level security; drop policy across on t.x; alter policy tenant on t.x using (true)";
    admin.batch_execute(harm).await.unwrap();
    assert_eq!(doctor(&config).await.unwrap().alarms().count(), 2);
    admin.batch_execute(again).await.unwrap();
    assert_eq!(state(&admin).await, before);
}

#[tokio::test]
async fn a_foreign_key_between_tenants_tables_names_the_tenant() {
    let (_server, _database, config) = empty().await;
    const PARENT: &str =
        "create table t.p (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id));
         create table t.world (id uuid primary key);";
    let cases = [
        // The key of another tenant under another name.
        "create table t.x (tenant_id uuid not null, owner uuid, p uuid, foreign key (owner, p) references t.p);
         select shared_db.tenant_table('t.x')",
        // The parent comes after its child.
        "create table t.x (tenant_id uuid not null, owner uuid, p uuid, foreign key (owner, p) references t.p);
         select shared_db.tenant_table('t.p')",
        // Who refers to it is nobody's.
        "create table t.x (owner uuid, p uuid, foreign key (owner, p) references t.p); select shared_db.tenant_table('t.p')",
    ];
    for case in cases {
        let error = bootstrap(&config, &[set(&format!("{PARENT} {case}"))]).await.unwrap_err().to_string();
        assert!(error.contains("foreign key x_owner_p_fkey of t.x must be of (tenant_id, ..)"), "{error}");
    }
    let right = "create table t.x (tenant_id uuid not null, p uuid, world uuid references t.world, foreign key (tenant_id, p) references t.p);
         select shared_db.tenant_table('t.p'); select shared_db.tenant_table('t.x')";
    bootstrap(&config, &[set(&format!("{PARENT} {right}"))]).await.unwrap();
    assert_eq!(doctor(&config).await.unwrap().findings(), []);
}

#[tokio::test]
async fn partitions_are_as_safe_as_their_parent_and_reached_through_it() {
    let (_server, _database, config) = empty().await;
    let tables = "create table t.visit (tenant_id uuid not null, id uuid not null, day date not null, primary key (tenant_id, id, day))
             partition by range (day);
         create table t.visit_1 partition of t.visit for values from ('2026-01-01') to ('2026-02-01');
         select shared_db.tenant_table('t.visit');
         create table t.visit_2 partition of t.visit for values from ('2026-02-01') to ('2026-03-01');
         select shared_db.tenant_table('t.visit_2');";
    bootstrap(&config, &[set(tables)]).await.unwrap();
    assert_eq!(doctor(&config).await.unwrap().findings(), []);
    let db = Db::connect(&config).await.unwrap();
    let (a, b) = (tenant(), tenant());
    db.tenant(&a).execute(&VISIT, (Id::new(),)).await.unwrap();
    assert_eq!(db.tenant(&a).one(&VISITS, ()).await.unwrap(), 1);
    assert_eq!(db.tenant(&b).one(&VISITS, ()).await.unwrap(), 0);
    assert!(db.tenant(&a).one(&PART, ()).await.unwrap_err().is_permission_denied());
}

#[tokio::test]
async fn serial_columns_work_for_the_app_role() {
    let (_server, _database, config) = empty().await;
    let tables = "create table t.ordered (tenant_id uuid not null, n serial, id bigint generated always as identity, primary key (tenant_id, n));
         select shared_db.tenant_table('t.ordered');";
    bootstrap(&config, &[set(tables)]).await.unwrap();
    let db = Db::connect(&config).await.unwrap();
    assert_eq!(db.tenant(&tenant()).one(&ORDER, ()).await.unwrap(), 1);
    assert_eq!(db.tenant(&tenant()).one(&ORDER, ()).await.unwrap(), 2);
}
