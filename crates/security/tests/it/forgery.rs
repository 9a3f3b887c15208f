//! Every way to be refused, each by a token made for it (OWASP ASVS 5.0, 9.1 and 9.2).

use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared_security::VerifyError::{self, *};

use crate::support::*;

fn refusal(token: &str) -> VerifyError {
    verifier_now().verify(token).expect_err("the token was accepted")
}

fn refusal_of_header(changes: Value) -> VerifyError {
    refusal(&signed(with(header(), changes), claims()))
}

fn refusal_of_claims(changes: Value) -> VerifyError {
    refusal(&signed(header(), with(claims(), changes)))
}

fn is_malformed(error: VerifyError) -> bool {
    matches!(error, Malformed { .. })
}

#[test]
fn the_token_that_the_others_are_made_from_is_accepted() {
    assert!(verifier_now().verify(signed(header(), claims())).is_ok());
}

/// ASVS 9.1.2.
#[test]
fn no_algorithm_but_ours_in_any_spelling() {
    for alg in ["none", "None", "nOnE", "", "HS256", "RS256", "ES256", "PS256", "ES512", "eddsa", "EdDSA "] {
        assert_eq!(refusal_of_header(json!({ "alg": alg })), WrongAlgorithm, "{alg}");
        let unsigned =
            format!("{}.{}.", encode(with(header(), json!({ "alg": alg })).to_string()), encode("{}"));
        assert_eq!(refusal(&unsigned), WrongAlgorithm, "{alg} without a signature");
    }
    assert!(is_malformed(refusal_of_header(json!({ "alg": null }))));
}

/// ASVS 9.1.2: the public key is public, so a verifier that took it for an HMAC secret would believe everybody.
#[test]
fn hmac_with_the_public_key_as_secret() {
    for secret in [OURS_PUBLIC.as_bytes(), &decode(&OURS_PUBLIC[16..59].replace('+', "-").replace('/', "_"))]
    {
        let forged = token(
            with(header(), json!({ "alg": "HS256" })),
            claims(),
            Algorithm::HS256,
            &EncodingKey::from_secret(secret),
        );
        assert_eq!(refusal(&forged), WrongAlgorithm);
        // The same signature under our algorithm's name.
        let forged = token(header(), claims(), Algorithm::HS256, &EncodingKey::from_secret(secret));
        assert_eq!(refusal(&forged), BadSignature);
    }
}

/// ASVS 9.2.2: a token of another kind is no access token, though the same key signed it.
#[test]
fn no_type_but_access_tokens() {
    for typ in [json!("JWT"), json!("id+jwt"), json!("logout+jwt"), json!("dpop+jwt"), json!(""), json!(null)]
    {
        assert_eq!(refusal_of_header(json!({ "typ": typ })), WrongType, "{typ}");
    }
    for typ in ["AT+JWT", "application/at+jwt"] {
        let token = signed(with(header(), json!({ "typ": typ })), claims());
        assert!(verifier_now().verify(token).is_ok(), "{typ}");
    }
}

#[test]
fn no_extension_that_must_be_understood() {
    for crit in [json!(["b64"]), json!([]), json!(["alg"]), json!("x"), json!(["unheard-of"])] {
        assert_eq!(refusal_of_header(json!({ "crit": crit })), CriticalExtension, "{crit}");
    }
}

/// ASVS 9.1.3.
#[test]
fn no_key_but_those_configured() {
    for kid in
        [json!(null), json!(""), json!("other"), json!("../../dev/null"), json!("' or 1=1 --"), json!("\0")]
    {
        assert_eq!(refusal_of_header(json!({ "kid": kid })), UnknownKey, "{kid}");
    }
    let theirs = key(THEIRS);
    let honest = with(header(), json!({ "kid": theirs.verifying_key().id() }));
    assert_eq!(refusal(&signed_by(THEIRS, honest, claims())), UnknownKey);
    assert_eq!(refusal(&signed_by(THEIRS, header(), claims())), BadSignature);
    // A token that brings its own key along.
    let x = encode([0; 32]);
    let jwk =
        json!({ "jwk": { "kty": "OKP", "crv": "Ed25519", "x": x }, "jku": "https://evil.example/keys" });
    assert_eq!(refusal(&signed_by(THEIRS, with(header(), jwk), claims())), BadSignature);
}

/// ASVS 9.1.1.
#[test]
fn nothing_that_was_changed_after_signing() {
    let token = signed(header(), claims());
    let [head, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    let tampered = encode(with(claims(), json!({ "scope": "notes:write" })).to_string());
    assert_eq!(refusal(&format!("{head}.{tampered}.{signature}")), BadSignature);
    let other_header = encode(with(header(), json!({ "cty": "x" })).to_string());
    assert_eq!(refusal(&format!("{other_header}.{payload}.{signature}")), BadSignature);
    for signature in [encode([0; 64]), encode([0xff; 64]), encode([1; 63]), String::new()] {
        assert_eq!(refusal(&format!("{head}.{payload}.{signature}")), BadSignature);
    }
}

#[test]
fn base64_has_one_form_only() {
    let token = signed(header(), claims());
    let (message, signature) = token.rsplit_once('.').unwrap();
    assert!(is_malformed(refusal(&format!("{message}.{signature}=="))));
    // 64 bytes leave four bits unused in the last character: other values of them would be the same bytes.
    let last = signature.chars().last().unwrap();
    let sloppy = format!("{message}.{}{}", &signature[..85], char::from(last as u8 + 1));
    assert!(is_malformed(refusal(&sloppy)));
    assert!(is_malformed(refusal(&format!(" {token}"))));
    assert!(is_malformed(refusal(&format!("{token}\n"))));
}

#[test]
fn nothing_that_is_not_three_parts_of_json() {
    let token = signed(header(), claims());
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "{}",
        &format!("{token}.x"),
        &token.replace('.', " "),
    ] {
        assert!(is_malformed(refusal(text)), "{text}");
    }
    for bad in ["", "[]", "null", "{", "{}", "\"x\"", &"[".repeat(3000), "{\"iss\": \"a\", \"iss\": \"b\"}"] {
        assert!(is_malformed(refusal(&signed(header(), bad))), "{bad}");
    }
    let doubled = header().to_string().replacen('{', "{\"alg\":\"EdDSA\",", 1);
    assert!(is_malformed(refusal(&signed(doubled, claims()))), "a member that comes twice");
    let doubled = claims().to_string().replacen('{', "{\"scope\":\"notes:write\",", 1);
    assert!(is_malformed(refusal(&signed(header(), doubled))), "a member that comes twice");
}

/// ASVS 9.2.1.
#[test]
fn nothing_whose_time_is_over_or_has_not_come() {
    let now = NOW.unix_timestamp();
    let at = |exp: i64| verifier_now().verify(signed(header(), with(claims(), json!({ "exp": exp })))).err();
    assert_eq!(at(now - 29), None, "within the leeway of 30 seconds");
    assert_eq!(at(now - 30), Some(Expired));
    assert_eq!(at(i64::MIN), Some(Expired));
    assert_eq!(at(i64::MAX), None);
    let nbf = |nbf: i64| verifier_now().verify(signed(header(), with(claims(), json!({ "nbf": nbf })))).err();
    assert_eq!(nbf(now + 30), None);
    assert_eq!(nbf(now + 31), Some(NotYetValid));
    assert_eq!(nbf(i64::MAX), Some(NotYetValid));
    assert_eq!(refusal_of_claims(json!({ "iat": now + 31 })), NotYetValid);
}

#[test]
fn claims_have_the_types_of_the_standard() {
    for name in ["exp", "iat", "nbf"] {
        for bad in [json!("1"), json!(1.5), json!(1e308), json!(u64::MAX), json!([1]), json!(true)] {
            assert!(is_malformed(refusal_of_claims(json!({ name: bad }))), "{name} {bad}");
        }
    }
    for name in ["iss", "sub", "aud", "jti", "scope"] {
        for bad in [json!(1), json!({}), json!([1]), json!(true)] {
            assert!(is_malformed(refusal_of_claims(json!({ name: bad }))), "{name} {bad}");
        }
    }
    for required in ["iss", "sub", "aud", "exp", "iat", "jti"] {
        assert!(is_malformed(refusal_of_claims(json!({ required: null }))), "without {required}");
    }
    for bad in ["", "line\nbreak", "nul\0", &"x".repeat(256)] {
        assert!(is_malformed(refusal_of_claims(json!({ "sub": bad }))), "{bad}");
        assert!(is_malformed(refusal_of_claims(json!({ "jti": bad }))), "{bad}");
    }
}

/// ASVS 9.2.3 and 9.2.4.
#[test]
fn nobody_elses_tokens() {
    for iss in ["", "https://id.example/", "https://ID.example", "https://evil.example"] {
        assert_eq!(refusal_of_claims(json!({ "iss": iss })), WrongIssuer, "{iss}");
    }
    for aud in [json!(""), json!("files"), json!([]), json!(["files", "Notes"])] {
        assert_eq!(refusal_of_claims(json!({ "aud": aud })), WrongAudience, "{aud}");
    }
    let several = signed(header(), with(claims(), json!({ "aud": ["files", AUDIENCE] })));
    assert!(verifier_now().verify(several).is_ok());
}

/// ASVS 8.4.1.
#[test]
fn nothing_without_a_tenant() {
    for tenant in
        [json!(null), json!(""), json!("acme"), json!("018f2b6e-0000-7000-8000-00000000000"), json!("*")]
    {
        assert_eq!(refusal_of_claims(json!({ "tenant": tenant })), NoTenant, "{tenant}");
    }
    assert!(is_malformed(refusal_of_claims(json!({ "tenant": 7 }))));
    assert!(is_malformed(refusal_of_claims(json!({ "site": "not a uuid" }))));
}

#[test]
fn nothing_larger_than_it_has_to_be() {
    let padded = with(claims(), json!({ "padding": "x".repeat(7 * 1024) }));
    assert_eq!(refusal(&signed(header(), padded)), TooLarge, "a 9 KiB token");
    assert_eq!(refusal(&"x".repeat(1024 * 1024)), TooLarge);
    assert_eq!(refusal_of_header(json!({ "padding": "x".repeat(1024) })), TooLarge, "a 1 KiB header");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
        prop_assert!(verifier_now().verify(bytes).is_err());
    }

    #[test]
    fn any_text_in_three_parts_is_answered(header in ".{0,60}", claims in ".{0,60}", signature in any::<[u8; 64]>()) {
        let parts = format!("{}.{}.{}", encode(header), encode(claims), encode(signature));
        prop_assert!(verifier_now().verify(parts).is_err());
    }

    #[test]
    fn any_claims_with_our_signature_are_answered(claims in ".{0,200}") {
        prop_assert!(verifier_now().verify(signed(header(), claims)).is_err());
    }

    #[test]
    fn one_flipped_bit_is_noticed(bit in 0_usize..8 * 400) {
        let mut token = signed(header(), claims()).into_bytes();
        let at = bit / 8 % token.len();
        token[at] ^= 1 << (bit % 8);
        prop_assert!(verifier_now().verify(token).is_err());
    }
}
