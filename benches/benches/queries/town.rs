//! An index of a whole town: machines that worked for a hundred days, and whom they worked for.
//!
//! A number of providers enters; an index leaves, made once and kept in the target folder. Each provider has a profile, a
//! machine, an attestation and a hundred receipts, each for another one of ten times as many requesters and for one of three
//! out of 200 models; each requester has a profile, an authorization, a job, and trusts a provider. For every hundred
//! providers there is an exchange with a policy that has settled a tenth of the receipts; one in a hundred is disputed. One
//! provider in a thousand claims a rare level of trust, and one receipt in a thousand a rare tier.

use std::path::Path;
use std::sync::Arc;

use appview_core::block::car::Archive;
use appview_core::index::{Index, IndexError, SCHEMA_VERSION};
use appview_core::record::{Catalog, NAMESPACE};
use appview_core::repo::Identity;
use appview_core::sync::Change;
use appview_core::sync::verify::verify_repo;
use fixtures::records::{self, Machine, Served};
use fixtures::time::{START_MICROS, datetime, tid};
use fixtures::{Ipld, KeyKind, StrongRef, World, Write, value};
use serde_json::json;

const DAY: u64 = 86_400_000_000;
const DAYS: u64 = 100;
const MODELS: u64 = 200;

/// Receipts of each provider, and requesters for each provider.
const EACH: u64 = 100;
const REQUESTERS: u64 = 10;

/// One in so many is rare.
const RARE: u64 = 1_000;

/// Repositories in one transaction.
const BATCH: usize = 200;

/// When the town is asked about.
pub(crate) const NOW: u64 = START_MICROS + DAYS * DAY;

pub(crate) struct Town {
    pub(crate) index: Index,
    pub(crate) providers: u64,
}

impl Town {
    /// The index of so many providers, from the folder or made anew.
    pub(crate) fn of(folder: &Path, providers: u64) -> Self {
        let path = folder.join(format!("town-{SCHEMA_VERSION}-{providers}.db"));
        let index = match Index::open_existing(&path) {
            Ok(index) => index,
            Err(_) => {
                std::fs::create_dir_all(folder).unwrap();
                build(&path, providers)
            }
        };
        Self { index, providers }
    }

    pub(crate) fn provider(number: u64) -> String {
        format!("did:web:provider-{number:05}.example")
    }

    pub(crate) fn requester(number: u64) -> String {
        format!("did:web:requester-{number:06}.example")
    }

    /// The URI of one of the receipts, any of them as likely as another.
    #[allow(dead_code, reason = "asked for by one of two benches")]
    pub(crate) fn receipt(&self, number: u64) -> String {
        Deal::of(number / EACH % self.providers, number % EACH, self.providers).uri()
    }

    /// Whom it was for.
    #[allow(dead_code, reason = "asked for by one of two benches")]
    pub(crate) fn requester_of(&self, number: u64) -> String {
        Deal::of(number / EACH % self.providers, number % EACH, self.providers).requester()
    }

    /// The URI of one of the settlements.
    #[allow(dead_code, reason = "asked for by one of two benches")]
    pub(crate) fn settlement(&self, number: u64) -> String {
        let number = number % self.requesters();
        let exchange = Self::exchange(number % exchanges(self.providers));
        format!("at://{exchange}/{}/{}", records::SETTLEMENT, settlement_key(number))
    }

    pub(crate) fn exchange(number: u64) -> String {
        format!("did:web:exchange-{number:03}.example")
    }

    pub(crate) fn model(number: u64) -> String {
        format!("vendor/Model-{number:03}-8B-Instruct-4bit")
    }

    pub(crate) fn requesters(&self) -> u64 {
        self.providers * REQUESTERS
    }
}

/// Numbers that look random and are a function of two others.
fn dice(a: u64, b: u64, end: u64) -> u64 {
    let mut number =
        a.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(b.wrapping_mul(0xd1b5_4a32_d192_ed03));
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (number ^ (number >> 31)) % end
}

fn build(path: &Path, providers: u64) -> Index {
    println!("making an index of {} receipts, once", providers * EACH);
    let catalog = Arc::new(Catalog::builtin().unwrap());
    Index::rebuild(path, catalog, |writer| {
        let template = receipt_template();
        let mut batch = Vec::new();
        let people = (0..providers * REQUESTERS).map(|number| requester(number, providers));
        let machines = (0..providers).map(|number| provider(number, providers, &template));
        let houses = (0..exchanges(providers)).map(|number| exchange(number, providers, &template));
        for change in machines.chain(people).chain(houses) {
            batch.push(change);
            if batch.len() == BATCH {
                writer.apply(&batch, &[], NOW)?;
                batch.clear();
            }
        }
        writer.apply(&batch, &[], NOW)?;
        Ok::<_, IndexError>(())
    })
    .unwrap()
}

/// A receipt that was really signed once; what is changed in it, the signature does not cover.
fn receipt_template() -> Ipld {
    let of = |uri: String| StrongRef { uri, cid: value::cid_of(b"a record of someone") };
    let served = Served {
        job: of(String::new()),
        requester: "",
        attestation: of(format!("at://{}/{}/3l5oi2xhwks2a", Town::provider(0), records::ATTESTATION)),
        machine: &Machine::new(1),
    };
    records::receipt(0, &served, START_MICROS)
}

/// One receipt's circumstances.
#[derive(Clone, Copy)]
struct Deal {
    provider: u64,
    number: u64,
    requester: u64,
    /// Microseconds.
    made: u64,
}

impl Deal {
    fn of(provider: u64, number: u64, providers: u64) -> Self {
        let made = START_MICROS + dice(provider, number, DAYS * DAY);
        Self { provider, number, requester: dice(provider, number + 1_000, providers * REQUESTERS), made }
    }

    fn key(self) -> String {
        tid(self.made + 1_000_000, (self.number % 1024) as u16)
    }

    fn uri(self) -> String {
        format!("at://{}/{}/{}", Town::provider(self.provider), records::RECEIPT, self.key())
    }

    fn requester(self) -> String {
        Town::requester(self.requester)
    }

    fn receipt(self, template: &Ipld) -> Ipld {
        let Ipld::Map(template) = template else { panic!("a record is a map") };
        let Self { provider, number, made, .. } = self;
        let job = format!("at://{}/{}/{}", self.requester(), records::JOB, tid(made - 60_000_000, 3));
        let text = |text: String| Ipld::String(text);
        let mut receipt = template.clone();
        let model = (provider * 7 + dice(provider, number + 2_000, 3)) % MODELS;
        receipt.insert("model".into(), text(Town::model(model)));
        receipt.insert("requester".into(), text(self.requester()));
        receipt.insert("completedAt".into(), text(datetime(made)));
        let started = made - 1_000 * dice(provider, number + 3_000, 9_000);
        receipt.insert("startedAt".into(), text(datetime(started)));
        if dice(provider, number + 4_000, RARE) == 0 {
            receipt.insert("tier".into(), text("attested-confidential".into()));
        }
        if let Some(Ipld::Map(link)) = receipt.get_mut("job") {
            link.insert("uri".into(), text(job));
        }
        Ipld::Map(receipt)
    }
}

fn provider(number: u64, providers: u64, template: &Ipld) -> Change {
    let began = START_MICROS + 1_000 * number;
    let mut writes = vec![
        Write::create(records::PROFILE, "self", profile(&format!("Provider {number}"), began)),
        Write::create(records::PROVIDER, &tid(START_MICROS + number, 1), machine(number)),
        Write::create(records::ATTESTATION, &tid(began, 2), records::attestation(&Machine::new(1), began)),
    ];
    for deal in (0..EACH).map(|deal| Deal::of(number, deal, providers)) {
        writes.push(Write::create(records::RECEIPT, &deal.key(), deal.receipt(template)));
    }
    repo(&Town::provider(number), writes)
}

/// The authorization of a requester, and its key.
fn authorization(number: u64, providers: u64, made: u64) -> (String, Ipld) {
    let exchange = Town::exchange(number % exchanges(providers));
    (tid(made, 2), records::payment_authorization(number, &exchange, made))
}

fn requester(number: u64, providers: u64) -> Change {
    let made = START_MICROS + dice(number, 0, DAYS * DAY);
    let friend = records::friend(&Town::provider(dice(number, 1, providers)), made);
    let (key, authorization) = authorization(number, providers, made);
    let reference =
        strong_ref(&Town::requester(number), records::PAYMENT_AUTHORIZATION, &key, &authorization);
    let mut writes = vec![
        Write::create(records::PROFILE, "self", profile(&format!("Requester {number}"), made)),
        Write::create(records::FRIEND, &tid(made, 4), friend),
        Write::create(records::PAYMENT_AUTHORIZATION, &key, authorization),
        Write::create(records::JOB, &tid(made, 3), records::job(number, &reference, made)),
    ];
    if number.is_multiple_of(100) {
        let exchange = Town::exchange(number % exchanges(providers));
        let settlement = format!("at://{exchange}/{}/{}", records::SETTLEMENT, settlement_key(number));
        writes.push(Write::create(
            "dev.cocore.compute.dispute",
            &tid(made, 5),
            value::from_json(&json!({
                "$type": "dev.cocore.compute.dispute",
                "settlement": { "uri": settlement, "cid": value::cid_of(b"not looked at").to_string() },
                "exchange": exchange,
                "raisedBy": Town::requester(number),
                "raisedAt": datetime(made),
                "reason": { "category": "non-delivery" },
                "status": "open",
                "createdAt": datetime(made),
            })),
        ));
    }
    repo(&Town::requester(number), writes)
}

const fn exchanges(providers: u64) -> u64 {
    providers.div_ceil(100)
}

/// The key of the settlement with this number.
fn settlement_key(number: u64) -> String {
    tid(START_MICROS + DAYS * DAY + number, 6)
}

/// With the settlements of one receipt for each requester whose number is its own, counted by exchanges.
fn exchange(number: u64, providers: u64, template: &Ipld) -> Change {
    let policy = value::from_json(&json!({
        "$type": "dev.cocore.compute.exchangePolicy",
        "exchange": Town::exchange(number),
        "fee": { "bps": 500, "minMinor": 1, "currency": records::CURRENCY },
        "supportedCurrencies": [records::CURRENCY],
        "selfLoop": { "feeWaived": true },
        "createdAt": datetime(START_MICROS),
    }));
    let mut writes = vec![Write::create("dev.cocore.compute.exchangePolicy", &tid(START_MICROS, 7), policy)];
    for settled in (number..providers * REQUESTERS).step_by(exchanges(providers) as usize) {
        let deal = Deal::of(settled / EACH, settled % EACH, providers);
        let (provider, key) = (Town::provider(deal.provider), deal.key());
        let receipt = strong_ref(&provider, records::RECEIPT, &key, &deal.receipt(template));
        let made = START_MICROS + dice(deal.requester, 0, DAYS * DAY);
        let (key, authorization) = authorization(deal.requester, providers, made);
        let owner = Town::requester(deal.requester);
        let authorization = strong_ref(&owner, records::PAYMENT_AUTHORIZATION, &key, &authorization);
        let settlement = records::settlement(settled, &receipt, &authorization, deal.made);
        writes.push(Write::create(records::SETTLEMENT, &settlement_key(settled), settlement));
    }
    repo(&Town::exchange(number), writes)
}

fn strong_ref(did: &str, collection: &str, key: &str, record: &Ipld) -> StrongRef {
    StrongRef { uri: format!("at://{did}/{collection}/{key}"), cid: value::cid_of(&value::encode(record)) }
}

fn profile(name: &str, made: u64) -> Ipld {
    let Ipld::Map(mut profile) = records::profile(name, made) else { panic!("a record is a map") };
    let handle = name.to_lowercase().replace(' ', "-");
    profile.insert("handle".into(), Ipld::String(format!("{handle}.test")));
    Ipld::Map(profile)
}

fn machine(number: u64) -> Ipld {
    let Ipld::Map(mut machine) = records::provider(&Machine::new(1), START_MICROS) else {
        panic!("a record is a map")
    };
    let models = (0..3).map(|model| Ipld::String(Town::model((number * 7 + model) % MODELS)));
    machine.insert("supportedModels".into(), Ipld::List(models.collect()));
    let trust = match number % RARE {
        7 => "self-attested",
        _ => "hardware-attested",
    };
    machine.insert("trustLevel".into(), Ipld::String(trust.into()));
    Ipld::Map(machine)
}

/// A whole repository, proven.
fn repo(did: &str, writes: Vec<Write>) -> Change {
    let mut world = World::new(1);
    world.advance(DAYS * DAY);
    world.create_web_account(KeyKind::K256, did.strip_prefix("did:web:").unwrap());
    world.commit(did, writes);
    let identity = Identity::from_document(&did.parse().unwrap(), &world.did_document(did)).unwrap();
    let archive = Archive::from_bytes(world.car(did)).unwrap();
    Change::Repo(verify_repo(archive, &identity, NAMESPACE, world.now_micros() + 1_000_000).unwrap())
}
