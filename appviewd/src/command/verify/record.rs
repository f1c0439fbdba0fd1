//! `verify record`: whether a repository holds a record, by a proof in a file and the key of the account.
//!
//! A CAR enters, or an answer of `getRecord` with one in it; what it proves leaves. Nothing in the file is believed about who
//! signs: that is said on the command line, or by the account's DID document.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use appview_core::block::{Cid, json};
use appview_core::repo::Identity;
use appview_core::source::directory::Directory;
use appview_core::source::http::Http;
use appview_core::source::now;
use appview_core::source::turns::Politeness;
use appview_core::sync::verify::verify_record;
use appview_core::sync::{Freshness, RecordChange};
use appview_core::syntax::{Did, RepoPath};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value as Json, json};

use super::super::{identities, outside};
use super::{MISSING, NOT_OK};
use crate::config::ByProof;

/// Checks a proof, and prints what it shows.
///
/// # Errors
///
/// The address is no record's, the file cannot be read, or nobody tells who signs for the account.
pub(super) fn run(asked: &ByProof) -> Result<ExitCode> {
    let (did, path) = asked_for(asked)?;
    let car = read(&asked.proof)?;
    let identity = signer(&did, asked)?;
    let told = match verify_record(&car, &path, &identity, now()) {
        Ok(proven) => {
            let (rev, key) = (proven.head().rev.to_string(), identity.key().to_string());
            match proven.change() {
                RecordChange::Put { cid, block, .. } => {
                    Told::Held { rev, key, cid: *cid, block: block.to_vec() }
                }
                RecordChange::Delete { .. } => Told::NotHeld { rev, key },
            }
        }
        Err(error) => Told::Unproven { key: identity.key().to_string(), why: error.to_string() },
    };
    let mut out = std::io::stdout().lock();
    if asked.format.json {
        writeln!(out, "{}", told.json(asked.uri.as_str()))?;
    } else {
        out.write_all(told.text(asked.uri.as_str()).as_bytes())?;
    }
    Ok(match told {
        Told::Held { .. } => ExitCode::SUCCESS,
        Told::NotHeld { .. } => ExitCode::from(MISSING),
        Told::Unproven { .. } => ExitCode::from(NOT_OK),
    })
}

/// What a proof shows.
enum Told {
    /// The repository holds the record at a revision.
    Held { rev: String, key: String, cid: Cid, block: Vec<u8> },
    /// It holds none at this path.
    NotHeld { rev: String, key: String },
    /// Nothing.
    Unproven { key: String, why: String },
}

impl Told {
    fn text(&self, uri: &str) -> String {
        match self {
            Self::Held { rev, key, cid, block } => format!(
                "record is proven: its repository holds it at revision {rev}\n\nrecord {uri}\n  version {cid}\n  signed  by {key}\n    \
                 ok     the commit of its repository is signed by this key\n    ok     the tree of the commit holds this version at \
                 this path\n    ok     every block is what its hash says\n  body    {}\n",
                body(block)
            ),
            Self::NotHeld { rev, key } => format!(
                "record is NOT there: its repository holds nothing at this path at revision {rev}\n\nrecord {uri}\n  signed  by \
                 {key}\n    ok     the commit of its repository is signed by this key\n    ok     the tree of the commit ends where the \
                 record would be\n"
            ),
            Self::Unproven { key, why } => format!(
                "record is NOT proven\n\nrecord {uri}\n  signed  by nobody who can be told\n    ERROR  for {key}: {why}\n"
            ),
        }
    }

    fn json(&self, uri: &str) -> Json {
        match self {
            Self::Held { rev, key, cid, block } => {
                let body: Json = serde_json::from_str(&body(block)).unwrap_or_default();
                json!({"ok": true, "uri": uri, "cid": cid.to_string(), "rev": rev, "key": key, "body": body})
            }
            Self::NotHeld { rev, key } => {
                json!({"ok": false, "uri": uri, "cid": null, "rev": rev, "key": key})
            }
            Self::Unproven { key, why } => json!({"ok": false, "uri": uri, "key": key, "error": why}),
        }
    }
}

/// The record as JSON; null if its block is none of the data model.
fn body(block: &[u8]) -> String {
    json::to_json(block).unwrap_or_else(|_| "null".to_owned())
}

fn asked_for(asked: &ByProof) -> Result<(Did, RepoPath)> {
    let uri = &asked.uri;
    let expected =
        || format!("expected the address of a record, with a DID, a collection and a key, found {uri}");
    let did = uri.authority().parse().with_context(expected)?;
    let (Some(collection), Some(rkey)) = (uri.collection(), uri.rkey()) else { bail!(expected()) };
    let path = format!("{collection}/{rkey}").parse().with_context(expected)?;
    Ok((did, path))
}

/// The CAR in a file.
fn read(file: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    // A CAR begins with the length of its header, which is no such character.
    if bytes.first() != Some(&b'{') {
        return Ok(bytes);
    }
    let without =
        || format!("{} is an answer without a proof; ask getRecord with proof=true", file.display());
    let answer: Json = serde_json::from_slice(&bytes).with_context(|| file.display().to_string())?;
    let car = answer.pointer("/proof/car/$bytes").and_then(Json::as_str).with_context(without)?;
    STANDARD_NO_PAD.decode(car).with_context(without)
}

/// Who signs for the account, by whatever was given, or else by whoever knows.
fn signer(did: &Did, asked: &ByProof) -> Result<Arc<Identity>> {
    if let Some(key) = &asked.key {
        let key = key.to_string();
        let multikey = key.strip_prefix("did:key:").unwrap_or(&key);
        let method = json!({
            "id": format!("{did}#atproto"), "type": "Multikey", "controller": did, "publicKeyMultibase": multikey,
        });
        return Ok(Arc::new(Identity::from_document(
            did,
            &json!({"id": did, "verificationMethod": [method]}),
        )?));
    }
    if let Some(file) = &asked.identities {
        let known = identities(file)?;
        return known.get(did.as_str()).cloned().with_context(|| {
            format!("{} does not say who signs for {did}; name the key with --key", file.display())
        });
    }
    let outside = outside(&asked.network)?;
    let http = Http::new(&outside, Politeness::default());
    let directory = Directory::new(http, outside.clock.clone(), asked.network.plc.as_str());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let resolved = runtime.block_on(directory.resolve(did, Freshness::Fresh));
    resolved
        .with_context(|| format!("cannot tell who signs for {did}; name the key with --key, or --identities"))
}
