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
mod attested;
mod body;
pub mod brokerage;
mod bundle;
pub mod canonical;
pub mod chain;
mod charge;
mod check;
mod countersigned;
pub mod document;
pub mod encoding;
mod evidence;
mod examiner;
mod exchange;
mod exhibit;
pub mod finding;
mod instant;
pub mod ledger;
pub mod mda;
pub mod p256;
mod receipt;
mod reference;
pub mod seal;
mod settlement;
pub mod signature;
pub mod signed;
mod subset;
mod terms;
mod verdict;

pub use apple::{AppId, Apple, Environment};
pub use bundle::{Bundle, BundleError};
pub use canonical::{Canonical, CanonicalError};
pub use chain::{ChainError, Deviation, Validity};
pub use charge::{Books, ChargeVerdict, Exchange, Split, verify_charge};
pub use check::{Check, Checked, Outcome, Profile, RULES_VERSION, Role};
pub use document::{DidDocument, DocumentKey};
pub use encoding::{Encoding, Octets};
pub use evidence::{Document, Drawn, Evidence, Looked, Origin};
pub use examiner::Examiner;
pub use exchange::verify_exchange_record;
pub use exhibit::{Exhibit, ExhibitError, Footing, Standing};
pub use finding::{Code, Finding, Severity};
pub use instant::Instant;
pub use p256::{Key, KeyFault, Signature, SignatureFault};
pub use receipt::verify_receipt;
pub use settlement::verify_settlement;
pub use signature::{ReceiptSignature, SelfSignature, SigScheme, Signer};
pub use terms::Terms;
pub use verdict::{Judged, Missing, ReceiptVerdict, Rules, SettlementVerdict, TrustLevel};
