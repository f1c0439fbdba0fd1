//! `/healthz`, whether the process lives, and `/readyz`, whether what it answers is as new as can be.

use std::sync::Arc;
use std::time::Duration;

use appview_core::source::follow::Beat;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value as Json, json};

use super::App;
use crate::engine::lag;

/// Answers as long as the process can answer at all.
pub(super) async fn healthz(State(app): State<Arc<App>>) -> impl IntoResponse {
    let beat = app.engine.pulse.read();
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

/// 200 while something is followed closely enough, else 503 and why.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> impl IntoResponse {
    let (beat, now) = (app.engine.pulse.read(), app.clock.now());
    // Whoever spreads requests is told early, while those that come are still answered.
    let reasons = match *app.stopped.borrow() {
        true => vec!["stopping"],
        false => unready(&beat, app.engine.orders.is_paused(), app.ready_lag, now),
    };
    let streams: Vec<Json> = beat
        .streams
        .iter()
        .map(|stream| {
            let behind = lag(&beat, stream, now).as_secs_f64();
            json!({"endpoint": stream.endpoint, "connected": stream.is_connected, "lagSeconds": behind})
        })
        .collect();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"ready": reasons.is_empty(), "reasons": reasons, "streams": streams});
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string())
}

/// Why what is answered may be old; nothing if it is not. One stream that is connected and followed within `limit` is enough:
/// any of them brings everything.
fn unready(beat: &Beat, is_paused: bool, limit: Duration, now: u64) -> Vec<&'static str> {
    if beat.at.is_none() {
        return vec!["starting"];
    }
    if is_paused {
        return vec!["paused"];
    }
    let mut connected = beat.streams.iter().filter(|stream| stream.is_connected).peekable();
    if connected.peek().is_none() {
        return vec!["no stream is connected"];
    }
    if connected.any(|stream| lag(beat, stream, now) <= limit) { Vec::new() } else { vec!["behind"] }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use appview_core::index::Index;
    use appview_core::source::backlog::Progress;
    use appview_core::source::follow::Pulse;
    use appview_core::source::orders::Orders;
    use appview_core::sync::verifier::StreamStanding;
    use tokio::sync::watch;

    use super::*;
    use crate::engine::Engine;
    use crate::http::{Answering, Subscribers, Terms};

    const SECOND: u64 = 1_000_000;
    const NOW: u64 = 10_000 * SECOND;

    fn stream(is_connected: bool, behind: u64) -> StreamStanding {
        StreamStanding {
            endpoint: "wss://relay.example".to_owned(),
            is_connected,
            newest: Some(1),
            newest_at: Some(NOW - behind * SECOND),
            read_at: Some(NOW),
        }
    }

    fn told(streams: Vec<StreamStanding>) -> Vec<&'static str> {
        let beat = Beat { at: Some(NOW), streams, ..Beat::default() };
        unready(&beat, false, Duration::from_secs(60), NOW)
    }

    #[test]
    fn one_stream_that_is_followed_closely_is_enough() {
        assert_eq!(told(vec![stream(true, 3_600), stream(false, 1), stream(true, 60)]), [""; 0]);
        assert_eq!(told(vec![stream(true, 3_600), stream(false, 1)]), ["behind"]);
        assert_eq!(told(vec![stream(false, 1)]), ["no stream is connected"]);
        assert_eq!(told(Vec::new()), ["no stream is connected"]);
    }

    #[test]
    fn a_pause_and_a_beginning_are_told_apart_from_being_behind() {
        let limit = Duration::from_secs(60);
        assert_eq!(unready(&Beat::default(), false, limit, NOW), ["starting"]);
        let beat = Beat { at: Some(NOW), streams: vec![stream(true, 1)], ..Beat::default() };
        assert_eq!(unready(&beat, true, limit, NOW), ["paused"]);
        assert_eq!(unready(&beat, false, limit, NOW + 61 * SECOND), ["behind"], "the pump stands still");
    }

    #[tokio::test]
    async fn whoever_stops_is_not_ready_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path().join("index.db")).unwrap();
        let (pulse, progress, orders) = (Pulse::default(), Progress::default(), Orders::default());
        let engine = Engine { index, pulse, progress, orders };
        let (stop, stopped) = watch::channel(false);
        let subscribers = Subscribers::new(engine.index.clone(), engine.pulse.feed(), Terms::default());
        let app = Arc::new(App::new(
            engine,
            Answering::alone(appview_core::trust::Terms::builtin().unwrap()),
            stopped,
            subscribers,
        ));
        let reasons = async || {
            let answer = readyz(State(Arc::clone(&app))).await.into_response();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            let body = axum::body::to_bytes(answer.into_body(), 1_000).await.unwrap();
            serde_json::from_slice::<Json>(&body).unwrap().get("reasons").cloned().unwrap()
        };
        assert_eq!(reasons().await, json!(["starting"]));
        stop.send_replace(true);
        assert_eq!(reasons().await, json!(["stopping"]));
    }
}
