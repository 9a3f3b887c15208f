//! The SIGKILL matrix over a cashier who pays two hundred orders: one who does it in a transaction, and one who does not.

use std::{collections::BTreeSet, env, time::Duration};

use shared_core::fault;
use shared_devkit::{
    Error, Postgres,
    child::{self, Child, Kill, Ledger, Matrix, Outcome, Report},
};

use crate::database::{connect, count};

const POINTS: [&str; 4] = ["it.pay.chosen", "it.pay.written", "it.pay.committing", "it.pay.committed"];

const ORDERS: usize = 200;

const TABLES: &str = "create table orders (n bigint primary key, is_paid boolean not null default false);
    insert into orders (n) select generate_series(1, 200);
    create table payment (n bigint not null)";

const WORK: [&str; 2] = ["honest", "in two steps"];

/// What the child does: it pays one order after the other, until none is left.
async fn pay(ledger: &Ledger) {
    let client = connect(&env::var("IT_DATABASE").expect("a URL")).await;
    let in_two_steps = env::var("IT_CASHIER").expect("a way to work") == WORK[1];
    let (begin, commit) = if in_two_steps { ("", "") } else { ("begin", "commit") };
    let run = async |sql: String| client.batch_execute(&sql).await.expect("a statement");
    let next = "select coalesce(min(n), 0) from orders where not is_paid";
    while let order @ 1.. = count(&client, next).await {
        fault::point("it.pay.chosen");
        run(begin.to_owned()).await;
        run(format!("insert into payment (n) values ({order})")).await;
        fault::point("it.pay.written");
        run(format!("update orders set is_paid = true where n = {order}")).await;
        fault::point("it.pay.committing");
        run(commit.to_owned()).await;
        fault::point("it.pay.committed");
        ledger.append(order).expect("a ledger");
    }
}

/// A cashier who is killed once, and starts again.
async fn scenario(kill: Kill, cashier: &str) -> Outcome {
    let server = Postgres::shared().await.expect("a server");
    let database = server.empty_database().await.expect("a database");
    let client = connect(database.url()).await;
    client.batch_execute(TABLES).await.expect("tables");

    let program = Child::test_function("matrix::no_order_is_lost_or_paid_twice");
    let program = program.env("IT_DATABASE", database.url()).env("IT_CASHIER", cashier).kill(kill);
    let mut child = program.start().expect("this test");
    child.killed().await.expect("a kill");
    child.restart().await.expect("another life");
    assert!(child.ended().await.expect("its end").success(), "{}", child.output());

    let ledger: BTreeSet<String> = child.ledger().expect("facts").into_iter().collect();
    let number = async |sql: &str| usize::try_from(count(&client, sql).await).expect("a number");
    let paid = number("select count(distinct n) from payment").await;
    let written = ledger.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let unpaid =
        format!("select count(*) from unnest(array[{written}]) n where n not in (select n from payment)");
    Outcome::new()
        .count("accepted", ledger.len())
        .count("paid", paid)
        .wrong("lost", number(&unpaid).await + ORDERS - paid)
        .wrong("doubled", number("select count(*) from payment").await - paid)
}

async fn matrix(cashier: &str) -> Result<Report, Error> {
    let kills = Matrix::new(POINTS).moments(3, Duration::ZERO..Duration::from_millis(40), 42);
    kills.run(async |kill| scenario(kill, cashier).await).await
}

#[tokio::test]
async fn no_order_is_lost_or_paid_twice() {
    if let Some(ledger) = child::enter().expect("a directory") {
        return pay(&ledger).await;
    }
    let report = matrix(WORK[0]).await.expect("a cashier that can be killed");
    assert_eq!(report.total("paid"), 7 * ORDERS);
    // A kill between the commit and the ledger leaves an order that is paid and not told.
    assert!((7 * ORDERS - 4..=7 * ORDERS).contains(&report.total("accepted")), "{report}");
    assert!((4..=7).contains(&report.kills()), "{report}");
    let table = report.to_string();
    let first = table.lines().nth(1).expect("a run");
    assert!(
        first.starts_with("it.pay.chosen") && first.contains("     yes       200   200     0        0  "),
        "{table}"
    );
    assert!(table.contains("ms, seed 43 "), "{table}");
}

#[tokio::test]
async fn a_scenario_that_pays_twice_is_caught_at_its_point() {
    let error = matrix(WORK[1]).await.expect_err("a kill after the payment doubles it").to_string();
    assert!(error.contains("it.pay.written: 1 doubled"), "{error}");
    assert!(!error.contains("it.pay.chosen") && !error.contains("lost"), "{error}");
}

#[tokio::test]
async fn a_matrix_with_a_point_that_no_child_reaches_fails() {
    let forgetful = async |_: Kill| Outcome::new().count("accepted", 1);
    let error = Matrix::new(["it.pay.nowhere"]).run(forgetful).await.expect_err("there is no such point");
    assert_eq!(error.to_string(), "the matrix failed: it.pay.nowhere: no child was killed there");

    let moments = Matrix::new([] as [Kill; 0]).moments(2, Duration::ZERO..Duration::from_millis(1), 1);
    let error = moments.run(forgetful).await.expect_err("nobody was killed").to_string();
    assert_eq!(error, "the matrix failed: every random moment came after the end of the child");
}
