//! What the tables' owner does to the log is found. The triggers and the policies are gone: only the chain is left.

use shared_security::audit::{Finding, Root, Verify, roots};

use crate::audit::support::{World, record};

/// Three batches of three entries.
async fn three_batches() -> (World, Vec<i64>) {
    let world = World::new().await;
    for _ in 0..3 {
        // In one transaction, so that they are sealed together.
        let tx = async |tx: &mut shared_db::TenantTx| -> Result<(), shared_security::Error> {
            use shared_security::prelude::*;
            for n in 0..3 {
                tx.audit(shared_security::AuditEvent::new("note.written").target("note", n))?;
            }
            Ok(())
        };
        world.db.tenant(&world.tenant).tx(tx).await.unwrap();
        world.seal().await;
    }
    let report = world.verified().await;
    assert_eq!((report.batches, report.entries, report.unsealed), (3, 9, 0), "{report}");
    assert!(report.is_intact(), "{report}");
    let positions = world.positions().await;
    (world, positions)
}

async fn found(world: &World) -> Vec<String> {
    let findings = world.verified().await.findings;
    findings
        .iter()
        .map(|finding| finding.to_string().replace(&format!("tenant {}: ", world.id()), ""))
        .collect()
}

/// ASVS 16.4.2. Each column by itself.
#[tokio::test]
async fn an_altered_entry_is_found() {
    let (world, positions) = three_batches().await;
    let owner = world.owner().await;
    let pos = positions[4];
    for (column, value) in [
        ("actor", "'somebody else'"),
        ("actor", "null"),
        ("outcome", "'denied'"),
        ("action", "'note.read'"),
        ("target_id", "'9'"),
        ("reason", "''"),
        ("on_behalf_of", "'user:1'"),
        ("address", "'::1'"),
        ("user_agent", "'x'"),
        ("correlation", "'c'"),
        ("traceparent", "'t'"),
        ("details", "'{}'"),
        ("at", "at + interval '1 microsecond'"),
        ("waited_ms", "waited_ms + 1"),
        ("id", "gen_random_uuid()"),
        ("xid", "'3'"),
    ] {
        let alter = format!(
            "begin; create temp table kept as select {column} as was from shared_security.audit_log where pos = {pos};
             update shared_security.audit_log set {column} = {value} where pos = {pos}; commit"
        );
        owner.batch_execute(&alter).await.unwrap();
        assert_eq!(found(&world).await, [format!("entry {pos} of batch 2 was altered")], "{column}");
        let back = format!(
            "update shared_security.audit_log set {column} = (select was from kept) where pos = {pos}; drop table kept"
        );
        owner.batch_execute(&back).await.unwrap();
    }
    assert_eq!(found(&world).await, Vec::<String>::new());
}

/// ASVS 16.4.2. A text that moves into the next column is another entry, though the texts in a row are the same.
#[tokio::test]
async fn a_text_that_moves_between_columns_is_found() {
    let (world, positions) = three_batches().await;
    let owner = world.owner().await;
    let pos = positions[0];
    let sql = format!(
        "update shared_security.audit_log set target_kind = 'not', target_id = 'e' || target_id where pos = {pos}"
    );
    owner.batch_execute(&sql).await.unwrap();
    assert_eq!(found(&world).await, [format!("entry {pos} of batch 1 was altered")]);
}

/// ASVS 16.4.2.
#[tokio::test]
async fn a_removed_entry_is_found() {
    let (world, positions) = three_batches().await;
    let pos = positions[8];
    let sql = format!("delete from shared_security.audit_log where pos = {pos}");
    world.owner().await.batch_execute(&sql).await.unwrap();
    assert_eq!(found(&world).await, [format!("entry {pos} of batch 3 was removed")]);
}

/// ASVS 16.4.2. Within a batch and between batches.
#[tokio::test]
async fn entries_that_change_places_are_found() {
    let (world, at) = three_batches().await;
    let owner = world.owner().await;
    let swap = async |a: i64, b: i64| {
        let sql = format!(
            "update shared_security.audit_log set pos = -1 where pos = {a};
             update shared_security.audit_log set pos = {a} where pos = {b};
             update shared_security.audit_log set pos = {b} where pos = -1"
        );
        owner.batch_execute(&sql).await.unwrap();
    };
    swap(at[0], at[1]).await;
    let moved = |pos: i64| format!("entry {pos} of batch 1 was put in another's place");
    assert_eq!(found(&world).await, [moved(at[0]), moved(at[1])]);
    swap(at[0], at[1]).await;
    swap(at[0], at[3]).await;
    let altered = |pos: i64, batch: i64| format!("entry {pos} of batch {batch} was altered");
    assert_eq!(found(&world).await, [altered(at[0], 1), altered(at[3], 2)]);
}

/// ASVS 16.4.2. Where the sealer has been, and by an earlier time.
#[tokio::test]
async fn an_entry_that_is_added_later_is_found() {
    let (world, at) = three_batches().await;
    let owner = world.owner().await;
    let add = |xid: &str, time: &str| {
        format!(
            "insert into shared_security.audit_log (xid, id, tenant_id, at, action, outcome)
             select {xid}, gen_random_uuid(), tenant_id, {time}, 'note.written', 'allowed'
               from shared_security.audit_log where pos = {}",
            at[4]
        )
    };
    owner.batch_execute(&add("xid", "at")).await.unwrap();
    let inserted = *world.positions().await.last().unwrap();
    assert_eq!(found(&world).await, [format!("entry {inserted} was inserted later")]);
    let sql = format!("delete from shared_security.audit_log where pos = {inserted}");
    owner.batch_execute(&sql).await.unwrap();

    owner.batch_execute(&add("pg_current_xact_id()", "at - interval '1 day'")).await.unwrap();
    world.seal().await;
    let misdated = *world.positions().await.last().unwrap();
    let expected = format!("entry {misdated} of batch 4 has a time at which it was not written");
    assert_eq!(found(&world).await, [expected]);
}

/// ASVS 16.4.2. An entry of another tenant's is no entry of this one's.
#[tokio::test]
async fn an_entry_that_is_given_to_another_tenant_is_found() {
    let (world, at) = three_batches().await;
    let other = crate::audit::support::a_tenant();
    record(&world.db, &other, "theirs").await;
    world.seal().await;
    let sql = format!(
        "update shared_security.audit_log set tenant_id = (select tenant_id from shared_security.audit_log order by pos desc limit 1)
          where pos = {}",
        at[4]
    );
    world.owner().await.batch_execute(&sql).await.unwrap();
    let found = found(&world).await;
    assert!(found.contains(&format!("entry {} of batch 2 was removed", at[4])), "{found:?}");
    assert!(
        found.iter().any(|line| line.ends_with(&format!("entry {} was inserted later", at[4]))),
        "{found:?}"
    );
}

/// ASVS 16.4.2. The seals are part of what they seal.
#[tokio::test]
async fn a_changed_or_missing_seal_is_found() {
    for (sql, expected) in [
        (
            "update shared_security.audit_seal set until = until + interval '1 second' where number = 2",
            &["the chain is broken at batch 2"][..],
        ),
        (
            "update shared_security.audit_seal set root = sha256('x') where number = 2",
            &["the chain is broken at batch 2", "the chain is broken at batch 3"],
        ),
        (
            "update shared_security.audit_seal set leaves = substr(leaves, 1, 95) || 'x' where number = 1",
            &["the chain is broken at batch 1"],
        ),
        ("delete from shared_security.audit_seal where number = 3", &["batch 3 is missing"]),
        (
            "delete from shared_security.audit_seal where number = 2",
            &["batch 2 is missing", "the chain is broken at batch 3"],
        ),
        ("delete from shared_security.audit_chain", &["batch 4 is missing"]),
        ("update shared_security.audit_chain set number = 4", &["batch 4 is missing"]),
    ] {
        let (world, _) = three_batches().await;
        world.owner().await.batch_execute(sql).await.unwrap();
        let found = found(&world).await;
        for line in expected {
            assert!(found.iter().any(|found| found.starts_with(line)), "{sql}: {found:?}");
        }
    }
}

async fn exported(world: &World) -> Vec<Root> {
    let mut out = Vec::new();
    roots(&world.db, &mut out).await.unwrap();
    String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// ASVS 16.4.3. Who owns the database can make a chain anew, and cut off its end. Only what was kept elsewhere shows that.
#[tokio::test]
async fn a_chain_that_is_made_anew_or_cut_off_shows_by_its_exported_root() {
    let (world, at) = three_batches().await;
    let kept = exported(&world).await;
    let owner = world.owner().await;
    let sql = format!(
        "update shared_security.audit_log set actor = 'somebody else' where pos = {};
         delete from shared_security.audit_seal; delete from shared_security.audit_chain;
         update shared_security.audit_sealer set seen = '3:3:', seen_at = seen_at - interval '1 hour'",
        at[4]
    );
    owner.batch_execute(&sql).await.unwrap();
    world.seal().await;
    let report = world.verified().await;
    assert!(report.is_intact() && report.to_string().contains("not seen: whether somebody"), "{report}");

    // The new chain is one batch, where the exported root was of the third.
    let verify = Verify::default().anchors(kept.clone());
    let report = verify.run(&world.db).await.unwrap();
    assert!(matches!(report.findings[..], [Finding::Missing { number: 3, .. }]), "{report}");

    for _ in 0..2 {
        world.record(1).await;
        world.seal().await;
    }
    let report = verify.run(&world.db).await.unwrap();
    assert!(matches!(report.findings[..], [Finding::Rewritten { number: 3, .. }]), "{report}");
}

#[tokio::test]
async fn a_verification_can_begin_behind_an_anchor() {
    let (world, at) = three_batches().await;
    let kept = exported(&world).await;
    assert_eq!((kept.len(), kept[0].number, kept[0].tenant), (1, 3, world.id()));
    world.record(2).await;
    world.seal().await;
    let verify = Verify::default().anchors(kept).from_anchors();
    let report = verify.run(&world.db).await.unwrap();
    assert!(report.is_intact(), "{report}");
    assert_eq!((report.anchors, report.entries), (1, 2), "{report}");

    // What lies before the anchor is not looked at, and what comes after it is.
    let last = *world.positions().await.last().unwrap();
    let sql = format!("update shared_security.audit_log set actor = 'x' where pos in ({}, {last})", at[0]);
    world.owner().await.batch_execute(&sql).await.unwrap();
    let report = verify.run(&world.db).await.unwrap();
    assert!(matches!(report.findings[..], [Finding::Altered { pos, .. }] if pos == last), "{report}");
}

/// What is said not to be seen is not: an entry that no seal has seen yet.
#[tokio::test]
async fn an_unsealed_entry_leaves_no_trace_and_the_report_says_so() {
    let world = World::new().await;
    world.record(1).await;
    let report = world.verified().await;
    assert!(report.to_string().contains("any of the 1 entries without a seal"), "{report}");
    world.owner().await.batch_execute("delete from shared_security.audit_log").await.unwrap();
    assert!(world.verified().await.is_intact());
}
