//! Who has records in scope: asked of relays, again and again.
//!
//! Relays and collections enter; repositories to follow leave, most of them known already. Deliberately absent: proof;
//! a listing is a hint, and a superset.

use std::time::Duration;

use super::clock::Clock;
use super::orders::Orders;
use super::pds::{Hosts, PdsError, RepoPage};
use super::pump::Input;
use super::queue::Outbox;
use super::relay::{Received, RelayUrl};
use crate::syntax::Nsid;

/// How often everyone is asked again.
const PACE: Duration = Duration::from_secs(6 * 60 * 60);
/// How soon to ask again after a failure.
const RETRY: Duration = Duration::from_secs(60);

/// Asks one relay about every collection, until nobody listens.
///
/// A host without a directory of collections, as a PDS is, is asked for all its repositories instead; those without
/// records in scope are passed over.
pub async fn discover(
    hosts: Hosts,
    relay: RelayUrl,
    collections: Vec<Nsid>,
    namespace: String,
    inbox: Outbox,
    clock: Clock,
    orders: Orders,
) {
    let url = relay.to_http();
    loop {
        orders.running().await;
        let sweep = Sweep { hosts: &hosts, url: &url, namespace: &namespace, inbox: &inbox };
        let pace = match sweep.run(&collections).await {
            Ok(found) => {
                tracing::info!(relay = %relay, found, "asked who has records");
                PACE
            }
            Err(error) => {
                tracing::warn!(relay = %relay, %error, "cannot learn who has records; asking again");
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(clock.jitter(pace)) => {}
            () = inbox.closed() => return,
        }
    }
}

/// One round of questions.
struct Sweep<'a> {
    hosts: &'a Hosts,
    url: &'a str,
    namespace: &'a str,
    inbox: &'a Outbox,
}

impl Sweep<'_> {
    async fn run(&self, collections: &[Nsid]) -> Result<u64, PdsError> {
        let mut found = 0;
        for collection in collections {
            let mut cursor = None;
            loop {
                let page = self.hosts.repos_by_collection(self.url, collection, cursor.as_deref()).await;
                let RepoPage { dids, cursor: next } = match page {
                    Err(error) if error.is_unknown_method() => return self.all_of_host().await,
                    page => page?,
                };
                found += dids.len() as u64;
                for did in dids {
                    self.tell(Input::Track(did)).await;
                }
                match next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
        }
        Ok(found)
    }

    async fn all_of_host(&self) -> Result<u64, PdsError> {
        let (mut found, mut cursor) = (0, None);
        loop {
            let RepoPage { dids, cursor: next } = self.hosts.repos(self.url, cursor.as_deref()).await?;
            // A PDS ends with an empty page, not with a missing cursor.
            if dids.is_empty() {
                return Ok(found);
            }
            for did in dids {
                if self.hosts.has_collection_in(self.url, &did, self.namespace).await.unwrap_or(false) {
                    found += 1;
                    self.tell(Input::Track(did)).await;
                }
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(found),
            }
        }
    }

    async fn tell(&self, input: Input) {
        // When nobody listens, the round ends at its next pause.
        let _ = self.inbox.send(Received::Input(input)).await;
    }
}
