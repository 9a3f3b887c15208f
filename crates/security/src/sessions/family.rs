use aws_lc_rs::constant_time::verify_slices_are_equal;
use shared_db::Row;

use crate::{RefreshError, SessionId};

/// What is stored of a new family.
pub(super) struct Family {
    pub(super) family: Vec<u8>,
    pub(super) current: Vec<u8>,
}

/// A family under its lock, with what the server's clock says of it.
#[derive(Row)]
pub(super) struct Locked {
    pub(super) id: SessionId,
    pub(super) subject: String,
    pub(super) client: String,
    pub(super) current: Vec<u8>,
    pub(super) previous: Option<Vec<u8>>,
    pub(super) successor: Option<Vec<u8>>,
    pub(super) ended: bool,
    pub(super) expired: bool,
    /// The last rotation was within the grace window.
    pub(super) in_grace: bool,
}

/// What becomes of a token that was presented.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is the current one: a new one takes its place.
    Rotate,
    /// It is the one before, shown again within the grace window: the same successor once more.
    Repeat,
    /// The token is refused, and nothing changes.
    Refuse(Refusal),
    /// Somebody has a token that is not theirs: the family ends.
    End(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Ended,
    Expired,
    OtherClient,
    Reused,
}

impl Refusal {
    /// As it is stored and audited.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Expired => "expired",
            Self::OtherClient => "other client",
            Self::Reused => "reused",
        }
    }
}

impl From<Refusal> for RefreshError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Ended => Self::Ended,
            Refusal::Expired => Self::Expired,
            Refusal::OtherClient => Self::OtherClient,
            Refusal::Reused => Self::Reused,
        }
    }
}

impl Locked {
    /// The order matters: neither the grace window nor being current helps a session that is over.
    pub(super) fn decide(&self, presented: &[u8], client: &str) -> Decision {
        match () {
            () if self.ended => Decision::Refuse(Refusal::Ended),
            () if self.client != client => Decision::End(Refusal::OtherClient),
            () if self.expired => Decision::Refuse(Refusal::Expired),
            () if same(&self.current, presented) => Decision::Rotate,
            () if self.in_grace && self.is_previous(presented) => Decision::Repeat,
            () => Decision::End(Refusal::Reused),
        }
    }

    fn is_previous(&self, presented: &[u8]) -> bool {
        self.previous.as_ref().is_some_and(|previous| same(previous, presented))
    }
}

fn same(stored: &[u8], presented: &[u8]) -> bool {
    verify_slices_are_equal(stored, presented).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked() -> Locked {
        Locked {
            id: SessionId::new(),
            subject: "user:7".to_owned(),
            client: "app".to_owned(),
            current: vec![2; 32],
            previous: Some(vec![1; 32]),
            successor: None,
            ended: false,
            expired: false,
            in_grace: true,
        }
    }

    /// A grace window is for the token before the current one, in a session that goes on.
    #[test]
    fn the_grace_window_is_no_free_pass() {
        let decide = |locked: &Locked, secret| locked.decide(&[secret; 32], "app");
        assert_eq!(decide(&locked(), 2), Decision::Rotate);
        assert_eq!(decide(&locked(), 1), Decision::Repeat);
        assert_eq!(decide(&locked(), 0), Decision::End(Refusal::Reused));
        assert_eq!(decide(&Locked { in_grace: false, ..locked() }, 1), Decision::End(Refusal::Reused));
        for secret in [1, 2] {
            let ended = Locked { ended: true, ..locked() };
            assert_eq!(decide(&ended, secret), Decision::Refuse(Refusal::Ended));
            let expired = Locked { expired: true, ..locked() };
            assert_eq!(decide(&expired, secret), Decision::Refuse(Refusal::Expired));
            let other = locked().decide(&[secret; 32], "other");
            assert_eq!(other, Decision::End(Refusal::OtherClient));
        }
    }
}
