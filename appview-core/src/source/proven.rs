//! What a bundle proves of its own records.
//!
//! A bundle with proofs and the identities of those whose repositories they are of enter; the records that are proven are put
//! on that footing. An identity must come from somewhere else than the file: whoever writes one would choose the keys in it.
//! Deliberately absent: finding out who signs.

use std::collections::BTreeMap;

use crate::repo::Identity;
use crate::sync::RecordChange;
use crate::sync::verify::{VerifyError, verify_record};
use crate::syntax::{AtUri, Did};
use crate::trust::{Bundle, Footing};

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unproven {
    /// It does not hold.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// It holds, and is about another version of the record, or says that there is none.
    #[error("it proves something else than the record that is here")]
    Differs,
}

/// Puts those records of a bundle on the footing of a proof that a proof in it holds for, `now` in microseconds since 1970. Of a
/// repository whose identity is not given, nothing is looked at. Returns which proofs do not hold.
pub fn prove(bundle: &mut Bundle, identities: &BTreeMap<Did, Identity>, now: u64) -> Vec<(AtUri, Unproven)> {
    let mut refused = Vec::new();
    for (uri, car) in std::mem::take(&mut bundle.proofs) {
        let identity = uri.authority().parse::<Did>().ok().and_then(|did| identities.get(&did));
        if let (Some(identity), Some(exhibit)) = (identity, bundle.evidence.find(uri.as_str())) {
            match verify(&uri, &car, identity, now) {
                Ok(cid) if cid == exhibit.cid() && exhibit.is_its_own() => {
                    let proven = exhibit.clone().on(Footing::Proven);
                    bundle.evidence.put(proven);
                }
                Ok(_) => refused.push((uri.clone(), Unproven::Differs)),
                Err(error) => refused.push((uri.clone(), error)),
            }
        }
        bundle.proofs.insert(uri, car);
    }
    refused
}

fn verify(uri: &AtUri, car: &[u8], identity: &Identity, now: u64) -> Result<crate::block::Cid, Unproven> {
    let path = uri.path().ok_or(Unproven::Differs)?;
    match verify_record(car, &path, identity, now)?.change() {
        RecordChange::Put { cid, .. } => Ok(*cid),
        RecordChange::Delete { .. } => Err(Unproven::Differs),
    }
}
