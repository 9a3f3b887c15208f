//! Whose address it is: what forged headers achieve with 0, 1 and 2 trusted hops, and what no header can.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use shared_security::{ClientAddress, ForwardedBy};

const PEER: &str = "10.0.0.1";
const X: &str = "x-forwarded-for";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn found(policy: &ClientAddress, lines: &[(&'static str, &str)]) -> String {
    policy.find(ip(PEER), &headers(lines)).to_string()
}

/// Traps 4 and 11. ASVS 4.1.3, 15.3.4.
#[test]
fn a_forged_header_is_believed_as_far_as_there_are_trusted_hops() {
    let hops = |count| ClientAddress::behind(count, ForwardedBy::XForwardedFor);
    // What the attacker wrote, then what its own proxies were called from.
    let forged = [(X, "6.6.6.6, 6.6.6.7, 198.51.100.7, 10.0.0.2")];
    assert_eq!(found(&ClientAddress::peer(), &forged), PEER);
    assert_eq!(found(&hops(0), &forged), PEER);
    assert_eq!(found(&hops(1), &forged), "10.0.0.2");
    assert_eq!(found(&hops(2), &forged), "198.51.100.7");
    // The same in several lines, as a proxy may add its own.
    let lines = [(X, "6.6.6.6, 6.6.6.7"), (X, "198.51.100.7"), (X, "10.0.0.2")];
    assert_eq!(found(&hops(2), &lines), "198.51.100.7");
}

#[test]
fn what_is_missing_or_nonsense_is_the_peer_and_no_address_of_its_own() {
    let behind = ClientAddress::behind(2, ForwardedBy::XForwardedFor);
    for value in
        ["", "198.51.100.7", "nonsense, 10.0.0.2", "unknown,10.0.0.2", ", 10.0.0.2", "1.2.3.4.5, 10.0.0.2"]
    {
        assert_eq!(found(&behind, &[(X, value)]), PEER, "{value}");
    }
    assert_eq!(found(&behind, &[]), PEER);
    // The header that was not declared is not read.
    assert_eq!(found(&behind, &[("forwarded", "for=6.6.6.6, for=6.6.6.7")]), PEER);
    let forwarded = ClientAddress::behind(1, ForwardedBy::Forwarded);
    assert_eq!(found(&forwarded, &[(X, "6.6.6.6")]), PEER);
    assert_eq!(found(&forwarded, &[(X, "6.6.6.6"), ("forwarded", "for=198.51.100.7")]), "198.51.100.7");
}

#[test]
fn behind_networks_the_first_address_from_elsewhere_is_the_client() {
    let networks = ["10.0.0.0/8".parse().unwrap(), "2001:db8:1::/48".parse().unwrap()];
    let behind = |header| ClientAddress::behind_networks(networks, header);
    let policy = behind(ForwardedBy::XForwardedFor);
    assert_eq!(found(&policy, &[(X, "6.6.6.6, 198.51.100.7, 10.1.0.1, 10.2.0.1")]), "198.51.100.7");
    assert_eq!(
        found(&policy, &[(X, "198.51.100.7, unknown, 10.2.0.1")]),
        "10.2.0.1",
        "the last that is known"
    );
    assert_eq!(found(&policy, &[(X, "10.9.0.1, 10.2.0.1")]), "10.9.0.1", "all are proxies: the farthest");
    let stranger = policy.find(ip("198.51.100.9"), &headers(&[(X, "6.6.6.6")]));
    assert_eq!(stranger, ip("198.51.100.9"), "who is no proxy is not asked for whom it calls");
    let policy = behind(ForwardedBy::Forwarded);
    let lines = [("forwarded", "for=6.6.6.6;x=\", for=198.51.100.7, for=\"[2001:db8:1::2]:80\";proto=https")];
    assert_eq!(found(&policy, &lines), "198.51.100.7");
}

#[test]
fn an_ipv4_address_is_one_however_it_is_written() {
    let policy = ClientAddress::behind(1, ForwardedBy::XForwardedFor);
    assert_eq!(found(&policy, &[(X, "::ffff:198.51.100.7")]), "198.51.100.7");
    assert_eq!(policy.find(ip("::ffff:10.0.0.1"), &HeaderMap::new()), ip(PEER));
}

proptest! {
    /// What the fuzz target `forwarded` does too: no bytes panic, and what is found is an address that a trusted hop has given.
    #[test]
    fn no_bytes_make_a_client_of_what_no_trusted_hop_said(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4),
        hops in 0_usize..40,
    ) {
        let mut headers = HeaderMap::new();
        for line in &lines {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append(X, value.clone());
                headers.append("forwarded", value);
            }
        }
        for header in [ForwardedBy::XForwardedFor, ForwardedBy::Forwarded] {
            let hop = ClientAddress::behind(hops, header).find(ip(PEER), &headers);
            prop_assert!(hops > 0 || hop == ip(PEER));
            let networks = ClientAddress::behind_networks(["10.0.0.0/8".parse().unwrap()], header);
            networks.find(ip(PEER), &headers);
            prop_assert_eq!(networks.find(ip("192.0.2.1"), &headers), ip("192.0.2.1"));
        }
    }
}
