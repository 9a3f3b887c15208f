//! What the driver and the server say, without anything that was in a key or a value.

use redis::{ErrorKind, RedisError};

use crate::error::{Cause, Error};

/// Codes whose texts are the server's own, and quote nothing.
const SAFE: &[&str] = &[
    "ASK",
    "BUSY",
    "BUSYGROUP",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "EXECABORT",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "WRONGPASS",
    "WRONGTYPE",
];

/// Codes after which nothing has happened, and soon the same may succeed.
const TRANSIENT: &[&str] =
    &["ASK", "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "NOREPLICAS", "READONLY", "TRYAGAIN"];

/// Codes of a server that serves no longer, or not yet, what was asked of it: another connection may lead elsewhere.
const ELSEWHERE: &[&str] = &["LOADING", "MASTERDOWN", "MOVED", "READONLY"];

/// No connection could be opened.
pub(super) fn unreachable(error: &RedisError) -> Error {
    match error.code() {
        Some(_) => Error::Connect { reason: refusal(error).to_string() },
        None => Error::Connect { reason: driver_text(error) },
    }
}

/// A request failed. `whole`: either all of it happened or nothing.
pub(super) fn failed(command: &str, error: &RedisError, whole: bool) -> Error {
    let command = command.to_owned();
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => {
            let cause = refusal(error);
            Error::Command { command, cause: Cause { transient: cause.transient && whole, ..cause } }
        }
        // Of a cluster: no node could be asked.
        ErrorKind::ClusterConnectionNotFound | ErrorKind::AuthenticationFailed => unreachable(error),
        ErrorKind::Io | ErrorKind::Parse => Error::Unanswered { command, cause: lost(driver_text(error)) },
        _ => Error::Command { command, cause: because("the driver refused it") },
    }
}

/// After this error the next request is better off with another connection.
pub(super) fn leads_elsewhere(error: &Error) -> bool {
    match error {
        Error::Unanswered { .. } | Error::CommandTimeout { .. } => true,
        Error::Command { cause, .. } => cause.code().is_some_and(|code| ELSEWHERE.contains(&code)),
        _ => false,
    }
}

/// The answer is of another kind than the caller's type.
pub(super) fn unreadable<T>(command: &str) -> Error {
    let text = format!("its answer can't be read as {}", std::any::type_name::<T>());
    Error::Command { command: command.to_owned(), cause: because(&text) }
}

/// A command that was not carried out, for a reason of our own.
pub(super) fn because(text: &str) -> Cause {
    Cause { text: text.to_owned(), ..Cause::default() }
}

/// The connection is gone.
pub(super) fn lost(text: String) -> Cause {
    Cause { closed: true, text, ..Cause::default() }
}

fn refusal(error: &RedisError) -> Cause {
    // A transaction that was not carried out, and the first reason why not.
    if error.code() == Some("EXECABORT")
        && let Some(reasons) = error.clone().into_server_errors()
        && let Some((_, reason)) = reasons.iter().find(|(_, reason)| TRANSIENT.contains(&reason.code()))
    {
        return refused(Some(reason.code()), reason.details());
    }
    refused(error.code(), error.detail())
}

fn refused(code: Option<&str>, detail: Option<&str>) -> Cause {
    // A script may put anything there.
    let is_code = |code: &&str| code.len() <= 32 && code.chars().all(|letter| letter.is_ascii_uppercase());
    let code = code.filter(is_code).unwrap_or("ERR");
    let text = match detail.filter(|_| SAFE.contains(&code)) {
        Some(detail) => format!("{detail} ({code})"),
        None => format!("the server refused it ({code})"),
    };
    Cause { transient: TRANSIENT.contains(&code), code: Some(code.to_owned()), ..because(&text) }
}

/// The driver's own words where they are about the network.
fn driver_text(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Io => error.to_string(),
        ErrorKind::Parse => "the server does not speak the protocol of Redis".to_owned(),
        _ => error.category().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &'static str, detail: &str) -> Error {
        let answer = redis::parse_redis_value(format!("-{code} {detail}\r\n").as_bytes());
        let error = answer.and_then(redis::Value::extract_error).err();
        error.map_or(Error::Closed, |error| failed("GET", &error, true))
    }

    #[test]
    fn values_are_not_quoted() {
        for (code, detail) in [
            ("ERR", "unknown command 'x', with args beginning with: 'hunter2'"),
            ("ERR", "user_script:1: hunter2"),
            ("HUNTER2", "hunter2"),
            ("hunter2", "x"),
        ] {
            let said = said(code, detail);
            assert!(!format!("{said} {said:?}").contains("hunter2"), "{said:?}");
        }
        assert_eq!(
            said("WRONGTYPE", "wrong kind").to_string(),
            "command `GET` failed: wrong kind (WRONGTYPE)"
        );
        assert_eq!(said("LEASELOST", "").code(), Some("LEASELOST"));
    }

    #[test]
    fn what_did_not_happen_and_soon_may_is_worth_a_retry() {
        assert!(said("LOADING", "x").is_retryable());
        assert!(said("MOVED", "1 127.0.0.1:1").is_retryable());
        assert!(!said("WRONGTYPE", "x").is_retryable());
        assert!(!said("LEASELOST", "x").is_retryable());
    }
}
