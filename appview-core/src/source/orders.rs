//! What an operator may order of a running index: to pause, to go on, and whatever the pump takes as an input.
//!
//! Orders enter from anywhere in the process; inputs of the pump leave, and a state that every task of following heeds.
//! One handle outlives any number of followings, one after the other. Deliberately absent: who may give orders.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::pump::Input;
use super::queue::{Outbox, WeakOutbox};
use super::relay::Received;

/// Nothing is being followed at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing is being followed at the moment")]
pub struct NotFollowing;

/// Gives orders; cheap to clone.
#[derive(Debug, Clone)]
pub struct Orders {
    inbox: Arc<Mutex<Option<WeakOutbox>>>,
    paused: Arc<watch::Sender<bool>>,
}

impl Default for Orders {
    fn default() -> Self {
        Self { inbox: Arc::default(), paused: Arc::new(watch::Sender::new(false)) }
    }
}

impl Orders {
    /// Lets streams be closed and requests wait, until [`Orders::resume`]. What was received is still written, and reads are
    /// answered as before. Nothing is lost as long as relays keep what comes meanwhile.
    pub fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Goes on after [`Orders::pause`].
    pub fn resume(&self) {
        self.paused.send_replace(false);
    }

    /// Whether there is a pause.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// Hands an input to the pump.
    ///
    /// # Errors
    ///
    /// [`NotFollowing`].
    pub async fn send(&self, input: Input) -> Result<(), NotFollowing> {
        let inbox = self.inbox.lock().ok().and_then(|inbox| inbox.as_ref()?.upgrade());
        let inbox: Outbox = inbox.ok_or(NotFollowing)?;
        inbox.send(Received::Input(input)).await.map_err(|_| NotFollowing)
    }

    /// Lets inputs go to this pump from here on.
    pub(super) fn attach(&self, outbox: WeakOutbox) {
        if let Ok(mut inbox) = self.inbox.lock() {
            *inbox = Some(outbox);
        }
    }

    /// Waits while there is a pause.
    pub(super) async fn running(&self) {
        self.wait_for(false).await;
    }

    /// Waits until there is a pause.
    pub(super) async fn paused(&self) {
        self.wait_for(true).await;
    }

    async fn wait_for(&self, wanted: bool) {
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = self.paused.subscribe().wait_for(|paused| *paused == wanted).await;
    }
}
