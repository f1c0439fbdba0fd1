//! App Attest assertions in the place of a signature.
//!
//! The bytes of a signature member and a message enter; whether the key asserts the message leaves. Deliberately absent:
//! flags and counters, which nobody keeps track of.

use super::apple::AppId;
use super::encoding::Encoding;
use super::p256::{Key, Signature, SignatureFault};
use super::subset;
use crate::block::cid::sha256;

/// Shortest authenticator data: a hash, flags and a counter.
const AUTHENTICATOR_DATA_BYTES: usize = 37;

/// Checks that `key` asserts `message` in the name of `app`.
///
/// Apple's hardware signs the hash of authenticator data and message, and ECDSA hashes once more; the existing verifier
/// hashes once only. Either is accepted.
///
/// # Errors
///
/// [`SignatureFault::Malformed`] for bytes that are no assertion, [`SignatureFault::Mismatch`] for one of another app,
/// key or message.
pub fn verify_assertion(
    key: &Key,
    message: &[u8],
    assertion: &[u8],
    app: &AppId,
) -> Result<Encoding, SignatureFault> {
    let (item, deviations) = subset::read(assertion).ok_or(SignatureFault::Malformed)?;
    let member = |name| item.get(name).and_then(subset::Item::as_bytes).ok_or(SignatureFault::Malformed);
    let (signature, authenticator_data) = (member("signature")?, member("authenticatorData")?);
    if authenticator_data.len() < AUTHENTICATOR_DATA_BYTES {
        return Err(SignatureFault::Malformed);
    }
    if !authenticator_data.starts_with(app.hash()) {
        return Err(SignatureFault::Mismatch);
    }
    let (signature, encoding) = Signature::from_der(signature)?;
    let asserted = [authenticator_data, &sha256(message)].concat();
    key.verify(&asserted, &signature).or_else(|_| key.verify(&sha256(&asserted), &signature))?;
    Ok(if deviations.is_empty() { encoding } else { Encoding::Lenient })
}
