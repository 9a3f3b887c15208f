//! Whose address a request comes from, when proxies stand in between.

mod forwarded;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::limits::metrics::unclear_address;

/// Finds the address of a client behind proxies that are declared; without a declaration no header is read.
///
/// ```
/// use http::HeaderMap;
/// use shared_security::{ClientAddress, ForwardedBy};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("x-forwarded-for", "6.6.6.6, 198.51.100.7".parse().unwrap()); // the left one was the client's own idea
/// let proxy = "10.0.0.2".parse().unwrap();
///
/// let behind_one = ClientAddress::behind(1, ForwardedBy::XForwardedFor);
/// assert_eq!(behind_one.find(proxy, &headers).to_string(), "198.51.100.7");
/// assert_eq!(ClientAddress::peer().find(proxy, &headers), proxy);
/// ```
///
/// # What is believed
/// Whatever comes from the left of a header can be the client's own invention, so it is read from the right, and only as far
/// as there are declared proxies: each adds the address that it was called from. One header is read, the one that is
/// declared, since a proxy that writes the one lets the other through. Several lines of it are one list.
///
/// What can't be believed is the address nearest to the service that can: the peer's where there are fewer entries than
/// declared proxies, or where the entry is no address; that of the last known proxy where networks are declared. Then several
/// clients share a limit, and nobody gets one of their own by writing nonsense. `security.client_address.unclear` counts it.
///
/// Whoever can reach the service past its proxies can write what it likes: let the network see to that, or declare the
/// proxies by their networks.
#[derive(Clone, Debug)]
pub struct ClientAddress {
    trust: Trust,
    header: ForwardedBy,
}

#[derive(Clone, Debug)]
enum Trust {
    /// So many proxies, each of which adds an entry.
    Hops(usize),
    Networks(Vec<IpNet>),
}

/// By which header the proxies say for whom they call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedBy {
    /// `X-Forwarded-For`: addresses separated by commas.
    XForwardedFor,
    /// `Forwarded` (RFC 7239): `for=192.0.2.43, for="[2001:db8:cafe::17]:4711"`.
    Forwarded,
}

/// Entries at most that are looked at: more proxies than anybody has in a row.
const MOST_HOPS: usize = 32;

impl ClientAddress {
    /// Nobody stands in between: the client is who is connected.
    pub fn peer() -> Self {
        Self { trust: Trust::Hops(0), header: ForwardedBy::XForwardedFor }
    }

    /// Behind so many proxies in a row, of which the last is connected to the service. 0 is [`peer`](Self::peer), more than 32
    /// are 32.
    pub fn behind(proxies: usize, header: ForwardedBy) -> Self {
        Self { trust: Trust::Hops(proxies.min(MOST_HOPS)), header }
    }

    /// Behind whatever proxies have addresses in these networks; a peer from elsewhere is itself the client.
    pub fn behind_networks(proxies: impl IntoIterator<Item = IpNet>, header: ForwardedBy) -> Self {
        Self { trust: Trust::Networks(proxies.into_iter().collect()), header }
    }

    /// The address of the client. `peer` is who is connected. An IPv4 address in the form of an IPv6 one becomes the IPv4
    /// address.
    pub fn find(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        match &self.trust {
            Trust::Hops(0) => peer,
            Trust::Hops(hops) => self.hop(*hops, headers).unwrap_or_else(|| {
                unclear_address();
                peer
            }),
            Trust::Networks(networks) => self.beyond(networks, peer, headers),
        }
    }

    /// The address that the first of so many proxies was called from.
    fn hop(&self, hops: usize, headers: &HeaderMap) -> Option<IpAddr> {
        self.entries(headers).nth(hops - 1)?
    }

    /// The nearest address that is none of the proxies'.
    fn beyond(&self, networks: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_proxy = |address: &IpAddr| networks.iter().any(|network| network.contains(address));
        let mut client = peer;
        let mut entries = self.entries(headers).take(MOST_HOPS);
        while is_proxy(&client) {
            match entries.next() {
                Some(Some(next)) => client = next,
                Some(None) => {
                    unclear_address();
                    break;
                }
                None => break,
            }
        }
        client
    }

    /// What the proxies have said, the nearest first; `None` for what is no address.
    fn entries<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = Option<IpAddr>> + 'h {
        let (name, header) = (self.header.name(), self.header);
        // Lines come in order, and are one list.
        let lines: Vec<&[u8]> = headers.get_all(name).iter().map(|line| line.as_bytes()).collect();
        lines.into_iter().rev().flat_map(move |line| {
            forwarded::from_the_right(line, header == ForwardedBy::Forwarded).map(move |entry| match header {
                ForwardedBy::XForwardedFor => forwarded::address(entry),
                ForwardedBy::Forwarded => forwarded::element(entry),
            })
        })
    }
}

impl ForwardedBy {
    fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Self::Forwarded => http::header::FORWARDED,
        }
    }
}
