//! A bundle for people: `{bundle, about, records, documents, inactive, partial?, drawn?, proofs?}`.
//!
//! A record is `{uri, cid, body}`, its body as the AT data model writes JSON: the block is made of it again, and hashes to the
//! CID or does not. What that JSON cannot say (a fraction, bytes that are no record) stands as base64 in `block` instead.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::{Bundle, BundleError, Reading, VERSION, at_most, expected};
use crate::block::json::{json_to_cbor, to_json, write_text};
use crate::limits;
use crate::trust::evidence::{Drawn, Looked};
use crate::trust::exhibit::{Exhibit, Standing};

pub(super) fn read(file: &[u8]) -> Result<Bundle, BundleError> {
    let json: Json =
        serde_json::from_slice(file).map_err(|error| BundleError::NotJson { reason: error.to_string() })?;
    if json.get("bundle").and_then(Json::as_i64) != Some(VERSION) {
        return Err(expected("bundle", "the version 1"));
    }
    let mut reading = Reading::new(json.get("about").and_then(Json::as_str))?;
    let records =
        json.get("records").and_then(Json::as_array).ok_or_else(|| expected("records", "a list"))?;
    at_most("records", records.len(), limits::BUNDLE_RECORDS)?;
    for (index, record) in records.iter().enumerate() {
        read_record(&mut reading, &format!("records[{index}]"), record)?;
    }
    for (did, document) in json.get("documents").and_then(Json::as_object).into_iter().flatten() {
        let did = did.parse().map_err(|_| expected("documents", "dids"))?;
        at_most("bytes of a document", document.to_string().len(), limits::DID_DOCUMENT_BYTES)?;
        reading.document(did, Some(document.clone()).filter(|document| !document.is_null()))?;
    }
    for did in json.get("inactive").and_then(Json::as_array).into_iter().flatten() {
        let did = did.as_str().and_then(|did| did.parse().ok());
        reading.inactive(did.ok_or_else(|| expected("inactive", "dids"))?)?;
    }
    for (check, looked) in json.get("partial").and_then(Json::as_object).into_iter().flatten() {
        let count = |member: &str| looked.get(member).and_then(Json::as_u64);
        reading.partial(check, count("looked"), count("of"))?;
    }
    for drawn in json.get("drawn").and_then(Json::as_array).into_iter().flatten() {
        let text = |member: &str| drawn.get(member).and_then(Json::as_str);
        let number = |member: &str| drawn.get(member).and_then(Json::as_i64);
        let numbers = ["settlements", "amount"].map(number);
        reading.drawn(["exchange", "authorization"].map(text), numbers)?;
    }
    for (uri, car) in json.get("proofs").and_then(Json::as_object).into_iter().flatten() {
        let uri = uri.parse().map_err(|_| expected("proofs", "at uris"))?;
        let car = car.as_str().and_then(|car| STANDARD.decode(car).ok());
        reading.proof(uri, car.ok_or_else(|| expected("proofs", "base64"))?)?;
    }
    Ok(reading.finish())
}

fn read_record(reading: &mut Reading, place: &str, record: &Json) -> Result<(), BundleError> {
    let text = |member: &str| record.get(member).and_then(Json::as_str);
    let uri = text("uri").and_then(|uri| uri.parse().ok());
    let uri = uri.ok_or_else(|| expected(format!("{place}.uri"), "an at uri"))?;
    let cid = text("cid").and_then(|cid| cid.parse().ok());
    let cid = cid.ok_or_else(|| expected(format!("{place}.cid"), "a cid"))?;
    let block = match (record.get("body"), text("block")) {
        (Some(body), None) => {
            json_to_cbor(body).map_err(|error| BundleError::Body { place: format!("{place}.body"), error })?
        }
        (None, Some(block)) => {
            STANDARD.decode(block).map_err(|_| expected(format!("{place}.block"), "base64"))?
        }
        _ => return Err(expected(place, "either a body or a block")),
    };
    let is_former = record.get("former").and_then(Json::as_bool) == Some(true);
    reading.record(uri, cid, block, if is_former { Standing::Former } else { Standing::Current })
}

pub(super) fn write(bundle: &Bundle) -> String {
    let mut out = format!("{{\n\"bundle\": {VERSION},\n\"about\": ");
    write_text(&mut out, bundle.about.as_str());
    out.push_str(",\n\"records\": [");
    list(&mut out, bundle.evidence.exhibits().iter(), write_record);
    out.push_str("],\n\"documents\": {");
    list(&mut out, bundle.evidence.documents(), |out, (did, known)| {
        write_text(out, did.as_str());
        out.push_str(": ");
        let best = known.first().map(|(_, document)| document.json().to_string());
        out.push_str(best.as_deref().unwrap_or("null"));
    });
    out.push_str("},\n\"inactive\": [");
    list(&mut out, bundle.evidence.inactive(), |out, did| write_text(out, did.as_str()));
    out.push(']');
    let (partial, drawn) = (bundle.evidence.partial(), bundle.evidence.drawn());
    if partial.len() > 0 {
        out.push_str(",\n\"partial\": {");
        list(&mut out, partial, |out, (check, Looked { at, of })| {
            out.push_str(&format!("\"{check}\": {{\"looked\": {at}, \"of\": {of}}}"));
        });
        out.push('}');
    }
    if drawn.len() > 0 {
        out.push_str(",\n\"drawn\": [");
        list(&mut out, drawn, |out, (exchange, authorization, Drawn { settlements, amount })| {
            out.push_str("{\"exchange\": ");
            write_text(out, exchange);
            out.push_str(", \"authorization\": ");
            write_text(out, authorization);
            out.push_str(&format!(", \"settlements\": {settlements}, \"amount\": {amount}}}"));
        });
        out.push(']');
    }
    if !bundle.proofs.is_empty() {
        out.push_str(",\n\"proofs\": {");
        list(&mut out, bundle.proofs.iter(), |out, (uri, car)| {
            write_text(out, uri.as_str());
            out.push_str(": ");
            write_text(out, &STANDARD.encode(car));
        });
        out.push('}');
    }
    out.push_str("\n}\n");
    out
}

/// Writes items a line each.
fn list<T>(out: &mut String, items: impl ExactSizeIterator<Item = T>, mut write: impl FnMut(&mut String, T)) {
    let last = items.len();
    for (index, item) in items.enumerate() {
        out.push_str("\n  ");
        write(out, item);
        out.push_str(if index + 1 < last { "," } else { "\n" });
    }
}

fn write_record(out: &mut String, exhibit: &Exhibit) {
    out.push_str("{\"uri\": ");
    write_text(out, exhibit.uri().as_str());
    out.push_str(", \"cid\": ");
    write_text(out, &exhibit.cid().to_string());
    if exhibit.standing() == Standing::Former {
        out.push_str(", \"former\": true");
    }
    match body(exhibit) {
        Some(body) => {
            out.push_str(", \"body\": ");
            out.push_str(&body);
        }
        None => {
            out.push_str(", \"block\": ");
            write_text(out, &STANDARD.encode(exhibit.block()));
        }
    }
    out.push('}');
}

/// A block as JSON, if the same block can be made of it again.
fn body(exhibit: &Exhibit) -> Option<String> {
    let json = to_json(exhibit.block()).ok()?;
    let again = json_to_cbor(&serde_json::from_str(&json).ok()?).ok()?;
    (again == exhibit.block()).then_some(json)
}
