//! Answers to the pump's requests from the network: identities from directories, repositories from their PDSes.
//!
//! Requests enter without waiting; answers leave as inputs of the pump. A repository is answered for, however long that
//! takes; an identity after three tries at the latest, as unreachable; a hosting that three tries cannot find out, not at
//! all. Tries are later each time, and polite: few requests at once, fewer to one host, and no repository before its host
//! said that it would answer again. What was learned about hosts is kept in memory only. Deliberately absent: any judgement
//! of repositories; that is [`verify_repo`]'s.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::JoinSet;

use super::clock::{Clock, micros};
use super::directory::{Directory, ResolveError};
use super::http::{Http, HttpError};
use super::orders::Orders;
use super::pds::{Hosts, PdsError};
use super::pump::{Answer, Input, Request, Upstream};
use super::queue::Outbox;
use super::relay::Received;
use super::wire::Outside;
use crate::block::car::Archive;
use crate::repo::Identity;
use crate::sync::verifier::Unresolved;
use crate::sync::verify::{VerifyError, verify_repo};
use crate::sync::{Freshness, Hosting, RepoHead, Scope, VerifiedRepo};
use crate::syntax::Did;

/// Requests under way at once, over all hosts.
const AT_ONCE: usize = 16;
/// Requests under way at once to one host.
const AT_ONCE_PER_HOST: usize = 2;
/// First pause before trying again; doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause before trying again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// How often an identity is tried before the verifier is told that there is none.
const IDENTITY_TRIES: u32 = 3;

/// What is needed to ask the network.
#[derive(Debug, Clone)]
pub struct Network {
    /// Resolves DIDs.
    pub directory: Directory,
    /// Fetches repositories.
    pub hosts: Hosts,
    /// What time it is.
    pub clock: Clock,
    /// What is indexed.
    pub scope: Scope,
}

/// The pump's end: hands requests over.
#[derive(Debug)]
pub struct Asking {
    requests: mpsc::UnboundedSender<Request>,
}

impl Upstream for Asking {
    fn ask(&mut self, request: Request) -> Option<Answer> {
        // Unbounded, but there is at most one request of each kind for each repository. Nobody receives any more only
        // when everything is about to stop.
        let _ = self.requests.send(request);
        None
    }
}

/// Hashing and proving up to this many bytes takes a millisecond or less, and is done where it is asked for.
const IN_PLACE: u64 = 256 << 10;

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

/// Why a repository could not be proven this time.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Pds(#[from] PdsError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("the did document names no pds")]
    NoPds,
}

impl Network {
    /// Asks `plc` (a URL) about did:plc, and every other host as far as `outside` reaches; large exports are spooled to unnamed
    /// files in the folder `spool`.
    #[must_use]
    pub fn new(outside: &Outside, plc: &str, spool: PathBuf, scope: Scope) -> Self {
        let http = Http::new(outside);
        let clock = outside.clock.clone();
        Self {
            directory: Directory::new(http.clone(), clock.clone(), plc),
            hosts: Hosts::new(http, spool),
            clock,
            scope,
        }
    }

    /// The pump's end, and the work to be spawned beside it. It sends answers to `inbox` until that is closed.
    pub fn start(self, inbox: Outbox, orders: Orders) -> (Asking, impl Future<Output = ()>) {
        let (requests, queue) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk {
            network: self,
            orders,
            at_once: Semaphore::new(AT_ONCE),
            per_host: Mutex::default(),
        });
        (Asking { requests }, work(desk, queue, inbox))
    }
}

/// Takes requests as long as there is room to work on them.
async fn work(desk: Arc<Desk>, mut queue: mpsc::UnboundedReceiver<Request>, inbox: Outbox) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            request = queue.recv() => {
                let Some(request) = request else { break };
                let (desk, inbox) = (Arc::clone(&desk), inbox.clone());
                tasks.spawn(async move {
                    // What was fetched keeps its place among those at once until there is room for it: a slow index
                    // slows the fetching.
                    if let Some((answer, _permit)) = desk.answer(request).await {
                        // The pump may have stopped meanwhile.
                        let _ = inbox.send(Received::Input(Input::Answer(answer))).await;
                    }
                });
            }
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
}

struct Desk {
    network: Network,
    orders: Orders,
    at_once: Semaphore,
    per_host: Mutex<HashMap<String, Arc<Host>>>,
}

struct Host {
    at_once: Semaphore,
    /// Not before this moment, in microseconds since the Unix epoch: the host asked for rest.
    resting_until: Mutex<u64>,
}

impl Desk {
    async fn answer(&self, request: Request) -> Option<(Answer, Option<SemaphorePermit<'_>>)> {
        match request {
            Request::Identity { did, freshness } => {
                let identity = self.identity(&did, freshness).await;
                Some((Answer::Identity { did, identity }, None))
            }
            Request::Repo { did, held, attempt, not_before } => {
                self.network.clock.until(not_before).await;
                Some(self.repo(did, held, attempt).await)
            }
            Request::Audit { did, .. } => Some((Answer::Unaudited { did }, None)),
            Request::Record { .. } => None,
            Request::Hosting { did } => {
                let hosting = self.hosting(&did).await?;
                Some((Answer::Hosting { did, hosting }, None))
            }
        }
    }

    async fn identity(&self, did: &Did, freshness: Freshness) -> Result<Identity, Unresolved> {
        for attempt in 0..IDENTITY_TRIES {
            let permit = self.at_once.acquire().await;
            let resolved = self.network.directory.resolve(did, freshness).await;
            drop(permit);
            match resolved {
                Ok(identity) => return Ok(identity.as_ref().clone()),
                Err(error) if error.is_final() => {
                    tracing::debug!(%error, "an identity is of no use");
                    return Err(Unresolved::Gone);
                }
                Err(error) => {
                    tracing::debug!(%error, "an identity cannot be had now");
                    self.pause(attempt).await;
                }
            }
        }
        Err(Unresolved::Unreachable)
    }

    /// Tries until the repository is proven, or its host says that it serves it no more.
    async fn repo(
        &self,
        did: Did,
        held: Option<RepoHead>,
        attempt: u32,
    ) -> (Answer, Option<SemaphorePermit<'_>>) {
        let mut attempt = attempt;
        loop {
            if attempt > 0 {
                self.pause(attempt - 1).await;
            }
            self.orders.running().await;
            match self.try_repo(&did, held).await {
                Ok((answer, permit)) => return (answer, permit),
                Err(Failure::Pds(PdsError::Inactive(hosting))) => {
                    return (Answer::Hosting { did, hosting }, None);
                }
                // Without a DID there is no account.
                Err(Failure::Resolve(error)) if error.is_gone() => {
                    return (Answer::Hosting { did, hosting: Hosting::Deleted }, None);
                }
                Err(failure) => {
                    metrics::counter!("appview_fetch_failures_total").increment(1);
                    tracing::info!(%failure, attempt, "a repository cannot be proven now");
                }
            }
            attempt = attempt.saturating_add(1);
        }
    }

    async fn try_repo(
        &self,
        did: &Did,
        held: Option<RepoHead>,
    ) -> Result<(Answer, Option<SemaphorePermit<'_>>), Failure> {
        let network = &self.network;
        let identity = {
            let _permit = self.at_once.acquire().await;
            network.directory.resolve(did, Freshness::Fresh).await?
        };
        let pds = identity.pds().ok_or(Failure::NoPds)?.to_owned();
        let host = self.host(&pds);
        // The host's turn comes first: a host that rests must not keep others waiting.
        let _turn = host.at_once.acquire().await;
        host.rest(&network.clock).await;
        // Nobody closes the semaphore, so there is always a permit.
        let permit = self.at_once.acquire().await.ok();
        if let Some(held) = held
            && self.heed(&host, network.hosts.latest_rev(&pds, did).await)? == held.rev
        {
            return Ok((Answer::Current { did: did.clone(), head: held, identity }, permit));
        }
        let archive = self.heed(&host, network.hosts.repo(&pds, did).await)?;
        let (identity, repo) = match self.prove(archive, &identity).await {
            // A repository that moved in may still be signed by the key of the host that it left.
            Err(VerifyError::Signature(_)) => {
                let identity = network.directory.resolve_with_history(did).await?;
                let archive = self.heed(&host, network.hosts.repo(&pds, did).await)?;
                let repo = self.prove(archive, &identity).await?;
                (identity, repo)
            }
            proven => (identity, proven?),
        };
        Ok((Answer::Repo { repo, identity }, permit))
    }

    /// Proves an export; on a thread of its own if it is large, because that takes a while.
    async fn prove(&self, archive: Archive, identity: &Arc<Identity>) -> Result<VerifiedRepo, VerifyError> {
        let (identity, scope) = (Arc::clone(identity), self.network.scope.clone());
        let now = self.network.clock.now();
        in_place_or_beside(archive.block_bytes(), move || {
            verify_repo(archive, &identity, scope.as_str(), now)
        })
        .await
    }

    async fn hosting(&self, did: &Did) -> Option<Hosting> {
        for attempt in 0..IDENTITY_TRIES {
            let permit = self.at_once.acquire().await;
            let identity = self.network.directory.resolve(did, Freshness::Fresh).await;
            let said = match identity.as_ref().map(|identity| identity.pds()) {
                Ok(Some(pds)) => self.network.hosts.hosting(pds, did).await.ok(),
                // Without a DID there is no account.
                Err(error) if error.is_gone() => Some(Hosting::Deleted),
                Ok(None) | Err(_) => None,
            };
            drop(permit);
            if said.is_some() {
                return said;
            }
            self.pause(attempt).await;
        }
        None
    }

    /// Doubles with each attempt.
    async fn pause(&self, attempt: u32) {
        let pause = FIRST_PAUSE.saturating_mul(1 << attempt.min(16)).min(LONGEST_PAUSE);
        tokio::time::sleep(self.network.clock.jitter(pause)).await;
    }

    /// Notes a host's wish for rest.
    fn heed<T>(&self, host: &Host, answer: Result<T, PdsError>) -> Result<T, PdsError> {
        if let Err(PdsError::Http(HttpError::Status { status: 429 | 503, retry_after, .. })) = &answer {
            // Whatever stands in front of a host may say 429 and nothing more.
            let rest = retry_after.unwrap_or(Duration::from_secs(60)).min(LONGEST_PAUSE);
            if let Ok(mut until) = host.resting_until.lock() {
                *until = self.network.clock.now().saturating_add(micros(rest));
            }
        }
        answer
    }

    fn host(&self, pds: &str) -> Arc<Host> {
        let Ok(mut hosts) = self.per_host.lock() else { return Arc::new(Host::new()) };
        if hosts.len() > 10_000 {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        Arc::clone(hosts.entry(pds.to_owned()).or_insert_with(|| Arc::new(Host::new())))
    }
}

impl Host {
    fn new() -> Self {
        Self { at_once: Semaphore::new(AT_ONCE_PER_HOST), resting_until: Mutex::new(0) }
    }

    /// Waits until the host wants to be asked again.
    async fn rest(&self, clock: &Clock) {
        let until = self.resting_until.lock().map_or(0, |until| *until);
        clock.until(until).await;
    }
}
