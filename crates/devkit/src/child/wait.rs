//! Looking at a child, and sending it signals.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::{Child, GLANCE};
use crate::Error;

impl Child {
    /// Looks until there is something, or can't be any more.
    pub(super) async fn wait<T>(
        &mut self,
        awaited: &str,
        mut look: impl FnMut(&mut Child) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let patience = self.program.longest_wait();
        let deadline = Instant::now() + patience;
        loop {
            // Asked first: what it did last is seen by the look after it.
            let over = self.over()?;
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if let Some(status) = over {
                return Err(self.failed(awaited, format!("it ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(self.failed(awaited, format!("that took longer than {patience:?}")));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// How it ended, if it has, and everything that it said was heard. What it has started may keep its output open: that
    /// is not waited for.
    pub(super) fn over(&mut self) -> Result<Option<ExitStatus>, Error> {
        const REST: Duration = Duration::from_secs(1);
        let status = self.status()?;
        let heard = self.output.is_complete() || self.ended.is_some_and(|ended| ended.elapsed() > REST);
        Ok(status.filter(|_| heard))
    }

    pub(super) fn status(&mut self) -> Result<Option<ExitStatus>, Error> {
        let status =
            self.process.try_wait().map_err(|error| self.failed("for its end", error.to_string()))?;
        if status.is_some() {
            self.ended.get_or_insert_with(Instant::now);
        }
        Ok(status)
    }

    pub(super) fn is_stopped(&self) -> Result<bool, Error> {
        // It is looked at and not taken: the end is collected by `status`.
        let look = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let seen = waitid(WaitId::Pid(self.pid()), look);
        let seen = seen.map_err(|error| self.failed("for it to be stopped", error.to_string()))?;
        Ok(seen.is_some_and(|status| status.stopped()))
    }

    /// A process that was not yet collected keeps its id: the signal can't meet another one.
    pub(super) fn signal(&mut self, signal: Signal, awaited: &str) -> Result<(), Error> {
        if self.status()?.is_some() {
            return Ok(());
        }
        kill_process(self.pid(), signal).map_err(|error| self.failed(awaited, error.to_string()))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    pub(super) fn failed(&self, awaited: &str, happened: String) -> Error {
        Error::Child {
            child: self.program.to_string(),
            awaited: awaited.to_owned(),
            happened,
            said: self.output.end(),
        }
    }
}
