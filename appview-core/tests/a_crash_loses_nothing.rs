//! A process killed at any moment of a replay, and started again until it gets through, ends where an undisturbed one
//! ends: nothing lost, nothing doubled.
//!
//! The child is this test binary itself, told by its environment to replay instead of to test. Random kills are
//! SIGKILL; the named points between decoding and the commit abort the process from inside.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use appview_core::index::{Index, IndexError};
use appview_core::query::{ExportFilter, Scope as FingerprintOf};
use appview_core::record::Catalog;
use appview_core::source::now;
use appview_core::source::pump::Pump;
use appview_core::source::replay::{Identities, Offline, Recording, RepoFolder};
use appview_core::sync::{Scope, Verifier};

/// Where the child finds its folder.
const FOLDER: &str = "CRASH_TEST_FOLDER";
/// `<name of a point> <how many times it is passed first>`
const POINT: &str = "CRASH_TEST_POINT";
/// Every named point on the way of a frame, in its order.
const POINTS: [&str; 6] = [
    "pump::verified",
    "pump::gathered",
    "index::before-begin",
    "index::mid-transaction",
    "index::before-commit",
    "index::after-commit",
];
/// How many kills at random moments.
const KILLS: u64 = 200;

/// A recording with everything that its replay needs.
fn prepare(folder: &Path) {
    std::fs::write(folder.join("frames.bin"), fixtures::recording::LIVE).unwrap();
    std::fs::write(folder.join("plc.json"), fixtures::recording::PLC_JSON).unwrap();
    std::fs::create_dir(folder.join("repos")).unwrap();
    for (did, car) in fixtures::recording::REPOS {
        std::fs::write(folder.join("repos").join(format!("{}.car", did.replace(':', "_"))), car).unwrap();
    }
}

/// Replays from the stored cursor on, as a process that follows a relay does, in transactions of a few frames.
fn replay(folder: &Path) {
    let index = Index::open(folder.join("index.db")).unwrap();
    let mut writer = index.writer(Arc::new(Catalog::builtin().unwrap())).unwrap();
    let states = writer.repo_states().collect::<Result<Vec<_>, _>>().unwrap();
    let cursor = writer.cursors().unwrap().first().map(|cursor| cursor.seq);
    let mut verifier = Verifier::new(Scope::default(), states);
    let stream = verifier.add_stream("recording", cursor);
    let identities = Identities::open(folder.join("plc.json")).unwrap();
    let upstream = Offline::new(identities, Some(RepoFolder::new(folder.join("repos"))), Scope::default());
    let mut pump = Pump::new(verifier, upstream, &mut writer, now()).unwrap();
    let mut recording = Recording::open(folder.join("frames.bin")).unwrap();
    let (mut frame, mut handled) = (Vec::new(), 0);
    while recording.next_frame(&mut frame).unwrap() {
        let (event, _) = appview_core::sync::Event::decode(&frame).unwrap();
        if event.seq() > cursor {
            pump.handle_frame(stream, &frame, now()).unwrap();
            handled += 1;
            if handled % 7 == 0 {
                pump.flush(now()).unwrap();
            }
        }
    }
    pump.flush(now()).unwrap();
}

/// The child's body; as a test of its own it does nothing.
#[test]
fn the_child_replays_when_it_is_asked_to() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    if let Ok(point) = std::env::var(POINT) {
        let (name, passed) = point.split_once(' ').unwrap();
        let left = std::sync::atomic::AtomicU64::new(passed.parse().unwrap());
        fail::cfg_callback(name, move || {
            use std::sync::atomic::Ordering::Relaxed;
            if left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
                std::process::abort();
            }
        })
        .unwrap();
    }
    replay(Path::new(&folder));
}

fn child(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_child_replays_when_it_is_asked_to", "--test-threads=1"])
        .env(FOLDER, folder)
        .env_remove(POINT)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The fingerprint, after everything in the file was compared with itself.
fn sound_fingerprint(folder: &Path) -> String {
    let reader = Index::open(folder.join("index.db")).unwrap().reader().unwrap();
    let checked = reader.check(|_| {}).unwrap();
    assert_eq!(checked.found, 0, "{:?}", checked.damage);
    reader.fingerprint(&FingerprintOf::Whole).unwrap().to_string()
}

/// Where a replay that nothing disturbs ends.
fn undisturbed() -> String {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    replay(folder.path());
    let reader = Index::open(folder.path().join("index.db")).unwrap().reader().unwrap();
    let mut shown = 0;
    let count = |_| {
        shown += 1;
        Ok::<_, IndexError>(())
    };
    reader.export(&ExportFilter::default(), count).unwrap();
    assert_eq!(shown, fixtures::recording::Oracle::read().records.len());
    sound_fingerprint(folder.path())
}

#[test]
fn killed_at_random_moments_and_continued_it_ends_at_the_same_fingerprint() {
    let expected = undisturbed();
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let database = folder.path().join("index.db");
    let (mut seed, mut killed, mut rounds) = (0x9e37_79b9_7f4a_7c15_u64, 0, 0);
    while killed < KILLS {
        let mut process = child(folder.path()).spawn().unwrap();
        // A moment cannot be waited for by its name: it is the clock's. A little arithmetic is random enough for it.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros((seed >> 33) % 60_000));
        let ended_by_itself = process.try_wait().unwrap().is_some();
        process.kill().unwrap();
        process.wait().unwrap();
        if ended_by_itself {
            // It got through: that must have led to the same place. Start over.
            assert_eq!(sound_fingerprint(folder.path()), expected);
            rounds += 1;
            for suffix in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(format!("{}{suffix}", database.display()));
            }
        } else {
            killed += 1;
        }
    }
    assert!(child(folder.path()).status().unwrap().success());
    assert_eq!(sound_fingerprint(folder.path()), expected);
    println!("{killed} kills, {rounds} rounds completed between them");
}

#[test]
fn stopped_at_each_named_point_and_continued_it_ends_at_the_same_fingerprint() {
    let expected = undisturbed();
    for point in POINTS {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let mut fired = 0;
        for passed in [0, 1, 2, 3, 5, 8, 13] {
            let stopped = child(folder.path()).env(POINT, format!("{point} {passed}")).status().unwrap();
            fired += u32::from(!stopped.success());
        }
        assert!(fired > 2, "{point} was reached {fired} times only");
        assert!(child(folder.path()).status().unwrap().success());
        assert_eq!(sound_fingerprint(folder.path()), expected, "{point}");
    }
}
