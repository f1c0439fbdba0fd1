//! Every method as its clients know it: status and JSON of each, on the recorded market at a fixed moment, and each error
//! that a lexicon declares.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use appview_core::index::Index;
use appview_core::source::backlog::Progress;
use appview_core::source::clock::Clock;
use appview_core::source::follow::Pulse;
use appview_core::source::orders::Orders;
use appview_core::trust::Terms;
use appviewd::engine::Engine;
use appviewd::http::{self, Answering, App, Seats, Subscribers};
use serde_json::{Value as Json, json};
use support::Scenario;
use support::http::ask;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Half an hour after the recording, 2026-11-22T13:30:00Z, in microseconds.
const NOW: u64 = 1_795_354_200_000_000;

const EXCHANGE: &str = "did:plc:xnp7tscnrnk43ds3fcohzsqq";
const FORGE: &str = "did:plc:blmo4ecpe42gjmb6bkgeuqf5";
const EMBER: &str = "did:plc:2772a7bv57z4lhimh7z466vo";
const ADA: &str = "did:plc:bjxq26mtdagze6oktnfzvhoe";
const BORIS: &str = "did:plc:srievuw3pkkp4x4zrninoz7f";
/// Whose account was deleted.
const GHOST: &str = "did:plc:3hctrf7orztamvl3vnro6wjd";

const RECEIPT: &str = "at://did:plc:2772a7bv57z4lhimh7z466vo/dev.cocore.compute.receipt/3n2vutbbdst2h";
const SETTLEMENT: &str = "at://did:plc:xnp7tscnrnk43ds3fcohzsqq/dev.cocore.compute.settlement/3n2vutb5kpt2h";

/// The service over the recorded market, long after everything has come.
struct Service {
    address: SocketAddr,
    _scenario: Scenario,
    _stop: watch::Sender<bool>,
}

impl Service {
    async fn start() -> Self {
        let scenario = Scenario::played();
        let index = Index::open(scenario.path("appview-data/index.db")).unwrap();
        let (pulse, progress, orders) = (Pulse::default(), Progress::default(), Orders::default());
        let (stop, stopped) = watch::channel(false);
        let subscribers = Subscribers::new(index.clone(), pulse.feed(), http::Terms::default());
        let clock = Clock::of_runtime(NOW, 1);
        let answering = Answering { clock, ..Answering::alone(Terms::builtin().unwrap()) };
        let app =
            App::new(Engine { index, pulse, progress, orders }, answering, stopped.clone(), subscribers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(http::serve(listener, http::routes(app, None), Seats::unlimited(), stopped));
        Self { address, _scenario: scenario, _stop: stop }
    }

    /// Status and JSON of each request to one method, by its query.
    async fn told(&self, method: &str, queries: &[String]) -> BTreeMap<String, Json> {
        let mut told = BTreeMap::new();
        for query in queries {
            let answer = ask(self.address, "GET", &format!("/xrpc/dev.cocore.{method}{query}")).await;
            assert_eq!(answer.kind, "application/json");
            told.insert(
                query.clone(),
                json!({"status": answer.status, "body": without_moments(answer.body)}),
            );
        }
        told
    }

    /// The JSON of a request that must be answered.
    async fn get(&self, path: &str) -> Json {
        let answer = ask(self.address, "GET", &format!("/xrpc/dev.cocore.{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }
}

/// The moment of an answer goes on while a test runs; its form is looked at in its place.
fn without_moments(mut body: Json) -> Json {
    if let Some(moment) = body.get_mut("generatedAt") {
        assert!(moment.as_str().unwrap().starts_with("2026-11-22T13:3"), "{moment}");
        *moment = "(now)".into();
    }
    body
}

macro_rules! told {
    ($service:expr, $method:literal, [$($query:expr),* $(,)?]) => {{
        let told = $service.told($method, &[$($query.to_string()),*]).await;
        insta::assert_json_snapshot!($method.replace('.', "_"), told);
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn compute_lists() {
    let service = Service::start().await;
    told!(service, "compute.listProviders", ["?limit=1"]);
    told!(
        service,
        "compute.listReceipts",
        [
            "?limit=1",
            format!("?limit=1&provider={EMBER}&requester={BORIS}"),
            "?provider=nobody",
            "?requester=did:web:nobody.example",
            "?job=nothing",
            "?cursor=nothing",
            "?since=yesterday",
            "?until=tomorrow",
        ]
    );
    told!(
        service,
        "compute.listJobs",
        [format!("?limit=1&requester={ADA}"), "", "?requester=", "?requester=nobody"]
    );
    told!(
        service,
        "compute.listSettlements",
        [format!("?limit=1&requester={ADA}"), "?receipt=nothing", "?requester=nobody", "?cursor=nothing"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn compute_statistics() {
    let service = Service::start().await;
    told!(service, "compute.latency", ["", "?cursor=nothing"]);
    told!(service, "compute.modelActivity", ["", "?cursor=nothing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts() {
    let service = Service::start().await;
    let missing = "at://did:web:nobody.example/dev.cocore.compute.receipt/3n2vutbbdst2h";
    told!(
        service,
        "compute.verifyReceipt",
        [
            format!("?uri={RECEIPT}"),
            "",
            "?uri=",
            "?uri=nonsense",
            format!("?uri={SETTLEMENT}"),
            format!("?uri=at://{EMBER}/dev.cocore.compute.receipt"),
            format!("?uri={missing}"),
        ]
    );
    told!(
        service,
        "compute.verifySettlement",
        [
            format!("?uri={SETTLEMENT}"),
            "",
            "?uri=nonsense",
            format!("?uri={RECEIPT}"),
            format!("?uri=at://{EXCHANGE}/dev.cocore.compute.settlement/3jzfcijpj2z2a")
        ]
    );
    // What is stricter is stricter.
    let advised = service.get(&format!("compute.verifyReceipt?uri={RECEIPT}")).await;
    let strict = service.get(&format!("compute.verifyReceipt?uri={RECEIPT}&strict=true")).await;
    assert_eq!(
        (&advised["rules"]["profile"], &strict["rules"]["profile"]),
        (&json!("advise"), &json!("strict"))
    );
    assert_eq!(advised["findings"].as_array().unwrap().len(), strict["findings"].as_array().unwrap().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts() {
    let service = Service::start().await;
    told!(service, "account.listProfiles", ["?limit=1", "?cursor=nothing"]);
    told!(
        service,
        "account.getProfile",
        [
            format!("?did={EMBER}"),
            format!("?did={GHOST}"),
            "?did=did:x",
            "?did=did:web:nobody.example",
            "?did=ember.test",
            "?did=",
            ""
        ]
    );
    told!(
        service,
        "account.listAccounts",
        [
            "",
            "?limit=2&offset=1&sortBy=newest",
            "?limit=0&sortBy=neither&providersOnly=TRUE",
            format!("?providersOnly=true&viewerDid={FORGE}"),
            format!("?excludeViewerFriends=true&viewerDid={ADA}&limit=100"),
            "?q=%20@EMBER%20",
            "?q=@",
            "?offset=1000",
            "?cursor=nothing",
        ]
    );
    told!(
        service,
        "account.listIncomingFriends",
        [
            format!("?did={EMBER}"),
            format!("?did={FORGE}&limit=1"),
            "?did=did:x",
            "?did=nobody",
            "",
            format!("?did={EMBER}&cursor=nothing")
        ]
    );
    told!(service, "account.listFriendEdges", ["", "?limit=1", "?cursor=nothing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_this_appview() {
    let service = Service::start().await;
    told!(
        service,
        "appview.listProviders",
        [format!("?limit=1&owner={EMBER}"), "?model=none", "?tier=attested-confidential", "?cursor=nothing"]
    );
    told!(
        service,
        "appview.listDisputes",
        [format!("?exchange={EXCHANGE}"), format!("?exchange={ADA}"), "?exchange=nobody", "?raisedBy=nobody"]
    );
    told!(service, "appview.listPolicies", ["", "?exchange=nobody"]);
    told!(service, "appview.listAttestations", [format!("?provider={EMBER}&limit=1"), "?provider=nobody"]);
    told!(service, "appview.listProfiles", ["?limit=1", "?cursor=nothing"]);
    told!(service, "appview.getLatency", ["?limit=1"]);
    told!(service, "appview.getModelActivity", ["?limit=1&providers=1"]);
    told!(
        service,
        "appview.getTotals",
        [
            "",
            format!("?provider={EMBER}"),
            format!("?requester={ADA}"),
            "?model=mlx-community/Llama-3.3-70B-Instruct-4bit",
            format!("?model=mlx-community/Llama-3.3-70B-Instruct-4bit&provider={EMBER}"),
            "?since=2026-11-22T13:01:00Z&until=2026-11-22T13:02:00Z",
            "?until=2026-11-22",
            "?provider=nobody",
            format!("?provider={EMBER}&requester={ADA}"),
        ]
    );
    told!(
        service,
        "appview.getRecord",
        [
            format!("?uri={RECEIPT}"),
            format!("?uri={RECEIPT}&proof=true"),
            "",
            "?uri=nonsense",
            format!("?uri=at://{EMBER}/dev.cocore.compute.receipt/3jzfcijpj2z2a")
        ]
    );
    told!(
        service,
        "appview.getFingerprint",
        [
            "",
            "?by=collection&limit=2",
            "?by=neither",
            format!("?by=repo&repo={ADA}"),
            "?collection=none",
            "?repo=nobody"
        ]
    );
    told!(service, "appview.getStatus", [""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_network_gives_no_parameters_takes_them_here() {
    let service = Service::start().await;
    for (published, own, query) in [
        ("compute.listProviders", "appview.listProviders", "?limit=1"),
        ("account.listProfiles", "appview.listProfiles", "?limit=1"),
        ("compute.latency", "appview.getLatency", "?limit=1"),
        ("compute.modelActivity", "appview.getModelActivity", "?limit=1&providers=1"),
    ] {
        let published = without_moments(service.get(&format!("{published}{query}")).await);
        assert_eq!(published, without_moments(service.get(&format!("{own}{query}")).await));
        assert!(published["cursor"].is_string(), "{own} goes on: {published}");
    }
}
