//! The only way out of the process besides relays: HTTP requests that are bounded in where, how long and how much.
//!
//! A URL enters; JSON or a stream of bytes leaves. URLs are of two kinds. An operator's (the PLC directory, a relay) may
//! name any host. A stranger's (a PDS or did:web host that somebody's DID document names) must be `https` on its own
//! port at a domain name, and every address that the name resolves to must be public: what the resolver returns is
//! what is connected to, so that no second answer can differ. Redirects are never followed. Deliberately absent:
//! caches, retries, and what the answers mean.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value as Json;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a JSON answer may take as a whole.
const ANSWER: Duration = Duration::from_secs(10);
/// Largest JSON answer in bytes: a page of 2,000 DIDs is a tenth of it.
const JSON_BYTES: usize = 2 << 20;
/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(30);

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

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL may not be asked.
    #[error("{url}: refused: {reason}")]
    Refused {
        /// The URL.
        url: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The host could not be reached, or the connection failed.
    #[error("{url}: {reason}")]
    Unreachable {
        /// The URL.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The host answered with an error.
    #[error("{url}: {status}{}", name.as_ref().map(|name| format!(" {name}")).unwrap_or_default())]
    Status {
        /// The URL.
        url: String,
        /// The status code.
        status: u16,
        /// The error's name, where the answer is an XRPC error.
        name: Option<String>,
        /// How long to wait before asking again, where the host says so.
        retry_after: Option<Duration>,
    },
    /// The answer is longer than its limit.
    #[error("{url}: more than {limit} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The answer is not what was asked for.
    #[error("{url}: expected {expected}")]
    Malformed {
        /// The URL.
        url: String,
        /// What was asked for.
        expected: &'static str,
    },
}

/// A client for both kinds of URLs; cheap to clone.
#[derive(Debug, Clone)]
pub struct Http {
    strangers: Client,
    operators: Client,
    reach: Reach,
}

impl Http {
    /// Makes a client that lets strangers' URLs lead as far as `reach`.
    ///
    /// # Errors
    ///
    /// The system's TLS roots cannot be loaded.
    pub fn new(reach: Reach) -> Result<Self, HttpError> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("appviewd/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .redirect(Policy::none())
                .no_proxy()
        };
        let built = |client: Result<Client, reqwest::Error>| {
            client.map_err(|error| HttpError::Unreachable { url: "tls".to_owned(), reason: chain(&error) })
        };
        let operators = built(builder().build())?;
        let strangers = match reach {
            Reach::Public => built(builder().https_only(true).dns_resolver(Arc::new(PublicOnly)).build())?,
            Reach::Anywhere => operators.clone(),
        };
        Ok(Self { strangers, operators, reach })
    }

    /// Asks a host that the operator chose.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn operator_json(&self, url: &str) -> Result<Json, HttpError> {
        json(&self.operators, parse(url)?).await
    }

    /// Asks a host that a stranger chose.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn stranger_json(&self, url: &str) -> Result<Json, HttpError> {
        json(&self.strangers, self.stranger(url)?).await
    }

    /// Opens a stream from a host that a stranger chose, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn stranger_stream(&self, url: &str, limit: u64) -> Result<Stream, HttpError> {
        let url = self.stranger(url)?;
        let response = self.strangers.get(url.clone()).send();
        let response = match tokio::time::timeout(ANSWER, response).await {
            Ok(response) => response.map_err(|error| unreachable(&url, &error))?,
            Err(_) => return Err(silent(&url, ANSWER)),
        };
        if response.status() != StatusCode::OK {
            return Err(refusal(&url, response).await);
        }
        Ok(Stream { url, response, limit, read: 0 })
    }

    fn stranger(&self, url: &str) -> Result<Url, HttpError> {
        let url = parse(url)?;
        match self.reach {
            Reach::Anywhere => Ok(url),
            Reach::Public => match public_url(&url) {
                Ok(()) => Ok(url),
                Err(reason) => Err(HttpError::Refused { url: url.to_string(), reason }),
            },
        }
    }
}

/// The body of an answer, as it arrives.
#[derive(Debug)]
pub struct Stream {
    url: Url,
    response: Response,
    limit: u64,
    read: u64,
}

impl Stream {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    ///
    /// The stream fails, is silent for 30 seconds, or exceeds its limit.
    pub async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, HttpError> {
        let chunk = match tokio::time::timeout(SILENCE, self.response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| unreachable(&self.url, &error))?,
            Err(_) => return Err(silent(&self.url, SILENCE)),
        };
        self.read = self.read.saturating_add(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64));
        if self.read > self.limit {
            return Err(HttpError::TooLarge { url: self.url.to_string(), limit: self.limit });
        }
        Ok(chunk)
    }
}

async fn json(client: &Client, url: Url) -> Result<Json, HttpError> {
    let answer = async {
        let response = client.get(url.clone()).send().await.map_err(|error| unreachable(&url, &error))?;
        if response.status() != StatusCode::OK {
            return Err(refusal(&url, response).await);
        }
        let body = body(&url, response).await?;
        serde_json::from_slice(&body)
            .map_err(|_| HttpError::Malformed { url: url.to_string(), expected: "json" })
    };
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(silent(&url, ANSWER)),
    }
}

async fn body(url: &Url, mut response: Response) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(url, &error))? {
        if body.len().saturating_add(chunk.len()) > JSON_BYTES {
            return Err(HttpError::TooLarge { url: url.to_string(), limit: JSON_BYTES as u64 });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads an error answer: XRPC's names where there are any, and a hint of when to come back.
async fn refusal(url: &Url, response: Response) -> HttpError {
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let retry_after = header("retry-after").map(Duration::from_secs);
    let body = body(url, response).await.unwrap_or_default();
    let json: Option<Json> = serde_json::from_slice(&body).ok();
    let name = json.as_ref().and_then(|json| json.get("error")).and_then(Json::as_str);
    HttpError::Status { url: url.to_string(), status, name: name.map(str::to_owned), retry_after }
}

fn parse(url: &str) -> Result<Url, HttpError> {
    Url::parse(url).map_err(|_| HttpError::Refused { url: url.to_owned(), reason: "not a url" })
}

/// Whether a stranger may send us there, as far as the URL tells.
fn public_url(url: &Url) -> Result<(), &'static str> {
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

/// A resolver whose every answer is public, or that has none.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One private address among public ones is how a rebinding attack begins.
            if found.is_empty() || !found.iter().all(|address| is_public(address.ip())) {
                return Err("the name leads to an address that is not public".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
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

fn unreachable(url: &Url, error: &reqwest::Error) -> HttpError {
    HttpError::Unreachable { url: url.to_string(), reason: chain(error) }
}

fn silent(url: &Url, limit: Duration) -> HttpError {
    HttpError::Unreachable { url: url.to_string(), reason: format!("no answer within {} s", limit.as_secs()) }
}

/// The innermost cause: the outer ones only say that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Anywhere => "anywhere",
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

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

    #[test]
    fn a_stranger_may_name_public_https_hosts_only() {
        let http = Http::new(Reach::Public).unwrap();
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
            assert!(matches!(http.stranger(url), Err(HttpError::Refused { .. })), "{url}");
        }
        assert!(http.stranger("https://pds.example.com/xrpc/x").is_ok());
    }
}
