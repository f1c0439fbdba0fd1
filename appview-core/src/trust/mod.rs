//! Whether receipts and settlements are what they say.
//!
//! Decoded records enter, with what was had from elsewhere (documents of DIDs, roots of certificates, the instant to
//! judge by); outcomes leave, one enum for each check. Deliberately absent: where any of that comes from, and the time.
//!
//! A record's body is a [`Map`](crate::block::Map), as [`record::decode`](crate::record::decode) gives it. Everything
//! that is signed is signed in its [`Canonical`] form.

pub mod app_attest;
pub mod apple;
pub mod assertion;
pub mod brokerage;
pub mod canonical;
pub mod chain;
pub mod document;
pub mod encoding;
pub mod finding;
mod instant;
pub mod ledger;
pub mod mda;
pub mod p256;
pub mod seal;
pub mod signature;
pub mod signed;
mod subset;

pub use apple::{AppId, Apple, Environment};
pub use canonical::{Canonical, CanonicalError};
pub use chain::{ChainError, Deviation, Validity};
pub use document::{DidDocument, DocumentKey};
pub use encoding::{Encoding, Octets};
pub use finding::{Code, Finding, Severity};
pub use instant::Instant;
pub use p256::{Key, KeyFault, Signature, SignatureFault};
pub use signature::{ReceiptSignature, SelfSignature, SigScheme, Signer};
