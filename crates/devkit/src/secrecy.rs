//! Secrets that show up in logs, whichever test it is that shows them.
//!
//! A process that has called [`watch`] searches everything that it logs from then on, at every level and of every crate, and what
//! the servers of devkit have logged while it used them. It ends at the first secret, so the run fails, however well its tests do.
//!
//! A secret is known by its form: a signed token, an opaque token or secret (`xy_` and base64), a private key, the hash of a
//! password, the password in a URL. What has no form of its own, such as a password, has a [`MARK`] in it.
//!
//! A subscriber that a test installs for its own thread takes what it logs; that test looks for itself.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process;
use std::sync::Once;

use tracing_subscriber::fmt::format::FmtSpan;

use crate::tail;

/// What makes a text a secret that has no form of its own: `Secret::new("a staple of horses, hush-hush")`.
pub const MARK: &str = "hush-hush";

/// The code with which a process ends that has shown a secret: that of a test binary with a failed test.
pub const EXIT_CODE: i32 = 101;

/// Searches everything that this process logs, to its end. Calling it again changes nothing.
///
/// # Panics
/// If another subscriber was installed for the whole process: then nothing could be searched.
pub fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
            .with_ansi(false)
            .with_writer(|| Searched)
            .finish();
        if let Err(error) = tracing::subscriber::set_global_default(subscriber) {
            panic!("what this process logs can't be searched for secrets: {error}");
        }
    });
}

/// What kind of secret a text has in it, if it has one.
pub fn find(text: &str) -> Option<&'static str> {
    let parts = ["PRIVATE KEY-----", "MC4CAQAwBQYDK2Vw", "MIGHAgEAMBMGByqGSM49", "ADANBgkqhkiG9w0BAQEFAASC"];
    match () {
        () if text.contains(MARK) => Some("a secret with the mark of tests"),
        () if parts.iter().any(|part| text.contains(part)) => Some("a private key"),
        () if text.contains("$argon2") => Some("the hash of a password"),
        () if text.split(|c| !is_of_token(c)).any(is_signed_token) => Some("a signed token"),
        () if text.split(|c| !is_of_token(c)).any(is_opaque_token) => Some("an opaque token"),
        () if text.split("://").skip(1).any(has_password) => Some("a password in a URL"),
        () => None,
    }
}

fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Three parts, of which the first two are JSON: `eyJ` is `{"` in base64.
fn is_signed_token(word: &str) -> bool {
    let mut parts = word.split('.');
    let mut is_json = || parts.next().is_some_and(|part| part.starts_with("eyJ"));
    is_json() && is_json() && parts.next().is_some_and(|signature| signature.len() >= 32)
}

/// A prefix of two letters, and 30 random bytes or more. Names in a program's text have no digits and capitals beside each other.
fn is_opaque_token(word: &str) -> bool {
    let Some((prefix, random)) = word.split_once('_') else { return false };
    let has = |is: fn(&u8) -> bool| random.bytes().any(|byte| is(&byte));
    prefix.len() == 2
        && prefix.bytes().all(|byte| byte.is_ascii_lowercase())
        && random.len() >= 40
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_digit)
}

/// What stands behind `://`: `user:password@host`. Asterisks are what is shown in its place.
fn has_password(rest: &str) -> bool {
    let authority = rest.split(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'')).next();
    let user = authority.and_then(|authority| authority.rsplit_once('@'));
    let password = user.and_then(|(user, _)| user.split_once(':')).map_or("", |(_, password)| password);
    password.chars().any(|c| c != '*')
}

/// Where lines of the log go: each is written at once.
struct Searched;

impl Write for Searched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        search("this process", &String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a server adds to its log while this lives, searched at its end.
#[derive(Debug)]
pub(crate) struct ServerLog {
    path: PathBuf,
    from: u64,
}

impl ServerLog {
    pub(crate) fn from_now(path: PathBuf) -> Self {
        let from = fs::metadata(&path).map_or(0, |file| file.len());
        Self { path, from }
    }
}

impl Drop for ServerLog {
    fn drop(&mut self) {
        // A log that went with its server can't be read.
        if let Ok(added) = tail::text_from(&self.path, self.from) {
            added.lines().for_each(|line| search(self.path.display(), line));
        }
    }
}

/// Ends the process if there is a secret. No panic: what is logged in a task that nobody waits for would fail nothing.
fn search(logged_by: impl Display, line: &str) {
    if let Some(kind) = find(line) {
        // Not by the macro, whose output the test harness keeps to itself. A test's secret may be read by who mends it.
        let _ = writeln!(io::stderr(), "{kind} was logged by {logged_by}: {line}");
        process::exit(EXIT_CODE);
    }
}

#[cfg(test)]
mod tests {
    use super::find;

    const RANDOM: &str = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8BI0VniavN7w";

    #[test]
    fn secrets_are_known_by_their_form() {
        let token = format!("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c2VyOjcifQ.{RANDOM}");
        for (text, kind) in [
            (format!("authorization: Bearer {token}"), "a signed token"),
            (format!("shown=\"sr_{RANDOM}\""), "an opaque token"),
            ("key=MC4CAQAwBQYDK2VwBCIEIFet8Um7".to_owned(), "a private key"),
            ("-----BEGIN PRIVATE KEY-----".to_owned(), "a private key"),
            ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned(), "the hash of a password"),
            ("can't reach postgres://app:s3cret@localhost/notes".to_owned(), "a password in a URL"),
            ("password=hush-hush".to_owned(), "a secret with the mark of tests"),
        ] {
            assert_eq!(find(&text), Some(kind), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_is_not_found() {
        for text in [
            "GET https://id.example/.well-known/jwks.json 200",
            "can't reach postgres://app:***@localhost/notes",
            "postgres://app@localhost:5432/notes",
            "kid=kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k jti=token-1",
            "it::kill::a_refresh_that_was_killed_is_repeated_with_the_same_token",
            "database devkit_test_5_9ad0f8c2b1e94f0c8f2a6c5d4e3b2a10",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
