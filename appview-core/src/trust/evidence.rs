//! What a verdict is made of: a handful of records, the documents of those who signed, and nothing else.
//!
//! Records as they were found (where, under which CID, and their blocks) and DID documents enter; whoever judges finds
//! them here by their URIs. An index, a [bundle](super::bundle) and a test fill it alike, so that equal evidence leads to
//! equal verdicts wherever it came from. Deliberately absent: looking for more, and any word about where it stood before.
//! What vouches for a record being in its repository is its [`Footing`](super::Footing), and for a document its [`Origin`]:
//! an index has proven each record against a signed commit, a bundle has only said so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;

use super::body::Body;
use super::brokerage::authority_of;
use super::document::{DidDocument, DocumentKey};
use super::exhibit::{Exhibit, Standing};
use super::{Check, Instant, Terms};
use crate::block::Cid;
use crate::record::Collection;
use crate::syntax::Did;

/// A DID document, with the hash by which it is told from others.
#[derive(Debug, Clone)]
pub struct Document {
    json: Arc<Json>,
    read: Option<DidDocument>,
    hash: [u8; 32],
}

impl Document {
    /// Takes a document as its host gave it. Nothing in it is believed here.
    #[must_use]
    pub fn new(json: Json) -> Self {
        // Keys come out in one order, so that equal documents hash alike however they were written.
        let hash = *blake3::hash(sorted(&json).as_bytes()).as_bytes();
        let read = DidDocument::from_json(&json).ok();
        Self { json: Arc::new(json), read, hash }
    }

    /// The document.
    #[must_use]
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// Whether it is about this DID.
    #[must_use]
    pub fn is_about(&self, did: &str) -> bool {
        self.read.as_ref().is_some_and(|document| document.is_about(did))
    }

    /// Its P-256 keys.
    #[must_use]
    pub fn keys(&self) -> &[DocumentKey] {
        self.read.as_ref().map(DidDocument::keys).unwrap_or_default()
    }

    /// The key by which its owner witnesses as a broker.
    #[must_use]
    pub fn broker_key(&self) -> Option<&[u8; 64]> {
        self.read.as_ref()?.broker_key()
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Document {}

fn sorted(json: &Json) -> String {
    match json {
        Json::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().collect();
            let members = members
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Json::from(key.as_str()), sorted(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}

/// Who says that a document is a DID's, which decides what it is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Whoever judges, by their [terms](Terms::documents). Where there is such a document, no other of the DID counts.
    Pinned,
    /// Its host, at present.
    Resolved,
    /// Its host, at another time.
    Remembered {
        /// When the host was first seen to give another one: what was signed later is not judged by this. None was seen
        /// since, if there is nothing.
        until: Option<Instant>,
    },
    /// A file. Nothing is judged by it: whoever writes a file would choose the keys in it.
    Claimed,
}

/// How much of a record's company was looked at, where it was not all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// How many records.
    pub at: u64,
    /// Of how many, or of how many at least.
    pub of: u64,
}

/// What the settled settlements of one exchange draw on one authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drawn {
    /// How many charge an integer.
    pub settlements: u64,
    /// What those charge in all, in smallest units. A sum that does not fit is the largest that does.
    pub amount: i64,
}

/// Records and documents that a verdict may look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Sorted: a few dozen at most, bisected faster than hashed.
    exhibits: Vec<Exhibit>,
    /// Whose documents were asked for, and what there is of each: the better origins first.
    documents: BTreeMap<Did, Vec<(Origin, Document)>>,
    inactive: BTreeSet<Did>,
    partial: BTreeMap<Check, Looked>,
    /// By exchange and authorization.
    drawn: BTreeMap<(String, String), Drawn>,
}

impl Evidence {
    /// Adds a record; one that is there already, in the same version, is replaced.
    pub fn put(&mut self, exhibit: Exhibit) {
        match self.exhibits.binary_search_by(|held| held.order().cmp(&exhibit.order())) {
            Ok(at) => {
                if let Some(held) = self.exhibits.get_mut(at) {
                    *held = exhibit;
                }
            }
            Err(at) => self.exhibits.insert(at, exhibit),
        }
    }

    /// Adds a document of a DID. One that is there already stays as what it is better for.
    pub fn put_document(&mut self, did: Did, document: Document, origin: Origin) {
        let known = self.documents.entry(did).or_default();
        let same = known.iter().position(|(_, held)| *held == document);
        match same.and_then(|at| known.get_mut(at)) {
            Some((held, _)) => *held = origin.min(*held),
            None => known.push((origin, document)),
        }
        known.sort_by_key(|(origin, document)| (*origin, document.hash));
    }

    /// Adds those documents of the [terms](Terms::documents) that a verdict wants. Verdicts by the same terms need none of
    /// them here; whoever reads a [bundle](super::Bundle) of it sees what was believed.
    pub fn put_pinned(&mut self, terms: &Terms) {
        for did in self.signers(terms) {
            for document in terms.pinned(did.as_str()) {
                self.put_document(did.clone(), document.clone(), Origin::Pinned);
            }
        }
    }

    /// Notes that the host of a DID was asked for its document in vain.
    pub fn put_unresolved(&mut self, did: Did) {
        self.documents.entry(did).or_default();
    }

    /// Notes that an account is not active.
    pub fn put_inactive(&mut self, did: Did) {
        self.inactive.insert(did);
    }

    /// Notes that there are more records for a check than those that are here.
    pub fn put_partial(&mut self, check: Check, looked: Looked) {
        self.partial.insert(check, looked);
    }

    /// Adds what is drawn on the authorization at a URI by an exchange's settlements, whether they are here or not.
    pub fn put_drawn(&mut self, exchange: &str, authorization: &str, drawn: Drawn) {
        self.drawn.insert((exchange.to_owned(), authorization.to_owned()), drawn);
    }

    /// All records, sorted by URI.
    #[must_use]
    pub fn exhibits(&self) -> &[Exhibit] {
        &self.exhibits
    }

    /// All DIDs whose documents were asked for, and what there is of each: the better origins first.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = (&Did, &[(Origin, Document)])> {
        self.documents.iter().map(|(did, known)| (did, known.as_slice()))
    }

    /// All accounts that are known not to be active.
    pub fn inactive(&self) -> impl ExactSizeIterator<Item = &Did> {
        self.inactive.iter()
    }

    /// For which checks there are more records than those that are here.
    pub fn partial(&self) -> impl ExactSizeIterator<Item = (Check, Looked)> {
        self.partial.iter().map(|(check, looked)| (*check, *looked))
    }

    /// What is drawn on authorizations: the exchange, the authorization's URI, and how much.
    pub fn drawn(&self) -> impl ExactSizeIterator<Item = (&str, &str, Drawn)> {
        self.drawn.iter().map(|((exchange, uri), drawn)| (exchange.as_str(), uri.as_str(), *drawn))
    }

    pub(super) fn looked(&self, check: Check) -> Option<Looked> {
        self.partial.get(&check).copied()
    }

    pub(super) fn drawn_on(&self, exchange: &str, authorization: &str) -> Option<Drawn> {
        let mut drawn = self.drawn();
        drawn.find(|(by, on, _)| (*by, *on) == (exchange, authorization)).map(|(_, _, drawn)| drawn)
    }

    /// The documents by which something that `did` signed `at` an instant is judged, the better ones first: none where
    /// nobody asked for them, none were to be had, or a file alone has one.
    pub(super) fn documents_of<'e>(
        &'e self,
        did: &str,
        at: Option<Instant>,
        terms: &'e Terms,
    ) -> impl Iterator<Item = (Origin, &'e Document)> {
        let pinned: Vec<_> = terms.pinned(did).map(|document| (Origin::Pinned, document)).collect();
        let known = match self.documents.get(did) {
            Some(known) if pinned.is_empty() => known.as_slice(),
            _ => &[],
        };
        let counts = move |origin: Origin| match origin {
            Origin::Pinned | Origin::Resolved | Origin::Remembered { until: None } => true,
            Origin::Remembered { until: Some(until) } => at.is_some_and(|at| at <= until),
            Origin::Claimed => false,
        };
        let known = known.iter().filter(move |(origin, _)| counts(*origin));
        pinned.into_iter().chain(known.map(|(origin, document)| (*origin, document)))
    }

    /// Why there is no document to judge a signature by, for people.
    pub(super) fn lack_of(&self, did: &str) -> &'static str {
        match self.documents.get(did).map(Vec::as_slice) {
            None => "its document was not asked for",
            Some([]) => "its document could not be had",
            Some(known) if known.iter().any(|(origin, _)| *origin == Origin::Claimed) => {
                "its document is the word of a file alone"
            }
            Some(_) => "no document of that time is known",
        }
    }

    /// Whether an account is known not to be active.
    #[must_use]
    pub fn is_inactive(&self, did: &str) -> bool {
        self.inactive.contains(did)
    }

    /// What stands at a URI; for want of it, what stood there.
    #[must_use]
    pub fn find(&self, uri: &str) -> Option<&Exhibit> {
        self.versions(uri).first()
    }

    /// The version of a record that a strong reference names if it is here, else what stands at its URI.
    #[must_use]
    pub fn find_version(&self, uri: &str, cid: Option<Cid>) -> Option<&Exhibit> {
        let versions = self.versions(uri);
        versions.iter().find(|version| Some(version.cid()) == cid).or(versions.first())
    }

    /// The records of one collection that stand now.
    pub fn of_collection(&self, collection: Collection) -> impl Iterator<Item = &Exhibit> {
        self.exhibits
            .iter()
            .filter(move |exhibit| exhibit.standing() == Standing::Current && exhibit.is_in(collection))
    }

    /// Whose documents a verdict wants and this lacks: those of trusted brokers that receipts name as their witnesses, and of
    /// exchanges that settled.
    #[must_use]
    pub fn wanted_documents(&self, terms: &Terms) -> BTreeSet<Did> {
        let mut wanted = self.signers(terms);
        wanted.retain(|did| !self.documents.contains_key(did) && terms.pinned(did.as_str()).next().is_none());
        wanted
    }

    /// Trusted brokers that receipts name as their witnesses, and exchanges that settled.
    fn signers(&self, terms: &Terms) -> BTreeSet<Did> {
        let brokers = self.of_collection(Collection::Receipt).filter_map(|receipt| {
            let body = Body::of(receipt);
            authority_of(&body.map)?.parse::<Did>().ok().filter(|did| terms.brokerages.contains(did))
        });
        let exchanges = self.of_collection(Collection::Settlement).filter_map(|own| own.repo().parse().ok());
        brokers.chain(exchanges).collect()
    }

    fn versions(&self, uri: &str) -> &[Exhibit] {
        let from = self.exhibits.partition_point(|held| held.uri().as_str() < uri);
        let rest = self.exhibits.get(from..).unwrap_or_default();
        let count = rest.iter().take_while(|held| held.uri().as_str() == uri).count();
        rest.get(..count).unwrap_or_default()
    }

    /// Hashes everything in it.
    pub(super) fn hash_into(&self, hasher: &mut blake3::Hasher) {
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for exhibit in &self.exhibits {
            part(exhibit.uri().as_str().as_bytes());
            part(&exhibit.cid().to_bytes());
            // A CID that is the block's own stands for it.
            part(if exhibit.is_its_own() { &[] } else { exhibit.block() });
            part(&[exhibit.standing() as u8, exhibit.footing() as u8]);
        }
        part(b"documents");
        for (did, known) in &self.documents {
            part(did.as_str().as_bytes());
            for (origin, document) in known {
                let (kind, until) = match origin {
                    Origin::Pinned => (0, None),
                    Origin::Resolved => (1, None),
                    Origin::Remembered { until } => (2, *until),
                    Origin::Claimed => (3, None),
                };
                part(&[kind, u8::from(until.is_some())]);
                part(&until.map_or(0, Instant::unix_millis).to_le_bytes());
                part(&document.hash);
            }
            part(b"");
        }
        part(b"inactive");
        for did in &self.inactive {
            part(did.as_str().as_bytes());
        }
        part(b"partial");
        for (check, looked) in &self.partial {
            part(check.as_str().as_bytes());
            part(&[looked.at.to_le_bytes(), looked.of.to_le_bytes()].concat());
        }
        part(b"drawn");
        for ((exchange, authorization), drawn) in &self.drawn {
            part(exchange.as_bytes());
            part(authorization.as_bytes());
            part(&[drawn.settlements.to_le_bytes(), drawn.amount.to_le_bytes()].concat());
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::trust::Footing;

    const JOB: &str = "at://did:web:ada.example/dev.cocore.compute.job/3jzfcijpj2z2a";

    fn exhibit(uri: &str, block: &[u8]) -> Exhibit {
        Exhibit::new(uri.parse().unwrap(), Cid::of(block), block).unwrap()
    }

    #[test]
    fn a_version_is_found_by_its_cid_and_without_one_the_present_is() {
        let (former, current) = (exhibit(JOB, &[1]).standing_as(Standing::Former), exhibit(JOB, &[2]));
        let mut evidence = Evidence::default();
        evidence.put(former.clone());
        assert_eq!(evidence.find(JOB), Some(&former), "for want of a present one");
        evidence.put(current.clone());
        evidence.put(exhibit("at://did:web:ada.example/dev.cocore.compute.job/3jzfcijpj2z2b", &[3]));
        assert_eq!(evidence.find(JOB), Some(&current));
        assert_eq!(evidence.find_version(JOB, Some(Cid::of(&[1]))), Some(&former));
        assert_eq!(evidence.find_version(JOB, Some(Cid::of(&[9]))), Some(&current));
        assert_eq!(evidence.of_collection(Collection::Job).count(), 2);
        assert_eq!(evidence.find("at://did:web:ada.example/dev.cocore.compute.job/3jzfcijpj2z2c"), None);
    }

    #[test]
    fn a_document_is_good_for_what_its_origin_says() {
        let did: Did = "did:web:ada.example".parse().unwrap();
        let document = |number: u8| Document::new(json!({"id": "x", "a": [number]}));
        let at = |millis| Some(Instant::from_unix_millis(millis));
        let mut terms = Terms::builtin().unwrap();
        let by = |evidence: &Evidence, at, terms: &Terms| -> Vec<Document> {
            evidence.documents_of(did.as_str(), at, terms).map(|(_, document)| document.clone()).collect()
        };
        let mut evidence = Evidence::default();
        assert_eq!(evidence.lack_of(did.as_str()), "its document was not asked for");
        evidence.put_unresolved(did.clone());
        assert_eq!(evidence.lack_of(did.as_str()), "its document could not be had");
        evidence.put_document(did.clone(), document(1), Origin::Claimed);
        assert_eq!(by(&evidence, at(0), &terms), []);
        assert_eq!(evidence.lack_of(did.as_str()), "its document is the word of a file alone");
        evidence.put_document(did.clone(), document(2), Origin::Remembered { until: at(7) });
        assert_eq!(by(&evidence, at(7), &terms), [document(2)]);
        assert_eq!(
            (by(&evidence, at(8), &terms), by(&evidence, None, &terms)),
            (vec![], vec![]),
            "it was another's time"
        );
        evidence.put_document(did.clone(), document(3), Origin::Resolved);
        assert_eq!(by(&evidence, at(7), &terms), [document(3), document(2)]);
        assert_eq!(by(&evidence, at(8), &terms), [document(3)]);
        terms.documents.push((did.clone(), document(1)));
        assert_eq!(by(&evidence, at(7), &terms), [document(1)], "what is pinned stands alone");
    }

    #[test]
    fn the_hash_tells_all_evidence_apart_and_not_the_order_it_came_in() {
        let did: Did = "did:web:ada.example".parse().unwrap();
        let hash = |evidence: &Evidence| {
            let mut hasher = blake3::Hasher::new();
            evidence.hash_into(&mut hasher);
            hasher.finalize()
        };
        let document = |number: u8| Document::new(json!({"id": "x", "a": [number]}));
        let put = |evidence: &mut Evidence, part: usize| match part {
            0 => evidence.put(exhibit(JOB, &[1])),
            1 => evidence.put(exhibit(JOB, &[2]).standing_as(Standing::Former)),
            2 => evidence.put(Exhibit::new(JOB.parse().unwrap(), Cid::of(&[9]), [3]).unwrap()),
            3 => evidence.put_inactive(did.clone()),
            4 => evidence.put_unresolved("did:web:boris.example".parse().unwrap()),
            6 => evidence.put_partial(Check::OnlyReceipt, Looked { at: 8, of: 9 }),
            7 => evidence.put_drawn("a", "b", Drawn { settlements: 1, amount: 2 }),
            5 => evidence.put(exhibit(JOB, &[4]).on(Footing::Claimed)),
            _ => evidence.put_document(did.clone(), document(1), Origin::Resolved),
        };
        let (mut forth, mut back) = (Evidence::default(), Evidence::default());
        let mut hashes = vec![hash(&forth)];
        for part in 0..9 {
            put(&mut forth, part);
            hashes.push(hash(&forth));
        }
        (0..9).rev().for_each(|part| put(&mut back, part));
        assert_eq!((hash(&back), &back), (hash(&forth), &forth));
        let mut other = forth.clone();
        let until = |millis| Origin::Remembered { until: Some(Instant::from_unix_millis(millis)) };
        for (number, origin) in [
            (2, Origin::Claimed),
            (2, until(9)),
            (2, until(8)),
            (2, Origin::Remembered { until: None }),
            (2, Origin::Resolved),
            (2, Origin::Pinned),
            (3, Origin::Claimed),
        ] {
            other.put_document(did.clone(), document(number), origin);
            hashes.push(hash(&other));
        }
        // A block that is not its CID's own counts by itself.
        other.put(Exhibit::new(JOB.parse().unwrap(), Cid::of(&[9]), [4]).unwrap());
        hashes.push(hash(&other));
        let told_apart: BTreeSet<_> = hashes.iter().map(blake3::Hash::as_bytes).collect();
        assert_eq!(told_apart.len(), hashes.len());
    }
}
