//! Whatever a network does, the index ends as what was signed: on simulated networks, each of a seed and with faults of its own,
//! in which the real engine lives in virtual time, is killed and comes back.
//!
//! `APPVIEW_SEEDS=from..to` chooses the seeds, and `just simulate` runs many. A seed that fails says how to run it alone.
#![cfg(feature = "net")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests"
)]

#[path = "simulation/death.rs"]
mod death;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use fixtures::simulation::{Candour, Fault, Following, Status};

use death::POINTS;
use run::{Outcome, run};

/// Seeds of a test run, unless others are wanted: enough for every fault to fire.
const SEEDS: Range<u64> = 0..300;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("APPVIEW_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("APPVIEW_SEEDS is from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

/// Whom the consumer of a seed follows.
fn following(seed: u64) -> Following {
    Following::ALL[(seed % 4) as usize]
}

/// What many runs add up to.
#[derive(Debug, Default)]
struct Sum {
    fired: BTreeMap<Fault, u64>,
    flips: BTreeMap<(Status, Status), u64>,
    deaths: BTreeMap<&'static str, u64>,
    /// The longest that it took to be equal to the ledger, in microseconds, and the seed of it.
    slowest: (u64, u64),
    failed: Vec<u64>,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: Result<Outcome, String>) {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(difference) => {
                println!(
                    "seed {seed} ({:?}) ends in something else than was signed:\n{difference}\nalone: \
                     APPVIEW_SEEDS={seed}..{} cargo test -p appview-core --features net --test simulation -- whatever\n",
                    following(seed),
                    seed + 1
                );
                return self.failed.push(seed);
            }
        };
        add(&mut self.fired, outcome.fired);
        add(&mut self.flips, outcome.flips);
        add(&mut self.deaths, outcome.deaths);
        self.slowest = self.slowest.max((outcome.healed, seed));
    }
}

fn add<K: Ord>(sum: &mut BTreeMap<K, u64>, more: BTreeMap<K, u64>) {
    more.into_iter().for_each(|(key, count)| *sum.entry(key).or_default() += count);
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
            let outcome = run(seed, following(seed), candour);
            sum.lock().unwrap().add(seed, outcome);
            if seed % 1_000 == 999 {
                println!("{} seeds after {:?}", seed + 1 - seeds.start, started.elapsed());
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

#[test]
fn whatever_the_network_does_the_index_ends_as_what_was_signed() {
    let seeds = seeds();
    let sum = run_all(seeds.clone(), Candour::None);
    println!("{} seeds: {sum:#?}", seeds.end - seeds.start);
    assert!(sum.failed.is_empty(), "of {seeds:?}, these failed: {:?}", sum.failed);
    if seeds == SEEDS {
        let missing: Vec<Fault> =
            Fault::ALL.into_iter().filter(|fault| !sum.fired.contains_key(fault)).collect();
        assert_eq!(missing, [], "each fault fires");
        let missing: Vec<&str> = POINTS.into_iter().filter(|point| !sum.deaths.contains_key(point)).collect();
        assert_eq!(missing, [""; 0], "it is killed at each point");
        assert_eq!(
            sum.flips.len(),
            17,
            "each status follows each other, but for what is deleted: {:?}",
            sum.flips
        );
    }
}

#[test]
fn what_an_honest_network_says_is_known_without_a_second_look() {
    let seeds = seeds();
    let sum = run_all(seeds.clone(), Candour::Honest);
    println!("{} seeds: {sum:#?}", seeds.end - seeds.start);
    assert!(sum.failed.is_empty(), "of {seeds:?}, these failed: {:?}", sum.failed);
}

#[test]
fn a_seed_is_one_run() {
    for seed in 0..6 {
        let [one, other] = [0; 2].map(|_| run(seed, following(seed), Candour::None));
        assert_eq!(one, other);
    }
}
