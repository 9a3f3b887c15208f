//! The sealer: complete, once, whoever dies and whoever wakes up.

use std::env;
use std::time::Duration;

use shared_db::statements;
use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_security::Error;
use shared_security::audit::{Config, Sealer};

use crate::audit::support::{World, a_tenant, connect, quick, record, until};

/// The URL of the database in which a child works.
const DATABASE: &str = "AUDIT_TEST_DATABASE";

statements! {
    // Its position is drawn long before its transaction commits.
    const EARLY: Statement<(), ()> = "
        insert into shared_security.audit_log (id, tenant_id, action, outcome)
        values (gen_random_uuid(), $tenant, 'note.early', 'allowed')";
    // What a reader would ask for that trusts a number that grows.
    const BEHIND: Statement<(i64,), (i64, String)> = "
        select pos, action from shared_security.audit_log where pos > $1 order by pos";
}

const SEALED_TWICE: &str = "
    select count(*) from (select unnest(positions) from shared_security.audit_seal group by 1 having count(*) > 1) as twice";

#[tokio::test]
async fn an_open_transaction_holds_nothing_up_and_its_entries_are_sealed_when_it_commits() {
    let world = World::new().await;
    let sealer = Sealer::start(world.db.clone(), &quick()).await.unwrap();
    let mut open = world.db.tenant(&world.tenant).begin().await.unwrap();
    open.execute(&EARLY, ()).await.unwrap();
    let (mut last, mut naive) = (0, Vec::new());
    let mut read_naively = async || {
        for (pos, action) in world.db.system().all(&BEHIND, (last,)).await.unwrap() {
            last = pos;
            naive.push(action);
        }
    };
    for n in 1..=20 {
        world.record(1).await;
        until(async || world.verified().await.entries == n).await;
        read_naively().await;
    }
    open.commit().await.unwrap();
    until(async || world.verified().await.entries == 21).await;
    read_naively().await;
    assert!(world.verified().await.is_intact());
    // The control: by its number alone the late entry is never found.
    assert_eq!(naive.iter().filter(|action| *action == "note.early").count(), 0);
    assert_eq!(naive.len(), 20);
    sealer.stop().await;
}

#[tokio::test]
async fn a_backlog_of_many_pages_and_tenants_is_sealed_in_order() {
    let world = World::new().await;
    let sql = "insert into shared_security.audit_log (id, tenant_id, action, outcome)
               select gen_random_uuid(), ('00000000-0000-7000-8000-00000000000' || g % 3)::uuid, 'note.written', 'allowed'
                 from generate_series(1, 2500) g";
    world.superuser().await.batch_execute(sql).await.unwrap();
    world.seal().await;
    let report = world.verified().await;
    assert!(report.is_intact(), "{report}");
    assert_eq!((report.tenants, report.batches, report.entries), (3, 9, 2500), "{report}");
    assert_eq!(world.number(SEALED_TWICE).await, 0);
}

/// What was committed and unsealed at each cut, and how many milliseconds lay between that cut and the one before.
const TAILS: &str = "
    select sum(cardinality(positions))::bigint, (extract(epoch from max(until - since)) * 1000)::bigint
      from shared_security.audit_seal group by until order by until";

/// Thousands a second come; a look every two seconds would find more than a thousand each time, the oldest of them two seconds old.
/// How fast they come is the machine's: where pages fill within a second, the second is the bound. A busy machine can delay any one
/// look, so the bound is on most of them.
#[tokio::test]
async fn the_faster_entries_come_the_sooner_it_looks_and_the_tail_stays_within_a_second_or_a_thousand() {
    let world = World::new().await;
    let config = Config { seal_every: Duration::from_secs(2), lease: Duration::from_secs(60), ..quick() };
    let writer = world.superuser().await;
    let write = async |entries: i32| {
        let sql = "insert into shared_security.audit_log (id, tenant_id, action, outcome)
                   select gen_random_uuid(), '00000000-0000-7000-8000-000000000001', 'note.written', 'allowed'
                     from generate_series(1, $1)";
        writer.execute(sql, &[&entries]).await.unwrap();
    };
    let tails = async || -> Vec<(i64, i64)> {
        writer.query(TAILS, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    write(2500).await;
    let sealer = Sealer::start(world.db.clone(), &config).await.unwrap();
    while tails().await.len() <= 20 {
        for _ in 0..50 {
            write(5).await;
        }
    }
    // The first cut is that of the entries which were there before.
    let tails = tails().await.split_off(1);
    let within =
        tails.iter().filter(|(entries, milliseconds)| *entries <= 1000 || *milliseconds <= 1000).count();
    assert!(within * 2 > tails.len(), "entries and milliseconds of each tail: {tails:?}");
    sealer.stop().await;
    assert!(world.verified().await.is_intact());
}

#[tokio::test]
async fn one_of_several_seals_and_another_takes_over() {
    let world = World::new().await;
    let sealers = [
        Sealer::start(world.db.clone(), &quick()).await.unwrap(),
        Sealer::start(world.db.clone(), &quick()).await.unwrap(),
    ];
    world.record(5).await;
    world.sealed().await;
    let [first, second] = sealers;
    // Not handed on: it expires.
    drop(first);
    world.record(5).await;
    world.sealed().await;
    second.stop().await;
    let report = world.verified().await;
    assert!(report.is_intact() && report.entries == 10, "{report}");
    assert_eq!(world.number(SEALED_TWICE).await, 0);
}

#[tokio::test]
async fn a_stop_seals_what_was_committed_before() {
    let world = World::new().await;
    let config = Config { seal_every: Duration::from_secs(60), lease: Duration::from_secs(300), ..quick() };
    let sealer = Sealer::start(world.db.clone(), &config).await.unwrap();
    until(async || world.number("select epoch from shared_security.audit_sealer").await == 1).await;
    world.record(3).await;
    sealer.stop().await;
    assert_eq!(world.verified().await.entries, 3);
}

/// Stopped at its last moment before it seals, and woken up when others have sealed the same, and one of them has made the next cut: only
/// its epoch tells the two cuts apart.
#[tokio::test]
async fn a_sealer_that_was_paused_too_long_is_fenced() {
    if child::enter().unwrap().is_some() {
        let db = connect(&env::var(DATABASE).unwrap()).await;
        let _sealer = Sealer::start(db, &quick()).await.unwrap();
        return std::future::pending().await;
    }
    let world = World::new().await;
    let held_at = async |point: &str| {
        let child = Child::test_function("audit::sealing::a_sealer_that_was_paused_too_long_is_fenced");
        let mut child = child.env(DATABASE, world.database.url()).hold(point, 1).start().unwrap();
        child.held().await.unwrap();
        child
    };
    world.record(10).await;
    let mut zombie = held_at("security.audit.sealing").await;
    world.seal().await;
    world.record(10).await;
    let mut second = held_at("security.audit.cut").await;

    zombie.resume().unwrap();
    zombie.reached("security.audit.fenced").await.unwrap();
    second.resume().unwrap();
    world.sealed().await;
    let report = world.verified().await;
    assert!(report.is_intact() && report.entries == 20, "{report}");
    assert_eq!(world.number(SEALED_TWICE).await, 0);
}

const POINTS: [&str; 4] =
    ["security.audit.cut", "security.audit.read", "security.audit.sealing", "security.audit.sealed"];

const ENTRIES: usize = 12;

#[tokio::test]
async fn a_sealer_that_is_killed_at_any_step_leaves_a_whole_chain() {
    if child::enter().unwrap().is_some() {
        let db = connect(&env::var(DATABASE).unwrap()).await;
        let _sealer = Sealer::start(db, &quick()).await.unwrap();
        return std::future::pending().await;
    }
    let kills = Matrix::new(POINTS).moments(3, Duration::ZERO..Duration::from_millis(100), 7);
    let report = kills.run(one_is_killed_and_another_goes_on).await.unwrap();
    assert_eq!(report.total("sealed"), 7 * ENTRIES);
}

async fn one_is_killed_and_another_goes_on(kill: Kill) -> Outcome {
    let world = World::new().await;
    let other = a_tenant();
    for n in 0..ENTRIES / 2 {
        world.record(1).await;
        record(&world.db, &other, &n.to_string()).await;
    }
    let victim =
        Child::test_function("audit::sealing::a_sealer_that_is_killed_at_any_step_leaves_a_whole_chain");
    let mut victim = victim.env(DATABASE, world.database.url()).kill(kill).start().unwrap();
    victim.killed().await.unwrap();
    world.seal().await;
    let report = world.verified().await;
    Outcome::new()
        .count("sealed", report.entries as usize)
        .wrong("found", report.findings.len())
        .wrong("doubled", world.number(SEALED_TWICE).await as usize)
}

#[tokio::test]
async fn it_refuses_a_database_in_which_entries_could_be_lost() {
    let world = World::new().await;
    let owner = world.superuser().await;
    let start = async || Sealer::start(world.db.clone(), &quick()).await.map(drop);
    owner.batch_execute("alter sequence shared_security.audit_log_pos_seq cache 20").await.unwrap();
    assert!(matches!(start().await, Err(Error::Uncut(why)) if why.contains("cache 1")));
    owner.batch_execute("alter sequence shared_security.audit_log_pos_seq cache 1").await.unwrap();
    owner
        .batch_execute("update shared_security.audit_sealer set seen = '900000000:900000000:'")
        .await
        .unwrap();
    assert!(matches!(start().await, Err(Error::Uncut(why)) if why.contains("ahead")));
}
