//! The truth, computed naively from what the accounts of a market have signed and from what was done to them: what answers
//! must be, by their definitions alone. No index is asked.

use std::collections::{BTreeMap, BTreeSet};

use appview_core::query::{
    AccountFilter, AccountKind, AccountOrder, DisputeFilter, ProviderFilter, ReceiptFilter, SettlementFilter,
    Span, TotalsOf, Viewer,
};
use appview_core::syntax::{Tid, datetime_unix_micros};
use fixtures::time::datetime;
use fixtures::{records, value};
use serde_json::{Value, json};

use super::{DAY, HOUR, Market, NAMES, Stand};

const LAST_MOMENT: i64 = (1 << 53) - 1;

/// Since when somebody trusts somebody, in which words and in which record: time, friender, subject, words, key.
type Trust = (i64, String, String, String, String);

/// A record that is shown.
#[derive(Debug, Clone)]
pub struct Shown {
    pub did: String,
    pub nsid: String,
    pub rkey: String,
    pub json: Value,
}

/// All records that are shown, and the moments of the heads of all repositories.
pub struct Truth {
    pub shown: Vec<Shown>,
    heads: BTreeMap<String, i64>,
}

impl Shown {
    pub fn uri(&self) -> String {
        format!("at://{}/{}/{}", self.did, self.nsid, self.rkey)
    }

    fn is(&self, nsid: &str) -> bool {
        self.nsid == nsid
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.json[name].as_str()
    }

    /// The time in the key.
    fn key_time(&self) -> Option<i64> {
        self.rkey.parse::<Tid>().ok().map(|tid| tid.micros() as i64)
    }

    fn moment_in(&self, name: &str) -> Option<i64> {
        datetime_unix_micros(self.text(name)?).ok()
    }

    /// When it was made; 0 if it does not tell.
    fn moment(&self) -> i64 {
        let names = ["createdAt", "completedAt", "settledAt", "attestedAt", "acceptedAt", "updatedAt"];
        let completed = if self.is(records::RECEIPT) { self.moment_in("completedAt") } else { None };
        let told = completed.or(self.key_time()).or(names.iter().find_map(|name| self.moment_in(name)));
        told.unwrap_or(0).clamp(0, LAST_MOMENT)
    }

    fn tokens(&self) -> (i64, i64) {
        let count = |name: &str| self.json["tokens"][name].as_i64().unwrap_or(0).clamp(0, 1 << 32);
        (count("in"), count("out"))
    }

    /// How long the work took, in milliseconds.
    fn millis(&self) -> Option<i64> {
        let millis = |name| self.moment_in(name).map(|micros| micros.div_euclid(1_000));
        Some(millis("completedAt")? - millis("startedAt")?).filter(|millis| *millis >= 0)
    }

    fn model(&self) -> Option<&str> {
        self.text("model").filter(|model| !model.is_empty())
    }

    fn tier(&self) -> &str {
        self.text("tier").unwrap_or("best-effort")
    }

    fn serves(&self, model: &str) -> bool {
        self.json["supportedModels"].as_array().is_some_and(|models| models.contains(&json!(model)))
    }
}

/// Whether a wanted value is the one there is; anything is if none is wanted.
fn fits<T: PartialEq + ?Sized>(wanted: Option<&T>, found: Option<&T>) -> bool {
    wanted.is_none() || wanted == found
}

fn within(span: Span, moment: Option<i64>) -> bool {
    match moment {
        None => span == Span::ALWAYS,
        Some(moment) => {
            span.since.is_none_or(|since| moment >= since) && span.until.is_none_or(|until| moment < until)
        }
    }
}

impl Truth {
    /// What these lexicons let be shown of a market. A market breaks them in two ways: with members of a wrong form, which
    /// are shown, and without members that are required, which are not.
    pub fn of(market: &Market, lexicons: &[&str]) -> Self {
        let lexicons: Vec<Value> = lexicons.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let has_all = |nsid: &str, json: &Value| {
            let lexicon = lexicons.iter().find(|lexicon| lexicon["id"] == nsid);
            let required =
                lexicon.and_then(|lexicon| lexicon["defs"]["main"]["record"]["required"].as_array());
            required.is_none_or(|members| members.iter().all(|name| !json[name.as_str().unwrap()].is_null()))
        };
        let (mut shown, mut heads) = (Vec::new(), BTreeMap::new());
        let world = &market.network.world;
        for (did, _) in NAMES.iter().zip(market.stands).filter(|(_, stand)| *stand == Stand::Shown) {
            for (path, cid) in world.records(did) {
                let (nsid, rkey) = path.split_once('/').unwrap();
                let json = value::to_json(&value::decode(world.block(&cid).unwrap()));
                if has_all(nsid, &json) {
                    let did = (*did).to_owned();
                    shown.push(Shown { did, nsid: nsid.to_owned(), rkey: rkey.to_owned(), json });
                }
            }
            let rev: Tid = world.head(did).rev.parse().unwrap();
            heads.insert((*did).to_owned(), rev.micros() as i64);
        }
        Self { shown, heads }
    }

    /// The URIs of the records that are wanted, greatest key first.
    fn by_key(&self, nsid: &str, during: Span, wanted: impl Fn(&Shown) -> bool) -> Vec<String> {
        let mut found: Vec<_> = self
            .shown
            .iter()
            .filter(|record| record.is(nsid) && within(during, record.key_time()) && wanted(record))
            .collect();
        found.sort_by_key(|record| (record.rkey.clone(), record.did.clone()));
        found.iter().rev().map(|record| record.uri()).collect()
    }

    /// Receipts that are wanted, the last completed first.
    fn work(&self, wanted: impl Fn(&Shown) -> bool) -> Vec<&Shown> {
        let mut found: Vec<_> =
            self.shown.iter().filter(|record| record.is(records::RECEIPT) && wanted(record)).collect();
        found.sort_by_key(|record| {
            (record.moment(), record.rkey.clone(), record.millis().unwrap_or(-1), record.did.clone())
        });
        found.reverse();
        found
    }

    pub fn receipts(&self, filter: &ReceiptFilter) -> Vec<String> {
        let claims = |owner: &str| {
            filter.trust_level.is_none()
                || self.shown.iter().any(|record| {
                    record.is(records::PROVIDER)
                        && record.did == owner
                        && record.text("trustLevel") == filter.trust_level.as_deref()
                })
        };
        let mut found = self.work(|receipt| {
            fits(filter.provider.as_ref().map(AsRef::as_ref), Some(receipt.did.as_str()))
                && fits(filter.requester.as_ref().map(AsRef::as_ref), receipt.text("requester"))
                && fits(filter.job.as_deref(), receipt.json["job"]["uri"].as_str())
                && fits(filter.model.as_deref(), receipt.model())
                && fits(filter.tier.as_deref(), Some(receipt.tier()))
                && within(filter.during, Some(receipt.moment()))
                && claims(&receipt.did)
        });
        found.sort_by_key(|record| (record.moment(), record.rkey.clone(), record.did.clone()));
        found.iter().rev().map(|record| record.uri()).collect()
    }

    pub fn providers(&self, filter: &ProviderFilter) -> Vec<String> {
        self.by_key(records::PROVIDER, filter.during, |machine| {
            fits(filter.owner.as_ref().map(AsRef::as_ref), Some(machine.did.as_str()))
                && filter.model.as_ref().is_none_or(|model| !model.is_empty() && machine.serves(model))
                && fits(filter.trust_level.as_deref(), machine.text("trustLevel"))
                && fits(filter.tier.as_deref(), Some(machine.tier()))
        })
    }

    pub fn settlements(&self, filter: &SettlementFilter) -> Vec<String> {
        self.by_key(records::SETTLEMENT, filter.during, |settlement| {
            let authorization = settlement.json["requesterAuthorization"]["uri"].as_str();
            let requester = authorization.and_then(|uri| uri.strip_prefix("at://")?.split('/').next());
            fits(filter.receipt.as_deref(), settlement.json["receipt"]["uri"].as_str())
                && fits(filter.requester.as_ref().map(AsRef::as_ref), requester)
        })
    }

    pub fn disputes(&self, filter: &DisputeFilter) -> Vec<String> {
        self.by_key("dev.cocore.compute.dispute", filter.during, |dispute| {
            fits(filter.repo.as_ref().map(AsRef::as_ref), Some(dispute.did.as_str()))
                && fits(filter.settlement.as_deref(), dispute.json["settlement"]["uri"].as_str())
                && fits(filter.raised_by.as_ref().map(AsRef::as_ref), dispute.text("raisedBy"))
        })
    }

    /// Records of a collection, in one repository or in all.
    pub fn of_repo(&self, nsid: &str, repo: Option<&str>, during: Span) -> Vec<String> {
        self.by_key(nsid, during, |record| fits(repo, Some(record.did.as_str())))
    }

    /// Profiles under the key of profiles, the newest first.
    pub fn profiles(&self) -> Vec<String> {
        let is_profile = |record: &&Shown| record.is(records::PROFILE) && record.rkey == "self";
        let mut found: Vec<_> = self.shown.iter().filter(is_profile).collect();
        found.sort_by_key(|record| (record.moment(), record.did.clone()));
        found.iter().rev().map(|record| record.uri()).collect()
    }

    fn profile_of(&self, did: &str) -> Option<&Shown> {
        self.shown
            .iter()
            .find(|record| record.is(records::PROFILE) && record.did == did && record.rkey == "self")
    }

    /// Each pair of a friender and a subject, with the time, the words and the key of its first declaration; the latest pair
    /// first.
    fn trusts(&self) -> Vec<Trust> {
        let mut first: BTreeMap<(String, String), (i64, String, String)> = BTreeMap::new();
        for record in self.shown.iter().filter(|record| record.is(records::FRIEND)) {
            let Some(subject) = record.text("subject").filter(|subject| subject.starts_with("did:")) else {
                continue;
            };
            let declared = record.moment_in("createdAt").unwrap_or(record.moment());
            let words = record.text("createdAt").map_or_else(|| datetime(declared as u64), str::to_owned);
            let declared = (declared, words, record.rkey.clone());
            let pair = first.entry((record.did.clone(), subject.to_owned())).or_insert(declared.clone());
            *pair = declared.min(pair.clone());
        }
        let mut trusts: Vec<_> = first
            .into_iter()
            .map(|((friender, subject), (at, words, rkey))| (at, friender, subject, words, rkey))
            .collect();
        trusts.sort();
        trusts.reverse();
        trusts
    }

    pub fn incoming(&self, did: &str) -> Vec<Value> {
        self.trusts()
            .into_iter()
            .filter(|(_, _, subject, ..)| subject == did)
            .map(|(_, friender, _, words, rkey)| {
                let handle = self.profile_of(&friender).and_then(|profile| profile.text("handle"));
                json!({
                    "friender": friender,
                    "frienderHandle": handle.filter(|handle| !handle.is_empty()),
                    "uri": format!("at://{friender}/{}/{rkey}", records::FRIEND),
                    "createdAt": words,
                })
            })
            .collect()
    }

    pub fn edges(&self) -> Vec<Value> {
        self.trusts()
            .into_iter()
            .filter(|(_, friender, subject, ..)| friender != subject)
            .map(|(_, friender, subject, words, _)| {
                json!({"friender": friender, "subject": subject, "createdAt": words})
            })
            .collect()
    }

    /// Statistics over the newest hundred of these that tell how long they took; none without any.
    fn stats(work: &[&Shown]) -> Option<Value> {
        let newest: Vec<i64> = work.iter().filter_map(|receipt| receipt.millis()).take(100).collect();
        let last = *newest.first()?;
        let mut sorted = newest.clone();
        sorted.sort();
        let rank = |percent: f64| sorted[(percent / 100.0 * sorted.len() as f64).ceil() as usize - 1];
        let mean = (newest.iter().sum::<i64>() as f64 / newest.len() as f64 + 0.5).floor() as i64;
        Some(json!({
            "sampleCount": newest.len(),
            "p50Ms": rank(50.0),
            "p95Ms": rank(95.0),
            "avgMs": mean,
            "lastMs": last,
        }))
    }

    fn no_stats() -> Value {
        json!({"sampleCount": 0, "p50Ms": null, "p95Ms": null, "avgMs": null, "lastMs": null})
    }

    /// Groups of receipts by a name in them, that with the newest of the receipts that count first.
    fn grouped<'t>(
        &'t self,
        name: impl Fn(&'t Shown) -> Option<&'t str>,
        counts: impl Fn(&Shown) -> bool,
    ) -> Vec<(&'t str, Vec<&'t Shown>)> {
        let work = self.work(|receipt| counts(receipt));
        let names: BTreeSet<&str> = work.iter().copied().filter_map(&name).collect();
        let mut groups: Vec<(&str, Vec<&Shown>)> = names
            .into_iter()
            .map(|group| {
                let of = work.iter().copied().filter(|receipt| name(receipt) == Some(group));
                (group, of.collect())
            })
            .collect();
        groups.sort_by_key(|(name, work)| (work[0].moment(), *name));
        groups.reverse();
        groups
    }

    pub fn latency(&self, now: u64) -> Value {
        let tells = |receipt: &Shown| receipt.millis().is_some();
        let by_provider = self.grouped(|receipt| Some(receipt.did.as_str()), tells);
        let by_model = self.grouped(Shown::model, tells);
        let stats = |work: &[&Shown]| Self::stats(work).unwrap();
        json!({
            "generatedAt": datetime(now),
            "overall": Self::stats(&self.work(tells)).unwrap_or_else(Self::no_stats),
            "byProvider": by_provider.iter().map(|(did, work)| json!({"did": did, "stats": stats(work)})).collect::<Vec<_>>(),
            "byModel": by_model.iter().map(|(model, work)| json!({"modelId": model, "stats": stats(work)})).collect::<Vec<_>>(),
        })
    }

    pub fn activity(&self, now: u64) -> Value {
        let windows = |work: &[&Shown]| {
            let window = |length: u64| {
                let since = now as i64 - length as i64;
                let within = work.iter().filter(|receipt| receipt.moment() >= since);
                let tokens = within.clone().map(|receipt| receipt.tokens().0 + receipt.tokens().1);
                json!({"requests": within.count(), "tokens": tokens.sum::<i64>()})
            };
            json!({"hour": window(HOUR), "day": window(DAY), "week": window(7 * DAY), "month": window(30 * DAY)})
        };
        let mut models = Vec::new();
        for (model, work) in self.grouped(Shown::model, |_| true) {
            let providers =
                self.grouped(|receipt| Some(receipt.did.as_str()), |receipt| receipt.model() == Some(model));
            let by_provider: Vec<_> =
                providers.iter().map(|(did, work)| json!({"did": did, "stats": windows(work)})).collect();
            models.push(json!({"modelId": model, "totals": windows(&work), "byProvider": by_provider}));
        }
        json!({"generatedAt": datetime(now), "models": models})
    }

    pub fn totals(&self, of: &TotalsOf, during: Span) -> Value {
        let work = self.work(|receipt| {
            let is_of = match of {
                TotalsOf::All => true,
                TotalsOf::Provider(did) => receipt.did == did.as_str(),
                TotalsOf::Requester(did) => receipt.text("requester") == Some(did.as_str()),
                TotalsOf::Model(model) => receipt.model() == Some(model),
                TotalsOf::ModelOf { model, provider } => {
                    receipt.did == provider.as_str() && receipt.model() == Some(model)
                }
            };
            is_of && within(during, Some(receipt.moment()))
        });
        let sum =
            |part: fn((i64, i64)) -> i64| work.iter().map(|receipt| part(receipt.tokens())).sum::<i64>();
        json!({"requests": work.len(), "tokensIn": sum(|(read, _)| read), "tokensOut": sum(|(_, made)| made)})
    }

    /// The first and the last moment of an account, not later than its head; 0 if none of its records tells one.
    fn moments(&self, did: &str) -> (i64, i64) {
        let of = self.shown.iter().filter(|record| record.did == did);
        let moments: Vec<i64> = of.map(Shown::moment).filter(|moment| *moment > 0).collect();
        let head = self.heads[did];
        let [first, last] = [moments.iter().min(), moments.iter().max()];
        (first.map_or(0, |first| head.min(*first)), last.map_or(0, |last| head.min(*last)))
    }

    fn count(&self, did: &str, nsid: &str) -> usize {
        self.shown.iter().filter(|record| record.did == did && record.is(nsid)).count()
    }

    pub fn accounts(&self, filter: &AccountFilter) -> Vec<Value> {
        let members: BTreeSet<&str> = self.shown.iter().map(|record| record.did.as_str()).collect();
        let trusts = self.trusts();
        let is_wanted = |did: &str| {
            let is_left_out = match &filter.viewer {
                Viewer::Anyone => false,
                Viewer::Account(viewer) => viewer.as_str() == did,
                Viewer::AccountAndFriends(viewer) => {
                    viewer.as_str() == did
                        || trusts
                            .iter()
                            .any(|(_, friender, subject, ..)| friender == viewer.as_str() && subject == did)
                }
            };
            let q = filter.q.to_lowercase();
            let handle = self.profile_of(did).and_then(|profile| profile.text("handle")).unwrap_or("");
            !is_left_out
                && (filter.kind == AccountKind::All || self.count(did, records::PROVIDER) > 0)
                && (did.contains(&q) || handle.to_lowercase().contains(&q))
        };
        let mut found: Vec<_> = members.into_iter().filter(|did| is_wanted(did)).collect();
        found.sort_by_key(|did| match filter.order {
            AccountOrder::Recent => (self.moments(did).1, *did),
            AccountOrder::Newest => (self.moments(did).0, *did),
        });
        found.iter().rev().map(|did| self.account(did)).collect()
    }

    fn account(&self, did: &str) -> Value {
        let profile = self.profile_of(did);
        let text = |name| profile.and_then(|profile| profile.text(name)).filter(|text| !text.is_empty());
        let (joined, recent) = self.moments(did);
        let providers = self.count(did, records::PROVIDER);
        json!({
            "did": did,
            "handle": text("handle"),
            "displayName": text("displayName"),
            "avatarUrl": text("avatarUrl"),
            "joinedAt": moment(joined),
            "lastActivityAt": moment(recent),
            "providerCount": providers,
            "isProvider": providers > 0,
        })
    }

    pub fn profile(&self, did: &str, now: u64) -> Option<Value> {
        let is_member = self.shown.iter().any(|record| record.did == did);
        if !is_member {
            return None;
        }
        let account = self.account(did);
        let bio = self.profile_of(did).and_then(|profile| profile.text("bio"));
        let mut machines: Vec<_> =
            self.shown.iter().filter(|record| record.is(records::PROVIDER) && record.did == did).collect();
        machines.sort_by_key(|machine| machine.rkey.clone());
        let machines: Vec<_> = machines
            .iter()
            .rev()
            .map(|machine| {
                let member = |name: &str| machine.json[name].clone();
                json!({
                    "rkey": machine.rkey,
                    "machineLabel": member("machineLabel"),
                    "chip": member("chip"),
                    "ramGB": member("ramGB"),
                    "supportedModels": machine.json["supportedModels"].as_array().cloned().unwrap_or_default(),
                    "active": member("active"),
                    "createdAt": member("createdAt"),
                    "trustLevel": member("trustLevel"),
                })
            })
            .collect();
        let week = |moment: i64| (moment / DAY as i64 + 3) / 7;
        let current = week(now as i64);
        let series = |wanted: &dyn Fn(&Shown) -> bool, adds: &dyn Fn(&Shown) -> i64| {
            let mut series = vec![0; 52];
            for record in self.shown.iter().filter(|record| wanted(record)) {
                let bucket = (week(record.moment()) - current + 51).clamp(0, 51);
                series[bucket as usize] += adds(record);
            }
            series
        };
        let own = |nsid: &'static str| move |record: &Shown| record.is(nsid) && record.did == did;
        let mut offered = series(&own(records::PROVIDER), &|_| 1);
        for at in 1..52 {
            offered[at] += offered[at - 1];
        }
        let trusts_it = |record: &Shown| record.is(records::FRIEND) && record.text("subject") == Some(did);
        let oldest = ((current - 51) * 7 - 3) as u64 * DAY;
        let work = self.work(|receipt| receipt.did == did);
        Some(json!({
            "did": did,
            "handle": account["handle"],
            "displayName": account["displayName"],
            "avatarUrl": account["avatarUrl"],
            "bio": bio,
            "joinedAt": account["joinedAt"],
            "lastActivityAt": account["lastActivityAt"],
            "machines": machines,
            "jobCount": self.count(did, records::JOB),
            "receiptCount": self.count(did, records::RECEIPT),
            "incomingFriendsCount": self.incoming(did).len(),
            "weekSeries": {
                "oldestWeekStart": datetime(oldest)[..10],
                "jobsDispatched": series(&own(records::JOB), &|_| 1),
                "receiptsServed": series(&own(records::RECEIPT), &|_| 1),
                "machinesIndexedCumulative": offered,
                "tokensIndexed": series(&own(records::RECEIPT), &|receipt| {
                    receipt.tokens().0 + receipt.tokens().1
                }),
                "trustedByNew": series(&trusts_it, &|_| 1),
            },
            "latency": Self::stats(&work).unwrap_or_else(Self::no_stats),
        }))
    }
}

fn moment(micros: i64) -> Value {
    if micros == 0 { Value::Null } else { json!(datetime(micros as u64)) }
}
