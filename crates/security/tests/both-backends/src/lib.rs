//! With both backends switched on and none installed, `jsonwebtoken`'s own functions panic. Ours go on.

#[cfg(test)]
mod tests {
    use shared_core::{Secret, TenantId};
    use shared_security::{Algorithm, Grant, Issuer, SigningKey, Verifier};

    #[test]
    fn tokens_of_every_algorithm_are_issued_and_verified() {
        let generated = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256].map(SigningKey::generate);
        let secret = SigningKey::hmac(&Secret::new("s".repeat(32)));
        for key in generated.into_iter().chain([secret]).map(|key| key.expect("it can be made")) {
            let verifier = Verifier::new("issuer", "notes", [key.verifying_key().clone()]).expect("it is complete");
            let token = Issuer::new(key, "issuer", "notes").issue(&Grant::new(TenantId::new(), "user:7"));
            assert!(verifier.verify(token.expect("it can be signed").expose()).is_ok());
        }
    }

    /// Otherwise the test above shows nothing.
    #[test]
    fn both_backends_are_on_and_none_is_chosen() {
        let key = jsonwebtoken::EncodingKey::from_secret(b"s");
        let sign = || jsonwebtoken::encode(&jsonwebtoken::Header::default(), &"claims", &key);
        assert!(std::panic::catch_unwind(sign).is_err());
    }
}
