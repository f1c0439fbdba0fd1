//! What is drawn, as it looks.
#![allow(clippy::panic, reason = "tests")]

use appview_core::source::now;

use super::super::look::{Numbers, Readiness};
use super::*;

/// 2026-08-20T12:00:00Z.
const NOON: u64 = 1_787_227_200_000_000;

fn status() -> Status {
    let status = serde_json::json!({
        "version": "1.2.3", "provenShare": 995_238, "oldestProofAgeSeconds": 754,
        "streams": [
            {"endpoint": "wss://relay.example", "connected": true, "newest": 18_437_211, "lagSeconds": 0},
            {"endpoint": "wss://other-relay.example", "connected": false, "newest": 9},
        ],
        "repos": {"followed": 1_300, "hosted": 1_260, "proven": 1_254, "waiting": 6},
        "records": {"valid": 1_234_000, "marked": 567, "quarantined": 1},
        "fingerprint": "33c034c80c0f598d2743d1d098df1c305ed4574908ec885dc9bcf338f34e57fc",
    });
    serde_json::from_value(status).unwrap_or_else(|error| panic!("{error}"))
}

fn look(second: u64, frames: u64) -> Look {
    let numbers = format!(
        "appview_frames_total {frames}\nappview_commits_total {}\nappview_hints_total 0\n\
         appview_stream_lag_seconds{{endpoint=\"wss://relay.example\"}} 0.4\n\
         appview_stream_lag_seconds{{endpoint=\"wss://other-relay.example\"}} 4000\n\
         appview_stream_reconnects_total{{endpoint=\"wss://other-relay.example\"}} 3\n\
         appview_queue_messages 1200\nappview_queue_bytes 6400000\nappview_fetches_waiting 6\n\
         appview_fetches_put_off 2\nappview_hosts_resting 1\nappview_feed_subscribers 4\nappview_index_bytes 2340000000\n\
         appview_rejected_total{{reason=\"bad-signature\"}} {}\nappview_fetches_total{{outcome=\"slow\"}} 12\n",
        frames / 100,
        frames / 1_000,
    );
    Look {
        at: NOON + second * 1_000_000,
        readiness: Some(Readiness { ready: true, reasons: Vec::new() }),
        status: Some(status()),
        numbers: Some(Numbers::parse(&numbers)),
        missing: Vec::new(),
    }
}

fn gone(second: u64) -> Look {
    let missing = vec!["http://127.0.0.1:8080/readyz: connection refused".to_owned()];
    Look { at: NOON + second * 1_000_000, missing, ..Look::default() }
}

fn seen(looks: impl IntoIterator<Item = Look>) -> History {
    let mut history = History::default();
    looks.into_iter().for_each(|look| history.see(look));
    history
}

fn watched() -> History {
    let frames = [0, 100, 300, 700, 1_500, 1_600, 1_600, 4_600];
    seen(frames.into_iter().zip(0..).map(|(frames, second)| look(second, 10_000 + frames)))
}

fn text(history: &History, size: Size) -> String {
    let lines = drawn(history, "http://127.0.0.1:8080", size, NOON + 60_000_000);
    let text = |line: Line| line.0.into_iter().map(|(_, text)| text).collect::<String>();
    lines.into_iter().map(|line| format!("{}\n", text(line).trim_end())).collect()
}

#[test]
fn a_daemon_that_runs_is_drawn() {
    insta::assert_snapshot!(text(&watched(), Size { columns: 100, rows: 50 }));
}

#[test]
fn a_daemon_that_is_gone_is_drawn_with_what_it_told_last() {
    let mut history = watched();
    history.see(gone(10));
    insta::assert_snapshot!(text(&history, Size { columns: 100, rows: 12 }));
    let nobody = seen([gone(10)]);
    insta::assert_snapshot!("nobody_was_ever_there", text(&nobody, Size { columns: 100, rows: 12 }));
}

#[test]
fn a_daemon_that_tells_no_numbers_is_drawn_without_them() {
    let public = Look { numbers: None, ..look(0, 0) };
    let unready = Readiness { ready: false, reasons: vec!["behind".to_owned(), "starting".to_owned()] };
    let history = seen([Look { readiness: Some(unready), ..public }]);
    insta::assert_snapshot!(text(&history, Size { columns: 100, rows: 50 }));
}

#[test]
fn nothing_is_drawn_beyond_the_screen() {
    for (columns, rows) in [(20, 5), (40, 10), (79, 24), (200, 60), (1, 1)] {
        let lines = drawn(&watched(), "http://127.0.0.1:8080", Size { columns, rows }, now());
        assert!(lines.len() <= rows);
        assert!(lines.iter().all(|line| line.width() <= columns), "{columns}");
    }
}

#[test]
fn numbers_are_told_as_people_do() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!([12.0, 12_345.0, 2.34e9].map(sized), ["12 bytes", "12.3 kB", "2.3 GB"]);
    assert_eq!(chart(&[0.0, 0.1, 50.0, 100.0], 3), "▂▄█");
    assert_eq!(chart(&[0.0, 0.0], 10), "▁▁");
}
