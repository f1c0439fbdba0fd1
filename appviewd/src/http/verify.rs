//! `dev.cocore.compute.verifyReceipt` and `dev.cocore.compute.verifySettlement`: what is to be thought of a record.
//!
//! A record's URI enters, a verdict leaves, with the rules by which it was reached. Everything that it is made of comes from
//! the index, but for the documents of brokers and exchanges, which are asked for where a record leads to one. Whoever asks
//! again, or about the same records at another name, is answered from memory. Deliberately absent: the rules, which are
//! [`trust`](appview_core::trust)'s.

use std::sync::Arc;

use appview_core::record::Collection;
use appview_core::syntax::AtUri;
use appview_core::trust::{Evidence, Instant, Missing, Profile};
use axum::extract::State;
use serde::Serialize;

use super::answer::Json;
use super::query::Parameters;
use super::{App, XrpcError};

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
    let evidence = app.complete(evidence).await;
    let (examiner, now) = (Arc::clone(&app.examiner), app.instant());
    app.work(move || told(examiner.receipt(&evidence, uri.as_str(), profile, now))).await
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
    let evidence = app.complete(evidence).await;
    let (examiner, now) = (Arc::clone(&app.examiner), app.instant());
    app.work(move || told(examiner.settlement(&evidence, uri.as_str(), profile, now))).await
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

impl App {
    /// The present, as verdicts count it.
    pub(super) fn instant(&self) -> Instant {
        Instant::from_unix_millis((self.clock.now() / 1_000).cast_signed())
    }

    /// Adds the documents that a verdict needs and no index has; none where files stand in for the network.
    pub(super) async fn complete(&self, mut evidence: Evidence) -> Evidence {
        if let Some(network) = &self.network {
            network.authorities.complete(&mut evidence, self.examiner.terms()).await;
        }
        evidence
    }
}
