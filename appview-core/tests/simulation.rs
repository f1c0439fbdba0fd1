//! Whatever a network does, the index ends as what was signed, and so does whoever reads its feed: on simulated networks, each
//! of a seed and with faults of its own, in which the real engine lives in virtual time, is killed and comes back, and in some
//! is built anew from the network in the middle of it all.
//!
//! There are two kinds of them. In one anything may be kept back or told wrongly, and audits make it good. The other keeps its word
//! and fails all the same, in connections, requests and cursors: there nobody audits, so that nothing hides what is lost on
//! the way. `APPVIEW_SEEDS=from..to` chooses the seeds, and `just simulate` runs many. A seed that fails says how to run
//! it alone.
#![cfg(feature = "net")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests"
)]

mod consumer;

#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/death.rs"]
mod death;
#[path = "simulation/renewal.rs"]
mod renewal;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fixtures::simulation::{Candour, Fault, Following, Status};

use death::{POINTS, SWAP_POINTS};
use renewal::Renewed;
use run::{Outcome, run};

/// Seeds of a test run, unless others are wanted: enough for every fault to fire.
const SEEDS: Range<u64> = 0..200;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("APPVIEW_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("APPVIEW_SEEDS is from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// Whom the consumer of a seed follows.
fn following(seed: u64) -> Following {
    Following::ALL[(seed % 4) as usize]
}

#[test]
fn whatever_a_network_does_the_index_ends_as_what_was_signed() {
    let seeds = seeds();
    let sum = run_all(seeds.clone(), Candour::None);
    println!("{sum}");
    assert!(sum.failed.is_empty(), "of {seeds:?}, these failed: {:?}", sum.failed);
    if seeds == SEEDS {
        sum.assert_met(&Fault::ALL);
        // What is deleted comes back in one way.
        assert_eq!(sum.flips.len(), 4 * 4 + 1, "every status follows every other: {:?}", sum.flips);
    }
}

#[test]
fn what_a_network_says_that_keeps_its_word_is_known_without_an_audit() {
    let seeds = seeds();
    let sum = run_all(seeds.clone(), Candour::Honest);
    println!("{sum}");
    assert!(sum.failed.is_empty(), "of {seeds:?}, these failed: {:?}", sum.failed);
    if seeds == SEEDS {
        sum.assert_met(&Fault::HARMLESS);
    }
}

#[test]
fn a_seed_is_one_run() {
    for seed in 0..4 {
        for candour in [Candour::Honest, Candour::None] {
            let [one, other] = [seed; 2].map(|seed| run(seed, following(seed), candour));
            assert_eq!(one, other);
        }
    }
}

/// Runs all seeds, on every core there is.
fn run_all(seeds: Range<u64>, candour: Candour) -> Sum {
    let (next, sum) = (AtomicU64::new(seeds.start), Mutex::new(Sum::default()));
    let started = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            // What panics is told like any other end.
            let outcome = catch_unwind(|| run(seed, following(seed), candour))
                .unwrap_or_else(|_| Err("a panic, told above".to_owned()));
            let mut sum = sum.lock().unwrap();
            sum.add(seed, candour, outcome);
            if sum.runs.is_multiple_of(1_000) {
                println!("{} runs after {} s", sum.runs, started.elapsed().as_secs());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    sum.into_inner().unwrap()
}

/// What many runs add up to.
#[derive(Default)]
struct Sum {
    runs: u64,
    fired: BTreeMap<Fault, u64>,
    flips: BTreeMap<(Status, Status), u64>,
    deaths: BTreeMap<&'static str, u64>,
    gaps: u64,
    renewed: BTreeMap<Renewed, u64>,
    /// The longest that it took after the last event to be equal to the ledger, in microseconds, and the seed of it.
    slowest: (u64, u64),
    failed: Vec<u64>,
}

impl Sum {
    /// Whatever may happen did.
    fn assert_met(&self, faults: &[Fault]) {
        let missing: Vec<&Fault> = faults.iter().filter(|fault| !self.fired.contains_key(fault)).collect();
        assert_eq!(missing, [&Fault::Dropped; 0], "every fault fires");
        let points = POINTS.into_iter().chain(SWAP_POINTS);
        let missing: Vec<&str> = points.filter(|point| !self.deaths.contains_key(point)).collect();
        assert_eq!(missing, [""; 0], "it is killed at every point");
        assert!(self.gaps > 0, "a client of the feed is told that it has missed something");
        let missing: Vec<Renewed> =
            Renewed::ALL.into_iter().filter(|renewed| !self.renewed.contains_key(renewed)).collect();
        assert_eq!(missing, [], "what is built anew meets every end");
    }

    fn add(&mut self, seed: u64, candour: Candour, outcome: Result<Outcome, String>) {
        self.runs += 1;
        match outcome {
            Ok(outcome) => {
                add(&mut self.fired, outcome.fired);
                add(&mut self.flips, outcome.flips);
                add(&mut self.deaths, outcome.deaths);
                self.gaps += outcome.gaps;
                add(&mut self.renewed, outcome.renewed);
                self.slowest = self.slowest.max((outcome.healed, seed));
            }
            Err(difference) => {
                let (following, end) = (following(seed), seed + 1);
                let test = if candour == Candour::Honest { "its_word" } else { "whatever" };
                println!(
                    "seed {seed} ({following:?}, {candour:?}) ends as something else than was signed:\n{difference}"
                );
                println!(
                    "alone: APPVIEW_SEEDS={seed}..{end} cargo test -p appview-core --features net --test simulation {test}\n"
                );
                self.failed.push(seed);
            }
        }
    }
}

fn add<K: Ord>(sum: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    more.into_iter().for_each(|(key, count)| *sum.entry(key).or_default() += count);
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (micros, seed) = self.slowest;
        writeln!(f, "{} runs; the slowest to heal took {} s (seed {seed})", self.runs, micros / 1_000_000)?;
        writeln!(f, "killed at {:?}", self.deaths)?;
        writeln!(f, "built anew: {:?}; started anew with the feed: {} times", self.renewed, self.gaps)?;
        writeln!(f, "fired {:?}", self.fired)?;
        write!(f, "statuses {:?}", self.flips)
    }
}
