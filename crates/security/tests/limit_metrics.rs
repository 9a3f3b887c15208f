//! What is counted of limits. A binary of its own, since the meter provider is one for the whole process.

use std::time::Duration;

use axum::http::HeaderMap;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use shared_security::{By, ClientAddress, ForwardedBy, InProcess, Key, Limit, Limiter, Monotonic, Rule};

#[test]
fn denials_keys_without_room_and_unclear_addresses_are_counted_and_no_key_is_named() {
    let registry = Registry::new();
    let reader =
        opentelemetry_prometheus::exporter().with_registry(registry.clone()).scope_info_enabled(false);
    let provider = SdkMeterProvider::builder().with_reader(reader.build().expect("a reader")).build();
    opentelemetry::global::set_meter_provider(provider);

    let rule = Rule::new("login", &[By::Item], Limit::per(1, Duration::from_secs(3600)));
    let limiter = Limiter::new(InProcess::with_clock(8, Monotonic::manual()), [rule]).expect("a limiter");
    for name in ["hunter0", "hunter1", "hunter2", "hunter3", "hunter4", "hunter5", "hunter6", "hunter7"] {
        assert!(limiter.check_now(&Key::new().item(name), 1).allowed());
    }
    assert!(!limiter.check_now(&Key::new().item("hunter0"), 1).allowed());
    assert!(limiter.check_now(&Key::new().item("hunter8"), 1).allowed(), "what those without room share");
    assert!(!limiter.check_now(&Key::new().item("hunter9"), 1).allowed());
    let behind = ClientAddress::behind(1, ForwardedBy::Forwarded);
    behind.find("10.0.0.1".parse().expect("an address"), &HeaderMap::new());

    let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("a text");
    for line in [
        "security_limits_denied_total{limit=\"login\"} 2",
        "security_limits_without_room_total{limit=\"login\"} 2",
        "security_client_address_unclear_total 1",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains("hunter"), "{text}");
}
