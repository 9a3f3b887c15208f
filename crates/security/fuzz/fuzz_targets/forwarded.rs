//! Forwarded addresses: no bytes make the parsers panic, and without a declared proxy none of them is believed.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use shared_security::{ClientAddress, ForwardedBy};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", value.clone());
            headers.append("forwarded", value);
        }
    }
    for header in [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
        for proxies in 0..4 {
            let found = ClientAddress::behind(proxies, header).find(PEER, &headers);
            assert!(proxies > 0 || found == PEER);
        }
        let networks = ClientAddress::behind_networks(["10.0.0.0/8".parse().expect("a network")], header);
        networks.find(PEER, &headers);
        assert_eq!(networks.find(STRANGER, &headers), STRANGER);
    }
});
