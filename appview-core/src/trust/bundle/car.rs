//! A bundle for machines: a CAR whose root names the records, whose blocks follow it.
//!
//! The root is `{about, bundle, documents, drawn?, inactive, partial?, proofs?, records}`, a record of it `{uri, cid, block, former?}` with two links,
//! which differ where a record was found under a CID that is not its own. A document is the bytes of its JSON, or null.

use super::{Bundle, BundleError, Reading, VERSION, at_most, expected};
use crate::block::car::{self, Slice};
use crate::block::{Cid, Map, Value, cbor};
use crate::limits;
use crate::trust::evidence::Looked;
use crate::trust::exhibit::Standing;

pub(super) fn read(file: &[u8]) -> Result<Bundle, BundleError> {
    let blocks = Slice::parse(file)?;
    let root = blocks.roots().first().and_then(|root| blocks.get(root));
    let root = cbor::decode(root.ok_or_else(|| expected("the root", "a block"))?)?;
    let root = root.as_map().ok_or_else(|| expected("the root", "a map"))?;
    if root.integer("bundle") != Some(VERSION) {
        return Err(expected("bundle", "the version 1"));
    }
    let mut reading = Reading::new(root.text("about"))?;
    for (index, record) in list(root, "records")?.iter().enumerate() {
        read_record(&mut reading, &blocks, &format!("records[{index}]"), record)?;
    }
    for document in list(root, "documents")? {
        let did = document.as_map().and_then(|document| document.text("did")?.parse().ok());
        let did = did.ok_or_else(|| expected("documents", "dids"))?;
        let json = match document.as_map().and_then(|document| document.get("json")) {
            Some(Value::Bytes(json)) => {
                at_most("bytes of a document", json.len(), limits::DID_DOCUMENT_BYTES)?;
                Some(serde_json::from_slice(json).map_err(|_| expected("documents", "json"))?)
            }
            Some(Value::Null) => None,
            _ => return Err(expected("documents", "bytes or null")),
        };
        reading.document(did, json)?;
    }
    for did in list(root, "inactive")? {
        let did = did.as_text().and_then(|did| did.parse().ok());
        reading.inactive(did.ok_or_else(|| expected("inactive", "dids"))?)?;
    }
    for looked in optional(root, "partial")? {
        let count = |member: &str| u64::try_from(looked.as_map()?.integer(member)?).ok();
        let check = looked.as_map().and_then(|looked| looked.text("check")).unwrap_or_default();
        reading.partial(check, count("looked"), count("of"))?;
    }
    for drawn in optional(root, "drawn")? {
        let text = |member: &str| drawn.as_map()?.text(member);
        let number = |member: &str| drawn.as_map()?.integer(member);
        let numbers = ["settlements", "amount"].map(number);
        reading.drawn(["exchange", "authorization"].map(text), numbers)?;
    }
    for proof in optional(root, "proofs")? {
        let uri = proof.as_map().and_then(|proof| proof.text("uri")?.parse().ok());
        let uri = uri.ok_or_else(|| expected("proofs", "at uris"))?;
        match proof.as_map().and_then(|proof| proof.get("car")) {
            Some(Value::Bytes(car)) => reading.proof(uri, car.to_vec())?,
            _ => return Err(expected("proofs", "bytes")),
        }
    }
    Ok(reading.finish())
}

fn optional<'m, 'a>(root: &'m Map<'a>, member: &str) -> Result<&'m [Value<'a>], BundleError> {
    if root.get(member).is_some() { list(root, member) } else { Ok(&[]) }
}

fn list<'m, 'a>(root: &'m Map<'a>, member: &str) -> Result<&'m [Value<'a>], BundleError> {
    match root.get(member) {
        Some(Value::List(items)) => Ok(items),
        _ => Err(expected(member, "a list")),
    }
}

fn read_record(
    reading: &mut Reading,
    blocks: &Slice<'_>,
    place: &str,
    record: &Value<'_>,
) -> Result<(), BundleError> {
    let link = |member: &str| match record.as_map()?.get(member)? {
        Value::Link(cid) => Some(*cid),
        _ => None,
    };
    let uri = record.as_map().and_then(|record| record.text("uri")?.parse().ok());
    let uri = uri.ok_or_else(|| expected(format!("{place}.uri"), "an at uri"))?;
    let cid = link("cid").ok_or_else(|| expected(format!("{place}.cid"), "a link"))?;
    let block = link("block").and_then(|cid| blocks.get(&cid));
    let block = block.ok_or_else(|| expected(format!("{place}.block"), "a link to a block"))?;
    let is_former = record.as_map().and_then(|record| record.get("former")?.as_bool()) == Some(true);
    let standing = if is_former { Standing::Former } else { Standing::Current };
    reading.record(uri, cid, block.to_vec(), standing)
}

pub(super) fn write(bundle: &Bundle) -> Vec<u8> {
    let exhibits = bundle.evidence.exhibits();
    let records = exhibits.iter().map(|exhibit| {
        let mut members = vec![
            ("uri", Value::Text(exhibit.uri().as_str())),
            ("cid", Value::Link(exhibit.cid())),
            ("block", Value::Link(Cid::of(exhibit.block()))),
        ];
        if exhibit.standing() == Standing::Former {
            members.push(("former", Value::Bool(true)));
        }
        Value::Map(Map::from_entries(members))
    });
    let documents: Vec<(&str, Option<String>)> = bundle
        .evidence
        .documents()
        .map(|(did, known)| (did.as_str(), known.first().map(|(_, document)| document.json().to_string())))
        .collect();
    let documents = documents.iter().map(|(did, json)| {
        let json = json.as_ref().map_or(Value::Null, |json| Value::Bytes(json.as_bytes()));
        Value::Map(Map::from_entries(vec![("did", Value::Text(did)), ("json", json)]))
    });
    let inactive = bundle.evidence.inactive().map(|did| Value::Text(did.as_str()));
    let count = |count: u64| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let partial = bundle.evidence.partial().map(|(check, Looked { at, of })| {
        let (looked, of) = (count(at), count(of));
        Value::Map(Map::from_entries(vec![
            ("check", Value::Text(check.as_str())),
            ("looked", looked),
            ("of", of),
        ]))
    });
    let partial: Vec<Value<'_>> = partial.collect();
    let drawn = bundle.evidence.drawn().map(|(exchange, authorization, drawn)| {
        Value::Map(Map::from_entries(vec![
            ("exchange", Value::Text(exchange)),
            ("authorization", Value::Text(authorization)),
            ("settlements", count(drawn.settlements)),
            ("amount", Value::Integer(drawn.amount)),
        ]))
    });
    let drawn: Vec<Value<'_>> = drawn.collect();
    let mut members = vec![
        ("bundle", Value::Integer(VERSION)),
        ("about", Value::Text(bundle.about.as_str())),
        ("records", Value::List(records.collect())),
        ("documents", Value::List(documents.collect())),
        ("inactive", Value::List(inactive.collect())),
    ];
    let proofs = bundle.proofs.iter().map(|(uri, car)| {
        Value::Map(Map::from_entries(vec![("uri", Value::Text(uri.as_str())), ("car", Value::Bytes(car))]))
    });
    let proofs: Vec<Value<'_>> = proofs.collect();
    for (member, items) in [("partial", partial), ("drawn", drawn), ("proofs", proofs)] {
        if !items.is_empty() {
            members.push((member, Value::List(items)));
        }
    }
    let root = cbor::encode(&Value::Map(Map::from_entries(members)));
    let address = Cid::of(&root);
    let blocks = exhibits.iter().map(|exhibit| (Cid::of(exhibit.block()), exhibit.block()));
    car::write(&address, std::iter::once((address, root.as_slice())).chain(blocks))
}
