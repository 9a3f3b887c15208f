//! The child-process harness: every control on real processes. Tests that need a child of their own making start
//! themselves.

use std::{
    os::unix::process::ExitStatusExt,
    thread,
    time::{Duration, Instant},
};

use shared_core::fault;
use shared_devkit::{
    Error,
    child::{self, Child, Kill, Ledger, Program},
};

use crate::sandbox::{Sandbox, is_alive, wait_until};

const KILLED: Option<i32> = Some(9);

fn shell(script: &str) -> Program {
    Child::program("/bin/sh").args(["-c", script])
}

/// For ever: a fact, a point, a fact.
fn steps(ledger: &Ledger) -> ! {
    for step in 1.. {
        ledger.append(format!("before {step}")).expect("a ledger");
        fault::point("it.step.taken");
        ledger.append(format!("after {step}")).expect("a ledger");
        if step == 5 {
            fault::point("it.step.fifth");
        }
    }
    unreachable!("it is killed before")
}

fn is_patient(error: &Error, with: &str) {
    assert!(error.to_string().contains(with), "{error}");
}

#[tokio::test]
async fn lines_are_waited_for_and_so_is_the_end() {
    let mut child = shell("echo one 1; echo two 2 >&2; echo one 3; exit 3").start().expect("a shell");
    assert_eq!(child.line("one").await.expect("a line"), "one 1");
    assert_eq!(child.line("one").await.expect("another line"), "one 3");
    let error = child.line("two").await.expect_err("it came before");
    is_patient(&error, "waited for a line with `two`, in vain: it ended with exit status: 3");
    is_patient(&error, "one 1 | two 2 | one 3");
    assert_eq!(child.ended().await.expect("its end").code(), Some(3));
    assert_eq!(child.output(), "one 1\ntwo 2\none 3\n");
}

#[tokio::test]
async fn every_wait_has_an_end() {
    let mut child = shell("sleep 600").patience(Duration::from_millis(50)).start().expect("a shell");
    let error = child.ended().await.expect_err("it sleeps");
    is_patient(&error, "`sh`: the test waited for its end, in vain: that took longer than 50ms");
    is_patient(&child.line("x").await.expect_err("it is silent"), "it said last: nothing");
    is_patient(&child.held().await.expect_err("it has no points"), "to be held at a point");
    is_patient(&child.killed().await.expect_err("nobody kills it"), "it was given no `Kill`");
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_named() {
    let error = Child::program("/nowhere/none").start().expect_err("nothing is there");
    assert!(error.to_string().starts_with("`none` failed: No such file"), "{error}");
}

#[tokio::test]
async fn output_beyond_the_bound_makes_room() {
    let script = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); echo $i a line of more than seventy letters, which would be two megabytes of them; done";
    let mut child = shell(script).start().expect("a shell");
    child.ended().await.expect("its end");
    let output = child.output();
    assert!(output.len() < 1_100_000 && output.len() > 900_000, "{}", output.len());
    assert!(output.lines().last().is_some_and(|line| line.starts_with("30000 ")));
}

#[tokio::test]
async fn a_child_is_killed_and_asked_to_stop() {
    let script = "trap 'echo in order; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let mut child = shell(script).start().expect("a shell");
    child.line("ready").await.expect("a line");
    child.terminate().expect("a signal");
    assert_eq!(child.ended().await.expect("its end").code(), Some(7));
    child.restart().await.expect("another life");
    child.line("ready").await.expect("a line of its own");
    assert_eq!(child.kill().await.expect("its end").signal(), KILLED);
    assert_eq!(child.output(), "ready\nin order\nready\n");
}

#[tokio::test]
async fn a_paused_child_does_nothing_until_it_is_resumed() {
    if let Some(ledger) = child::enter().expect("a directory") {
        steps(&ledger);
    }
    let mut child = Child::test_function("harness::a_paused_child_does_nothing_until_it_is_resumed")
        .start()
        .expect("this test");
    child.reached("it.step.fifth").await.expect("a point");
    child.pause().await.expect("a signal");
    let facts = child.ledger().expect("facts").len();
    thread::sleep(Duration::from_millis(50)); // time itself is tested: it has it, and does nothing
    assert_eq!(child.ledger().expect("facts").len(), facts);
    child.resume().expect("a signal");
    wait_until("it goes on", || child.ledger().expect("facts").len() > facts);
}

#[tokio::test]
async fn a_child_is_held_at_a_point_and_goes_on_from_there() {
    if let Some(ledger) = child::enter().expect("a directory") {
        // Beside the thread that is held there is another one, which reaches no point.
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0_u64.. {
                    ledger.append(format!("beside {n}")).expect("a ledger");
                }
            });
            steps(&ledger);
        });
    }
    let mut child = Child::test_function("harness::a_child_is_held_at_a_point_and_goes_on_from_there")
        .hold("it.step.taken", 2)
        .hold("it.step.taken", 4)
        .kill(Kill::at("it.step.fifth", 1))
        .start()
        .expect("this test");
    for step in [2, 4] {
        child.held().await.expect("a hold");
        let facts = child.ledger().expect("facts");
        let last = facts.iter().rfind(|fact| !fact.starts_with("beside"));
        assert_eq!(last, Some(&format!("before {step}")));
        thread::sleep(Duration::from_millis(20)); // time itself is tested: none of its threads does anything
        assert_eq!(child.ledger().expect("facts"), facts);
        child.resume().expect("a signal");
    }
    assert!(child.killed().await.expect("a kill"));
}

#[tokio::test]
async fn a_kill_at_a_point_is_the_end_and_a_restart_goes_beyond() {
    if let Some(ledger) = child::enter().expect("a directory") {
        steps(&ledger);
    }
    let mut child = Child::test_function("harness::a_kill_at_a_point_is_the_end_and_a_restart_goes_beyond")
        .kill(Kill::at("it.step.taken", 3))
        .start()
        .expect("this test");
    assert!(child.killed().await.expect("a kill"));
    assert_eq!(child.ended().await.expect("its end").signal(), KILLED);
    let facts = ["before 1", "after 1", "before 2", "after 2", "before 3"];
    assert_eq!(child.ledger().expect("facts"), facts);

    child.restart().await.expect("another life");
    child.reached("it.step.fifth").await.expect("a point beyond the kill");
    assert_eq!(child.ledger().expect("facts")[..6], [&facts[..], &["before 1"]].concat());
}

#[tokio::test]
async fn a_torn_line_is_no_fact() {
    use std::io::Write;
    if let Some(ledger) = child::enter().expect("a directory") {
        ledger.append("whole").expect("a ledger");
        let path = std::path::PathBuf::from(std::env::var_os("SHARED_DEVKIT_CHILD").expect("a child"));
        let torn = std::fs::File::options().append(true).open(path.join("ledger"));
        torn.and_then(|mut file| file.write_all(b"half")).expect("a file");
        return fault::point("it.line.torn");
    }
    let mut child = Child::test_function("harness::a_torn_line_is_no_fact")
        .kill("it.line.torn")
        .start()
        .expect("this test");
    assert!(child.killed().await.expect("a kill"));
    assert_eq!(child.ledger().expect("facts"), ["whole"]);
    child.restart().await.expect("another life");
    child.ended().await.expect("its end");
    assert_eq!(child.ledger().expect("facts"), ["whole", "whole"]);
}

#[tokio::test]
async fn a_moment_comes_for_a_child_that_still_runs_and_for_no_other() {
    let range = Duration::from_millis(20)..Duration::from_millis(60);
    let mut child = shell("sleep 600").kill(Kill::between(range, 7)).start().expect("a shell");
    let start = Instant::now();
    assert!(child.killed().await.expect("a kill"));
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_eq!(child.ended().await.expect("its end").signal(), KILLED);

    let mut quick = shell("exit 0").kill(Kill::after(Duration::from_secs(600))).start().expect("a shell");
    assert!(!quick.killed().await.expect("its own end"));
    assert!(quick.ended().await.expect("its end").success());
}

#[tokio::test]
async fn a_point_that_is_never_reached_is_an_error() {
    if child::enter().expect("a directory").is_some() {
        return ["it.road.here", "it.road.there"].into_iter().for_each(fault::point);
    }
    let program = Child::test_function("harness::a_point_that_is_never_reached_is_an_error");
    let error = program.kill("it.road.nowhere").start().expect("this test").killed().await;
    let error = error.expect_err("there is no such point");
    is_patient(&error, "to be killed at it.road.nowhere");
    is_patient(&error, "it came by these points: it.road.here, it.road.there");
}

#[tokio::test]
async fn a_test_function_that_does_not_exist_is_an_error() {
    let error = Child::test_function("harness::no_such_test").start().expect("this binary").ended().await;
    is_patient(&error.expect_err("there is no such test"), "there is no such test");
}

#[tokio::test]
async fn a_dropped_child_is_gone_with_all_that_it_has_started() {
    let mut child = shell("sleep 600 & echo $!; wait").start().expect("a shell");
    let sleeping = child.line("").await.expect("an id").parse().expect("an id");
    assert!(is_alive(sleeping));
    let id = child.id().cast_signed();
    drop(child);
    assert!(!is_alive(id));
    wait_until("what it has started is gone", || !is_alive(sleeping));
}

#[tokio::test]
async fn no_child_outlives_a_test_process_that_is_killed() {
    if let Some(ledger) = child::enter().expect("a directory") {
        // The kernel hangs up on stopped processes whose parent has gone, and lets them go on.
        let mut running = shell("sleep 600").start().expect("a shell");
        let mut stopped = shell("trap '' HUP; echo ready; sleep 600").start().expect("a shell");
        stopped.line("ready").await.expect("a line");
        stopped.pause().await.expect("a signal");
        for child in [&running, &stopped] {
            ledger.append(child.id()).expect("a ledger");
        }
        fault::point("it.parent.working");
        running.ended().await.expect("never");
    }
    let sandbox = Sandbox::empty();
    let mut parent = Child::test_function("harness::no_child_outlives_a_test_process_that_is_killed")
        .env("TMPDIR", sandbox.temporary())
        .hold("it.parent.working", 1)
        .start()
        .expect("this test");
    parent.held().await.expect("a hold");
    let facts = parent.ledger().expect("facts");
    let children: Vec<i32> = facts.iter().map(|fact| fact.parse().expect("an id")).collect();
    assert_eq!(children.len(), 2);
    assert!(children.iter().copied().all(is_alive));
    parent.kill().await.expect("its end");
    wait_until("its children are gone", || !children.iter().copied().any(is_alive));
    let files = || std::fs::read_dir(sandbox.temporary()).expect("a directory").count();
    wait_until("their directories are gone", || files() == 0);
}

#[tokio::test]
async fn a_failed_test_shows_what_its_child_said() {
    if child::enter().expect("a directory").is_some() {
        let mut child = shell("echo a word of the child").start().expect("a shell");
        child.ended().await.expect("its end");
        panic!("the test fails");
    }
    let mut failing =
        Child::test_function("harness::a_failed_test_shows_what_its_child_said").start().expect("this test");
    assert_eq!(failing.ended().await.expect("its end").code(), Some(101));
    let output = failing.output();
    assert!(output.contains("what `sh` said:\na word of the child\n"), "{output}");
}
