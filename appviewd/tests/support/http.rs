//! Requests to the daemon, each over a connection of its own.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::net::SocketAddr;

use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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
