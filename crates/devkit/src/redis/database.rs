//! A part of a Redis for each test: a numbered database where the server is ours, and a prefix in any case.

use std::{
    fmt,
    fs::{File, TryLockError},
    io,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    address::Address,
    server::address,
    wire::{Connection, Reply},
};
use crate::{
    Error, cache,
    handle::{Handle, blocking},
    note::note,
    site::Site,
};

/// Numbers are given back when tests end, which with so many taken happens all the time.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks for a number that was given back.
const GLANCE: Duration = Duration::from_millis(20);
/// Dropping blocks: no test should wait long for the keys of a server that it only borrows.
const CLEANING: Duration = Duration::from_secs(5);

/// A part of a Redis for one test, which is given back when this value is dropped or its process dies.
///
/// On a server of devkit's own it is a numbered database that nobody else uses, empty at first: the URL leads there, and
/// `FLUSHDB` is allowed. Commands for the whole server reach beyond it. **Channels of publish and subscribe
/// have no database number**: begin their names with [`prefix`](TestRedis::prefix), as those of everything
/// that two tests must not share.
///
/// On the server of `REDIS_URL`, which may be small and hold the user's data, it is the prefix alone: nothing is flushed, and
/// only keys that begin with it are the test's. Those are removed when this value is dropped, which blocks for as long as that
/// takes, at most five seconds. A test that is killed leaves them; all begin with `devkit:`.
pub struct TestRedis {
    url: String,
    prefix: String,
    place: Place,
    /// Keeps the server up, where it is one of ours.
    _handle: Option<Handle>,
    #[cfg(feature = "secrecy")]
    _searched: Option<crate::secrecy::ServerLog>,
}

enum Place {
    /// Holds the lock on the number.
    Numbered {
        _lock: File,
    },
    Borrowed(Address),
}

impl TestRedis {
    /// The URL of this database, with its number and its password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the names of this test's keys and channels begin with: letters, digits and colons, ending with a colon.
    /// No other [`TestRedis`] ever has the same.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The database of a test on a server of ours, at its `url`.
    pub(super) async fn numbered(url: &str, handle: Handle) -> Result<TestRedis, Error> {
        let (number, lock) = claim(handle.site()).await?;
        let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
        Ok(TestRedis {
            url: format!("{server}/{number}"),
            prefix: prefix(),
            place: Place::Numbered { _lock: lock },
            #[cfg(feature = "secrecy")]
            _searched: Some(crate::secrecy::ServerLog::from_now(handle.site().log())),
            _handle: Some(handle),
        })
    }

    /// The part of a test on somebody else's server.
    pub(super) fn borrowed(url: &str) -> Result<TestRedis, Error> {
        let place = Place::Borrowed(Address::parse(url)?);
        Ok(TestRedis {
            url: url.to_owned(),
            prefix: prefix(),
            place,
            _handle: None,
            #[cfg(feature = "secrecy")]
            _searched: None,
        })
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        if let Place::Borrowed(address) = &self.place
            && let Err(error) = remove_keys(address, &self.prefix)
        {
            note(format_args!("keys that begin with {} were left in REDIS_URL: {error}", self.prefix));
        }
    }
}

impl fmt::Debug for TestRedis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TestRedis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn prefix() -> String {
    format!("devkit:{}:", uuid::Uuid::new_v4().simple())
}

/// Waits until a number is free, and empties its database.
async fn claim(site: &Site) -> Result<(u32, File), Error> {
    let deadline = Instant::now() + PATIENCE;
    let asked = site.clone();
    let last = blocking(move || last_number(&asked)).await?;
    let (number, lock) = loop {
        let site = site.clone();
        match blocking(move || try_claim(&site, last)).await? {
            Some(claimed) => break claimed,
            None if Instant::now() < deadline => sleep(GLANCE).await,
            None => return Err(Error::DatabasesTaken { count: last, waited: PATIENCE }),
        }
    };
    let site = site.clone();
    blocking(move || empty(&site, number)).await?;
    Ok((number, lock))
}

/// The first number is for those who use the server as a whole.
fn last_number(site: &Site) -> Result<u32, Error> {
    let ask = || {
        let setting = Connection::open(&address(site))?.call(&["CONFIG", "GET", "databases"])?;
        let count = setting.into_array()?.pop().unwrap_or(Reply::Nothing).into_text()?;
        count.parse::<u32>().map(|count| count.saturating_sub(1)).map_err(io::Error::other)
    };
    ask().map_err(Error::request("count the databases of Redis"))
}

/// Locks a number that nobody has locked: the kernel unlocks those of the dead.
fn try_claim(site: &Site, last: u32) -> Result<Option<(u32, File)>, Error> {
    let claims = site.path("claims");
    cache::private(&claims, &site.account)?;
    // Each begins elsewhere, so that many who come at once do not all try the same ones.
    let offset = uuid::Uuid::new_v4().as_fields().0 % last.max(1);
    for number in (0..last).map(|step| 1 + (offset + step) % last) {
        let path = claims.join(number.to_string());
        let open = File::options().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(Error::file("open the lock file", &path))?;
        match file.try_lock() {
            Ok(()) => return Ok(Some((number, file))),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", &path)(error)),
        }
    }
    Ok(None)
}

/// Removes what the last one has left.
fn empty(site: &Site, number: u32) -> Result<(), Error> {
    let flush = || {
        let address = Address { database: number, ..address(site) };
        Connection::open(&address)?.call(&["FLUSHDB"])
    };
    flush().map(drop).map_err(Error::request("empty a database of Redis"))
}

/// Looks at every key of the database: there is no other way to those of a prefix.
fn remove_keys(address: &Address, prefix: &str) -> io::Result<()> {
    let deadline = std::time::Instant::now() + CLEANING;
    let mut connection = Connection::open(address)?;
    let pattern = format!("{prefix}*");
    let mut cursor = "0".to_owned();
    loop {
        let scan = ["SCAN", &cursor, "MATCH", &pattern, "COUNT", "1000"];
        let mut answer = connection.call(&scan)?.into_array()?.into_iter();
        let (next, keys) = (answer.next(), answer.next());
        cursor = next.unwrap_or(Reply::Nothing).into_text()?;
        let keys = keys.unwrap_or(Reply::Nothing).into_array()?;
        let keys: Vec<_> = keys.into_iter().filter_map(Reply::into_bytes).collect();
        if !keys.is_empty() {
            connection.call(&[vec![b"UNLINK".to_vec()], keys].concat())?;
        }
        if cursor == "0" {
            return Ok(());
        }
        if std::time::Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}
