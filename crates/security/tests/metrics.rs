//! What is counted of tokens. A binary of its own, since the meter provider is one for the whole process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use shared_core::TenantId;
use shared_security::{Algorithm, Grant, Issuer, SigningKey, Verifier};

#[test]
fn hits_misses_evictions_and_refusals_are_counted() {
    let registry = Registry::new();
    let reader =
        opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
    let provider = SdkMeterProvider::builder().with_reader(reader.build().unwrap()).build();
    opentelemetry::global::set_meter_provider(provider);

    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let verifier = Verifier::new("issuer", "notes", [key.verifying_key().clone()]).unwrap().with_cache(32);
    let issuer = Issuer::new(key, "issuer", "notes");
    let token = || issuer.issue(&Grant::new(TenantId::new(), "hunter2")).unwrap();
    let first = token();
    for _ in 0..3 {
        verifier.verify(first.expose()).unwrap();
    }
    for _ in 0..99 {
        verifier.verify(token().expose()).unwrap();
    }
    for _ in 0..5 {
        verifier.verify("a.b.c").unwrap_err();
    }
    verifier
        .verify(issuer.for_audience("files").issue(&Grant::new(TenantId::new(), "hunter2")).unwrap().expose())
        .unwrap_err();

    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let value = |name: &str, label: &str| -> Option<u64> {
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(label))?;
        line.rsplit_once(' ')?.1.parse().ok()
    };
    assert_eq!(value("security_token_cache_hits_total", ""), Some(2), "{text}");
    assert_eq!(value("security_token_cache_misses_total", ""), Some(1 + 99 + 5 + 1), "{text}");
    let evicted = value("security_token_cache_evictions_total", "").unwrap();
    assert!((100 - 32..100).contains(&evicted), "{text}");
    assert_eq!(value("security_tokens_refused_total", "error_type=\"malformed\""), Some(5), "{text}");
    assert_eq!(value("security_tokens_refused_total", "error_type=\"wrong_audience\""), Some(1), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
