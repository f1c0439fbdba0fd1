//! What the network will say, signed before anything is timed, and kept for the next run.
//!
//! Sizes enter; folders leave: `frames`, a recording in the form that [`Recording`] reads; `uris`, the record that each frame
//! puts, one a line; `plc.json`, the documents; `repos/`, an export of each repository as it is before the first frame.
//! A folder's name tells its sizes, so that another run of the same sizes finds it. Deliberately absent: how any of it is
//! sent.
//!
//! [`Recording`]: appview_core::source::replay::Recording

use std::fs::{File, create_dir_all, remove_dir_all, rename, write};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use appview_benches::{receipt_template, write as write_record};
use fixtures::repo::FILL_MARK;
use fixtures::time::START_MICROS;
use fixtures::{Ipld, KeyKind, World, records, value};

/// To be raised when the same sizes lead to another world.
const FORM: u32 = 2;

/// From here on a sequence number takes nine bytes, so that the host may overwrite it with any later one.
const FIRST_SEQ: u64 = 1 << 33;

/// How many receipts a repository of the market wrote in a row before the first commit. Divides what each of them holds.
const RUN: u64 = 10;

/// How much of everything is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Repositories of the market, which are fetched first and commit then.
    pub(crate) repos: u64,
    /// Receipts that each of them has before its first commit.
    pub(crate) each: u64,
    /// Commits of the market that are sent as fast as they are taken.
    pub(crate) commits: u64,
    /// Seconds for which events come at a steady pace, of which one in a hundred is the market's.
    pub(crate) seconds: u64,
    /// Different frames of the rest of the network.
    pub(crate) foreign: u64,
    /// How many of them are sent as fast as they are taken, over and over.
    pub(crate) refused: u64,
    /// Receipts in one large repository: some 1,070 bytes each.
    pub(crate) large: u64,
    /// Friends in another: some 255 bytes each, which is little more than what the tree takes.
    pub(crate) small: u64,
}

impl Sizes {
    /// For figures.
    pub(crate) const FULL: Self = Self {
        repos: 200,
        each: 2_000,
        commits: 120_000,
        seconds: 30,
        foreign: 20_000,
        refused: 3_000_000,
        large: 280_000,
        small: 1_170_000,
    };

    /// For a look at whether everything runs. The large repositories are still large enough to be spooled to a file.
    pub(crate) const QUICK: Self = Self {
        repos: 4,
        each: 50,
        commits: 200,
        seconds: 1,
        foreign: 400,
        refused: 4_000,
        large: 5_000,
        small: 20_000,
    };
}

/// Folders of signed worlds.
#[derive(Debug)]
pub(crate) struct Worlds {
    pub(crate) market: PathBuf,
    pub(crate) foreign: PathBuf,
    pub(crate) large: PathBuf,
    pub(crate) small: PathBuf,
}

impl Worlds {
    /// Signs what is not there yet.
    pub(crate) fn sign(folder: &Path, sizes: Sizes, paced: u64) -> Self {
        let Sizes { repos, each, commits, foreign, large, small, .. } = sizes;
        let commits = commits + paced;
        let folder = folder.join(format!("signed-{FORM}"));
        let folder = folder.as_path();
        Self {
            market: once(folder, &format!("market-{repos}-of-{each}-then-{commits}"), |folder| {
                market(folder, repos, each, commits);
            }),
            foreign: once(folder, &format!("foreign-{foreign}"), |folder| posts(folder, foreign)),
            large: once(folder, &format!("large-{large}"), |folder| {
                let template = receipt_template("did:web:requester.example");
                repository(folder, records::RECEIPT, &template, large);
            }),
            small: once(folder, &format!("small-{small}"), |folder| {
                let friend = records::friend(&format!("did:web:{FILL_MARK}.example"), START_MICROS);
                repository(folder, records::FRIEND, &value::encode(&friend), small);
            }),
        }
    }
}

/// The folder of this name, made if it is not there. It gets its name when it is complete.
fn once(folder: &Path, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let path = folder.join(name);
    if !path.is_dir() {
        let part = folder.join(format!("{name}.part"));
        let _ = remove_dir_all(&part);
        create_dir_all(part.join("repos")).unwrap();
        println!("signing {}", path.display());
        make(&part);
        rename(part, &path).unwrap();
    }
    path
}

/// Repositories of receipts, and commits of one receipt each: the repositories take turns. What they hold from before they
/// wrote ten at a time, so that their keys lie between each other's, as those of a market do.
fn market(folder: &Path, repos: u64, each: u64, commits: u64) {
    let mut world = new_world(repos);
    let dids: Vec<_> = (0..repos).map(|_| world.create_account(KeyKind::K256)).collect();
    let template = |requester| receipt_template(&format!("did:web:r{requester}.example"));
    let templates: Vec<Vec<u8>> = (0..97).map(template).collect();
    let mut requesters = templates.iter().cycle();
    for _ in 0..each.div_ceil(RUN) {
        for did in &dids {
            world.fill(did, records::RECEIPT, requesters.next().unwrap(), RUN);
        }
    }
    export(&world, folder);
    let mut frames = Recorder::create(folder);
    for (number, did) in (0..commits).zip(dids.iter().cycle()) {
        let put = write_record(&mut world, records::RECEIPT, requesters.next().unwrap(), u128::from(number));
        let uri = format!("at://{did}/{}", put.path());
        frames.record(&world.commit(did, vec![put]).bytes, &uri);
    }
    frames.finish();
}

/// One repository, and no frames.
fn repository(folder: &Path, collection: &str, template: &[u8], count: u64) {
    let mut world = new_world(count);
    let did = world.create_account(KeyKind::K256);
    world.fill(&did, collection, template, count);
    export(&world, folder);
    Recorder::create(folder).finish();
}

fn export(world: &World, folder: &Path) {
    for did in world.dids() {
        let car = folder.join("repos").join(format!("{}.car", did.replace(':', "_")));
        write(car, world.car(did)).unwrap();
    }
    write(folder.join("plc.json"), world.plc().to_string()).unwrap();
}

/// Commits of one post each to a few repositories of posts.
fn posts(folder: &Path, count: u64) {
    let post = Ipld::Map(
        [
            ("$type".to_owned(), Ipld::String(records::POST.to_owned())),
            ("text".to_owned(), Ipld::String(format!("Good night number {FILL_MARK}, and sleep well."))),
            ("createdAt".to_owned(), Ipld::String("2026-01-01T00:00:00.000Z".to_owned())),
        ]
        .into(),
    );
    let template = value::encode(&post);
    let mut world = new_world(0);
    let dids: Vec<_> = (0..20).map(|_| world.create_account(KeyKind::K256)).collect();
    for did in &dids {
        world.fill(did, records::POST, &template, 3_000);
    }
    let mut frames = Recorder::create(folder);
    for (number, did) in (0..count).zip(dids.iter().cycle()) {
        let put = write_record(&mut world, records::POST, &template, u128::from(number) + (1 << 64));
        let uri = format!("at://{did}/{}", put.path());
        frames.record(&world.commit(did, vec![put]).bytes, &uri);
    }
    frames.finish();
}

fn new_world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.skip_seq(FIRST_SEQ);
    world
}

/// `frames` and `uris` being written.
struct Recorder {
    frames: BufWriter<File>,
    uris: BufWriter<File>,
}

impl Recorder {
    fn create(folder: &Path) -> Self {
        let create = |name| BufWriter::new(File::create(folder.join(name)).unwrap());
        Self { frames: create("frames"), uris: create("uris") }
    }

    fn record(&mut self, frame: &[u8], uri: &str) {
        self.frames.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
        self.frames.write_all(frame).unwrap();
        writeln!(self.uris, "{uri}").unwrap();
    }

    fn finish(mut self) {
        self.frames.flush().unwrap();
        self.uris.flush().unwrap();
    }
}
