//! Who asks: the address at the other end of a connection, or the one that a reverse proxy of ours tells.
//!
//! A socket's address and a request's headers enter; the [`Caller`] whose limits count leaves. `X-Forwarded-For` is read
//! from its end, for as long as those who wrote it are proxies that the operator named: what stands before them is
//! whatever a client wrote. Deliberately absent: keeping any address.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;

use crate::config::AddressRange;

/// Bits of an IPv6 address by which one customer of a provider is told from another.
const V6_BITS: u32 = 64;

/// The other end of a connection; none on a socket of this machine's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(Option<IpAddr>);

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self(Some(address.ip().to_canonical()))
    }
}

impl From<tokio::net::unix::SocketAddr> for Peer {
    fn from(_: tokio::net::unix::SocketAddr) -> Self {
        Self(None)
    }
}

/// Somebody whose limits count: an address, or all those of one IPv6 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::http) struct Caller(IpAddr);

/// Whom limits are meant for.
#[derive(Debug, Clone, Default)]
pub(in crate::http) struct Callers {
    /// Addresses without limits.
    pub(in crate::http) spared: Vec<AddressRange>,
    /// Proxies that are believed.
    pub(in crate::http) proxies: Vec<AddressRange>,
}

impl Callers {
    /// Whose limits on connections count; nobody's where there are none. A proxy holds those of all its clients.
    pub(in crate::http) fn connecting(&self, peer: Peer) -> Option<Caller> {
        self.limited(peer.0.filter(|address| !is_in(&self.proxies, *address))?)
    }

    /// Whose limits on requests count; nobody's where there are none.
    pub(in crate::http) fn asking(&self, peer: Peer, headers: &HeaderMap) -> Option<Caller> {
        let mut address = peer.0?;
        if !is_in(&self.proxies, address) {
            return self.limited(address);
        }
        let said = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let said: Vec<&str> = said.flat_map(|value| value.split(',')).collect();
        let mut said = said.into_iter().rev();
        while is_in(&self.proxies, address) {
            match said.next().and_then(forwarded) {
                Some(next) => address = next,
                None => break,
            }
        }
        self.limited(address)
    }

    fn limited(&self, address: IpAddr) -> Option<Caller> {
        if is_in(&self.spared, address) {
            return None;
        }
        Some(Caller(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() >> (128 - V6_BITS) << (128 - V6_BITS)).into()
            }
        }))
    }
}

fn is_in(ranges: &[AddressRange], address: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(address))
}

/// An address as proxies write it: perhaps with a port, and then IPv6 in brackets.
fn forwarded(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    Some(address?.to_canonical())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ranges(texts: &[&str]) -> Vec<AddressRange> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn peer(address: &str) -> Peer {
        SocketAddr::new(address.parse().unwrap(), 1).into()
    }

    fn asking(callers: &Callers, from: &str, said: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for said in said {
            headers.append("x-forwarded-for", HeaderValue::from_str(said).unwrap());
        }
        callers.asking(peer(from), &headers).map(|Caller(address)| address.to_string())
    }

    #[test]
    fn only_a_proxy_of_ours_is_believed_about_who_asks() {
        let proxies = ranges(&["10.0.0.0/8", "::1"]);
        let callers = Callers { spared: Vec::new(), proxies };
        let who = |from, said: &[&str]| asking(&callers, from, said).unwrap();
        assert_eq!(who("203.0.113.1", &["198.51.100.9"]), "203.0.113.1", "anyone may write the header");
        assert_eq!(who("10.0.0.1", &["198.51.100.9"]), "198.51.100.9");
        assert_eq!(
            who("10.0.0.1", &["192.0.2.1, 198.51.100.9"]),
            "198.51.100.9",
            "what a client wrote before"
        );
        assert_eq!(who("10.0.0.1", &["198.51.100.9, 10.2.3.4"]), "198.51.100.9", "one proxy behind another");
        assert_eq!(who("10.0.0.1", &["192.0.2.1", "198.51.100.9:443"]), "198.51.100.9");
        assert_eq!(who("::1", &["[2001:db8:1:2:3::4]:443"]), "2001:db8:1:2::");
        assert_eq!(who("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(who("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn addresses_of_one_network_are_one_caller_and_spared_ones_are_nobody() {
        let callers = Callers { spared: ranges(&["127.0.0.0/8"]), proxies: ranges(&["10.0.0.1"]) };
        assert_eq!(asking(&callers, "127.0.0.1", &[]), None);
        assert_eq!(asking(&callers, "::ffff:127.0.0.1", &[]), None);
        assert_eq!(asking(&callers, "10.0.0.1", &["127.0.0.1"]), None);
        assert_eq!(asking(&callers, "2001:db8::1:2:3:4", &[]), asking(&callers, "2001:db8::5:6:7:8", &[]));
        assert_ne!(asking(&callers, "2001:db8::1", &[]), asking(&callers, "2001:db8:0:1::1", &[]));
        assert_eq!(callers.connecting(peer("10.0.0.1")), None, "a proxy holds connections for others");
        assert!(callers.connecting(peer("10.0.0.2")).is_some());
    }
}
