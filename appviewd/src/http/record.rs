//! `dev.cocore.appview.getRecord`: one record, how well it keeps its lexicon, and the proof that its repository holds it.
//!
//! A record's URI enters; the record leaves, and on request a CAR by which anyone can check it without us. The index holds
//! what was proven, not the proofs, whose trees change with every commit: one is fetched from the repository's host, or cut
//! out of its export where files stand in for the network, checked as any, and kept for as long as the record has this
//! version and others are not asked for more. Deliberately absent: records that the index does not hold; this is no way to
//! have other hosts asked for anything else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use appview_core::block::Cid;
use appview_core::query::{FindingView, RecordView};
use appview_core::repo::Identity;
use appview_core::source::network::Network;
use appview_core::source::replay::Offline;
use appview_core::source::turns::Urgency;
use appview_core::sync::verify::verify_record;
use appview_core::sync::{Freshness, RecordChange};
use appview_core::syntax::{AtUri, Did, RepoPath};
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::{Json, indexed_record, member};
use super::front::Lately;
use super::query::Parameters;
use super::{App, XrpcError};

/// What all proofs that are kept may weigh together, in bytes.
const WEIGHT: usize = 8 << 20;
/// Proofs that are fetched, or cut out, at once.
const AT_ONCE: usize = 16;
/// How long fetching one may take, with finding out who signs.
const PATIENCE: Duration = Duration::from_secs(10);

/// `dev.cocore.appview.getRecord`
pub(super) async fn get_record(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let uri: AtUri = parameters.required_as("uri")?;
    if uri.rkey().is_none() {
        return Err(XrpcError::parameter("uri", "expected the address of a record, with collection and key"));
    }
    let found = app
        .read(move |index| {
            let Some(record) = index.record(&uri)? else { return Ok(None) };
            Ok(Some((record, index.findings(&uri)?)))
        })
        .await?;
    let (record, findings) = found.ok_or_else(|| XrpcError::not_found("this record is not here"))?;
    let proof = if parameters.flag("proof") { Some(app.proof(&record).await?) } else { None };
    written(&record, &findings, proof.as_deref())
}

fn written(record: &RecordView, findings: &[FindingView], proof: Option<&Proof>) -> Result<Json, XrpcError> {
    #[derive(Serialize)]
    struct Breach<'a> {
        path: &'a str,
        rule: &'a str,
        message: &'a str,
    }
    let mut out = String::with_capacity(4_096);
    out.push_str("{\"record\":");
    // A quarantined block may be none at all: its body is null then, and the verdict tells why.
    let _ = indexed_record(&mut out, record);
    member(&mut out, ",", "verdict", Some(&record.verdict.to_string()));
    let findings = findings.iter().map(|FindingView { path, rule, message }| Breach { path, rule, message });
    let findings: Vec<Breach<'_>> = findings.collect();
    out.push_str(",\"findings\":");
    out.push_str(&serde_json::to_string(&findings).map_err(|error| XrpcError::internal(&error))?);
    if let Some(proof) = proof {
        out.push_str(",\"proof\":{\"car\":");
        member(&mut out, "{", "$bytes", Some(&STANDARD_NO_PAD.encode(&proof.car)));
        out.push('}');
        member(&mut out, ",", "rev", Some(&proof.rev));
        member(&mut out, ",", "key", Some(&proof.key));
        out.push('}');
    }
    out.push('}');
    Ok(out.into())
}

/// That a repository holds a record.
#[derive(Debug)]
struct Proof {
    /// The signed commit, the tree's nodes on the way, and the record.
    car: Vec<u8>,
    /// The commit's revision.
    rev: String,
    /// Who signed it, as a did:key.
    key: String,
}

/// Proofs that were fetched lately.
#[derive(Debug)]
pub(super) struct Proofs {
    kept: Mutex<Lately<(Did, Cid, String), Arc<Proof>>>,
    places: Semaphore,
}

impl Proofs {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { kept: Mutex::new(Lately::new(WEIGHT)), places: Semaphore::new(AT_ONCE) }
    }
}

impl App {
    /// The proof of a record in exactly this version.
    ///
    /// # Errors
    ///
    /// `ProofUnavailable`, `ProofDiffers`, or that too many are asked for.
    async fn proof(&self, record: &RecordView) -> Result<Arc<Proof>, XrpcError> {
        let path = RepoPath { collection: record.collection.clone(), rkey: record.rkey.clone() };
        let key = (record.repo.clone(), record.cid, path.to_string());
        let kept = || self.proofs.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(proof) = kept().get(&key) {
            count("kept");
            return Ok(proof);
        }
        let _place = self.proofs.places.try_acquire().map_err(|_| XrpcError::busy())?;
        let proof = match (&self.network, &self.files) {
            (Some(network), _) => match timeout(PATIENCE, fetch(network, record, &path)).await {
                Ok(proof) => proof?,
                Err(_) => return Err(unavailable("the repository's host did not answer in time")),
            },
            (None, Some(files)) => {
                let (files, did, cid, now) =
                    (files.clone(), record.repo.clone(), record.cid, self.clock.now());
                let path = path.clone();
                self.work(move || Ok(cut(&files, &did, &path, cid, now)?)).await?
            }
            (None, None) => return Err(unavailable("this service asks no other host")),
        };
        count("proven");
        let (proof, weight) = (Arc::new(proof), path.to_string().len() + 512);
        kept().put(key, Arc::clone(&proof), proof.car.len() + weight);
        Ok(proof)
    }
}

/// Has files prove a record.
fn cut(files: &Offline, did: &Did, path: &RepoPath, cid: Cid, now: u64) -> Result<Proof, Refused> {
    let unreachable = |why: &str| Refused::Unreachable(why.to_owned());
    let identity =
        files.identity(did).ok_or_else(|| unreachable("who signs for the account was not saved"))?;
    let car = files.record_proof(did, path);
    // The error names files, which are nobody else's.
    let car = car.map_err(|error| {
        tracing::warn!(%did, %error, "no proof can be cut out of the export");
        unreachable("the repository's export cannot be read")
    })?;
    let car = car.ok_or_else(|| unreachable("no export of the repository was saved"))?;
    prove(car, path, cid, identity, now)
}

/// Has the repository's host prove a record. If its signature is not by the key that is known, the DID is resolved anew: the
/// key may have changed.
async fn fetch(network: &Network, record: &RecordView, path: &RepoPath) -> Result<Proof, XrpcError> {
    let did = &record.repo;
    let resolve = async |freshness| {
        network.directory.resolve(did, freshness).await.map_err(|error| unavailable(&error))
    };
    let known = resolve(Freshness::Cached).await?;
    match ask(network, record, path, &known).await {
        Err(Refused::Unproven(_)) | Err(Refused::Unreachable(_)) => {
            let fresh = resolve(Freshness::Fresh).await?;
            ask(network, record, path, &fresh).await.map_err(XrpcError::from)
        }
        proof => proof.map_err(XrpcError::from),
    }
}

/// Why a host's answer is no proof.
enum Refused {
    /// It gave none.
    Unreachable(String),
    /// What it gave does not prove anything.
    Unproven(String),
    /// It proves something else.
    Differs(&'static str),
}

impl From<Refused> for XrpcError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unreachable(why) | Refused::Unproven(why) => unavailable(&why),
            Refused::Differs(what) => {
                count("differs");
                Self::upstream("ProofDiffers", what.to_owned())
            }
        }
    }
}

async fn ask(
    network: &Network,
    record: &RecordView,
    path: &RepoPath,
    identity: &Identity,
) -> Result<Proof, Refused> {
    let pds = identity.pds().ok_or_else(|| Refused::Unreachable("the account names no host".to_owned()))?;
    let car = network.hosts.with(Urgency::Live).record(pds, &record.repo, path).await;
    let car = car.map_err(|error| Refused::Unreachable(error.to_string()))?;
    prove(car, path, record.cid, identity, network.clock.now())
}

/// Checks what is said to prove a record in this version.
fn prove(car: Vec<u8>, path: &RepoPath, cid: Cid, identity: &Identity, now: u64) -> Result<Proof, Refused> {
    let proven = verify_record(&car, path, identity, now);
    let proven = proven.map_err(|error| Refused::Unproven(error.to_string()))?;
    match proven.change() {
        RecordChange::Put { cid: found, .. } if *found == cid => {
            let (rev, key) = (proven.head().rev.to_string(), identity.key().to_string());
            Ok(Proof { car, rev, key })
        }
        RecordChange::Put { .. } => Err(Refused::Differs("the repository has another version of it")),
        RecordChange::Delete { .. } => Err(Refused::Differs("the repository has it no more")),
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("appview_http_proofs_total", "outcome" => outcome).increment(1);
}

fn unavailable(why: &(impl std::fmt::Display + ?Sized)) -> XrpcError {
    count("unavailable");
    XrpcError::upstream("ProofUnavailable", format!("there is no proof to be had now: {why}"))
}
