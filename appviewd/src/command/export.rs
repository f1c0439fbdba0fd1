//! `export`: every record as NDJSON, sorted by uri.

use std::io::Write as _;

use anyhow::{Error, Result};
use appview_core::block::json::write_text;
use appview_core::query::{ExportFilter, RecordView};
use appview_core::syntax::{Did, Nsid};

use super::existing;
use crate::config::DataDir;
use crate::progress::Progress;

/// Writes the records of the given collections and repositories, all of them where none is given.
///
/// # Errors
///
/// There is no index, it cannot be read, or standard output is gone.
pub fn run(collections: &[Nsid], repos: &[Did], data: &DataDir) -> Result<()> {
    let index = existing(data)?.reader()?;
    let mut out = std::io::BufWriter::with_capacity(256 * 1024, std::io::stdout().lock());
    let mut progress = Progress::start("exported", "records", None);
    let (mut exported, mut line) = (0, String::new());
    let filter = ExportFilter { repos: repos.to_vec(), collections: collections.to_vec() };
    index.export(&filter, |record| {
        line.clear();
        write_line(&mut line, &record);
        out.write_all(line.as_bytes())?;
        exported += 1;
        progress.tell(exported, String::new);
        Ok::<_, Error>(())
    })?;
    out.flush()?;
    progress.finish(exported, "");
    if exported == 0 && !(collections.is_empty() && repos.is_empty()) {
        eprintln!(
            "appviewd: nothing matches; `appviewd fingerprint --by collection` (or `--by repo`) lists what there is"
        );
    }
    Ok(())
}

/// `{uri, cid, collection, repo, rkey, verdict, body}`; the body is null where the block is not of the data model.
fn write_line(line: &mut String, record: &RecordView) {
    let cid = record.cid.to_string();
    let uri = record.uri();
    for (name, value) in [
        ("uri", uri.as_str()),
        ("cid", &cid),
        ("collection", record.collection.as_str()),
        ("repo", record.repo.as_str()),
        ("rkey", record.rkey.as_str()),
        ("verdict", record.verdict.name()),
    ] {
        line.push(if line.is_empty() { '{' } else { ',' });
        write_text(line, name);
        line.push(':');
        write_text(line, value);
    }
    line.push_str(",\"body\":");
    let body = line.len();
    if record.write_body(line).is_err() {
        line.truncate(body);
        line.push_str("null");
    }
    line.push_str("}\n");
}
