//! Settings: nothing to set in development, nothing left to chance in production.

use shared_core::TenantId;
use shared_core::schema::{Mistake, from_pairs};
use shared_security::{Algorithm, Config, Error, Grant, JwksConfig, KeyRingConfig, RemoteIssuer};

use crate::support::*;

const DEVELOPMENT_PUBLIC: &str = "MCowBQYDK2VwAyEAl/1eCrd2Y1sosZj7ZAFAu6NCppT74FwaKXp46vNLsd0=";
const PRODUCTION: [(&str, &str); 4] =
    [("PROFILE", "production"), ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE), ("KEYS", OURS_PUBLIC)];

fn config<'t>(pairs: impl IntoIterator<Item = (&'t str, &'t str)>) -> Config {
    from_pairs(pairs).unwrap()
}

fn mistakes(pairs: &[(&str, &str)]) -> Vec<String> {
    from_pairs::<Config>(pairs.iter().copied()).unwrap_err().iter().map(Mistake::to_string).collect()
}

fn accepts_its_own(config: &Config) -> bool {
    let token = config.issuer().unwrap().issue(&Grant::new(TenantId::new(), "user:7")).unwrap();
    config.verifier().unwrap().verify(token.expose()).is_ok()
}

#[test]
fn development_needs_no_settings() {
    assert!(accepts_its_own(&config([])));
}

#[test]
fn production_refuses_everything_of_development_at_once() {
    let mistakes = mistakes(&[("PROFILE", "production")]);
    let named =
        |name: &str| mistakes.iter().any(|mistake| mistake.starts_with(name) && mistake.contains("refused"));
    assert!(named("KEYS") && named("ISSUER") && named("AUDIENCE"), "{mistakes:?}");
    assert_eq!(mistakes.len(), 3);
}

#[test]
fn production_refuses_the_development_key_however_it_is_written() {
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{DEVELOPMENT_PUBLIC}\n-----END PUBLIC KEY-----");
    let keys = format!("{OURS_PUBLIC}, {pem}");
    let config = config(PRODUCTION.into_iter().chain([("KEYS", keys.as_str())]));
    assert!(matches!(config.verifier(), Err(Error::DevelopmentKey)));
    assert!(matches!(config.issuer(), Err(Error::DevelopmentKey)));
}

#[test]
fn a_program_that_only_verifies_needs_no_signing_key() {
    let config = config(PRODUCTION);
    assert!(config.verifier().is_ok());
    assert!(matches!(config.issuer(), Err(Error::NoSigningKey)));
}

#[test]
fn a_program_that_issues_signs_with_a_key_that_is_accepted() {
    assert!(accepts_its_own(&config(PRODUCTION.into_iter().chain([("SIGNING_KEY", OURS)]))));
    let unlisted = config(PRODUCTION.into_iter().chain([("SIGNING_KEY", THEIRS)]));
    assert!(matches!(unlisted.issuer(), Err(Error::UnlistedSigningKey)));
}

#[test]
fn what_is_no_key_is_a_mistake_of_the_settings_and_is_not_repeated() {
    let mistakes = mistakes(&[("KEYS", OURS), ("SIGNING_KEY", OURS_PUBLIC)]);
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(mistakes[0].contains("public key (2048 bits or more) in SPKI form"), "{mistakes:?}");
    assert!(mistakes[1].contains("private key (2048 bits or more) in PKCS#8 form"), "{mistakes:?}");
    assert!(mistakes.iter().all(|mistake| !mistake.contains(OURS) && !mistake.contains(OURS_PUBLIC)));
}

/// ASVS 13.3.1.
#[test]
fn production_seals_with_keys_of_its_own() {
    let development = "1:ZGV2ZWxvcG1lbnQga2V5OiBzZWFscyBub3RoaW5nISE=";
    let own = "2:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let sealer = |keys: &str| config(PRODUCTION.into_iter().chain([("MASTER_KEYS", keys)])).sealer();
    assert!(config([]).sealer().is_ok());
    assert!(matches!(config(PRODUCTION).sealer(), Err(Error::MasterKeys)));
    assert!(matches!(sealer(development), Err(Error::DevelopmentKey)));
    assert!(matches!(sealer(&format!("{own}, 3{}", &development[1..])), Err(Error::DevelopmentKey)));
    assert!(matches!(sealer(&format!("{own},{own}")), Err(Error::MasterKeys)));
    assert!(sealer(own).is_ok());

    let mistakes = mistakes(&[("MASTER_KEYS", "secret-but-wrong")]);
    assert!(mistakes.len() == 1 && !mistakes[0].contains("secret-but-wrong"), "{mistakes:?}");
    assert!(!format!("{:?}", config([("MASTER_KEYS", own)])).contains(&own[2..]));
}

#[test]
fn keys_rotate_as_the_settings_say() {
    let config = config([("KEY_RING_ALGORITHM", "ES256"), ("KEY_RING_ROTATE_EVERY", "7d")]);
    assert_eq!(config.key_ring.algorithm, Algorithm::Es256);
    assert_eq!(config.key_ring.rotate_every.as_secs(), 7 * 24 * 3600);
    let untouched: Config = from_pairs([]).unwrap();
    assert_eq!(untouched.key_ring, KeyRingConfig::default());
    let remote = [("ISSUER", "https://id.example"), ("AUDIENCE", "notes"), ("JWKS_COOL_DOWN", "1m")];
    let remote: RemoteIssuer = from_pairs(remote).unwrap();
    assert_eq!((remote.jwks.cool_down.as_secs(), remote.jwks.refresh), (60, JwksConfig::default().refresh));
}
