//! What is asked of hosts about repositories: exports, states, and who has any.
//!
//! A DID's PDS or a relay's URL enters; an [`Archive`], a [`Hosting`] or a page of DIDs leaves. Exports are spooled to an
//! unnamed file as they arrive, so that their size costs disk and not memory. Deliberately absent: proof, retries, and
//! which host is the right one.
//!
//! The shapes of requests and answers are `atrium-api`'s. Follows [`com.atproto.sync`](https://docs.bsky.app/docs/category/http-reference).

use std::io::{Seek as _, Write as _};
use std::path::PathBuf;

use atrium_api::com::atproto::repo::describe_repo;
use atrium_api::com::atproto::sync::{
    get_latest_commit, get_repo, get_repo_status, list_repos, list_repos_by_collection,
};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::http::{Http, HttpError};
use super::network::in_place_or_beside;
use crate::block::BlockError;
use crate::block::car::Archive;
use crate::sync::Hosting;
use crate::syntax::{Did, Nsid, Tid};

/// Largest export in bytes.
const EXPORT_BYTES: u64 = 1 << 30;
/// Exports up to this many bytes stay in memory.
const IN_MEMORY: usize = 4 << 20;

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
}

impl PdsError {
    /// Whether the host does not have the method that it was asked for.
    #[must_use]
    pub fn is_unknown_method(&self) -> bool {
        match self {
            // A PDS would pass the question on, and has nobody to pass it to: 400 `InvalidRequest`.
            Self::Http(HttpError::Status { status: 404 | 501, .. }) => true,
            Self::Http(HttpError::Status { status: 400, name, .. }) => {
                matches!(name.as_deref(), Some("InvalidRequest" | "MethodNotImplemented"))
            }
            _ => false,
        }
    }
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepoPage {
    /// Whose repositories; what is not a DID is left out.
    pub dids: Vec<Did>,
    /// Where to go on; none at the end.
    pub cursor: Option<String>,
}

/// Asks hosts; cheap to clone.
#[derive(Debug, Clone)]
pub struct Hosts {
    http: Http,
    spool: PathBuf,
}

impl Hosts {
    /// Spools large exports to files without a name in the folder `spool`.
    #[must_use]
    pub const fn new(http: Http, spool: PathBuf) -> Self {
        Self { http, spool }
    }

    /// Fetches a whole repository from its PDS.
    ///
    /// # Errors
    ///
    /// [`PdsError`].
    pub async fn repo(&self, pds: &str, did: &Did) -> Result<Archive, PdsError> {
        let url = format!("{pds}/xrpc/{}?did={did}", get_repo::NSID);
        let mut stream = self.http.stranger_stream(&url, EXPORT_BYTES).await.map_err(inactive)?;
        let (mut memory, mut spooled) = (Vec::new(), None);
        while let Some(chunk) = stream.next().await? {
            if spooled.is_none() && memory.len().saturating_add(chunk.len()) > IN_MEMORY {
                let mut file = tempfile::tempfile_in(&self.spool).map_err(BlockError::from)?;
                file.write_all(&memory).map_err(BlockError::from)?;
                memory = Vec::new();
                spooled = Some(file);
            }
            match &mut spooled {
                // A local file: writing a chunk of the network's pace does not keep anyone waiting.
                Some(file) => file.write_all(&chunk).map_err(BlockError::from)?,
                None => memory.extend_from_slice(&chunk),
            }
        }
        let bytes = stream.read();
        let opened = in_place_or_beside(bytes, move || match spooled {
            Some(mut file) => {
                file.rewind()?;
                Archive::from_file(file)
            }
            None => Archive::from_bytes(memory),
        });
        Ok(opened.await?)
    }

    /// The newest revision that a PDS has of a repository.
    ///
    /// # Errors
    ///
    /// [`PdsError`].
    pub async fn latest_rev(&self, pds: &str, did: &Did) -> Result<Tid, PdsError> {
        let url = format!("{pds}/xrpc/{}?did={did}", get_latest_commit::NSID);
        let json = self.http.stranger_json(&url).await.map_err(inactive)?;
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
        match self.http.stranger_json(&url).await.map_err(inactive) {
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
        let json = self.http.operator_json(&url).await.map_err(inactive)?;
        let collections = json.get("collections").and_then(Json::as_array);
        let collections = collections.ok_or(HttpError::Malformed { url, expected: "collections" })?;
        Ok(collections.iter().filter_map(Json::as_str).any(|nsid| nsid.starts_with(namespace)))
    }

    /// A page of all repositories of a host.
    ///
    /// # Errors
    ///
    /// [`PdsError`].
    pub async fn repos(&self, host: &str, cursor: Option<&str>) -> Result<RepoPage, PdsError> {
        self.page(host, &format!("{}?limit=1000", list_repos::NSID), cursor).await
    }

    async fn page(&self, host: &str, method: &str, cursor: Option<&str>) -> Result<RepoPage, PdsError> {
        let mut url = format!("{host}/xrpc/{method}");
        if let Some(cursor) = cursor {
            url = reqwest::Url::parse_with_params(&url, [("cursor", cursor)])
                .map_err(|_| HttpError::Refused { url, reason: "not a url" })?
                .into();
        }
        let json = self.http.operator_json(&url).await?;
        let repos = json.get("repos").and_then(Json::as_array);
        let repos = repos.ok_or(HttpError::Malformed { url, expected: "repos" })?;
        let did = |repo: &Json| repo.get("did")?.as_str()?.parse().ok();
        let cursor = json.get("cursor").and_then(Json::as_str).filter(|cursor| !cursor.is_empty());
        Ok(RepoPage { dids: repos.iter().filter_map(did).collect(), cursor: cursor.map(str::to_owned) })
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
