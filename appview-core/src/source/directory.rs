//! Who signs for a DID: documents from the PLC directory and from did:web hosts, kept for a while.
//!
//! A DID enters; an [`Identity`] leaves. Deliberately absent: when to ask again (the verifier says so), and handles.
//!
//! Follows [DID](https://atproto.com/specs/did).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clock::Clock;
use super::http::{Http, HttpError};
use crate::repo::{Identity, IdentityError};
use crate::sync::Freshness;
use crate::syntax::Did;

/// How long a document may be used without asking again.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// Documents that are kept. What is beyond is asked again when it is needed.
const CAPACITY: usize = 50_000;

/// Why a DID cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Neither did:plc nor a did:web of a bare host.
    #[error("{did}: expected did:plc or the did:web of a host")]
    Method {
        /// The DID.
        did: Did,
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
            Self::Method { .. } | Self::Identity(_) => true,
            Self::Http(_) => self.is_gone(),
        }
    }

    /// Whether there is no such DID, or no longer.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Http(HttpError::Status { status: 404 | 410, .. }))
    }
}

/// Resolves DIDs; cheap to clone, one cache for all clones.
#[derive(Debug, Clone)]
pub struct Directory {
    http: Http,
    clock: Clock,
    plc: Arc<str>,
    kept: Arc<Mutex<HashMap<Did, Kept>>>,
}

#[derive(Debug, Clone)]
struct Kept {
    identity: Arc<Identity>,
    at: u64,
}

impl Directory {
    /// A directory that asks `plc` (a URL) for did:plc.
    #[must_use]
    pub fn new(http: Http, clock: Clock, plc: &str) -> Self {
        Self { http, clock, plc: plc.trim_end_matches('/').into(), kept: Arc::default() }
    }

    /// Resolves a DID.
    ///
    /// # Errors
    ///
    /// [`ResolveError`]; nothing is remembered of a failure.
    pub async fn resolve(&self, did: &Did, freshness: Freshness) -> Result<Arc<Identity>, ResolveError> {
        if freshness == Freshness::Cached
            && let Some(identity) = self.kept(did)
        {
            return Ok(identity);
        }
        let document = match did_web_host(did) {
            Some(host) => self.http.stranger_json(&format!("https://{host}/.well-known/did.json")).await?,
            None if did.as_str().starts_with("did:plc:") => {
                self.http.operator_json(&format!("{}/{did}", self.plc)).await?
            }
            None => return Err(ResolveError::Method { did: did.clone() }),
        };
        let identity = Arc::new(Identity::from_document(did, &document)?);
        self.keep(did, &identity);
        Ok(identity)
    }

    /// Resolves a DID anew, with the audit log of its keys if it is a did:plc.
    ///
    /// # Errors
    ///
    /// As [`Directory::resolve`].
    pub async fn resolve_with_history(&self, did: &Did) -> Result<Arc<Identity>, ResolveError> {
        let identity = self.resolve(did, Freshness::Fresh).await?;
        if !did.as_str().starts_with("did:plc:") {
            return Ok(identity);
        }
        let log = self.http.operator_json(&format!("{}/{did}/log/audit", self.plc)).await?;
        Ok(Arc::new(identity.as_ref().clone().with_audit_log(&log)?))
    }

    fn kept(&self, did: &Did) -> Option<Arc<Identity>> {
        let kept = self.kept.lock().ok()?.get(did)?.clone();
        let age = Duration::from_micros(self.clock.now().saturating_sub(kept.at));
        (age < KEPT).then_some(kept.identity)
    }

    fn keep(&self, did: &Did, identity: &Arc<Identity>) {
        let Ok(mut kept) = self.kept.lock() else { return };
        if kept.len() >= CAPACITY {
            // Rare, and any half will do: what was dropped is asked again.
            let mut keep = false;
            kept.retain(|_, _| {
                keep = !keep;
                keep
            });
        }
        kept.insert(did.clone(), Kept { identity: Arc::clone(identity), at: self.clock.now() });
    }
}

/// The host of a did:web; AT Protocol allows no path.
fn did_web_host(did: &Did) -> Option<String> {
    let host = did.as_str().strip_prefix("did:web:")?;
    (!host.contains(':')).then(|| host.replace("%3A", ":").replace("%3a", ":"))
}
