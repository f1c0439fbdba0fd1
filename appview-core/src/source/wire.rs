//! How bytes travel: requests and sockets, on the internet or wherever a test has its network.
//!
//! A URL enters; an answer, or a socket, leaves. The internet's own rule stands here as well, since only whoever connects
//! can keep it: what a stranger chose leads to public addresses alone. What the resolver returns is what is connected
//! to, so that no second answer can differ. Deliberately absent: what may be asked, what answers mean, and time limits
//! but the one on connecting.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, unfold};
use futures_util::{Sink, Stream};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

pub use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};

use super::clock::Clock;
use crate::limits;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(3);

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

/// Who chose a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenBy {
    /// The operator: it may lead anywhere.
    Operator,
    /// A stranger, by a DID document.
    Stranger,
}

/// Why bytes did not travel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(pub String);

/// The answer to a request, its body still on the way.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// How long to wait before asking again, where the host says so.
    pub retry_after: Option<Duration>,
    /// The body as it arrives.
    pub body: BoxStream<'static, Result<Bytes, WireError>>,
}

/// A WebSocket.
pub trait Socket:
    Stream<Item = Result<Message, SocketError>> + Sink<Message, Error = SocketError> + Send + Unpin
{
}

impl<S> Socket for S where
    S: Stream<Item = Result<Message, SocketError>> + Sink<Message, Error = SocketError> + Send + Unpin
{
}

/// What carries bytes.
pub trait Wire: fmt::Debug + Send + Sync {
    /// Sends a `GET` request. Redirects are not followed, and bodies not decompressed.
    fn get(&self, url: Url, chosen: ChosenBy) -> BoxFuture<'static, Result<Reply, WireError>>;

    /// Opens a WebSocket whose messages have at most the size of a protocol's frame. Only operators name such URLs.
    fn dial(&self, url: String) -> BoxFuture<'static, Result<Box<dyn Socket>, WireError>>;
}

/// All that is not of this process: its network and its time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outside {
    /// What carries bytes.
    pub wire: Arc<dyn Wire>,
    /// What time it is.
    pub clock: Clock,
    /// Where strangers' URLs may lead.
    pub reach: Reach,
}

impl Outside {
    /// The internet, on which strangers lead as far as `reach`, at the system's time.
    ///
    /// # Errors
    ///
    /// The system's TLS roots cannot be loaded.
    pub fn internet(reach: Reach) -> Result<Self, WireError> {
        Ok(Self { wire: Arc::new(Internet::new(reach)?), clock: Clock::system(), reach })
    }
}

/// The real wire.
#[derive(Debug)]
struct Internet {
    strangers: Client,
    operators: Client,
}

impl Internet {
    fn new(reach: Reach) -> Result<Self, WireError> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("appviewd/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .redirect(Policy::none())
                .no_proxy()
        };
        let built = |client: Result<Client, reqwest::Error>| {
            client.map_err(|error| WireError(format!("tls: {}", chain(&error))))
        };
        let operators = built(builder().build())?;
        let strangers = match reach {
            Reach::Public => built(builder().https_only(true).dns_resolver(Arc::new(PublicOnly)).build())?,
            Reach::Anywhere => operators.clone(),
        };
        Ok(Self { strangers, operators })
    }
}

impl Wire for Internet {
    fn get(&self, url: Url, chosen: ChosenBy) -> BoxFuture<'static, Result<Reply, WireError>> {
        let client = match chosen {
            ChosenBy::Operator => &self.operators,
            ChosenBy::Stranger => &self.strangers,
        };
        let sent = client.get(url).send();
        Box::pin(async move { Ok(reply(sent.await.map_err(failed)?)) })
    }

    fn dial(&self, url: String) -> BoxFuture<'static, Result<Box<dyn Socket>, WireError>> {
        Box::pin(async move {
            let config = WebSocketConfig::default()
                .max_message_size(Some(limits::FRAME_BYTES))
                .max_frame_size(Some(limits::FRAME_BYTES));
            match connect_async_with_config(url, Some(config), false).await {
                Ok((socket, _)) => Ok(Box::new(socket) as Box<dyn Socket>),
                Err(error) => Err(WireError(error.to_string())),
            }
        })
    }
}

fn reply(response: Response) -> Reply {
    let status = response.status().as_u16();
    let seconds =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let body = unfold(response, |mut response| async move {
        match response.chunk().await {
            Ok(Some(chunk)) => Some((Ok(chunk), response)),
            Ok(None) => None,
            Err(error) => Some((Err(failed(error)), response)),
        }
    });
    Reply { status, retry_after: seconds.map(Duration::from_secs), body: Box::pin(body) }
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

fn failed(error: reqwest::Error) -> WireError {
    WireError(chain(&error))
}

/// The innermost cause: the outer ones only say that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
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
}
