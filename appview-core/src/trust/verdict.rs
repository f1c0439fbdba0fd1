//! What is said of a receipt or a settlement, in the form in which it is told.
//!
//! An examination enters, a verdict leaves that serialises as the network's query methods answer: the members of their
//! contract first, then what this verifier adds, namely by which rules it judged and which versions of which records.
//! Deliberately absent: anything that depends on who asks.

use std::fmt;

use serde::Serialize;

use super::check::{Checked, Examination, Outcome, RULES_VERSION, Role};
use super::exhibit::{Exhibit, Footing};
use super::{Finding, Profile, Severity};
use crate::block::Cid;
use crate::syntax::{AtUri, Did};

/// How the environment is attested in which a receipt was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustLevel {
    /// By the machine itself.
    SelfAttested,
    /// By the manufacturer's hardware.
    HardwareAttested,
}

impl TrustLevel {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SelfAttested => "self-attested",
            Self::HardwareAttested => "hardware-attested",
        }
    }
}

impl fmt::Display for TrustLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A record without which there can be no verdict, and which the evidence lacks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {role} is missing: {}", super::body::excerpt(uri))]
pub struct Missing {
    /// What part it would have.
    pub role: Role,
    /// Where it should be, as whoever names it writes it; empty if nobody does.
    pub uri: String,
}

/// By which rules a verdict was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rules {
    /// Which version of them; see [`RULES_VERSION`].
    pub version: u32,
    /// How much weight the checks have that the existing verifier lacks.
    pub profile: Profile,
    /// Each check that was made, in order.
    pub checks: Vec<Checked>,
}

impl Rules {
    /// Whether all errors among these findings are about what could not be decided: there is no reason to distrust, and
    /// not enough to trust.
    #[must_use]
    pub fn is_open(&self, findings: &[Finding]) -> bool {
        let is_decided = |finding: &&Finding| {
            let of_it = |checked: &&Checked| checked.code == Some(finding.code);
            self.checks.iter().filter(of_it).any(|checked| checked.outcome == Outcome::Failed)
        };
        let mut errors = findings.iter().filter(|finding| finding.severity == Severity::Error).peekable();
        errors.peek().is_some() && !errors.any(|finding| is_decided(&finding))
    }
}

/// A version of a record that a verdict is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Judged {
    /// What part it has.
    pub role: Role,
    /// Where it was found.
    pub uri: AtUri,
    /// Which version.
    #[serde(serialize_with = "as_text")]
    pub cid: Cid,
    /// What vouches for it standing there.
    pub footing: Footing,
}

fn as_text<S: serde::Serializer>(cid: &Cid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(cid)
}

impl Judged {
    pub(super) fn new(role: Role, exhibit: &Exhibit) -> Self {
        Self { role, uri: exhibit.uri().clone(), cid: exhibit.cid(), footing: exhibit.footing() }
    }
}

/// What is said of a receipt.
///
/// `trust_level` and `confidential` are computed whether or not the receipt is `ok`: whoever relies on them must look at
/// that as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ReceiptVerdict {
    /// Whether no finding is an error.
    pub ok: bool,
    /// How the machine is attested.
    pub trust_level: TrustLevel,
    /// Whether a trusted broker witnessed the dispatch.
    pub confidential: bool,
    /// Which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brokerage_authority: Option<Did>,
    /// What was found, in the order of the checks.
    pub findings: Vec<Finding>,
    /// By which rules.
    pub rules: Rules,
    /// About which records.
    pub judged: Vec<Judged>,
}

/// What is said of a settlement, or of another record that has no more to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SettlementVerdict {
    /// Whether no finding is an error.
    pub ok: bool,
    /// What was found, in the order of the checks.
    pub findings: Vec<Finding>,
    /// By which rules.
    pub rules: Rules,
    /// About which records.
    pub judged: Vec<Judged>,
}

impl SettlementVerdict {
    pub(super) fn reach(examination: Examination, judged: Vec<Judged>) -> Self {
        let ok = examination.is_ok();
        let (findings, rules) = conclude(examination);
        Self { ok, findings, rules, judged }
    }
}

/// Takes an examination's findings, and the rules by which they were made.
pub(super) fn conclude(examination: Examination) -> (Vec<Finding>, Rules) {
    let profile = examination.profile();
    let (findings, checks) = examination.finish();
    (findings, Rules { version: RULES_VERSION, profile, checks })
}
