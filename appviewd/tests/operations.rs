//! What an operator asks and orders of a daemon that runs, and what is told about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use appview_core::index::Index;
use appview_core::record::Catalog;
use appview_core::sync::{Change, Hosting};
use appviewd::meter::{FAMILIES, Family};
use fixtures::world::Did;
use fixtures::{Write, recording, records};
use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use support::daemon::Daemon;
use support::http::{ask, get, text};
use support::relay::Relay;
use support::town::Town;
use support::{Scenario, fingerprint, listed, repo};

/// How long anything here may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(120);

/// An account of the recording with records at its end.
const SOMEONE: &str = "did:plc:2772a7bv57z4lhimh7z466vo";

/// The recording, told by a relay and followed by a process.
struct Running {
    scenario: Scenario,
    relay: Relay,
    process: Daemon,
}

impl Running {
    async fn start() -> Self {
        Self::start_told(216).await
    }

    async fn start_told(upto: usize) -> Self {
        Self::start_with(upto, &[]).await
    }

    async fn start_with(upto: usize, more: &[&str]) -> Self {
        let relay =
            Relay::start(recording::frames_live().into_iter().map(<[u8]>::to_vec).collect(), upto).await;
        let scenario = Scenario::new();
        let process = serve(&scenario, &relay, more);
        Self { scenario, relay, process }
    }

    /// One that has received frames which it cannot write, because somebody else has the file locked, and that somebody.
    async fn stuck(more: &[&str]) -> (Self, rusqlite::Connection) {
        let running = Self::start_with(100, more).await;
        running.stored(100).await;
        let file = rusqlite::Connection::open(running.scenario.path("appview-data/index.db")).unwrap();
        file.execute_batch("begin immediate").unwrap();
        running.relay.tell(216);
        // How many frames wait together is by chance; some of them do.
        eventually(async || get(running.address(), "/healthz").await["frames"].as_u64() > Some(100)).await;
        (running, file)
    }

    /// Starts it again after it has ended, and sees that nothing is missing.
    async fn ends_whole(self) {
        let Self { scenario, relay, process } = self;
        drop(process);
        let process = serve(&scenario, &relay, &[]);
        let running = Self { scenario, relay, process };
        running.stored(216).await;
        let told = running.scenario.succeed(&["fingerprint"]);
        assert!(told.contains(&fingerprint(listed().values())), "{told}");
    }

    async fn followed() -> Self {
        let running = Self::start().await;
        running.stored(216).await;
        running
    }

    fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Waits until the stored cursor has come to `seq`.
    async fn stored(&self, seq: i64) {
        eventually(async || get(self.address(), "/healthz").await["cursors"][self.relay.url()] == seq).await;
    }

    fn status(&self) -> Json {
        json_of(&self.scenario, &["status", "--json"])
    }

    fn repo(&self, did: &str) -> Json {
        json_of(&self.scenario, &["repo", "status", did, "--json"])
    }

    /// Stops it and starts it again.
    fn restart(self) -> Self {
        let Self { scenario, relay, mut process } = self;
        process.terminate();
        assert_eq!(process.wait(), Some(0));
        drop(process);
        let process = serve(&scenario, &relay, &[]);
        Self { scenario, relay, process }
    }
}

fn serve(scenario: &Scenario, relay: &Relay, more: &[&str]) -> Daemon {
    let url = relay.url();
    let arguments = ["--relay", &url, "--identities", "plc.json", "--repos", "repos"];
    Daemon::serve(scenario, &[&arguments, more].concat())
}

fn json_of(scenario: &Scenario, arguments: &[&str]) -> Json {
    serde_json::from_str(&scenario.succeed(arguments)).unwrap()
}

/// Asks until it is so.
async fn eventually(so: impl AsyncFn() -> bool) {
    let asked = async {
        while !so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("it becomes so");
}

/// The numbers without labels that a daemon tells, and every line.
async fn numbers(address: SocketAddr) -> (BTreeMap<String, f64>, String) {
    let (head, body) = text(address, "GET", "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| line.rsplit_once(' ').unwrap());
    (samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect(), body.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_daemon_tells_how_everything_stands() {
    let running = Running::followed().await;
    // Repositories are looked through every few seconds.
    eventually(async || running.status()["repos"]["followed"] == 11).await;
    let status = running.status();
    assert_eq!((&status["running"], &status["paused"]), (&json!(true), &json!(false)));
    let stream = &status["streams"][0];
    assert_eq!((&stream["endpoint"], &stream["connected"]), (&json!(running.relay.url()), &json!(true)));
    assert_eq!((&stream["newest"], &stream["stored"]), (&json!(216), &json!(216)));
    assert_eq!(status["counts"]["frames"], 216);
    let rejections = status["rejections"].as_object().unwrap().iter();
    // What is not newer than what is held is no fault of anyone's, and is told beside the faults.
    let faults = rejections.filter(|(reason, _)| *reason != "stale-rev");
    let faults: u64 = faults.map(|(_, count)| count.as_u64().unwrap()).sum();
    assert_eq!((faults, &status["counts"]["rejected"]), (3, &json!(3)));
    assert!(status["provenShare"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{status}");
    let repos = &status["repos"];
    let count = |name: &str| repos[name].as_u64().unwrap();
    assert_eq!(count("hosted") + count("hidden"), count("followed"), "{repos}");

    assert_eq!(running.scenario.succeed(&["status", "--running", "--json"]).matches('\n').count(), 1);
    let told = running.scenario.succeed(&["status"]);
    for word in [
        "appviewd   running\n",
        ", connected",
        "at 216, stored 216",
        "11 followed: 8 hosted, 3 hidden",
        "216 frames",
        ", stale-rev ",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_repository_can_be_asked_about_whether_or_not_a_daemon_runs() {
    let mut running = Running::followed().await;
    let status = running.repo(SOMEONE);
    assert_eq!((&status["followed"], &status["operator"]), (&json!(true), &Json::Null));
    let listed = listed();
    let own = listed.values().filter(|record| repo(&record.uri) == SOMEONE);
    assert_eq!(status["fingerprint"], fingerprint(own));
    assert_eq!(running.repo("did:web:nobody.example")["followed"], false);

    running.process.terminate();
    assert_eq!(running.process.wait(), Some(0));
    assert_eq!(running.repo(SOMEONE), status);
    let all = running.status();
    assert_eq!((&all["running"], &all["repos"]["followed"]), (&json!(false), &json!(11)));
    assert_eq!(all["streams"][0]["stored"], 216);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_erased_and_stays_so_until_it_is_tracked_again() {
    let running = Running::followed().await;
    let whole = running.scenario.succeed(&["fingerprint"]);
    let told = running.scenario.succeed(&["repo", "untrack", SOMEONE]);
    assert!(told.starts_with(&format!("{SOMEONE} is left out")), "{told}");
    eventually(async || running.repo(SOMEONE)["followed"] == false).await;
    assert_eq!(running.repo(SOMEONE)["operator"], "untrack");
    let of = ["export", "--repo", SOMEONE];
    assert_eq!(running.scenario.succeed(&of), "");

    // The relay tells everything once more to a daemon without an index.
    let mut running = running;
    running.process.terminate();
    assert_eq!(running.process.wait(), Some(0));
    std::fs::remove_file(running.scenario.path("appview-data/index.db")).unwrap();
    let Running { scenario, relay, process } = running;
    drop(process);
    let process = serve(&scenario, &relay, &[]);
    let running = Running { scenario, relay, process };
    running.stored(216).await;
    assert_eq!(running.repo(SOMEONE)["followed"], false);
    assert_eq!(running.scenario.succeed(&of), "");

    running.scenario.succeed(&["repo", "track", SOMEONE]);
    eventually(async || running.scenario.succeed(&["fingerprint"]) == whole).await;
    assert_eq!(running.repo(SOMEONE)["operator"], "track");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_nobody_names_is_followed_when_an_operator_does() {
    let relay = Relay::start(Vec::new(), 0).await;
    let scenario = Scenario::new();
    // Whoever has an export there is named by it.
    let other = "did:plc:bjxq26mtdagze6oktnfzvhoe";
    let export = |scenario: &Scenario| scenario.path("repos").join("did_plc_bjxq26mtdagze6oktnfzvhoe.car");
    let hidden = scenario.path("hidden.car");
    std::fs::rename(export(&scenario), &hidden).unwrap();
    let process = serve(&scenario, &relay, &["--track", SOMEONE]);
    let running = Running { scenario, relay, process };
    eventually(async || running.repo(SOMEONE)["proof"] == "full").await;
    running.process.hear("connected");
    assert_eq!(running.repo(other)["followed"], false);
    std::fs::rename(hidden, export(&running.scenario)).unwrap();
    running.scenario.succeed(&["repo", "track", other]);
    eventually(async || running.repo(other)["proof"] == "full").await;
    // What was given for one run is not kept, what was ordered is.
    let running = running.restart();
    assert_eq!(running.repo(SOMEONE)["operator"], Json::Null);
    assert_eq!(running.repo(other)["operator"], "track");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_proves_a_repository_anew() {
    let running = Running::followed().await;
    let proven = async || numbers(running.process.metrics).await.0["appview_repos_total"];
    let before = proven().await;
    running.scenario.succeed(&["repo", "resync", SOMEONE]);
    eventually(async || proven().await == before + 1.0).await;
    let told = running.scenario.fail(1, &["repo", "resync", "did:web:nobody.example"]);
    assert!(told.contains("is not followed; `appviewd repo track"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_closes_streams_answers_queries_and_loses_nothing() {
    let running = Running::start_told(100).await;
    running.stored(100).await;
    running.scenario.succeed(&["pause"]);
    running.process.hear("paused");
    running.relay.tell(216);
    let ready = ask(running.address(), "GET", "/readyz").await;
    assert_eq!((ready.status, &ready.body["reasons"]), (503, &json!(["paused"])));
    assert_eq!(running.status()["paused"], true);
    assert!(running.scenario.succeed(&["status"]).starts_with("appviewd   running, paused\n"));
    get(running.address(), "/xrpc/dev.cocore.compute.listProviders").await;

    running.scenario.succeed(&["resume"]);
    running.stored(216).await;
    assert_eq!(running.relay.cursors(), [None, Some(100)]);
    let all = running.scenario.succeed(&["fingerprint"]);
    assert!(all.contains(&fingerprint(listed().values())), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_while_a_stream_is_connected_and_alive_in_any_case() {
    let running = Running::followed().await;
    let ready = async || ask(running.address(), "GET", "/readyz").await;
    eventually(async || ready().await.status == 200).await;
    assert_eq!(ready().await.body["streams"][0]["connected"], true);

    let scenario = Scenario::new();
    // Nobody listens there.
    let process = Daemon::serve(&scenario, &["--relay", "ws://127.0.0.1:9", "--identities", "plc.json"]);
    eventually(async || {
        let answer = ask(process.address, "GET", "/readyz").await;
        answer.status == 503 && answer.body["reasons"] == json!(["no stream is connected"])
    })
    .await;
    assert_eq!(get(process.address, "/healthz").await["ok"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_told_as_prometheus_reads_them() {
    let running = Running::followed().await;
    get(running.address(), "/xrpc/dev.cocore.compute.listProviders?limit=1").await;
    ask(running.address(), "GET", "/a/path/of/a/stranger").await;
    let (numbers, body) = numbers(running.process.metrics).await;
    for Family { name, kind, help, .. } in FAMILIES {
        assert!(body.contains(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")), "{name}");
    }
    let number = |name: &str| *numbers.get(name).unwrap_or_else(|| panic!("{name}: {body}"));
    assert_eq!(number("appview_frames_total"), 216.0);
    assert_eq!(number("appview_frames_foreign_total"), 21.0);
    assert_eq!(number("appview_commits_total"), 120.0);
    let verified = number("appview_verify_seconds_count");
    assert!((120.0..=195.0).contains(&verified), "{verified}: commits, and whatever else was not foreign");
    assert!(number("appview_write_seconds_count") >= 1.0);
    assert!(number("appview_changes_written_total") >= 120.0);
    assert!(number("appview_index_bytes") > 100_000.0);
    let labelled = |name: &str| number(&format!("{name}{{endpoint=\"{}\"}}", running.relay.url()));
    assert_eq!(labelled("appview_stream_cursor_seq"), 216.0);
    assert_eq!(labelled("appview_stream_connected"), 1.0);
    let route = "route=\"/xrpc/dev.cocore.compute.listProviders\"";
    assert_eq!(number(&format!("appview_http_requests_total{{{route},status=\"200\"}}")), 1.0);
    assert_eq!(number(&format!("appview_http_seconds_count{{{route}}}")), 1.0);
    assert_eq!(number("appview_http_requests_total{route=\"none\",status=\"404\"}"), 1.0);
    assert!(!body.contains("did:") && !body.contains("stranger"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_does_not_hold_a_stop() {
    let running = Running::followed().await;
    let mut hanging = TcpStream::connect(running.address()).await.unwrap();
    hanging.write_all(b"GET /healthz HTTP/1.1\r\nHost: a").await.unwrap();
    let idle = TcpStream::connect(running.address()).await.unwrap();
    // Both are accepted before whoever comes later is answered.
    get(running.address(), "/healthz").await;
    running.process.terminate();
    let (sender, ended) = tokio::sync::oneshot::channel();
    let mut process = running.process;
    std::thread::spawn(move || sender.send(process.wait()));
    let code = tokio::time::timeout(PATIENCE, ended).await.expect("it stops").unwrap();
    assert_eq!(code, Some(0));
    drop((hanging, idle));
    assert!(!running.scenario.path("appview-data/admin.sock").exists());
    let told = running.scenario.succeed(&["fingerprint"]);
    assert!(told.contains(&fingerprint(listed().values())), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_takes_too_long_ends_says_so_and_loses_nothing() {
    let (mut running, file) = Running::stuck(&["--stop-within", "1"]).await;
    running.process.terminate();
    assert_eq!(running.process.wait(), Some(1));
    eventually(async || running.process.told().contains("stopped without writing everything within 1 s"))
        .await;
    drop(file);
    running.ends_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_ends_it_at_once_and_loses_nothing() {
    let (mut running, file) = Running::stuck(&["--stop-within", "3600"]).await;
    running.process.terminate();
    running.process.hear("stopping: writing what was received; interrupt again to leave at once");
    running.process.terminate();
    running.process.hear("leaving at once; what was not written is received again at the next start");
    assert_eq!(running.process.wait(), Some(130));
    drop(file);
    running.ends_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jetstream_is_followed_as_a_hint_to_the_same_end() {
    let town = Town::start().await;
    let people = [town.account(), town.account()];
    let friend =
        |key: &str| Write::create(records::FRIEND, key, records::friend("did:web:friend.example", 0));
    people.iter().for_each(|did| town.commit(did, vec![friend("a"), friend("b")]));
    let scenario = Scenario::empty();
    let options = ["--source", "jetstream", "--jetstream", &town.relay(), "--relay", &town.relay()];
    let access = ["--plc", &town.http(), "--allow-private-hosts"];
    let process = Daemon::serve(&scenario, &[options.as_slice(), &access].concat());
    let equals = async || scenario.succeed(&["fingerprint"]).trim() == fingerprint(&town.records());
    eventually(equals).await;
    assert_eq!(process.hear("connected")["endpoint"], town.relay());
    // What is hinted at is shown as soon as it is proven, and what a hint leaves out once the repository is.
    let late = town.account();
    town.commit(&late, vec![friend("a")]);
    town.commit(&people[0], vec![friend("c")]);
    town.commit(&people[0], vec![Write::delete(records::FRIEND, "a")]);
    eventually(equals).await;
    let counts = json_of(&scenario, &["status", "--json"])["counts"].take();
    assert!(counts["hints"].as_u64() >= Some(3), "{counts}");
    assert_eq!(counts["commits"], 0, "no relay is followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_accounts_is_told_to_people() {
    let town = Town::start().await;
    let people = [town.account(), town.account()];
    let friend =
        |key: &str| Write::create(records::FRIEND, key, records::friend("did:web:friend.example", 0));
    people.iter().for_each(|did| town.commit(did, vec![friend("a")]));
    let scenario = Scenario::empty();
    let options = ["--relay", &town.relay(), "--plc", &town.http(), "--allow-private-hosts", "--log-dids"];
    let process = Daemon::serve(&scenario, &options);
    let status = |did: &Did| json_of(&scenario, &["repo", "status", did, "--json"]);
    eventually(async || people.iter().all(|did| status(did)["proof"] == "full")).await;
    let (nowhere, before) = ("http://127.0.0.1:1", town.http());
    town.move_to(&people[0], nowhere);
    let told = process.hear("an account has moved to another host");
    assert_eq!(
        (&told["did"], &told["from"], &told["to"]),
        (&json!(*people[0]), &json!(before), &json!(nowhere))
    );
    let told = process.hear("a repository cannot be proven now");
    assert_eq!((&told["did"], &told["host"]), (&json!(*people[0]), &json!(nowhere)));
    town.hide(&people[1], "takendown");
    let told = process.hear("an account is hidden");
    assert_eq!((&told["did"], &told["hosting"]), (&json!(*people[1]), &json!("takendown")));
}

#[tokio::test(flavor = "multi_thread")]
async fn unless_it_is_asked_for_nobody_is_named_in_the_log() {
    let town = Town::start().await;
    let people = [town.account(), town.account()];
    let scenario = Scenario::empty();
    let options = ["--relay", &town.relay(), "--plc", &town.http(), "--allow-private-hosts"];
    let process = Daemon::serve_with(&scenario, &[("RUST_LOG", "trace")], &options);
    let hide = async |did: &Did| {
        let friend = records::friend("did:web:friend.example", 0);
        town.commit(did, vec![Write::create(records::FRIEND, "a", friend)]);
        let status = || json_of(&scenario, &["repo", "status", did, "--json"]);
        eventually(async || status()["proof"] == "full").await;
        town.hide(did, "takendown");
        process.hear("an account is hidden")["did"].as_str().unwrap().to_owned()
    };
    let names = [hide(&people[0]).await, hide(&people[1]).await];
    assert!(names.iter().all(|name| name.starts_with("did#")) && names[0] != names[1], "{names:?}");
    let told = process.told();
    assert!(told.matches(&names[0]).count() > 1, "one name for one person");
    for did in &people {
        assert!(!told.contains(&**did) && !told.contains(&did.replace(':', "%3A")), "{told}");
    }
}

#[test]
fn of_a_deleted_account_it_is_said_that_nothing_is_left_to_prove() {
    let scenario = Scenario::empty();
    std::fs::create_dir(scenario.path("appview-data")).unwrap();
    let index = Index::open(scenario.path("appview-data/index.db")).unwrap();
    let did: appview_core::syntax::Did = SOMEONE.parse().unwrap();
    let erased = Change::Erase { did, hosting: Hosting::Deleted };
    index.writer(Catalog::builtin().unwrap()).unwrap().apply(&[erased], &[], 1).unwrap();
    let told = json_of(&scenario, &["repo", "status", SOMEONE, "--json"]);
    assert_eq!((&told["hosting"], &told["proof"]), (&json!("deleted"), &json!("deleted")));
}

#[test]
fn without_a_daemon_an_order_says_what_to_do() {
    let scenario = Scenario::new();
    for order in [&["pause"][..], &["resume"], &["repo", "track", SOMEONE], &["repo", "untrack", SOMEONE]] {
        let told = scenario.fail(1, order);
        assert!(
            told.contains("no appviewd serves from ./appview-data; start it with `appviewd serve`"),
            "{told}"
        );
    }
    let told = scenario.fail(1, &["status"]);
    assert!(told.contains("there is no index at ./appview-data/index.db"), "{told}");
    // An index is told about, and is no daemon.
    let scenario = Scenario::played();
    assert!(scenario.succeed(&["status"]).starts_with("appviewd   not running"));
    let told = scenario.fail(1, &["status", "--running"]);
    assert!(told.contains("no appviewd serves from ./appview-data"), "{told}");
    let told = scenario.fail(2, &["repo", "track", "ada.example"]);
    assert!(told.contains("invalid value 'ada.example' for '<DID>'"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_do_not_serve_from_one_folder_and_a_bad_list_is_named() {
    let running = Running::start().await;
    let told = running.scenario.fail(1, &["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "off"]);
    assert!(told.contains("another appviewd serves from this folder"), "{told}");

    let scenario = Scenario::new();
    std::fs::create_dir(scenario.path("appview-data")).unwrap();
    std::fs::write(scenario.path("appview-data/repos.txt"), "forget everyone\n").unwrap();
    let told = scenario.fail(1, &["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "off"]);
    assert!(told.contains("repos.txt, line 1: expected `track DID`"), "{told}");
}

/// Every name of a number in the sources in a folder, but for those in this part of it.
fn names_in(folder: &Path, but: &str, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with(but) {
            names_in(&path, but, names);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !["family.rs", "tests.rs"].iter().any(|name| path.ends_with(name))
        {
            let source = std::fs::read_to_string(path).unwrap();
            // Tests count under names of their own.
            let source = source.split("\n#[cfg(test)]").next().unwrap();
            let quoted = source.split("\"appview_").skip(1).map(|rest| rest.split('"').next().unwrap());
            names.extend(quoted.map(|rest| format!("appview_{rest}")));
        }
    }
}

/// What reads numbers and counts none.
const READS: &str = "command/top";

#[test]
fn every_number_is_listed_and_every_listed_one_is_told() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = BTreeSet::new();
    names_in(&project.join("src"), READS, &mut used);
    names_in(&project.join("../appview-core/src"), READS, &mut used);
    let listed: BTreeSet<String> = FAMILIES.iter().map(|family| family.name.to_owned()).collect();
    assert_eq!(used, listed);
    let mut read = BTreeSet::new();
    names_in(&project.join("src").join(READS), "snapshots", &mut read);
    assert!(read.len() > 10 && read.is_subset(&listed), "{read:?}");
    assert_eq!(listed.len(), FAMILIES.len(), "no name stands twice");
}

#[test]
fn every_number_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let page = std::fs::read_to_string(page).unwrap();
    let numbers = page.split("\n## Numbers\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let told: Vec<&str> = numbers.lines().filter(|line| line.starts_with("| `")).collect();
    let listed: Vec<String> = FAMILIES.iter().map(row).collect();
    assert_eq!(told, listed);
}

/// A family as a line of the table.
fn row(Family { name, kind, labels, help }: &Family) -> String {
    let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
}
