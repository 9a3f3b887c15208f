//! The doctor finds each thing that would leak, and what it advises mends it.

use shared_core::schema::Profile;
use shared_db::Severity::{self, Alarm, Note, Warning};
use shared_db::{Config, MigrationSet, Report, Step, bootstrap, doctor};
use shared_devkit::Postgres;
use tokio_postgres::Client;

use crate::support::{NOTES, admin, database};

/// Tables of every kind, made right.
const SHOP: MigrationSet = MigrationSet::new(
    "shop",
    &[Step::sql(
        1,
        "tables",
        "create table shop.basket (tenant_id uuid not null, id uuid not null, primary key (tenant_id, id));
         select shared_db.tenant_table('shop.basket');
         create table shop.line (
             tenant_id uuid not null, basket uuid not null, n serial, sku text not null, primary key (tenant_id, basket, n),
             foreign key (tenant_id, basket) references shop.basket);
         select shared_db.tenant_table('shop.line');
         create table shop.visit (
             tenant_id uuid not null, id bigint generated always as identity, day date not null, primary key (tenant_id, id, day))
             partition by range (day);
         create table shop.visit_2026 partition of shop.visit for values from ('2026-01-01') to ('2027-01-01');
         select shared_db.tenant_table('shop.visit');
         create view shop.baskets with (security_invoker = true) as select id from shop.basket;
         grant select on shop.baskets to {app};",
    )],
)
.requires(&["shared_db"]);

/// Something that goes wrong, what the doctor says of it, and how it is undone where its advice is no statement.
struct Case {
    harm: &'static str,
    severity: Severity,
    object: &'static str,
    wrong: &'static str,
    undo: Option<&'static str>,
}

const fn mended(harm: &'static str, severity: Severity, object: &'static str, wrong: &'static str) -> Case {
    Case { harm, severity, object, wrong, undo: None }
}

const fn undone(
    harm: &'static str,
    undo: &'static str,
    severity: Severity,
    object: &'static str,
    wrong: &'static str,
) -> Case {
    Case { harm, severity, object, wrong, undo: Some(undo) }
}

/// Does the harm, finds it, mends it, and finds nothing more.
async fn is_found_and_mended(config: &Config, admin: &Client, case: &Case) {
    admin.batch_execute(case.harm).await.unwrap_or_else(|error| panic!("{}: {error}", case.harm));
    let report = doctor(config).await.unwrap();
    let is_it = |finding: &&shared_db::Finding| {
        finding.severity == case.severity
            && finding.object == case.object
            && finding.wrong.contains(case.wrong)
    };
    let finding = report.findings().iter().find(is_it).unwrap_or_else(|| panic!("{}:\n{report}", case.harm));
    let mend = case.undo.unwrap_or(&finding.mend);
    admin.batch_execute(mend).await.unwrap_or_else(|error| panic!("{mend}: {error}"));
    let report = doctor(config).await.unwrap();
    assert_eq!(report.findings(), [], "after {}, and {mend}:\n{report}", case.harm);
}

async fn shop() -> (Postgres, Config, Client) {
    let server = crate::server::exclusive().await;
    let config = Config::new(server.url());
    bootstrap(&config, &[NOTES, SHOP]).await.unwrap();
    let admin = admin(&config).await;
    (server, config, admin)
}

#[tokio::test]
async fn a_database_as_bootstrap_leaves_it_is_as_it_should_be() {
    let (_server, config, _admin) = shop().await;
    let report = doctor(&config).await.unwrap();
    assert_eq!(report.to_string(), "the database is as it should be\n");
}

#[tokio::test]
async fn roles_that_see_too_much_are_found() {
    let (_server, config, admin) = shop().await;
    let cases = [
        mended("alter role shared_app bypassrls", Alarm, "role shared_app", "bypasses"),
        mended("alter role shared_across superuser", Alarm, "role shared_across", "is a superuser"),
        mended("alter role shared_owner bypassrls", Alarm, "role shared_owner", "bypasses"),
        mended("grant shared_owner to shared_app", Alarm, "role shared_app", "is a member of shared_owner"),
        mended(
            "grant shared_across to shared_system",
            Alarm,
            "role shared_system",
            "is a member of shared_across",
        ),
        mended(
            "grant pg_read_all_data to shared_app",
            Alarm,
            "role shared_app",
            "is a member of pg_read_all_data",
        ),
        mended(
            // The default follows the role, and before 16 there is no other way to say it.
            "revoke shared_definer from shared_owner; alter role shared_owner inherit; grant shared_definer to shared_owner",
            Alarm,
            "role shared_owner",
            "inherits from shared_definer",
        ),
        mended("alter table notes.note owner to shared_app", Alarm, "notes.note", "belongs to shared_app"),
        mended("grant create on schema notes to shared_app", Warning, "schema notes", "lets shared_app make"),
    ];
    for case in &cases {
        is_found_and_mended(&config, &admin, case).await;
    }
    admin.batch_execute("alter role shared_across rename to was_across").await.unwrap();
    let report = doctor(&config).await.unwrap();
    assert_eq!(
        report.alarms().map(|alarm| alarm.object.as_str()).collect::<Vec<_>>(),
        ["role shared_across"]
    );
}

#[tokio::test]
async fn in_production_a_login_that_is_more_than_its_role_is_found() {
    let (_server, mut config, _admin) = shop().await;
    config.profile = Profile::Production;
    let report = doctor(&config).await.unwrap();
    assert_eq!(report.findings().len(), 1, "{report}");
    assert!(report.findings()[0].object.starts_with("login "), "{report}");
}

#[tokio::test]
async fn tables_that_row_level_security_does_not_hold_for_are_found() {
    let (_server, config, admin) = shop().await;
    let cases = [
        undone(
            "create table shop.bare (tenant_id uuid not null); grant select on shop.bare to shared_app",
            "drop table shop.bare",
            Alarm,
            "shop.bare",
            "no row-level security, and grants to the app role",
        ),
        undone(
            "create table shop.bare (tenant_id uuid not null); grant update (tenant_id) on shop.bare to public",
            "drop table shop.bare",
            Warning,
            "shop.bare",
            "grants update to everybody",
        ),
        mended(
            "create table shop.unseen (tenant_id uuid not null, body text)",
            Warning,
            "shop.unseen",
            "has a tenant_id and no row-level security",
        ),
        mended("alter table notes.note disable row level security", Alarm, "notes.note", "no row-level security"),
        mended("alter table notes.note no force row level security", Alarm, "notes.note", "its owner escapes"),
        mended(
            "create table shop.visit_2027 partition of shop.visit for values from ('2027-01-01') to ('2028-01-01')",
            Warning,
            "shop.visit_2027",
            "no row-level security",
        ),
        mended("alter table shop.visit_2026 no force row level security", Alarm, "shop.visit_2026", "its owner escapes"),
        mended("drop policy tenant on notes.note; drop policy across on notes.note", Warning, "notes.note", "no policy"),
        undone(
            "alter table shop.line drop constraint line_pkey; alter table shop.line alter tenant_id drop not null",
            "alter table shop.line add primary key (tenant_id, basket, n)",
            Warning,
            "shop.line",
            "not `uuid not null`",
        ),
        mended("grant select on notes.note to public", Warning, "notes.note", "grants select to everybody"),
        mended("grant truncate on notes.note to shared_app", Alarm, "notes.note", "lets shared_app truncate it"),
        undone(
            "create foreign data wrapper far; create server away foreign data wrapper far;
             create foreign table shop.afar (tenant_id uuid) server away; grant select on shop.afar to shared_app",
            "drop foreign data wrapper far cascade",
            Alarm,
            "shop.afar",
            "foreign table",
        ),
    ];
    for case in &cases {
        is_found_and_mended(&config, &admin, case).await;
    }
}

#[tokio::test]
async fn policies_that_say_more_than_the_tenant_are_found() {
    let (_server, config, admin) = shop().await;
    let tenants = "tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid";
    let wide = "has the policy wide, which is not the tenant's";
    let alarms = [
        "create policy wide on notes.note using (true)".to_owned(),
        "create policy wide on notes.note for insert to shared_app with check (true)".to_owned(),
        "create policy wide on notes.note for update to shared_app using (true)".to_owned(),
        format!("create policy wide on notes.note to shared_app using ({tenants} or body = 'shared')"),
        format!("create policy wide on notes.note to shared_app using (({tenants} and body > '') or body = 'shared')"),
        format!("create policy wide on notes.note to shared_app using ({tenants}) with check (true)"),
        "create policy wide on notes.note to shared_owner using (true)".to_owned(),
        "create policy wide on notes.note to shared_across, shared_app using (true)".to_owned(),
        "create policy wide on notes.note for delete to shared_definer using (true)".to_owned(),
        "create policy wide on notes.note to shared_app using (tenant_id = current_setting('app.other')::uuid)".to_owned(),
    ];
    for harm in alarms {
        let case = mended(harm.leak(), Alarm, "notes.note", wide);
        is_found_and_mended(&config, &admin, &case).await;
    }
    let wrapped = "drop policy tenant on notes.note; create policy tenant on notes.note to shared_app
        using (tenant_id = (select nullif(current_setting('app.tenant_id', true), '')::uuid))";
    let case = mended(wrapped, Warning, "notes.note", "in a sub-select");
    is_found_and_mended(&config, &admin, &case).await;
    let business = "create policy system on notes.note to shared_system using (true)";
    let case = mended(business, Warning, "notes.note", "to the system role, by the policy system");
    is_found_and_mended(&config, &admin, &case).await;

    // These take nothing away from the others' protection.
    let harmless = format!(
        "create policy narrow on notes.note as restrictive to shared_app using (body <> 'hidden');
         create policy own on notes.note to public using ({tenants});
         create policy recent on notes.note for select to shared_app using ({tenants} and body > 'm');
         create policy search on notes.note for select to shared_definer using (true);"
    );
    admin.batch_execute(&harmless).await.unwrap();
    let report = doctor(&config).await.unwrap();
    assert_eq!(report.findings(), [], "{report}");
}

#[tokio::test]
async fn keys_that_tell_and_indexes_that_do_not_help_are_found() {
    let (_server, config, admin) = shop().await;
    let cases = [
        undone(
            "create unique index once on notes.note (body)",
            "drop index notes.once",
            Alarm,
            "notes.once",
            "unique index of notes.note that does not begin with tenant_id",
        ),
        undone(
            "alter table notes.note add constraint apart exclude using btree (body with =)",
            "alter table notes.note drop constraint apart",
            Alarm,
            "notes.apart",
            "unique index",
        ),
        undone(
            "alter table shop.line add n2 int unique, add foreign key (n2) references shop.line (n2)",
            "alter table shop.line drop n2 cascade",
            Alarm,
            "line_n2_fkey of shop.line",
            "refers to rows of shop.line without their tenant",
        ),
        undone(
            "create table shop.gift (basket uuid, giver uuid, foreign key (giver, basket) references shop.basket)",
            "drop table shop.gift",
            Alarm,
            "gift_giver_basket_fkey of shop.gift",
            "refers to rows of shop.basket",
        ),
        undone(
            "create index by_sku on shop.line (sku)",
            "drop index shop.by_sku",
            Note,
            "shop.by_sku",
            "does not begin with tenant_id",
        ),
        undone(
            "alter table shop.line add tags text[]; create index tags on shop.line using gin (tags)",
            "alter table shop.line drop tags",
            Note,
            "shop.tags",
            "no tenant's query can use for its column tags",
        ),
        undone(
            "alter table shop.line add more jsonb; create index more on shop.line using gin (more)",
            "alter table shop.line drop more",
            Note,
            "shop.more",
            "its column more",
        ),
        undone(
            "alter table shop.line add price numeric; create index price on shop.line (tenant_id, price)",
            "alter table shop.line drop price",
            Note,
            "shop.price",
            "its column price",
        ),
    ];
    for case in &cases {
        is_found_and_mended(&config, &admin, case).await;
    }
    let good = "create index by_sku on shop.line (tenant_id, sku); create index by_basket on shop.line (tenant_id, basket)";
    admin.batch_execute(good).await.unwrap();
    assert_eq!(doctor(&config).await.unwrap().findings(), []);
}

#[tokio::test]
async fn an_index_whose_build_was_broken_off_is_found() {
    let (_server, config, admin) = shop().await;
    let rows = "insert into shop.basket select '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000';
        alter table shop.basket add name text default 'same';
        insert into shop.basket select gen_random_uuid(), gen_random_uuid()";
    admin.batch_execute(rows).await.unwrap();
    admin.batch_execute("create unique index concurrently half on shop.basket (name)").await.unwrap_err();
    let report = doctor(&config).await.unwrap();
    let half = report.findings().iter().find(|finding| finding.severity == Warning).unwrap();
    assert_eq!(
        (half.object.as_str(), half.wrong.as_str()),
        ("shop.half", "is an invalid index of shop.basket")
    );
    admin.batch_execute("delete from shop.basket").await.unwrap();
    admin.batch_execute(&half.mend).await.unwrap();
    let invalid = |report: &Report| report.findings().iter().any(|finding| finding.wrong.contains("invalid"));
    assert!(!invalid(&doctor(&config).await.unwrap()));
}

#[tokio::test]
async fn views_and_functions_that_read_as_somebody_else_are_found() {
    let (_server, config, admin) = shop().await;
    let cases = [
        mended(
            "create or replace view shop.all_notes as select * from notes.note",
            Alarm,
            "shop.all_notes",
            "without security_invoker",
        ),
        undone(
            "create view shop.over as select * from shop.baskets",
            "drop view shop.over",
            Alarm,
            "shop.over",
            "without security_invoker",
        ),
        undone(
            "create materialized view shop.copy as select * from notes.note",
            "drop materialized view shop.copy",
            Warning,
            "shop.copy",
            "is a materialised view of a tenant table",
        ),
        undone(
            "create materialized view shop.copy as select * from shop.baskets; grant select on shop.copy to shared_app",
            "drop materialized view shop.copy",
            Alarm,
            "shop.copy",
            "with a grant to the app role",
        ),
        undone(
            "create function shop.loose(int) returns int language sql security definer return 1;
             alter function shop.loose owner to shared_definer",
            "drop function shop.loose",
            Alarm,
            "function shop.loose(integer)",
            "without a search_path of its own",
        ),
        undone(
            "create function shop.mighty() returns int language sql security definer set search_path = pg_catalog return 1",
            "drop function shop.mighty",
            Alarm,
            "function shop.mighty()",
            "which no policy holds",
        ),
    ];
    for case in &cases {
        is_found_and_mended(&config, &admin, case).await;
    }
}

#[tokio::test]
async fn an_extension_that_is_too_old_is_found() {
    let (_server, config, admin) = shop().await;
    for (version, severity) in
        [("0.7.4", Some(Alarm)), ("0.8.0", Some(Warning)), ("0.8.3-dev", Some(Warning)), ("0.10", None)]
    {
        // Only the catalogue says it: no server of that age is at hand, and perhaps none with pgvector.
        let say = format!(
            "delete from pg_extension where extname = 'vector';
             insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
             values (1, 'vector', 10, 'public'::regnamespace, true, '{version}')"
        );
        admin.batch_execute(&say).await.unwrap();
        let report = doctor(&config).await.unwrap();
        let found = report.findings().iter().find(|finding| finding.object == "extension vector");
        assert_eq!(found.map(|finding| finding.severity), severity, "{version}");
    }
}

#[tokio::test]
async fn a_report_is_for_people() {
    let database = database().await;
    let admin = admin(&database.config).await;
    admin
        .batch_execute(
            "alter table notes.note no force row level security; grant select on notes.note to public",
        )
        .await
        .unwrap();
    let report = doctor(&database.config).await.unwrap();
    assert_eq!(
        report.to_string(),
        "\
ALARM: notes.note has policies that its owner escapes
    why:  the owner sees the rows of every tenant, and its views and functions show them to others
    mend: alter table notes.note force row level security;

warning: notes.note grants select to everybody
    why:  every login of the database reaches the table; then the policies alone stand in between
    mend: revoke all on notes.note from public;

alarms: 1, warnings: 1, notes: 0
"
    );
}
