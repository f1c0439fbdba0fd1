//! When a record was made, as far as it tells.

use super::Collection;
use crate::block::Map;
use crate::syntax::{Tid, datetime_unix_micros};

/// Members that tell when a record was made, the best first.
const TIMES: [&str; 6] = ["createdAt", "completedAt", "settledAt", "attestedAt", "acceptedAt", "updatedAt"];

/// When a record was made, in microseconds since 1970; 0 if it does not tell.
///
/// Of a receipt that is when the work was completed, as it says. Of all others, and of a receipt that does not say, it is
/// the time in the key if that is a TID, else the record's own `createdAt` or its like. What is earlier than 1970 or later
/// than any TID, in the year 2255, is brought into that range. An author may claim any of these: it is no proof, but a
/// function of the record alone, so that any two indexes agree on it.
#[must_use]
pub fn moment(nsid: &str, rkey: &str, members: Option<&Map<'_>>) -> i64 {
    let completed = match nsid == Collection::Receipt.nsid() {
        true => members.and_then(|members| told(members, "completedAt")),
        false => None,
    };
    completed
        .or_else(|| in_key(rkey))
        .or_else(|| TIMES.into_iter().find_map(|name| told(members?, name)))
        .unwrap_or(0)
}

/// The time in a record key that is a TID.
fn in_key(rkey: &str) -> Option<i64> {
    // 53 bits.
    rkey.parse::<Tid>().ok().map(|tid| tid.micros().cast_signed())
}

/// The time that a member tells.
fn told(members: &Map<'_>, name: &str) -> Option<i64> {
    let micros = datetime_unix_micros(members.text(name)?).ok()?;
    Some(micros.clamp(0, Tid::LAST_MICROS.cast_signed()))
}
