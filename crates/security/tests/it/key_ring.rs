//! Several instances, one ring: on real Postgres, whose superuser plays the clock.

use std::env;
use std::time::Duration;

use axum::Router;
use shared_core::TenantId;
use shared_db::{Db, statements};
use shared_devkit::TestDatabase;
use shared_devkit::child::{self, Child, Kill, Matrix, Outcome};
use shared_security::{
    Algorithm, Error, Grant, Issuer, Jwks, JwksClient, JwksConfig, KeyRing, KeyRingConfig, KeyState, Sealer,
};

use crate::sealed::sealer;
use crate::support::{AUDIENCE, ISSUER, database};

/// The time has come for the next key.
const ITS_TURN: &str = "update shared_security.signing_key set signs_from = now() where state = 'next'";
/// The next key was published long ago.
const PUBLISHED: &str =
    "update shared_security.signing_key set created_at = now() - interval '1 day' where state = 'next'";

struct World {
    database: TestDatabase,
    superuser: tokio_postgres::Client,
}

impl World {
    async fn new() -> Self {
        let database = database().await;
        let (superuser, connection) =
            tokio_postgres::connect(database.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        Self { database, superuser }
    }

    async fn ring(&self) -> KeyRing {
        self.open(sealer(&[1]), quick()).await.unwrap()
    }

    async fn rings(&self) -> [KeyRing; 3] {
        let (one, two, three) = tokio::join!(self.ring(), self.ring(), self.ring());
        [one, two, three]
    }

    async fn open(&self, sealer: Sealer, config: KeyRingConfig) -> Result<KeyRing, Error> {
        KeyRing::open(connect(self.database.url()).await, sealer, config).await
    }

    async fn sql(&self, sql: &str) {
        self.superuser.batch_execute(sql).await.unwrap();
    }

    async fn count(&self, condition: &str) -> i64 {
        let sql = format!("select count(*) from shared_security.signing_key where {condition}");
        self.superuser.query_one(&sql, &[]).await.unwrap().get(0)
    }

    /// Exactly one key signs, exactly one is to come, and private halves are nowhere else.
    async fn is_whole(&self) -> bool {
        self.count("state = 'active' and private_key is not null").await == 1
            && self.count("state = 'next' and private_key is not null").await == 1
            && self.count("private_key is not null").await == 2
    }
}

async fn connect(url: &str) -> Db {
    let mut config = shared_db::Config::new(url);
    config.pool_size = 2;
    Db::connect(&config).await.unwrap()
}

fn quick() -> KeyRingConfig {
    let mut config = KeyRingConfig::default();
    config.poll = Duration::from_millis(50);
    config
}

/// Hears of changes, and does not look by itself.
fn listening() -> KeyRingConfig {
    let mut config = KeyRingConfig::default();
    config.poll = Duration::from_secs(3600);
    config
}

fn signs(ring: &KeyRing) -> Option<String> {
    ring.signing_keys().current().ok().map(|key| key.id().to_owned())
}

fn believes(ring: &KeyRing, id: &str) -> bool {
    ring.keys().current().get(id).is_some()
}

async fn state(ring: &KeyRing, state: KeyState) -> Vec<String> {
    let all = ring.list().await.unwrap().into_iter().filter(|key| key.state == state);
    all.map(|key| key.id).collect()
}

async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await; // a condition is polled
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the condition never came true");
}

/// ASVS 13.3.4: the next key is published before it signs.
#[tokio::test]
async fn instances_that_start_at_once_agree_on_one_key_and_its_successor() {
    let world = World::new().await;
    let rings = world.rings().await;
    let (active, next) = (state(&rings[0], KeyState::Active).await, state(&rings[0], KeyState::Next).await);
    assert_eq!((active.len(), next.len()), (1, 1));
    for ring in &rings {
        until(async || signs(ring).as_ref() == active.first()).await;
        assert!(
            believes(ring, &active[0]) && believes(ring, &next[0]),
            "the next one is known before it signs"
        );
    }
    assert!(world.is_whole().await);
    let token =
        Issuer::new(rings[1].signing_keys(), ISSUER, AUDIENCE).issue(&Grant::new(TenantId::new(), "user:7"));
    assert!(token.is_ok());
}

#[tokio::test]
async fn when_its_turn_comes_the_next_key_signs_once_and_the_old_one_still_verifies() {
    let world = World::new().await;
    let rings = world.rings().await;
    let (old, new) = (signs(&rings[0]).unwrap(), state(&rings[0], KeyState::Next).await.remove(0));
    // Nobody is told: all three find out by looking, and all three try.
    world.sql(ITS_TURN).await;
    for ring in &rings {
        until(async || signs(ring).as_ref() == Some(&new)).await;
        assert!(believes(ring, &old) && believes(ring, &new));
    }
    assert_eq!(state(&rings[0], KeyState::Retiring).await, std::slice::from_ref(&old));
    assert!(world.is_whole().await);

    world.sql("update shared_security.signing_key set expires_at = now() where state = 'retiring'").await;
    for ring in &rings {
        until(async || !believes(ring, &old)).await;
    }
    assert_eq!(world.count("true").await, 2);
}

#[tokio::test]
async fn many_that_rotate_at_once_rotate_once() {
    let world = World::new().await;
    let rings = world.rings().await;
    let new = state(&rings[0], KeyState::Next).await.remove(0);
    for ring in &rings {
        until(async || signs(ring) == signs(&rings[0])).await;
    }
    world.sql(PUBLISHED).await;
    let (one, two, three) = tokio::join!(rings[0].rotate(), rings[1].rotate(), rings[2].rotate());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    for ring in &rings {
        until(async || signs(ring).as_ref() == Some(&new)).await;
    }
    assert_eq!(world.count("state = 'retiring'").await, 1);
    assert!(world.is_whole().await);
}

#[tokio::test]
async fn a_key_that_nobody_knows_yet_does_not_sign() {
    let world = World::new().await;
    let ring = world.ring().await;
    let old = signs(&ring);
    ring.rotate().await.unwrap();
    assert_eq!(signs(&ring), old);
    // As soon as it may: an hour after it was published.
    assert_eq!(world.count("state = 'next' and signs_from = created_at + interval '1 hour'").await, 1);
    let mut short = quick();
    short.publish_ahead = Duration::from_secs(599);
    let refused = world.open(sealer(&[1]), short).await.unwrap_err();
    assert!(matches!(refused, Error::KeyRing { .. }), "{refused}");
    let mut secret = quick();
    secret.algorithm = Algorithm::Hs256;
    assert!(matches!(world.open(sealer(&[1]), secret).await, Err(Error::KeyRing { .. })));
}

/// ASVS 9.1.3 and 11.2.2: what a stolen key signs is refused everywhere, as soon as that is told.
#[tokio::test]
async fn a_revoked_key_dies_everywhere_at_once() {
    let world = World::new().await;
    let (here, there) = (
        world.open(sealer(&[1]), listening()).await.unwrap(),
        world.open(sealer(&[1]), listening()).await.unwrap(),
    );
    let (stolen, next) = (signs(&here).unwrap(), state(&here, KeyState::Next).await.remove(0));
    assert!(believes(&there, &stolen));
    let epoch = here.keys().current().epoch();

    here.revoke(&stolen).await.unwrap();
    assert_eq!(
        (believes(&here, &stolen), signs(&here)),
        (false, Some(next.clone())),
        "here, when it returns"
    );
    assert!(here.keys().current().epoch() > epoch, "what was decided before is decided again");
    until(async || !believes(&there, &stolen)).await;
    assert_eq!(signs(&there), Some(next));
    assert_eq!(state(&there, KeyState::Revoked).await, std::slice::from_ref(&stolen));
    assert!(world.is_whole().await);
    assert_eq!(
        world.count("state = 'revoked' and (public_key is not null or private_key is not null)").await,
        0
    );

    assert!(matches!(here.revoke(&stolen).await, Err(Error::NoSuchKey)));
    assert!(matches!(here.revoke("unknown").await, Err(Error::NoSuchKey)));
    let next = state(&here, KeyState::Next).await.remove(0);
    here.revoke(&next).await.unwrap();
    assert!(
        !believes(&here, &next) && world.is_whole().await,
        "a key that does not sign yet can be stolen as well"
    );
}

#[tokio::test]
async fn a_new_algorithm_comes_with_the_next_key() {
    let world = World::new().await;
    drop(world.ring().await);
    let mut config = quick();
    config.algorithm = Algorithm::Es256;
    let ring = world.open(sealer(&[1]), config).await.unwrap();
    let current = || ring.signing_keys().current().unwrap().algorithm();
    assert_eq!(current(), Algorithm::EdDsa);
    let both = [signs(&ring).unwrap(), state(&ring, KeyState::Next).await.remove(0)];
    for id in both {
        ring.revoke(&id).await.unwrap();
    }
    assert_eq!(current(), Algorithm::Es256);
}

/// ASVS 13.3.1: who reads the table has no key, and who writes it brings none in.
#[tokio::test]
async fn keys_at_rest_are_sealed_and_bound_to_their_row() {
    let world = World::new().await;
    let ring = world.ring().await;
    let id = signs(&ring).unwrap();
    let sql = "select private_key, public_key from shared_security.signing_key where id = $1";
    let row = world.superuser.query_one(sql, &[&id]).await.unwrap();
    let (private, public): (Vec<u8>, Vec<u8>) = (row.get(0), row.get(1));
    // The form of every PKCS#8 document of Ed25519, and of every JWK.
    let pkcs8 = [0x06, 0x03, 0x2b, 0x65, 0x70];
    assert!(
        !private.windows(5).any(|part| part == pkcs8) && !public.windows(5).any(|part| part == b"\"kty\"")
    );

    let exchanged = "update shared_security.signing_key as key set public_key = other.public_key
                       from shared_security.signing_key as other where key.id <> other.id";
    world.sql(exchanged).await;
    assert!(matches!(world.open(sealer(&[1]), quick()).await, Err(Error::Unsealable)));
    world.sql("update shared_security.signing_key set public_key = '{\"kty\":\"OKP\"}'").await;
    assert!(matches!(world.open(sealer(&[1]), quick()).await, Err(Error::Unsealable)));
}

statements! {
    const IDS: Statement<(), String> = "select id from shared_security.signing_key";
}

/// ASVS 13.3.2.
#[tokio::test]
async fn requests_have_no_way_to_the_keys() {
    let world = World::new().await;
    let db = connect(world.database.url()).await;
    assert!(db.untenanted().all(&IDS, ()).await.unwrap_err().is_permission_denied());
}

/// ASVS 13.3.4.
#[tokio::test]
async fn keys_are_sealed_again_after_a_change_of_the_master_key() {
    let world = World::new().await;
    let ring = world.ring().await;
    let id = signs(&ring);
    ring.stop().await;
    let unknown = world.open(sealer(&[2]), quick()).await.unwrap_err();
    assert!(matches!(unknown, Error::UnknownMasterKey { version: 1, .. }), "{unknown}");

    let both = world.open(sealer(&[2, 1]), quick()).await.unwrap();
    assert_eq!(signs(&both), id);
    let old = "substring(public_key from 2 for 4) <> '\\x00000002' or substring(private_key from 2 for 4) <> '\\x00000002'";
    assert_eq!(world.count(old).await, 0);
    assert_eq!(signs(&world.open(sealer(&[2]), quick()).await.unwrap()), id, "the old one can go");
}

#[tokio::test]
async fn a_ring_that_has_stopped_neither_signs_nor_believes() {
    let world = World::new().await;
    let ring = world.ring().await;
    let (keys, signing, id) = (ring.keys(), ring.signing_keys(), signs(&ring).unwrap());
    ring.stop().await;
    assert!(matches!(signing.current(), Err(Error::NoSigningKey)));
    assert!(keys.current().get(&id).is_none());
}

/// Nobody who is out of reach hears of a revocation.
#[tokio::test]
async fn a_ring_that_is_out_of_reach_for_too_long_neither_signs_nor_believes() {
    let world = World::new().await;
    let db = connect(world.database.url()).await;
    let ring = KeyRing::open(db.clone(), sealer(&[1]), quick()).await.unwrap();
    let id = signs(&ring).unwrap();
    db.close(Duration::ZERO).await;
    // The clock moves by hand from here: it would jump by itself, were nothing but time waited for.
    let (_still, ends) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || ends.recv());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(290)).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(believes(&ring, &id));
    for _ in 0..60 {
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!((believes(&ring, &id), signs(&ring)), (false, None));
}

/// Our own document, fetched by another service.
#[tokio::test]
async fn another_service_follows_the_ring_by_its_document() {
    let world = World::new().await;
    let ring = world.ring().await;
    let router: Router = Router::new().route_service("/jwks", Jwks::new(ring.keys()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let stolen = signs(&ring).unwrap();
    let before = JwksClient::start(&url, JwksConfig::default()).await.unwrap();
    assert!(before.keys().current().get(&stolen).is_some());
    ring.revoke(&stolen).await.unwrap();
    let after = JwksClient::start(&url, JwksConfig::default()).await.unwrap();
    assert!(after.keys().current().get(&stolen).is_none());
    assert!(after.keys().current().get(&signs(&ring).unwrap()).is_some());
}

/// The URL of the database in which the victim works.
const DATABASE: &str = "SECURITY_TEST_DATABASE";

const POINTS: [&str; 4] =
    ["security.keys.retired", "security.keys.turned", "db.commit.sending", "db.commit.answered"];

#[tokio::test]
async fn a_rotation_that_is_killed_happens_whole_or_not_at_all() {
    if child::enter().unwrap().is_some() {
        let db = connect(&env::var(DATABASE).unwrap()).await;
        let _ring = KeyRing::open(db, sealer(&[1]), quick()).await.unwrap();
        return std::future::pending().await;
    }
    let report = Matrix::new(POINTS).run(an_instance_is_killed_and_another_goes_on).await.unwrap();
    assert_eq!(report.total("rotations"), POINTS.len());
}

async fn an_instance_is_killed_and_another_goes_on(kill: Kill) -> Outcome {
    let world = World::new().await;
    let ring = world.ring().await;
    let (old, new) = (signs(&ring).unwrap(), state(&ring, KeyState::Next).await.remove(0));
    ring.stop().await;
    world.sql(ITS_TURN).await;
    let victim = Child::test_function("key_ring::a_rotation_that_is_killed_happens_whole_or_not_at_all");
    let mut victim = victim.env(DATABASE, world.database.url()).kill(kill).start().unwrap();
    victim.killed().await.unwrap();
    let left_whole = world.is_whole().await;

    let ring = world.ring().await;
    let rotated = signs(&ring).as_ref() == Some(&new) && state(&ring, KeyState::Retiring).await == [old];
    Outcome::new()
        .count("rotations", usize::from(rotated))
        .wrong("torn", usize::from(!left_whole))
        .wrong("not whole", usize::from(!world.is_whole().await))
}
