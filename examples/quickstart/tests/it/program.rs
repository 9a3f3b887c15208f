//! The program as a child process.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far beyond what any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A run of the program on a database of the test's.
pub(crate) struct Program {
    child: Child,
    said: Option<Lines<BufReader<ChildStderr>>>,
    /// What was read of it, to explain a failure.
    heard: Vec<String>,
}

impl Program {
    pub(crate) fn start(database: &str, corpus: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quickstart"))
            .args(arguments)
            .arg(corpus)
            .env("DATABASE_URL", database)
            .env("PORT", "127.0.0.1:0")
            .env("QUICKSTART_SERVICE_ADMIN", "127.0.0.1:0")
            .env("QUICKSTART_EVENTS_LEASE", "300ms")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let said = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        Self { child, said: Some(said), heard: Vec::new() }
    }

    /// Waits until it serves, and returns the URL.
    pub(crate) async fn serving(&mut self) -> String {
        let said = self.said.as_mut().expect("nobody else reads it");
        loop {
            let line = timeout(PATIENCE, said.next_line()).await.expect("it speaks").expect("it can be read");
            let line = line.unwrap_or_else(|| panic!("it ended before it served: {:#?}", self.heard));
            let url =
                line.strip_prefix("serving on ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
            self.heard.push(line);
            if let Some(url) = url {
                return url;
            }
        }
    }

    /// Kills it with SIGKILL after this time. False if it had ended by itself, and well.
    pub(crate) async fn kill_after(mut self, moment: Duration) -> bool {
        let reading = self.read_on();
        match timeout(moment, self.child.wait()).await {
            Err(_) => {
                self.child.kill().await.expect("it is killed");
                true
            }
            Ok(status) => {
                let heard = reading.await.expect("it was read");
                assert!(status.expect("it ended").success(), "{heard:#?}");
                false
            }
        }
    }

    /// Waits for its end.
    pub(crate) async fn ends(mut self) -> ExitStatus {
        let reading = self.read_on();
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it does not end")).expect("it ended");
        let heard = reading.await.expect("it was read");
        assert!(status.success(), "{status}: {heard:#?}");
        status
    }

    /// Asks it to stop, as a supervisor does.
    pub(crate) async fn terminate(self) -> ExitStatus {
        let id = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)).expect("it runs");
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it is told");
        self.ends().await
    }

    /// A pipe that nobody reads would hold it up.
    fn read_on(&mut self) -> JoinHandle<Vec<String>> {
        let mut heard = std::mem::take(&mut self.heard);
        let mut said = self.said.take().expect("nobody else reads it");
        tokio::spawn(async move {
            while let Ok(Some(line)) = said.next_line().await {
                heard.push(line);
            }
            heard
        })
    }
}
