//! A process killed at any moment of a replay, and started again until it gets through, ends where an undisturbed one
//! ends: nothing lost, nothing doubled. One killed at any moment of a rebuild leaves the old index or the new one, whole.
//!
//! The child is this test binary itself, told by its environment to work instead of to test. Random kills are SIGKILL, at
//! moments between the child's word that it begins and the time that its work takes undisturbed; the named points abort
//! the process from inside.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod consumer;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use appview_core::index::{Index, IndexError};
use appview_core::query::{ExportFilter, Scope as FingerprintOf};
use appview_core::record::Catalog;
use appview_core::source::now;
use appview_core::source::pump::Pump;
use appview_core::source::replay::{Identities, Offline, Recording, RepoFolder, prove_export};
use appview_core::sync::{Change, Scope, StreamCursor, Verifier};
use consumer::{Consumer, Hidden, served};
use tempfile::TempDir;

/// Where the child finds its folder.
const FOLDER: &str = "CRASH_TEST_FOLDER";
/// What it is to do there: [`REPLAY`], [`REBUILD`] or [`RENEW`].
const WORK: &str = "CRASH_TEST_WORK";
const REPLAY: &str = "replay";
const REBUILD: &str = "rebuild";
const RENEW: &str = "renew";
/// What it says when it begins.
const BEGUN: &str = "begun";
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
/// Every named point of a swap, and whether the new index stands there already.
const SWAP_POINTS: [(&str, bool); 2] = [("index::before-swap", false), ("index::after-swap", true)];
/// How many kills at random moments of replays.
const KILLS: u64 = 200;
/// How many kills at random moments of rebuilds.
const REBUILD_KILLS: u64 = 40;

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
    tell_begun();
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

/// Builds the index anew from the exports.
fn rebuild(folder: &Path) {
    let identities = Identities::open(folder.join("plc.json")).unwrap();
    let cars = RepoFolder::new(folder.join("repos")).cars().unwrap();
    tell_begun();
    Index::rebuild(folder.join("index.db"), Arc::new(Catalog::builtin().unwrap()), |writer| {
        for car in &cars {
            let (repo, _) = prove_export(car, &identities, &Scope::default()).unwrap();
            writer.apply(&[Change::Repo(repo)], &[], 0)?;
        }
        Ok::<_, IndexError>(())
    })
    .unwrap();
}

/// The same under a writer of the old index, which is one of the new index afterwards.
fn renew(folder: &Path) {
    let identities = Identities::open(folder.join("plc.json")).unwrap();
    let cars = RepoFolder::new(folder.join("repos")).cars().unwrap();
    let catalog = Arc::new(Catalog::builtin().unwrap());
    let path = folder.join("index.db");
    let writer = Index::open(&path).unwrap().writer(Arc::clone(&catalog)).unwrap();
    tell_begun();
    let mut building = Index::build(&path, Arc::clone(&catalog)).unwrap();
    let (last, first) = cars.split_last().unwrap();
    for car in first {
        let (repo, _) = prove_export(car, &identities, &Scope::default()).unwrap();
        building.writer().apply(&[Change::Repo(repo)], &[], 0).unwrap();
    }
    let rebuilt = building.finish().unwrap();
    // What was late is written as a live writer does, and must not stay behind in a log.
    let (repo, _) = prove_export(last, &identities, &Scope::default()).unwrap();
    let cursor = StreamCursor { endpoint: "recording".to_owned(), seq: 1 };
    let mut late = rebuilt.index().writer(catalog).unwrap();
    late.apply(&[Change::Repo(repo)], &[cursor], 0).unwrap();
    drop(late);
    let mut writer = rebuilt.swap(writer).unwrap();
    let cursor = StreamCursor { endpoint: "recording".to_owned(), seq: 2 };
    writer.apply(&[], &[cursor], 0).unwrap();
}

/// Past the harness, which keeps what is printed for itself.
fn tell_begun() {
    let mut out = std::io::stdout();
    writeln!(out, "{BEGUN}").unwrap();
    out.flush().unwrap();
}

/// The child's body; as a test of its own it does nothing.
#[test]
fn the_child_works_when_it_is_asked_to() {
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
    match std::env::var(WORK).unwrap().as_str() {
        REPLAY => replay(Path::new(&folder)),
        REBUILD => rebuild(Path::new(&folder)),
        RENEW => renew(Path::new(&folder)),
        other => panic!("unknown work {other}"),
    }
}

fn child(folder: &Path, work: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "the_child_works_when_it_is_asked_to", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(WORK, work)
        .env_remove(POINT)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Starts the child, and returns when it begins to work.
fn begin(folder: &Path, work: &str) -> Child {
    let mut process = child(folder, work).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(process.stdout.as_mut().unwrap());
    let mut line = String::new();
    // The harness has begun a line of its own.
    while !line.trim_end().ends_with(BEGUN) {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "the child ended before it began");
    }
    process
}

/// How long the child works when nothing disturbs it, from its word to its end.
fn undisturbed_duration(folder: &Path, work: &str) -> Duration {
    let mut process = begin(folder, work);
    let begun = Instant::now();
    assert!(process.wait().unwrap().success());
    begun.elapsed()
}

/// Moments, evenly spread. A moment cannot be waited for by its name: it is the clock's. A little arithmetic is random
/// enough for it.
struct Moments(u64);

impl Moments {
    fn below(&mut self, duration: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_nanos((self.0 >> 11) % u64::try_from(duration.as_nanos()).unwrap())
    }
}

/// Kills the child at some moment of its work; false if it had got through by then.
fn killed(folder: &Path, work: &str, moment: Duration) -> bool {
    let mut process = begin(folder, work);
    std::thread::sleep(moment);
    process.kill().unwrap();
    // Whoever ended by itself has an exit code, a zombie too.
    process.wait().unwrap().code().is_none()
}

fn remove_index(folder: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("index.db{suffix}")));
    }
}

fn stored_cursor(folder: &Path) -> Option<i64> {
    let reader = Index::open(folder.join("index.db")).unwrap().reader().unwrap();
    reader.cursors().unwrap().first().map(|cursor| cursor.seq)
}

/// The fingerprint, after everything in the file was compared with itself.
fn sound_fingerprint(folder: &Path) -> String {
    let reader = Index::open(folder.join("index.db")).unwrap().reader().unwrap();
    let checked = reader.check(|_| {}).unwrap();
    assert_eq!(checked.found, 0, "{:?}", checked.damage);
    reader.fingerprint(&FingerprintOf::Whole).unwrap().to_string()
}

/// Has a consumer of the feed read on, and leave off at some event.
fn read_feed(consumer: &mut Consumer, folder: &Path, most: usize) {
    consumer.read(&Index::open(folder.join("index.db")).unwrap().reader().unwrap(), most);
}

/// After everything that the feed has, a consumer holds what is served.
fn assert_missed_nothing(mut consumer: Consumer, folder: &Path) {
    let reader = Index::open(folder.join("index.db")).unwrap().reader().unwrap();
    consumer.read_all(&reader);
    assert_eq!(consumer.shown(), served(&reader));
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
    let folder = folder.path();
    prepare(folder);
    let duration = undisturbed_duration(folder, REPLAY);
    let end = stored_cursor(folder);
    remove_index(folder);
    let mut moments = Moments(0x9e37_79b9_7f4a_7c15);
    let (mut kills, mut amid, mut rounds, mut start) = (0, 0, 0, None);
    let mut consumer = Consumer::new(Hidden::Forgotten);
    while kills < KILLS {
        if killed(folder, REPLAY, moments.below(duration)) {
            let cursor = stored_cursor(folder);
            kills += 1;
            amid += u64::from(start < cursor && cursor < end);
            start = cursor;
            read_feed(&mut consumer, folder, kills as usize % 9);
        } else {
            // It got through: that must have led to the same place. Start over.
            assert_eq!(sound_fingerprint(folder), expected);
            rounds += 1;
            start = None;
            remove_index(folder);
        }
    }
    assert!(child(folder, REPLAY).status().unwrap().success());
    assert_eq!(sound_fingerprint(folder), expected);
    assert_missed_nothing(consumer, folder);
    println!("{kills} kills, {amid} amid a replay of {duration:?}, {rounds} rounds completed between them");
    assert!(amid >= KILLS / 3, "only {amid} of {kills} kills found a replay under way");
}

#[test]
fn stopped_at_each_named_point_and_continued_it_ends_at_the_same_fingerprint() {
    let expected = undisturbed();
    for point in POINTS {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let mut fired = 0;
        let mut consumer = Consumer::new(Hidden::Kept);
        for passed in [0, 1, 2, 3, 5, 8, 13_usize] {
            let stopped =
                child(folder.path(), REPLAY).env(POINT, format!("{point} {passed}")).status().unwrap();
            fired += u32::from(!stopped.success());
            read_feed(&mut consumer, folder.path(), passed);
        }
        assert!(fired > 2, "{point} was reached {fired} times only");
        assert!(child(folder.path(), REPLAY).status().unwrap().success());
        assert_eq!(sound_fingerprint(folder.path()), expected, "{point}");
        assert_eq!(consumer.gaps, 0, "{point}");
        assert_missed_nothing(consumer, folder.path());
    }
}

/// An index as a process leaves it that was killed: with its log beside it.
struct Old {
    files: TempDir,
    fingerprint: String,
}

impl Old {
    fn new() -> Self {
        let [files, opened] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        prepare(files.path());
        let stopped = child(files.path(), REPLAY).env(POINT, "index::after-commit 20").status().unwrap();
        assert!(!stopped.success());
        assert!(std::fs::metadata(files.path().join("index.db-wal")).unwrap().len() > 0);
        // Opening it could write its log back: that is done to a copy.
        let mut old = Self { files, fingerprint: String::new() };
        old.put(opened.path());
        old.fingerprint = sound_fingerprint(opened.path());
        old
    }

    /// Puts it into a folder, in the place of whatever index is there.
    fn put(&self, folder: &Path) {
        remove_index(folder);
        for name in ["index.db", "index.db-wal"] {
            std::fs::copy(self.files.path().join(name), folder.join(name)).unwrap();
        }
    }
}

/// Exports in a folder of which a rebuild makes another index than the old one, and its fingerprint.
fn prepare_rebuild(folder: &Path, old: &Old) -> String {
    prepare(folder);
    let largest = fixtures::recording::REPOS.into_iter().max_by_key(|(_, car)| car.len()).unwrap().0;
    std::fs::remove_file(folder.join("repos").join(format!("{}.car", largest.replace(':', "_")))).unwrap();
    rebuild(folder);
    let new = sound_fingerprint(folder);
    assert_ne!(old.fingerprint, new);
    new
}

/// The next rebuild gets through, and leaves nothing beside the index.
fn assert_rebuilds(folder: &Path, work: &str, new: &str) {
    assert!(child(folder, work).status().unwrap().success());
    assert_eq!(sound_fingerprint(folder), new);
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("rebuilding"), "{name} was left behind");
    }
}

#[test]
fn a_rebuild_stopped_before_or_after_the_swap_leaves_the_old_index_or_the_new_one() {
    let (folder, old) = (tempfile::tempdir().unwrap(), Old::new());
    let folder = folder.path();
    let new = prepare_rebuild(folder, &old);
    for (work, (point, is_new)) in
        [REBUILD, RENEW].into_iter().flat_map(|work| SWAP_POINTS.map(|point| (work, point)))
    {
        old.put(folder);
        let stopped = child(folder, work).env(POINT, format!("{point} 0")).status().unwrap();
        assert!(!stopped.success(), "{point} was not reached");
        assert_eq!(
            &sound_fingerprint(folder),
            if is_new { &new } else { &old.fingerprint },
            "{work}, {point}"
        );
        if work == RENEW && is_new {
            assert_eq!(stored_cursor(folder), Some(1), "what was noted came with the file");
        }
        assert_rebuilds(folder, work, &new);
    }
    assert_eq!(stored_cursor(folder), Some(2), "the writer that comes back writes the new index");
}

#[test]
fn a_rebuild_killed_at_random_moments_leaves_the_old_index_or_the_new_one() {
    let (folder, old) = (tempfile::tempdir().unwrap(), Old::new());
    let folder = folder.path();
    let new = prepare_rebuild(folder, &old);
    old.put(folder);
    let duration = undisturbed_duration(folder, REBUILD);
    let mut moments = Moments(0x2545_f491_4f6c_dd1d);
    let (mut kills, mut amid) = (0, 0);
    while kills < REBUILD_KILLS {
        old.put(folder);
        let is_killed = killed(folder, REBUILD, moments.below(duration));
        // Beside the old one stands what was built so far.
        let is_under_way = folder.join("index.db.rebuilding").exists();
        let left = sound_fingerprint(folder);
        if is_killed {
            kills += 1;
            amid += u64::from(is_under_way);
            assert!(left == old.fingerprint || left == new, "found {left}");
        } else {
            assert_eq!(left, new);
        }
    }
    println!("{kills} kills, {amid} amid a rebuild of {duration:?}");
    assert!(amid >= REBUILD_KILLS / 3, "only {amid} of {kills} kills found a rebuild under way");
    assert_rebuilds(folder, REBUILD, &new);
}
