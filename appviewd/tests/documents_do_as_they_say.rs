//! What documents have people type does what they say: their shell blocks are run, in order, and what is shown beside a block is among what
//! it prints. Blocks that need a network, docker or another machine say so in a remark and are not run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::Scenario;
use support::daemon::Daemon;
use support::document::{Block, blocks, project, text};
use support::npm::say;
use support::relay::Relay;
use support::served::{frames, wait_for};

/// Stands between what two blocks print.
const MARK: &str = "==== the next block";

/// Whether a shell finds all of these; what it does not find is said.
fn has(programs: &[&str]) -> bool {
    let is_there = |program: &&&str| {
        let found = Command::new("bash").args(["-c", "command -v -- \"$0\"", program]).output();
        found.is_ok_and(|found| found.status.success())
    };
    match programs.iter().find(|program| !is_there(program)) {
        Some(missing) => {
            say(&format!("skipped: {missing} is not installed, so a document was not tried"));
            false
        }
        None => true,
    }
}

/// Runs the blocks of a document that are chosen, as one script in `folder`, and gives each with what it printed.
fn run(
    document: &str,
    folder: &Path,
    variables: &[(&str, &str)],
    chosen: impl Fn(&Block) -> bool,
) -> Vec<(Block, String)> {
    // What a checkout has, so that the sources are named as they are there and nothing is written among them.
    for entry in fs::read_dir(project()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "target" && entry.file_name() != "appview-data" {
            // Another document may have been run here.
            let _ = symlink(entry.path().canonicalize().unwrap(), folder.join(entry.file_name()));
        }
    }
    let blocks: Vec<Block> = blocks(document).into_iter().filter(chosen).collect();
    let run: Vec<&Block> = blocks.iter().filter(|block| block.is_run()).collect();
    assert!(!run.is_empty(), "nothing is run");
    let mut script = "set -euo pipefail\nexec 2>&1\n".to_owned();
    for block in &run {
        script += &format!("{}printf '{MARK}\\n'\n", block.text);
    }
    let program = Path::new(env!("CARGO_BIN_EXE_appviewd")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    // The daemon's own variables are those of whoever runs the tests.
    let mut command = Command::new("bash");
    for (variable, _) in std::env::vars_os() {
        if variable == "RUST_LOG" || variable.to_string_lossy().starts_with("APPVIEWD_") {
            command.env_remove(variable);
        }
    }
    let output = command
        .args(["-c", &script])
        .env("PATH", path)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{script}\n{printed}");
    let printed: Vec<&str> = printed.split(&format!("{MARK}\n")).collect();
    assert_eq!(printed.len(), run.len() + 1, "{printed:?}");
    let told: Vec<_> = run.into_iter().cloned().zip(printed.into_iter().map(str::to_owned)).collect();
    shown(&blocks, &told);
    told
}

/// Holds what stands beside each block against what it printed.
fn shown(blocks: &[Block], told: &[(Block, String)]) {
    let mut printed: Option<&str> = None;
    let mut results = told.iter();
    for block in blocks {
        if block.is_run() {
            printed = results.next().map(|(_, printed)| printed.as_str());
        } else if block.language == "text" && block.remark.is_none() {
            if let Some(printed) = printed.take() {
                for line in block.text.lines() {
                    assert!(printed.lines().any(|told| told == line), "{line:?} is not in {printed:?}");
                }
            }
        } else {
            printed = None;
        }
    }
}

#[test]
fn a_receipt_is_verified_by_hand_as_the_document_says() {
    if !has(&["bash", "jq", "openssl", "base64", "xxd", "python3"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let told = run(&text("docs/verify-by-hand.md"), folder.path(), &[], |_| true);
    let printed: String = told.iter().map(|(_, printed)| printed.as_str()).collect();
    assert_eq!(printed.matches("Verified OK").count(), 2, "{printed}");
    assert_eq!(printed.matches("Verification failure").count(), 1, "{printed}");
    assert_eq!(printed.matches("there, and unchanged").count(), 2, "{printed}");
    assert!(!printed.contains("false"), "{printed}");
}

/// A daemon that has followed the recording as far as `upto`.
async fn serving(upto: usize) -> (Scenario, Relay, Daemon) {
    let scenario = Scenario::new();
    let relay = Relay::start(frames(), upto).await;
    let url = relay.url();
    // What was recorded is old.
    let arguments =
        ["--relay", &url, "--identities", "plc.json", "--repos", "repos", "--ready-lag", "1000000000"];
    let daemon = Daemon::serve(&scenario, &arguments);
    wait_for(daemon.address, &relay, i64::try_from(upto).unwrap()).await;
    (scenario, relay, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_five_minutes_go_as_the_document_says() {
    if !has(&["bash", "curl"]) {
        return;
    }
    let (scenario, _relay, daemon) = serving(216).await;
    let document = text("docs/five-minutes.md").replace("127.0.0.1:8080", &daemon.address.to_string());
    let told = run(&document, &scenario.path("."), &[], |_| true);
    let printed = |command: &str| {
        let found = told.iter().find(|(block, _)| block.text.contains(command));
        found.unwrap_or_else(|| panic!("no block has {command}")).1.clone()
    };
    assert!(printed("appviewd demo").contains("exactly those that the PDS itself listed"));
    let status = printed("appviewd status");
    assert!(status.starts_with("appviewd   running\n") && status.contains("\"ready\":true"), "{status}");
    let asked = printed("listReceipts");
    for answer in ["\"receipts\":[{", "\"models\":[{", "\"fingerprint\":\""] {
        assert!(asked.contains(answer), "{answer}: {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_appviews_are_compared_as_the_document_says() {
    if !has(&["bash", "curl", "jq", "diff"]) {
        return;
    }
    let (scenario, _relay, whole) = serving(216).await;
    let (_other, _its_relay, behind) = serving(150).await;
    let [whole, behind] = [&whole, &behind].map(|daemon| format!("http://{}", daemon.address));
    let compare = |old: &str, new: &str| {
        let document = text("docs/move.md");
        let variables = [("OLD", old), ("NEW", new)];
        let told = run(&document, &scenario.path("."), &variables, |block| {
            block.remark.as_deref() == Some("with: both")
        });
        told.into_iter().map(|(_, printed)| printed).collect::<Vec<_>>()
    };
    assert_eq!(compare(&whole, &whole), ["0 of 4 differ\n", ""]);
    let told = compare(&behind, &whole);
    assert!(told[0].contains("differs: dev.cocore.compute.listReceipts\n"), "{told:?}");
    assert!(told[0].contains("\n+"), "{told:?}");
    assert!(!told[0].contains("0 of 4"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appview_is_operated_as_the_document_says() {
    if !has(&["bash"]) {
        return;
    }
    let scenario = Scenario::played();
    let store =
        appviewd::account::AccountStore::open(scenario.path("appview-data/account.db"), None).unwrap();
    // Whether or not a daemon uses it.
    let told = run(&text("docs/operate.md"), &scenario.path("."), &[], |_| true);
    assert!(told.iter().any(|(block, _)| block.text.contains("appviewd check")), "{told:?}");
    assert!(scenario.path("accounts-of-today.db").is_file());
    drop(store);
}
