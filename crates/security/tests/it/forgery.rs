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
    for crit in [
        json!(["b64"]),
        json!([]),
        json!(["alg"]),
        json!("x"),
        json!(["unheard-of"]),
        json!(["a", "a"]),
        json!({ "a": [] }),
        json!(false),
    ] {
        assert_eq!(refusal_of_header(json!({ "crit": crit })), CriticalExtension, "{crit}");
    }
    let doubled = with(header(), json!({ "crit": ["a"] })).to_string().replacen('{', "{\"crit\":[\"b\"],", 1);
    assert!(is_malformed(refusal(&signed(doubled, claims()))));
}

/// ASVS 9.1.1: what was signed would be something else than what is read.
#[test]
fn nothing_that_changes_what_was_signed() {
    for changes in [
        json!({ "b64": false }),
        json!({ "b64": true }),
        json!({ "zip": "DEF" }),
        json!({ "cty": "JWT" }),
        json!({ "enc": "A256GCM" }),
    ] {
        assert!(is_malformed(refusal_of_header(changes.clone())), "{changes}");
    }
    let unencoded = with(header(), json!({ "b64": false, "crit": ["b64"] }));
    assert!(is_malformed(refusal(&signed(unencoded, claims()))));
}

/// ASVS 9.1.3: neither asked for at an address, nor believed because the token has it.
#[test]
fn no_key_that_the_token_brings_along() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode([0; 32]) });
    for changes in [
        json!({ "jwk": jwk }),
        json!({ "jku": "https://evil.example/keys" }),
        json!({ "x5u": "https://evil.example/chain" }),
        json!({ "x5c": ["MIIB"] }),
    ] {
        assert!(
            is_malformed(refusal(&signed_by(THEIRS, with(header(), changes.clone()), claims()))),
            "{changes}"
        );
        assert!(is_malformed(refusal_of_header(changes.clone())), "{changes} with our own signature");
    }
    // Fingerprints of certificates are of no use to anybody, and do no harm.
    let fingerprint = with(header(), json!({ "x5t": "x", "x5t#S256": "y" }));
    assert!(verifier_now().verify(signed(fingerprint, claims())).is_ok());
}

/// ASVS 9.1.3.
#[test]
fn no_key_but_those_configured() {
    for kid in [
        json!(null),
        json!(""),
        json!("other"),
        json!("../../dev/null"),
        json!("file:///dev/null"),
        json!("' or 1=1 --"),
        json!("\0"),
        json!(format!("{}\0", key(OURS).id())),
        json!(format!(" {}", key(OURS).id())),
        json!(key(OURS).id().to_lowercase()),
        json!("x".repeat(600)),
    ] {
        assert_eq!(refusal_of_header(json!({ "kid": kid })), UnknownKey, "{kid}");
    }
    for kid in [json!(7), json!([key(OURS).id()]), json!({})] {
        assert!(is_malformed(refusal_of_header(json!({ "kid": kid }))), "{kid}");
    }
    assert_eq!(refusal_of_header(json!({ "kid": "x".repeat(10_000) })), TooLarge);
    let theirs = key(THEIRS);
    let honest = with(header(), json!({ "kid": theirs.verifying_key().id() }));
    assert_eq!(refusal(&signed_by(THEIRS, honest, claims())), UnknownKey);
    assert_eq!(refusal(&signed_by(THEIRS, header(), claims())), BadSignature);
}

/// ASVS 9.1.1.
#[test]
fn nothing_that_was_changed_after_signing() {
    let token = signed(header(), claims());
    let [head, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    let tampered = encode(with(claims(), json!({ "scope": "notes:write" })).to_string());
    assert_eq!(refusal(&format!("{head}.{tampered}.{signature}")), BadSignature);
    let other_header = encode(with(header(), json!({ "x5t": "x" })).to_string());
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
    let (header, rest) = token.split_once('.').unwrap();
    for space in [" ", "\n", "\t", "\0", "=", "\u{feff}"] {
        let (start, end) = header.split_at(8);
        assert!(is_malformed(refusal(&format!("{start}{space}{end}.{rest}"))), "{space:?} in the header");
        assert!(is_malformed(refusal(&format!("{header}{space}.{rest}"))), "{space:?} after the header");
    }
}

/// Two alphabets would be two forms: `+` and `/` are of the other one.
#[test]
fn base64_has_one_alphabet() {
    for _ in 0..200 {
        let token = signed(header(), claims());
        let other = token.replace('-', "+").replace('_', "/");
        if other != token {
            assert!(is_malformed(refusal(&other)));
            return;
        }
    }
    unreachable!("200 signatures without either character");
}

/// What was signed is what is read, so an issuer may write its JSON with spaces; around the object as well.
#[test]
fn spaces_in_the_json_are_the_issuers_to_choose() {
    let spaced = |json: Value| format!(" {} ", serde_json::to_string_pretty(&json).unwrap());
    assert!(verifier_now().verify(signed(spaced(header()), spaced(claims()))).is_ok());
}

/// RFC 7515, section 7.2: the same signature in JSON is not taken.
#[test]
fn no_other_serialisation() {
    let token = signed(header(), claims());
    let [head, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { unreachable!() };
    let flattened = json!({ "protected": head, "payload": payload, "signature": signature });
    let general =
        json!({ "payload": payload, "signatures": [{ "protected": head, "signature": signature }] });
    // As Authlib once took it: JSON with the dots of the compact form in it.
    let both = json!({ head: 1, "x": format!(".{payload}.{signature}") });
    for json in [flattened, general, both] {
        assert!(is_malformed(refusal(&json.to_string())), "{json}");
    }
    let encrypted = format!("{head}..{payload}.{signature}.{signature}");
    assert!(is_malformed(refusal(&encrypted)), "five parts");
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

/// Parsers differ in which of two they take, and in what is the same name.
#[test]
fn no_name_comes_twice() {
    let claims_with = |members: &str| claims().to_string().replacen('{', &format!("{{{members},"), 1);
    for members in [
        r#""tenant":"018f2b6e-0000-7000-8000-000000000000""#,
        r#""\u0074enant":"018f2b6e-0000-7000-8000-000000000000""#,
        r#""sub":"user:1""#,
        r#""custom":1,"custom":2"#,
        r#""custom":{"a":1,"a":2}"#,
        r#""custom":[{"a":1,"\u0061":2}]"#,
        r#""act":{"sub":"a","sub":"b"}"#,
    ] {
        assert!(is_malformed(refusal(&signed(header(), claims_with(members)))), "{members}");
    }
    let header_with = |members: &str| header().to_string().replacen('{', &format!("{{{members},"), 1);
    for members in [r#""kid":"x""#, r#""typ":"at+jwt""#, r#""\u0061lg":"none""#, r#""x5t":"a","x5t":"b""#] {
        assert!(is_malformed(refusal(&signed(header_with(members), claims()))), "{members}");
    }
}

#[test]
fn nothing_nested_deeply() {
    let nested = |open: &str, close: &str, levels: usize| {
        let custom = format!("{}1{}", open.repeat(levels), close.repeat(levels));
        signed(header(), claims().to_string().replacen('{', &format!("{{\"custom\":{custom},"), 1))
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert!(verifier_now().verify(nested(open, close, 8)).is_ok());
        for levels in [9, 127, 500] {
            assert!(is_malformed(refusal(&nested(open, close, levels))), "{levels} levels of {open}");
        }
    }
    assert!(is_malformed(refusal(&signed(header(), "[".repeat(5000)))));
}

/// ASVS 9.2.1.
#[test]
fn nothing_whose_time_is_over_or_has_not_come() {
    let now = NOW.unix_timestamp();
    let at = |exp: i64| verifier_now().verify(signed(header(), with(claims(), json!({ "exp": exp })))).err();
    assert_eq!(at(now - 29), None, "within the leeway of 30 seconds");
    assert_eq!(at(now - 30), Some(Expired));
    assert_eq!(at(0), Some(Expired));
    assert_eq!(at(253_402_300_799), None, "the last second of 9999");
    let nbf = |nbf: i64| verifier_now().verify(signed(header(), with(claims(), json!({ "nbf": nbf })))).err();
    assert_eq!(nbf(now + 30), None);
    assert_eq!(nbf(now + 31), Some(NotYetValid));
    assert_eq!(nbf(253_402_300_799), Some(NotYetValid));
    assert_eq!(refusal_of_claims(json!({ "iat": now + 31 })), NotYetValid);
    assert_eq!(refusal_of_claims(json!({ "iat": now + 86_400, "nbf": now })), NotYetValid, "from the future");
}

#[test]
fn claims_have_the_types_of_the_standard() {
    for name in ["exp", "iat", "nbf", "auth_time"] {
        for bad in [json!("1"), json!(1.5), json!(1e308), json!(u64::MAX), json!([1]), json!(true), json!(-1)]
        {
            assert!(is_malformed(refusal_of_claims(json!({ name: bad }))), "{name} {bad}");
        }
        for bad in ["18446744073709551616", "1e3", "-0", "1.0", "253402300800", "9223372036854775808", "null"]
        {
            let json = with(claims(), json!({ name: null })).to_string();
            let json = json.replacen('{', &format!("{{\"{name}\":{bad},"), 1);
            assert!(is_malformed(refusal(&signed(header(), json))), "{name} {bad}");
        }
    }
    for name in ["roles", "amr"] {
        for bad in [json!("a"), json!({}), json!([1]), json!([[]]), json!([""]), json!(["a\nb"])] {
            assert!(is_malformed(refusal_of_claims(json!({ name: bad }))), "{name} {bad}");
        }
    }
    for act in [json!("a"), json!({}), json!({ "sub": 1 }), json!({ "sub": "" }), json!([])] {
        assert!(is_malformed(refusal_of_claims(json!({ "act": act }))), "{act}");
    }
    assert!(is_malformed(refusal_of_claims(json!({ "sid": "no uuid" }))));
    for name in ["iss", "sub", "aud", "jti", "scope", "client_id", "sid"] {
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
    let of_length = |length: usize| {
        let padded = |by: usize| signed(header(), with(claims(), json!({ "padding": "x".repeat(by) })));
        (0..8192).map(|spare| padded(6144 - spare)).find(|token| token.len() <= length).unwrap()
    };
    let largest = of_length(8 * 1024);
    assert!(largest.len() > 8 * 1024 - 4 && verifier_now().verify(&largest).is_ok());
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
