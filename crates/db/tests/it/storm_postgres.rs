//! The storm over Postgres: every way of using a database, of 20 tenants, over 8 connections of each role.

use shared_core::{AssumedTenant, Id, Secret};
use shared_db::{Closed, Db, Door, Error, Isolation, Many, TenantTx, statements};

use crate::storm::{Aftermath, Storm};
use crate::support::{Collecting, Done, INSERT, admin, at_work, connected_with, tenant};

statements! {
    const ECHO: Statement<(i64, f64), i64> = "select $1::bigint from pg_sleep($2)";
    const EACH: Statement<(i64, f64), i64> = "select $1::bigint from generate_series(1, 3), pg_sleep($2)";
    const IMPORT: Statement<Many<(Id<()>, String)>, ()> = "
        insert into notes.note (tenant_id, id, body) select $tenant, id, body from unnest($1::uuid[], $2::text[]) as new (id, body)";
    const COUNTRIES: CopyIn<(String, String)> = "notes.country (code, name)";
    const OUT: CopyOut<(String,)> = "select code from notes.country";
    /// Who a connection is, and what it has of a session's own: everything that another user could have left.
    const WHO: Statement<(i64,), (i64, i32, String, i64, i64)> = "
        select $1::bigint, pg_backend_pid(), coalesce(current_setting('app.tenant_id', true), ''),
               (select count(*) from pg_catalog.pg_settings where source = 'session'),
               (select count(*) from pg_catalog.pg_locks where pid = pg_backend_pid() and locktype = 'advisory')
               + (select count(*) from pg_catalog.pg_class where relnamespace = pg_my_temp_schema())";
}

pub(crate) const CONNECTIONS: u32 = 8;
const TENANTS: usize = 20;

/// One of the ways to use a database. It returns what is wrong with the answer.
async fn use_it(db: Db, tenant: AssumedTenant, nonce: u64, pause: f64) -> Result<Result<(), String>, Error> {
    let (asked, tenant) = (nonce as i64, db.tenant(&tenant));
    let answer = match nonce % 9 {
        0 => tenant.one(&ECHO, (asked, pause)).await?,
        1 => db.untenanted().one(&ECHO, (asked, pause)).await?,
        2 => db.system().tx(async |tx| tx.one(&ECHO, (asked, pause)).await).await?,
        3 => {
            let work = async |tx: &mut TenantTx| -> Done<i64> {
                tx.at_commit::<Collecting>().0.push("collected".to_owned());
                tx.savepoint(async |tx| tx.one(&ECHO, (asked, pause)).await).await
            };
            tenant.tx(work).await?
        }
        4 => db.across_tenants("a test").one(&ECHO, (asked, pause)).await?,
        5 => {
            let serializable = tenant.isolation(Isolation::Serializable).retrying();
            serializable.tx(async |tx| -> Done<i64> { tx.one(&ECHO, (asked, pause)).await }).await?
        }
        6 => {
            let mut tx = tenant.begin().await?;
            tx.execute_many(&IMPORT, (0..10).map(|_| (Id::new(), "many"))).await?;
            let (mut last, mut rows) = (asked, tx.stream(&EACH, (asked, pause / 3.0)).await?);
            while let Some(row) = rows.next().await? {
                last = row;
            }
            last
        }
        7 => {
            let mut tx = db.untenanted().begin().await?;
            let mut copy = tx.copy_in(&COUNTRIES).await?;
            copy.write((asked.to_string(), "a country")).await?;
            copy.finish().await?;
            let (mut last, mut rows) = (asked, tx.copy_out(&OUT).await?);
            while let Some((code,)) = rows.next().await? {
                last = code.parse().unwrap_or(-1);
            }
            last
        }
        _ => {
            let mut tx = tenant.begin().await?;
            tx.one(&INSERT, (Id::new(), "left open")).await?;
            tx.one(&ECHO, (asked, pause)).await?
        }
    };
    Ok(if answer == asked { Ok(()) } else { Err(format!("asked for {asked}, answered {answer}")) })
}

/// What the storm leaves of a database.
pub(crate) async fn postgres(storm: Storm) -> Aftermath {
    let (mut database, db) = connected_with(CONNECTIONS).await;
    drop(db);
    // It is no replica, and reads nothing; but commits now say where they were.
    database.config.replica_urls = vec![Secret::new(&*database.direct)];
    let db = Db::connect(&database.config).await.unwrap();
    db.on_crossing(|_| {}).unwrap();
    let admin = admin(&database.config).await;
    let tenants: Vec<_> = (0..TENANTS).map(|_| tenant()).collect();

    let mut aftermath = storm
        .rage(24, |nonce| {
            let pause = [0.0, 0.0005, 0.005, 30.0][(storm.random(nonce) >> 8) as usize % 4];
            use_it(db.clone(), tenants[nonce as usize % TENANTS].clone(), nonce, pause)
        })
        .await;
    aftermath.keep_running(async || at_work(&admin).await).await;
    aftermath.discarded = db.status().discarded;
    look_at_each(&mut aftermath, &db.untenanted()).await;
    look_at_each(&mut aftermath, &db.system()).await;
    let closed = db.close(std::time::Duration::from_secs(5)).await;
    if closed != Closed::default() {
        aftermath.running.push(format!("{closed:?}"));
    }
    aftermath
}

/// Takes all connections of a role at once, and asks each who it is.
pub(crate) async fn look_at_each(aftermath: &mut Aftermath, door: &Door) {
    let mut held = Vec::new();
    for nonce in 0..i64::from(CONNECTIONS) {
        let mut tx = door.begin().await.unwrap();
        let (answer, backend, tenant, settings, kept) = tx.one(&WHO, (nonce,)).await.unwrap();
        if answer != nonce || kept != 0 || held.iter().any(|(other, _)| *other == backend) {
            aftermath
                .poisoned
                .push(format!("connection {backend} answers {answer} for {nonce}, and keeps {kept}"));
        }
        if !tenant.is_empty() || settings != 0 {
            aftermath
                .leaked
                .push(format!("connection {backend} has tenant `{tenant}` and {settings} settings"));
        }
        held.push((backend, tx));
    }
}
