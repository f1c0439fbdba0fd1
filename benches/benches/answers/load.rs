//! Requests, so many a second, over connections that stay open.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::sleep_until;

/// Connections: more than are ever answered at once.
const CONNECTIONS: u64 = 64;

/// Whom to ask, and for what.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    /// The path of the n-th request.
    pub(crate) path: &'a dyn Fn(u64) -> String,
}

/// What came of it.
pub(crate) struct Figures {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) requests: u32,
    /// Of all answers, with their heads.
    pub(crate) bytes: u64,
}

#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    bytes: u64,
}

impl Load<'_> {
    /// Asks so many times a second, whether or not what was asked before is answered. How long an answer took is counted from
    /// when it was to be asked for.
    pub(crate) fn paced(self, pace: u32, during: Duration, from: u64) -> Figures {
        let requests = (during.as_secs_f64() * f64::from(pace)) as u64;
        let interval = Duration::from_secs(1) / pace;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (next, seen) = (Cell::new(0), RefCell::new(Seen::default()));
        let began = Rc::new(Cell::new(Instant::now()));
        let local = LocalSet::new();
        local.block_on(&runtime, async {
            let mut sockets = Vec::new();
            for _ in 0..CONNECTIONS {
                let socket = TcpStream::connect(self.address).await.unwrap();
                socket.set_nodelay(true).unwrap();
                sockets.push(socket);
            }
            began.set(Instant::now());
            let asking = sockets.into_iter().map(|mut socket| {
                let (next, seen, began) = (&next, &seen, began.get());
                async move {
                    let mut buffer = vec![0; 1 << 16];
                    loop {
                        let n = next.replace(next.get() + 1);
                        if n >= requests {
                            return;
                        }
                        let due = began + interval * u32::try_from(n).unwrap();
                        // Who waits for its moment is not late by what a timer is.
                        let is_early = due > Instant::now();
                        if is_early {
                            sleep_until(due.into()).await;
                        }
                        let asked = if is_early { Instant::now() } else { due };
                        let path = (self.path)(from + n);
                        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
                        socket.write_all(request.as_bytes()).await.unwrap();
                        let bytes = answer(&mut socket, &mut buffer).await;
                        let mut seen = seen.borrow_mut();
                        seen.took.push(asked.elapsed());
                        seen.bytes += bytes;
                    }
                }
            });
            futures_util::future::join_all(asking).await;
        });
        let Seen { mut took, bytes } = seen.into_inner();
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
        Figures { p50: at(0.5), p99: at(0.99), requests: u32::try_from(took.len()).unwrap(), bytes }
    }

    /// Whether the first request is answered as it is wanted to be.
    pub(crate) fn is_answered(self) -> bool {
        use std::io::{Read as _, Write as _};
        let mut socket = std::net::TcpStream::connect(self.address).unwrap();
        let request = format!("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", (self.path)(0));
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        answer.starts_with(b"HTTP/1.1 200")
    }
}

/// Reads one answer, and gives its length. It must be one that was wanted.
async fn answer(socket: &mut TcpStream, buffer: &mut [u8]) -> u64 {
    let mut read = 0;
    let (head, length) = loop {
        let more = socket.read(&mut buffer[read..]).await.unwrap();
        assert!(more > 0, "the service has closed");
        read += more;
        if let Some(end) = buffer[..read].windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end]).unwrap();
            assert!(
                head.starts_with("HTTP/1.1 200"),
                "{head}\n{}",
                String::from_utf8_lossy(&buffer[end..read])
            );
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            break (end + 4, length.parse::<usize>().unwrap());
        }
    };
    let mut left = (head + length).saturating_sub(read);
    while left > 0 {
        let size = left.min(buffer.len());
        left -= socket.read(&mut buffer[..size]).await.unwrap();
    }
    (head + length) as u64
}
