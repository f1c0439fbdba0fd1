//! The whole service under load, while the index is written: how fast each query is answered, how late, and what it costs.
//!
//! Two processes on one machine. One is the service over an index of a whole town, to which it applies a thousand commits a
//! second that it is sent and proves first; this one signs those, and asks. Each query is asked a thousand times a second
//! with other parameters each time, so that nothing is given again, and then by `wrk` as often as it is answered.
//!
//!     cargo bench --locked -p appview-benches --bench answers                   # everything
//!     cargo bench --locked -p appview-benches --bench answers -- latency        # what a name matches
//!     cargo bench --locked -p appview-benches --bench answers -- --quick        # only whether it all runs
//!
//! How late answers are is counted from when they were to be asked for. Without `wrk`, its columns are empty.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement of what we made ourselves"
)]

mod load;
mod service;
#[path = "../queries/town.rs"]
mod town;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use appview_core::index::Index;
use load::{Figures, Load};
use service::Service;
use town::Town;

/// Requests a second at which it is looked at how late answers are.
const PACE: u32 = 1_000;

/// Paths that are written out for `wrk`, which begins again after the last: few enough to be read at once, and so many that
/// none is asked again while its answer is good.
const WRITTEN_OUT: usize = 50_000;

/// Receipts that can be verified: more than are asked about while it is looked at how late answers are.
const DEALS: u64 = 10_000;

/// What can be asked about.
struct Subjects<'a> {
    town: &'a Town,
    receipts: &'a [String],
}

/// The path of the n-th request.
type Ask = fn(&Subjects<'_>, u64) -> String;

const ASKED: &[(&str, Ask)] = &[
    ("listReceipts, 50 of a provider", |of, n| {
        format!("compute.listReceipts?limit=50&provider={}&x={n}", Town::provider(n % of.town.providers))
    }),
    ("listReceipts, 50 of a model", |_, n| {
        format!("compute.listReceipts?limit=50&model={}&x={n}", Town::model(n % 200))
    }),
    ("listReceipts, 50 of all", |_, n| format!("compute.listReceipts?limit=50&x={n}")),
    ("listReceipts, of a requester", |of, n| {
        format!("compute.listReceipts?requester={}&x={n}", Town::requester(n % of.town.requesters()))
    }),
    ("listReceipts, 50 of a trust level", |_, n| {
        format!("compute.listReceipts?limit=50&trustLevel=hardware-attested&x={n}")
    }),
    ("listReceipts, 50 of a rare trust level", |_, n| {
        format!("compute.listReceipts?limit=50&trustLevel=self-attested&x={n}")
    }),
    ("listReceipts, 50 of a rare tier", |_, n| {
        format!("compute.listReceipts?limit=50&tier=attested-confidential&x={n}")
    }),
    ("listReceipts, of a provider for a requester", |of, n| {
        let provider = Town::provider(n / 100 % of.town.providers);
        let requester = of.town.requester_of(n);
        format!("compute.listReceipts?provider={provider}&requester={requester}&x={n}")
    }),
    ("listProviders, 100", |_, n| format!("compute.listProviders?x={n}")),
    ("listProviders, 50 of a model", |_, n| {
        format!("appview.listProviders?limit=50&model={}&x={n}", Town::model(n % 200))
    }),
    ("listJobs, of a requester", |of, n| {
        format!("compute.listJobs?requester={}&x={n}", Town::requester(n % of.town.requesters()))
    }),
    ("listSettlements, of a requester", |of, n| {
        format!("compute.listSettlements?requester={}&x={n}", Town::requester(n % of.town.requesters()))
    }),
    ("latency, 100", |_, n| format!("appview.getLatency?limit=100&x={n}")),
    ("modelActivity, 50 of 5", |_, n| format!("appview.getModelActivity?limit=50&providers=5&x={n}")),
    ("listDisputes, 50", |_, n| format!("appview.listDisputes?limit=50&x={n}")),
    ("listPolicies, of an exchange", |_, n| {
        format!("appview.listPolicies?exchange={}&x={n}", Town::exchange(n % 100))
    }),
    ("listAttestations, of a provider", |of, n| {
        format!("appview.listAttestations?provider={}&x={n}", Town::provider(n % of.town.providers))
    }),
    ("latency, as it is asked for", |_, _| "compute.latency".to_owned()),
    ("modelActivity, as it is asked for", |_, _| "compute.modelActivity".to_owned()),
    ("verifyReceipt", |of, n| {
        format!("compute.verifyReceipt?uri={}&x={n}", of.receipts[n as usize % of.receipts.len()])
    }),
    ("verifyReceipt, again", |of, n| {
        format!("compute.verifyReceipt?uri={}&x={n}", of.receipts[n as usize % 10])
    }),
    ("verifySettlement", |of, n| format!("compute.verifySettlement?uri={}&x={n}", of.town.settlement(n))),
    ("getStatus", |_, n| format!("appview.getStatus?x={n}")),
    ("getFingerprint", |_, n| format!("appview.getFingerprint?x={n}")),
    ("getFingerprint, by collection", |_, n| format!("appview.getFingerprint?by=collection&x={n}")),
    ("listProfiles, 50", |_, n| format!("account.listProfiles?limit=50&x={n}")),
    ("getProfile, of a provider", |of, n| {
        format!("account.getProfile?did={}&x={n}", Town::provider(n % of.town.providers))
    }),
    ("listAccounts, 24 by activity", |_, n| format!("account.listAccounts?x={n}")),
    ("listAccounts, 24 providers, newest", |_, n| {
        format!("account.listAccounts?providersOnly=true&sortBy=newest&x={n}")
    }),
    ("listAccounts, a search", |of, n| {
        format!("account.listAccounts?q=der-{:05}&x={n}", n % of.town.providers)
    }),
    ("listIncomingFriends", |of, n| {
        format!("account.listIncomingFriends?did={}&x={n}", Town::provider(n % of.town.providers))
    }),
    ("listFriendEdges, 500", |_, n| format!("account.listFriendEdges?limit=500&x={n}")),
    ("getTotals, of a model in 60 days", |_, n| {
        let day = n % 28 + 1;
        let model = Town::model(n % 200);
        format!(
            "appview.getTotals?model={model}&since=2026-01-{day:02}T00:00:00Z&until=2026-03-{day:02}T00:00:00Z&x={n}"
        )
    }),
    ("getRecord", |of, n| format!("appview.getRecord?uri={}&x={n}", of.town.receipt(n))),
    ("an answer given again, 50 receipts", |_, _| {
        format!("compute.listReceipts?limit=50&provider={}", Town::provider(7))
    }),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, path, keys] = arguments.as_slice()
        && role == "service"
    {
        return service::run(Path::new(path), Path::new(keys));
    }
    // Cargo says which of its commands this is: tests must be quick.
    let is_quick = !arguments.iter().any(|argument| argument == "--bench")
        || arguments.iter().any(|argument| argument == "--quick");
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(*wanted));
    let (providers, each) =
        if is_quick { (10, Duration::from_millis(100)) } else { (10_000, Duration::from_secs(4)) };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("queries");
    let town = Town::of(&folder, providers);
    let scratch = tempfile::tempdir_in(&folder).unwrap();
    // What is written must not make the next run another one.
    let path = scratch.path().join("index.db");
    std::fs::copy(town.index.path(), &path).unwrap();
    let (pace, deals) = if is_quick { (20, 20) } else { (PACE, DEALS) };
    let (service, idle) = Service::start(&path, scratch.path(), pace, deals);
    let subjects = Subjects { town: &town, receipts: &service.receipts };
    println!("{} receipts; {:.0} % of a core while nothing is asked", providers * 100, 100.0 * idle);
    println!(
        "{:44} {:>9} {:>9} {:>9} {:>9} {:>11} {:>11}",
        "", "p50 ms", "p99 ms", "cpu µs", "kB", "wrk req/s", "wrk p99 ms"
    );
    for (name, ask) in ASKED.iter().filter(|(name, _)| is_wanted(name)) {
        // What was not asked for lately costs more the first time, of whatever is asked.
        let path = |n: u64| format!("/xrpc/dev.cocore.{}", ask(&subjects, n * 7_919));
        let load = Load { address: service.address, path: &path };
        load.paced(PACE, each / 4, 1 << 40);
        let (before, began) = (service.cpu(), std::time::Instant::now());
        let Figures { p50, p99, requests, bytes } = load.paced(PACE, each, 0);
        let spent = service.cpu() - before;
        let spent = spent.as_secs_f64() - idle * began.elapsed().as_secs_f64();
        let cpu = spent * 1e6 / f64::from(requests);
        let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
        print!(
            "{name:44} {:9.2} {:9.2} {cpu:9.0} {:9.1}",
            millis(p50),
            millis(p99),
            bytes as f64 / f64::from(requests) / 1e3
        );
        match wrk(&load, scratch.path(), each / 2) {
            Some((rate, p99)) => println!(" {rate:>11} {p99:>11}"),
            None => println!(" {:>11} {:>11}", "-", "-"),
        }
    }
    println!(
        "{:.0} MB resident, {:.0} of them its own",
        service.resident("VmRSS"),
        service.resident("RssAnon")
    );
    service.stop();
    drop(Index::open(&path).unwrap());
}

/// How many requests a second `wrk` has answered over 16 connections, and how late one in a hundred was; nothing where it is
/// not installed.
fn wrk(load: &Load<'_>, scratch: &Path, during: Duration) -> Option<(String, String)> {
    let (script, paths) = (scratch.join("asked.lua"), scratch.join("asked.txt"));
    std::fs::write(
        &script,
        format!(
            "local paths, n = {{}}, 0\n\
             for path in io.lines({paths:?}) do paths[#paths + 1] = path end\n\
             request = function() n = n % #paths + 1; return wrk.format('GET', paths[n]) end\n"
        ),
    )
    .unwrap();
    let asked: String = (1 << 41..).map(|n| (load.path)(n) + "\n").take(WRITTEN_OUT).collect();
    std::fs::write(&paths, asked).unwrap();
    let output = Command::new("wrk")
        .args(["-t1", "-c16", "--latency", &format!("-d{}s", during.as_secs().max(1)), "-s"])
        .args([&script])
        .arg(format!("http://{}", load.address))
        .output()
        .ok()?;
    let said = String::from_utf8(output.stdout).unwrap();
    let of = |label: &str| {
        let line = said.lines().find_map(|line| line.trim_start().strip_prefix(label));
        line.unwrap_or_else(|| panic!("no {label} in what wrk says: {said}")).trim().to_owned()
    };
    Some((of("Requests/sec:"), of("99%")))
}
