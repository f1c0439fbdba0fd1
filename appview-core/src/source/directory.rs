//! Who signs for a DID: documents from the PLC directory and from did:web hosts, kept for a while.
//!
//! A DID enters; an [`Identity`] leaves. A document will do for an hour, and where nobody can be asked for a day; that
//! there is none, for two minutes. However many ask for one DID, it is asked for once at a time. Deliberately absent: when
//! to ask again (the verifier says so), and handles.
//!
//! Follows [DID](https://atproto.com/specs/did).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::Clock;
use super::http::{Http, HttpError};
use super::kept::{Found, Kept, Moment, Wanted};
use super::turns::{Manners, Urgency};
use super::wire::Reach;
use crate::limits;
use crate::repo::{Identity, IdentityError};
use crate::sync::Freshness;
use crate::syntax::Did;

/// Why a DID cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Neither did:plc nor a did:web of a bare host.
    #[error("{did}: expected did:plc or the did:web of a public host")]
    Method {
        /// The DID.
        did: Did,
    },
    /// Whoever knows says that there is no such DID. A host may have lost a file, and a directory may lag behind another, so
    /// that this may not be so tomorrow.
    #[error("{did}: there is no such did: {said}")]
    Gone {
        /// The DID.
        did: Did,
        /// The answer.
        said: HttpError,
    },
    /// The PLC directory says that there was one, which its owner has ended for good.
    #[error("{did}: the did has been tombstoned: {said}")]
    Tombstoned {
        /// The DID.
        did: Did,
        /// The answer.
        said: HttpError,
    },
    /// The document could not be had.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The document is of no use.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl ResolveError {
    /// Whether the DID itself is gone or useless, rather than that nobody could be asked.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Method { .. } | Self::Gone { .. } | Self::Tombstoned { .. } | Self::Identity(_) => true,
            Self::Http(_) => false,
        }
    }

    /// Whether there is no such DID, or no longer.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Tombstoned { .. })
    }
}

/// Resolves DIDs; cheap to clone, one cache for all clones.
#[derive(Debug, Clone)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: Http,
    clock: Clock,
    plc: String,
    kept: Mutex<Kept>,
    moments: AtomicU64,
    /// Who is being asked for; whoever wants the same waits for it.
    asked_for: Mutex<BTreeMap<Did, Arc<tokio::sync::Mutex<()>>>>,
}

/// Who knows about a DID.
enum Knows {
    Plc(String),
    Host(String),
}

impl Directory {
    /// A directory that asks `plc` (a URL) for did:plc.
    #[must_use]
    pub fn new(http: Http, clock: Clock, plc: &str) -> Self {
        Self(Arc::new(Inner {
            http,
            clock,
            plc: plc.trim_end_matches('/').to_owned(),
            kept: Mutex::default(),
            moments: AtomicU64::new(1),
            asked_for: Mutex::default(),
        }))
    }

    /// Resolves a DID.
    ///
    /// # Errors
    ///
    /// [`ResolveError`]; only final ones are remembered.
    pub async fn resolve(&self, did: &Did, freshness: Freshness) -> Result<Arc<Identity>, ResolveError> {
        self.find(did, self.wanted(freshness), Urgency::Fetch).await
    }

    /// Resolves a DID anew, with the audit log of its keys if it is a did:plc.
    ///
    /// # Errors
    ///
    /// As [`Directory::resolve`].
    pub async fn resolve_with_history(&self, did: &Did) -> Result<Arc<Identity>, ResolveError> {
        let identity = self.resolve(did, Freshness::Fresh).await?;
        let Knows::Plc(url) = self.knows(did)? else { return Ok(identity) };
        let question = self.0.http.directory(&format!("{url}/log/audit")).await?;
        let log = question.json(limits::XRPC_JSON_BYTES).await?;
        Ok(Arc::new(identity.as_ref().clone().with_audit_log(&log)?))
    }

    /// Which answers will do from here on.
    pub(super) fn wanted(&self, freshness: Freshness) -> Wanted {
        match freshness {
            Freshness::Cached => Wanted::Cached,
            Freshness::Fresh => Wanted::Since(self.moment()),
        }
    }

    /// What is known of a DID without asking.
    pub(super) fn known(&self, did: &Did, wanted: Wanted) -> Option<Found> {
        self.kept().get(did, wanted, self.0.clock.now())
    }

    /// From when on a DID may be asked for anew, in microseconds since the Unix epoch; counts the question.
    pub(super) fn refresh_at(&self, did: &Did) -> u64 {
        self.kept().refresh_at(did, self.0.clock.now())
    }

    /// Where a DID is asked for: a URL of that host, and how much it is asked.
    pub(super) fn place(&self, did: &Did) -> Result<(String, Manners), ResolveError> {
        let politeness = self.0.http.politeness();
        Ok(match self.knows(did)? {
            Knows::Plc(url) => (url, politeness.directory),
            Knows::Host(url) => (url, politeness.host),
        })
    }

    /// Resolves a DID for whoever needs it so urgently.
    pub(super) async fn find(&self, did: &Did, wanted: Wanted, urgency: Urgency) -> Found {
        if let Some(found) = self.known(did, wanted) {
            return count(found, "kept");
        }
        match self.ask(did, wanted, urgency).await {
            Err(error) if !error.is_final() && wanted == Wanted::Cached => {
                let stale = self.kept().stale(did, self.0.clock.now());
                stale
                    .map_or_else(|| count(Err(error), "unreachable"), |identity| count(Ok(identity), "stale"))
            }
            Err(error) if !error.is_final() => count(Err(error), "unreachable"),
            found => found,
        }
    }

    async fn ask(&self, did: &Did, wanted: Wanted, urgency: Urgency) -> Found {
        let knows = self.knows(did)?;
        let http = self.0.http.with(urgency);
        let question = match &knows {
            Knows::Plc(url) => http.directory(url).await?,
            Knows::Host(url) => http.stranger(url).await?,
        };
        let alone = self.alone(did);
        let _alone = alone.lock().await;
        if let Some(found) = self.known(did, wanted) {
            return count(found, "shared");
        }
        let asked = self.moment();
        let found = match question.json(limits::DID_DOCUMENT_BYTES).await {
            Ok(document) => Identity::from_document(did, &document).map(Arc::new).map_err(Into::into),
            Err(error) => match refused(did, &knows, error) {
                ResolveError::Http(error) => return Err(error.into()),
                refused => Err(refused),
            },
        };
        self.kept().put(did, found.clone(), asked, self.0.clock.now());
        count(found, "asked")
    }

    fn knows(&self, did: &Did) -> Result<Knows, ResolveError> {
        let method = || ResolveError::Method { did: did.clone() };
        if did.as_str().starts_with("did:plc:") {
            return Ok(Knows::Plc(format!("{}/{did}", self.0.plc)));
        }
        let origin = did_web_origin(did, self.0.http.reach()).ok_or_else(method)?;
        let url = format!("{origin}/.well-known/did.json");
        // What no host of the network can be called is no DID of it.
        self.0.http.may_ask(&url).map_err(|_| method())?;
        Ok(Knows::Host(url))
    }

    fn moment(&self) -> Moment {
        Moment(self.0.moments.fetch_add(1, Ordering::Relaxed))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock of whoever asks for a DID.
    fn alone(&self, did: &Did) -> Arc<tokio::sync::Mutex<()>> {
        let mut asked_for = self.0.asked_for.lock().unwrap_or_else(PoisonError::into_inner);
        // Few are asked for at once, so that this looks at few.
        asked_for.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(asked_for.entry(did.clone()).or_default())
    }
}

/// What an answer that is no document says about the DID, if it is not about a URL that leads nowhere: a directory set to the
/// wrong address must not pass for one in which everybody is gone. A tombstone is told from a DID that nobody has heard of by
/// its status in the directory's description, and by its words at the reference implementation, which says 404 to both.
fn refused(did: &Did, knows: &Knows, said: HttpError) -> ResolveError {
    let HttpError::Status { status: status @ (404 | 410), message, .. } = &said else { return said.into() };
    let names_it = message.as_ref().is_some_and(|message| message.contains(did.as_str()));
    let is_over = *status == 410 || message.as_ref().is_some_and(|message| message.contains("not available"));
    let did = did.clone();
    match knows {
        Knows::Plc(_) if !names_it => said.into(),
        Knows::Plc(_) if is_over => ResolveError::Tombstoned { did, said },
        Knows::Plc(_) | Knows::Host(_) => ResolveError::Gone { did, said },
    }
}

/// The origin of a did:web's host. AT Protocol allows no path, and a port of `localhost` only, which is for development.
fn did_web_origin(did: &Did, reach: Reach) -> Option<String> {
    let host = did.as_str().strip_prefix("did:web:")?;
    let (name, port) = match host.split_once('%') {
        None => (host, None),
        Some((name, port)) => (name, Some(port.strip_prefix("3A").or_else(|| port.strip_prefix("3a"))?)),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    match (name, port, reach) {
        ("localhost", None, Reach::Anywhere) => Some("http://localhost".to_owned()),
        ("localhost", Some(port), Reach::Anywhere) => {
            Some(format!("http://localhost:{}", port.parse::<u16>().ok()?))
        }
        (_, Some(_), _) => None,
        (name, None, _) => Some(format!("https://{name}")),
    }
}

fn count(found: Found, how: &'static str) -> Found {
    metrics::counter!("appview_identities_total", "how" => how).increment(1);
    found
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_did_web_is_a_host_and_with_a_port_only_ours() {
        let origin = |did: &str, reach| did_web_origin(&did.parse().unwrap(), reach);
        let both = [Reach::Public, Reach::Anywhere];
        for reach in both {
            assert_eq!(origin("did:web:a.example.com", reach).as_deref(), Some("https://a.example.com"));
            for refused in [
                "did:web:a.example.com:path",
                "did:web:a.example.com%3A8080",
                "did:web:a.example.com%2Fpath",
                "did:web:user%40a.example.com",
                "did:web:localhost%3A70000",
                "did:web:localhost%3A80%2Fpath",
                "did:web:a_b.example.com",
            ] {
                assert_eq!(origin(refused, reach), None, "{refused}");
            }
        }
        assert_eq!(
            both.map(|reach| origin("did:web:localhost%3A2583", reach)),
            [None, Some("http://localhost:2583".to_owned())]
        );
        assert_eq!(origin("did:web:localhost", Reach::Anywhere).as_deref(), Some("http://localhost"));
    }
}
