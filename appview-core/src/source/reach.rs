//! Where a stranger may send us: to public hosts, over `https`, and nowhere else unless an operator allows it.
//!
//! URLs and addresses enter; yes or no leaves. A URL tells only part of it: its name may lead to any address, which
//! whoever connects must look at as well. Deliberately absent: looking up names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

/// Top-level names that never lead to a public host.
const PRIVATE_NAMES: [&str; 9] =
    ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test"];

/// Where strangers' URLs may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// Public hosts over `https` alone.
    #[default]
    Public,
    /// Anywhere, loopback and plain `http` included: for tests and for networks of one's own.
    Anywhere,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Anywhere => "anywhere",
        })
    }
}

impl Reach {
    /// Whether a stranger's URL may be asked, as far as it tells.
    ///
    /// # Errors
    ///
    /// The rule that it breaks.
    pub fn allows(self, url: &Url) -> Result<(), &'static str> {
        match self {
            Self::Anywhere => Ok(()),
            Self::Public => is_public_url(url),
        }
    }
}

/// Whether a stranger may send us there, as far as the URL tells.
fn is_public_url(url: &Url) -> Result<(), &'static str> {
    if url.scheme() != "https" {
        return Err("not https");
    }
    if url.port().is_some() {
        return Err("a port of its own");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user name");
    }
    // `domain` is none for every way of writing an address, which the resolver would never see.
    let host = url.domain().ok_or("an address instead of a name")?;
    let top = host.trim_end_matches('.').rsplit_once('.').map(|(_, top)| top);
    match top {
        None => Err("a name without a domain"),
        Some(top) if PRIVATE_NAMES.contains(&top) => Err("a name that is not public"),
        Some(_) => Ok(()),
    }
}

/// Whether an address is reachable by everyone, by the registries of special-purpose addresses (RFC 6890 and its
/// successors).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is handed out. Taken from it: protocol assignments with Teredo (2001::/23), documentation
    // (2001:db8::/32, 3fff::/20) and 6to4 (2002::/16), which embeds an IPv4 address of anyone's choice.
    (0x2000..=0x3fff).contains(&a)
        && !(a == 0x2001 && (b < 0x0200 || b == 0x0db8))
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_may_name_public_https_hosts_only() {
        for url in [
            "http://pds.example.com",
            "https://127.0.0.1",
            "https://2130706433",
            "https://0x7f.1",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://localhost",
            "https://pds.local",
            "https://pds.internal.",
            "https://pds.example.com:8443",
            "https://user@pds.example.com",
            "https://pds",
            "file:///etc/passwd",
            "",
        ] {
            let allowed = Url::parse(url).is_ok_and(|url| Reach::Public.allows(&url).is_ok());
            assert!(!allowed, "{url}");
        }
        let pds = Url::parse("https://pds.example.com/xrpc/x").unwrap();
        assert_eq!(Reach::Public.allows(&pds), Ok(()));
    }

    #[test]
    fn addresses_that_are_not_everyones_are_not_public() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.1",
            "192.168.0.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "fe80::1",
            "fc00::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in
            ["1.1.1.1", "8.8.8.8", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2a00::1", "2001:200::1"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
