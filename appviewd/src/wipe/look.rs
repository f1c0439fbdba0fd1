//! What there is of a person in all three places, without touching any of it.

use std::collections::BTreeMap;

use appview_core::record::NAMESPACE;
use appview_core::source::pds::{Hosts, PdsError};
use appview_core::source::turns::Urgency;
use appview_core::sync::Freshness;
use appview_core::syntax::{Did, Nsid};
use serde::{Deserialize, Serialize};

use super::{WipeError, Wiper};
use crate::account::{AccountError, Held};
use crate::oauth::SessionInfo;

/// What there is of a person, without touching any of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// How many records their repository has, by collection.
    pub repo: BTreeMap<String, u64>,
    /// Why that is not known, if it is not.
    pub repo_unknown: Option<String>,
    /// Whether there is a session to delete them with.
    pub has_session: bool,
    /// Rows of the index.
    pub index: u64,
    /// What else is held.
    pub account: Held,
}

impl Wiper {
    /// What there is of a person. Nothing is changed.
    ///
    /// # Errors
    ///
    /// The store or the index cannot be read.
    pub async fn look(&self, did: &Did) -> Result<Look, WipeError> {
        let (repo, repo_unknown) = match self.count_records(did).await {
            Ok(counts) => (counts, None),
            Err(why) => (BTreeMap::new(), Some(why)),
        };
        let has_session = match &self.0.terms.oauth {
            Some(oauth) => matches!(oauth.session_info(did).await, Ok(SessionInfo::Present { .. })),
            None => false,
        };
        let (index, owner) = (self.rows(did).await?, did.clone());
        let account = self.0.terms.store.run::<_, AccountError>(move |store| store.held(&owner)).await?;
        Ok(Look { repo, repo_unknown, has_session, index, account })
    }

    /// How many records a person's repository has, by collection; or why that is not known.
    async fn count_records(&self, did: &Did) -> Result<BTreeMap<String, u64>, String> {
        let network = self.0.terms.network.as_ref().ok_or("files stand in for the network here")?;
        let identity =
            network.directory.resolve(did, Freshness::Fresh).await.map_err(|error| error.to_string())?;
        let pds = identity.pds().ok_or("the did document names no pds")?;
        let hosts = network.hosts.with(Urgency::Live);
        let mut counts = BTreeMap::new();
        for collection in hosts.collections(pds, did, NAMESPACE).await.map_err(|error| error.to_string())? {
            let count = count(&hosts, pds, did, &collection).await.map_err(|error| error.to_string())?;
            counts.insert(collection.to_string(), count);
        }
        Ok(counts)
    }
}

/// How many records a collection has.
pub(super) async fn count(hosts: &Hosts, pds: &str, did: &Did, collection: &Nsid) -> Result<u64, PdsError> {
    let (mut count, mut cursor) = (0_u64, None);
    loop {
        let (keys, next) = hosts.record_keys(pds, did, collection, cursor.as_deref()).await?;
        count = count.saturating_add(keys.len() as u64);
        cursor = next;
        if cursor.is_none() {
            return Ok(count);
        }
    }
}
