//! An index of a whole town: machines that worked for a hundred days, and whom they worked for.
//!
//! A number of providers enters; an index leaves, made once and kept in the target folder. Each provider has a profile, a
//! machine and a hundred receipts, each for another one of ten times as many requesters and for one of three out of 200
//! models; each requester has a profile, an order, and trusts a provider.

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

const DAY: u64 = 86_400_000_000;
const DAYS: u64 = 100;
const MODELS: u64 = 200;

/// Receipts of each provider, and requesters for each provider.
const EACH: u64 = 100;
const REQUESTERS: u64 = 10;

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
        let path = folder.join(format!("{SCHEMA_VERSION}-{providers}.db"));
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
        let (provider, deal) = (number / EACH % self.providers, number % EACH);
        let made = START_MICROS + dice(provider, deal, DAYS * DAY);
        let rkey = tid(made + 1_000_000, (deal % 1024) as u16);
        format!("at://{}/{}/{rkey}", Self::provider(provider), records::RECEIPT)
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
        for change in (0..providers).map(|number| provider(number, providers, &template)).chain(people) {
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

fn provider(number: u64, providers: u64, template: &Ipld) -> Change {
    let mut writes = vec![
        Write::create(records::PROFILE, "self", profile(&format!("Provider {number}"), START_MICROS)),
        Write::create(records::PROVIDER, &tid(START_MICROS + number, 1), machine(number)),
    ];
    let Ipld::Map(template) = template else { panic!("a record is a map") };
    for deal in 0..EACH {
        let made = START_MICROS + dice(number, deal, DAYS * DAY);
        let requester = Town::requester(dice(number, deal + 1_000, providers * REQUESTERS));
        let job = format!("at://{requester}/{}/{}", records::JOB, tid(made - 60_000_000, 3));
        let text = |text: String| Ipld::String(text);
        let mut receipt = template.clone();
        let model = (number * 7 + dice(number, deal + 2_000, 3)) % MODELS;
        receipt.insert("model".into(), text(Town::model(model)));
        receipt.insert("requester".into(), text(requester));
        receipt.insert("completedAt".into(), text(datetime(made)));
        receipt.insert("startedAt".into(), text(datetime(made - 1_000 * dice(number, deal + 3_000, 9_000))));
        if let Some(Ipld::Map(link)) = receipt.get_mut("job") {
            link.insert("uri".into(), text(job));
        }
        let rkey = tid(made + 1_000_000, (deal % 1024) as u16);
        writes.push(Write::create(records::RECEIPT, &rkey, Ipld::Map(receipt)));
    }
    repo(&Town::provider(number), writes)
}

fn requester(number: u64, providers: u64) -> Change {
    let made = START_MICROS + dice(number, 0, DAYS * DAY);
    let friend = records::friend(&Town::provider(dice(number, 1, providers)), made);
    let authorization = StrongRef {
        uri: format!("at://{}/{}/{}", Town::requester(number), records::PAYMENT_AUTHORIZATION, tid(made, 2)),
        cid: value::cid_of(b"a record of someone"),
    };
    let writes = vec![
        Write::create(records::PROFILE, "self", profile(&format!("Requester {number}"), made)),
        Write::create(records::FRIEND, &tid(made, 4), friend),
        Write::create(records::JOB, &tid(made, 3), records::job(number, &authorization, made)),
    ];
    repo(&Town::requester(number), writes)
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
    let trust = ["self-attested", "hardware-attested"][(number % 2) as usize];
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
