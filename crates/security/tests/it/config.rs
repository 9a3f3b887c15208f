//! Settings: nothing to set in development, nothing left to chance in production.

use shared_core::TenantId;
use shared_core::schema::{Mistake, from_pairs};
use shared_security::{Algorithm, Config, Error, Grant, IssuerKeys, JwksConfig, KeyRingConfig, RemoteIssuer};

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
    fn keys(profile: &str, keys: &str) -> Result<IssuerKeys, Vec<Mistake>> {
        from_pairs([("PROFILE", profile), ("MASTER_KEYS", keys)])
    }
    let sealer = |text: &str| keys("production", text).unwrap().sealer();
    assert!(from_pairs::<IssuerKeys>([]).unwrap().sealer().is_ok());
    assert!(keys("development", development).unwrap().sealer().is_ok());
    let missing = from_pairs::<IssuerKeys>([("PROFILE", "production")]).unwrap_err();
    assert!(missing[0].to_string().contains("the master key of development"), "{missing:?}");
    assert!(keys("production", development).is_err());
    // However it comes among them.
    assert!(matches!(sealer(&format!("{own}, 3{}", &development[1..])), Err(Error::DevelopmentKey)));
    assert!(matches!(sealer(&format!("{own},{own}")), Err(Error::MasterKeys)));
    assert!(sealer(own).is_ok());

    let mistakes = keys("test", "secret-but-wrong").unwrap_err();
    assert!(mistakes.len() == 1 && !mistakes[0].to_string().contains("secret-but-wrong"), "{mistakes:?}");
    assert!(!format!("{:?}", keys("test", own).unwrap()).contains(&own[2..]));
}

#[test]
fn keys_rotate_as_the_settings_say() {
    let keys: IssuerKeys = from_pairs([("RING_ALGORITHM", "ES256"), ("RING_ROTATE_EVERY", "7d")]).unwrap();
    assert_eq!(keys.ring.algorithm, Algorithm::Es256);
    assert_eq!(keys.ring.rotate_every.as_secs(), 7 * 24 * 3600);
    let untouched: IssuerKeys = from_pairs([]).unwrap();
    assert_eq!(untouched.ring, KeyRingConfig::default());
    let remote = [("ISSUER", "https://id.example"), ("AUDIENCE", "notes"), ("JWKS_COOL_DOWN", "1m")];
    let remote: RemoteIssuer = from_pairs(remote).unwrap();
    assert_eq!((remote.jwks.cool_down.as_secs(), remote.jwks.refresh), (60, JwksConfig::default().refresh));
}
