//! Whatever is kept as a sum or a statistic is what the records that are shown lead to, however they came to be shown.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod market;
mod network;

use std::collections::BTreeMap;

use appview_core::index::IndexReader;
use appview_core::query::{LatencyStats, Limit, PageCursor, Span, Steps, TotalsOf};
use appview_core::record::Catalog;
use appview_core::syntax::Did;
use market::truth::Truth;
use market::{DAY, HOUR, MODELS, Market, NAMES, NOW, acts, rebuilt, told};
use network::{catalog, did, interleaved};
use proptest::prelude::*;
use serde_json::{Value, json};

fn json(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// Both lists of latencies, page by page.
fn latency(reader: &IndexReader, at_once: u32) -> Value {
    let mut all: Option<Value> = None;
    let mut cursor: Option<PageCursor> = None;
    loop {
        let mut page = reader.latency(NOW, Limit::new(at_once).unwrap(), cursor.as_ref()).unwrap();
        cursor = page.cursor.take().map(|cursor| cursor.to_string().parse().unwrap());
        let page = json(page);
        all = Some(match all {
            None => page,
            Some(mut all) => {
                for list in ["byProvider", "byModel"] {
                    all[list].as_array_mut().unwrap().extend(page[list].as_array().unwrap().clone());
                }
                all
            }
        });
        if cursor.is_none() {
            return all.unwrap();
        }
    }
}

/// The latency of each provider and model, from the lists of them.
fn told_latency(reader: &IndexReader) -> (BTreeMap<Did, LatencyStats>, BTreeMap<String, LatencyStats>) {
    let told = reader.latency(NOW, Limit::MAX, None).unwrap();
    let providers = told.by_provider.into_iter().map(|provider| (provider.did, provider.stats));
    let models = told.by_model.into_iter().map(|model| (model.model_id, model.stats));
    (providers.collect(), models.collect())
}

fn activity(reader: &IndexReader, now: u64, at_once: u32) -> Value {
    let mut models = Vec::new();
    let mut cursor: Option<PageCursor> = None;
    loop {
        let limit = Limit::new(at_once).unwrap();
        let mut page = reader.model_activity(now, Some(Limit::MAX), limit, cursor.as_ref()).unwrap();
        cursor = page.cursor.take().map(|cursor| cursor.to_string().parse().unwrap());
        models.extend(page.models);
        if cursor.is_none() {
            return json!({"generatedAt": page.generated_at, "models": models});
        }
    }
}

fn compare(reader: &IndexReader, truth: &Truth, at_once: u32) {
    assert_eq!(latency(reader, at_once), truth.latency(NOW));
    for now in [NOW, NOW + 1_000, NOW - HOUR, NOW + 25 * DAY] {
        assert_eq!(activity(reader, now, at_once), truth.activity(now), "at {now}");
    }
    for name in NAMES {
        for now in [NOW, NOW + 5 * DAY, NOW + 400 * DAY] {
            let found = reader.profile(&did(name), now).unwrap().map(json);
            assert_eq!(found, truth.profile(name, now), "{name}");
        }
    }
    let edges = [-1, 0, HOUR as i64, 30 * DAY as i64, 7 * DAY as i64 + 60_000_000, 200 * DAY as i64];
    let spans = edges.iter().flat_map(|since| {
        edges.iter().map(move |until| Span {
            since: Some(NOW as i64 - since),
            until: if *until < 0 { None } else { Some(NOW as i64 - until) },
        })
    });
    let mut groups = vec![TotalsOf::All];
    groups.extend(NAMES.map(|name| TotalsOf::Provider(did(name))));
    groups.extend(NAMES.map(|name| TotalsOf::Requester(did(name))));
    for model in MODELS {
        groups.push(TotalsOf::Model(model.to_owned()));
        groups.extend(NAMES.map(|name| TotalsOf::ModelOf { model: model.to_owned(), provider: did(name) }));
    }
    for during in spans.chain([Span::ALWAYS]) {
        for of in &groups {
            let found = json(reader.totals(of, during).unwrap());
            assert_eq!(found, truth.totals(of, during), "{of:?} {during:?}");
        }
    }
    for (length, count) in [(HOUR as i64 / 3, 12), (6 * HOUR as i64, 10), (7 * DAY as i64, 8), (17, 2)] {
        for since in [NOW as i64 - length * i64::from(count) + 1, NOW as i64 / HOUR as i64 * HOUR as i64] {
            let start = |step: usize| since + length * step as i64;
            for of in &groups {
                let found = reader.series(of, Steps { since, length, count }).unwrap();
                assert_eq!(found.len(), usize::from(count));
                for (step, found) in found.into_iter().enumerate() {
                    let during = Span { since: Some(start(step)), until: Some(start(step + 1)) };
                    assert_eq!(json(found), truth.totals(of, during), "{of:?} {during:?}");
                }
            }
        }
    }
    for name in NAMES {
        let told = told_latency(reader);
        let found = reader.latency_of_provider(&did(name)).unwrap();
        let expected = told.0.get(&did(name)).copied().unwrap_or_default();
        assert_eq!(found, expected, "{name}");
    }
    for model in MODELS {
        let expected = told_latency(reader).1.get(model).copied().unwrap_or_default();
        assert_eq!(reader.latency_of_model(model).unwrap(), expected, "{model}");
    }
    let counts = reader.counts().unwrap();
    let accounts = truth.accounts(&Default::default());
    assert_eq!(counts.accounts as usize, accounts.len());
    assert_eq!(
        counts.providers as usize,
        accounts.iter().filter(|account| account["isProvider"] == true).count()
    );
    let states: Vec<_> = reader.repo_states().map(|followed| followed.unwrap().state).collect();
    assert_eq!(counts.repos.followed as usize, states.len());
    assert_eq!(
        counts.repos.active as usize,
        states.iter().filter(|state| state.hosting.is_visible()).count()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn live_in_any_order_or_rebuilt_sums_are_those_of_the_records(
        acts in acts(80),
        choices in proptest::collection::vec(any::<u8>(), 1..16),
        at_once in 1..20_usize,
        page in 1..5_u32,
    ) {
        let mut market = Market::new(5);
        let changes = market.told(&acts);
        let live = told(&changes, 1);
        let truth = Truth::of(&live.reader());
        let anew = rebuilt(&market.repos(), at_once);
        let bulk = rebuilt(&changes, at_once);
        let other = told(&interleaved(changes, &choices), at_once);
        for scratch in [live, other, anew, bulk] {
            let reader = scratch.reader();
            prop_assert_eq!(reader.check(|_| ()).unwrap().damage, []);
            compare(&reader, &truth, page);
        }
    }
}

/// A catalogue in which receipts and friends need what none has.
const STRICT: [&str; 2] = [
    r#"{"lexicon": 1, "id": "dev.cocore.account.friend", "defs": {"main": {"type": "record", "key": "any",
        "record": {"type": "object", "required": ["nothing"], "properties": {"nothing": {"type": "string"}}}}}}"#,
    r#"{"lexicon": 1, "id": "dev.cocore.compute.receipt", "defs": {"main": {"type": "record", "key": "any",
        "record": {"type": "object", "required": ["nothing"], "properties": {"nothing": {"type": "string"}}}}}}"#,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn other_lexicons_and_back_again_leave_sums_as_they_were(acts in acts(60)) {
        let scratch = told(&Market::new(6).told(&acts), 10);
        let truth = Truth::of(&scratch.reader());
        let strict = Catalog::parse(STRICT).unwrap();
        drop(scratch.index.writer(strict).unwrap());
        let reader = scratch.reader();
        prop_assert_eq!(reader.check(|_| ()).unwrap().damage, []);
        compare(&reader, &Truth::of(&reader), 3);
        drop(reader);
        drop(scratch.index.writer(catalog()).unwrap());
        let reader = scratch.reader();
        prop_assert_eq!(reader.check(|_| ()).unwrap().damage, []);
        compare(&reader, &truth, 3);
    }
}
