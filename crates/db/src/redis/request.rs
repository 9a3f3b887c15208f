//! What goes to the server in one piece, and which pieces need a connection of their own.

use redis::{Arg, Cmd, Pipeline};

/// A command, or several that are sent together.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
    /// A script's EVALSHA or EVAL, with the script's name.
    Script(&'static str, &'a Cmd),
}

impl Request<'_> {
    /// The name in errors and metrics; never anything from a key or a value.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Command(command) => word(command),
            Self::Pipeline(pipeline) if pipeline.is_transaction() => "MULTI".to_owned(),
            Self::Pipeline(_) => "PIPELINE".to_owned(),
            Self::Script(name, _) => (*name).to_owned(),
        }
    }

    /// What it is called in metrics, and the script that it calls.
    pub(super) fn operation(&self) -> (String, Option<&'static str>) {
        match self {
            Self::Script(name, command) => (word(command), Some(name)),
            _ => (self.name(), None),
        }
    }

    /// Either all of it happens or nothing.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Pipeline(pipeline) => pipeline.is_transaction(),
            Self::Command(_) | Self::Script(..) => true,
        }
    }

    /// The first of its commands that would hold up, or change, the connection for all others.
    pub(super) fn needs_own_connection(&self) -> Option<String> {
        let selfish = |command: &Cmd| {
            let word = word(command);
            (waits(command, &word) || Effect::of(command, &word) != Effect::None).then_some(word)
        };
        match self {
            Self::Command(command) => selfish(command),
            Self::Pipeline(pipeline) => pipeline.cmd_iter().find_map(selfish),
            Self::Script(..) => None,
        }
    }

    /// What it leaves on its connection.
    pub(super) fn effect(&self) -> Effect {
        match self {
            Self::Command(command) => Effect::of(command, &word(command)),
            Self::Pipeline(pipeline) => {
                let effects = pipeline.cmd_iter().map(|command| Effect::of(command, &word(command)));
                let begins_with = if pipeline.is_transaction() { Effect::Ends } else { Effect::None };
                effects.fold(begins_with, Effect::then)
            }
            Self::Script(..) => Effect::None,
        }
    }
}

/// What a command leaves on its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Effect {
    None,
    /// Keys are watched, or commands are collected.
    Begins,
    /// Nothing is watched any more.
    Ends,
    /// Something else, for good.
    Changes,
}

impl Effect {
    fn of(command: &Cmd, word: &str) -> Self {
        match word {
            "WATCH" | "MULTI" => Self::Begins,
            "EXEC" | "DISCARD" | "UNWATCH" => Self::Ends,
            "CLIENT" if words(command).nth(1).is_some_and(only_looks) => Self::None,
            "ASKING" | "AUTH" | "CLIENT" | "HELLO" | "MONITOR" | "PSUBSCRIBE" | "PSYNC" | "QUIT"
            | "READONLY" | "READWRITE" | "RESET" | "SELECT" | "SSUBSCRIBE" | "SUBSCRIBE" | "SYNC" => {
                Self::Changes
            }
            _ => Self::None,
        }
    }

    fn then(self, next: Self) -> Self {
        match (self, next) {
            (Self::Changes, _) | (_, Self::None) => self,
            _ => next,
        }
    }
}

/// The words of a command; only `cursor_arg` adds anything else.
pub(super) fn words(command: &Cmd) -> impl Iterator<Item = &[u8]> {
    command.args_iter().filter_map(|word| match word {
        Arg::Simple(word) => Some(word),
        _ => None,
    })
}

/// The first word of a command in capitals, or `COMMAND` where that is none.
fn word(command: &Cmd) -> String {
    match words(command).next() {
        Some(word) if word.len() <= 20 && word.iter().all(u8::is_ascii_alphabetic) => {
            String::from_utf8_lossy(word).to_ascii_uppercase()
        }
        _ => "COMMAND".to_owned(),
    }
}

/// Commands behind CLIENT that leave the connection as it is.
fn only_looks(word: &[u8]) -> bool {
    [b"GETNAME".as_slice(), b"ID", b"INFO", b"KILL", b"LIST"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
}

/// Whether the server may keep the answer back until something happens.
fn waits(command: &Cmd, word: &str) -> bool {
    match word {
        "BLMOVE" | "BLMPOP" | "BLPOP" | "BRPOP" | "BRPOPLPUSH" | "BZMPOP" | "BZPOPMAX" | "BZPOPMIN"
        | "WAIT" | "WAITAOF" => true,
        // Behind STREAMS come names.
        "XREAD" | "XREADGROUP" => words(command)
            .take_while(|word| !word.eq_ignore_ascii_case(b"STREAMS"))
            .any(|word| word.eq_ignore_ascii_case(b"BLOCK")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use redis::{cmd, pipe};

    use super::*;

    #[test]
    fn what_would_hold_up_others_is_known() {
        let alone = |command: &Cmd| Request::Command(command).needs_own_connection();
        assert_eq!(alone(cmd("blpop").arg("k").arg(0)), Some("BLPOP".to_owned()));
        assert_eq!(
            alone(cmd("XREAD").arg("BLOCK").arg(0).arg("STREAMS").arg("s").arg("$")),
            Some("XREAD".to_owned())
        );
        assert_eq!(alone(cmd("XREAD").arg("STREAMS").arg("block").arg("0")), None);
        assert_eq!(alone(cmd("GET").arg("k")), None);
        assert_eq!(alone(cmd("CLIENT").arg("list")), None);
        assert_eq!(alone(cmd("CLIENT").arg("REPLY").arg("OFF")), Some("CLIENT".to_owned()));
        let mut watching = pipe();
        watching.cmd("GET").arg("k").cmd("WATCH").arg("k");
        assert_eq!(Request::Pipeline(&watching).needs_own_connection(), Some("WATCH".to_owned()));
    }

    #[test]
    fn names_are_words_of_redis_and_never_keys() {
        assert_eq!(Request::Command(cmd("get").arg("k")).name(), "GET");
        assert_eq!(Request::Command(&cmd("hunter2 secret")).name(), "COMMAND");
        assert_eq!(Request::Command(&Cmd::new()).name(), "COMMAND");
    }

    #[test]
    fn a_transaction_ends_a_watch_and_a_selection_stays() {
        assert_eq!(Request::Pipeline(pipe().atomic().cmd("GET").arg("k")).effect(), Effect::Ends);
        assert_eq!(Request::Pipeline(pipe().cmd("SELECT").arg(1).cmd("UNWATCH")).effect(), Effect::Changes);
        assert_eq!(
            Request::Pipeline(pipe().cmd("WATCH").arg("k").cmd("GET").arg("k")).effect(),
            Effect::Begins
        );
    }
}
