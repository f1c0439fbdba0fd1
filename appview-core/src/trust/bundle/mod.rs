//! Evidence in a file, by which anyone can reach a verdict with nothing else at hand.
//!
//! Evidence and the URI it is about enter, one of two files leaves, and the other way round. `file.json` is for people: each
//! record as JSON beside its CID. `file.car` is for machines: the blocks themselves, and a root that names them. Both hold
//! the same and lead to equal evidence. What comes from a file is a stranger's: it is bounded before it is read, its records
//! stand where it says by its word alone ([`Footing::Claimed`]), and nobody's signature is judged by a document in it
//! ([`Origin::Claimed`]). It may carry proofs of its records, as `com.atproto.sync.getRecord` answers. Deliberately absent:
//! [checking](crate::source::proven) them, which takes the keys of their repositories from somewhere else.

mod car;
mod json;

use std::collections::{BTreeMap, BTreeSet};

use super::check::Check;
use super::evidence::{Document, Drawn, Evidence, Looked, Origin};
use super::exhibit::{Exhibit, ExhibitError, Footing, Standing};
use crate::block::json::JsonError;
use crate::block::{BlockError, Cid};
use crate::limits;
use crate::syntax::{AtUri, Did};

/// The version of either form.
const VERSION: i64 = 1;

/// Why a file is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// More of something than any verdict needs.
    #[error("expected at most {limit} {what}, found {found}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much there is, or how much at least.
        found: usize,
        /// How much there may be.
        limit: usize,
    },
    /// Neither JSON nor a CAR.
    #[error("not json: {reason}")]
    NotJson {
        /// What the parser met.
        reason: String,
    },
    /// A CAR, or the root of one, that cannot be read.
    #[error("not a car of a bundle: {0}")]
    Block(#[from] BlockError),
    /// A member that is missing or of another form.
    #[error("{place}: expected {expected}")]
    Member {
        /// Where.
        place: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A body that is no value of the data model.
    #[error("{place}{error}")]
    Body {
        /// Which record's.
        place: String,
        /// The rule that it breaks.
        error: JsonError,
    },
    /// A record at a place where none can be.
    #[error(transparent)]
    Exhibit(#[from] ExhibitError),
    /// One version of a record twice.
    #[error("{uri} is there twice")]
    Twice {
        /// The record.
        uri: AtUri,
    },
}

/// Evidence, and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The record that the evidence was gathered for.
    pub about: AtUri,
    /// Everything that a verdict on it needs.
    pub evidence: Evidence,
    /// Proofs that records stand where the evidence says: each a CAR of a signed commit, the tree's nodes on the way, and the
    /// record. Nothing here says that they hold.
    pub proofs: BTreeMap<AtUri, Vec<u8>>,
}

impl Bundle {
    /// A bundle without proofs.
    #[must_use]
    pub const fn new(about: AtUri, evidence: Evidence) -> Self {
        Self { about, evidence, proofs: BTreeMap::new() }
    }

    /// Reads either form.
    ///
    /// # Errors
    ///
    /// [`BundleError`]. That a record does not hash to its CID is none: the verdict will say so.
    pub fn read(file: &[u8]) -> Result<Self, BundleError> {
        at_most("bytes", file.len(), limits::BUNDLE_BYTES)?;
        // A CAR begins with the length of its header, which is no white space and no brace: a root takes 58 bytes.
        match file.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => json::read(file),
            _ => car::read(file),
        }
    }

    /// As JSON, a record a line.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::write(self)
    }

    /// As a CAR.
    #[must_use]
    pub fn to_car(&self) -> Vec<u8> {
        car::write(self)
    }
}

fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), BundleError> {
    if found > limit { Err(BundleError::TooMuch { what, found, limit }) } else { Ok(()) }
}

fn expected(place: impl Into<String>, expected: &'static str) -> BundleError {
    BundleError::Member { place: place.into(), expected }
}

/// A bundle that is being read: counts, and takes nothing twice.
struct Reading {
    about: AtUri,
    evidence: Evidence,
    seen: BTreeSet<(AtUri, Cid, Standing)>,
    dids: usize,
    drawn: usize,
    proofs: BTreeMap<AtUri, Vec<u8>>,
}

impl Reading {
    fn new(about: Option<&str>) -> Result<Self, BundleError> {
        let about = about.and_then(|uri| uri.parse().ok()).ok_or_else(|| expected("about", "an at uri"))?;
        let (seen, proofs) = (BTreeSet::new(), BTreeMap::new());
        Ok(Self { about, evidence: Evidence::default(), seen, dids: 0, drawn: 0, proofs })
    }

    fn record(
        &mut self,
        uri: AtUri,
        cid: Cid,
        block: Vec<u8>,
        standing: Standing,
    ) -> Result<(), BundleError> {
        if !self.seen.insert((uri.clone(), cid, standing)) {
            return Err(BundleError::Twice { uri });
        }
        at_most("records", self.seen.len(), limits::BUNDLE_RECORDS)?;
        self.evidence.put(Exhibit::new(uri, cid, block)?.standing_as(standing).on(Footing::Claimed));
        Ok(())
    }

    fn document(&mut self, did: Did, document: Option<serde_json::Value>) -> Result<(), BundleError> {
        self.count_did()?;
        match document {
            Some(json) => self.evidence.put_document(did, Document::new(json), Origin::Claimed),
            None => self.evidence.put_unresolved(did),
        }
        Ok(())
    }

    fn partial(&mut self, check: &str, at: Option<u64>, of: Option<u64>) -> Result<(), BundleError> {
        let check = Check::from_text(check).ok_or_else(|| expected("partial", "names of checks"))?;
        let looked = at.zip(of).map(|(at, of)| Looked { at, of });
        self.evidence.put_partial(check, looked.ok_or_else(|| expected("partial", "two numbers"))?);
        Ok(())
    }

    fn proof(&mut self, uri: AtUri, car: Vec<u8>) -> Result<(), BundleError> {
        at_most("bytes of a proof", car.len(), limits::RECORD_PROOF_BYTES)?;
        self.proofs.insert(uri, car);
        at_most("proofs", self.proofs.len(), limits::BUNDLE_PROOFS)
    }

    fn drawn(&mut self, texts: [Option<&str>; 2], numbers: [Option<i64>; 2]) -> Result<(), BundleError> {
        self.drawn += 1;
        at_most("authorizations", self.drawn, limits::BUNDLE_DIDS)?;
        let ([Some(exchange), Some(authorization)], [Some(settlements), Some(amount)]) = (texts, numbers)
        else {
            return Err(expected("drawn", "an exchange, an authorization, settlements and an amount"));
        };
        let settlements = u64::try_from(settlements).map_err(|_| expected("drawn", "a count"))?;
        self.evidence.put_drawn(exchange, authorization, Drawn { settlements, amount });
        Ok(())
    }

    fn inactive(&mut self, did: Did) -> Result<(), BundleError> {
        self.count_did()?;
        self.evidence.put_inactive(did);
        Ok(())
    }

    fn count_did(&mut self) -> Result<(), BundleError> {
        self.dids += 1;
        at_most("dids", self.dids, limits::BUNDLE_DIDS)
    }

    fn finish(self) -> Bundle {
        Bundle { about: self.about, evidence: self.evidence, proofs: self.proofs }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bundle() -> Bundle {
        let uri =
            |rkey: &str| format!("at://did:web:ada.example/dev.cocore.compute.job/{rkey}").parse().unwrap();
        let mut evidence = Evidence::default();
        let mut put = |rkey: &str, block: &[u8], standing| {
            let exhibit = Exhibit::new(uri(rkey), Cid::of(block), block).unwrap().standing_as(standing);
            evidence.put(exhibit.on(Footing::Claimed));
        };
        // {"a": h'0102', "b": [null, true, -3]}
        put("a", b"\xa2\x61a\x42\x01\x02\x61b\x83\xf6\xf5\x22", Standing::Current);
        put("a", b"\xa0", Standing::Former);
        // A fraction, a map that reads like a link, and bytes that are no CBOR: JSON says none of them.
        put("b", b"\xa1\x61a\xfb\x3f\xf8\0\0\0\0\0\0", Standing::Current);
        put("c", b"\xa1\x65$link\x61x", Standing::Current);
        put("d", b"\xff", Standing::Current);
        let other = Exhibit::new(uri("e"), Cid::of(b"another"), *b"\xa0").unwrap();
        evidence.put(other.on(Footing::Claimed));
        evidence.put_unresolved("did:web:a.example".parse().unwrap());
        let json = serde_json::json!({"id": "did:web:b.example", "x": [1.5, {"y": null}]});
        evidence.put_document("did:web:b.example".parse().unwrap(), Document::new(json), Origin::Claimed);
        evidence.put_partial(Check::OnlyReceipt, Looked { at: 8, of: 700 });
        evidence.put_drawn("did:web:b.example", "at://x", Drawn { settlements: 3, amount: -4 });
        evidence.put_inactive("did:web:c.example".parse().unwrap());
        let mut bundle = Bundle::new(uri("a"), evidence);
        bundle.proofs.insert(uri("a"), b"a car".to_vec());
        bundle
    }

    #[test]
    fn whatever_vouched_for_it_before_is_lost_in_a_file() {
        let mut bundle = bundle();
        let claimed = bundle.clone();
        let exhibits: Vec<Exhibit> = bundle.evidence.exhibits().to_vec();
        exhibits.into_iter().for_each(|exhibit| bundle.evidence.put(exhibit.on(Footing::Proven)));
        let did: Did = "did:web:b.example".parse().unwrap();
        let document =
            bundle.evidence.documents().find_map(|(of, known)| (*of == did).then(|| known[0].1.clone()));
        bundle.evidence.put_document(did, document.unwrap(), Origin::Pinned);
        assert_ne!(bundle, claimed);
        assert_eq!(Bundle::read(bundle.to_json().as_bytes()).unwrap(), claimed);
        assert_eq!(Bundle::read(&bundle.to_car()).unwrap(), claimed);
    }

    #[test]
    fn both_forms_lead_back_to_the_same_evidence() {
        let bundle = bundle();
        assert_eq!(Bundle::read(bundle.to_json().as_bytes()).unwrap(), bundle);
        assert_eq!(Bundle::read(&bundle.to_car()).unwrap(), bundle);
        let again = Bundle::read(&bundle.to_car()).unwrap();
        assert_eq!((again.to_json(), again.to_car()), (bundle.to_json(), bundle.to_car()));
    }

    #[test]
    fn a_changed_byte_of_a_car_is_refused_or_is_other_evidence() {
        let bundle = bundle();
        let car = bundle.to_car();
        for at in 0..car.len() {
            let mut changed = car.clone();
            *changed.get_mut(at).unwrap() ^= 1;
            assert_ne!(Bundle::read(&changed).ok().as_ref(), Some(&bundle), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..400_usize) {
            prop_assert!(Bundle::read(&bytes).is_err());
            for file in [bundle().to_car(), bundle().to_json().into_bytes()] {
                let at = at % file.len();
                let mut changed = file.get(..at).unwrap().to_vec();
                changed.extend_from_slice(&bytes);
                changed.extend_from_slice(file.get(at..).unwrap());
                let _ = Bundle::read(&changed);
            }
        }
    }

    #[test]
    fn what_is_too_much_or_malformed_is_refused_by_name() {
        let refusal = |json: &str| Bundle::read(json.as_bytes()).unwrap_err().to_string();
        let record = r#"{"uri": "at://did:web:a.example/a.b.c/d", "cid": "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua", "body": {}}"#;
        let uri = "at://did:web:a.example/a.b.c/d";
        for (json, expected) in [
            ("{".to_owned(), "not json: EOF while parsing an object at line 1 column 1"),
            ("{}".to_owned(), "bundle: expected the version 1"),
            (r#"{"bundle": 2}"#.to_owned(), "bundle: expected the version 1"),
            (r#"{"bundle": 1, "about": "x"}"#.to_owned(), "about: expected an at uri"),
            (format!(r#"{{"bundle": 1, "about": "{uri}"}}"#), "records: expected a list"),
            (
                format!(r#"{{"bundle": 1, "about": "{uri}", "records": [7]}}"#),
                "records[0].uri: expected an at uri",
            ),
            (
                format!(r#"{{"bundle": 1, "about": "{uri}", "records": [{record}, {record}]}}"#),
                "at://did:web:a.example/a.b.c/d is there twice",
            ),
            (
                format!(
                    r#"{{"bundle": 1, "about": "{uri}", "records": [{}]}}"#,
                    record.replace("{}", "{\"a\": 1.5}")
                ),
                "records[0].body/a: numbers must be integers of 64 bits",
            ),
            (
                format!(r#"{{"bundle": 1, "about": "{uri}", "records": [], "documents": {{"x": null}}}}"#),
                "documents: expected dids",
            ),
        ] {
            assert_eq!(refusal(&json), expected);
        }
        let long = vec![b' '; limits::BUNDLE_BYTES + 1];
        assert!(matches!(Bundle::read(&long), Err(BundleError::TooMuch { what: "bytes", .. })));
        let many: Vec<String> = (0..=limits::BUNDLE_RECORDS)
            .map(|number| record.replace("/d\"", &format!("/{number}\"")))
            .collect();
        let many = format!(r#"{{"bundle": 1, "about": "{uri}", "records": [{}]}}"#, many.join(","));
        assert_eq!(refusal(&many), "expected at most 2048 records, found 2049");
    }
}
