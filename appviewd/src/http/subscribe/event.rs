//! An event of the feed as Jetstream's first version writes it.

use std::fmt::Write as _;

use appview_core::block::BlockError;
use appview_core::index::FeedSeq;
use appview_core::query::{FeedEvent, RecordView};
use appview_core::sync::Hosting;
use appview_core::syntax::{Datetime, Did, Tid};

/// The status of an account without one of Jetstream's words is left out; this one is what a repository is called that
/// has to be proven before it is shown.
const RETURNING: &str = "desynchronized";

/// An event as one line of JSON.
///
/// # Errors
///
/// None for what the feed gives: a block that is no value of the data model is quarantined, and not served.
pub(super) fn json(event: &FeedEvent) -> Result<String, BlockError> {
    let mut out = String::new();
    match event {
        FeedEvent::Created { seq, rev, record } => put(&mut out, *seq, *rev, "create", record)?,
        FeedEvent::Updated { seq, rev, record } => put(&mut out, *seq, *rev, "update", record)?,
        FeedEvent::Deleted { seq, rev, did, collection, rkey } => {
            begin(&mut out, *seq, did, "commit");
            append(
                &mut out,
                format_args!(
                    r#"{{"rev":"{rev}","operation":"delete","collection":"{collection}","rkey":"{rkey}"}}}}"#
                ),
            );
        }
        FeedEvent::Shown { seq, did } => account(&mut out, *seq, did, true, None),
        FeedEvent::Hidden { seq, did, hosting } => {
            let status = match hosting {
                Hosting::Returning => Some(RETURNING),
                Hosting::Active | Hosting::Inactive => None,
                Hosting::Takendown | Hosting::Suspended | Hosting::Deactivated | Hosting::Deleted => {
                    Some(hosting.as_str())
                }
            };
            account(&mut out, *seq, did, false, status);
        }
        // The one word at which clients remove what they have, whatever the account is called elsewhere.
        FeedEvent::Erased { seq, did } => {
            account(&mut out, *seq, did, false, Some(Hosting::Deleted.as_str()));
        }
    }
    Ok(out)
}

fn put(
    out: &mut String,
    seq: FeedSeq,
    rev: Tid,
    operation: &str,
    record: &RecordView,
) -> Result<(), BlockError> {
    out.reserve(record.block.len().saturating_mul(3) / 2 + 400);
    let RecordView { repo, collection, rkey, cid, .. } = record;
    begin(out, seq, repo, "commit");
    append(
        out,
        format_args!(
            r#"{{"rev":"{rev}","operation":"{operation}","collection":"{collection}","rkey":"{rkey}","record":"#
        ),
    );
    record.write_body(out)?;
    append(out, format_args!(r#","cid":"{cid}"}}}}"#));
    Ok(())
}

/// `seq` and `time` are an upstream relay's on a Jetstream; here they are the event's own.
fn account(out: &mut String, seq: FeedSeq, did: &Did, active: bool, status: Option<&str>) {
    begin(out, seq, did, "account");
    append(out, format_args!(r#"{{"active":{active},"did":"{did}","seq":{seq}"#));
    if let Some(status) = status {
        append(out, format_args!(r#","status":"{status}""#));
    }
    let time = Datetime::from_unix_micros(seq.micros().cast_signed());
    let time = time.as_ref().map_or("9999-12-31T23:59:59.999Z", Datetime::as_str);
    append(out, format_args!(r#","time":"{time}"}}}}"#));
}

fn begin(out: &mut String, seq: FeedSeq, did: &Did, kind: &str) {
    append(out, format_args!(r#"{{"did":"{did}","time_us":{seq},"kind":"{kind}","{kind}":"#));
}

/// For names of the protocol, none of which has a character that JSON would escape.
fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}
