//! The writer's thread: batches in, transactions out (feature `net`).
//!
//! [`Batch`]es wait in a short queue, so that a slow disk slows the pump; how far the index has come goes to the [`Pulse`], and
//! doubts go back to the pump. A disk that refuses is waited out for as long as it does, since space may come back and
//! nothing has been lost yet. Deliberately absent: what belongs into a batch.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::follow::Pulse;
use super::pump::{Batch, Input, Sink, tell_refused};
use super::queue::WeakOutbox;
use super::relay::Received;
use crate::index::{IndexError, IndexWriter};
use crate::syntax::Did;

/// Batches that may wait for the writer.
const BATCHES: usize = 2;
/// First pause before a batch is tried again that the disk refused; doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause before it is tried again, and told that there is still no room.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Tries after following was told to end, each after the first pause: less than a stop may take, and enough for what a rebuild
/// beside it gives back.
const LAST_TRIES: u32 = 20;

/// The pump's end of the writer's queue.
#[derive(Debug)]
pub(super) struct ToWriter {
    batches: SyncSender<Batch>,
}

/// The writer's thread has ended early: with an error, which whoever joins it will see.
#[derive(Debug)]
pub(super) struct WriterGone;

impl Sink for ToWriter {
    type Error = WriterGone;

    fn write(&mut self, batch: Batch) -> Result<(), WriterGone> {
        self.batches.send(batch).map_err(|_| WriterGone)
    }
}

/// The thread, which ends with the queue.
pub(super) type WriterThread = JoinHandle<Result<IndexWriter, IndexError>>;

/// As long as it is kept, a disk that refuses is waited for.
pub(super) type Patience = SyncSender<Infallible>;

/// Starts the thread.
pub(super) fn spawn_writer(
    mut writer: IndexWriter,
    inbox: WeakOutbox,
    pulse: Pulse,
) -> (ToWriter, WriterThread, Patience) {
    let (batches, queue): (_, Receiver<Batch>) = sync_channel(BATCHES);
    let (patience, running) = sync_channel(0);
    let thread = std::thread::spawn(move || {
        let mut doubted: Vec<Did> = Vec::new();
        for batch in queue {
            let began = Instant::now();
            let write = || writer.apply(&batch.changes, &batch.cursors, batch.at);
            let applied = patiently(write, FIRST_PAUSE, &running)?;
            metrics::histogram!("appview_write_seconds").record(began.elapsed());
            metrics::counter!("appview_changes_written_total").increment(batch.changes.len() as u64);
            pulse.tell(&applied);
            for refused in applied.refused {
                tell_refused(&refused);
                doubted.push(refused.did);
            }
            // While there is no room, they are kept for the next time. At the end there may be nobody left to ask; the next
            // start will.
            if let Some(inbox) = inbox.upgrade() {
                doubted.retain(|did| !inbox.try_send(Received::Input(Input::Doubt(did.clone()))));
            }
            pulse.write(|beat| {
                beat.cursors =
                    batch.cursors.into_iter().map(|cursor| (cursor.endpoint, cursor.seq)).collect();
            });
        }
        Ok(writer)
    });
    (ToWriter { batches }, thread, patience)
}

/// Writes, and goes on trying while the disk is full or the file held by another process, for as long as anyone is patient;
/// then [`LAST_TRIES`] decide.
fn patiently<T>(
    mut write: impl FnMut() -> Result<T, IndexError>,
    first_pause: Duration,
    running: &Receiver<Infallible>,
) -> Result<T, IndexError> {
    let (mut pause, mut last_tries) = (first_pause, None);
    loop {
        match write() {
            Err(error @ (IndexError::Busy { .. } | IndexError::Full { .. })) if last_tries != Some(0) => {
                let pause_s = pause.as_secs();
                tracing::error!(%error, pause_s, last_tries, "the index cannot be written; trying again");
                if let Some(left) = &mut last_tries {
                    *left = u32::saturating_sub(*left, 1);
                    std::thread::sleep(first_pause);
                } else if running.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                    last_tries = Some(LAST_TRIES);
                }
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn full() -> IndexError {
        IndexError::Full { path: "index.db".into() }
    }

    #[test]
    fn a_full_disk_is_waited_for_however_long_it_is_full() {
        let (_patience, running) = sync_channel(0);
        let mut tries = 0;
        let write = || {
            tries += 1;
            if tries < 1_000 { Err(full()) } else { Ok("written") }
        };
        assert_eq!(patiently(write, Duration::ZERO, &running).unwrap(), "written");
    }

    #[test]
    fn a_stop_leaves_a_full_disk_a_few_more_tries() {
        let (patience, running) = sync_channel(0);
        let (mut patience, mut tries) = (Some(patience), 0);
        let write = || -> Result<(), _> {
            tries += 1;
            // The stop comes while the third try is made.
            if tries == 3 {
                patience.take();
            }
            Err(full())
        };
        assert!(matches!(patiently(write, Duration::ZERO, &running), Err(IndexError::Full { .. })));
        assert_eq!(tries, 3 + 1 + LAST_TRIES);
    }

    #[test]
    fn damage_is_not_waited_for() {
        let (_patience, running) = sync_channel(0);
        let mut tries = 0;
        let write = || -> Result<(), _> {
            tries += 1;
            Err(IndexError::Missing { path: "index.db".into() })
        };
        assert!(patiently(write, Duration::ZERO, &running).is_err());
        assert_eq!(tries, 1);
    }
}
