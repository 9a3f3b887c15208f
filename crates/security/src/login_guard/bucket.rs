use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

/// 2^18 of a kind and tenant: 25 MB at most, and two users out of 500 that are attacked at once share one by chance.
const BUCKETS: u32 = 1 << 18;

/// What is counted. The numbers are those of the table, and the order in which rows are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Account = 1,
    /// One account from one address.
    Pair = 2,
    Address = 3,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Pair => "account and address",
            Self::Address => "address",
        }
    }

    /// The wait behind so many failures: none for the first ones, then a second that doubles.
    pub(super) fn delay(self, failures: u32) -> Duration {
        let (free, longest) = match self {
            Self::Account => (10, Duration::from_secs(60)),
            Self::Pair => (5, Duration::from_secs(15 * 60)),
            Self::Address => (20, Duration::from_secs(15 * 60)),
        };
        match failures.checked_sub(free) {
            None | Some(0) => Duration::ZERO,
            Some(more) => Duration::from_secs(1 << (more - 1).min(10)).min(longest),
        }
    }
}

/// Where an attempt is counted.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) kind: Kind,
    pub(super) number: i32,
    /// Tells those who share a bucket apart, where that matters.
    pub(super) mark: Vec<u8>,
}

/// What a row says.
pub(super) struct Counted {
    pub(super) failures: u32,
    /// In milliseconds from now.
    pub(super) wait: u64,
    pub(super) is_known: bool,
}

impl Bucket {
    /// The three of an attempt, in the order in which they are locked.
    pub(super) fn of(account: &str, address: IpAddr) -> [Self; 3] {
        let network = network(address);
        [
            Self::new(Kind::Account, account.as_bytes(), &[]),
            Self::new(Kind::Pair, account.as_bytes(), &network),
            Self::new(Kind::Address, &[], &network),
        ]
    }

    fn new(kind: Kind, account: &[u8], network: &[u8]) -> Self {
        let mut hash = Context::new(&SHA256);
        // With their lengths, so that no other pair has the same bytes.
        for part in [&[kind as u8], account, network] {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash = hash.finish();
        let (number, rest) = hash.as_ref().split_at(4);
        let number = number.iter().fold(0, |number: u32, byte| number << 8 | u32::from(*byte)) % BUCKETS;
        let mark = rest.iter().take(16).copied().collect();
        Self { kind, number: i32::try_from(number).unwrap_or_default(), mark }
    }
}

/// Who has one IPv6 address has 2^64 of them: the network is what is counted. An IPv4 address is one in either form.
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failures_are_free_and_the_wait_doubles_up_to_its_bound() {
        let seconds = |kind: Kind, failures: u32| kind.delay(failures).as_secs();
        assert_eq!([5, 6, 7, 8].map(|failures| seconds(Kind::Pair, failures)), [0, 1, 2, 4]);
        assert_eq!([10, 11, 16, 17, 18].map(|failures| seconds(Kind::Account, failures)), [0, 1, 32, 60, 60]);
        assert_eq!(
            [20, 21, 30, 31, u32::MAX].map(|failures| seconds(Kind::Address, failures)),
            [0, 1, 512, 900, 900]
        );
    }

    #[test]
    fn an_address_is_its_network_in_whatever_form() {
        let of = |address: &str| network(address.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
