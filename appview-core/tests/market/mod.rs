//! A market: accounts that do at random whatever accounts do, and what an index is told of it.
//!
//! Keys and times are few, so that many are equal, and near the edges of hours, days and weeks; members are sometimes missing,
//! of another type or absurd.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

pub mod truth;

use appview_core::index::{Index, IndexError};
use appview_core::sync::{Change, Hosting};
use fixtures::time::{START_MICROS, datetime, tid};
use fixtures::{KeyKind, Write, records, value};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::network::{Network, Scratch, catalog, did};

pub const HOUR: u64 = 3_600_000_000;
pub const DAY: u64 = 24 * HOUR;

/// When the market is asked about: a Thursday, half past noon.
pub const NOW: u64 = START_MICROS + 12 * HOUR + HOUR / 2;

/// Names of accounts, and of two that have no repository.
pub const NAMES: [&str; 6] = [
    "did:web:ada.example",
    "did:web:boris.example",
    "did:web:clara.example",
    "did:web:dora.example",
    "did:web:stranger.example",
    "did:web:another.example",
];
const ACCOUNTS: usize = 4;

pub const MODELS: [&str; 4] = ["small", "large", "large model", ""];
pub const TIERS: [&str; 2] = ["best-effort", "attested-confidential"];
pub const TRUST_LEVELS: [&str; 2] = ["self-attested", "hardware-attested"];

/// How long ago work was completed, or will be. The windows of activity end between some of them.
const AGES: [i64; 16] = [
    0,
    HOUR as i64 / 2,
    HOUR as i64 / 2 + 1_000,
    HOUR as i64,
    HOUR as i64 + 1_000,
    DAY as i64,
    DAY as i64 + 1_000,
    4 * DAY as i64,
    7 * DAY as i64,
    7 * DAY as i64 + 60_000_000,
    30 * DAY as i64,
    30 * DAY as i64 + 1_000,
    200 * DAY as i64,
    600 * DAY as i64,
    -(HOUR as i64),
    -(40 * DAY as i64),
];

/// What one account does, or what is done to it.
#[derive(Debug, Clone)]
pub struct Act {
    pub account: usize,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    /// Creates or updates a record of a kind under one of a few keys.
    Put {
        kind: usize,
        key: usize,
        variant: u64,
    },
    Delete {
        kind: usize,
        key: usize,
    },
    Hide,
    Show,
    Erase,
    /// The whole repository is told at once.
    Repo,
}

/// Collections by their number.
const KINDS: [&str; 11] = [
    records::RECEIPT,
    records::RECEIPT,
    records::RECEIPT,
    records::PROVIDER,
    records::JOB,
    records::FRIEND,
    records::PROFILE,
    records::SETTLEMENT,
    records::ATTESTATION,
    "dev.cocore.compute.dispute",
    "dev.cocore.compute.exchangePolicy",
];

pub fn acts(most: usize) -> impl Strategy<Value = Vec<Act>> {
    let put = (0..KINDS.len(), 0..7_usize, any::<u64>());
    let what = prop_oneof![
        20 => put.prop_map(|(kind, key, variant)| What::Put { kind, key, variant }),
        5 => (0..KINDS.len(), 0..7_usize).prop_map(|(kind, key)| What::Delete { kind, key }),
        1 => Just(What::Hide),
        2 => Just(What::Show),
        1 => Just(What::Erase),
        1 => Just(What::Repo),
    ];
    proptest::collection::vec((0..ACCOUNTS, what).prop_map(|(account, what)| Act { account, what }), 1..most)
}

/// What has become of an account in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    Shown,
    Hidden,
    Erased,
}

pub struct Market {
    pub network: Network,
    stands: [Stand; ACCOUNTS],
    /// Whose repository an index knows: what is hidden before that is as good as erased.
    known: [bool; ACCOUNTS],
}

impl Market {
    pub fn new(seed: u64) -> Self {
        let mut network = Network::new(seed);
        network.world.advance(NOW - START_MICROS);
        for name in &NAMES[..ACCOUNTS] {
            let domain = name.strip_prefix("did:web:").unwrap();
            network.world.create_web_account(KeyKind::K256, domain);
        }
        Self { network, stands: [Stand::Shown; ACCOUNTS], known: [false; ACCOUNTS] }
    }

    /// Everything that happens, as an index is told it.
    pub fn told(&mut self, acts: &[Act]) -> Vec<Change> {
        let told = |act| {
            let told = self.act(act);
            self.known[act.account] |= !told.is_empty();
            told
        };
        acts.iter().flat_map(told).collect()
    }

    fn act(&mut self, act: &Act) -> Vec<Change> {
        let name = NAMES[act.account];
        let stand = self.stands[act.account];
        let (next, told) = match &act.what {
            What::Put { kind, key, variant } => {
                let (nsid, rkey) = (KINDS[*kind], self.rkey(KINDS[*kind], *key));
                let record = value::from_json(&self.record(nsid, name, &rkey, *variant));
                let held = self.network.world.records(name).contains_key(&format!("{nsid}/{rkey}"));
                let write = if held { Write::update } else { Write::create };
                return self.commit(name, stand, write(nsid, &rkey, record));
            }
            What::Delete { kind, key } => {
                let (nsid, rkey) = (KINDS[*kind], self.rkey(KINDS[*kind], *key));
                if !self.network.world.records(name).contains_key(&format!("{nsid}/{rkey}")) {
                    return Vec::new();
                }
                return self.commit(name, stand, Write::delete(nsid, &rkey));
            }
            What::Repo if stand == Stand::Erased => return Vec::new(),
            What::Repo => (stand, vec![self.network.repo(name)]),
            What::Hide if stand == Stand::Shown && self.known[act.account] => {
                (Stand::Hidden, vec![hosting(name, Hosting::Takendown)])
            }
            What::Show if stand == Stand::Hidden => (Stand::Shown, vec![hosting(name, Hosting::Active)]),
            What::Show if stand == Stand::Erased => {
                (Stand::Shown, vec![hosting(name, Hosting::Active), self.network.repo(name)])
            }
            What::Erase => (Stand::Erased, vec![Change::Erase { did: did(name), hosting: Hosting::Deleted }]),
            What::Hide | What::Show => return Vec::new(),
        };
        self.stands[act.account] = next;
        told
    }

    /// What an account that was erased goes on writing is told when it is back.
    fn commit(&mut self, name: &str, stand: Stand, write: Write) -> Vec<Change> {
        let change = self.network.commit(name, vec![write]);
        if stand == Stand::Erased { Vec::new() } else { vec![change] }
    }

    /// The end of it, told anew: each repository as it is, and who is hidden.
    pub fn repos(&mut self) -> Vec<Change> {
        let mut told = Vec::new();
        for (name, stand) in NAMES.iter().zip(self.stands) {
            if stand != Stand::Erased {
                told.push(self.network.repo(name));
            }
            if stand == Stand::Hidden {
                told.push(hosting(name, Hosting::Takendown));
            }
        }
        told
    }

    /// A key of few: some are equal for different accounts, one is later than any head, one is no TID.
    fn rkey(&self, nsid: &str, key: usize) -> String {
        match key {
            6 if nsid == records::PROFILE => "nobody".to_owned(),
            _ if nsid == records::PROFILE => "self".to_owned(),
            0 => tid(NOW + 2 * DAY, 0),
            1 => "4ll-but-a-tid".to_owned(),
            key => tid(NOW - [0, 0, 0, 10, 300][key.min(4)] * DAY, key as u16),
        }
    }

    fn record(&self, nsid: &str, author: &str, rkey: &str, variant: u64) -> Value {
        let mut dice = Dice(variant);
        let reference = |uri: String| json!({"uri": uri, "cid": value::cid_of(b"a record").to_string()});
        let other = NAMES[dice.below(6)];
        let made = datetime(NOW - 3 * DAY * dice.below(4) as u64);
        let machine = records::Machine::new(1);
        let of = |uri: &str| fixtures::StrongRef { uri: uri.to_owned(), cid: value::cid_of(b"a record") };
        let mut record = match nsid {
            records::RECEIPT => {
                let job = of(&format!("at://{other}/{}/{}", records::JOB, tid(NOW, dice.below(3) as u16)));
                let attestation = of("at://did:web:ada.example/dev.cocore.compute.attestation/self");
                let served = records::Served { job, requester: other, attestation, machine: &machine };
                return self.receipt(value::to_json(&records::receipt(1, &served, NOW)), &mut dice);
            }
            records::PROVIDER => {
                let mut record = value::to_json(&records::provider(&machine, NOW));
                record["supportedModels"] = json!([MODELS[dice.below(4)], MODELS[dice.below(4)]]);
                record["trustLevel"] = json!(TRUST_LEVELS[dice.below(2)]);
                match dice.below(3) {
                    2 => drop(record.as_object_mut().unwrap().remove("tier")),
                    tier => record["tier"] = json!(TIERS[tier]),
                }
                record
            }
            records::JOB => value::to_json(&records::job(variant, &of("at://x.example/y.z.w/1"), NOW)),
            records::FRIEND => {
                let mut record = value::to_json(&records::friend(other, NOW));
                record["subject"] = json!([other, other, other, author, "nobody"][dice.below(5)]);
                record["createdAt"] =
                    json!([made.as_str(), made.as_str(), made.as_str(), "soon"][dice.below(4)]);
                record
            }
            records::PROFILE => {
                let mut record = value::to_json(&records::profile("somebody", NOW - DAY));
                record["handle"] = json!(["Ada.Example", "boris.test", "ad", ""][dice.below(4)]);
                record
            }
            records::SETTLEMENT => {
                let receipt =
                    of(&format!("at://{other}/{}/{}", records::RECEIPT, tid(NOW, dice.below(3) as u16)));
                let authorization = of(&format!("at://{other}/{}/{rkey}", records::PAYMENT_AUTHORIZATION));
                value::to_json(&records::settlement(variant, &receipt, &authorization, NOW))
            }
            records::ATTESTATION => value::to_json(&records::attestation(&machine, NOW)),
            "dev.cocore.compute.dispute" => json!({
                "$type": nsid,
                "settlement": reference(format!("at://{other}/{}/{}", records::SETTLEMENT, tid(NOW, dice.below(2) as u16))),
                "exchange": author,
                "raisedBy": NAMES[dice.below(6)],
                "raisedAt": made,
                "reason": {"category": "other"},
                "status": "open",
                "createdAt": made,
            }),
            _ => json!({
                "$type": nsid,
                "exchange": author,
                "fee": {"bps": 500, "minMinor": 1, "currency": "USD"},
                "supportedCurrencies": ["USD"],
                "selfLoop": {"feeWaived": true},
                "createdAt": made,
            }),
        };
        if dice.below(8) == 0 {
            // Without its required members it is quarantined.
            record = json!({"$type": nsid});
        }
        record["variant"] = json!(dice.below(1_000));
        record
    }

    fn receipt(&self, mut record: Value, dice: &mut Dice) -> Value {
        let completed = NOW.checked_add_signed(-AGES[dice.below(AGES.len())]).unwrap();
        record["completedAt"] = match dice.below(12) {
            0 => json!("soon"),
            1 => json!("9999-01-01T00:00:00Z"),
            _ => json!(datetime(completed)),
        };
        record["startedAt"] = match dice.below(6) {
            0 => json!("earlier"),
            1 => json!(datetime(completed + 5_000)),
            _ => json!(datetime(completed - 1_000 * dice.below(5_000) as u64)),
        };
        record["model"] = json!(MODELS[dice.below(4)]);
        if dice.below(8) == 0 {
            record["requester"] = json!("nobody");
        }
        let counts = [json!(7), json!(100), json!(-5), json!(i64::MAX), json!(0)];
        record["tokens"] = json!({"in": counts[dice.below(5)], "out": counts[dice.below(5)]});
        match dice.below(3) {
            2 => drop(record.as_object_mut().unwrap().remove("tier")),
            tier => record["tier"] = json!(TIERS[tier]),
        }
        if dice.below(12) == 0 {
            record.as_object_mut().unwrap().remove("price");
        }
        record
    }
}

fn hosting(name: &str, hosting: Hosting) -> Change {
    Change::Hosting { did: did(name), hosting }
}

/// Numbers out of one.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// An index that was told all of this, so many changes at a time.
pub fn told(changes: &[Change], at_once: usize) -> Scratch {
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    for changes in changes.chunks(at_once) {
        let applied = writer.apply(changes, &[], 0).unwrap();
        assert_eq!(applied.refused, []);
    }
    drop(writer);
    scratch
}

/// An index that was filled in bulk.
pub fn rebuilt(changes: &[Change], at_once: usize) -> Scratch {
    let scratch = Scratch::new();
    let filled = Index::rebuild(scratch.index.path(), catalog(), |writer| {
        changes.chunks(at_once).try_for_each(|changes| writer.apply(changes, &[], 0).map(drop))
    });
    filled.map_err(|error: IndexError| error.to_string()).unwrap();
    scratch
}
