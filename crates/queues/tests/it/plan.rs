//! Statements stay a handful of index probes, also where their plans were made while the tables were empty.

use std::time::Duration;

use shared_db::statements;
use shared_queues::{Enqueue, Error};

use crate::support::{Act, Bench, Note, bench, config, probe};

statements! {
    const SETTING: Statement<(String,), String> = "select current_setting($1)";
}

/// A session like those of the workers, for `EXPLAIN`.
async fn session(bench: &Bench) -> (tokio_postgres::Client, impl Sized) {
    let (client, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    for name in ["role", "enable_seqscan", "enable_hashjoin", "enable_mergejoin", "plan_cache_mode", "jit"] {
        let value = bench.db.system().one(&SETTING, (name,)).await.unwrap();
        client.batch_execute(&format!("set {name} = {value}")).await.unwrap();
    }
    (client, driver)
}

async fn explain(client: &tokio_postgres::Client, execute: &str) -> String {
    let rows =
        client.simple_query(&format!("explain (analyze, buffers, costs off) {execute}")).await.unwrap();
    let lines = rows.iter().filter_map(|row| match row {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn sql(name: &str) -> String {
    let all = shared_queues::statements().flatten();
    all.filter(|(found, _)| *found == name).map(|(_, statement)| statement.sql()).next().unwrap()
}

#[tokio::test]
async fn a_claim_planned_on_empty_analysed_tables_touches_its_own_rows_alone() {
    let bench = bench().await;
    let (admin, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
    let _driver = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let (client, _session) = session(&bench).await;
    admin
        .batch_execute("vacuum analyze shared_queues.ready, shared_queues.body, shared_queues.lease")
        .await
        .unwrap();
    let prepare = format!(
        "insert into shared_queues.worker (incarnation, expires_at)
         values ('00000000-0000-0000-0000-000000000001', 'infinity');
         prepare claim (text, bigint, uuid, bigint) as {};
         prepare ack (bigint[], uuid, bigint[]) as {}",
        sql("CLAIM"),
        sql("ACKNOWLEDGE")
    );
    client.batch_execute(&prepare).await.unwrap();
    let claim = |number: i64| {
        format!("execute claim ('default', 50, '00000000-0000-0000-0000-000000000001', {number})")
    };
    let ack = "execute ack ('{1}', '00000000-0000-0000-0000-000000000001', '{1}')";
    for number in 0..6 {
        client.batch_execute(&format!("{}; {ack}", claim(number))).await.unwrap();
    }

    // Those that wait for their time lie in front of the others.
    let door = bench.db.tenant(&bench.tenant);
    let enqueue = async |tx: &mut shared_db::TenantTx| -> Result<(), Error> {
        for n in 0..10_000 {
            tx.enqueue_in(Duration::from_secs(3600), Note { n }).await?;
        }
        Ok(())
    };
    door.tx(enqueue).await.unwrap();
    bench.enqueue_notes(0..10_000).await;
    let plan = explain(&client, &claim(7)).await;
    assert!(plan.contains("rows=50"), "{plan}");
    let held = "(select ids from shared_queues.lease where claim = 7)";
    let held: Vec<i64> = admin.query_one(held, &[]).await.unwrap().get(0);
    let ids = held.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let settled = explain(
        &client,
        &format!("execute ack ('{{{ids}}}', '00000000-0000-0000-0000-000000000001', array_fill(7::bigint, array[50]))"),
    )
    .await;
    for plan in [&plan, &settled] {
        for bad in ["Seq Scan on", "Hash Join", "Merge Join"] {
            assert!(!plan.contains(bad), "{plan}");
        }
        // 20,000 bodies are some 800 pages.
        assert!(pages(plan) < 700, "{plan}");
    }
}

/// The pages that the whole statement touched: the first line that tells of them.
fn pages(plan: &str) -> u64 {
    let line = plan.lines().find(|line| line.contains("Buffers: shared hit=")).unwrap();
    let hit = line.split("hit=").nth(1).unwrap();
    hit.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_worker_that_began_on_empty_tables_keeps_its_speed() {
    let bench = bench().await;
    let worker = bench.worker(&probe(Act::FailOnce), config()).await;
    for n in 0..10 {
        bench.enqueue_notes(n..n + 1).await;
        bench.settle().await;
    }
    bench.enqueue_notes(10..2010).await;
    bench.settle().await;
    assert!(worker.stop(Duration::from_secs(5)).await.released);
    assert_eq!(bench.backlog().await.dead, 0);
}
