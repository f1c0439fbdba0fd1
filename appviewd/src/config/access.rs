//! Who may ask how much, and as what the service presents itself.

use std::net::IpAddr;
use std::str::FromStr;

use appview_core::syntax::Did;
use clap::Args;

use super::{Brokers, Operator, whole};

/// How `serve` meets whoever asks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Meeting whoever asks")]
pub struct Access {
    /// Requests that one address (of IPv6, one /64) may make in five minutes; 0 for as many as it likes.
    #[arg(long, value_name = "N", value_parser = whole, default_value_t = Self::RATE_LIMIT, env = "APPVIEWD_RATE_LIMIT")]
    pub rate_limit: u32,
    /// Connections that one address may hold.
    #[arg(long, value_name = "N", value_parser = whole, default_value_t = Self::CONNECTIONS, env = "APPVIEWD_MAX_CONNECTIONS")]
    pub max_connections: u32,
    /// Queries that are worked on at once; who comes beyond is told to come back.
    #[arg(long, value_name = "N", value_parser = whole, default_value_t = Self::QUERIES, env = "APPVIEWD_MAX_QUERIES")]
    pub max_queries: u32,
    /// Addresses without these limits on requests and connections; may be given more than once.
    #[arg(
        long,
        value_name = "RANGE",
        default_values = Self::SPARE,
        value_delimiter = ',',
        env = "APPVIEWD_SPARE"
    )]
    pub spare: Vec<AddressRange>,
    /// Reverse proxy whose X-Forwarded-For tells who asks, as an address or a range like 10.0.0.0/8; may be given more than
    /// once.
    #[arg(long, value_name = "RANGE", value_delimiter = ',', env = "APPVIEWD_PROXY")]
    pub proxy: Vec<AddressRange>,
    /// Who is trusted as a broker.
    #[command(flatten)]
    pub brokers: Brokers,
    /// The service's own DID, told at /.well-known/did.json if it is a did:web.
    #[arg(long, value_name = "DID", env = "APPVIEWD_SERVICE_DID")]
    pub service_did: Option<Did>,
    /// Where the service is reached from outside: its scheme and host. What the service's DID says if left out.
    #[arg(long, value_name = "URL", env = "APPVIEWD_PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,
    /// Who runs it.
    #[command(flatten)]
    pub operator: Operator,
    /// Where handles and avatars are asked for that profiles lack: the public API of Bluesky, at public.api.bsky.app.
    /// That service learns whom people look at, so that nobody is asked unless it is named.
    #[arg(long, value_name = "URL", env = "APPVIEWD_BLUESKY_API")]
    pub bluesky_api: Option<PublicUrl>,
}

impl Access {
    const RATE_LIMIT: u32 = 30_000;
    const CONNECTIONS: u32 = 64;
    const QUERIES: u32 = 256;
    const SPARE: [&str; 2] = ["127.0.0.0/8", "::1"];
}

impl Default for Access {
    fn default() -> Self {
        Self {
            rate_limit: Self::RATE_LIMIT,
            max_connections: Self::CONNECTIONS,
            max_queries: Self::QUERIES,
            spare: Self::SPARE.iter().filter_map(|range| range.parse().ok()).collect(),
            proxy: Vec::new(),
            brokers: Brokers::default(),
            service_did: None,
            public_url: None,
            operator: Operator::default(),
            bluesky_api: None,
        }
    }
}

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    bits: u32,
}

impl AddressRange {
    /// Whether an address is one of them. An IPv4 address is the same when it comes as IPv6.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let differing = first.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let differing = first.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || "expected an address, or a range like 10.0.0.0/8".to_owned();
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| error())?)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| error())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most { Err(error()) } else { Ok(Self { first, bits }) }
    }
}

/// An `http` or `https` URL of a host, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nobody on the way can read or change what is said.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || "expected a URL like https://appview.example, without a path".to_owned();
        let origin = text.strip_suffix('/').unwrap_or(text);
        let (scheme, host) = origin.split_once("://").ok_or_else(error)?;
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if matches!(scheme, "http" | "https") && !host.is_empty() && host.bytes().all(is_host) {
            Ok(Self(origin.to_owned()))
        } else {
            Err(error())
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn is_in(range: &str, address: &str) -> bool {
        range.parse::<AddressRange>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_range_holds_the_addresses_that_begin_alike() {
        assert!(is_in("127.0.0.0/8", "127.255.0.1"));
        assert!(!is_in("127.0.0.0/8", "126.255.255.255"));
        assert!(is_in("10.1.2.3", "10.1.2.3"));
        assert!(!is_in("10.1.2.3", "10.1.2.2"));
        assert!(is_in("0.0.0.0/0", "203.0.113.7"));
        assert!(!is_in("0.0.0.0/0", "2001:db8::1"));
        assert!(
            is_in("127.0.0.0/8", "::ffff:127.0.0.1"),
            "the same address, as a socket for both kinds has it"
        );
        assert!(is_in("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!is_in("2001:db8::/32", "2001:db9::1"));
        assert!(is_in("::/0", "2001:db8::1"));
        for refused in ["", "localhost", "10.0.0.0/33", "::1/129", "10.0.0.0/-1", "10.0.0/8"] {
            assert!(refused.parse::<AddressRange>().is_err(), "{refused}");
        }
    }

    #[test]
    fn a_public_url_is_an_origin() {
        let told = |text: &str| text.parse::<PublicUrl>().map(|url| url.as_str().to_owned());
        assert_eq!(told("https://appview.example").unwrap(), "https://appview.example");
        assert_eq!(told("http://localhost:8080/").unwrap(), "http://localhost:8080");
        for refused in ["appview.example", "ftp://a", "https://", "https://a/b", "https://a?b", "https://a b"]
        {
            assert!(told(refused).is_err(), "{refused}");
        }
    }
}
