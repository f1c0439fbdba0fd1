//! Deleting a person's records in their own repository, with their session.
//!
//! What a repository has is asked of its PDS, never known: each collection of our namespace that it names, be it known to us or not. Keys
//! are listed from the beginning again and again until there are none, and deleted in commits as large as a PDS takes, so that nothing
//! has to be remembered between two requests. What a PDS wants to have waited for is waited for. Deliberately absent:
//! anybody else's records, and other namespaces.

use std::collections::BTreeSet;

use appview_core::record::NAMESPACE;
use appview_core::source::http::{Heard, HttpError};
use appview_core::source::pds::{Hosts, PdsError};
use appview_core::source::turns::Urgency;
use appview_core::sync::{Freshness, Hosting};
use appview_core::syntax::{Nsid, RecordKey, Tid};
use serde_json::Value as Json;

use super::look::count;
use super::report::Wait;
use super::work::{Halt, Work};
use crate::account::{Actor, WipeStep};
use crate::oauth::{MOST_WRITES, OurCollection, SessionError, Terms, Use, Write};

/// How often what is new is deleted before it is waited for an end of it.
const ROUNDS: u32 = 3;
/// The longest that a PDS's wish to be left alone is heeded, in seconds.
const LONGEST_REST: u64 = 60 * 60;

/// Where a repository is.
struct Home {
    hosts: Hosts,
    pds: String,
    /// Its newest revision.
    rev: Tid,
}

/// What came of a batch.
enum Deleted {
    /// So many are gone.
    Gone(u64),
    /// The PDS does not let us.
    Refused(String),
}

impl Work {
    /// Deletes all there is, and looks whether there is nothing any more.
    pub(super) async fn repo(&mut self) -> Result<WipeStep, Halt> {
        for _ in 0..ROUNDS {
            let Some(home) = self.home().await? else {
                // There is no repository, and so nothing in it.
                self.report.rev = None;
                self.moved();
                return Ok(WipeStep::Index);
            };
            for collection in self.collections(&home).await? {
                self.empty(&home, &collection).await?;
            }
            // Named again, because it may be another list by now.
            let collections = self.collections(&home).await?;
            if collections.iter().all(|collection| self.refused.contains(collection)) {
                // As of when it was seen so.
                self.report.rev = self.home().await?.map(|home| home.rev);
                self.moved();
                return Ok(WipeStep::Index);
            }
        }
        Err(self.retry(None, "something new was published meanwhile".to_owned()))
    }

    /// How many records there are.
    pub(super) async fn left(&mut self) -> Result<u64, Halt> {
        let Some(home) = self.home().await? else { return Ok(0) };
        let mut all = 0_u64;
        for collection in self.collections(&home).await? {
            let left = count(&home.hosts, &home.pds, &self.wipe.did, &collection).await;
            let left = left.map_err(|error| self.unanswered(Some(&collection), &error))?;
            self.report.repo.entry(collection.to_string()).or_default().left = left;
            all = all.saturating_add(left);
        }
        Ok(all)
    }

    /// Where the repository is; none if there is none.
    async fn home(&mut self) -> Result<Option<Home>, Halt> {
        let Some(network) = self.wiper.0.terms.network.clone() else {
            let why = "files stand in for the network here: no repository can be asked".to_owned();
            return Err(self.wait(Wait::Service, None, why));
        };
        let identity = match network.directory.resolve(&self.wipe.did, Freshness::Fresh).await {
            Ok(identity) => identity,
            Err(error) if error.is_gone() => return Ok(None),
            Err(error) => return Err(self.retry(None, error.to_string())),
        };
        let Some(pds) = identity.pds().map(str::to_owned) else { return Ok(None) };
        let hosts = network.hosts.with(Urgency::Live);
        match hosts.latest_rev(&pds, &self.wipe.did).await {
            Ok(rev) => Ok(Some(Home { hosts, pds, rev })),
            Err(PdsError::Inactive(Hosting::Deleted)) => Ok(None),
            Err(error @ PdsError::Inactive(_)) => Err(self.wait(Wait::Account, None, error.to_string())),
            Err(error) => Err(self.unanswered(None, &error)),
        }
    }

    async fn collections(&mut self, home: &Home) -> Result<Vec<Nsid>, Halt> {
        let collections = home.hosts.collections(&home.pds, &self.wipe.did, NAMESPACE).await;
        fail::fail_point!("wipe::listed");
        collections.map_err(|error| self.unanswered(None, &error))
    }

    /// Deletes what a collection has, as far as its PDS lets us.
    async fn empty(&mut self, home: &Home, collection: &Nsid) -> Result<(), Halt> {
        let mut before = BTreeSet::new();
        while !self.refused.contains(collection) {
            let keys = self.first_keys(home, collection).await?;
            let name = collection.to_string();
            self.report.repo.entry(name.clone()).or_default().left = keys.len() as u64;
            if keys.is_empty() {
                return Ok(());
            }
            if keys == before {
                return Err(
                    self.retry(Some(collection), "the pds goes on listing what it has deleted".to_owned())
                );
            }
            match self.delete(collection, &keys).await? {
                Deleted::Gone(gone) => {
                    let emptied = self.report.repo.entry(name).or_default();
                    emptied.deleted = emptied.deleted.saturating_add(gone);
                    emptied.left = 0;
                    self.moved();
                    self.save().await?;
                }
                Deleted::Refused(why) => {
                    self.problem(Some(collection), why);
                    self.refused.insert(collection.clone());
                }
            }
            before = keys;
        }
        Ok(())
    }

    /// As many keys of a collection as one commit deletes.
    async fn first_keys(&mut self, home: &Home, collection: &Nsid) -> Result<BTreeSet<RecordKey>, Halt> {
        let (mut keys, mut cursor) = (BTreeSet::new(), None);
        loop {
            let page = home.hosts.record_keys(&home.pds, &self.wipe.did, collection, cursor.as_deref()).await;
            let (found, next) = page.map_err(|error| self.unanswered(Some(collection), &error))?;
            let room = MOST_WRITES.saturating_sub(keys.len());
            keys.extend(found.into_iter().take(room));
            cursor = next;
            if cursor.is_none() || keys.len() >= MOST_WRITES {
                return Ok(keys);
            }
        }
    }

    async fn delete(&mut self, collection: &Nsid, keys: &BTreeSet<RecordKey>) -> Result<Deleted, Halt> {
        let Ok(ours) = collection.as_str().parse::<OurCollection>() else {
            return Ok(Deleted::Refused("it is none of our namespace".to_owned()));
        };
        let writes = keys.iter().map(|rkey| Write::Delete { collection: ours.clone(), rkey: rkey.clone() });
        let together = Use::Apply { writes: writes.collect(), swap_commit: None };
        fail::fail_point!("wipe::before-delete");
        let heard = self.say(collection, &together).await?;
        fail::fail_point!("wipe::after-delete");
        match heard.status {
            200..=299 => return Ok(Deleted::Gone(keys.len() as u64)),
            401 | 403 => return Ok(Deleted::Refused(told(&heard))),
            // One of them may be gone already, which is no fault if each is deleted alone.
            _ => {}
        }
        let mut gone = 0_u64;
        for rkey in keys {
            let alone = Use::Delete { collection: ours.clone(), rkey: rkey.clone(), terms: Terms::default() };
            let heard = self.say(collection, &alone).await?;
            match heard.status {
                200..=299 => gone = gone.saturating_add(1),
                _ => return Ok(Deleted::Refused(told(&heard))),
            }
        }
        Ok(Deleted::Gone(gone))
    }

    /// Uses the session; what the PDS answers is what it says about the records, and not about itself.
    async fn say(&mut self, collection: &Nsid, what: &Use) -> Result<Heard, Halt> {
        let Some(oauth) = self.wiper.0.terms.oauth.clone() else {
            let why = "nobody can sign in here, so that their records cannot be deleted".to_owned();
            return Err(self.wait(Wait::SignIn, None, why));
        };
        let heard = match oauth.carry_out(&self.wipe.did, what, &Actor::Daemon).await {
            Ok(heard) => heard,
            Err(error @ (SessionError::SignIn { .. } | SessionError::Client { .. })) => {
                let why = match error {
                    SessionError::SignIn { .. } => "the session is over: sign in again".to_owned(),
                    error => error.to_string(),
                };
                return Err(self.wait(Wait::SignIn, None, why));
            }
            Err(SessionError::Account(error)) => return Err(error.into()),
            Err(error) => return Err(self.retry(Some(collection), error.to_string())),
        };
        match heard.status {
            429 => {
                let pause = rest(&heard, self.wiper.now());
                self.problem(Some(collection), "the pds wants to be left alone for a while".to_owned());
                Err(Halt::Wait(Wait::Service, self.wiper.now().saturating_add(pause)))
            }
            500.. => Err(self.retry(Some(collection), told(&heard))),
            _ => Ok(heard),
        }
    }

    fn unanswered(&mut self, collection: Option<&Nsid>, error: &PdsError) -> Halt {
        match error {
            PdsError::Inactive(_) => self.wait(Wait::Account, collection, error.to_string()),
            PdsError::Http(HttpError::Resting { .. }) => {
                self.retry(collection, "the pds wants to be left alone for a while".to_owned())
            }
            error => self.retry(collection, error.to_string()),
        }
    }
}

/// For how long a PDS wants to be left alone, in microseconds: at least a second, and an hour at most.
fn rest(heard: &Heard, now: u64) -> u64 {
    let number = |name: &str| heard.headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    let until = number("ratelimit-reset").map(|at| at.saturating_sub(now / 1_000_000));
    let seconds = number("retry-after").or(until).unwrap_or(10);
    seconds.clamp(1, LONGEST_REST).saturating_mul(1_000_000)
}

/// What a PDS says, in short.
fn told(heard: &Heard) -> String {
    const LONGEST: usize = 200;
    let body: Option<Json> = serde_json::from_slice(&heard.body).ok();
    let text = |name: &str| body.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let (name, message) = (text("error").unwrap_or_default(), text("message").unwrap_or_default());
    let told = format!("the pds says {} {name} {message}", heard.status);
    told.trim_end().chars().take(LONGEST).collect()
}
