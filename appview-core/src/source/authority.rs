//! The documents of those who sign about the work of others: brokers and exchanges.
//!
//! A DID enters; its document leaves as its host gave it, or nothing, and either for five minutes. What was given is
//! [remembered](super::seen) beyond that. Whoever waits for a verdict
//! waits three seconds for this at most. However many ask for one DID, it is asked for once at a time. Unlike the
//! [directory](super::directory), this knows did:web with folders, and does not mind a document without a repository.
//! Deliberately absent: what the keys in it sign.
//!
//! Follows [did:web](https://w3c-ccg.github.io/did-method-web/).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::clock::Clock;
use super::http::Http;
use super::seen::Seen;
use super::turns::Urgency;
use super::wire::Reach;
use crate::limits;
use crate::syntax::Did;
use crate::trust::{Document, Evidence, Origin, Terms, document};

/// How long whoever asks waits for all that is wanted.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer will do, and how long it will do that there was none, in microseconds.
const KEPT: u64 = 5 * 60 * 1_000_000;
/// DIDs that are kept. The network has a handful of brokers and exchanges.
const CAPACITY: usize = 1_024;

/// Resolves brokers and exchanges; cheap to clone, one cache for all clones.
#[derive(Debug, Clone)]
pub struct Authorities(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: Http,
    clock: Clock,
    plc: String,
    kept: Mutex<HashMap<Did, Kept>>,
    /// Who is being asked for; whoever wants the same waits for it.
    asked_for: Mutex<BTreeMap<Did, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug, Clone)]
struct Kept {
    document: Option<Document>,
    at: u64,
}

impl Authorities {
    /// Asks `plc` (a URL) for did:plc, and hosts for did:web.
    #[must_use]
    pub fn new(http: &Http, clock: Clock, plc: &str) -> Self {
        Self(Arc::new(Inner {
            http: http.with(Urgency::Live),
            clock,
            plc: plc.to_owned(),
            kept: Mutex::default(),
            asked_for: Mutex::default(),
        }))
    }

    /// Adds the documents to `evidence` that a verdict on it [wants](Evidence::wanted_documents).
    ///
    /// What cannot be had in time is noted as such, and what has been `seen` before is added to it: where that does not help,
    /// the verdict knows no key, and says so.
    pub async fn complete(&self, evidence: &mut Evidence, terms: &Terms, seen: &Seen) {
        let wanted = evidence.wanted_documents(terms);
        let found = join_all(wanted.iter().map(|did| async move { (did, self.document(did).await) }));
        for (did, document) in found.await {
            match document {
                Some(document) => {
                    seen.note(did, &document, self.0.clock.now(), terms);
                    evidence.put_document(did.clone(), document, Origin::Resolved);
                }
                None => evidence.put_unresolved(did.clone()),
            }
        }
        seen.complete(evidence, &wanted);
    }

    /// The document of a DID, if it can be had within three seconds.
    pub async fn document(&self, did: &Did) -> Option<Document> {
        if let Some(kept) = self.kept(did) {
            return kept.document;
        }
        // A host that takes longer is asked again after five minutes.
        match timeout(PATIENCE, self.ask(did)).await {
            Ok(document) => document,
            Err(_) => self.keep(did, None),
        }
    }

    async fn ask(&self, did: &Did) -> Option<Document> {
        let alone = self.alone(did);
        let _alone = alone.lock().await;
        if let Some(kept) = self.kept(did) {
            return kept.document;
        }
        let document = self.fetch(did).await;
        self.keep(did, document)
    }

    async fn fetch(&self, did: &Did) -> Option<Document> {
        let Inner { http, plc, .. } = self.0.as_ref();
        let url = document::document_url(did.as_str(), plc)?;
        let question = if did.as_str().starts_with("did:plc:") {
            http.directory(&url).await
        } else {
            http.stranger(&local(url, http.reach())).await
        };
        let found = match question {
            Ok(question) => question.json(limits::DID_DOCUMENT_BYTES).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(json) => Some(Document::new(json)),
            Err(error) => {
                tracing::debug!(%did, %error, "the document of an authority could not be had");
                None
            }
        }
    }

    fn kept(&self, did: &Did) -> Option<Kept> {
        let now = self.0.clock.now();
        lock(&self.0.kept).get(did).filter(|kept| now.saturating_sub(kept.at) < KEPT).cloned()
    }

    fn keep(&self, did: &Did, document: Option<Document>) -> Option<Document> {
        let at = self.0.clock.now();
        let mut kept = lock(&self.0.kept);
        if kept.len() >= CAPACITY && !kept.contains_key(did) {
            let oldest = kept.iter().min_by_key(|(did, kept)| (kept.at, (*did).clone()));
            if let Some(oldest) = oldest.map(|(did, _)| did.clone()) {
                kept.remove(&oldest);
            }
        }
        kept.insert(did.clone(), Kept { document: document.clone(), at });
        document
    }

    /// The lock of whoever asks for a DID.
    fn alone(&self, did: &Did) -> Arc<tokio::sync::Mutex<()>> {
        let mut asked_for = lock(&self.0.asked_for);
        asked_for.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(asked_for.entry(did.clone()).or_default())
    }
}

/// A host of one's own machine speaks plain `http`, where such hosts may be asked at all.
fn local(url: String, reach: Reach) -> String {
    let rest = url.strip_prefix("https://localhost").filter(|rest| rest.starts_with([':', '/']));
    match rest {
        Some(rest) if reach == Reach::Anywhere => format!("http://localhost{rest}"),
        _ => url,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
