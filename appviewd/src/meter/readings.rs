//! What is read when someone asks for the numbers, instead of being counted when it happens.

use std::time::Duration;

use metrics::gauge;

use crate::engine::Engine;

/// Sets what the engine's readings say.
#[expect(clippy::cast_precision_loss, reason = "a gauge needs no more than 52 bits")]
pub fn read(engine: &Engine, now: u64) {
    let beat = engine.pulse.read();
    gauge!("appview_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!("appview_paused").set(f64::from(u8::from(engine.orders.is_paused())));
    for stream in &beat.streams {
        let endpoint = || stream.endpoint.clone();
        gauge!("appview_stream_connected", "endpoint" => endpoint())
            .set(f64::from(u8::from(stream.is_connected)));
        let lag = crate::engine::lag(&beat, stream, now);
        gauge!("appview_stream_lag_seconds", "endpoint" => endpoint()).set(lag.as_secs_f64());
        if let Some(newest) = stream.newest {
            gauge!("appview_stream_newest_seq", "endpoint" => endpoint()).set(newest as f64);
        }
    }
    for (endpoint, seq) in &beat.cursors {
        gauge!("appview_stream_cursor_seq", "endpoint" => endpoint.clone()).set(*seq as f64);
    }
    gauge!("appview_queue_messages").set(beat.queued as f64);
    gauge!("appview_queue_bytes").set(beat.queued_bytes as f64);

    let standing = beat.standing;
    gauge!("appview_repos_followed").set(standing.followed as f64);
    gauge!("appview_repos_hosted").set(standing.hosted as f64);
    gauge!("appview_repos_proven").set(standing.proven as f64);
    gauge!("appview_repos_waiting").set(standing.waiting as f64);
    gauge!("appview_repos_unproven").set(standing.unproven as f64);
    gauge!("appview_proven_share").set(standing.proven_share());
    let oldest = standing.oldest_proof.map(|at| Duration::from_micros(now.saturating_sub(at)));
    gauge!("appview_oldest_proof_age_seconds").set(oldest.unwrap_or_default().as_secs_f64());
    gauge!("appview_index_bytes").set(engine.index_bytes() as f64);
}
