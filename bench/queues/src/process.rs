//! A queue's process, seen from the one that measures.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bench_report::cpu;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::contestants::{Contestant, Program};
use crate::drive::{Aim, WORD};
use crate::protocol::{Answer, Command};

/// It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// Connections, migrations.
const START: Duration = Duration::from_secs(60);

impl Process {
    pub(crate) async fn start(contestant: &Contestant, url: &str, aim: Aim) -> Result<Self, String> {
        let mut command = match contestant.program {
            Program::Rust(name) => {
                let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
                command.args([WORD, name]);
                command
            }
            Program::BullMq => {
                let mut command = tokio::process::Command::new("node");
                command.arg(node_directory().join("driver.mjs"));
                command
            }
        };
        command
            .arg(contestant.settings.word())
            .arg(url)
            .arg(aim.word())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (orders, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut process = Self { child, orders, answers: BufReader::new(answers).lines() };
        process.answer(START).await?;
        Ok(process)
    }

    /// The answer, or why there is none: it may have failed, or taken too long.
    pub(crate) async fn tell(&mut self, command: &Command, patience: Duration) -> Result<Answer, String> {
        let line = serde_json::to_string(command).unwrap() + "\n";
        self.orders.write_all(line.as_bytes()).await.map_err(|error| format!("it ended: {error}"))?;
        self.answer(patience).await
    }

    async fn answer(&mut self, patience: Duration) -> Result<Answer, String> {
        let line = timeout(patience, self.answers.next_line()).await;
        let line =
            line.map_err(|_| format!("not done in {patience:?}"))?.map_err(|error| error.to_string())?;
        let line = line.ok_or("it ended")?;
        let answer: Answer = serde_json::from_str(&line).map_err(|_| format!("it said: {line}"))?;
        match answer.error {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    pub(crate) fn cpu(&self) -> Duration {
        self.child.id().map_or(Duration::ZERO, cpu::of_tree)
    }
}

/// What a peer in JavaScript is made of: its packages are pinned by the lock file.
const NODE_FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("../peers/bullmq/package.json")),
    ("driver.mjs", include_str!("../peers/bullmq/driver.mjs")),
    ("package-lock.json", include_str!("../peers/bullmq/package-lock.json")),
];

/// Where it is run: beside what Cargo builds, so that no package comes among the sources.
fn node_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.parent().unwrap().join("bench-queues-bullmq")
}

/// Installs what the lock file says, unless it is there.
pub(crate) fn install_node_packages() {
    let directory = node_directory();
    let locked = fs::read_to_string(directory.join("node_modules").join(".installed"));
    fs::create_dir_all(&directory).unwrap();
    for (name, text) in NODE_FILES {
        fs::write(directory.join(name), text).unwrap();
    }
    let (_, lock) = NODE_FILES[2];
    if locked.is_ok_and(|locked| locked == lock) {
        return;
    }
    // Not `ci`: it refuses where a registry lacks the optional binaries for other systems.
    let npm = ["install", "--no-audit", "--no-fund", "--ignore-scripts"];
    let done =
        std::process::Command::new("npm").args(npm).current_dir(&directory).stdout(Stdio::null()).status();
    assert!(
        done.is_ok_and(|status| status.success()),
        "the packages of BullMQ can't be installed: is npm there?"
    );
    fs::write(directory.join("node_modules").join(".installed"), lock).unwrap();
}
