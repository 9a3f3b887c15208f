//! Guesses: slowed down by account and by address, without locking anybody out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use futures_util::future::join_all;
use shared_security::{Error, LoginGuard};

use crate::world::{World, a_tenant};

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))
}

struct Guarded {
    world: World,
    guard: LoginGuard,
}

impl Guarded {
    async fn new() -> Self {
        let world = World::new().await;
        let guard = LoginGuard::new(world.db.clone());
        Self { world, guard }
    }

    /// A wrong password, or how long to wait before there may be one.
    async fn fails(&self, account: &str, address: IpAddr) -> Option<Duration> {
        match self.guard.attempt(&self.world.tenant, account, address).await {
            Ok(_) => None,
            Err(Error::LoginDelayed { wait, .. }) => Some(wait),
            Err(error) => panic!("{error}"),
        }
    }

    async fn succeeds(&self, account: &str, address: IpAddr) {
        self.guard.attempt(&self.world.tenant, account, address).await.unwrap().succeeded().await.unwrap();
    }

    /// Every wait is over.
    async fn waited(&self) {
        let sql = "update shared_security.login_failures set delayed_until = '-infinity'";
        self.world.superuser().await.batch_execute(sql).await.unwrap();
    }
}

/// ASVS 6.3.1.
#[tokio::test]
async fn guesses_of_one_account_from_one_address_wait_twice_as_long_each_time() {
    let guarded = Guarded::new().await;
    for _ in 0..6 {
        assert_eq!(guarded.fails("ada", HOME).await, None);
    }
    for seconds in [1, 2, 4, 8] {
        let wait = guarded.fails("ada", HOME).await.unwrap();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(seconds), "{wait:?} of {seconds} s");
        guarded.waited().await;
        assert_eq!(guarded.fails("ada", HOME).await, None);
    }
    assert!(guarded.fails("ada", HOME).await > Some(Duration::from_secs(8)));
    assert_eq!(guarded.fails("eve", HOME).await, None, "another account has its own count");
    let elsewhere = guarded.guard.attempt(&a_tenant(), "ada", HOME).await;
    assert!(elsewhere.is_ok(), "and so has another tenant");
}

/// How many of a hundred guesses pass before one has to wait. Those behind it could pass when its second is over.
async fn passed(guarded: &Guarded, guess: impl Fn(u32) -> (String, IpAddr)) -> usize {
    for number in 0..100 {
        let (account, address) = guess(number);
        if guarded.fails(&account, address).await.is_some() {
            return number as usize;
        }
    }
    100
}

/// ASVS 6.3.1: a guess a host, from as many hosts as it takes.
#[tokio::test]
async fn guesses_of_one_account_from_many_addresses_are_slowed_down() {
    let guarded = Guarded::new().await;
    let passed = passed(&guarded, |number| ("ada".to_owned(), address(number))).await;
    assert_eq!(passed, 11, "ten that are free, and the one that is answered with a wait behind it");
}

/// ASVS 6.3.1: one common password, tried on everybody.
#[tokio::test]
async fn guesses_of_many_accounts_from_one_address_are_slowed_down() {
    let guarded = Guarded::new().await;
    assert_eq!(passed(&guarded, |number| (format!("user-{number}"), HOME)).await, 21);
    assert_eq!(guarded.fails("user-0", address(1)).await, None);
}

/// A host has a whole network of 64 bits to draw addresses from.
#[tokio::test]
async fn addresses_of_one_network_are_one() {
    let guarded = Guarded::new().await;
    let network: u128 = 0x2001_0db8_0000_0001 << 64;
    let address = |number: u32| IpAddr::V6(Ipv6Addr::from_bits(network + u128::from(number)));
    assert_eq!(passed(&guarded, |number| (format!("user-{number}"), address(number))).await, 21);
}

/// ASVS 6.1.1: strangers can't lock a user out.
#[tokio::test]
async fn a_user_comes_in_from_where_they_have_been_before() {
    let guarded = Guarded::new().await;
    guarded.succeeds("ada", HOME).await;
    for number in 0..40 {
        guarded.fails("ada", address(number)).await;
    }
    let longest = guarded.fails("ada", address(100)).await.unwrap();
    assert!(longest <= Duration::from_secs(60), "elsewhere the wait is bounded: {longest:?}");
    guarded.succeeds("ada", HOME).await;
    assert_eq!(guarded.fails("ada", address(101)).await, None, "a success starts anew");
}

/// Counting comes before the password is looked at, so that guesses at the same moment are counted one after the other.
#[tokio::test]
async fn guesses_at_the_same_moment_gain_nothing() {
    let guarded = Guarded::new().await;
    let guesses = join_all((0..64).map(|_| guarded.fails("ada", HOME))).await;
    assert_eq!(guesses.iter().filter(|wait| wait.is_none()).count(), 6);
}

/// Who owns one good account can't wipe an address clean with it.
#[tokio::test]
async fn a_good_account_does_not_buy_guesses_of_others() {
    let guarded = Guarded::new().await;
    let mut passed = 0;
    for number in 0..100 {
        if guarded.fails(&format!("user-{number}"), HOME).await.is_some() {
            break;
        }
        passed += 1;
        if let Ok(attempt) = guarded.guard.attempt(&guarded.world.tenant, "own", HOME).await {
            attempt.succeeded().await.unwrap();
        }
    }
    assert_eq!(passed, 21);
}

/// An account that nobody has is counted like any other, so that the answers don't tell.
#[tokio::test]
async fn a_flood_of_names_stays_in_its_buckets() {
    let guarded = Guarded::new().await;
    for name in ["", "ada\0", "👩‍💻", &"x".repeat(1 << 16)] {
        assert_eq!(guarded.fails(name, HOME).await, None);
    }
    let row = guarded.world.superuser().await;
    let sql = "select count(*), max(bucket) < 262144 from shared_security.login_failures";
    let row = row.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, bool>(1)), (9, true));
}
