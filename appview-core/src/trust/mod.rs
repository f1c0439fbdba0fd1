//! Whether receipts and settlements are what they say.
//!
//! Decoded records enter, with what was had from elsewhere (documents of DIDs, roots of certificates, the instant to
//! judge by); outcomes leave, one enum for each check. Deliberately absent: where any of that comes from, and the time.
//!
//! A record's body is a [`Map`](crate::block::Map), as [`record::decode`](crate::record::decode) gives it. Everything
//! that is signed is signed in its canonical form.

pub mod finding;
mod instant;

pub use finding::{Code, Finding, Severity};
pub use instant::Instant;
