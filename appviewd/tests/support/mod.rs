//! What the tests of the daemon share: the recorded scenario as files, the binary, and the definition of a fingerprint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

pub mod authority;
pub mod browser;
pub mod daemon;
pub mod document;
pub mod exchange;
pub mod http;
pub mod needle;
pub mod network;
pub mod npm;
pub mod people;
pub mod process;
pub mod relay;
pub mod served;
pub mod service;
pub mod store;
pub mod town;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fixtures::Cid;
use fixtures::recording::{self, Oracle, Record};
use tempfile::TempDir;

/// The recording as the files that commands are given, in a folder of its own that is the working folder too.
pub struct Scenario {
    folder: TempDir,
}

impl Scenario {
    /// A folder without files, for commands that ask a network.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn new() -> Self {
        let Self { folder } = Self::empty();
        let repos = folder.path().join("repos");
        fs::create_dir(&repos).unwrap();
        for (did, car) in recording::REPOS {
            fs::write(repos.join(format!("{}.car", did.replace(':', "_"))), car).unwrap();
        }
        fs::write(folder.path().join("frames.bin"), recording::LIVE).unwrap();
        fs::write(folder.path().join("plc.json"), recording::PLC_JSON).unwrap();
        Self { folder }
    }

    /// The same, played into an index.
    pub fn played() -> Self {
        let scenario = Self::new();
        scenario.succeed(&REPLAY);
        scenario
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The binary, to be run in the folder and deaf to the variables of whoever runs the tests.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_appviewd"));
        command.current_dir(self.folder.path()).args(arguments).env("COLUMNS", "100").env("NO_COLOR", "1");
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name == "RUST_LOG" || name.starts_with("APPVIEWD_") || name.starts_with("COCORE_") {
                command.env_remove(&variable);
            }
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that must succeed writes to standard output.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command that must fail writes to standard error; it writes nothing to standard output.
    pub fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// The command that plays the recording.
pub const REPLAY: [&str; 6] = ["replay", "frames.bin", "--identities", "plc.json", "--repos", "repos"];

/// What the PDS listed at the end, by URI.
pub fn listed() -> BTreeMap<String, Record> {
    Oracle::read().records.into_iter().map(|record| (record.uri.clone(), record)).collect()
}

/// The collection of a URI.
pub fn collection(uri: &str) -> &str {
    uri.split('/').nth(3).unwrap()
}

/// The repository of a URI.
pub fn repo(uri: &str) -> &str {
    uri.split('/').nth(2).unwrap()
}

/// The fingerprint of records, by its definition alone: each is expanded by BLAKE3 to 1024 numbers of 16 bits, which are
/// added up, and the sum is hashed.
pub fn fingerprint<'r>(records: impl IntoIterator<Item = &'r Record>) -> String {
    let mut lanes = [0_u16; 1024];
    for record in records {
        let cid: Cid = record.cid.parse().unwrap();
        let input = [record.uri.as_bytes(), &[0], &cid.to_bytes()].concat();
        let mut bytes = [0; 2048];
        blake3::Hasher::new().update(&input).finalize_xof().fill(&mut bytes);
        for (lane, pair) in lanes.iter_mut().zip(bytes.as_chunks().0) {
            *lane = lane.wrapping_add(u16::from_le_bytes(*pair));
        }
    }
    let sum: Vec<u8> = lanes.iter().flat_map(|lane| lane.to_le_bytes()).collect();
    blake3::hash(&sum).to_hex().to_string()
}
