//! One run: the engine follows a simulated network, dies now and then, is away when the script says so, is built anew in some
//! runs, and in the end holds what the ledger says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use appview_core::index::{FEED_RETENTION, Index, IndexError, IndexWriter};
use appview_core::query::ExportFilter;
use appview_core::record::{Catalog, Collection};
use appview_core::source::clock::Clock;
use appview_core::source::follow::{Answers, Following, Pulse, Source, follow_in_place};
use appview_core::source::network::Network;
use appview_core::source::pump::{Batch, Sink};
use appview_core::source::relay::RelayUrl;
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::Scope;
use appview_core::sync::verifier::Pace;
use fixtures::seed::Seed;
use fixtures::simulation::{self, Candour, Fired, Simulation, Status};

use crate::client::Clients;
use crate::death::{POINTS, SWAP_POINTS, live};
use crate::renewal::{self, Renewed};
use crate::wire::Simulated;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
/// How often it is looked whether the index is at rest.
const LOOK: u64 = 5 * MINUTE;
/// For how long it must be equal to the ledger without a break: every repository is audited meanwhile.
const REST: u64 = 20 * MINUTE;
/// The longest that it may take until then. Whoever has records and was never heard of is found by asking, which is done every
/// six hours.
const PATIENCE: u64 = 8 * 60 * MINUTE;

pub static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| Arc::new(Catalog::builtin().unwrap()));

/// What a run leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub fired: Fired,
    pub flips: BTreeMap<(Status, Status), u64>,
    /// At which points it was killed.
    pub deaths: BTreeMap<&'static str, u64>,
    /// How often a client of the feed had to start anew.
    pub gaps: u64,
    /// What became of indexes that were built anew.
    pub renewed: BTreeMap<Renewed, u64>,
    /// How long after the last event it was equal to the ledger for good, in microseconds.
    pub healed: u64,
}

/// The writer, lent to the engine until it ends.
struct Lent<'w> {
    writer: &'w mut IndexWriter,
}

impl AsRef<IndexWriter> for Lent<'_> {
    fn as_ref(&self) -> &IndexWriter {
        self.writer
    }
}

impl Sink for Lent<'_> {
    type Error = IndexError;

    fn write(&mut self, batch: Batch) -> Result<(), IndexError> {
        (&mut *self.writer).write(batch)
    }
}

/// When a life ends.
enum End<'l> {
    At(u64),
    /// When a look finds that it may.
    Seen(&'l mut dyn FnMut(u64) -> bool),
}

impl End<'_> {
    async fn wait(&mut self, clock: &Clock) {
        match self {
            Self::At(moment) => clock.until(*moment).await,
            Self::Seen(look) => {
                while !look(clock.now()) {
                    clock.until(clock.now() + LOOK).await;
                }
            }
        }
    }
}

struct Run {
    network: Arc<Mutex<Simulation>>,
    dice: Seed,
    now: u64,
    /// See [`Simulated`].
    looked_at: Arc<AtomicU64>,
    deaths: BTreeMap<&'static str, u64>,
    clients: Clients,
    /// How long the feed tells of what is gone.
    retention: Duration,
    /// From when on an index is built anew, until that is done.
    renews_at: Option<u64>,
    renewed: BTreeMap<Renewed, u64>,
}

/// Runs a seed.
///
/// # Errors
///
/// What the index holds and should not, or the other way round.
pub fn run(seed: u64, following: simulation::Following, candour: Candour) -> Result<Outcome, String> {
    let network = Simulation::start(seed, following, candour);
    let script = network.script().clone();
    let folder = tempfile::tempdir().unwrap();
    let mut others = Seed::new(seed ^ 0x6f74_6865_7273_2121);
    let is_renewed = others.one_in(3);
    let mut run = Run {
        network: Arc::new(Mutex::new(network)),
        dice: Seed::new(seed ^ 0x6c69_7665_7321),
        now: script.opens,
        looked_at: Arc::default(),
        deaths: BTreeMap::new(),
        clients: Clients::new(others.branch()),
        retention: match others.one_in(2) {
            true => Duration::from_secs(30 + others.below(200)),
            false => FEED_RETENTION,
        },
        renews_at: is_renewed.then(|| script.opens + others.below(script.calm - script.opens)),
        renewed: BTreeMap::new(),
    };
    for (from, until) in &script.absences {
        run.live_until(folder.path(), *from);
        run.now = run.now.max(*until);
    }
    // Often the engine that comes to rest is one that has lived through the trouble, and not one that begins after it.
    if run.dice.one_in(3) {
        run.live_until(folder.path(), script.ends);
    }
    let healed = run.rest(folder.path(), script.ends)?;
    if is_renewed {
        run.compare(folder.path())?;
    }
    let network = run.network.lock().unwrap();
    Ok(Outcome {
        fired: network.fired().clone(),
        flips: network.flips().clone(),
        deaths: run.deaths,
        gaps: run.clients.gaps(),
        renewed: run.renewed,
        healed: healed - script.ends,
    })
}

impl Run {
    /// Lives until a moment, however many lives that takes.
    fn live_until(&mut self, folder: &Path, until: u64) {
        while self.now < until {
            let is_renewed = self.renews_at.is_some_and(|at| at < until);
            let fate = match is_renewed && self.dice.one_in(2) {
                true => Some((self.dice.pick(&SWAP_POINTS), 0)),
                false => self.dice.one_in(3).then(|| (self.dice.pick(&POINTS), self.dice.below(60))),
            };
            let reached = live(fate, || self.life(folder, End::At(until)));
            if let (None, Some((point, _))) = (reached, fate) {
                *self.deaths.entry(point).or_default() += 1;
                // A killed process takes a while to come back.
                self.now =
                    self.now.max(self.looked_at.load(Ordering::Relaxed)) + self.dice.below(20 * SECOND);
            }
        }
    }

    /// Lives on until everything is over and the index has been equal to the ledger for long enough; gives the moment from which
    /// on it was.
    fn rest(&mut self, folder: &Path, ends: u64) -> Result<u64, String> {
        let index = Index::open(folder.join("index.db")).unwrap();
        let (network, patience) = (Arc::clone(&self.network), ends + PATIENCE);
        let mut equal_since = None;
        let mut look = |now: u64| {
            if now < ends {
                return false;
            }
            let is_equal = held(&index) == expected(&network, now);
            let since = *equal_since.get_or_insert(now);
            if !is_equal {
                equal_since = None;
            }
            (is_equal && now >= since + REST) || now >= patience
        };
        self.life(folder, End::Seen(&mut look));
        let Some(since) = equal_since else {
            return Err(difference(&expected(&self.network, patience), &held(&index)));
        };
        self.clients.rest(&index)?;
        let checked = index.reader().unwrap().check(|_| {}).unwrap();
        match checked.found {
            0 => Ok(since),
            _ => Err(format!("damage: {:?}", checked.damage)),
        }
    }

    /// One life of the engine, in virtual time.
    fn life(&mut self, folder: &Path, mut end: End<'_>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let (now, chance) = (self.now, self.dice.next_u64());
        self.now = runtime.block_on(async {
            let clock = Clock::of_runtime(now, chance);
            let index = Index::open(folder.join("index.db")).unwrap();
            let mut writer = index.writer(Arc::clone(&CATALOG)).unwrap();
            let mut following = self.following(&clock, folder);
            loop {
                writer.set_feed_retention(self.retention);
                let (asked, next) = (following.asked().unwrap(), following.again().unwrap());
                let (renews_at, mut anew) = (self.renews_at, None);
                let is_over = async {
                    tokio::select! {
                        biased;
                        () = end.wait(&clock) => {}
                        built = renewal::build(&index, &clock, asked, renews_at) => anew = Some(built),
                        () = self.clients.live(&clock, &index) => {}
                    }
                };
                let lent = Lent { writer: &mut writer };
                follow_in_place(lent, following, &Pulse::default(), is_over).await.unwrap();
                let Some(anew) = anew else { return clock.now() };
                let (renewed, swapped) = renewal::put(anew, writer, self.dice.one_in(2)).await;
                *self.renewed.entry(renewed).or_default() += 1;
                (self.renews_at, writer, following) = (None, swapped, next);
            }
        });
    }

    /// Holds the index, at rest, to one that is built from nothing.
    fn compare(&mut self, folder: &Path) -> Result<(), String> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let (now, chance) = (self.now, self.dice.next_u64());
        runtime.block_on(async {
            let clock = Clock::of_runtime(now, chance);
            let index = Index::open(folder.join("index.db")).unwrap();
            let asked = self.following(&clock, folder).asked().unwrap();
            let comparison = renewal::build(&index, &clock, asked, Some(now)).await.compare().unwrap();
            match comparison.is_whole() && comparison.agrees() == Some(true) {
                true => Ok(()),
                false => Err(format!("built from nothing, it differs: {comparison:?}")),
            }
        })
    }

    fn following(&self, clock: &Clock, folder: &Path) -> Following {
        let network = self.network.lock().unwrap();
        let simulated = Simulated::new(Arc::clone(&self.network), clock.clone(), Arc::clone(&self.looked_at));
        let wire = Arc::new(simulated);
        let outside = Outside { wire, clock: clock.clone(), reach: Reach::Public };
        let collections = Collection::ALL.iter().map(|collection| collection.nsid().parse().unwrap());
        let answers = Answers::Network {
            network: Network::new(&outside, &network.plc(), folder.to_owned(), Scope::default()),
            collections: collections.collect(),
        };
        let relays: Vec<RelayUrl> = network.relays().iter().map(|url| url.parse().unwrap()).collect();
        let sources = match network.jetstream() {
            Some(jetstream) => vec![Source::Jetstream(jetstream.parse().unwrap())],
            None => relays.iter().cloned().map(Source::Relay).collect(),
        };
        let pace = match network.script().candour {
            Candour::None => Pace::default(),
            // Nobody looks a second time.
            Candour::Honest => Pace { audit: u64::MAX, ..Pace::default() },
        };
        Following { directories: relays, pace, ..Following::new(sources, answers, outside) }
    }
}

/// What the ledger says.
fn expected(network: &Mutex<Simulation>, now: u64) -> BTreeMap<String, String> {
    let mut network = network.lock().unwrap();
    network.advance(now);
    let records = network.ledger().records_in("dev.cocore.");
    records.into_iter().map(|(uri, cid)| (uri, cid.to_string())).collect()
}

/// What the index shows.
fn held(index: &Index) -> BTreeMap<String, String> {
    let mut held = BTreeMap::new();
    let keep = |record: appview_core::query::RecordView| {
        held.insert(record.uri().to_string(), record.cid.to_string());
        Ok::<_, IndexError>(())
    };
    index.reader().unwrap().export(&ExportFilter::default(), keep).unwrap();
    held
}

pub fn difference(expected: &BTreeMap<String, String>, held: &BTreeMap<String, String>) -> String {
    let mut lines = Vec::new();
    for (uri, cid) in expected {
        match held.get(uri) {
            None => lines.push(format!("missing  {uri}")),
            Some(other) if other != cid => lines.push(format!("outdated {uri}: {other}, signed is {cid}")),
            Some(_) => {}
        }
    }
    lines.extend(held.keys().filter(|uri| !expected.contains_key(*uri)).map(|uri| format!("invented {uri}")));
    lines.join("\n")
}
