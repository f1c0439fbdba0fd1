//! All that is held of a person, for that person: `dev.cocore.appview.exportMyData`.
//!
//! A DID enters; one JSON object leaves, bit by bit, however long it is. What opens a door is not in it: no hash of a key, no token, no
//! cookie. What is in the person's own repository they get from their own PDS, without us; where, the object says. Deliberately
//! absent: who may ask.

use std::io::Write;

use appview_core::index::{Index, IndexReader};
use appview_core::query::RecordView;
use appview_core::syntax::Did;
use base64::write::EncoderWriter;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{WipeError, WipeView};
use crate::account::{AccountStore, Entry, KeyOf, KeyView, Shown, datetime};

/// Entries of the audit list that are read at a time.
const PAGE: u32 = 1_000;

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Something of ours is of no use at this moment.
    #[error(transparent)]
    Wipe(#[from] WipeError),
    /// Whoever asked is gone, or the file of a report cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<crate::account::AccountError> for ExportError {
    fn from(error: crate::account::AccountError) -> Self {
        Self::Wipe(error.into())
    }
}

impl From<appview_core::index::IndexError> for ExportError {
    fn from(error: appview_core::index::IndexError) -> Self {
        Self::Wipe(error.into())
    }
}

/// Where a person's own repository is to be had, without us: an export that proves itself.
#[must_use]
pub fn repository_url(pds: &str, did: &Did) -> String {
    format!("{pds}/xrpc/com.atproto.sync.getRepo?did={did}")
}

/// Writes all that is held of a person as one JSON object. Waits for the disk.
///
/// # Errors
///
/// [`ExportError`]; what was written by then is no whole object.
pub fn write_all(
    store: &AccountStore,
    index: &Index,
    did: &Did,
    pds: Option<&str>,
    now: u64,
    out: &mut impl Write,
) -> Result<(), ExportError> {
    let held = store.holdings(did)?;
    let keys: Vec<KeyView> = store.keys(KeyOf::Person(did))?.into_iter().map(KeyView::from).collect();
    let wipe = store.wipe(did)?.as_ref().map(WipeView::of);
    let exclusion = store.exclusion(did)?.map(|exclusion| {
        json!({
            "at": datetime(exclusion.at),
            "rev": exclusion.rev.map(|rev| rev.to_string()),
            "leftOut": exclusion.shown == Shown::Nothing,
        })
    });
    write!(out, "{{\"did\":{},\"exportedAt\":{}", text(did.as_str()), text(&datetime(now)))?;
    member(out, "repository", &pds.map(|pds| repository_url(pds, did)))?;
    member(out, "keys", &keys)?;
    member(out, "session", &held.session.map(|session| {
        json!({"signedInAt": datetime(session.signed_in_at), "changedAt": datetime(session.changed_at), "state": session.state})
    }))?;
    let since = |from: u64, until: u64| json!({"since": datetime(from), "until": datetime(until)});
    let browsers: Vec<Json> =
        held.browsers.iter().map(|browser| since(browser.since, browser.until)).collect();
    member(out, "browsers", &browsers)?;
    let pairings: Vec<Json> = held
        .pairings
        .iter()
        .map(|pairing| json!({"startedAt": datetime(pairing.created_at), "state": pairing.state}))
        .collect();
    member(out, "pairings", &pairings)?;
    member(out, "revocations", &held.revocations)?;
    member(out, "wipe", &wipe)?;
    member(out, "exclusion", &exclusion)?;
    write!(out, ",\"audit\":[")?;
    write_audit(store, did, out)?;
    write!(out, "],\"bugReports\":[")?;
    for (at, report) in held.reports.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let (ticket, sent) = (text(&report.ticket), text(&datetime(report.created_at)));
        write!(out, "{comma}{{\"ticket\":{ticket},\"sentAt\":{sent},\"content\":")?;
        match std::fs::File::open(&report.path) {
            Ok(mut file) => {
                write!(out, "\"")?;
                let mut encoder = EncoderWriter::new(&mut *out, &base64::engine::general_purpose::STANDARD);
                std::io::copy(&mut file, &mut encoder)?;
                encoder.finish()?;
                drop(encoder);
                write!(out, "\"}}")?;
            }
            // Its row was written, and the process ended before its file was.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => write!(out, "null}}")?,
            Err(error) => return Err(error.into()),
        }
    }
    let reader = index.reader()?;
    let hosting = reader.repo_state(did)?.map(|state| state.hosting.as_str());
    write!(out, "]")?;
    member(out, "hosting", &hosting)?;
    write!(out, ",\"records\":[")?;
    write_records(&reader, did, out)?;
    write!(out, "]}}")?;
    Ok(out.flush()?)
}

fn write_audit(store: &AccountStore, did: &Did, out: &mut impl Write) -> Result<(), ExportError> {
    let (mut after, mut is_first) = (None, true);
    loop {
        let (entries, next) = store.audit(did, PAGE, after)?;
        for Entry { at, action, actor, subject } in entries {
            let entry = json!({"at": datetime(at), "action": action.word(), "by": actor.to_string(), "subject": subject});
            write!(out, "{}{entry}", if is_first { "" } else { "," })?;
            is_first = false;
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Records are held of a hidden account as well, until they are erased.
fn write_records(reader: &IndexReader, did: &Did, out: &mut impl Write) -> Result<(), ExportError> {
    let (mut body, mut is_first) = (String::new(), true);
    reader.export_held(did, |record: RecordView| {
        body.clear();
        if record.write_body(&mut body).is_err() {
            body.clear();
            body.push_str("null");
        }
        let (uri, cid) = (text(record.uri().as_str()), text(&record.cid.to_string()));
        let verdict = text(record.verdict.name());
        let comma = if is_first { "" } else { "," };
        is_first = false;
        write!(out, "{comma}{{\"uri\":{uri},\"cid\":{cid},\"verdict\":{verdict},\"value\":{body}}}")?;
        Ok::<_, ExportError>(())
    })
}

fn member(out: &mut impl Write, name: &str, value: &impl Serialize) -> std::io::Result<()> {
    write!(out, ",{}:", text(name))?;
    Ok(serde_json::to_writer(out, value)?)
}

fn text(text: &str) -> Json {
    Json::String(text.to_owned())
}
