//! What a verdict is made of: a handful of records, the documents of those who signed, and nothing else.
//!
//! Records as they were found (where, under which CID, and their blocks) and DID documents enter; whoever judges finds
//! them here by their URIs. An index, a [bundle](super::bundle) and a test fill it alike, so that equal evidence leads to
//! equal verdicts wherever it came from. Deliberately absent: looking for more, and any word about where it stood before.
//! What vouches for a record being in its repository is whoever filled this: an index has proven each against a signed
//! commit, a bundle has only said so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;

use super::Terms;
use super::body::Body;
use super::brokerage::authority_of;
use super::document::{DidDocument, DocumentKey};
use super::exhibit::{Exhibit, Standing};
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

/// Records and documents that a verdict may look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Sorted: a few dozen at most, bisected faster than hashed.
    exhibits: Vec<Exhibit>,
    documents: BTreeMap<Did, Option<Document>>,
    inactive: BTreeSet<Did>,
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

    /// Adds what a DID resolved to: its document, or that there was none to be had.
    pub fn put_document(&mut self, did: Did, document: Option<Document>) {
        self.documents.insert(did, document);
    }

    /// Notes that an account is not active.
    pub fn put_inactive(&mut self, did: Did) {
        self.inactive.insert(did);
    }

    /// All records, sorted by URI.
    #[must_use]
    pub fn exhibits(&self) -> &[Exhibit] {
        &self.exhibits
    }

    /// All DIDs that were resolved, and their documents.
    pub fn documents(&self) -> impl ExactSizeIterator<Item = (&Did, Option<&Document>)> {
        self.documents.iter().map(|(did, document)| (did, document.as_ref()))
    }

    /// All accounts that are known not to be active.
    pub fn inactive(&self) -> impl ExactSizeIterator<Item = &Did> {
        self.inactive.iter()
    }

    /// The document of a DID; none as well where nobody asked for it.
    #[must_use]
    pub fn document(&self, did: &str) -> Option<&Document> {
        self.documents.get(did)?.as_ref()
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
        let brokers = self.of_collection(Collection::Receipt).filter_map(|receipt| {
            let body = Body::of(receipt);
            authority_of(&body.map)?.parse::<Did>().ok().filter(|did| terms.brokerages.contains(did))
        });
        let exchanges = self.of_collection(Collection::Settlement).filter_map(|own| own.repo().parse().ok());
        let wanted = brokers.chain(exchanges);
        wanted.filter(|did| !self.documents.contains_key(did)).collect()
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
            part(&[u8::from(exhibit.standing() == Standing::Former)]);
        }
        part(b"documents");
        for (did, document) in &self.documents {
            part(did.as_str().as_bytes());
            part(document.as_ref().map_or(&[], |document| document.hash.as_slice()));
        }
        part(b"inactive");
        for did in &self.inactive {
            part(did.as_str().as_bytes());
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

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
    fn the_hash_tells_all_evidence_apart_and_not_the_order_it_came_in() {
        let did: Did = "did:web:ada.example".parse().unwrap();
        let hash = |evidence: &Evidence| {
            let mut hasher = blake3::Hasher::new();
            evidence.hash_into(&mut hasher);
            hasher.finalize()
        };
        let put = |evidence: &mut Evidence, part: usize| match part {
            0 => evidence.put(exhibit(JOB, &[1])),
            1 => evidence.put(exhibit(JOB, &[2]).standing_as(Standing::Former)),
            2 => evidence.put(Exhibit::new(JOB.parse().unwrap(), Cid::of(&[9]), [3]).unwrap()),
            3 => evidence.put_inactive(did.clone()),
            _ => evidence.put_document(did.clone(), Some(Document::new(json!({"id": "x", "a": [1]})))),
        };
        let (mut forth, mut back) = (Evidence::default(), Evidence::default());
        let mut hashes = vec![hash(&forth)];
        for part in 0..5 {
            put(&mut forth, part);
            hashes.push(hash(&forth));
        }
        (0..5).rev().for_each(|part| put(&mut back, part));
        assert_eq!((hash(&back), &back), (hash(&forth), &forth));
        let mut other = forth.clone();
        other.put_document(did.clone(), Some(Document::new(json!({"id": "x", "a": [2]}))));
        hashes.push(hash(&other));
        other.put_document(did.clone(), None);
        hashes.push(hash(&other));
        // A block that is not its CID's own counts by itself.
        other.put(Exhibit::new(JOB.parse().unwrap(), Cid::of(&[9]), [4]).unwrap());
        hashes.push(hash(&other));
        let told_apart: BTreeSet<_> = hashes.iter().map(blake3::Hash::as_bytes).collect();
        assert_eq!(told_apart.len(), hashes.len());
    }
}
