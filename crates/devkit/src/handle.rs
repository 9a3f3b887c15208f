//! A program's hold on a server: what the handles of all kinds of server have in common.

use std::sync::Arc;

use rustix::process::Signal;

use crate::{Error, instance::Instance, keeper::Presence, site::Site, software::Software};

/// Keeps a server up, and does to it what only its owner may do.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    instance: Instance,
    /// Whether the caller may break it.
    yours: bool,
    _presence: Arc<Presence>,
}

impl Handle {
    pub(crate) async fn shared(software: impl Software) -> Result<Handle, Error> {
        Handle::open(move || Instance::shared(software), false).await
    }

    pub(crate) async fn named(software: impl Software, name: &str) -> Result<Handle, Error> {
        let name = name.to_owned();
        Handle::open(move || Instance::named(software, &name), true).await
    }

    pub(crate) async fn exclusive(software: impl Software) -> Result<Handle, Error> {
        Handle::open(move || Instance::exclusive(software), true).await
    }

    async fn open(
        find: impl FnOnce() -> Result<Instance, Error> + Send + 'static,
        yours: bool,
    ) -> Result<Handle, Error> {
        blocking(move || {
            let instance = find()?;
            let presence = instance.attach()?;
            Ok(Handle { instance, yours, _presence: Arc::new(presence) })
        })
        .await
    }

    /// Whether the caller may break the server.
    pub(crate) fn is_yours(&self) -> bool {
        self.yours
    }

    pub(crate) fn url(&self) -> Result<String, Error> {
        self.instance.url()
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.instance.directory()
    }

    pub(crate) fn site(&self) -> &Site {
        &self.instance.site
    }

    pub(crate) async fn kill(&self) -> Result<(), Error> {
        self.break_it("killed", Instance::kill).await
    }

    pub(crate) async fn pause(&self) -> Result<(), Error> {
        self.break_it("paused", Instance::pause).await
    }

    pub(crate) async fn resume(&self) -> Result<(), Error> {
        self.break_it("resumed", Instance::resume).await
    }

    /// Sends its main process a signal that ends it, and waits for the end.
    pub(crate) async fn end(&self, signal: Signal) -> Result<(), Error> {
        self.break_it("stopped", move |instance| instance.end(signal)).await
    }

    pub(crate) async fn start(&self) -> Result<(), Error> {
        self.break_it("restarted", Instance::restart).await
    }

    /// Does what blocks, and what no other user of the server may have to bear.
    pub(crate) async fn break_it<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&Instance) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if !self.yours {
            return Err(Error::NotYours { attempted });
        }
        let instance = self.instance.clone();
        blocking(move || work(&instance)).await
    }
}

/// Runs work that waits for files and processes where it holds up no task.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(stopped) => Err(Error::Program { program: "tokio".to_owned(), reason: stopped.to_string() }),
        },
    }
}
