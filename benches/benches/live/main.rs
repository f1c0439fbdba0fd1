//! The whole engine, from a relay's socket to rows that a reader sees: how fast, how late, with how much memory.
//!
//! Three processes, so that each is counted alone. One plays the rest of the network on the loopback, from worlds that were
//! signed before; one is the engine and nothing else; this one measures, and is the other two when it is started with their
//! names.
//!
//!     cargo bench --locked -p appview-benches --bench live                      # everything, three times
//!     cargo bench --locked -p appview-benches --bench live -- market --runs 5   # one measurement
//!     cargo bench --locked -p appview-benches --bench live -- --quick           # only whether it all runs
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement, whose inputs are known to be well formed"
)]
#![expect(clippy::indexing_slicing, reason = "a measurement that cannot be made should stop at once")]

mod engine;
mod host;
mod measure;
mod outcome;
mod worlds;

use std::path::Path;

use measure::{Bench, PACES};
use outcome::Outcome;
use worlds::{Sizes, Worlds};

const USAGE: &str = "usage: live [market] [foreign] [large] [--runs N] [--quick]

  market    repositories fetched, frame to row, commits into rows, memory while idle
  foreign   frames refused when none of them is ours
  large     one repository of 300 MB fetched: how fast, and with how much memory
  --runs N  measure N times (3)
  --quick   a look at whether everything runs, in seconds; no figure of it means anything

What the network says is signed once, and kept in the target folder.";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["host", ours, foreign] => return host::run(Path::new(ours), Path::new(foreign)),
        ["engine", folder, url] => return engine::run(Path::new(folder), url),
        _ => {}
    }
    // Cargo says which of its commands this is: tests must be quick.
    let mut is_quick = !arguments.iter().any(|argument| argument == "--bench");
    let (mut runs, mut wanted) = (None, Vec::new());
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        match argument {
            "--bench" => {}
            "--quick" => is_quick = true,
            "--runs" => runs = rest.next().and_then(|runs| runs.parse().ok()).or(Some(0)),
            "market" | "foreign" | "large" => wanted.push(argument),
            _ => runs = Some(0),
        }
    }
    let runs = runs.unwrap_or(if is_quick { 1 } else { 3 });
    if runs == 0 {
        eprintln!("{USAGE}");
        std::process::exit(2);
    }

    let sizes = if is_quick { Sizes::QUICK } else { Sizes::FULL };
    let paced = PACES.iter().map(|pace| Bench::paced(sizes, *pace)).sum();
    let worlds = Worlds::sign(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("live"), sizes, paced);
    let bench = Bench { sizes, worlds: &worlds };
    let is_wanted = |name| wanted.is_empty() || wanted.contains(&name);
    let mut outcome = Outcome::default();
    for run in 1..=runs {
        println!("run {run} of {runs}, load {}", load());
        if is_wanted("market") {
            bench.market(&mut outcome);
        }
        if is_wanted("foreign") {
            bench.foreign(&mut outcome);
        }
        if is_wanted("large") {
            bench.large(&mut outcome);
        }
    }
    println!("\n{}\n\n{}", machine(), outcome.table(!is_quick));
}

/// The machine and the moment, as far as the system tells.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let date = fixtures::time::datetime(host::now_micros());
    format!("{cores} cores of {model}, {date}, load {}", load())
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}
