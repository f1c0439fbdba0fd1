//! How bytes travel: requests and sockets, on the internet or wherever a test has its network.
//!
//! A URL, or a name, enters; an answer, or a socket, leaves. The internet's own rule stands here as well, since only whoever connects
//! can keep it: what a stranger chose leads to public addresses alone. What the resolver returns is what is connected
//! to, so that no second answer can differ. Deliberately absent: what may be asked, what answers mean, and time limits
//! but the one on connecting.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, unfold};
use futures_util::{Sink, Stream};
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::{RData, Record};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tokio::sync::Semaphore;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, Url};
pub use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};

pub use super::reach::Reach;

use super::clock::Clock;
use super::reach::is_public;
use super::wishes::Wishes;
use crate::limits;

/// How long a connection may take to open, with looking up its name.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a connection is kept that nobody uses: whoever asks a host many times asks again at once, and each takes as
/// much memory as a few repositories.
const UNUSED: Duration = Duration::from_secs(10);
/// Names of strangers that may be looked up at once.
const LOOKUPS: usize = 32;

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
pub enum WireError {
    /// There was no connection, so that nothing was sent.
    #[error("{0}")]
    Unsent(String),
    /// What was sent may have arrived.
    #[error("{0}")]
    Lost(String),
}

/// What a request says beside its URL. Its `Debug` shows neither headers nor body, in which secrets travel.
#[derive(Clone, Default)]
pub struct Said {
    /// What is to be done.
    pub method: Method,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes", self.method, self.body.len())
    }
}

/// The answer to a request, its body still on the way.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// What the host says about when to ask it again.
    pub wishes: Wishes,
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
    /// Sends a request, once. Redirects are not followed, and bodies not decompressed.
    fn send(&self, url: Url, said: Said, chosen: ChosenBy) -> BoxFuture<'static, Result<Reply, WireError>>;

    /// The texts that the domain name system has at a name; none where it knows no such name.
    fn texts(&self, name: String) -> BoxFuture<'static, Result<Vec<String>, WireError>>;

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
        let clock = Clock::system();
        Ok(Self { wire: Arc::new(Internet::new(reach, clock.clone())?), clock, reach })
    }
}

/// The real wire.
#[derive(Debug)]
struct Internet {
    strangers: Client,
    operators: Client,
    clock: Clock,
    /// Made when a name is first asked for: most never ask. None where the system names no server.
    names: Arc<OnceLock<Option<TokioResolver>>>,
}

impl Internet {
    fn new(reach: Reach, clock: Clock) -> Result<Self, WireError> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("appviewd/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT)
                .pool_idle_timeout(UNUSED)
                .redirect(Policy::none())
                .no_proxy()
        };
        let built = |client: Result<Client, reqwest::Error>| {
            client.map_err(|error| WireError::Unsent(format!("tls: {}", chain(&error))))
        };
        let operators = built(builder().build())?;
        let strangers = match reach {
            Reach::Public => built(builder().https_only(true).dns_resolver(Arc::new(PublicOnly)).build())?,
            Reach::Anywhere => operators.clone(),
        };
        Ok(Self { strangers, operators, clock, names: Arc::default() })
    }
}

impl Wire for Internet {
    fn send(&self, url: Url, said: Said, chosen: ChosenBy) -> BoxFuture<'static, Result<Reply, WireError>> {
        let client = match chosen {
            ChosenBy::Operator => &self.operators,
            ChosenBy::Stranger => &self.strangers,
        };
        let Said { method, headers, body } = said;
        let sent = client.request(method, url).headers(headers).body(body).send();
        let clock = self.clock.clone();
        Box::pin(async move { Ok(reply(sent.await.map_err(failed)?, clock.now())) })
    }

    fn texts(&self, name: String) -> BoxFuture<'static, Result<Vec<String>, WireError>> {
        let names = Arc::clone(&self.names);
        Box::pin(async move {
            let resolver = names.get_or_init(|| TokioResolver::builder_tokio().ok()?.build().ok());
            let resolver = resolver.as_ref().ok_or_else(|| unsent("the system names no server to ask"))?;
            // A name that ends in a dot is no name of the system's own domain.
            match resolver.txt_lookup(format!("{name}.")).await {
                Ok(found) => Ok(found.answers().iter().filter_map(text).collect()),
                Err(error) if error.is_no_records_found() => Ok(Vec::new()),
                Err(error) => Err(WireError::Lost(error.to_string())),
            }
        })
    }

    fn dial(&self, url: String) -> BoxFuture<'static, Result<Box<dyn Socket>, WireError>> {
        Box::pin(async move {
            let config = WebSocketConfig::default()
                .max_message_size(Some(limits::FRAME_BYTES))
                .max_frame_size(Some(limits::FRAME_BYTES));
            match connect_async_with_config(url, Some(config), false).await {
                Ok((socket, _)) => Ok(Box::new(socket) as Box<dyn Socket>),
                Err(error) => Err(WireError::Unsent(error.to_string())),
            }
        })
    }
}

fn reply(response: Response, now: u64) -> Reply {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let wishes = Wishes::read(header, now);
    let body = unfold(response, |mut response| async move {
        match response.chunk().await {
            Ok(Some(chunk)) => Some((Ok(chunk), response)),
            Ok(None) => None,
            Err(error) => Some((Err(failed(error)), response)),
        }
    });
    Reply { status, headers, wishes, body: Box::pin(body) }
}

/// A resolver whose every answer is public, or that has none.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = look_up(name.as_str().to_owned()).await?;
            // One private address among public ones is how a rebinding attack begins.
            if found.is_empty() || !found.iter().all(|address| is_public(address.ip())) {
                return Err("the name leads to an address that is not public".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Asks the system for a name's addresses.
///
/// That occupies a thread for as long as the name's servers like, whether or not anyone waits for it still, and threads
/// are few: a stranger's names may have [`LOOKUPS`] of them.
async fn look_up(name: String) -> Result<Vec<SocketAddr>, std::io::Error> {
    static PLACES: Semaphore = Semaphore::const_new(LOOKUPS);
    // Nobody closes it.
    let place = PLACES.acquire().await.ok();
    let found = tokio::task::spawn_blocking(move || {
        let _place = place;
        (name.as_str(), 0).to_socket_addrs().map(Iterator::collect)
    });
    found.await?
}

fn unsent(reason: &str) -> WireError {
    WireError::Unsent(reason.to_owned())
}

/// What a TXT record says, in one piece.
fn text(record: &Record) -> Option<String> {
    match &record.data {
        RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
        _ => None,
    }
}

fn failed(error: reqwest::Error) -> WireError {
    let failed = if error.is_connect() { WireError::Unsent } else { WireError::Lost };
    failed(chain(&error))
}

/// The innermost cause: the outer ones only say that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
