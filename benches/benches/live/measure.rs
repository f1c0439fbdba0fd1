//! The measurements: each starts a host and an engine, has frames sent, and looks at the index as any reader may.
//!
//! Signed worlds enter; figures leave. Nothing is asked of the engine itself: a row counts from when a reader of the index
//! file sees it, and memory and time are what the system counted of the engine's process.

use std::path::Path;
use std::time::{Duration, Instant};

use appview_core::index::IndexReader;
use appview_core::sync::Proof;
use appview_core::syntax::AtUri;
use tempfile::TempDir;

use crate::engine::{Engine, Process, Usage};
use crate::host::{Order, now_micros};
use crate::outcome::{Goal, Outcome};
use crate::worlds::{Sizes, Worlds};

/// Events a second at which the delay is measured; in one of a hundred of them is a row.
pub(crate) const PACES: [u64; 2] = [500, 5_000];
/// How many seconds longer the slower pace is kept up, so that there are enough rows to speak of a hundredth of them.
const LONGER: u64 = 2;
/// Which events of a steady pace are the market's.
const EVERY: u64 = 100;

/// How long anything may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often a reader looks for a row.
const LOOK: Duration = Duration::from_micros(250);
/// How long an engine rests before its memory counts as that of an idle one.
const REST: Duration = Duration::from_secs(5);

const MEGABYTE: f64 = 1_000_000.0;

/// What to measure.
pub(crate) struct Bench<'a> {
    pub(crate) sizes: Sizes,
    pub(crate) worlds: &'a Worlds,
}

/// One engine that follows one host.
struct Live {
    host: Process,
    url: String,
    folder: TempDir,
    engine: Engine,
}

impl Live {
    fn start(ours: &Path, foreign: &Path) -> Self {
        let (host, url) = Process::start("host", [ours, foreign]);
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::start(folder.path(), &url);
        Self { host, url, folder, engine }
    }

    /// A reader that looks until `seen` says that it is there.
    fn look_until(&self, pause: Duration, mut seen: impl FnMut(&IndexReader) -> bool) {
        let started = Instant::now();
        let mut reader = self.engine.index().reader().unwrap();
        while !seen(&reader) {
            assert!(started.elapsed() < PATIENCE, "what was sent never became rows");
            std::thread::sleep(pause);
            reader.refresh().unwrap();
        }
    }

    /// Waits until `repos` repositories are proven.
    fn until_proven(&self, repos: u64) {
        self.look_until(Duration::from_millis(5), |reader| {
            let states = reader.repo_states().map(Result::unwrap);
            states.filter(|followed| followed.state.proof == Proof::Full).count() as u64 == repos
        });
    }

    /// Has frames sent, and waits until the index has come as far. Tells how long that took, and what it cost.
    fn send_and_wait(&mut self, order: Order) -> (Duration, Usage) {
        let (started, before) = (Instant::now(), self.engine.usage());
        self.host.tell(&order.to_string());
        let last = self.host.line();
        let last: i64 = last.split(' ').next().unwrap().parse().unwrap();
        self.look_until(Duration::from_millis(2), |reader| {
            reader.cursors().unwrap().iter().any(|cursor| cursor.seq >= last)
        });
        let (took, after) = (started.elapsed(), self.engine.usage());
        (took, Usage { cpu: after.cpu.saturating_sub(before.cpu), ..after })
    }

    /// Has frames sent at a pace; tells for each row how long after its frame a reader saw it, sorted.
    fn delays(&mut self, order: Order, rows: &[AtUri]) -> Vec<u64> {
        self.host.tell(&order.to_string());
        let (mut next, mut seen) = (rows.iter().peekable(), Vec::new());
        self.look_until(LOOK, |reader| {
            while next.next_if(|uri| reader.record(uri).unwrap().is_some()).is_some() {
                seen.push(now_micros());
            }
            next.peek().is_none()
        });
        let sent = self.host.line();
        let sent = sent.split(' ').skip(1).map(|time| time.parse::<u64>().unwrap());
        let mut delays: Vec<u64> =
            seen.into_iter().zip(sent).map(|(seen, sent)| seen.saturating_sub(sent)).collect();
        assert_eq!(delays.len(), rows.len());
        delays.sort_unstable();
        delays
    }
}

impl Bench<'_> {
    /// How many commits of the market a steady pace takes.
    pub(crate) fn paced(sizes: Sizes, pace: u64) -> u64 {
        Self::order(sizes, pace).count / EVERY
    }

    fn order(sizes: Sizes, pace: u64) -> Order {
        let longer = if pace < 1_000 { LONGER } else { 1 };
        Order { count: pace * sizes.seconds * longer, pace, every: EVERY }
    }

    /// A market is fetched, heard of at a steady pace, then at full speed; at last the engine starts again and has nothing to
    /// do.
    pub(crate) fn market(&self, outcome: &mut Outcome) {
        let Sizes { repos, each, commits, .. } = self.sizes;
        let mut live = Live::start(&self.worlds.market, &self.worlds.foreign);
        let started = Instant::now();
        live.engine.go();
        live.until_proven(repos);
        let what = format!("{repos} repositories of {each} records fetched");
        self.note_rate(outcome, &what, "records", repos * each, started.elapsed(), live.engine.usage());

        let uris = std::fs::read_to_string(self.worlds.market.join("uris")).unwrap();
        let mut uris = uris.lines().map(|uri| uri.parse().unwrap());
        for pace in PACES {
            let order = Self::order(self.sizes, pace);
            let rows: Vec<AtUri> = uris.by_ref().take(Self::paced(self.sizes, pace) as usize).collect();
            let before = live.engine.usage();
            let delays = live.delays(order, &rows);
            let after = live.engine.usage();
            let part =
                |share: usize| delays[(delays.len() * share / 100).min(delays.len() - 1)] as f64 / 1_000.0;
            let goal = if pace == 5_000 { Goal::AtMost(25.0) } else { Goal::None };
            outcome.note(format!("frame to row at {pace} events/s, p50"), "ms", Goal::None, part(50));
            outcome.note(format!("frame to row at {pace} events/s, p99"), "ms", goal, part(99));
            let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / order.count as f64;
            outcome.note(format!("time of cores for an event at {pace} events/s"), "µs", Goal::None, cpu);
            let resident = after.resident as f64 / MEGABYTE;
            outcome.note(format!("resident memory at {pace} events/s"), "MB", Goal::None, resident);
        }

        let (took, usage) = live.send_and_wait(Order { count: commits, pace: 0, every: 1 });
        self.note_rate(outcome, "commits proven, and their rows", "commits", commits, took, usage);

        let Live { host, url, folder, engine } = live;
        engine.stop();
        let mut engine = Engine::start(folder.path(), &url);
        engine.go();
        std::thread::sleep(if self.sizes.seconds > 1 { REST } else { Duration::from_millis(100) });
        let resident = engine.usage().resident as f64 / MEGABYTE;
        outcome.note("resident memory, idle", "MB", Goal::AtMost(64.0), resident);
        engine.stop();
        drop(host);
    }

    /// Frames of which none is ours.
    pub(crate) fn foreign(&self, outcome: &mut Outcome) {
        let mut live = Live::start(&self.worlds.market, &self.worlds.foreign);
        live.engine.go();
        live.until_proven(self.sizes.repos);
        // The first of a connection, so that what is measured is the rest.
        live.send_and_wait(Order { count: 1, pace: 0, every: 0 });
        let count = self.sizes.refused;
        // The last is ours: with its row the cursor is written at once.
        let (took, usage) = live.send_and_wait(Order { count, pace: 0, every: count });
        self.note_rate(outcome, "frames refused, none of them ours", "frames", count, took, usage);
        live.engine.stop();
    }

    /// Repositories that are large files, of records of the usual size and of small ones.
    pub(crate) fn large(&self, outcome: &mut Outcome) {
        self.export(&self.worlds.large, self.sizes.large, outcome);
        self.export(&self.worlds.small, self.sizes.small, outcome);
    }

    fn export(&self, world: &Path, records: u64, outcome: &mut Outcome) {
        let mut live = Live::start(world, &self.worlds.foreign);
        let started = Instant::now();
        live.engine.go();
        live.until_proven(1);
        let (took, usage) = (started.elapsed(), live.engine.usage());
        let car = std::fs::read_dir(world.join("repos")).unwrap().next().unwrap().unwrap();
        let megabytes = car.metadata().unwrap().len() as f64 / MEGABYTE;
        let what = format!("one repository of {records} records, {megabytes:.0} MB, fetched");
        self.note_rate(outcome, &what, "records", records, took, usage);
        let peak = usage.peak as f64 / MEGABYTE;
        outcome.note(format!("{what}: most resident memory"), "MB", Goal::AtMost(256.0), peak);
        live.engine.stop();
    }

    fn note_rate(
        &self,
        outcome: &mut Outcome,
        what: &str,
        unit: &'static str,
        count: u64,
        took: Duration,
        usage: Usage,
    ) {
        let (per_second, goal) = match unit {
            "records" => ("records/s", 60_000.0),
            "commits" => ("commits/s", 15_000.0),
            _ => ("frames/s", 300_000.0),
        };
        outcome.note(what, per_second, Goal::AtLeast(goal), count as f64 / took.as_secs_f64());
        let each = usage.cpu.as_secs_f64() * 1e6 / count as f64;
        outcome.note(format!("{what}: time of cores for each"), "µs", Goal::None, each);
    }
}
