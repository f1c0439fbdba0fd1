//! The simulated network as the engine's wire: requests and sockets in virtual time.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use appview_core::source::clock::Clock;
use appview_core::source::wire::{
    Bytes, ChosenBy, HeaderMap, Message, Reply, Said, Socket, SocketError, Url, Wire, WireError,
};
use appview_core::source::wishes::Wishes;
use fixtures::simulation::{self, Answer, Connection, Dialled, End, Polled, Simulation};
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::unfold;
use futures_util::{Sink, Stream};
use tokio::time::{Instant, Sleep, sleep};

/// A network and the clock that it goes by; cheap to clone.
#[derive(Clone)]
pub struct Simulated {
    network: Arc<Mutex<Simulation>>,
    clock: Clock,
    /// The moment at which the network was last looked at, which outlives the clock.
    looked_at: Arc<AtomicU64>,
}

impl Simulated {
    pub fn new(network: Arc<Mutex<Simulation>>, clock: Clock, looked_at: Arc<AtomicU64>) -> Self {
        Self { network, clock, looked_at }
    }

    /// The network, at this moment.
    fn look(&self) -> (MutexGuard<'_, Simulation>, u64) {
        let now = self.clock.now();
        self.looked_at.store(now, Ordering::Relaxed);
        (self.network.lock().unwrap(), now)
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Simulated")
    }
}

impl Wire for Simulated {
    fn send(&self, url: Url, _: Said, _: ChosenBy) -> BoxFuture<'static, Result<Reply, WireError>> {
        let this = self.clone();
        Box::pin(async move {
            let reply = {
                let (mut network, now) = this.look();
                network.get(url.as_str(), now)
            };
            match reply {
                simulation::Reply::Refused => Err(WireError::Unsent("refused".to_owned())),
                simulation::Reply::Hangs => pending().await,
                simulation::Reply::Answer(answer) => {
                    sleep(Duration::from_micros(answer.after)).await;
                    Ok(reply_of(answer))
                }
            }
        })
    }

    fn texts(&self, _: String) -> BoxFuture<'static, Result<Vec<String>, WireError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn dial(&self, url: String) -> BoxFuture<'static, Result<Box<dyn Socket>, WireError>> {
        let this = self.clone();
        Box::pin(async move {
            let dialled = {
                let (mut network, now) = this.look();
                network.dial(&url, now)
            };
            match dialled {
                Dialled::Refused => Err(WireError::Unsent("refused".to_owned())),
                Dialled::Hangs => pending().await,
                Dialled::Open { connection, after } => {
                    // Whoever does not wait for it hangs up.
                    let line = Line { wire: this, connection, alarm: Box::pin(sleep(Duration::ZERO)) };
                    sleep(Duration::from_micros(after)).await;
                    Ok(Box::new(line) as Box<dyn Socket>)
                }
            }
        })
    }
}

fn reply_of(answer: Answer) -> Reply {
    let header =
        |name: &str| answer.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
    let wishes = Wishes::read(header, 0);
    let parts = (answer.body.into_iter(), answer.is_cut);
    let body = unfold(parts, |(mut chunks, is_cut)| async move {
        match chunks.next() {
            Some(chunk) => {
                sleep(Duration::from_micros(chunk.after)).await;
                Some((Ok(Bytes::from(chunk.bytes)), (chunks, is_cut)))
            }
            None if is_cut => Some((Err(WireError::Lost("cut off".to_owned())), (chunks, false))),
            None => None,
        }
    });
    Reply { status: answer.status, headers: HeaderMap::new(), wishes, body: Box::pin(body) }
}

/// One socket.
struct Line {
    wire: Simulated,
    connection: Connection,
    /// Rings when there may be something.
    alarm: Pin<Box<Sleep>>,
}

impl Stream for Line {
    type Item = Result<Message, SocketError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let (polled, now) = {
                let (mut network, now) = self.wire.look();
                (network.poll(self.connection, now), now)
            };
            let message = match polled {
                Polled::Message(simulation::Message::Binary(frame)) => Message::Binary(frame.to_vec().into()),
                Polled::Message(simulation::Message::Text(text)) => Message::Text(text.as_ref().into()),
                Polled::Message(simulation::Message::Ping) => Message::Ping(Bytes::new()),
                Polled::Message(simulation::Message::Pong) => Message::Pong(Bytes::new()),
                Polled::Closed(End::Clean) => return Poll::Ready(None),
                Polled::Closed(End::Reset) => {
                    return Poll::Ready(Some(Err(SocketError::ConnectionClosed)));
                }
                Polled::Pending { until } => {
                    // Nobody waits for longer than a day.
                    let pause =
                        Duration::from_micros(until.saturating_sub(now)).min(Duration::from_hours(24));
                    self.alarm.as_mut().reset(Instant::now() + pause);
                    match self.alarm.as_mut().poll(context) {
                        Poll::Ready(()) => continue,
                        Poll::Pending => return Poll::Pending,
                    }
                }
            };
            return Poll::Ready(Some(Ok(message)));
        }
    }
}

impl Sink<Message> for Line {
    type Error = SocketError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SocketError> {
        if matches!(message, Message::Ping(_)) {
            self.wire.look().0.ping(self.connection);
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A run that was killed may have been in the middle of a question.
        if let Ok(mut network) = self.wire.network.lock() {
            network.hang_up(self.connection);
        }
    }
}
