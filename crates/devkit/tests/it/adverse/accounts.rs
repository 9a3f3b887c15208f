//! Root and everybody else: each has servers of his own, and none of them runs as root.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    process::Command,
};

use super::user::{KINDS, Kind, end, only_server, portable};
use crate::sandbox::{Sandbox, is_mentioned, said, wait_until};

/// What in the sandbox belongs to the unprivileged account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nobody {
    OwnsTemporary,
    OwnsCacheToo,
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A child without privileges: `nobody` where root runs the tests, otherwise the user who does.
pub(super) fn nobody(sandbox: &Sandbox, role: &str, owns: Nobody) -> Command {
    let mut child = sandbox.child_of(&portable(sandbox), role);
    if is_root() {
        let id = |which: &str| -> u32 {
            let output = Command::new("id").args([which, "nobody"]).output().expect("id");
            String::from_utf8(output.stdout).expect("a number").trim().parse().expect("a number")
        };
        let (user, group) = (id("-u"), id("-g"));
        let give = |directory| chown(directory, Some(user), Some(group)).expect("our directory");
        give(sandbox.temporary());
        if owns == Nobody::OwnsCacheToo {
            give(sandbox.cache());
        }
        child.uid(user).gid(group).current_dir("/");
    }
    child
}

/// The account of the server in the sandbox's temporary directory.
fn owner(sandbox: &Sandbox, kind: Kind) -> u32 {
    fs::metadata(kind.pid_file(&only_server(sandbox))).expect("a server that runs").uid()
}

#[tokio::test]
async fn who_is_not_root_runs_servers_as_himself() {
    for kind in KINDS {
        let sandbox = Sandbox::with_wheels().await;
        let mut user = nobody(&sandbox, &kind.role("shared"), Nobody::OwnsCacheToo).spawn().expect("a child");
        assert!(said(&mut user).contains("127.0.0.1"));
        let directory = only_server(&sandbox);
        assert_ne!(owner(&sandbox, kind), 0);
        assert_eq!(owner(&sandbox, kind), fs::metadata(sandbox.temporary()).expect("a directory").uid());
        end(&sandbox, [user]);
        wait_until("its processes are gone", || !is_mentioned(&directory));
    }
}

/// Whoever runs these tests: where that is root, the account is another one.
#[tokio::test]
async fn no_server_runs_as_root() {
    for kind in KINDS {
        let sandbox = Sandbox::with_wheels().await;
        let mut user = sandbox.child(&kind.role("shared")).spawn().expect("a child");
        assert!(said(&mut user).contains("127.0.0.1"));
        assert_ne!(owner(&sandbox, kind), 0);
        assert_eq!(owner(&sandbox, kind) == rustix::process::geteuid().as_raw(), !is_root());
        end(&sandbox, [user]);
    }
}

/// Two accounts that share a temporary directory do not share a server. Needs root, who has two accounts to offer; for
/// anybody else the directory's name has his own number.
#[tokio::test]
async fn an_account_has_its_own_directory() {
    let sandbox = Sandbox::with_wheels().await;
    let mut user =
        nobody(&sandbox, &Kind::Nats.role("shared"), Nobody::OwnsCacheToo).spawn().expect("a child");
    said(&mut user);
    let of_user = only_server(&sandbox).parent().expect("a parent").to_owned();
    let number = owner(&sandbox, Kind::Nats);
    assert_eq!(of_user.file_name().expect("a name"), format!("shared-devkit-{number}").as_str());
    end(&sandbox, [user]);

    let mut user = sandbox.child(&Kind::Nats.role("shared")).spawn().expect("a child");
    said(&mut user);
    let of_tests = only_server(&sandbox).parent().expect("a parent").to_owned();
    assert_eq!(of_user == of_tests, !is_root());
    end(&sandbox, [user]);
}
