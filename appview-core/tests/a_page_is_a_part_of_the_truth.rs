//! For any records, the pages of each list, put together, are what a naive look at all records finds.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod market;
mod network;

use std::cell::Cell;

use appview_core::index::IndexReader;
use appview_core::query::{
    AccountFilter, AccountKind, AccountOrder, AccountPlace, DisputeFilter, Limit, Page, PageCursor,
    ProviderFilter, QueryError, ReceiptFilter, RecordView, SettlementFilter, Span, Viewer,
};
use appview_core::record::Catalog;
use fixtures::records;
use fixtures::time::tid;
use market::truth::Truth;
use market::{DAY, HOUR, MODELS, Market, NAMES, NOW, TIERS, TRUST_LEVELS, acts, rebuilt, told};
use network::did;
use proptest::prelude::*;
use serde_json::{Value, json};

/// All pages of a list, each asked for with nothing but the text of the cursor before it.
fn whole<T>(mut page: impl FnMut(Option<&PageCursor>) -> Result<Page<T>, QueryError>) -> Vec<T> {
    let mut items = Vec::new();
    let mut cursor: Option<PageCursor> = None;
    loop {
        let next = page(cursor.as_ref()).unwrap();
        items.extend(next.items);
        cursor = next.cursor.map(|cursor| cursor.to_string().parse().unwrap());
        if cursor.is_none() {
            return items;
        }
    }
}

fn uris(page: impl FnMut(Option<&PageCursor>) -> Result<Page<RecordView>, QueryError>) -> Vec<String> {
    whole(page).iter().map(|record| record.uri().to_string()).collect()
}

fn values<T: serde::Serialize>(
    page: impl FnMut(Option<&PageCursor>) -> Result<Page<T>, QueryError>,
) -> Vec<Value> {
    whole(page).iter().map(|item| serde_json::to_value(item).unwrap()).collect()
}

fn limit<const MOST: u32>(items: u32) -> Limit<MOST> {
    Limit::new(items).unwrap()
}

/// Out of a few values or none, by a number.
fn one_of<T>(number: usize, values: impl IntoIterator<Item = T>) -> Option<T> {
    values.into_iter().nth(number)
}

/// What is asked for, by numbers.
#[derive(Debug, Clone)]
struct Wanted {
    numbers: Vec<usize>,
    limit: u32,
}

impl Wanted {
    fn did(&self, at: usize) -> Option<appview_core::syntax::Did> {
        one_of(self.numbers[at], NAMES).map(did)
    }

    fn during(&self) -> Span {
        let edges = [
            NOW as i64 - 30 * DAY as i64,
            NOW as i64 - DAY as i64,
            NOW as i64 - HOUR as i64,
            NOW as i64,
            NOW as i64 + DAY as i64,
            -1,
            i64::MAX,
        ];
        Span { since: one_of(self.numbers[0], edges), until: one_of(self.numbers[1], edges) }
    }
}

fn wanted() -> impl Strategy<Value = Wanted> {
    // Half of the numbers are beyond what there is to choose: then nothing is asked for.
    (proptest::collection::vec(0..12_usize, 8), 1..6_u32)
        .prop_map(|(numbers, limit)| Wanted { numbers, limit })
}

/// Two indexes of the same records, of which each page is asked of the one that did not give the cursor.
struct Readers<'r> {
    readers: [&'r IndexReader; 2],
    turn: Cell<usize>,
}

impl Readers<'_> {
    fn next(&self) -> &IndexReader {
        self.turn.set(1 - self.turn.get());
        self.readers[self.turn.get()]
    }
}

fn compare(readers: &Readers<'_>, truth: &Truth, wanted: &Wanted) {
    let (at_once, during) = (wanted.limit, wanted.during());
    let text = |at: usize, values: &[&str]| one_of(wanted.numbers[at], values).map(|text| (*text).to_owned());
    let key = tid(NOW, (wanted.numbers[7] % 3) as u16);
    let linked = |nsid: &str| {
        let who = one_of(wanted.numbers[6], NAMES)?;
        Some(format!("at://{who}/{nsid}/{key}"))
    };

    let filter = ReceiptFilter {
        provider: wanted.did(2),
        requester: wanted.did(3),
        job: if wanted.numbers[7] == 0 { linked(records::JOB) } else { None },
        model: text(4, &MODELS[..3]),
        tier: text(5, &TIERS),
        trust_level: text(6, &TRUST_LEVELS),
        during,
    };
    let found = uris(|cursor| readers.next().list_receipts(&filter, limit(at_once), cursor));
    assert_eq!(found, truth.receipts(&filter), "{filter:?}");
    for alone in [
        ReceiptFilter { provider: filter.provider.clone(), during, ..ReceiptFilter::default() },
        ReceiptFilter { requester: filter.requester.clone(), ..ReceiptFilter::default() },
        ReceiptFilter { model: filter.model.clone(), during, ..ReceiptFilter::default() },
        ReceiptFilter { job: linked(records::JOB), ..ReceiptFilter::default() },
        ReceiptFilter { tier: filter.tier.clone(), ..ReceiptFilter::default() },
        ReceiptFilter { trust_level: filter.trust_level.clone(), ..ReceiptFilter::default() },
    ] {
        let found = uris(|cursor| readers.next().list_receipts(&alone, limit(at_once), cursor));
        assert_eq!(found, truth.receipts(&alone), "{alone:?}");
    }

    let filter = ProviderFilter {
        owner: wanted.did(2),
        model: text(3, &MODELS),
        trust_level: text(4, &TRUST_LEVELS),
        tier: text(5, &TIERS),
        during,
    };
    for filter in [
        ProviderFilter { owner: None, ..filter.clone() },
        ProviderFilter { model: None, ..filter.clone() },
        ProviderFilter { model: None, trust_level: None, ..filter.clone() },
        filter,
    ] {
        let found = uris(|cursor| readers.next().list_providers(&filter, limit(at_once), cursor));
        assert_eq!(found, truth.providers(&filter), "{filter:?}");
    }

    let receipt = linked(records::RECEIPT);
    for filter in [
        SettlementFilter { receipt: receipt.clone(), requester: wanted.did(3), during },
        SettlementFilter { receipt: None, requester: wanted.did(3), during },
        SettlementFilter { receipt, requester: None, during: Span::ALWAYS },
    ] {
        let found = uris(|cursor| readers.next().list_settlements(&filter, limit(at_once), cursor));
        assert_eq!(found, truth.settlements(&filter), "{filter:?}");
    }

    let settlement = linked(records::SETTLEMENT);
    let filter = DisputeFilter { repo: wanted.did(2), settlement, raised_by: wanted.did(3), during };
    for filter in [
        DisputeFilter { settlement: None, ..filter.clone() },
        DisputeFilter { settlement: None, raised_by: None, ..filter.clone() },
        filter,
    ] {
        let found = uris(|cursor| readers.next().list_disputes(&filter, limit(at_once), cursor));
        assert_eq!(found, truth.disputes(&filter), "{filter:?}");
    }

    let repo = one_of(wanted.numbers[2], NAMES);
    let found =
        uris(|cursor| readers.next().list_policies(repo.map(did).as_ref(), during, limit(at_once), cursor));
    assert_eq!(found, truth.of_repo("dev.cocore.compute.exchangePolicy", repo, during));
    let found = uris(|cursor| {
        readers.next().list_attestations(repo.map(did).as_ref(), during, limit(at_once), cursor)
    });
    assert_eq!(found, truth.of_repo(records::ATTESTATION, repo, during));
    let requester = NAMES[wanted.numbers[3] % NAMES.len()];
    let found = uris(|cursor| readers.next().list_jobs(&did(requester), during, limit(at_once), cursor));
    assert_eq!(found, truth.of_repo(records::JOB, Some(requester), during));

    assert_eq!(uris(|cursor| readers.next().list_profiles(limit(at_once), cursor)), truth.profiles());
    let subject = NAMES[wanted.numbers[4] % NAMES.len()];
    let found = values(|cursor| readers.next().list_incoming_friends(&did(subject), limit(at_once), cursor));
    assert_eq!(found, truth.incoming(subject));
    assert_eq!(values(|cursor| readers.next().list_friend_edges(limit(at_once), cursor)), truth.edges());

    let viewer = wanted.did(2);
    let filter = AccountFilter {
        order: [AccountOrder::Recent, AccountOrder::Newest][wanted.numbers[3] % 2],
        kind: [AccountKind::All, AccountKind::Providers][wanted.numbers[4] % 2],
        viewer: match (viewer, wanted.numbers[5] % 2) {
            (None, _) => Viewer::Anyone,
            (Some(viewer), 0) => Viewer::Account(viewer),
            (Some(viewer), _) => Viewer::AccountAndFriends(viewer),
        },
        q: ["", "AD", "boris", "did:web:", "nowhere", "example"][wanted.numbers[6] % 6].to_owned(),
    };
    let expected = truth.accounts(&filter);
    let page =
        |place: AccountPlace<'_>| readers.next().list_accounts(&filter, limit(at_once), place).unwrap();
    let found = values(|cursor| {
        let page = page(cursor.map_or_else(AccountPlace::default, AccountPlace::After));
        assert_eq!(page.total as usize, expected.len());
        Ok(Page { items: page.accounts, cursor: page.cursor })
    });
    assert_eq!(found, expected, "{filter:?}");
    for offset in 0..=expected.len() as u32 {
        let found = json!(page(AccountPlace::Offset(offset)).accounts);
        let rest = expected.iter().skip(offset as usize).take(at_once as usize).collect::<Vec<_>>();
        assert_eq!(found, json!(rest));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_for_is_found_page_by_page_live_rebuilt_and_from_one_to_the_other(
        acts in acts(60),
        asked in proptest::collection::vec(wanted(), 1..6),
    ) {
        let mut market = Market::new(1);
        let changes = market.told(&acts);
        let (live, anew) = (told(&changes, 7), rebuilt(&market.repos(), 3));
        let (live, anew) = (live.reader(), anew.reader());
        let truth = Truth::of(&market, Catalog::builtin_documents());
        for wanted in &asked {
            for readers in [[&live, &live], [&anew, &anew], [&live, &anew]] {
                compare(&Readers { readers, turn: Cell::new(0) }, &truth, wanted);
            }
        }
    }
}

#[test]
fn a_cursor_of_another_list_or_of_no_list_is_refused() {
    let scratch = told(&Market::new(4).told(&[]), 1);
    let reader = scratch.reader();
    // What stands in them: `5`, `recent 1 did:plc`, and `-1 `, a line's end, `-1 `.
    for text in ["NQ", "cmVjZW50IDEgZGlkOnBsYw", "LTEgCi0xIA"] {
        let place: PageCursor = text.parse().unwrap();
        let cursor = Some(&place);
        let refused = [
            reader.list_receipts(&ReceiptFilter::default(), limit(1), cursor).is_err(),
            reader.list_providers(&ProviderFilter::default(), limit(1), cursor).is_err(),
            reader.list_friend_edges(limit(1), cursor).is_err(),
            reader.list_incoming_friends(&did(NAMES[0]), limit(1), cursor).is_err(),
            reader.list_accounts(&AccountFilter::default(), limit(1), AccountPlace::After(&place)).is_err(),
        ];
        assert_eq!(refused, [true; 5], "{text}");
    }
    // The same list in another order has other places.
    let recent: PageCursor = "cmVjZW50IDUgZGlkOndlYjphZGEuZXhhbXBsZQ".parse().unwrap();
    assert!(reader.list_accounts(&AccountFilter::default(), limit(1), AccountPlace::After(&recent)).is_ok());
    let newest = AccountFilter { order: AccountOrder::Newest, ..AccountFilter::default() };
    assert!(reader.list_accounts(&newest, limit(1), AccountPlace::After(&recent)).is_err());
}
