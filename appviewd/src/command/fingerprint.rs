//! `fingerprint`: one hash for all that the index holds, or one for each part of it.

use std::fmt::Display;
use std::io::Write;

use anyhow::Result;
use appview_core::query::{FingerprintOf, Limit, Page, PageCursor, QueryError, Scope};
use serde_json::json;

use super::existing;
use crate::config::{DataDir, FingerprintBy, Format};

/// Prints the hex alone, or a line for each collection or repository.
///
/// # Errors
///
/// There is no index, or it cannot be read.
pub fn run(by: Option<FingerprintBy>, data: &DataDir, format: Format) -> Result<()> {
    let index = existing(data)?.reader()?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match by {
        None => {
            let whole = index.fingerprint(&Scope::Whole)?.to_string();
            let line = if format.json { json!({"fingerprint": whole}).to_string() } else { whole };
            writeln!(out, "{line}")?;
        }
        Some(FingerprintBy::Collection) => {
            table(&mut out, format, |limit, cursor| index.fingerprints_by_collection(limit, cursor))?;
        }
        Some(FingerprintBy::Repo) => {
            table(&mut out, format, |limit, cursor| index.fingerprints_by_repo(limit, cursor))?;
        }
    }
    Ok(out.flush()?)
}

/// Writes all pages of a list, a line each.
fn table<T: Display>(
    out: &mut impl Write,
    format: Format,
    page: impl Fn(Limit, Option<&PageCursor>) -> Result<Page<FingerprintOf<T>>, QueryError>,
) -> Result<()> {
    let mut cursor = None;
    loop {
        let Page { items, cursor: next } = page(Limit::MAX, cursor.as_ref())?;
        for FingerprintOf { of, fingerprint, records } in items {
            let (of, fingerprint, records) = (of.to_string(), fingerprint.to_string(), records.total());
            if format.json {
                writeln!(out, "{}", json!({"of": of, "records": records, "fingerprint": fingerprint}))?;
            } else {
                writeln!(out, "{fingerprint}  {records:>8}  {of}")?;
            }
        }
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}
