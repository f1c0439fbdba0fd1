//! Every capture of an official PDS leads to the state that the PDS itself listed, whichever way it is taken in.
//!
//! Captures lie outside the project (see `fixtures::shared_folder`), each a folder; a new one needs no code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use appview_core::index::{Index, IndexError, IndexWriter};
use appview_core::query::{ExportFilter, Scope as FingerprintOf};
use appview_core::record::Catalog;
use appview_core::source::now;
use appview_core::source::pump::{Notice, Pump};
use appview_core::source::replay::{Identities, Offline, Recording, RepoFolder, prove_export};
use appview_core::sync::verifier::Closing;
use appview_core::sync::{Change, Scope, Verifier};
use serde_json::Value as Json;
use tempfile::TempDir;

/// A capture's folder, and an index to fill from it.
struct Capture {
    folder: PathBuf,
    home: TempDir,
}

/// What an index holds: CIDs by URI, and the fingerprint.
#[derive(Debug, PartialEq, Eq)]
struct Held {
    records: BTreeMap<String, String>,
    fingerprint: String,
}

impl Capture {
    fn index(&self) -> PathBuf {
        self.home.path().join("index.db")
    }

    fn upstream(&self) -> Offline {
        let repos = RepoFolder::new(self.folder.join("repos"));
        Offline::new(Identities::open(self.folder.join("plc.json")).unwrap(), Some(repos), Scope::default())
    }

    fn replay(&self, writer: &mut IndexWriter, frames: &str) -> Vec<Notice> {
        let states = writer.repo_states().collect::<Result<Vec<_>, _>>().unwrap();
        let mut verifier = Verifier::new(Scope::default(), states);
        let stream = verifier.add_stream("recording", None);
        let mut pump = Pump::new(verifier, self.upstream(), writer, now()).unwrap();
        let mut recording = Recording::open(self.folder.join(frames)).unwrap();
        let mut frame = Vec::new();
        while recording.next_frame(&mut frame).unwrap() {
            pump.handle_frame(stream, &frame, now()).unwrap();
        }
        pump.flush(now()).unwrap();
        assert!(pump.tally().frames > 0, "{frames} is empty");
        pump.take_notices()
    }

    fn held(&self) -> Held {
        let reader = Index::open(self.index()).unwrap().reader().unwrap();
        assert_eq!(reader.check(|_| {}).unwrap().found, 0);
        let mut records = BTreeMap::new();
        reader
            .export(&ExportFilter::default(), |record| {
                records.insert(record.uri().to_string(), record.cid.to_string());
                Ok::<_, IndexError>(())
            })
            .unwrap();
        Held { records, fingerprint: reader.fingerprint(&FingerprintOf::Whole).unwrap().to_string() }
    }

    /// What the PDS listed at the end.
    fn oracle(&self) -> BTreeMap<String, String> {
        let oracle: Json = read_json(&self.folder.join("oracle.json"));
        let records = oracle["records"].as_array().unwrap().iter();
        let text = |json: &Json| json.as_str().unwrap().to_owned();
        let records: BTreeMap<_, _> = records.map(|r| (text(&r["uri"]), text(&r["cid"]))).collect();
        assert!(!records.is_empty(), "the oracle lists nothing");
        records
    }
}

/// An index filled by replaying `frames`, and what the stream said about itself.
fn replayed(folder: &Path, frames: &str) -> (Held, Vec<Notice>) {
    let capture = Capture { folder: folder.to_owned(), home: tempfile::tempdir().unwrap() };
    let index = Index::create(capture.index()).unwrap();
    let mut writer = index.writer(catalog()).unwrap();
    let notices = capture.replay(&mut writer, frames);
    drop(writer);
    (capture.held(), notices)
}

fn each_capture(check: impl Fn(&Path)) {
    let Some(captures) = fixtures::shared_folder("captures") else { return };
    let mut cases = 0;
    for entry in std::fs::read_dir(captures).unwrap() {
        let folder = entry.unwrap().path();
        if folder.is_dir() {
            println!("capture {}", folder.file_name().unwrap().display());
            check(&folder);
            cases += 1;
        }
    }
    assert!(cases > 0, "no capture was found");
}

fn catalog() -> Arc<Catalog> {
    Arc::new(Catalog::builtin().unwrap())
}

fn read_json(path: &Path) -> Json {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn live_frames_replayed_frames_and_exports_all_lead_to_what_the_pds_listed() {
    each_capture(|folder| {
        let (live, notices) = replayed(folder, "frames-live.bin");
        assert_eq!(notices, []);
        let (again, _) = replayed(folder, "frames-replay.bin");

        let rebuilt = Capture { folder: folder.to_owned(), home: tempfile::tempdir().unwrap() };
        let identities = Identities::open(folder.join("plc.json")).unwrap();
        Index::rebuild(rebuilt.index(), catalog(), |writer| {
            for car in RepoFolder::new(folder.join("repos")).cars().unwrap() {
                let (repo, _) = prove_export(&car, &identities, &Scope::default()).unwrap();
                writer.apply(&[Change::Repo(repo)], &[], 0)?;
            }
            Ok::<_, IndexError>(())
        })
        .unwrap();

        assert_eq!(live.records, rebuilt.oracle());
        assert_eq!(live, again);
        assert_eq!(live, rebuilt.held());
    });
}

#[test]
fn replaying_twice_changes_nothing() {
    each_capture(|folder| {
        let capture = Capture { folder: folder.to_owned(), home: tempfile::tempdir().unwrap() };
        let index = Index::create(capture.index()).unwrap();
        let mut writer = index.writer(catalog()).unwrap();
        capture.replay(&mut writer, "frames-live.bin");
        let once = capture.held();
        capture.replay(&mut writer, "frames-live.bin");
        capture.replay(&mut writer, "frames-replay.bin");
        drop(writer);
        assert_eq!(capture.held(), once);
    });
}

#[test]
fn an_outdated_cursor_leads_to_a_proof_of_every_repository() {
    each_capture(|folder| {
        let (held, notices) = replayed(folder, "frames-outdated-cursor.bin");
        let names: Vec<&str> = notices.iter().map(|notice| notice.name.as_str()).collect();
        assert_eq!(names, ["OutdatedCursor"]);
        assert_eq!(held, replayed(folder, "frames-live.bin").0);
    });
}

#[test]
fn a_future_cursor_ends_the_stream_by_name_and_touches_nothing() {
    each_capture(|folder| {
        let (held, notices) = replayed(folder, "frames-future-cursor.bin");
        assert_eq!(notices.len(), 1);
        assert_eq!((notices[0].name.as_str(), notices[0].closing), ("FutureCursor", Closing::Yes));
        assert!(held.records.is_empty());
    });
}
