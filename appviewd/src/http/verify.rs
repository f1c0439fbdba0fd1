//! `dev.cocore.compute.verifyReceipt` and `dev.cocore.compute.verifySettlement`: what is to be thought of a record.
//!
//! A record's URI enters, a verdict leaves, with the rules by which it was reached. Everything that it is made of comes from
//! the index, but for the documents of brokers and exchanges, which are asked for where a record leads to one. Whoever asks
//! again, or about the same records at another name, is answered from memory. Deliberately absent: the rules, which are
//! [`trust`](appview_core::trust)'s.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use appview_core::record::Collection;
use appview_core::source::directory::Directory;
use appview_core::source::now;
use appview_core::syntax::{AtUri, Did};
use appview_core::trust::{Document, Evidence, Instant, Missing, Profile};
use axum::extract::State;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::OnceCell;
use tokio::time::{self, timeout};

use super::answer::Json;
use super::front::Lately;
use super::query::Parameters;
use super::{App, XrpcError};

/// How long a document may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// For how long a document is believed, and that there is none.
const BELIEVED: Duration = Duration::from_secs(5 * 60);
/// Documents that are remembered.
const REMEMBERED: usize = 1_000;

/// `dev.cocore.compute.verifyReceipt`
pub(super) async fn verify_receipt(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let (uri, profile) = asked(&parameters, Collection::Receipt)?;
    let evidence = {
        let uri = uri.clone();
        app.read(move |index| Ok(index.receipt_evidence(&uri)?)).await?
    };
    let evidence = app.with_documents(evidence).await;
    let examiner = Arc::clone(&app.examiner);
    app.work(move || told(examiner.receipt(&evidence, uri.as_str(), profile, present()))).await
}

/// `dev.cocore.compute.verifySettlement`
pub(super) async fn verify_settlement(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let (uri, profile) = asked(&parameters, Collection::Settlement)?;
    let evidence = {
        let uri = uri.clone();
        app.read(move |index| Ok(index.settlement_evidence(&uri)?)).await?
    };
    let evidence = app.with_documents(evidence).await;
    let examiner = Arc::clone(&app.examiner);
    app.work(move || told(examiner.settlement(&evidence, uri.as_str(), profile, present()))).await
}

/// Which record of this collection is asked about, and how strictly.
fn asked(parameters: &Parameters, collection: Collection) -> Result<(AtUri, Profile), XrpcError> {
    let uri: AtUri = parameters.required_as("uri")?;
    if uri.collection() != Some(collection.nsid()) || uri.rkey().is_none() {
        let expected = format!("expected the address of a {} record", collection.nsid());
        return Err(XrpcError::parameter("uri", expected));
    }
    Ok((uri, if parameters.flag("strict") { Profile::Strict } else { Profile::Advise }))
}

fn told<T: Serialize>(verdict: Result<Arc<T>, Missing>) -> Result<Json, XrpcError> {
    match verdict {
        Ok(verdict) => Json::of(&*verdict),
        Err(missing) => Err(XrpcError::not_found(missing.to_string())),
    }
}

fn present() -> Instant {
    Instant::from_unix_millis((now() / 1_000).cast_signed())
}

impl App {
    /// Adds the documents that a verdict needs and no index has.
    async fn with_documents(&self, mut evidence: Evidence) -> Evidence {
        let wanted = evidence.wanted_documents(self.examiner.terms());
        let found = join_all(wanted.iter().map(|did| self.documents.of(did))).await;
        for (did, document) in wanted.into_iter().zip(found) {
            evidence.put_document(did, document);
        }
        evidence
    }
}

/// DID documents of brokers and exchanges, and that there are none.
#[derive(Debug)]
pub(super) struct Documents {
    /// Whom to ask; nobody where files stand in for the network.
    directory: Option<Directory>,
    kept: Mutex<Lately<Did, Arc<Slot>>>,
}

/// The place of a document, which may be on its way.
#[derive(Debug)]
struct Slot {
    until: time::Instant,
    document: OnceCell<Option<Document>>,
}

impl Documents {
    /// Documents as this directory finds them.
    pub(super) fn by(directory: Option<Directory>) -> Self {
        Self { directory, kept: Mutex::new(Lately::new(REMEMBERED)) }
    }

    /// The document of a DID; none if it cannot be had in time. However many ask, it is asked for once.
    async fn of(&self, did: &Did) -> Option<Document> {
        let directory = self.directory.as_ref()?;
        let slot = self.slot(did);
        let ask = async || match timeout(PATIENCE, directory.document(did)).await {
            Ok(Ok(json)) => Some(Document::new(json)),
            Ok(Err(error)) => {
                tracing::debug!(%did, %error, "a verdict has to do without a document");
                None
            }
            Err(_) => None,
        };
        slot.document.get_or_init(ask).await.clone()
    }

    fn slot(&self, did: &Did) -> Arc<Slot> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = time::Instant::now();
        if let Some(slot) = kept.get(did).filter(|slot| now < slot.until) {
            return slot;
        }
        let slot = Arc::new(Slot { until: now + BELIEVED, document: OnceCell::new() });
        kept.put(did.clone(), Arc::clone(&slot), 1);
        slot
    }
}
