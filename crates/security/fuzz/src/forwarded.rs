//! Forwarded addresses: no bytes make the parsers panic, and nobody is believed who was not declared.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderValue};
use shared_security::{ClientAddress, ForwardedBy};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// What the nearest proxy adds.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// Lists as proxies write them.
pub fn lists() -> String {
    "6.6.6.6, [2001:db8::1]:80, 10.0.0.2:4711\nfor=6.6.6.6;host=\"a\\\"b,c\", for=\"[2001:db8::17]:80\";proto=https".to_owned()
}

/// Each line is one of a header that comes several times.
pub fn any(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("x-forwarded-for", value.clone());
            headers.append("forwarded", value);
        }
    }
    believes_nobody(&headers);
    headers.append("x-forwarded-for", HeaderValue::from_static("198.51.100.7"));
    headers.append("forwarded", HeaderValue::from_static("for=198.51.100.7"));
    believes_the_nearest(&headers);
}

/// Without a declared proxy, whatever the lines say.
fn believes_nobody(headers: &HeaderMap) {
    for header in [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
        for proxies in 0..4 {
            let found = ClientAddress::behind(proxies, header).find(PEER, headers);
            assert!(proxies > 0 || found == PEER);
        }
        let networks = networks(header);
        networks.find(PEER, headers);
        assert_eq!(networks.find(STRANGER, headers), STRANGER);
    }
}

/// Whatever stands to the left of it.
fn believes_the_nearest(headers: &HeaderMap) {
    for header in [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
        assert_eq!(ClientAddress::behind(1, header).find(PEER, headers), CLIENT);
        assert_eq!(networks(header).find(PEER, headers), CLIENT);
    }
}

fn networks(header: ForwardedBy) -> ClientAddress {
    ClientAddress::behind_networks(["10.0.0.0/8".parse().expect("a network")], header)
}
