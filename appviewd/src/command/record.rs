//! `record`: a relay's frames, unchanged, to standard output. They are neither decoded nor checked.

use std::io::{BufWriter, Write as _};

use anyhow::{Context as _, Result, bail};
use appview_core::source::relay::{Dialect, RelayUrl, connect};
use appview_core::source::wire::{Message, Outside, Reach};
use futures_util::StreamExt as _;

use crate::progress::Progress;

/// Writes `frames` frames as a recording.
///
/// # Errors
///
/// The relay cannot be reached, or ends the stream too early.
pub fn run(relay: &RelayUrl, frames: u64, cursor: Option<i64>) -> Result<()> {
    let outside = Outside::internet(Reach::Public)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut socket = connect(relay, &Dialect::Frames, cursor, &*outside.wire)
            .await
            .with_context(|| relay.to_string())?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        let mut progress = Progress::start("recorded", "frames", Some(frames));
        let mut recorded = 0;
        while recorded < frames {
            match socket.next().await {
                Some(Ok(Message::Binary(frame))) => {
                    let length = u32::try_from(frame.len()).context("a frame longer than 4 GiB")?;
                    out.write_all(&length.to_be_bytes())?;
                    out.write_all(&frame)?;
                    recorded += 1;
                    progress.tell(recorded, String::new);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Text(_))) => bail!("expected binary messages, found text"),
                Some(Ok(Message::Close(_))) | None => {
                    out.flush()?;
                    bail!("the relay closed the stream after {recorded} of {frames} frames");
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
        out.flush()?;
        progress.finish(recorded, "");
        Ok(())
    })
}
