//! Redis Streams as a source, and a consumer group of any stream.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use shared_db::redis::{FromRedisValue, Redis, Value, cmd};
use uuid::Uuid;

use super::group::REDELIVERED;
use super::{Delivery, Group, Read, Source, Taken};
use crate::sink::{RedisStreams, fields};
use crate::{Envelope, Error, Lane, Place};

/// An entry as Redis answers: its id, and its fields as one list of names and values.
type Entry = (String, Vec<Vec<u8>>);

#[async_trait]
impl Source for RedisStreams {
    fn name(&self) -> String {
        format!("redis:{}", self.prefix_name())
    }

    /// With the entry of the mark: if it is not there, it was trimmed. If nothing is behind it either, the stream ends before it, and is read from
    /// its start: it was made anew, or the entry was somebody else's and is taken out.
    async fn read(&self, lane: Lane, mark: Option<&str>, most: usize) -> Result<Read, Error> {
        let since = mark.unwrap_or("-");
        let more = most.saturating_add(usize::from(mark.is_some()));
        let mut entries = self.range(lane, since, more).await?;
        if entries.is_empty() && mark.is_some() {
            entries = self.range(lane, "-", most).await?;
            // One that came between the two looks lies behind the mark, as in a stream that goes on.
            let place = |id: &str| id.parse::<Place>().ok();
            let missed = entries.iter().any(|(id, _)| place(id) > mark.and_then(place));
            return Ok(Read::new(taken(lane, entries), missed));
        }
        let is_marked = entries.first().map(|(id, _)| id.as_str()) == mark && mark.is_some();
        if is_marked {
            entries.remove(0);
        }
        let missed = mark.is_some() && !is_marked && !entries.is_empty();
        Ok(Read::new(taken(lane, entries), missed))
    }
}

impl RedisStreams {
    /// So many entries of a lane from this id on.
    async fn range(&self, lane: Lane, since: &str, most: usize) -> Result<Vec<Entry>, Error> {
        let mut command = cmd("XRANGE");
        command.arg(self.key(lane)).arg(since).arg("+").arg("COUNT").arg(most);
        Ok(self.redis.command(&command).await?)
    }
}

fn taken(lane: Lane, entries: Vec<Entry>) -> Vec<Taken> {
    let taken = entries.into_iter().map(|(id, words)| {
        let event = event(lane, &id, words);
        Taken::new(id, event)
    });
    taken.collect()
}

/// An event of a lane's stream.
fn event(lane: Lane, id: &str, words: Vec<Vec<u8>>) -> Result<Envelope, String> {
    let event = message(words)?;
    // The order is that of the ids, and what was done is known by the places: they must be the same.
    match event.lane == lane && event.place.to_string() == id {
        true => Ok(event),
        false => Err("its place is another than its id says".to_owned()),
    }
}

fn message(words: Vec<Vec<u8>>) -> Result<Envelope, String> {
    let text = |word| String::from_utf8(word).map_err(|_| "one of its fields is no text".to_owned());
    let (mut words, mut fields, mut body) = (words.into_iter(), Vec::new(), Vec::new());
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        match text(name)? {
            name if name == fields::DATA => body = value,
            name => fields.push((name, text(value)?)),
        }
    }
    fields::read(&fields, body)
}

/// A consumer group of a stream of Redis 6.2 or later, whoever writes to it: for events that come in no order. What a reader does not
/// acknowledge for a minute goes to another.
pub struct RedisGroup {
    redis: Redis,
    stream: String,
    group: String,
    /// This reader, as the group knows it.
    reader: String,
    redelivered: Duration,
    /// An answer was lost: the server may have handed this reader entries that it does not know.
    is_unsure: AtomicBool,
}

impl RedisGroup {
    /// The group of this name of the stream with this key. Where it is not there it is made, and begins with the stream's first entry.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn open(redis: &Redis, stream: &str, group: &str) -> Result<Self, Error> {
        let mut create = cmd("XGROUP");
        create.arg("CREATE").arg(stream).arg(group).arg("0").arg("MKSTREAM");
        match redis.command::<Value>(&create).await {
            Err(error) if error.code() != Some("BUSYGROUP") => return Err(error.into()),
            _ => {}
        }
        let reader = Uuid::now_v7().to_string();
        let (stream, group) = (stream.to_owned(), group.to_owned());
        let is_unsure = AtomicBool::new(false);
        Ok(Self { redis: redis.clone(), stream, group, reader, redelivered: REDELIVERED, is_unsure })
    }

    /// After how long another reader takes what one has not acknowledged. A minute, unless it is said here: twice as long as an
    /// attempt may take. What only takes longer is done once all the same.
    #[must_use]
    pub fn redelivered_after(self, redelivered: Duration) -> Self {
        Self { redelivered, ..self }
    }

    /// Entries of others that have not acknowledged them for long.
    async fn claim(&self, most: usize) -> Result<Vec<Entry>, Error> {
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(&self.stream).arg(&self.group).arg(&self.reader);
        claim.arg(self.redelivered.as_millis().to_string()).arg("0-0").arg("COUNT").arg(most);
        // Where to go on; the entries, of which Redis 6.2 also names those that were trimmed; Redis 7 names these besides.
        let mut parts: Vec<Value> = self.redis.command(&claim).await?;
        let entries = if parts.len() > 1 { parts.swap_remove(1) } else { Value::Nil };
        let entries = Option::<Vec<Option<Entry>>>::from_redis_value(entries);
        let entries = entries.map_err(|_| Error::Broker("XAUTOCLAIM answers no entries".to_owned()))?;
        Ok(entries.into_iter().flatten().flatten().collect())
    }

    /// New entries by `>`, this reader's own that are not acknowledged by `0`.
    async fn read(&self, since: &str, most: usize) -> Result<Vec<Entry>, Error> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(&self.group).arg(&self.reader).arg("COUNT").arg(most);
        read.arg("STREAMS").arg(&self.stream).arg(since);
        let streams: Option<Vec<(String, Vec<Entry>)>> = self.redis.command(&read).await?;
        Ok(streams.into_iter().flatten().flat_map(|(_, entries)| entries).collect())
    }

    async fn claim_and_read(&self, most: usize) -> Result<Vec<Entry>, Error> {
        let mut entries = self.claim(most).await?;
        if entries.len() < most {
            entries.extend(self.read(">", most - entries.len()).await?);
        }
        Ok(entries)
    }
}

#[async_trait]
impl Group for RedisGroup {
    fn name(&self) -> String {
        format!("redis:{}:{}", self.stream, self.group)
    }

    /// Where the answer to the last call was lost, what it had taken comes first.
    async fn take(&self, most: usize) -> Result<Vec<Delivery>, Error> {
        let mut entries = Vec::new();
        if self.is_unsure.swap(true, Ordering::Relaxed) {
            entries = self.read("0", most).await?;
        }
        if entries.is_empty() {
            entries = self.claim_and_read(most).await?;
            self.is_unsure.store(false, Ordering::Relaxed);
        }
        Ok(entries.into_iter().map(|(id, words)| Delivery::new(id, message(words))).collect())
    }

    /// Redis 7 knows how many entries it has yet to hand out, unless some of them were deleted.
    async fn waiting(&self) -> Result<Option<u64>, Error> {
        let mut info = cmd("XINFO");
        info.arg("GROUPS").arg(&self.stream);
        let groups: Vec<HashMap<String, Value>> = self.redis.command(&info).await?;
        let text = |group: &HashMap<String, Value>, of| String::from_redis_value_ref(group.get(of)?).ok();
        let own = groups.iter().find(|group| text(group, "name").as_ref() == Some(&self.group));
        let number = |of| own.and_then(|group| u64::from_redis_value_ref(group.get(of)?).ok());
        Ok(number("lag").zip(number("pending")).map(|(lag, pending)| lag + pending))
    }

    async fn acknowledge(&self, tokens: &[String]) -> Result<(), Error> {
        let mut command = cmd("XACK");
        command.arg(&self.stream).arg(&self.group).arg(tokens);
        let _: u64 = self.redis.command(&command).await?;
        Ok(())
    }
}

impl fmt::Debug for RedisGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisGroup")
            .field("stream", &self.stream)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}
