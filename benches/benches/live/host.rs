//! The rest of the network, as a process of its own: a relay, a directory and a PDS on one port of the loopback.
//!
//! Folders of signed worlds and orders on the standard input enter; answers to requests and the frames of one stream
//! leave, with as little work as that can be done, because the engine that listens shares the machine. Frames stand in
//! memory ready to be written; only their sequence numbers are set as they go. Deliberately absent: cursors, and whatever
//! else a relay does for consumers that come and go.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _, copy, stdin};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use appview_core::source::replay::Recording;
use fixtures::world::ENDPOINT;
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Where a frame's sequence number stands: after this, eight bytes.
const SEQ_MARK: &[u8] = b"\x63seq\x1b";

/// How many bytes are written at once, when as many are to be sent.
const WRITE_BYTES: usize = 256 << 10;

/// Runs until the standard input ends. `ours` has repositories and frames, `foreign` only frames.
pub(crate) fn run(ours: &Path, foreign: &Path) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::new(Answers::open(ours, &url));
    let (subscribers, subscribed) = channel();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, answers, subscribers) = (socket.unwrap(), Arc::clone(&answers), subscribers.clone());
            std::thread::spawn(move || {
                // Whoever asks may go away at any time.
                let _ = answer_all(socket, &answers, &subscribers);
            });
        }
    });
    let mut relay = Relay {
        ours: Frames::read(ours),
        foreign: Frames::read(foreign),
        seq: 1 << 33,
        next: [0, 0],
        subscribed,
        socket: None,
    };
    println!("{url}");
    for line in stdin().lines() {
        let order = line.unwrap().parse().unwrap();
        let sent: Vec<String> = relay.send(order).iter().map(ToString::to_string).collect();
        println!("{} {}", relay.seq, sent.join(" "));
    }
}

/// Now, in microseconds since 1970: the one clock that two processes share.
pub(crate) fn now_micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// What to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    /// How many frames.
    pub(crate) count: u64,
    /// How many a second; 0 as fast as they are taken.
    pub(crate) pace: u64,
    /// Each which one is ours; 0 none.
    pub(crate) every: u64,
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.count, self.pace, self.every)
    }
}

impl std::str::FromStr for Order {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split(' ').map(str::parse);
        let mut next = || numbers.next().unwrap_or(Ok(0));
        Ok(Self { count: next()?, pace: next()?, every: next()? })
    }
}

/// Messages ready for a socket.
struct Frames {
    bytes: Vec<u8>,
    /// For each message, where it ends, and where its sequence number stands.
    ends: Vec<(usize, usize)>,
}

impl Frames {
    fn read(world: &Path) -> Self {
        let mut recording = Recording::open(world.join("frames")).unwrap();
        let (mut bytes, mut ends, mut frame) = (Vec::new(), Vec::new(), Vec::new());
        while recording.next_frame(&mut frame).unwrap() {
            // One final binary message without a mask, of a length that takes two bytes.
            bytes.extend([0x82, 126]);
            bytes.extend(u16::try_from(frame.len()).unwrap().to_be_bytes());
            let mark = frame.windows(SEQ_MARK.len()).position(|window| window == SEQ_MARK).unwrap();
            let seq_at = bytes.len() + mark + SEQ_MARK.len();
            bytes.extend(&frame);
            ends.push((bytes.len(), seq_at));
        }
        Self { bytes, ends }
    }

    /// Appends the message of this number, counted round and round, as the one at `seq`.
    fn append(&self, number: usize, seq: u64, out: &mut Vec<u8>) {
        let number = number % self.ends.len();
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before].0);
        let (end, seq_at) = self.ends[number];
        let at = out.len() + seq_at - start;
        out.extend_from_slice(&self.bytes[start..end]);
        out[at..at + 8].copy_from_slice(&seq.to_be_bytes());
    }
}

struct Relay {
    ours: Frames,
    foreign: Frames,
    seq: u64,
    /// The next of ours, and of the others.
    next: [usize; 2],
    subscribed: Receiver<TcpStream>,
    socket: Option<TcpStream>,
}

impl Relay {
    /// Sends frames to whoever subscribed last; tells when each of ours was sent.
    fn send(&mut self, Order { count, pace, every }: Order) -> Vec<u64> {
        while let Ok(newer) = self.subscribed.try_recv() {
            self.socket = Some(newer);
        }
        let mut socket = self.socket.take().unwrap_or_else(|| self.subscribed.recv().unwrap());
        let (started, mut sent, mut times) = (Instant::now(), 0, Vec::new());
        let mut out = Vec::with_capacity(2 * WRITE_BYTES);
        while sent < count {
            let due = match pace {
                0 => count,
                pace => {
                    let due = started.elapsed().as_micros() as u64 * pace / 1_000_000;
                    (due + 1).min(count)
                }
            };
            while sent < due && out.len() < WRITE_BYTES {
                sent += 1;
                self.seq += 1;
                let is_ours = every > 0 && sent % every == 0;
                if is_ours {
                    times.push(now_micros());
                }
                let next = &mut self.next[usize::from(!is_ours)];
                let frames = if is_ours { &self.ours } else { &self.foreign };
                frames.append(*next, self.seq, &mut out);
                *next += 1;
            }
            socket.write_all(&out).unwrap();
            out.clear();
            if sent == due && pace > 0 {
                let next = Duration::from_micros(sent * 1_000_000 / pace);
                std::thread::sleep(next.saturating_sub(started.elapsed()));
            }
        }
        self.socket = Some(socket);
        times
    }
}

/// What is answered to requests.
struct Answers {
    documents: BTreeMap<String, String>,
    repos: PathBuf,
}

impl Answers {
    fn open(world: &Path, url: &str) -> Self {
        let plc = std::fs::read_to_string(world.join("plc.json")).unwrap();
        let plc: BTreeMap<String, Json> = serde_json::from_str(&plc).unwrap();
        let document = |entry: Json| entry["didDocument"].to_string().replace(ENDPOINT, url);
        let documents = plc.into_iter().map(|(did, entry)| (did, document(entry))).collect();
        Self { documents, repos: world.join("repos") }
    }

    fn answer(&self, target: &str, socket: &mut TcpStream) -> std::io::Result<()> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(given, _)| *given == name).map_or("", |(_, value)| value).replace("%3A", ":")
        };
        match path.strip_prefix("/xrpc/com.atproto.sync.") {
            Some("getRepo") => {
                let car = self.repos.join(format!("{}.car", parameter("did").replace(':', "_")));
                let mut car = File::open(car)?;
                let length = car.metadata()?.len();
                write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")?;
                copy(&mut car, socket).map(drop)
            }
            Some("listReposByCollection") => {
                let is_asked = parameter("collection") == fixtures::records::RECEIPT;
                let dids = self.documents.keys().filter(|_| is_asked);
                let repos: Vec<Json> = dids.map(|did| json!({ "did": did })).collect();
                respond(socket, "200 OK", &json!({ "repos": repos }).to_string())
            }
            _ => match self.documents.get(path.trim_start_matches('/')) {
                Some(document) => respond(socket, "200 OK", document),
                None => respond(socket, "404 Not Found", "{}"),
            },
        }
    }
}

fn respond(socket: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        socket,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Answers requests, one after the other, until one of them wants the stream.
fn answer_all(
    mut socket: TcpStream,
    answers: &Answers,
    subscribers: &Sender<TcpStream>,
) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let mut lines = BufReader::new(socket.try_clone()?).lines();
    while let Some(first) = lines.next().transpose()? {
        let target = first.split(' ').nth(1).unwrap_or_default();
        let mut key = None;
        for header in lines.by_ref() {
            let header = header?;
            match header.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("sec-websocket-key") => {
                    key = Some(derive_accept_key(value.as_bytes()));
                }
                _ if header.is_empty() => break,
                _ => {}
            }
        }
        if let Some(key) = key {
            write!(
                socket,
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: {key}\r\n\r\n"
            )?;
            // The order that it was meant for has been carried out if nobody takes it.
            let _ = subscribers.send(socket);
            return Ok(());
        }
        answers.answer(target, &mut socket)?;
    }
    Ok(())
}
