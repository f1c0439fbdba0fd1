//! The service, as a process of its own, and the network that it hears.
//!
//! An index and keys enter; answers on a port leave. Frames come over standard input: each is proven and applied as the engine
//! would, five in a transaction.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use appview_benches::{receipt_template, write};

use appview_core::index::Index;
use appview_core::record::{Catalog, NAMESPACE};
use appview_core::repo::Identity;
use appview_core::source::backlog::Progress;
use appview_core::source::follow::Pulse;
use appview_core::source::now;
use appview_core::source::orders::Orders;
use appview_core::source::replay::Recording;
use appview_core::sync::verify::verify_commit;
use appview_core::sync::{Change, Event};
use appview_core::trust::Terms;
use appviewd::engine::Engine;
use appviewd::http::{self, Answering, App, Seats, Subscribers};
use fixtures::records::{self, Machine, Served};
use fixtures::{Did, Ipld, KeyKind, StrongRef, World, Write, value};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::load::Load;

/// Accounts that commit.
const ACCOUNTS: usize = 100;
/// Commits in a transaction.
const TOGETHER: usize = 5;

/// The service's side.
pub(crate) fn run(path: &Path, keys: &Path) {
    let index = Index::open_existing(path).unwrap();
    let mut writer = index.writer(Catalog::builtin().unwrap()).unwrap();
    let keys: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(keys).unwrap()).unwrap();
    let mut accounts: std::collections::HashMap<_, _> = keys
        .iter()
        .map(|document| {
            let did: appview_core::syntax::Did = document["id"].as_str().unwrap().parse().unwrap();
            let identity = Identity::from_document(&did, document).unwrap();
            (did.as_str().to_owned(), (identity, None))
        })
        .collect();
    let pulse = Pulse::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (_stop, stopped) = watch::channel(false);
    runtime.block_on(async {
        let subscribers = Subscribers::new(index.clone(), pulse.feed(), http::Terms::default());
        let (progress, orders) = (Progress::default(), Orders::default());
        let engine = Engine { index, pulse: pulse.clone(), progress, orders };
        appviewd::meter::Meter::global();
        let app = App::new(engine, Answering::alone(Terms::builtin().unwrap()), stopped.clone(), subscribers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        tokio::spawn(http::serve(listener, http::routes(app, None), Seats::unlimited(), stopped));
    });
    let mut recording = Recording::new(std::io::stdin().lock());
    let (mut frame, mut batch) = (Vec::new(), Vec::new());
    while recording.next_frame(&mut frame).unwrap() {
        let (Event::Commit(event), _) = Event::decode(&frame).unwrap() else { panic!("a commit") };
        let (identity, held) = accounts.get_mut(event.repo).unwrap();
        let commit = verify_commit(&event, *held, identity, NAMESPACE, u64::MAX >> 1).unwrap();
        *held = Some(commit.head());
        batch.push(Change::Commit(commit));
        if batch.len() == TOGETHER {
            let applied = writer.apply(&batch, &[], now()).unwrap();
            assert_eq!(applied.refused, []);
            pulse.count_change();
            batch.clear();
        }
    }
}

/// So many jobs and signed receipts for them, of a machine for each account: the frames that tell of them, and the receipts.
fn deals(world: &mut World, dids: &[Did], count: u64) -> (Vec<Vec<u8>>, Vec<String>) {
    let mut frames = Vec::new();
    let mut commit = |world: &mut World, did: &Did, collection: &str, record: Ipld| {
        world.advance(1_000);
        let rkey = world.next_tid();
        frames.push(world.commit(did, vec![Write::create(collection, &rkey, record)]).bytes);
        world.strong_ref(did, &format!("{collection}/{rkey}"))
    };
    let machines: Vec<(Machine, StrongRef)> = (0..)
        .zip(dids)
        .map(|(number, did)| {
            let machine = Machine::new(number);
            let attestation = records::attestation(&machine, world.now_micros());
            let attestation = commit(world, did, records::ATTESTATION, attestation);
            (machine, attestation)
        })
        .collect();
    let mut receipts = Vec::new();
    for number in 0..count {
        let (provider, requester) = (number as usize % dids.len(), (number as usize + 1) % dids.len());
        let authorization = StrongRef {
            uri: format!("at://{}/{}/3l5oi2xhwks2a", dids[requester], records::PAYMENT_AUTHORIZATION),
            cid: value::cid_of(b"not looked at"),
        };
        let job = records::job(number, &authorization, world.now_micros());
        let job = commit(world, &dids[requester], records::JOB, job);
        let (machine, attestation) = &machines[provider];
        let served = Served { job, requester: &dids[requester], attestation: attestation.clone(), machine };
        let receipt = records::receipt(number, &served, world.now_micros());
        receipts.push(commit(world, &dids[provider], records::RECEIPT, receipt).uri);
    }
    // A full transaction at the end, so that the last of them is applied.
    while frames.len() % TOGETHER != 0 {
        let filler = records::friend(&dids[0], world.now_micros());
        world.advance(1_000);
        let rkey = world.next_tid();
        frames.push(world.commit(&dids[1], vec![Write::create(records::FRIEND, &rkey, filler)]).bytes);
    }
    (frames, receipts)
}

/// The process, seen from the one that asks.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    /// Receipts with everything that a verdict on them is made of.
    pub(crate) receipts: Vec<String>,
    child: Child,
    is_over: Arc<AtomicBool>,
    signing: JoinHandle<()>,
}

impl Service {
    /// Starts it, with so many deals at once and so many commits a second from then on; gives the share of a core that it takes before anything is asked.
    pub(crate) fn start(path: &Path, folder: &Path, pace: u32, count: u64) -> (Self, f64) {
        let mut world = World::new(6);
        let dids: Vec<Did> = (0..ACCOUNTS).map(|_| world.create_account(KeyKind::K256)).collect();
        let documents: Vec<_> = dids.iter().map(|did| world.did_document(did)).collect();
        let keys = folder.join("keys.json");
        std::fs::write(&keys, serde_json::to_vec(&documents).unwrap()).unwrap();
        let (deals, receipts) = deals(&mut world, &dids, count);
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        command.arg("service").arg(path).arg(keys).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().parse().expect("the service says where it is");
        let mut out = child.stdin.take().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let mut send = move |frame: &[u8]| {
            out.write_all(&u32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
            out.write_all(frame).unwrap();
        };
        let signing = std::thread::spawn(move || {
            deals.iter().for_each(|frame| send(frame));
            let began = Instant::now();
            for number in 0_u32.. {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                if number % TOGETHER as u32 == 0 {
                    let due = began + Duration::from_secs_f64(f64::from(number) / f64::from(pace));
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                }
                let template = receipt_template(&format!("did:web:r{}.example", number % 97));
                let write = write(&mut world, records::RECEIPT, &template, u128::from(number));
                let frame = world.commit(&dids[number as usize % ACCOUNTS], vec![write]).bytes;
                send(&frame);
            }
        });
        let service = Self { address, receipts, child, is_over, signing };
        let last = service.receipts.last().unwrap();
        let path = format!("/xrpc/dev.cocore.compute.verifyReceipt?uri={last}");
        let load = Load { address, path: &|n| format!("{path}&x={n}") };
        while !load.is_answered() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let (before, began) = (service.cpu(), Instant::now());
        std::thread::sleep(Duration::from_secs(2));
        let idle = (service.cpu() - before).as_secs_f64() / began.elapsed().as_secs_f64();
        (service, idle)
    }

    /// What it has spent on processors so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // A hundred a second, on every Linux there is.
        Duration::from_millis(10 * ticks)
    }

    /// What it holds in memory, in megabytes, by the name that the system has for it.
    pub(crate) fn resident(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1e3
    }

    pub(crate) fn stop(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.signing.join().unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}
