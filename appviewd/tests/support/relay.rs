//! A relay inside the test: frames to whoever connects, from the cursor that is asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use appview_core::sync::Event;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// A relay that has `frames`, and tells `upto` of them for now.
pub struct Relay {
    pub address: SocketAddr,
    told: watch::Sender<usize>,
    cursors: Arc<Mutex<Vec<Option<i64>>>>,
}

impl Relay {
    pub async fn start(frames: Vec<Vec<u8>>, upto: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, telling) = watch::channel(upto);
        let cursors = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&cursors);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(send(socket, frames.clone(), telling.clone(), Arc::clone(&asked)));
            }
        });
        Self { address, told, cursors }
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Tells more of the frames.
    pub fn tell(&self, upto: usize) {
        self.told.send_replace(upto);
    }

    /// The cursors that consumers asked for, in order.
    pub fn cursors(&self) -> Vec<Option<i64>> {
        self.cursors.lock().unwrap().clone()
    }
}

async fn send(
    socket: TcpStream,
    frames: Vec<Vec<u8>>,
    mut telling: watch::Receiver<usize>,
    cursors: Arc<Mutex<Vec<Option<i64>>>>,
) {
    let mut cursor = None;
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let read_cursor = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        assert_eq!(request.uri().path(), "/xrpc/com.atproto.sync.subscribeRepos");
        let query = request.uri().query().unwrap_or_default();
        cursor = query.strip_prefix("cursor=").map(|cursor| cursor.parse().unwrap());
        Ok(response)
    };
    let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(socket, read_cursor).await else { return };
    cursors.lock().unwrap().push(cursor);
    let mut sent = 0;
    loop {
        let upto = *telling.borrow_and_update();
        for frame in &frames[sent..upto] {
            if seq(frame) > cursor.unwrap_or(0)
                && socket.send(Message::Binary(frame.clone().into())).await.is_err()
            {
                return;
            }
        }
        sent = upto.max(sent);
        tokio::select! {
            changed = telling.changed() => if changed.is_err() { return },
            // Goodbyes are answered while reading.
            message = socket.next() => if !matches!(message, Some(Ok(_))) { return },
        }
    }
}

/// A frame's place in the stream.
pub fn seq(frame: &[u8]) -> i64 {
    Event::decode(frame).unwrap().0.seq().unwrap()
}
