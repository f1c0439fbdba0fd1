//! Requests to the daemon, each over a connection of its own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::net::SocketAddr;

use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// An answer with its head read: names in lower case.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads one from a socket that is closed after it.
    pub async fn read(socket: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(&bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = fields.filter(|(found, _)| *found == name).map(|(_, value)| value);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} comes twice: {}", self.head);
        value
    }

    /// The body of an answer that comes in chunks, which must be whole.
    pub fn chunks(&self) -> Vec<u8> {
        assert_eq!(self.header("transfer-encoding"), Some("chunked"));
        let (mut whole, mut rest) = (Vec::new(), self.body.as_slice());
        loop {
            let end = rest.windows(2).position(|window| window == b"\r\n").expect("a chunk has a head");
            let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
            rest = &rest[end + 2..];
            if length == 0 {
                return whole;
            }
            whole.extend_from_slice(&rest[..length]);
            rest = &rest[length + 2..];
        }
    }

    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.head))
    }
}

/// Sends a request with these headers, from whatever address of the loopback.
pub async fn send_from(from: [u8; 4], to: SocketAddr, line: &str, headers: &[(&str, &str)]) -> Reply {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut socket = socket.connect(to).await.unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{line} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    Reply::read(&mut socket).await
}

/// Sends a request with these headers.
pub async fn send(to: SocketAddr, line: &str, headers: &[(&str, &str)]) -> Reply {
    send_from([127, 0, 0, 1], to, line, headers).await
}

/// Sends a request with a body.
pub async fn send_body(to: SocketAddr, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut socket = TcpStream::connect(to).await.unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    // Whoever refuses may close before all is sent.
    let _ = socket.write_all(&[head.as_bytes(), body].concat()).await;
    Reply::read(&mut socket).await
}

/// Sends JSON with a bearer token, or without one.
pub async fn post(to: SocketAddr, path: &str, bearer: &str, body: &Json) -> Reply {
    let headers = [("Authorization", bearer), ("Content-Type", "application/json")];
    send_body(to, &format!("POST {path}"), &headers, body.to_string().as_bytes()).await
}

pub struct Answer {
    pub status: u16,
    pub kind: String,
    pub body: Json,
}

/// An answer as it came: its head and its body.
pub async fn text(address: SocketAddr, verb: &str, path: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("{verb} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

pub async fn ask(address: SocketAddr, verb: &str, path: &str) -> Answer {
    let (head, body) = text(address, verb, path).await;
    let kind =
        head.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == "content-type");
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        kind: kind.unwrap().1.to_owned(),
        body: serde_json::from_str(&body).unwrap(),
    }
}

/// The JSON that must be answered.
pub async fn get(address: SocketAddr, path: &str) -> Json {
    let answer = ask(address, "GET", path).await;
    assert_eq!((answer.status, answer.kind.as_str()), (200, "application/json"), "{path}: {}", answer.body);
    answer.body
}
