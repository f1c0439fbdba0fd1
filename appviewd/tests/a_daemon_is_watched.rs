//! `top` shows what a daemon tells, survives its going away, and gives a terminal back as it was.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fixtures::recording;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use support::Scenario;
use support::daemon::Daemon;
use support::http::get;
use support::relay::Relay;

/// How long anything may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(60);

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// The recording, followed by a process to its end.
async fn followed(scenario: &Scenario) -> (Relay, Daemon) {
    let relay = Relay::start(recording::frames_live().into_iter().map(<[u8]>::to_vec).collect(), 216).await;
    let url = relay.url();
    let daemon = Daemon::serve(scenario, &["--relay", &url, "--identities", "plc.json", "--repos", "repos"]);
    let stored = async {
        while get(daemon.address, "/healthz").await["cursors"][&url] != 216 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.unwrap();
    (relay, daemon)
}

/// Where a daemon is, as `top` is told it.
fn urls(daemon: &Daemon) -> [String; 2] {
    [format!("--url=http://{}", daemon.address), format!("--metrics-url=http://{}", daemon.metrics)]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_look_is_text_with_what_the_daemon_tells() {
    let scenario = Scenario::new();
    let (relay, daemon) = followed(&scenario).await;
    let [url, metrics_url] = urls(&daemon);
    let told = scenario.succeed(&["top", "--once", &url, &metrics_url]);
    for part in [
        // What was recorded is old.
        format!("http://{}  not ready", daemon.address),
        "not ready: behind".to_owned(),
        "107 records".to_owned(),
        format!("{}  connected", relay.url()),
        format!("{:<22}{:>28}", "frames received", 216),
        "proven and waiting".to_owned(),
        "messages in the queue".to_owned(),
        "frame refused: ".to_owned(),
    ] {
        assert!(told.contains(&part), "{part:?} is not in\n{told}");
    }
    assert!(!told.contains('\x1b'), "{told:?}");
    // What is no terminal is written once, whether or not that was asked for.
    assert!(scenario.succeed(&["top", &url, &metrics_url]).contains("107 records"));
    let mut coloured = scenario.command(&["top", "--once", &url, &metrics_url]);
    let coloured = coloured.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(String::from_utf8(coloured.stdout).unwrap().contains("\x1b[33mnot ready\x1b[0m"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_is_found_by_the_settings_that_it_runs_by() {
    let scenario = Scenario::new();
    let (_relay, daemon) = followed(&scenario).await;
    let settings = format!("listen = '{}'\nmetrics-listen = '{}'\n", daemon.address, daemon.metrics);
    std::fs::write(scenario.path("appviewd.toml"), settings).unwrap();
    let told = scenario.succeed(&["top", "--once", "--config", "appviewd.toml"]);
    assert!(told.contains("107 records") && told.contains("frames received"), "{told}");
    std::fs::write(
        scenario.path("appviewd.toml"),
        format!("listen = '{}'\nmetrics-listen = 'off'\n", daemon.address),
    )
    .unwrap();
    let told = scenario.succeed(&["top", "--once", "--config", "appviewd.toml"]);
    assert!(told.contains("107 records") && told.contains("need --metrics-url"), "{told}");
}

#[test]
fn whoever_finds_nobody_is_told_what_to_do_next() {
    let scenario = Scenario::empty();
    let error = scenario
        .fail(1, &["top", "--once", "--url", "http://127.0.0.1:1", "--metrics-url", "http://127.0.0.1:1"]);
    assert!(error.contains("http://127.0.0.1:1/readyz: ") && error.contains("`appviewd serve`"), "{error}");
}

/// `top` on a terminal of its own.
struct Watching {
    child: Child,
    /// Our end of it.
    ours: File,
    /// Its end of it.
    theirs: File,
    drawn: Receiver<Vec<u8>>,
    seen: String,
}

impl Watching {
    fn start(scenario: &Scenario, arguments: &[&str]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let name = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&ours, Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let end = || Stdio::from(theirs.try_clone().unwrap());
        let mut command = scenario.command(&[&["top"], arguments].concat());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let ours = File::from(ours);
        let mut read = ours.try_clone().unwrap();
        let (sent, drawn) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of a terminal is an error.
            while let Ok(count @ 1..) = read.read(&mut bytes) {
                if sent.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, ours, theirs, drawn, seen: String::new() }
    }

    /// Waits until this has been drawn since the last time.
    fn see(&mut self, wanted: &str) {
        while !self.seen.contains(wanted) {
            let Ok(bytes) = self.drawn.recv_timeout(PATIENCE) else {
                panic!("expected {wanted:?}, and saw {:?}", self.seen);
            };
            self.seen += &String::from_utf8_lossy(&bytes);
        }
        self.seen = self.seen.split_off(self.seen.find(wanted).unwrap() + wanted.len());
    }

    fn press(&mut self, key: u8) {
        self.ours.write_all(&[key]).unwrap();
    }

    /// Whether the terminal waits for whole lines, shows what is typed and lets Ctrl-C interrupt.
    fn is_as_before(&self) -> bool {
        let modes = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        tcgetattr(&self.theirs).unwrap().local_modes.contains(modes)
    }

    /// Waits for its end, and sees that it left nothing behind.
    fn ends(mut self) {
        self.see(LEAVE);
        assert!(self.child.wait().unwrap().success());
        assert!(self.is_as_before());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_given_back_however_watching_ends() {
    let scenario = Scenario::new();
    let (_relay, daemon) = followed(&scenario).await;
    let [url, metrics_url] = urls(&daemon);
    let start = || {
        let mut watching = Watching::start(&scenario, &[&url, &metrics_url]);
        watching.see(ENTER);
        watching.see("107 records");
        assert!(!watching.is_as_before());
        watching
    };
    for key in *b"qQ\x03" {
        let mut watching = start();
        watching.press(b'x');
        watching.press(key);
        watching.ends();
    }
    for signal in ["-TERM", "-INT", "-HUP"] {
        let watching = start();
        assert!(
            Command::new("kill").args([signal, &watching.child.id().to_string()]).status().unwrap().success()
        );
        watching.ends();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_goes_away_is_waited_for() {
    let scenario = Scenario::new();
    let (relay, mut daemon) = followed(&scenario).await;
    let [url, metrics_url] = urls(&daemon);
    let mut watching = Watching::start(&scenario, &[&url, &metrics_url]);
    watching.see("ready");
    daemon.terminate();
    daemon.wait();
    watching.see("no answer for");
    watching.see("107 records");
    let address = daemon.address.to_string();
    let again =
        ["--listen", &address, "--relay", &relay.url(), "--identities", "plc.json", "--repos", "repos"]
            .map(str::to_owned);
    let again =
        scenario.command(&["serve", "--metrics-listen", "off"]).args(again).stderr(Stdio::null()).spawn();
    let mut again = again.unwrap();
    watching.see("  ready");
    again.kill().unwrap();
    again.wait().unwrap();
    watching.press(b'q');
    watching.ends();
}
