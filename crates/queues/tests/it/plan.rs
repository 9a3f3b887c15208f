//! Statements stay a handful of index probes, also where their plans were made while the tables were empty.

use std::time::Duration;

use shared_core::InTenant;
use shared_db::statements;
use shared_queues::{Limit, LimitKey, NewJob};

use crate::support::{Act, Bench, Note, bench, config, probe, until};

statements! {
    const SETTING: Statement<(String,), String> = "select current_setting($1)";
}

/// A session like those of the workers, for `EXPLAIN`.
async fn session(bench: &Bench) -> (tokio_postgres::Client, impl Sized) {
    let (client, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let names = [
        "role",
        "enable_seqscan",
        "enable_bitmapscan",
        "enable_hashjoin",
        "enable_mergejoin",
        "plan_cache_mode",
        "jit",
    ];
    for name in names {
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

/// Who claims in the sessions.
const WORKER: &str = "00000000-0000-0000-0000-000000000001";

/// Prepares what a worker sends, while all tables are empty and analysed.
async fn prepared(bench: &Bench, admin: &tokio_postgres::Client) -> (tokio_postgres::Client, impl Sized) {
    let (client, driver) = session(bench).await;
    let tables = ["ready", "body", "lease", "waiting", "news", "lane", "limit_use", "share", "queue"];
    for table in tables {
        admin.batch_execute(&format!("vacuum analyze shared_queues.{table}")).await.unwrap();
    }
    let prepare = format!(
        "insert into shared_queues.worker (incarnation, expires_at) values ('{WORKER}', 'infinity');
         prepare look (text, smallint[], uuid[], integer, boolean, bigint) as {};
         prepare claim (text, bigint, uuid, bigint, boolean, smallint[], uuid[], bigint[], bigint[], bigint[]) as {};
         prepare ack (uuid[], uuid, bigint[]) as {}",
        sql("LOOK"),
        sql("CLAIM"),
        sql("ACKNOWLEDGE")
    );
    client.batch_execute(&prepare).await.unwrap();
    let ack = format!("execute ack ('{{{WORKER}}}', '{WORKER}', '{{1}}')");
    for number in 0..6 {
        client.batch_execute(&format!("{}; {}; {ack}", look(), claim(number, WORKER))).await.unwrap();
    }
    (client, driver)
}

/// Begins behind this position.
fn look_behind(behind: i64) -> String {
    let nil = "00000000-0000-0000-0000-000000000000";
    format!("execute look ('default', '{{0,1,2}}', '{{{nil},{nil},{nil}}}', 50, false, {behind})")
}

fn look() -> String {
    look_behind(0)
}

/// 50 jobs of normal priority of a tenant.
fn claim(number: i64, tenant: impl std::fmt::Display) -> String {
    format!(
        "execute claim ('default', 50, '{WORKER}', {number}, false, '{{1}}', '{{{tenant}}}', '{{0}}', '{{0}}', '{{50}}')"
    )
}

async fn admin(bench: &Bench) -> (tokio_postgres::Client, impl Sized) {
    let (admin, connection) = tokio_postgres::connect(&bench.url, tokio_postgres::NoTls).await.unwrap();
    (admin, tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection)))
}

#[tokio::test]
async fn a_claim_planned_on_empty_analysed_tables_touches_its_own_rows_alone() {
    let bench = bench().await;
    let (admin, _driver) = admin(&bench).await;
    let (client, _session) = prepared(&bench, &admin).await;

    // Those that wait for their time lie in front of the others.
    let delayed = (0..10_000).map(|n| NewJob::of(Note { n }).after(Duration::from_secs(3600)));
    bench.queues.tenant(&bench.tenant).enqueue_all(delayed).await.unwrap();
    bench.enqueue_notes(0..10_000).await;
    let tenant = bench.tenant.context().tenant();
    let looked = explain(&client, &look()).await;
    let claimed = explain(&client, &claim(7, tenant)).await;
    assert!(claimed.contains("rows=50"), "{claimed}");
    let held = "select ids from shared_queues.lease where claim = 7";
    let held: Vec<uuid::Uuid> = admin.query_one(held, &[]).await.unwrap().get(0);
    assert_eq!(held.len(), 50);
    let ids = held.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let settled = format!("execute ack ('{{{ids}}}', '{WORKER}', array_fill(7::bigint, array[50]))");
    let settled = explain(&client, &settled).await;
    // 20,000 bodies are some 800 pages.
    for (plan, most) in [(&looked, 60), (&claimed, 600), (&settled, 200)] {
        for bad in ["Seq Scan on", "Hash Join", "Merge Join"] {
            assert!(!plan.contains(bad), "{plan}");
        }
        assert!(pages(plan) < most, "{} pages of {most}\n{plan}", pages(plan));
    }
}

#[tokio::test]
async fn a_look_probes_the_index_once_for_each_tenant() {
    let bench = bench().await;
    let (admin, _driver) = admin(&bench).await;
    let (client, _session) = prepared(&bench, &admin).await;
    for tenant in 0..40 {
        let jobs = (0..50).map(|n| NewJob::of(Note { n: tenant * 100 + n }));
        bench.queues.tenant(&crate::support::tenant()).enqueue_all(jobs).await.unwrap();
    }
    let plan = explain(&client, &look()).await;
    assert!(plan.contains("rows=40"), "{plan}");
    // Each some three pages, and two for its share; 2,000 jobs are not read.
    assert!(pages(&plan) < 300, "{plan}");
}

/// A transaction elsewhere that stays open keeps what was claimed since: a look that begins behind it does not walk over it.
#[tokio::test]
async fn beneath_an_old_snapshot_a_look_passes_over_what_is_gone() {
    let bench = bench().await;
    let (admin, _driver) = admin(&bench).await;
    let (client, _session) = prepared(&bench, &admin).await;
    let (other, _other) = session(&bench).await;
    other.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
    bench.enqueue_notes(0..10_000).await;
    admin.batch_execute("delete from shared_queues.ready").await.unwrap();
    bench.enqueue_notes(0..1).await;
    let first = admin.query_one("select position from shared_queues.ready", &[]).await.unwrap();
    let first: i64 = first.get(0);
    let whole = explain(&client, &look()).await;
    let behind = explain(&client, &look_behind(first - 1)).await;
    assert!(whole.contains("rows=1.00") && behind.contains("rows=1.00"), "{whole}\n{behind}");
    // Three bands before and behind who was served last, each a probe.
    assert!(pages(&whole) > 100 && pages(&behind) < 60, "{whole}\n{behind}");
}

/// Vacuumed while few rows are alive and an old snapshot keeps the others, the index looks as dear as all of the table.
#[tokio::test]
async fn beneath_an_old_snapshot_a_claim_does_not_sort_the_backlog() {
    let bench = bench().await;
    let (admin, _driver) = admin(&bench).await;
    let (client, _session) = prepared(&bench, &admin).await;
    let (other, _other) = session(&bench).await;
    other.batch_execute("begin isolation level repeatable read; select 1").await.unwrap();
    bench.enqueue_notes(0..10_000).await;
    admin.batch_execute("delete from shared_queues.ready").await.unwrap();
    bench.enqueue_notes(0..2).await;
    admin.batch_execute("vacuum analyze shared_queues.ready").await.unwrap();
    let first = admin.query_one("select min(position) from shared_queues.ready", &[]).await.unwrap();
    let first: i64 = first.get(0);
    bench.enqueue_notes(0..5_000).await;
    let claim = claim(7, bench.tenant.context().tenant())
        .replace("'{0}', '{0}'", &format!("'{{{}}}', '{{0}}'", first - 1));
    let plan = explain(&client, &claim).await;
    assert!(plan.contains("rows=50") && !plan.contains("Sort") && !plan.contains("Bitmap"), "{plan}");
}

#[tokio::test]
async fn jobs_that_are_enqueued_by_a_plan_of_an_empty_table_do_not_meet_those_that_are_there() {
    let bench = bench().await;
    let (admin, _driver) = admin(&bench).await;
    let (client, _session) = session(&bench).await;
    // Emptied and analysed: its statistics say that there is nothing.
    bench.enqueue_notes(0..10).await;
    for text in ["truncate shared_queues.body, shared_queues.ready", "vacuum analyze shared_queues.body"] {
        admin.batch_execute(text).await.unwrap();
    }
    let columns = "uuid[], text[], text[], integer[], text[], text[], smallint[], bigint[], uuid[]";
    let prepare = format!(
        "prepare plain ({columns}) as {}; prepare laned ({columns}, text[], text[]) as {}",
        sql("ENQUEUE_FOR"),
        sql("ENQUEUE_FOR_WITH_LANES")
    );
    client.batch_execute(&prepare).await.unwrap();
    let all = |value: &str| format!("array_fill({value}, array[500])");
    let given = [
        "(select array_agg(gen_random_uuid()) from generate_series(1, 500))".to_owned(),
        all("'default'::text"),
        all("'test:note'::text"),
        all("1"),
        all("'{}'::text"),
        all("'{}'::text"),
        all("1::smallint"),
        all("0::bigint"),
        all(&format!("'{}'::uuid", bench.tenant.context().tenant())),
    ];
    // Its parameters are no place for a subquery.
    let mut plans = Vec::new();
    for execute in ["plain", "laned", "plain", "laned"] {
        let ids: Vec<uuid::Uuid> =
            admin.query_one(&format!("select {}", given[0]), &[]).await.unwrap().get(0);
        let ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let more = if execute == "laned" { format!(", {0}, {0}", all("null::text")) } else { String::new() };
        let execute = format!("execute {execute} ('{{{ids}}}', {}{more})", given[1..].join(", "));
        plans.push(explain(&client, &execute).await);
    }
    for plan in plans {
        // A join would go over all bodies for each new one.
        assert!(!plan.contains("Join") && !plan.contains("Materialize"), "{plan}");
    }
}

#[tokio::test]
async fn lanes_that_are_blocked_cost_a_claim_nothing() {
    let bench = bench().await;
    let (admin, _driver) = admin(&bench).await;
    let (client, _session) = prepared(&bench, &admin).await;
    bench.queues.set_limit("one", None, Some(Limit::concurrency(1))).await.unwrap();
    let keyed =
        (0..3000).map(|n| NewJob::of(Note { n }).order_by(n.to_string()).limit(LimitKey::named("one")));
    bench.queues.tenant(&bench.tenant).enqueue_all(keyed).await.unwrap();
    // All lanes are met once, and all but one are set aside.
    let admit = "select a.admitted, a.more from shared_queues.admit('default', 50, null, 0) a";
    let open = "select count(*) from shared_queues.lane where state = 'open'";
    until("every lane was looked at", async || {
        client.batch_execute(admit).await.unwrap();
        let (lanes, open): (i64, i64) = (
            admin.query_one("select count(*) from shared_queues.lane", &[]).await.unwrap().get(0),
            admin.query_one(open, &[]).await.unwrap().get(0),
        );
        lanes == 3000 && open == 0
    })
    .await;
    // What setting them aside has left in the indexes is not what a claim costs later.
    for table in ["lane", "news", "waiting", "limit_use"] {
        admin.batch_execute(&format!("vacuum shared_queues.{table}")).await.unwrap();
    }
    // The first one makes its plans anew.
    client.batch_execute(admit).await.unwrap();
    let plan = explain(&client, admit).await;
    assert!(pages(&plan) < 100, "{plan}");
    let plan = explain(&client, &look()).await;
    assert!(plan.contains("rows=1.00") && pages(&plan) < 60, "{plan}");
    let plan = explain(&client, &claim(8, bench.tenant.context().tenant())).await;
    assert!(plan.contains("rows=1.00") && pages(&plan) < 100, "{plan}");
    // The one that is done opens the next one, and no others.
    let done: Vec<uuid::Uuid> =
        admin.query_one("select ids from shared_queues.lease where claim = 8", &[]).await.unwrap().get(0);
    assert_eq!(done.len(), 1);
    let settled = format!("execute ack ('{{{}}}', '{WORKER}', '{{8}}')", done[0]);
    let plan = explain(&client, &settled).await;
    // The functions behind it make their plans; 3,000 lanes would be thousands of pages.
    assert!(pages(&plan) < 500, "{plan}");
    assert_eq!(admin.query_one(open, &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn pruning_touches_what_it_removes_alone() {
    let bench = bench().await;
    let (admin, _driver) = admin(&bench).await;
    let (client, _session) = session(&bench).await;
    admin.batch_execute("vacuum analyze shared_queues.finished, shared_queues.dead").await.unwrap();
    let prepare = format!(
        "prepare finished (text, timestamptz, bigint) as {};
         prepare dead (text, timestamptz, bigint) as {}",
        sql("FORGET_FINISHED"),
        sql("FORGET_DEAD")
    );
    client.batch_execute(&prepare).await.unwrap();
    let kept = "
        insert into shared_queues.finished
               (job_id, tenant_id, queue, name, version, band, enqueued_at, due_at, attempts, crashes, state, until)
        select gen_random_uuid(), gen_random_uuid(), 'default', 'test:note', 1, 1, now(), now(), 1, 0, 'completed',
               now() + n * interval '1 second' from generate_series(-10, 20000) n;
        insert into shared_queues.dead
               (job_id, tenant_id, queue, name, version, payload, context, band, enqueued_at, due_at, attempts, crashes, reason, error, died_at)
        select gen_random_uuid(), gen_random_uuid(), 'default', 'test:note', 1, '', '', 1, now(), now(), 1, 0, 'failed', '',
               now() + n * interval '1 second' from generate_series(-10, 20000) n";
    admin.batch_execute(kept).await.unwrap();
    for table in ["finished", "dead"] {
        // Twice: the second time nothing is over.
        for _ in 0..2 {
            let prune = format!("execute {table} ('default', '{}', 1000)", {
                let now = admin.query_one("select (clock_timestamp() - interval '1 second')::text", &[]);
                now.await.unwrap().get::<_, String>(0)
            });
            let plan = explain(&client, &prune).await;
            assert!(plan.contains("Index Cond: ((queue = ") && pages(&plan) < 200, "{} {plan}", pages(&plan));
        }
    }
}

/// The pages that the statement touched, or some more: those of its answer, and of each part that writes, of which the first may have some
/// already. What is written after the answer is complete is not among the answer's.
fn pages(plan: &str) -> u64 {
    let mut parts = plan.split("\n  CTE ");
    let answer = parts.next().into_iter();
    let writes = |part: &&str| {
        let root = part.lines().nth(1).unwrap();
        ["Insert on", "Update on", "Delete on"].iter().any(|verb| root.contains(verb))
    };
    let pages = |part: &str| {
        let hit = part.split("Buffers: shared hit=").nth(1)?.split_whitespace().next()?;
        Some(hit.parse::<u64>().unwrap())
    };
    answer.chain(parts.filter(writes)).filter_map(pages).sum()
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
