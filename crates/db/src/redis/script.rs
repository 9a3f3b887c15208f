use std::fmt;
use std::sync::OnceLock;

use redis::{Cmd, ToRedisArgs, cmd};
use sha1_smol::Sha1;

use super::request::words;
use super::slot::slot;
use crate::error::Error;

/// A Lua script, which runs on the server as one indivisible step.
///
/// It is called by the hash of its text. A server that does not know it, such as one that was restarted, gets the text, once;
/// no other call in the same pipeline is repeated for it.
///
/// ```
/// use shared_db::redis::{Redis, Script};
///
/// static ADD: Script = Script::new("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])");
///
/// async fn add(redis: &Redis, account: &str, amount: i64) -> Result<i64, shared_db::Error> {
///     redis.script(&ADD.keys([account]).arg(amount)).await
/// }
/// ```
pub struct Script {
    name: &'static str,
    text: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    /// A script with the name that errors and metrics call it by. Keep it in a `static`: its hash is computed once.
    pub const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, hash: OnceLock::new() }
    }

    /// The name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// A call with these keys, which the script finds as `KEYS`. It must touch no others: in a cluster all must lie in one
    /// slot, which those with the same hash tag do, as `{mail}ready` and `{mail}running`.
    pub fn keys<K: AsRef<[u8]>>(
        &'static self,
        keys: impl IntoIterator<Item = K, IntoIter: ExactSizeIterator>,
    ) -> Call {
        let keys = keys.into_iter();
        let mut command = cmd("EVALSHA");
        command.arg(self.hash()).arg(keys.len());
        let mut call = Call { script: self, keys: keys.len(), command };
        for key in keys {
            call.command.arg(key.as_ref());
        }
        call
    }

    fn hash(&self) -> &str {
        self.hash.get_or_init(|| Sha1::from(self.text).digest().to_string())
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({})", self.name)
    }
}

/// A call of a [`Script`], with its keys and arguments.
#[derive(Clone)]
pub struct Call {
    script: &'static Script,
    keys: usize,
    command: Cmd,
}

/// Where the keys stand: behind EVALSHA, the hash and their number.
const FIRST_KEY: usize = 3;

impl Call {
    /// Adds an argument, or those of a list; the script finds them as `ARGV`.
    #[must_use]
    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.command.arg(argument);
        self
    }

    pub(super) fn name(&self) -> &'static str {
        self.script.name
    }

    /// By hash.
    pub(super) fn command(&self) -> &Cmd {
        &self.command
    }

    /// With the text, which the server then knows.
    pub(super) fn with_text(&self) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(self.script.text);
        for word in words(&self.command).skip(FIRST_KEY - 1) {
            command.arg(word);
        }
        command
    }

    /// In a cluster a script runs on one node.
    pub(super) fn check_slots(&self) -> Result<(), Error> {
        let mut slots = words(&self.command).skip(FIRST_KEY).take(self.keys).map(slot);
        let first = slots.next();
        match slots.all(|slot| Some(slot) == first) {
            true => Ok(()),
            false => Err(Error::CrossSlot { script: self.script.name, keys: self.keys }),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Call({} with {} keys)", self.script.name, self.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ECHO: Script = Script::new("echo", "return ARGV");

    #[test]
    fn a_call_is_made_by_hash_and_falls_back_to_the_text() {
        let call = ECHO.keys(["a", "b"]).arg(1).arg(&["x", "y"]);
        let said =
            |command: &Cmd| String::from_utf8_lossy(&command.get_packed_command()).replace("\r\n", " ");
        let rest = "$1 2 $1 a $1 b $1 1 $1 x $1 y ";
        assert_eq!(
            said(call.command()),
            format!("*8 $7 EVALSHA $40 4cf2342858f27cba86b2b790280b0ba54885a7d0 {rest}")
        );
        assert_eq!(said(&call.with_text()), format!("*8 $4 EVAL $11 return ARGV {rest}"));
        assert_eq!(format!("{call:?}"), "Call(echo with 2 keys)");
    }

    #[test]
    fn keys_of_several_slots_are_told_by_their_number() {
        assert!(ECHO.keys(["{q}a", "{q}b"]).check_slots().is_ok());
        assert!(ECHO.keys([""; 0]).check_slots().is_ok());
        let error = ECHO.keys(["secret", "other"]).check_slots().err().map(|error| error.to_string());
        assert!(
            error
                .is_some_and(|text| text.contains("the 2 keys of script `echo`") && !text.contains("secret"))
        );
    }
}
