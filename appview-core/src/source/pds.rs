//! What is asked of hosts about repositories: exports, states, and who has any.
//!
//! A DID's PDS or a relay's URL enters; an [`Archive`], a [`Hosting`] or a page of DIDs leaves. Exports are [spooled](super::spool)
//! as they arrive, so that their size costs disk and not memory, and few arrive at once; those that take
//! long do so in places of their own, so that slow hosts never hold up the others. Deliberately absent: proof, retries,
//! and which host is the right one.
//!
//! The shapes of requests and answers are `atrium-api`'s. Follows [`com.atproto.sync`](https://docs.bsky.app/docs/category/http-reference).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atrium_api::com::atproto::repo::{describe_repo, list_records};
use atrium_api::com::atproto::sync::{
    get_latest_commit, get_record, get_repo, get_repo_status, list_repos, list_repos_by_collection,
};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::http::{Http, HttpError};
use super::spool::Spool;
use super::turns::Urgency;
use crate::block::BlockError;
use crate::block::car::Archive;
use crate::limits;
use crate::sync::Hosting;
use crate::syntax::{AtUri, Did, Nsid, RecordKey, RepoPath, Tid};

/// Exports up to this many bytes stay in memory.
const IN_MEMORY: usize = 1 << 20;
/// Exports that are asked for, or wait for a place to arrive in, at once.
const ASKED_AT_ONCE: usize = 32;
/// Exports that arrive, or wait for room in the queue to the pump, at once.
const AT_ONCE: usize = 12;
/// Exports that arrive at once for longer than [`SLOW`].
const SLOW_AT_ONCE: usize = 4;
/// An export that takes longer leaves its place to others.
const SLOW: Duration = Duration::from_secs(60);
/// Hashing and proving up to this many bytes takes a millisecond or less, and is done where it is asked for.
const IN_PLACE: u64 = 256 << 10;

/// Longest page of records, in bytes. One record alone has a megabyte at most, and as JSON not several times that.
const LISTED_BYTES: usize = 8 << 20;

/// Does what takes as long as so many `bytes` need, beside the runtime if they are many.
pub(super) async fn in_place_or_beside<T: Send + 'static>(
    bytes: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if bytes <= IN_PLACE {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Why a host did not give what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PdsError {
    /// The request brought nothing.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// What it brought is no CAR whose blocks hash to their CIDs.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The host says that it does not serve the account.
    #[error("the host says that the account is {0}")]
    Inactive(Hosting),
    /// The disk that exports are spooled to fails, or is full. No fault of the host's.
    #[error("cannot spool an export in {}: {said}", folder.display())]
    Disk {
        /// The folder that they are spooled to.
        folder: PathBuf,
        /// What the system says.
        said: String,
    },
    /// There is no room for it on disk beside the others.
    #[error("the export has no room beside the others")]
    NoRoom,
    /// It takes long, and so do as many others as may.
    #[error("the export takes long, and so do others")]
    Slow,
}

impl PdsError {
    /// A stable word for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Http(error) => error.label(),
            Self::Block(_) => "not-a-car",
            Self::Inactive(_) => "inactive",
            Self::Disk { .. } => "disk",
            Self::NoRoom => "no-room",
            Self::Slow => "slow",
        }
    }

    /// Whether the host does not have the method that it was asked for.
    #[must_use]
    pub fn is_unknown_method(&self) -> bool {
        match self {
            Self::Http(HttpError::Status { status: 404 | 501, .. }) => true,
            Self::Http(HttpError::Status { name, .. }) => name.as_deref() == Some("MethodNotImplemented"),
            _ => false,
        }
    }

    /// Whether the host would pass the question on and has nobody to pass it to, or does not have the method.
    #[must_use]
    pub fn is_of_no_directory(&self) -> bool {
        let is_invalid = |name: &String| name == "InvalidRequest";
        self.is_unknown_method()
            || matches!(self, Self::Http(HttpError::Status { status: 400, name, .. })
                if name.as_ref().is_some_and(is_invalid))
    }
}

/// A repository in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Whose.
    pub did: Did,
    /// Its newest revision, where the listing tells it.
    pub rev: Option<Tid>,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepoPage {
    /// Repositories; what names no DID, and whose account is not active, is left out.
    pub repos: Vec<Listed>,
    /// Whether the host had nothing on it, which is how a PDS ends a listing.
    pub is_empty: bool,
    /// Where to go on; none at the end.
    pub cursor: Option<String>,
}

/// An export that has arrived. Its blocks are hashed; nothing is proven yet.
#[derive(Debug)]
pub struct Export {
    /// Its blocks.
    pub archive: Archive,
    /// Its place among those at once, to be kept for as long as the archive, or what is made of it, is in memory.
    pub place: Place,
}

/// A place among the exports at once; free for another when it is dropped.
#[derive(Debug)]
pub struct Place(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

/// Asks hosts; cheap to clone.
#[derive(Debug, Clone)]
pub struct Hosts {
    http: Http,
    exports: Arc<Exports>,
}

/// How exports are taken in.
#[derive(Debug)]
struct Exports {
    spool: Spool,
    asked_at_once: Arc<Semaphore>,
    at_once: Arc<Semaphore>,
    slow_at_once: Arc<Semaphore>,
}

impl Hosts {
    /// Spools large exports.
    #[must_use]
    pub fn new(http: Http, spool: Spool) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        let exports = Exports {
            spool,
            asked_at_once: places(ASKED_AT_ONCE),
            at_once: places(AT_ONCE),
            slow_at_once: places(SLOW_AT_ONCE),
        };
        Self { http, exports: Arc::new(exports) }
    }

    /// The same for questions of another urgency.
    #[must_use]
    pub fn with(&self, urgency: Urgency) -> Self {
        Self { http: self.http.with(urgency), exports: Arc::clone(&self.exports) }
    }

    /// Until when a host, by its origin, has so long a rest that there is better to do than wait for its end, in microseconds
    /// since the Unix epoch.
    #[must_use]
    pub fn long_rest(&self, origin: &str) -> Option<u64> {
        self.http.long_rest(origin)
    }

    /// Fetches a whole repository from its PDS.
    ///
    /// # Errors
    ///
    /// [`PdsError`].
    pub async fn repo(&self, pds: &str, did: &Did) -> Result<Export, PdsError> {
        let url = format!("{pds}/xrpc/{}?did={did}", get_repo::NSID);
        let question = self.http.stranger(&url).await?;
        // A place is for what has begun to arrive, so that whoever waits for a host keeps nobody from it. Nobody closes the
        // semaphores, so there is always a permit.
        let Exports { spool, asked_at_once, at_once, slow_at_once } = self.exports.as_ref();
        let asked = Arc::clone(asked_at_once).acquire_owned().await;
        let mut stream = question.stream(limits::EXPORT_BYTES).await.map_err(inactive)?;
        let (mut place, mut is_slow) = (Place(Arc::clone(at_once).acquire_owned().await.ok()), false);
        drop(asked);
        stream.begin();
        let (mut memory, mut spooled) = (Vec::new(), None);
        while let Some(chunk) = stream.next().await? {
            if !is_slow && stream.elapsed() > SLOW {
                let slow = Arc::clone(slow_at_once).try_acquire_owned();
                (place, is_slow) = (Place(Some(slow.map_err(|_| PdsError::Slow)?)), true);
            }
            if spooled.is_none() && memory.len().saturating_add(chunk.len()) > IN_MEMORY {
                let mut file = spool.file()?;
                file.write(&memory)?;
                memory = Vec::new();
                spooled = Some(file);
            }
            match &mut spooled {
                Some(file) => file.write(&chunk)?,
                None => memory.extend_from_slice(&chunk),
            }
        }
        let bytes = stream.read();
        metrics::counter!("appview_export_bytes_total").increment(bytes);
        metrics::histogram!("appview_export_seconds").record(stream.elapsed());
        drop(stream);
        let archive = match spooled {
            Some(file) => {
                let whole = file.whole().await;
                in_place_or_beside(bytes, move || whole.open()).await?
            }
            None => in_place_or_beside(bytes, move || Archive::from_bytes(memory)).await?,
        };
        Ok(Export { archive, place })
    }

    /// Fetches the proof of one record, or of its absence: a CAR.
    ///
    /// # Errors
    ///
    /// [`PdsError`].
    pub async fn record(&self, pds: &str, did: &Did, path: &RepoPath) -> Result<Vec<u8>, PdsError> {
        let RepoPath { collection, rkey } = path;
        let url = format!("{pds}/xrpc/{}?did={did}&collection={collection}&rkey={rkey}", get_record::NSID);
        let question = self.http.stranger(&url).await?;
        question.bytes(limits::RECORD_PROOF_BYTES).await.map_err(inactive)
    }

    /// The newest revision that a PDS has of a repository.
    ///
    /// # Errors
    ///
    /// [`PdsError`].
    pub async fn latest_rev(&self, pds: &str, did: &Did) -> Result<Tid, PdsError> {
        let url = format!("{pds}/xrpc/{}?did={did}", get_latest_commit::NSID);
        let json = self.stranger_json(&url).await?;
        let latest: get_latest_commit::OutputData = shaped(&url, json)?;
        Ok(latest.rev.as_str().parse().map_err(|_| HttpError::Malformed { url, expected: "a rev" })?)
    }

    /// What a PDS says about an account's hosting.
    ///
    /// # Errors
    ///
    /// [`PdsError`]; an account that it does not know is [`Hosting::Deleted`], not an error.
    pub async fn hosting(&self, pds: &str, did: &Did) -> Result<Hosting, PdsError> {
        let url = format!("{pds}/xrpc/{}?did={did}", get_repo_status::NSID);
        match self.stranger_json(&url).await {
            Ok(json) => {
                let said: get_repo_status::OutputData = shaped(&url, json)?;
                Ok(Hosting::from_event(said.active, said.status.as_deref()))
            }
            Err(PdsError::Inactive(hosting)) => Ok(hosting),
            Err(error) => Err(error),
        }
    }

    /// A page of the repositories that have records of a collection, by a relay's word: a superset.
    ///
    /// # Errors
    ///
    /// [`PdsError`]; a PDS does not know this method.
    pub async fn repos_by_collection(
        &self,
        relay: &str,
        collection: &Nsid,
        cursor: Option<&str>,
    ) -> Result<RepoPage, PdsError> {
        let method = format!("{}?collection={collection}&limit=1000", list_repos_by_collection::NSID);
        self.page(relay, &method, cursor).await
    }

    /// Whether a PDS says that a repository has any collection whose NSID starts with `namespace`.
    ///
    /// # Errors
    ///
    /// [`PdsError`].
    pub async fn has_collection_in(&self, pds: &str, did: &Did, namespace: &str) -> Result<bool, PdsError> {
        let url = format!("{pds}/xrpc/{}?repo={did}", describe_repo::NSID);
        let json = self.operator_json(&url).await?;
        let collections = json.get("collections").and_then(Json::as_array);
        let collections = collections.ok_or(HttpError::Malformed { url, expected: "collections" })?;
        Ok(collections.iter().filter_map(Json::as_str).any(|nsid| nsid.starts_with(namespace)))
    }

    /// The collections of a repository whose NSIDs start with `namespace`, by its PDS's word: each that has a record.
    ///
    /// # Errors
    ///
    /// [`PdsError`].
    pub async fn collections(&self, pds: &str, did: &Did, namespace: &str) -> Result<Vec<Nsid>, PdsError> {
        let url = format!("{pds}/xrpc/{}?repo={did}", describe_repo::NSID);
        let json = self.stranger_json(&url).await?;
        let collections = json.get("collections").and_then(Json::as_array);
        let collections = collections.ok_or(HttpError::Malformed { url, expected: "collections" })?;
        let names = collections.iter().filter_map(Json::as_str).filter(|name| name.starts_with(namespace));
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// A page of the keys that a collection has, by its PDS's word, with where to go on; none at the end.
    ///
    /// # Errors
    ///
    /// [`PdsError`].
    pub async fn record_keys(
        &self,
        pds: &str,
        did: &Did,
        collection: &Nsid,
        cursor: Option<&str>,
    ) -> Result<(Vec<RecordKey>, Option<String>), PdsError> {
        let mut limit = 100;
        loop {
            let limited = limit.to_string();
            let known = [("repo", did.as_str()), ("collection", collection.as_str()), ("limit", &limited)];
            let query = known.into_iter().chain(cursor.map(|cursor| ("cursor", cursor)));
            let method = format!("{pds}/xrpc/{}", list_records::NSID);
            let url = reqwest::Url::parse_with_params(&method, query)
                .map_err(|_| HttpError::Refused { url: method, reason: "not a url" })?;
            let question = self.http.stranger(url.as_str()).await?;
            let json = match question.json(LISTED_BYTES).await {
                // It tells the records as well, which may be long.
                Err(HttpError::TooLarge { .. }) if limit > 1 => {
                    limit /= 10;
                    continue;
                }
                answer => answer.map_err(inactive)?,
            };
            let records = json.get("records").and_then(Json::as_array);
            let records = records.ok_or(HttpError::Malformed { url: url.into(), expected: "records" })?;
            let key = |record: &Json| {
                let uri: AtUri = record.get("uri")?.as_str()?.parse().ok()?;
                uri.rkey()?.parse().ok()
            };
            let cursor = json.get("cursor").and_then(Json::as_str).filter(|cursor| !cursor.is_empty());
            let goes_on = cursor.filter(|_| !records.is_empty()).map(str::to_owned);
            return Ok((records.iter().filter_map(key).collect(), goes_on));
        }
    }

    /// A page of all repositories of a host.
    ///
    /// # Errors
    ///
    /// [`PdsError`].
    pub async fn repos(&self, host: &str, cursor: Option<&str>) -> Result<RepoPage, PdsError> {
        self.page(host, &format!("{}?limit=1000", list_repos::NSID), cursor).await
    }

    async fn stranger_json(&self, url: &str) -> Result<Json, PdsError> {
        self.http.stranger(url).await?.json(limits::XRPC_JSON_BYTES).await.map_err(inactive)
    }

    async fn operator_json(&self, url: &str) -> Result<Json, PdsError> {
        self.http.operator(url).await?.json(limits::XRPC_JSON_BYTES).await.map_err(inactive)
    }

    async fn page(&self, host: &str, method: &str, cursor: Option<&str>) -> Result<RepoPage, PdsError> {
        let mut url = format!("{host}/xrpc/{method}");
        if let Some(cursor) = cursor {
            url = reqwest::Url::parse_with_params(&url, [("cursor", cursor)])
                .map_err(|_| HttpError::Refused { url, reason: "not a url" })?
                .into();
        }
        let json = self.operator_json(&url).await?;
        let repos = json.get("repos").and_then(Json::as_array);
        let repos = repos.ok_or(HttpError::Malformed { url, expected: "repos" })?;
        let is_empty = repos.is_empty();
        let listed = |repo: &Json| {
            let text = |member: &str| repo.get(member).and_then(Json::as_str);
            Some(Listed {
                did: text("did")?.parse().ok()?,
                rev: text("rev").and_then(|rev| rev.parse().ok()),
            })
        };
        let cursor = json.get("cursor").and_then(Json::as_str).filter(|cursor| !cursor.is_empty());
        // One that is not hosted has nothing to give; it is listed again when it is.
        let is_hosted = |repo: &&Json| repo.get("active").and_then(Json::as_bool).unwrap_or(true);
        let repos = repos.iter().filter(is_hosted).filter_map(listed).collect();
        Ok(RepoPage { repos, is_empty, cursor: cursor.map(str::to_owned) })
    }
}

fn shaped<T: DeserializeOwned>(url: &str, json: Json) -> Result<T, HttpError> {
    let malformed = |_| HttpError::Malformed { url: url.to_owned(), expected: "the method's output" };
    serde_json::from_value(json).map_err(malformed)
}

/// Reads the names that hosts give to accounts that they do not serve; PDSes and relays differ in the status code.
fn inactive(error: HttpError) -> PdsError {
    let HttpError::Status { name: Some(name), .. } = &error else { return error.into() };
    PdsError::Inactive(match name.as_str() {
        "RepoNotFound" | "RepoDeleted" => Hosting::Deleted,
        "RepoTakendown" => Hosting::Takendown,
        "RepoSuspended" => Hosting::Suspended,
        "RepoDeactivated" => Hosting::Deactivated,
        "RepoInactive" => Hosting::Inactive,
        _ => return error.into(),
    })
}
