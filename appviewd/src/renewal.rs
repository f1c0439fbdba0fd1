//! A rebuild from the network in a daemon that goes on following and answering, and how a rebuild ended.
//!
//! A [`Renewal`] is asked for a new index; what it tells on its way leaves. It builds beside, and at the end borrows the one
//! writer of the old index for the moment of the last look and the swap: nobody follows meanwhile, so that nothing moves.
//! Deliberately absent: who asks, and by which way.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Error, Result};
use appview_core::index::IndexWriter;
use appview_core::record::Catalog;
use appview_core::source::rebuild::{Anew, Asked, Comparison, Progressed};
use serde_json::{Value as Json, json};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::wipe::Showing;

/// Looks at what moved while the network is followed: each is shorter than the one before.
const LOOKS: u32 = 3;
/// Looks at the old index while it stands still: what it lacks at one may have been on its way, and is there at the next.
const LAST_LOOKS: u32 = 3;
/// How long it is followed between two of those.
const BETWEEN: Duration = Duration::from_secs(2);

/// Builds new indexes beside the one that is followed; cheap to clone.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// Where the index is.
    pub path: PathBuf,
    /// Whom to ask.
    pub asked: Asked,
    /// Where the writer is borrowed.
    pub loans: mpsc::Sender<Loan>,
}

/// The writer is wanted for a moment.
#[derive(Debug)]
pub struct Loan {
    /// Where to give it.
    pub lend: oneshot::Sender<IndexWriter>,
    /// Where it, or one of the new index, comes back. If none does, the index is to be opened again.
    pub back: oneshot::Receiver<IndexWriter>,
}

/// What is told on the way.
#[derive(Debug)]
pub enum Told {
    /// How far it has come.
    Progress(Progressed),
    /// The end.
    Ended(Result<Outcome>),
}

impl Renewal {
    /// Begins a rebuild, of what is shown at the time of the swap. What is told ends with [`Told::Ended`];
    /// whoever stops to listen before ends the rebuild.
    #[must_use]
    pub fn begin(&self, showing: Showing, partial: bool) -> mpsc::Receiver<Told> {
        let (told, listening) = mpsc::channel(16);
        let this = self.clone();
        // It writes, and reads all of what it wrote: not on a thread that others wait for.
        tokio::task::spawn_blocking(move || {
            Handle::current().block_on(async move {
                let ended = tokio::select! {
                    ended = this.run(&showing, partial, &told) => ended,
                    () = told.closed() => return,
                    // The following has stopped, and with it the daemon.
                    () = this.loans.closed() => return,
                };
                match &ended {
                    Ok(Outcome { comparison, swapped }) => tracing::info!(
                        agrees = comparison.agrees(),
                        differs = comparison.differs.len(),
                        moved = comparison.moved.len(),
                        failed = comparison.failed.len(),
                        swapped,
                        "the index was built anew"
                    ),
                    Err(error) => tracing::warn!(%error, "the index cannot be built anew"),
                }
                // Nobody may listen any more.
                let _ = told.send(Told::Ended(ended)).await;
            });
        });
        listening
    }

    async fn run(&self, showing: &Showing, partial: bool, told: &mpsc::Sender<Told>) -> Result<Outcome> {
        let tell = |progressed| {
            // Whoever listens slowly hears less.
            let _ = told.try_send(Told::Progress(progressed));
        };
        let mut asked = self.asked.clone();
        asked.network.scope = showing.scope()?;
        let mut anew = Anew::build(&self.path, Catalog::builtin()?, asked, tell).await?;
        for _ in 0..LOOKS {
            if anew.catch_up(showing.scope()?).await? == 0 {
                break;
            }
        }
        let mut looks = 1;
        let (writer, give_back, comparison) = loop {
            let (writer, give_back) = self.borrow().await?;
            anew.catch_up(showing.scope()?).await?;
            let comparison = anew.compare()?;
            if comparison.ahead.is_empty() || looks == LAST_LOOKS {
                break (writer, give_back, comparison);
            }
            // The daemon may be stopping.
            let _ = give_back.send(writer);
            looks += 1;
            tokio::time::sleep(BETWEEN).await;
        };
        let swapped = partial || comparison.is_whole();
        let writer = if swapped { anew.swap(writer)? } else { writer };
        // The daemon may be stopping.
        let _ = give_back.send(writer);
        Ok(Outcome { comparison, swapped })
    }

    /// Ends following until the writer, or one of the new index, is given back.
    async fn borrow(&self) -> Result<(IndexWriter, oneshot::Sender<IndexWriter>)> {
        let (lend, lent) = oneshot::channel();
        let (give_back, back) = oneshot::channel();
        let stopped = "nothing is being followed any more";
        self.loans.send(Loan { lend, back }).await.map_err(|_| Error::msg(stopped))?;
        Ok((lent.await.context(stopped)?, give_back))
    }
}

impl Told {
    /// `{"progress": {found, settled, putOff, leftSeconds}}`, `{"result": …}` or `{"error": …}`
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Progress(Progressed { found, settled, put_off, left }) => json!({"progress": {
                "found": found, "settled": settled, "putOff": put_off, "leftSeconds": left.map(|left| left.as_secs()),
            }}),
            Self::Ended(Ok(outcome)) => json!({"result": outcome.to_json()}),
            Self::Ended(Err(error)) => json!({"error": format!("{error:#}")}),
        }
    }
}

/// What came of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The two indexes, compared.
    pub comparison: Comparison,
    /// Whether the new one is in the place of the old one.
    pub swapped: bool,
}

impl Outcome {
    /// `{fingerprint, before, agrees, differs, moved, failed, unread, whole, swapped}`
    #[must_use]
    pub fn to_json(&self) -> Json {
        let Self { comparison, swapped } = self;
        let texts = |items: &[_]| items.iter().map(ToString::to_string).collect::<Vec<String>>();
        json!({
            "fingerprint": comparison.fingerprint.to_string(),
            "before": comparison.before.as_ref().map(ToString::to_string),
            "agrees": comparison.agrees(),
            "differs": texts(&comparison.differs),
            "moved": texts(&comparison.moved),
            "failed": texts(&comparison.failed),
            "unread": comparison.unread.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "whole": comparison.is_whole(),
            "swapped": swapped,
        })
    }
}
