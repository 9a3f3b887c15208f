//! The port that a named server had is another program's now.

use std::net::TcpListener;

use super::user::{KINDS, port};
use crate::sandbox::{Sandbox, is_mentioned, kill, said, wait_until};

#[tokio::test]
async fn a_named_server_moves_away_from_a_taken_port_and_stays_at_a_free_one() {
    for kind in KINDS {
        let sandbox = Sandbox::with_wheels().await;
        let directory = sandbox.cache().join(kind.name()).join("test");
        let used_once = || {
            let mut user = sandbox.child(&kind.role("named")).spawn().expect("a child");
            let url = said(&mut user);
            kill(user);
            wait_until("the server has stopped", || !is_mentioned(&directory));
            url
        };
        let url = used_once();
        assert_eq!(used_once(), url);

        let first = port(&directory);
        let _taken = TcpListener::bind(("127.0.0.1", first)).expect("its port");
        let moved = used_once();
        let second = port(&directory);
        assert_ne!(first, second);
        // The same login, so the same data.
        assert_eq!(moved, url.replace(&format!(":{first}"), &format!(":{second}")));
    }
}
