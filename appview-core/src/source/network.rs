//! Answers to the pump's requests from the network: identities from directories, repositories from their PDSes.
//!
//! Requests enter without waiting; answers leave as inputs of the pump. A repository is answered for, however long that
//! takes: each failure is told, with the moment of the next try, so that it can outlive the process. An identity is
//! answered for after three tries at the latest, as unreachable, and at once while too many are asked for; a hosting
//! that three tries cannot find out, and a record that one cannot prove or that is one too many, not at all. Requests wait as errands (`errand`)
//! before the places where they have to go; what is done there is in `visit`. Deliberately absent: any judgement of
//! repositories; that is [`verify_repo`](crate::sync::verify::verify_repo)'s.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::authority::Authorities;
use super::backlog::Progress;
use super::clock::{Clock, micros};
use super::directory::Directory;
use super::discovery::Search;
use super::errand::{Errand, Lane, Lanes, Later, Open, Question, Questions, What};
use super::http::{Http, origin};
use super::kept::Wanted;
use super::orders::Orders;
use super::pds::Hosts;
use super::pump::{Answer, Request, Upstream};
use super::queue::Outbox;
use super::spool::Spool;
use super::turns::{Politeness, Urgency};
use super::visit::{Desk, Ended, LONGEST_PAUSE, pause};
use super::wire::Outside;
use crate::sync::verifier::Unresolved;
use crate::sync::{Freshness, Scope};
use crate::syntax::Did;

/// How often the log tells how far fetching has come, in microseconds.
const REPORT: u64 = 60_000_000;
/// How many identities may be asked for at once: a directory tells ten in a second, and a stream may name as many DIDs as it
/// likes.
const MOST_IDENTITIES: usize = 10_000;
/// How many single records may be asked for at once: a stream of hints may name as many as it likes, and each is a part of a
/// repository that is fetched anyway.
const MOST_RECORDS: usize = 10_000;

/// What is needed to ask the network.
#[derive(Debug, Clone)]
pub struct Network {
    /// Resolves DIDs.
    pub directory: Directory,
    /// Fetches repositories.
    pub hosts: Hosts,
    /// Fetches the documents of brokers and exchanges.
    pub authorities: Authorities,
    /// Asks whoever else is to be asked, as politely as all of these.
    pub http: Http,
    /// What time it is.
    pub clock: Clock,
    /// What is indexed.
    pub scope: Scope,
    /// How far fetching has come.
    pub progress: Progress,
    /// Has everyone asked at once who has records.
    pub search: Search,
    politeness: Politeness,
}

impl Network {
    /// Asks `plc` (a URL) about did:plc, and every other host as far as `outside` reaches; large exports are spooled to unnamed
    /// files in the folder `spool`.
    #[must_use]
    pub fn new(outside: &Outside, plc: &str, spool: PathBuf, scope: Scope) -> Self {
        Self::politely(outside, plc, spool, scope, Politeness::default())
    }

    /// The same as politely as this: for hosts of one's own, say.
    #[must_use]
    pub fn politely(
        outside: &Outside,
        plc: &str,
        spool: PathBuf,
        scope: Scope,
        politeness: Politeness,
    ) -> Self {
        let http = Http::new(outside, politeness);
        let clock = outside.clock.clone();
        Self {
            directory: Directory::new(http.clone(), clock.clone(), plc),
            authorities: Authorities::new(&http, clock.clone(), plc),
            hosts: Hosts::new(http.clone(), Spool::new(spool)),
            http,
            clock,
            scope,
            progress: Progress::default(),
            search: Search::default(),
            politeness,
        }
    }

    /// The pump's end, and the work to be spawned beside it. It sends answers to `inbox` until that is closed.
    pub fn start(self, inbox: Outbox, orders: Orders) -> (Asking, impl Future<Output = ()>) {
        let (sender, requests) = mpsc::unbounded_channel();
        let places = |count| Arc::new(Semaphore::new(count));
        let (identities, records) = (places(MOST_IDENTITIES), places(MOST_RECORDS));
        let asking = Asking { requests: sender, identities, records, search: self.search.clone() };
        let work = Work {
            desk: Arc::new(Desk { network: self, orders, inbox }),
            questions: Questions::new(),
            lanes: Lanes::default(),
            later: Later::default(),
            visits: JoinSet::new(),
            report_at: 0,
        };
        (asking, work.run(requests))
    }
}

/// A request, with its place among those that may be open at once.
type Asked = (Request, Option<OwnedSemaphorePermit>);

/// The pump's end: hands requests over.
#[derive(Debug)]
pub struct Asking {
    requests: mpsc::UnboundedSender<Asked>,
    identities: Arc<Semaphore>,
    records: Arc<Semaphore>,
    search: Search,
}

impl Upstream for Asking {
    fn ask(&mut self, request: Request) -> Option<Answer> {
        let place = match &request {
            Request::Identity { did, .. } => {
                let Ok(place) = Arc::clone(&self.identities).try_acquire_owned() else {
                    metrics::counter!("appview_identities_total", "how" => "no-room").increment(1);
                    let identity = Err(Unresolved::Unreachable);
                    return Some(Answer::Identity { did: did.clone(), identity });
                };
                Some(place)
            }
            Request::Record { .. } => {
                let Ok(place) = Arc::clone(&self.records).try_acquire_owned() else {
                    metrics::counter!("appview_records_fetched_total", "outcome" => "no-room").increment(1);
                    return None;
                };
                Some(place)
            }
            Request::Repo { .. } | Request::Hosting { .. } | Request::Audit { .. } => None,
        };
        // Unbounded, but whoever receives never waits, and keeps one errand of each kind for each repository. Nobody
        // receives any more only when everything is about to stop.
        let _ = self.requests.send((request, place));
        None
    }

    fn discover(&mut self) -> Vec<Did> {
        self.search.begin();
        Vec::new()
    }
}

/// All errands, wherever they are.
struct Work {
    desk: Arc<Desk>,
    questions: Questions,
    lanes: Lanes,
    later: Later,
    visits: JoinSet<(Option<Way>, Question, Ended)>,
    report_at: u64,
}

/// A lane, and how many may be under way in it.
#[derive(Debug, Clone)]
struct Way {
    lane: Lane,
    at_once: usize,
}

impl Work {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<Asked>) {
        let clock = self.desk.network.clock.clone();
        loop {
            let wake = self.wake();
            tokio::select! {
                biased;
                Some(ended) = self.visits.join_next(), if !self.visits.is_empty() => match ended {
                    Ok((way, question, ended)) => self.end(way, &question, ended),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                request = requests.recv() => match request {
                    Some((request, place)) => self.take(request, place),
                    None => return,
                },
                () = clock.until(wake.unwrap_or_default()), if wake.is_some() => self.go_on(clock.now()),
            }
        }
    }

    /// When there is something to do, though nothing happens.
    fn wake(&self) -> Option<u64> {
        let report = (self.lanes.waiting() > 0).then_some(self.report_at);
        self.later.next().into_iter().chain(report).min()
    }

    fn go_on(&mut self, now: u64) {
        while let Some(errand) = self.later.take_due(now) {
            let Network { progress, directory, .. } = &self.desk.network;
            if let What::Repo { .. } = errand.what {
                progress.retry(now);
            }
            let errand = match errand.what {
                What::Repo { .. } | What::Hosting if errand.is_too_old(now) => errand.renew(directory),
                _ => errand,
            };
            if let Some(open) = self.questions.get_mut(&errand.question()) {
                open.later = None;
            }
            self.route(errand);
        }
        if self.lanes.waiting() > 0 && now >= self.report_at {
            self.report_at = now.saturating_add(REPORT);
            let backlog = self.desk.network.progress.read(now);
            if backlog.waiting > 0 {
                let left_s = backlog.left.map(|left| left.as_secs());
                let (settled, waiting, put_off) = (backlog.settled, backlog.waiting, backlog.put_off);
                tracing::info!(settled, waiting, put_off, left_s, "repositories are being fetched");
            }
        }
    }

    fn take(&mut self, request: Request, place: Option<OwnedSemaphorePermit>) {
        let (errand, not_before) = self.errand(request);
        let question = errand.question();
        let Some(open) = self.questions.get_mut(&question) else {
            self.questions.insert(question, Open::new(place));
            return self.begin(errand, not_before);
        };
        match open.later.and_then(|time| Some((time, self.later.take(time)?))) {
            Some(((until, _), waiting)) => {
                let (waiting, until) = self.join(waiting, until, errand, not_before);
                self.wait(waiting, until);
            }
            // Its answer may be on the way already, and be of before.
            None => open.newer = Some((errand, not_before)),
        }
    }

    /// A request as an errand, and the moment before which it need not be answered; 0 for at once.
    fn errand(&self, request: Request) -> (Errand, u64) {
        let Network { directory, clock, .. } = &self.desk.network;
        let now = clock.now();
        let errand = |did, what, attempt, freshness| {
            let wanted = directory.wanted(freshness);
            Errand { did, what, asked_at: now, came_at: now, attempt, wanted, identity: None, found_at: 0 }
        };
        match request {
            Request::Identity { did, freshness } => (errand(did, What::Identity, 0, freshness), 0),
            Request::Repo { did, held, attempt, not_before } => {
                (errand(did, What::Repo { held }, attempt, Freshness::Fresh), not_before)
            }
            Request::Hosting { did } => (errand(did, What::Hosting, 0, Freshness::Fresh), 0),
            Request::Audit { did, held } => (errand(did, What::Audit { held }, 0, Freshness::Cached), 0),
            Request::Record { did, path } => (errand(did, What::Record { path }, 0, Freshness::Cached), 0),
        }
    }

    /// When an errand that was just asked for is due, in microseconds since the Unix epoch.
    fn due(&self, errand: &Errand, not_before: u64) -> u64 {
        let Network { directory, clock, .. } = &self.desk.network;
        let now = clock.now();
        match errand.what {
            What::Identity if errand.wanted != Wanted::Cached => directory.refresh_at(&errand.did),
            What::Repo { .. } if not_before > 0 => {
                // A clock that was wrong when the moment was noted delays nothing for long.
                not_before.min(now.saturating_add(micros(LONGEST_PAUSE)))
            }
            What::Repo { .. } if errand.attempt > 0 => pause(clock, errand.attempt),
            _ => now,
        }
    }

    fn begin(&mut self, errand: Errand, not_before: u64) {
        let Network { progress, clock, .. } = &self.desk.network;
        let now = clock.now();
        if let What::Repo { .. } = errand.what {
            progress.add(now);
        }
        let due = self.due(&errand, not_before);
        if due > now { self.put_off(errand, due) } else { self.route(errand) }
    }

    /// Makes one errand of one that is put off until a moment and what was asked since, and tells until when that is put
    /// off. Only a fetch is hurried: nothing else waits for long.
    fn join(&mut self, mut errand: Errand, until: u64, newer: Errand, not_before: u64) -> (Errand, u64) {
        let is_fetch = matches!(errand.what, What::Repo { .. });
        let due = if is_fetch { self.due(&newer, not_before) } else { until };
        errand.join(newer);
        let open = self.questions.get_mut(&errand.question());
        let until = open.map_or(until, |open| open.hurry(until, due));
        (errand, until)
    }

    fn put_off(&mut self, errand: Errand, until: u64) {
        if let What::Repo { .. } = errand.what {
            self.desk.network.progress.put_off();
        }
        let (errand, until) = match self.newer(&errand) {
            Some((newer, not_before)) => self.join(errand, until, newer, not_before),
            None => (errand, until),
        };
        self.wait(errand, until);
    }

    fn wait(&mut self, errand: Errand, until: u64) {
        let question = errand.question();
        let time = self.later.put(until, errand);
        if let Some(open) = self.questions.get_mut(&question) {
            open.later = Some(time);
        }
    }

    /// Sends an errand to where it has to go next.
    fn route(&mut self, mut errand: Errand) {
        match self.way(&mut errand) {
            None => self.set_out(None, errand),
            Some((place, at_once)) => {
                let way = Way { lane: self.lanes.enter(place, errand), at_once };
                self.let_out(&way);
            }
        }
    }

    /// The place where an errand has to go next, and how many may be on their way there; none if it has to go nowhere.
    fn way(&self, errand: &mut Errand) -> Option<(Arc<str>, usize)> {
        let Network { directory, politeness, clock, .. } = &self.desk.network;
        if errand.identity.is_none() {
            match directory.known(&errand.did, errand.wanted) {
                Some(Ok(identity)) if !matches!(errand.what, What::Identity) => {
                    errand.know(identity, clock.now());
                }
                Some(_) => return None,
                None => {}
            }
        }
        let (url, manners) = match &errand.identity {
            Some(identity) => (identity.pds()?.to_owned(), politeness.host),
            None => directory.place(&errand.did).ok()?,
        };
        let at_once = if errand.urgency() == Urgency::Audit { 1 } else { manners.at_once };
        Some((origin(&Url::parse(&url).ok()?).into(), at_once))
    }

    fn let_out(&mut self, way: &Way) {
        while let Some(errand) = self.lanes.set_out(&way.lane, way.at_once) {
            self.set_out(Some(way.clone()), errand);
        }
        let (place, urgency) = &way.lane;
        // Those who have set out find out whether the host is back. Whoever else waits for it would wait behind them, an
        // hour for each, and would not hear that its account has moved.
        if *urgency == Urgency::Fetch
            && let Some(until) = self.desk.network.hosts.long_rest(place)
        {
            for errand in self.lanes.clear(&way.lane) {
                self.put_off(errand, until);
            }
        }
        self.lanes.tidy(&way.lane);
    }

    fn set_out(&mut self, way: Option<Way>, mut errand: Errand) {
        if let Some((newer, _)) = self.newer(&errand) {
            errand.join(newer);
        }
        let desk = Arc::clone(&self.desk);
        let question = errand.question();
        self.visits.spawn(async move { (way, question, desk.visit(errand).await) });
    }

    /// What was asked of the same kind and the same DID since.
    fn newer(&mut self, errand: &Errand) -> Option<(Errand, u64)> {
        self.questions.get_mut(&errand.question())?.newer.take()
    }

    fn end(&mut self, way: Option<Way>, question: &Question, ended: Ended) {
        if let Some(way) = way {
            self.lanes.leave(&way.lane);
            self.let_out(&way);
        }
        match ended {
            Ended::Done => match self.questions.get_mut(question).and_then(|open| open.newer.take()) {
                Some((errand, not_before)) => self.begin(errand, not_before),
                None => {
                    self.questions.remove(question);
                }
            },
            Ended::Onward(errand) => self.route(errand),
            Ended::Again(errand, until) => self.put_off(errand, until),
        }
    }
}
