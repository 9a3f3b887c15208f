//! Who is killed with SIGKILL cleans up nothing himself, and yet nothing of his is left.

use std::path::Path;
#[cfg(feature = "faults")]
use std::time::Duration;

use super::user::{KINDS, Kind, end, only_server, port};
use crate::{
    exclusive::age,
    sandbox::{Sandbox, is_mentioned, keeper, kill, kill_id, said, wait_until},
};

#[tokio::test]
async fn of_a_killed_user_no_process_no_socket_and_no_directory_is_left() {
    for kind in KINDS {
        for how in ["shared", "exclusive"] {
            let sandbox = Sandbox::with_wheels().await;
            let mut user = sandbox.child(&kind.role(how)).spawn().expect("a child");
            let url = said(&mut user);
            let directory = only_server(&sandbox);
            let port = port(&directory);
            assert!(url.contains(&format!("127.0.0.1:{port}")), "{url}");
            assert!(is_mentioned(&directory));
            kill(user);
            wait_until("the directory is gone", || sandbox.servers().is_empty());
            // With them their connections; the port may be another server's at once.
            wait_until("its processes are gone", || !is_mentioned(&directory));
            assert!(!Path::new(&format!("/tmp/.s.PGSQL.{port}")).exists(), "it had no socket elsewhere");
        }
    }
}

/// Shared memory has names of its own, outside of every directory.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn of_a_killed_user_no_shared_memory_is_left_even_if_the_server_was_killed_before() {
    for server_too in [false, true] {
        let sandbox = Sandbox::with_wheels().await;
        let mut user = sandbox.child(&Kind::Postgres.role("exclusive")).spawn().expect("a child");
        said(&mut user);
        let directory = only_server(&sandbox);
        let process = Kind::Postgres.process(&directory);
        let memory = memory::of(process);
        assert!(!memory.is_empty(), "PostgreSQL has a segment that shows whether its data is in use");
        assert!(memory.iter().all(memory::Shared::is_there), "{memory:?}");
        if server_too {
            kill_id(process);
        }
        kill(user);
        wait_until("the server is gone", || sandbox.servers().is_empty());
        wait_until("its memory is gone", || !memory.iter().any(memory::Shared::is_there));
    }
}

/// Then the next start finds it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn of_a_killed_user_no_shared_memory_is_left_even_if_server_and_keeper_were_killed_before() {
    for how in ["shared", "exclusive"] {
        let sandbox = Sandbox::with_wheels().await;
        let mut user = sandbox.child(&Kind::Postgres.role(how)).spawn().expect("a child");
        said(&mut user);
        let directory = only_server(&sandbox);
        let process = Kind::Postgres.process(&directory);
        let memory = memory::of(process);
        kill_id(keeper(&directory));
        kill_id(process);
        kill(user);
        wait_until("its processes are gone", || !is_mentioned(&directory));
        assert!(memory.iter().all(memory::Shared::is_there), "{memory:?}");
        age(&directory);

        let mut next = sandbox.child(&Kind::Postgres.role(how)).spawn().expect("a child");
        said(&mut next);
        assert!(!memory.iter().any(memory::Shared::is_there), "{memory:?}");
        end(&sandbox, [next]);
    }
}

/// Before his server has a keeper, while it is made, while it starts, and after that.
#[cfg(feature = "faults")]
#[tokio::test]
async fn of_a_user_killed_at_any_moment_of_his_start_no_process_is_left() {
    use shared_devkit::child::{Child, Matrix, Outcome};

    for (kind, last) in [(Kind::Postgres, 300), (Kind::Redis, 60), (Kind::Nats, 60)] {
        for how in ["shared", "exclusive"] {
            let moments = Duration::ZERO..Duration::from_millis(last);
            let matrix = Matrix::new([] as [&str; 0]).moments(8, moments, 1);
            let scenario = async |moment| {
                let sandbox = Sandbox::with_wheels().await;
                let user = Child::test_function("child::the_shared_server_answers");
                let user =
                    sandbox.environment().into_iter().fold(user, |user, (name, value)| user.env(name, value));
                let mut user = user
                    .env("SHARED_DEVKIT_LINGER", "0")
                    .env("DEVKIT_ROLE", kind.role(how))
                    .kill(moment)
                    .start()
                    .expect("a child");
                user.killed().await.expect("a kill");
                drop(user);
                let is_settled =
                    || ![sandbox.temporary(), sandbox.cache()].iter().any(|place| is_mentioned(place));
                wait_until("its processes are gone", is_settled);
                let abandoned = sandbox.servers().len();
                // Who was killed before there was a keeper leaves a directory without a server, for the next start.
                Outcome::new().count("directories", abandoned)
            };
            matrix.run(scenario).await.expect("a kill in time");
        }
    }
}

#[cfg(target_os = "linux")]
mod memory {
    use std::{fs, path::Path};

    /// Shared memory, as System V or as POSIX has it.
    #[derive(Debug)]
    pub(super) enum Shared {
        Segment(String),
        File(String),
    }

    /// All that a process has.
    pub(super) fn of(process: i32) -> Vec<Shared> {
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("a process");
        let shared = |line: &str| {
            // "7f38d2a00000-7f38d2a01000 rw-s 00000000 00:01 3506179 /SYSV00ab2297 (deleted)"
            let columns: Vec<_> = line.split_whitespace().collect();
            match columns.get(5)? {
                name if name.starts_with("/SYSV") => Some(Shared::Segment(columns[4].to_owned())),
                name if name.starts_with("/dev/shm/") => Some(Shared::File((*name).to_owned())),
                _ => None,
            }
        };
        maps.lines().filter_map(shared).collect()
    }

    impl Shared {
        pub(super) fn is_there(&self) -> bool {
            match self {
                Shared::Segment(id) => {
                    let all = fs::read_to_string("/proc/sysvipc/shm").expect("a list of segments");
                    all.lines().any(|line| line.split_whitespace().nth(1) == Some(id))
                }
                Shared::File(path) => Path::new(path).exists(),
            }
        }
    }
}
