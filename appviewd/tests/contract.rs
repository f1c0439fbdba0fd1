//! Every method as its clients know it: status and JSON of each, on the recorded market at a fixed moment, and each error
//! that a lexicon declares.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use appview_core::block::car::Archive;
use appview_core::index::Index;
use appview_core::record::Catalog;
use appview_core::repo::Identity;
use appview_core::source::backlog::Progress;
use appview_core::source::clock::Clock;
use appview_core::source::follow::Pulse;
use appview_core::source::orders::Orders;
use appview_core::source::seen::Seen;
use appview_core::sync::Change;
use appview_core::sync::verify::verify_repo;
use appview_core::syntax::{AtUri, Did};
use appview_core::trust::{AppId, Apple, Document, Environment, Terms};
use appviewd::config::Access;
use appviewd::engine::Engine;
use appviewd::http::{self, Answering, App, Seats, Subscribers};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fixtures::{KeyKind, World, Write, shared_folder, value};
use serde_json::{Value as Json, json};
use support::Scenario;
use support::http::ask;
use tempfile::TempDir;
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
    _files: Box<dyn Any>,
    _stop: watch::Sender<bool>,
}

impl Service {
    async fn start() -> Self {
        Self::open_to(Access::default()).await
    }

    /// One whose operator has chosen something.
    async fn open_to(access: Access) -> Self {
        let scenario = Scenario::played();
        let index = Index::open(scenario.path("appview-data/index.db")).unwrap();
        let answering = Answering { access, ..Answering::alone(Terms::builtin().unwrap()) };
        Self::over(index, scenario, answering).await
    }

    async fn over(index: Index, files: impl Any, answering: Answering) -> Self {
        let (pulse, progress, orders) = (Pulse::default(), Progress::default(), Orders::default());
        let (stop, stopped) = watch::channel(false);
        let subscribers = Subscribers::new(index.clone(), pulse.feed(), http::Terms::default());
        let clock = Clock::of_runtime(NOW, 1);
        let answering = Answering { clock, ..answering };
        let app =
            App::new(Engine { index, pulse, progress, orders }, answering, stopped.clone(), subscribers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(http::serve(listener, http::routes(app), Seats::unlimited(), stopped));
        Self { address, _files: Box::new(files), _stop: stop }
    }

    /// Status and JSON of each request to one method, by its query.
    async fn told(&self, method: &str, queries: &[String]) -> BTreeMap<String, Json> {
        self.told_at(&format!("/xrpc/dev.cocore.{method}"), queries).await
    }

    /// The same of any path.
    async fn told_at(&self, path: &str, queries: &[String]) -> BTreeMap<String, Json> {
        let mut told = BTreeMap::new();
        for query in queries {
            let answer = ask(self.address, "GET", &format!("{path}{query}")).await;
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
    ($service:expr, $method:literal, [$($query:expr),* $(,)?]) => {
        told!($service, $method, "", [$($query),*])
    };
    ($service:expr, $method:literal, $how:literal, [$($query:expr),* $(,)?]) => {{
        let told = $service.told($method, &[$($query.to_string()),*]).await;
        insta::assert_json_snapshot!(format!("{}{}", $method.replace('.', "_"), $how), told);
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
            "?limit=1&model=mlx-community/Llama-3.3-70B-Instruct-4bit",
            "?model=none",
            "?limit=1&tier=best-effort",
            "?tier=attested-confidential",
            "?limit=1&trustLevel=self-attested",
            "?trustLevel=hardware-attested",
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
    told!(service, "compute.verifyReceipt", "_strictly", [format!("?uri={RECEIPT}&strict=true")]);
    told!(service, "compute.verifySettlement", "_strictly", [format!("?uri={SETTLEMENT}&strict=true")]);
    // What is stricter is stricter.
    let advised = service.get(&format!("compute.verifyReceipt?uri={RECEIPT}")).await;
    let strict = service.get(&format!("compute.verifyReceipt?uri={RECEIPT}&strict=true")).await;
    assert_eq!(
        (&advised["rules"]["profile"], &strict["rules"]["profile"]),
        (&json!("advise"), &json!("strict"))
    );
    assert_eq!(advised["findings"].as_array().unwrap().len(), strict["findings"].as_array().unwrap().len());
}

/// Published cases in one index: their records in repositories that are signed for the occasion, the documents of brokers and
/// exchanges pinned but for one, which was seen before and is not to be had any more.
struct Published {
    scratch: TempDir,
    answering: Answering,
    uris: BTreeMap<String, String>,
}

impl Published {
    fn load(ids: &[&str]) -> Option<Self> {
        let folder = shared_folder("vectors")?;
        let (mut world, mut uris) = (World::new(93), BTreeMap::new());
        let mut terms = Terms::builtin().unwrap();
        let seen = Seen::nowhere();
        for (name, list, member) in
            [("receipts", "cases", "receiptUri"), ("settlements", "settlements", "settlementUri")]
        {
            let file = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
            let file: Json = serde_json::from_slice(&file).unwrap();
            let context = &file["context"];
            let text = |json: &Json| json.as_str().unwrap().to_owned();
            for case in file[list].as_array().unwrap() {
                let Some(id) = ids.iter().find(|id| case["id"] == **id) else { continue };
                uris.insert((*id).to_owned(), text(&case[member]));
                for record in case["records"].as_array().unwrap() {
                    let uri: AtUri = text(&record["uri"]).parse().unwrap();
                    let repo = uri.authority();
                    if !world.dids().any(|did| **did == *repo) {
                        world.create_account_of(KeyKind::K256, repo);
                    }
                    let path = format!("{}/{}", uri.collection().unwrap(), uri.rkey().unwrap());
                    if !world.records(repo).contains_key(&path) {
                        let block = value::encode(&value::from_json(&record["body"]));
                        let write =
                            Write::create_block(uri.collection().unwrap(), uri.rkey().unwrap(), block);
                        world.commit(repo, vec![write]);
                    }
                }
            }
            for member in ["didDocuments", "exchangeDidDocuments"] {
                for (did, document) in context[member].as_object().into_iter().flatten() {
                    let (did, document): (Did, _) = (did.parse().unwrap(), Document::new(document.clone()));
                    if did.as_str().contains("rival") {
                        terms.brokerages.push(did.clone());
                        seen.note(&did, &document, NOW, &terms);
                    } else {
                        terms.documents.push((did, document));
                    }
                }
            }
            for did in context["trustedBrokerages"].as_array().into_iter().flatten() {
                terms.brokerages.push(text(did).parse().unwrap());
            }
            if name == "receipts" {
                let root = |member: &str| STANDARD.decode(text(&context[member])).unwrap().into();
                terms.apple = Apple {
                    app_attest_root: root("appAttestRootDerB64"),
                    mda_root: root("mdaRootDerB64"),
                    app: AppId::new(&text(&context["appAttestAppId"])),
                    environment: Environment::Production,
                };
            }
        }
        assert_eq!(uris.len(), ids.len());
        let scratch = tempfile::tempdir().unwrap();
        let index = Index::create(scratch.path().join("index.db")).unwrap();
        let mut writer = index.writer(Catalog::builtin().unwrap()).unwrap();
        let dids: Vec<_> = world.dids().cloned().collect();
        for did in dids {
            let identity = Identity::from_document(&did.parse().unwrap(), &world.did_document(&did)).unwrap();
            let archive = Archive::from_bytes(world.car(&did)).unwrap();
            let repo =
                verify_repo(archive, &identity, "dev.cocore.", world.now_micros() + 1_000_000).unwrap();
            writer.apply(&[Change::Repo(repo)], &[], 0).unwrap();
        }
        let answering = Answering { seen: Arc::new(seen), ..Answering::alone(terms) };
        Some(Self { scratch, answering, uris })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_of_all_kinds() {
    let receipts = [
        "brokerage/countersigned-by-trusted",
        "brokerage/countersigned-by-second-trusted",
        "brokerage/authority-unresolvable",
        "hardware/app-attest-bound",
        "structural/price-one-over-ceiling",
        "lookup/job-not-indexed",
        "lookup/attestation-not-indexed",
    ];
    let settlements = [
        "valid/fee-floor-applies",
        "chain/everything-wrong",
        "lookup/receipt-not-indexed",
        "lookup/authorization-not-indexed",
    ];
    let Some(published) = Published::load(&[&receipts[..], &settlements].concat()) else { return };
    let Published { scratch, answering, uris } = published;
    let index = Index::open(scratch.path().join("index.db")).unwrap();
    let service = Service::over(index, scratch, answering).await;
    for (method, ids) in [("verifyReceipt", &receipts[..]), ("verifySettlement", &settlements)] {
        let mut told = BTreeMap::new();
        for id in ids {
            let path = format!("/xrpc/dev.cocore.compute.{method}?uri={}", uris[*id]);
            let answer = ask(service.address, "GET", &path).await;
            told.insert(*id, json!({"status": answer.status, "body": in_short(answer.body)}));
        }
        insta::assert_json_snapshot!(format!("{method}_of_published_cases"), told);
    }
}

/// A verdict without the checks that passed or had nothing to ask about: the whole form of one is shown elsewhere.
fn in_short(mut verdict: Json) -> Json {
    if let Some(checks) = verdict.pointer_mut("/rules/checks") {
        let is_told = |check: &Json| check["outcome"] == "failed" || check["outcome"] == "undecided";
        checks.as_array_mut().unwrap().retain(is_told);
    }
    verdict
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

#[tokio::test(flavor = "multi_thread")]
async fn the_second_page_of_each_list() {
    let service = Service::start().await;
    let mut told = BTreeMap::new();
    for (method, query) in [
        ("compute.listProviders", "?limit=1".to_owned()),
        ("compute.listReceipts", "?limit=1".to_owned()),
        ("compute.listReceipts", format!("?limit=1&provider={EMBER}")),
        ("compute.listJobs", format!("?limit=1&requester={ADA}")),
        ("compute.listSettlements", "?limit=1".to_owned()),
        ("account.listProfiles", "?limit=1".to_owned()),
        ("account.listAccounts", "?limit=1".to_owned()),
        ("account.listFriendEdges", "?limit=1".to_owned()),
        ("appview.listAttestations", "?limit=1".to_owned()),
        ("appview.getFingerprint", "?limit=1&by=repo".to_owned()),
    ] {
        let first = service.get(&format!("{method}{query}")).await;
        let cursor = first["cursor"].as_str().unwrap_or_else(|| panic!("{method}{query} goes on: {first}"));
        let second = service.get(&format!("{method}{query}&cursor={cursor}")).await;
        assert_ne!(first, second, "{method}{query}");
        told.insert(format!("{method}{query}&cursor={cursor}"), second);
    }
    insta::assert_json_snapshot!(told);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_says_of_itself() {
    let service = Service::start().await;
    let none = [String::new()];
    let mut told = BTreeMap::new();
    for path in
        ["/healthz", "/readyz", "/.well-known/did.json", "/nothing", "/xrpc/dev.cocore.compute.nothing"]
    {
        told.insert(path.to_owned(), service.told_at(path, &none).await.remove("").unwrap());
    }
    let service_did = Some("did:web:appview.example".parse().unwrap());
    let service = Service::open_to(Access { service_did, ..Access::default() }).await;
    let named = service.told_at("/.well-known/did.json", &none).await.remove("").unwrap();
    told.insert("/.well-known/did.json of did:web:appview.example".to_owned(), named);
    insta::assert_json_snapshot!(told);
}
