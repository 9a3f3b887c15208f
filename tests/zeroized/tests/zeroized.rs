//! Memory that has held a secret is overwritten before it is given back, for each kind of secret: a text, a password, a master key, a
//! shared and a private key, a refresh token, and what is sealed. One test, as there is one allocator.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use shared_core::{AssumedTenant, Secret, TenantId};
use shared_db::{Db, bootstrap, fingerprint};
use shared_devkit::{Postgres, TestDatabase};
use shared_security::{
    Device, MIGRATIONS, MasterKey, NewSession, PasswordConfig, Passwords, Place, RefreshToken,
    RevocationConfig, Revocations, Sealed, Sealer, SessionConfig, Sessions, SigningKey, WhenStale,
};
use zeroized::{Graves, Graveyard, dig};

#[global_allocator]
static ALLOCATOR: Graveyard = Graveyard;

const TEXT: &str = "Hush-Hush: nothing of this may stay behind";
const BYTES: &[u8; 32] = b"hush-hush: these are 32 bytes!!!";
const PLACE: Place<'_> = Place { table: "notes.token", column: "secret", row: b"row 1" };

#[tokio::test]
async fn secrets_leave_nothing_behind() {
    what_is_not_overwritten_is_found().await;
    let mut left = Left::default();
    texts(&mut left).await;
    master_keys(&mut left).await;
    signing_keys(&mut left).await;
    passwords(&mut left).await;
    refresh_tokens(&mut left).await;
    assert!(left.0.is_empty(), "left behind: {:#?}", left.0);
}

/// What was found of secrets.
#[derive(Default)]
struct Left(Vec<String>);

impl Left {
    /// Looks for the bytes and for their base64.
    fn look(&mut self, graves: &Graves, what: &str, secret: &[u8]) {
        let whole = &secret[..secret.len() / 3 * 3];
        for (form, bytes) in [
            ("", secret.to_vec()),
            (" in base64", STANDARD.encode(whole).into_bytes()),
            (" in the base64 of URLs", URL_SAFE_NO_PAD.encode(whole).into_bytes()),
        ] {
            if graves.hold(&bytes) {
                self.0.push(format!("{what}{form}"));
            }
        }
    }

    fn look_for_token(&mut self, graves: &Graves, what: &str, token: &str) {
        // The tenant in it is no secret; the family and the secret behind it are.
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix("sr_").unwrap()).unwrap();
        for (part, bytes) in [
            ("text", token.as_bytes()),
            ("text without its prefix", &token.as_bytes()[3..]),
            ("family", &bytes[16..32]),
            ("secret", &bytes[32..]),
        ] {
            if graves.hold(bytes) {
                self.0.push(format!("{what}: its {part}"));
            }
        }
    }
}

/// The check can fail.
async fn what_is_not_overwritten_is_found() {
    let (_, graves) = dig(async || drop(TEXT.to_owned())).await;
    assert!(graves.hold(TEXT.as_bytes()));
    let (_, graves) = dig(async || drop(Box::new(*BYTES))).await;
    assert!(graves.hold(BYTES));
    let (_kept, graves) = dig(async || {
        let mut grows = TEXT.as_bytes().to_vec();
        grows.reserve_exact(1000);
        grows
    })
    .await;
    assert!(graves.hold(TEXT.as_bytes()), "a block that grew leaves a copy behind");
}

async fn texts(left: &mut Left) {
    let (_, graves) = dig(async || drop(Secret::new(TEXT))).await;
    left.look(&graves, "a text", TEXT.as_bytes());
}

async fn master_keys(left: &mut Left) {
    let text = Secret::new(format!("1:{}", STANDARD.encode(BYTES)));
    let (sealed, graves) = dig(async || {
        let key = Box::new(MasterKey::new(&text).unwrap());
        let sealer = Sealer::new([(*key).clone()]).unwrap();
        drop(key);
        let sealed = sealer.seal(&Secret::new(TEXT), PLACE).unwrap();
        drop(sealer.open(&sealed, PLACE).unwrap());
        sealed
    })
    .await;
    left.look(&graves, "a master key", BYTES);
    left.look(&graves, "what was sealed", TEXT.as_bytes());
    assert_eq!(sealed.version(), Some(1));
}

async fn signing_keys(left: &mut Left) {
    for length in [32, 42, 64, 100, 1000] {
        let text: String = TEXT.chars().cycle().take(length).collect();
        let shared = Secret::new(&*text);
        let (_, graves) = dig(async || drop(SigningKey::hmac(&shared).unwrap())).await;
        left.look(&graves, &format!("a shared key of {length} bytes"), text.as_bytes());
    }

    // PKCS#8 of an Ed25519 key is these 16 bytes and the private key.
    let pkcs8 = [&STANDARD.decode("MC4CAQAwBQYDK2VwBCIEIA==").unwrap(), &BYTES[..]].concat();
    let pem = Secret::new(STANDARD.encode(&pkcs8));
    let sealer =
        Sealer::new([MasterKey::new(&Secret::new(format!("1:{}", STANDARD.encode([7; 32])))).unwrap()]);
    let sealer = sealer.unwrap();
    let (_, graves) = dig(async || {
        let key = SigningKey::from_pem(&pem).unwrap();
        let sealed: Sealed<SigningKey> = sealer.seal(&key, PLACE).unwrap();
        assert_eq!(sealer.open(&sealed, PLACE).unwrap().id(), key.id());
    })
    .await;
    left.look(&graves, "a private key", BYTES);
    left.look(&graves, "a private key in PKCS#8", &pkcs8);
}

async fn passwords(left: &mut Left) {
    let passwords = Passwords::new(PasswordConfig::default()).unwrap();
    let password = Secret::new(TEXT);
    let (_, graves) = dig(async || {
        let stored = passwords.hash(&password, &["ada"]).await.unwrap();
        assert!(passwords.verify(&password, Some(&stored)).await.unwrap().is_right());
        assert!(!passwords.verify(&password, None).await.unwrap().is_right());
    })
    .await;
    left.look(&graves, "a password", TEXT.as_bytes());
    left.look(&graves, "a password in lower case", TEXT.to_lowercase().as_bytes());
}

async fn refresh_tokens(left: &mut Left) {
    let database = database().await;
    let db = Db::connect(&shared_db::Config::new(database.url())).await.unwrap();
    let revocations = Revocations::in_process(RevocationConfig::new(WhenStale::Refuse));
    let sessions = Sessions::new(db, revocations, SessionConfig::default()).unwrap();
    let tenant = AssumedTenant::new(TenantId::new(), "a test");
    let exposed = |token: &RefreshToken| token.expose().to_owned();

    let (first, graves) = dig(async || {
        let login = sessions.login(&tenant, "user:7").await.unwrap();
        let opened = sessions.open(&tenant, login, NewSession::new("app")).await.unwrap();
        exposed(&opened.refresh_token)
    })
    .await;
    left.look_for_token(&graves, "a first token", &first);
    let shown = Secret::new(&*first);
    // The second time it is repeated.
    for _ in 0..2 {
        let (next, graves) = dig(async || {
            let refreshed = sessions.refresh(&shown, "app", &Device::default()).await.unwrap();
            exposed(&refreshed.refresh_token)
        })
        .await;
        left.look_for_token(&graves, "a token that was shown", &first);
        left.look_for_token(&graves, "its successor", &next);
    }
}

async fn database() -> TestDatabase {
    let server = Postgres::shared().await.unwrap();
    let migrate = async |url: String| bootstrap(&shared_db::Config::new(url), &[MIGRATIONS]).await.map(drop);
    server.database(&fingerprint(&[shared_db::MIGRATIONS, MIGRATIONS]), migrate).await.unwrap()
}
