//! Notifications of other sessions, on a connection of their own.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use shared_core::Backoff;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::AsyncMessage;

use crate::address::Address;
use crate::config::{Config, quoted};
use crate::error::{Error, described};

/// Notices that wait for their reader. More than that means that it has stopped reading; what is dropped then is told.
const WAITING: usize = 1024;

/// Between attempts to reach the server again.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// Bytes in the name of a channel; the server cuts longer ones off without a word.
const LONGEST_NAME: usize = 63;

/// What a [`Listener`] hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Somebody's `NOTIFY`, after its commit.
    Notification {
        /// The channel.
        channel: String,
        /// What was said; empty where nothing was.
        payload: String,
    },
    /// The connection was away, or its reader too slow: look at the tables, as at the start.
    MayHaveMissed,
}

/// Listens on channels. See [`Db::listen`](crate::Db::listen).
///
/// Dropping it ends its connection.
#[derive(Debug)]
pub struct Listener {
    notices: mpsc::Receiver<Notice>,
    task: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn start(config: &Config, channels: &[&str]) -> Result<Self, Error> {
        if config.pooler && config.direct_url.is_none() {
            return Err(Error::Config(
                "behind a pooler, LISTEN needs DATABASE_DIRECT_URL to lead to the server".to_owned(),
            ));
        }
        let mut address = Address::new(config, config.direct_url.as_ref().unwrap_or(&config.url))?;
        address.settings.application_name("shared-db listener");
        let statement = listen_to(channels)?;
        let (sender, notices) = mpsc::channel(WAITING);
        let (ready, is_ready) = oneshot::channel();
        let patience = config.connect_timeout;
        let task = tokio::spawn(Ears { address, statement, patience, sender, missed: false }.listen(ready));
        let listener = Self { notices, task };
        // Without an answer the task has panicked, which nothing in it does.
        is_ready.await.unwrap_or(Err(Error::Closed))?;
        Ok(listener)
    }

    /// The next notice; waits for it through any number of reconnections. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Notice {
        match self.notices.recv().await {
            Some(notice) => notice,
            // The task lives as long as this does.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen_to(channels: &[&str]) -> Result<String, Error> {
    if let Some(odd) =
        channels.iter().find(|name| !(1..=LONGEST_NAME).contains(&name.len()) || name.contains('\0'))
    {
        return Err(Error::Config(format!(
            "a channel's name has 1 to {LONGEST_NAME} bytes and no NUL; this one has {}",
            odd.len()
        )));
    }
    Ok(channels.iter().map(|name| format!("LISTEN {};", quoted(name))).collect())
}

/// The connection, again and again.
struct Ears {
    address: Address,
    statement: String,
    /// How long a server has to take the connection, and again to answer on it.
    patience: Duration,
    sender: mpsc::Sender<Notice>,
    /// Something was lost that the reader has not been told of yet.
    missed: bool,
}

impl Ears {
    async fn listen(mut self, ready: oneshot::Sender<Result<(), Error>>) {
        let mut ready = Some(ready);
        // Since it could last listen.
        let mut attempt: u32 = 0;
        loop {
            let ended = self.session(&mut ready, &mut attempt).await;
            attempt = attempt.saturating_add(1);
            if let Some(ready) = ready.take() {
                // The first attempt has failed: its caller decides what follows.
                let _ = ready.send(ended.and(Err(Error::Closed)));
                return;
            }
            if let Err(error) = ended {
                tracing::warn!(%error, attempt, "the listener has lost its connection, and opens another");
            }
            self.missed = true;
            tokio::time::sleep(PAUSE.delay(attempt.min(8))).await;
        }
    }

    /// One connection, from its beginning to its end.
    async fn session(
        &mut self,
        ready: &mut Option<oneshot::Sender<Result<(), Error>>>,
        attempts: &mut u32,
    ) -> Result<(), Error> {
        let failed = |error: tokio_postgres::Error| Error::Connect { reason: described(&error) };
        let late = || Error::Connect { reason: "the server did not answer in time".to_owned() };
        let connecting = self.address.settings.connect(self.address.tls.clone());
        let connected = tokio::time::timeout(self.patience, connecting).await;
        let (client, mut connection) = connected.map_err(|_| late())?.map_err(failed)?;
        let statement = self.statement.clone();
        let mut subscribe = pin!(tokio::time::timeout(self.patience, client.batch_execute(&statement)));
        let mut subscribed = false;
        loop {
            tokio::select! {
                done = subscribe.as_mut(), if !subscribed => {
                    done.map_err(|_| late())?.map_err(|error| Error::statement("listen", &error))?;
                    (subscribed, *attempts) = (true, 0);
                    if let Some(ready) = ready.take() {
                        let _ = ready.send(Ok(()));
                    }
                    self.tell_what_was_missed();
                }
                message = poll_fn(|cx| connection.poll_message(cx)) => match message {
                    Some(Ok(AsyncMessage::Notification(heard))) => self.pass_on(Notice::Notification {
                        channel: heard.channel().to_owned(),
                        payload: heard.payload().to_owned(),
                    }),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(failed(error)),
                    None => return Ok(()),
                },
            }
        }
    }

    fn pass_on(&mut self, notice: Notice) {
        self.tell_what_was_missed();
        self.missed |= self.sender.try_send(notice).is_err();
    }

    /// As soon as the reader has room for it.
    fn tell_what_was_missed(&mut self) {
        self.missed = self.missed && self.sender.try_send(Notice::MayHaveMissed).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(payload: &str) -> Notice {
        Notice::Notification { channel: "notes".to_owned(), payload: payload.to_owned() }
    }

    #[test]
    fn a_reader_that_is_too_slow_is_told_in_the_place_of_what_it_has_missed() {
        let config = Config::new("postgres://localhost/notes");
        let Ok(address) = Address::new(&config, &config.url) else { unreachable!("it is a URL") };
        let (sender, mut reader) = mpsc::channel(2);
        let mut ears =
            Ears { address, statement: String::new(), patience: Duration::ZERO, sender, missed: false };
        for payload in ["1", "2", "lost", "lost"] {
            ears.pass_on(said(payload));
        }
        let mut read = || reader.try_recv().ok();
        assert_eq!((read(), read(), read()), (Some(said("1")), Some(said("2")), None));
        ears.pass_on(said("3"));
        assert_eq!((read(), read(), read()), (Some(Notice::MayHaveMissed), Some(said("3")), None));
    }
}
