//! How often a password is hashed. A binary of its own, since the meter provider is one for the whole process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;
use shared_core::Secret;
use shared_security::{PasswordConfig, Passwords, Verdict};

/// ASVS 6.3.8. Time is noise; the work is not: whatever makes a login fail, it costs as many hashes as one that is right.
#[tokio::test]
async fn a_login_costs_one_hash_whether_the_user_exists_or_not() {
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_counter_suffixes()
        .without_units();
    opentelemetry::global::set_meter_provider(
        SdkMeterProvider::builder().with_reader(reader.build().unwrap()).build(),
    );
    let hashes = || {
        let families = registry.gather();
        let ours = families.iter().find(|family| family.name() == "security_passwords_hashes").unwrap();
        ours.get_metric()[0].get_counter().get_value() as u64
    };

    let passwords = Passwords::new(PasswordConfig::default()).unwrap();
    let right = Secret::new("correct horse battery staple");
    let stored = passwords.hash(&right, &[]).await.unwrap();
    let (wrong, long) = (Secret::new("incorrect horse"), Secret::new("x".repeat(1 << 20)));
    for (password, stored, verdict) in [
        (&right, Some(stored.as_str()), Verdict::Right),
        (&wrong, Some(stored.as_str()), Verdict::Wrong),
        (&right, None, Verdict::Wrong),
        (&long, Some(stored.as_str()), Verdict::Wrong),
        (&long, None, Verdict::Wrong),
    ] {
        let before = hashes();
        assert_eq!(passwords.verify(password, stored).await.unwrap(), verdict);
        assert_eq!(hashes() - before, 1, "{verdict:?}");
    }
    let before = hashes();
    assert!(passwords.verify(&right, Some("no hash")).await.is_err());
    assert_eq!(hashes() - before, 1, "a broken row does not answer sooner");
}
