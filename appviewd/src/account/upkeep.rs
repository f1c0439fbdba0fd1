//! What is written now and then: when keys were last used, and what is too old to be kept.

use std::time::Duration;

use appview_core::source::clock::Clock;
use tokio::sync::watch;
use tokio::time::sleep;

use super::AccountStore;

/// How old the written uses of keys may be.
const USES: Duration = Duration::from_secs(60);
/// After how many of these the audit is swept: an hour.
const SWEEP_EVERY: u32 = 60;

/// Keeps a store in order until `stopped` turns true, and writes what is left then. What fails is tried again the next time.
pub async fn keep(store: AccountStore, clock: Clock, mut stopped: watch::Receiver<bool>) {
    for turn in 0_u32.. {
        let is_over = tokio::select! {
            () = sleep(USES) => false,
            _ = stopped.wait_for(|stopped| *stopped) => true,
        };
        let now = clock.now();
        let done = store.run(move |store| {
            store.write_key_uses()?;
            if turn % SWEEP_EVERY == 0 { store.sweep_audit(now).map(drop) } else { Ok(()) }
        });
        if let Err(error) = done.await {
            tracing::warn!(%error, "the account store could not be kept in order");
        }
        if is_over {
            break;
        }
    }
}
