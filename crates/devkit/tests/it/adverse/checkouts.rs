//! Two checkouts of a project, and two caches: what they share, and what they never do.

use std::{fs, path::PathBuf, process::Child};

use super::user::{KINDS, ROLE, end};
use crate::{
    database::{connect, count},
    sandbox::{Sandbox, said},
};

/// A user in a checkout with this migration, what its server is, and what its database.
fn user(sandbox: &Sandbox, checkout: &str, migration: &str) -> (Child, String, String) {
    let directory: PathBuf = sandbox.temporary().join(checkout);
    fs::create_dir_all(&directory).expect("a checkout");
    fs::write(directory.join("migration.sql"), migration).expect("a migration");
    let mut child =
        sandbox.child(&format!("{ROLE}postgres template")).current_dir(directory).spawn().expect("a child");
    let answer = said(&mut child);
    let (server, database) = answer.split_once(' ').expect("two URLs");
    (child, server.to_owned(), database.to_owned())
}

#[tokio::test]
async fn two_checkouts_share_a_server_and_no_table_of_another_migration() {
    let sandbox = Sandbox::with_wheels().await;
    let (old, new) = ("create table note (body text)", "create table note (body text, stars int)");
    let users = [user(&sandbox, "one", old), user(&sandbox, "two", new), user(&sandbox, "three", old)];
    let [(_, server, one), (_, server_of_two, two), (_, server_of_three, three)] = &users;
    assert_eq!((server, server), (server_of_two, server_of_three));
    assert!(one != two && two != three && one != three, "each has its own database");

    let columns = "select count(*) from information_schema.columns where table_name = 'note'";
    let (one, two, three) = (connect(one).await, connect(two).await, connect(three).await);
    assert_eq!((count(&one, columns).await, count(&two, columns).await), (1, 2));
    // The same migration is the same template, and its copies are apart all the same.
    one.batch_execute("insert into note values ('mine')").await.expect("a row");
    assert_eq!(count(&three, "select count(*) from note").await, 0);
    let templates = "select count(*) from pg_database where datistemplate and datname like 'devkit%'";
    assert_eq!(count(&one, templates).await, 2);
    drop((one, two, three));
    end(&sandbox, users.into_iter().map(|(child, ..)| child));
}

#[tokio::test]
async fn two_caches_have_two_servers_at_once() {
    for kind in KINDS {
        let sandboxes = [Sandbox::with_wheels().await, Sandbox::with_wheels().await];
        let mut users: Vec<_> = sandboxes
            .iter()
            .map(|sandbox| {
                sandbox.child(&kind.role("shared")).env("TMPDIR", sandboxes[0].temporary()).spawn()
            })
            .map(|child| child.expect("a child"))
            .collect();
        let urls: Vec<_> = users.iter_mut().map(said).collect();
        assert_ne!(urls[0], urls[1]);
        assert_eq!(sandboxes[0].servers().len(), 2);
        assert!(sandboxes[1].servers().is_empty());
        end(&sandboxes[0], users);
    }
}
