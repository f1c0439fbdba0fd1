//! What evidence from Apple is judged against: two roots, and one app.
//!
//! The roots are Apple's own, built in; a test brings its own. Their fingerprints are those that Apple's certificate
//! authority publishes, and a test compares.

use std::borrow::Cow;

use crate::block::cid::sha256;

/// Apple App Attestation Root CA.
const APP_ATTEST_ROOT: &[u8] = include_bytes!("apple/app-attestation-root-ca.der");

/// Apple Enterprise Attestation Root CA.
const MDA_ROOT: &[u8] = include_bytes!("apple/enterprise-attestation-root-ca.der");

/// The agent's App ID: team and bundle.
const APP_ID: &str = "4L45P7CP9M.dev.cocore.provider";

/// Which App Attest keys are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Those of shipped apps.
    Production,
    /// Those of apps under development as well.
    Development,
}

/// An App ID, by the hash under which App Attest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppId([u8; 32]);

impl AppId {
    /// The App ID of this text, such as `4L45P7CP9M.dev.cocore.provider`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(sha256(text.as_bytes()))
    }

    /// SHA-256 of its text.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.0
    }
}

/// What evidence from Apple is judged against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apple {
    /// The root of App Attest, DER.
    pub app_attest_root: Cow<'static, [u8]>,
    /// The root of Managed Device Attestation, DER.
    pub mda_root: Cow<'static, [u8]>,
    /// The app whose keys are believed.
    pub app: AppId,
    /// Which of its keys.
    pub environment: Environment,
}

impl Apple {
    /// Apple's own roots, and the agent that providers run.
    #[must_use]
    pub fn production() -> Self {
        Self {
            app_attest_root: Cow::Borrowed(APP_ATTEST_ROOT),
            mda_root: Cow::Borrowed(MDA_ROOT),
            app: AppId::new(APP_ID),
            environment: Environment::Production,
        }
    }
}

impl Default for Apple {
    fn default() -> Self {
        Self::production()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_have_the_fingerprints_that_apple_publishes() {
        let hex = |bytes: &[u8]| sha256(bytes).map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex(APP_ATTEST_ROOT), "1cb9823ba28ba6ad2d33a006941de2ae4f513ef1d4e831b9f7e0fa7b6242c932");
        assert_eq!(hex(MDA_ROOT), "ccf59ef8fcb3017d97f8b5fa6fa90e7a3f9283f76b55ac6cf6eda8b8b949f05b");
    }
}
