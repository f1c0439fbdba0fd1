//! `/healthz`: whether the process lives, and how far it has come.

use appview_core::source::follow::Pulse;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;

use super::App;

/// How following goes, for whoever asks.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The engine's readings.
    pub pulse: Pulse,
}

/// Answers as long as the process can answer at all.
pub(super) async fn healthz(State(app): State<App>) -> impl IntoResponse {
    let beat = app.health.pulse.read();
    let cursors: serde_json::Map<_, _> =
        beat.cursors.into_iter().map(|(endpoint, seq)| (endpoint, seq.into())).collect();
    let body = json!({
        "ok": true,
        "repos": beat.repos,
        "frames": beat.tally.frames,
        "commits": beat.tally.commits,
        "rejected": beat.tally.rejected,
        "cursors": cursors,
    });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string())
}
