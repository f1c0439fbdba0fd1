//! The one queue towards the pump, bounded by messages and by the memory that they take (feature `net`).
//!
//! [`Received`] enters from many tasks, each of which waits while the queue is full; it leaves on the pump's thread, in
//! order. A message's room is free again some time after it has been handled: room is given back in pieces, because each
//! time wakes whoever waits for it, and a thread woken for every message costs more than most messages. Deliberately
//! absent: what messages mean.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::pump::{Answer, Input};
use super::relay::Received;

/// Messages that may wait.
const MESSAGES: u32 = 4_096;
/// Bytes that may wait, in frames and in repositories. A larger message waits until it is alone.
const BYTES: u32 = 64 << 20;
/// Bytes that are given back at once. When nothing waits, all are.
const PIECE: usize = BYTES as usize / 16;

/// Nobody receives any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody receives any more")]
pub struct Stopped;

/// Where messages are put; cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    messages: mpsc::UnboundedSender<Queued>,
    room: Room,
}

/// An [`Outbox`] that keeps nobody receiving.
#[derive(Debug, Clone)]
pub struct WeakOutbox {
    messages: mpsc::WeakUnboundedSender<Queued>,
    room: Room,
}

/// Where messages are taken.
#[derive(Debug)]
pub struct Inbox {
    messages: mpsc::UnboundedReceiver<Queued>,
    room: Room,
    /// That of the message handed out last.
    taken: Option<OwnedSemaphorePermit>,
    /// That of messages handled before it.
    handled: Option<OwnedSemaphorePermit>,
}

/// What bounds the queue: as many permits as bytes may wait.
#[derive(Debug, Clone)]
struct Room {
    bytes: Arc<Semaphore>,
    /// What the smallest message takes, so that messages are bounded in number too.
    least: u32,
}

#[derive(Debug)]
struct Queued {
    received: Received,
    room: OwnedSemaphorePermit,
}

/// A queue for as many messages, and as many bytes, as suit one process.
#[must_use]
pub fn queue() -> (Outbox, Inbox) {
    queue_for(MESSAGES)
}

/// A queue for this many messages, the one that is being handled included: at least one.
#[must_use]
pub fn queue_for(messages: u32) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let least = BYTES / messages.clamp(1, BYTES);
    let room = Room { bytes: Arc::new(Semaphore::new(BYTES as usize)), least };
    let outbox = Outbox { messages: sender, room: room.clone() };
    (outbox, Inbox { messages: receiver, room, taken: None, handled: None })
}

impl Outbox {
    /// Puts a message in, as soon as there is room for it.
    ///
    /// # Errors
    ///
    /// [`Stopped`], also for whoever waits.
    pub async fn send(&self, received: Received) -> Result<(), Stopped> {
        let room = Arc::clone(&self.room.bytes).acquire_many_owned(self.room.of(&received));
        let room = room.await.map_err(|_| Stopped)?;
        self.messages.send(Queued { received, room }).map_err(|_| Stopped)
    }

    /// Puts a message in if there is room for it; returns whether there was.
    pub fn try_send(&self, received: Received) -> bool {
        let room = Arc::clone(&self.room.bytes).try_acquire_many_owned(self.room.of(&received));
        room.is_ok_and(|room| self.messages.send(Queued { received, room }).is_ok())
    }

    /// Waits until nobody receives any more.
    pub async fn closed(&self) {
        self.messages.closed().await;
    }

    /// Whether nobody receives any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// The same queue, for one who may outlive it.
    #[must_use]
    pub fn downgrade(&self) -> WeakOutbox {
        WeakOutbox { messages: self.messages.downgrade(), room: self.room.clone() }
    }
}

impl WeakOutbox {
    /// The queue, unless every [`Outbox`] is gone.
    #[must_use]
    pub fn upgrade(&self) -> Option<Outbox> {
        let messages = self.messages.upgrade()?;
        Some(Outbox { messages, room: self.room.clone() })
    }
}

impl Inbox {
    /// The next message, once there is one; none when every [`Outbox`] is gone.
    pub async fn receive(&mut self) -> Option<Received> {
        if let Some(received) = self.try_receive() {
            return Some(received);
        }
        let queued = self.messages.recv().await?;
        Some(self.hand_out(queued))
    }

    /// The next message if one waits.
    pub fn try_receive(&mut self) -> Option<Received> {
        self.give_back();
        match self.messages.try_recv() {
            Ok(queued) => Some(self.hand_out(queued)),
            Err(_) => {
                self.handled = None;
                None
            }
        }
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Bytes that those take, with the message that was handed out last.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (BYTES as usize).saturating_sub(self.room.bytes.available_permits())
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn hand_out(&mut self, Queued { received, room }: Queued) -> Received {
        self.taken = Some(room);
        received
    }

    /// The message handed out last has been handled.
    fn give_back(&mut self) {
        match (&mut self.handled, self.taken.take()) {
            (Some(handled), Some(taken)) => handled.merge(taken),
            (handled @ None, taken) => *handled = taken,
            (Some(_), None) => {}
        }
        self.handled.take_if(|handled| handled.num_permits() >= PIECE);
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Whoever waits for room would wait for ever.
        self.room.bytes.close();
    }
}

impl Room {
    /// Bytes of memory that a message takes, as far as senders decide it.
    fn of(&self, received: &Received) -> u32 {
        let bytes = match received {
            Received::Input(Input::Frames { burst, .. }) => burst.bytes(),
            Received::Input(Input::Answer(Answer::Repo { repo, .. })) => repo.memory_bytes(),
            Received::Input(Input::Answer(Answer::Record { record, .. })) => record.change().bytes(),
            Received::Input(_) | Received::Resume { .. } => 0,
        };
        u32::try_from(bytes).unwrap_or(BYTES).clamp(self.least, BYTES)
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::super::burst::Burst;
    use super::*;
    use crate::sync::{Scope, Verifier};

    fn frame(bytes: usize) -> Received {
        let stream = Verifier::new(Scope::default(), []).add_stream("wss://relay.example", None);
        Received::Input(Input::Frames { stream, burst: Burst::new(&vec![0; bytes]) })
    }

    #[test]
    fn large_frames_fill_the_queue_by_their_bytes_and_small_ones_by_their_number() {
        let (outbox, mut inbox) = queue();
        let large = BYTES as usize / 16;
        assert!((0..16).all(|_| outbox.try_send(frame(large))));
        assert!(!outbox.try_send(frame(1)), "a seventeenth finds no room");
        assert_eq!((inbox.len(), inbox.bytes()), (16, BYTES as usize));
        assert!(inbox.try_receive().is_some());
        assert!(!outbox.try_send(frame(large)), "one that is being handled takes its room still");
        assert_eq!((inbox.len(), inbox.bytes()), (15, BYTES as usize));
        assert!(inbox.try_receive().is_some());
        assert_eq!((inbox.len(), inbox.bytes()), (14, 15 * large));
        assert!(outbox.try_send(frame(large)));

        let (outbox, _inbox) = queue();
        assert_eq!((0..).take_while(|_| outbox.try_send(frame(1))).count(), MESSAGES as usize);
    }

    #[test]
    fn whoever_waits_for_room_hears_of_the_end() {
        let (outbox, inbox) = queue();
        assert!(outbox.try_send(frame(BYTES as usize)));
        let mut waiting = Box::pin(outbox.send(frame(BYTES as usize * 2)));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
        drop(inbox);
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(Err(Stopped)));
    }
}
