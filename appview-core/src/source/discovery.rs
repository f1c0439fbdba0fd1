//! Who has records in scope: asked of relays, again and again, and at once when events may have been lost.
//!
//! Relays and collections enter; repositories to follow leave, most of them known already. A page that cannot be had is
//! asked for again; what was read before it is not. Deliberately absent: proof; a listing is a hint, and a superset.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::clock::Clock;
use super::orders::Orders;
use super::pds::{Hosts, Listed, PdsError, RepoPage};
use super::pump::Input;
use super::queue::{Outbox, Stopped};
use super::relay::{Received, RelayUrl};
use crate::syntax::{Did, Nsid, Tid};

/// How often everyone is asked again.
const PACE: Duration = Duration::from_secs(6 * 60 * 60);
/// How soon to ask again for a page that could not be had; doubled each time up to [`LONGEST_RETRY`].
const RETRY: Duration = Duration::from_secs(30);
/// How late to ask again for a page that could not be had, and how soon for a listing that was given up.
const LONGEST_RETRY: Duration = Duration::from_secs(10 * 60);
/// Failures in a row after which a listing is given up, so that others are not kept waiting.
const TRIES: u32 = 5;
/// Repositories without records in scope of which a host's listing is remembered.
const PASSED_OVER: usize = 100_000;
/// Pages of one listing: more than any host has. A listing that leads in a circle ends here.
const PAGES: u64 = 1_000_000;

/// Has everyone asked at once who has records; cheap to clone, one for all clones.
#[derive(Debug, Clone)]
pub struct Search(Arc<watch::Sender<()>>);

impl Default for Search {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }
}

impl Search {
    /// Begins.
    pub fn begin(&self) {
        self.0.send_replace(());
    }
}

/// How one relay is asked about every collection.
///
/// A host without a directory of collections, as a PDS is, is asked for all its repositories instead; those without
/// records in scope are passed over.
pub struct Discovery {
    /// How.
    pub hosts: Hosts,
    /// Whom.
    pub relay: RelayUrl,
    /// About which.
    pub collections: Vec<Nsid>,
    /// What they all begin with.
    pub namespace: String,
    /// When.
    pub clock: Clock,
    /// When not.
    pub orders: Orders,
    /// When not to wait any longer.
    pub search: Search,
}

/// What a host says about the collections of a repository.
enum Described {
    /// Some are in scope.
    InScope,
    /// None is.
    Elsewhere,
    /// Nothing this time.
    NotNow,
    /// Nothing about any: it is no PDS.
    Never,
}

/// How one listing went on.
enum Listing {
    /// To its end.
    Read,
    /// The host does not have it.
    Unknown,
    /// Not to its end.
    GivenUp,
}

impl Discovery {
    /// Asks once. Returns whether every listing was read to its end.
    pub async fn once(self, inbox: Outbox) -> bool {
        Sweep::new(&self, &inbox).run().await.unwrap_or(false)
    }

    /// Asks until nobody listens.
    pub async fn run(self, inbox: Outbox) {
        let mut begun = self.search.0.subscribe();
        let mut sweep = Sweep::new(&self, &inbox);
        loop {
            begun.mark_unchanged();
            let Ok(is_whole) = sweep.run().await else { return };
            let found = std::mem::take(&mut sweep.found);
            tracing::info!(relay = %self.relay, found, is_whole, "asked who has records");
            let pace = if is_whole { PACE } else { LONGEST_RETRY };
            tokio::select! {
                biased;
                () = inbox.closed() => return,
                _ = begun.changed() => {}
                () = tokio::time::sleep(self.clock.jitter(pace)) => {}
            }
        }
    }
}

/// Rounds of questions.
struct Sweep<'d> {
    discovery: &'d Discovery,
    url: String,
    inbox: &'d Outbox,
    found: u64,
    /// Those that had nothing in scope at this revision.
    passed_over: BTreeMap<Did, Tid>,
}

impl<'d> Sweep<'d> {
    fn new(discovery: &'d Discovery, inbox: &'d Outbox) -> Self {
        let url = discovery.relay.to_http();
        Self { discovery, url, inbox, found: 0, passed_over: BTreeMap::new() }
    }

    /// Whether every listing was read to its end.
    async fn run(&mut self) -> Result<bool, Stopped> {
        let mut is_whole = true;
        for collection in &self.discovery.collections {
            match self.list(Some(collection)).await? {
                Listing::Read => {}
                Listing::Unknown => return Ok(matches!(self.list(None).await?, Listing::Read)),
                Listing::GivenUp => is_whole = false,
            }
        }
        Ok(is_whole)
    }

    /// Reads one listing, that of a collection or of all repositories, page by page.
    async fn list(&mut self, collection: Option<&Nsid>) -> Result<Listing, Stopped> {
        let (mut cursor, mut failures, mut is_whole) = (None, 0, true);
        for _ in 0..PAGES {
            let page = match self.page(collection, cursor.as_deref()).await {
                Ok(page) => page,
                Err(error) if collection.is_some() && error.is_of_no_directory() => {
                    return Ok(Listing::Unknown);
                }
                Err(error) => {
                    failures += 1;
                    if failures == TRIES {
                        return Ok(Listing::GivenUp);
                    }
                    self.pause(failures, &error).await?;
                    continue;
                }
            };
            failures = 0;
            for listed in page.repos {
                let described = match collection {
                    Some(_) => Described::InScope,
                    None => self.describe(&listed).await?,
                };
                match described {
                    Described::InScope => self.tell(listed.did).await?,
                    Described::Elsewhere => {}
                    Described::NotNow => is_whole = false,
                    Described::Never => return Ok(Listing::GivenUp),
                }
            }
            match page.cursor {
                // A PDS ends with an empty page, not with a missing cursor. One cursor twice leads nowhere.
                Some(next) if !page.is_empty && cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => break,
            }
        }
        Ok(if is_whole { Listing::Read } else { Listing::GivenUp })
    }

    async fn page(&self, collection: Option<&Nsid>, cursor: Option<&str>) -> Result<RepoPage, PdsError> {
        let Discovery { hosts, orders, .. } = self.discovery;
        orders.running().await;
        let page = match collection {
            Some(collection) => hosts.repos_by_collection(&self.url, collection, cursor).await,
            None => hosts.repos(&self.url, cursor).await,
        };
        let outcome = page.as_ref().err().map_or("read", PdsError::label);
        metrics::counter!("appview_discovery_pages_total", "outcome" => outcome).increment(1);
        page
    }

    /// Asks whether a repository has records in scope. That it has none holds for a revision.
    async fn describe(&mut self, listed: &Listed) -> Result<Described, Stopped> {
        if listed.rev.is_some() && self.passed_over.get(&listed.did) == listed.rev.as_ref() {
            return Ok(Described::Elsewhere);
        }
        let Discovery { hosts, orders, namespace, .. } = self.discovery;
        orders.running().await;
        if self.inbox.is_closed() {
            return Err(Stopped);
        }
        match hosts.has_collection_in(&self.url, &listed.did, namespace).await {
            Ok(true) => Ok(Described::InScope),
            Ok(false) => {
                if let Some(rev) = listed.rev
                    && self.passed_over.len() < PASSED_OVER
                {
                    self.passed_over.insert(listed.did.clone(), rev);
                }
                Ok(Described::Elsewhere)
            }
            Err(error) if error.is_unknown_method() => Ok(Described::Never),
            Err(error) => {
                tracing::debug!(%error, "a repository is not described");
                // What is refused by name is refused the next time as well.
                let is_refused = matches!(error, PdsError::Inactive(_)) || error.is_of_no_directory();
                Ok(if is_refused { Described::Elsewhere } else { Described::NotNow })
            }
        }
    }

    async fn tell(&mut self, did: Did) -> Result<(), Stopped> {
        self.found = self.found.saturating_add(1);
        self.inbox.send(Received::Input(Input::Track(did))).await
    }

    async fn pause(&self, failures: u32, error: &PdsError) -> Result<(), Stopped> {
        let Discovery { relay, clock, .. } = self.discovery;
        tracing::warn!(%relay, %error, failures, "cannot learn who has records; asking again");
        let pause = RETRY.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_RETRY);
        tokio::select! {
            biased;
            () = self.inbox.closed() => Err(Stopped),
            () = tokio::time::sleep(clock.jitter(pause)) => Ok(()),
        }
    }
}
