//! Pages in a real browser: on a phone and on a desktop, light and dark, with a script and without.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::process::Command;

use appview_core::source::clock::Clock;
use appviewd::config::Access;
use serde_json::json;
use support::browser::{chromium, pictures};
use support::npm;
use support::served::followed_at;

/// Minutes after the recording was made, 2026-11-22T15:00:00Z, in microseconds.
const NOW: u64 = 1_795_359_600_000_000;

const QUARTZ: &str = "did:plc:exu5tv46npooqfmudghyfhts";
const ADA: &str = "did:plc:bjxq26mtdagze6oktnfzvhoe";

/// A receipt that holds, one whose settlement does not, and one whose job is not there.
const RECEIPTS: [(&str, &str); 3] = [
    ("receipt", "did:plc:exu5tv46npooqfmudghyfhts/dev.cocore.compute.receipt/3n2vutf4m5p2h"),
    ("receipt-settled-wrongly", "did:plc:2772a7bv57z4lhimh7z466vo/dev.cocore.compute.receipt/3n2vutdi5gt2h"),
    ("receipt-without-job", "did:plc:2772a7bv57z4lhimh7z466vo/dev.cocore.compute.receipt/3n2vutdzqw32h"),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium, and playwright-core and axe-core from npm: just browser"]
async fn pages_can_be_read_by_everybody_everywhere() {
    let (Some(chromium), Some(scripts)) = (chromium(), npm::installed("browser")) else { return };
    let (_scenario, _relay, daemon) = followed_at(Clock::of_runtime(NOW, 1), Access::default()).await;
    let page = |path: &str, pictures: &[&str]| json!({"path": path, "pictures": pictures});
    let mut pages = json!({
        "network": page("/", &["desktop-light", "phone-dark"]),
        "network-of-a-year": page("/?range=year", &[]),
        "providers": page("/providers", &[]),
        "provider": page(&format!("/provider/{QUARTZ}"), &["desktop-dark"]),
        "models": page("/models", &[]),
        "model": page("/model/openai/gpt-oss-20b", &[]),
        "account": page(&format!("/u/{ADA}"), &[]),
        "status": page("/status", &["desktop-light"]),
        "api": page("/api", &[]),
        "privacy-without-accounts": page("/privacy", &[]),
        "no-accounts": page("/account", &[]),
    });
    for (name, place) in RECEIPTS {
        let pictures: &[&str] = if name == "receipt" { &["desktop-light"] } else { &[] };
        pages[name] = page(&format!("/receipt/at://{place}"), pictures);
    }
    let origin = format!("http://{}", daemon.address);
    let folder = pictures();
    let looked = tokio::task::spawn_blocking(move || {
        let mut look = Command::new("node");
        look.arg("look.mjs").arg(chromium).arg(origin).arg(folder).arg(pages.to_string());
        look.current_dir(scripts).output().unwrap()
    });
    let looked = looked.await.unwrap();
    let (found, errors) = (String::from_utf8_lossy(&looked.stdout), String::from_utf8_lossy(&looked.stderr));
    assert!(looked.status.success(), "{errors}");
    assert_eq!(found, "", "what is wrong with which page");
    daemon.stop().await;
}
