//! What has come to Redis: counted, and seen as it comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, Value};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// The streams of one side: those of its number.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) url: String,
    connection: MultiplexedConnection,
}

const COUNT: &str = "
    local count = 0
    for _, key in ipairs(redis.call('KEYS', '*')) do
        if redis.call('TYPE', key).ok == 'stream' then count = count + redis.call('XLEN', key) end
    end
    return count";
const NAMES: &str = "
    local names = {}
    for _, key in ipairs(redis.call('KEYS', '*')) do
        if redis.call('TYPE', key).ok == 'stream' then table.insert(names, key) end
    end
    return names";

impl Streams {
    pub(crate) async fn open(url: &str) -> Self {
        Self { url: url.to_owned(), connection: connect(url).await }
    }

    pub(crate) async fn count(&self) -> u64 {
        redis::Script::new(COUNT).invoke_async(&mut self.connection.clone()).await.unwrap()
    }

    pub(crate) async fn names(&self) -> Vec<String> {
        redis::Script::new(NAMES).invoke_async(&mut self.connection.clone()).await.unwrap()
    }

    pub(crate) async fn clear(&self) {
        let () = redis::cmd("FLUSHDB").query_async(&mut self.connection.clone()).await.unwrap();
    }

    /// Until so many are there.
    pub(crate) async fn until(&self, count: u64) {
        while self.count().await < count {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// The fields of an entry as they lie there.
    pub(crate) async fn sample(&self) -> Fields {
        let name = self.names().await.into_iter().next().expect("there is no stream to take an entry from");
        let entries: Vec<(String, Fields)> =
            self.connection.clone().xrange_count(name, "-", "+", 1).await.unwrap();
        entries.into_iter().next().map(|(_, fields)| fields).unwrap()
    }

    /// Sees what comes from now on. All streams have to be there.
    pub(crate) async fn watch(&self) -> Watch {
        let names = self.names().await;
        let mut connection = connect(&self.url).await;
        let seen = Arc::new(Mutex::new(HashMap::new()));
        let (shared, mut ids) = (seen.clone(), HashMap::new());
        for name in &names {
            let last: Vec<(String, HashMap<String, Value>)> =
                connection.xrevrange_count(name, "+", "-", 1).await.unwrap();
            ids.insert(name.clone(), last.into_iter().next().map_or("0".to_owned(), |(id, _)| id));
        }
        let task = tokio::spawn(async move {
            let options = StreamReadOptions::default().count(1_000).block(100);
            loop {
                let last: Vec<&String> = names.iter().map(|name| &ids[name]).collect();
                let reply: Option<StreamReadReply> =
                    connection.xread_options(&names, &last, &options).await.unwrap();
                let now = Instant::now();
                let mut seen = shared.lock().unwrap();
                for stream in reply.into_iter().flat_map(|reply| reply.keys) {
                    for entry in stream.ids {
                        if let Some(n) = entry.map.values().find_map(number) {
                            seen.entry(n).or_insert_with(Vec::new).push((stream.key.clone(), now));
                        }
                        ids.insert(stream.key.clone(), entry.id);
                    }
                }
            }
        });
        Watch { seen, task }
    }
}

async fn connect(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// The event's number, in the field that has its payload.
fn number(value: &Value) -> Option<u64> {
    let Value::BulkString(bytes) = value else { return None };
    let text = std::str::from_utf8(bytes).ok()?;
    let digits = text.split_once("\"n\":")?.1.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// An entry's names and values.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// In which stream an event was seen, and when; more than once if it came more than once.
pub(crate) type Seen = HashMap<u64, Vec<(String, Instant)>>;

pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Watch {
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn has(&self, n: u64) -> bool {
        self.seen.lock().unwrap().contains_key(&n)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_in_the_payload() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        assert_eq!(number(&text(r#"{"n":17,"key":"a"}"#)), Some(17));
        assert_eq!(number(&text(r#"{"key":"a", "n": 3}"#)), Some(3));
        assert_eq!(number(&text("application/json")), None);
    }
}
