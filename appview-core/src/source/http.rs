//! Requests that are bounded in where, how long and how much: the only way out of the process besides relays.
//!
//! A URL enters; JSON or a stream of bytes leaves. URLs are of two kinds. An operator's (the PLC directory, a relay) may
//! name any host. A stranger's (a PDS or did:web host that somebody's DID document names) must be `https` on its own
//! port at a domain name, and lead to public addresses, which the [wire](super::wire) sees to. Redirects are never
//! followed. Deliberately absent: caches, retries, and what the answers mean.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Url;
use serde_json::Value as Json;

use super::wire::{Bytes, ChosenBy, Outside, Reach, Reply, Wire, WireError};

/// How long a JSON answer may take as a whole.
const ANSWER: Duration = Duration::from_secs(10);
/// Largest JSON answer in bytes: a page of 2,000 DIDs is a tenth of it.
const JSON_BYTES: usize = 2 << 20;
/// How long a stream may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Top-level names that never lead to a public host.
const PRIVATE_NAMES: [&str; 9] =
    ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test"];

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
    wire: Arc<dyn Wire>,
    reach: Reach,
}

impl Http {
    /// Makes a client.
    #[must_use]
    pub fn new(outside: &Outside) -> Self {
        Self { wire: Arc::clone(&outside.wire), reach: outside.reach }
    }

    /// Asks a host that the operator chose.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn operator_json(&self, url: &str) -> Result<Json, HttpError> {
        self.json(parse(url)?, ChosenBy::Operator).await
    }

    /// Asks a host that a stranger chose.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn stranger_json(&self, url: &str) -> Result<Json, HttpError> {
        self.json(self.stranger(url)?, ChosenBy::Stranger).await
    }

    /// Opens a stream from a host that a stranger chose, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn stranger_stream(&self, url: &str, limit: u64) -> Result<Stream, HttpError> {
        let url = self.stranger(url)?;
        let reply = within(&url, self.ask(&url, ChosenBy::Stranger)).await?;
        Ok(Stream { url, reply, limit, read: 0 })
    }

    async fn json(&self, url: Url, chosen: ChosenBy) -> Result<Json, HttpError> {
        let body = within(&url, async {
            let mut reply = self.ask(&url, chosen).await?;
            body(&url, &mut reply).await
        });
        serde_json::from_slice(&body.await?)
            .map_err(|_| HttpError::Malformed { url: url.to_string(), expected: "json" })
    }

    /// An answer that is none of an error.
    async fn ask(&self, url: &Url, chosen: ChosenBy) -> Result<Reply, HttpError> {
        let reply = self.wire.get(url.clone(), chosen).await;
        let reply = reply.map_err(|error| unreachable(url, error))?;
        if reply.status == 200 { Ok(reply) } else { Err(refusal(url, reply).await) }
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
pub struct Stream {
    url: Url,
    reply: Reply,
    limit: u64,
    read: u64,
}

impl Stream {
    /// How many bytes have come.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    ///
    /// The stream fails, is silent for 30 seconds, or exceeds its limit.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        let Ok(chunk) = tokio::time::timeout(SILENCE, self.reply.body.next()).await else {
            return Err(silent(&self.url, SILENCE));
        };
        let Some(chunk) = chunk else { return Ok(None) };
        let chunk = chunk.map_err(|error| unreachable(&self.url, error))?;
        self.read = self.read.saturating_add(chunk.len() as u64);
        if self.read > self.limit {
            return Err(HttpError::TooLarge { url: self.url.to_string(), limit: self.limit });
        }
        Ok(Some(chunk))
    }
}

async fn within<T>(url: &Url, answer: impl Future<Output = Result<T, HttpError>>) -> Result<T, HttpError> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(silent(url, ANSWER)),
    }
}

async fn body(url: &Url, reply: &mut Reply) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = reply.body.next().await {
        let chunk = chunk.map_err(|error| unreachable(url, error))?;
        if body.len().saturating_add(chunk.len()) > JSON_BYTES {
            return Err(HttpError::TooLarge { url: url.to_string(), limit: JSON_BYTES as u64 });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads an error answer: XRPC's names where there are any, and a hint of when to come back.
async fn refusal(url: &Url, mut reply: Reply) -> HttpError {
    let body = body(url, &mut reply).await.unwrap_or_default();
    let json: Option<Json> = serde_json::from_slice(&body).ok();
    let name = json.as_ref().and_then(|json| json.get("error")).and_then(Json::as_str);
    HttpError::Status {
        url: url.to_string(),
        status: reply.status,
        name: name.map(str::to_owned),
        retry_after: reply.retry_after,
    }
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

fn unreachable(url: &Url, error: WireError) -> HttpError {
    HttpError::Unreachable { url: url.to_string(), reason: error.0 }
}

fn silent(url: &Url, limit: Duration) -> HttpError {
    HttpError::Unreachable { url: url.to_string(), reason: format!("no answer within {} s", limit.as_secs()) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_may_name_public_https_hosts_only() {
        let http = Http::new(&Outside::internet(Reach::Public).unwrap());
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
