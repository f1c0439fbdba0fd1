//! Whether a prompt may be sealed to a provider, and to which key.
//!
//! An attestation enters, with what its reader demands; the tier that can be relied on leaves, with whatever stands in the
//! way of a better one. Deliberately absent: the tier that a provider claims, which is decoration, and the live standing of
//! its code, which only somebody who talks to the machine can know.

use std::cmp::Ordering;

use super::app_attest::{Residency, verify_app_attestation};
use super::apple::Apple;
use super::canonical::{Canonical, CanonicalError};
use super::encoding::Octets;
use super::finding::{Code, Finding, Severity};
use super::instant::Instant;
use super::mda::verify_device_attestation;
use super::signature::{SelfSignature, Signer, verify_self_signature};
use crate::block::{Map, Value};

/// How confidentially a prompt is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// As well as the provider likes.
    BestEffort,
    /// By attested code on attested hardware.
    AttestedConfidential,
}

impl Tier {
    /// The word in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BestEffort => "best-effort",
            Self::AttestedConfidential => "attested-confidential",
        }
    }
}

/// Whether something is insisted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Demand {
    /// It must be.
    Required,
    /// It need not be.
    #[default]
    Waived,
}

/// What is known of the identity of the code that runs at the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CodeStanding {
    /// Nobody asks.
    Waived,
    /// Somebody vouches for it.
    Attested,
    /// Nobody vouches for it.
    #[default]
    Unknown,
}

/// A key for one session, signed by the attested key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKey<'a> {
    /// The key to seal to, base64.
    pub ephemeral_pub_key: &'a str,
    /// The nonce that it answers.
    pub nonce: &'a str,
    /// The CID of the attestation whose key signed.
    pub attestation_cid: &'a str,
    /// The signature, base64.
    pub signature: &'a str,
}

impl SessionKey<'_> {
    /// The bytes that are signed.
    ///
    /// # Errors
    ///
    /// None that text can cause.
    pub fn message<'c>(&self, canonical: &'c mut Canonical) -> Result<&'c [u8], CanonicalError> {
        let members = Map::from_entries(vec![
            ("attestationCid", Value::Text(self.attestation_cid)),
            ("ephemeralPubKey", Value::Text(self.ephemeral_pub_key)),
            ("nonce", Value::Text(self.nonce)),
        ]);
        canonical.record(&members, &[])
    }
}

/// What a reader demands of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SealPolicy<'a> {
    /// Whether anything less than confidential is an error.
    pub confidential: Demand,
    /// Code directory hashes of known agents, hex.
    pub known_cd_hashes: Vec<&'a str>,
    /// Hashes of known shader libraries, hex; without any they are not looked at.
    pub known_metallib_hashes: Option<Vec<&'a str>>,
    /// Hashes of known engine libraries, hex; without any they are not looked at.
    pub known_engine_lib_hashes: Option<Vec<&'a str>>,
    /// Whether the signing key itself must be the attested one.
    pub hardware_bound_key: Demand,
    /// Whether a Secure Enclave must be usable.
    pub secure_enclave_key: Demand,
    /// The oldest operating system that will do.
    pub os_floor: Option<&'a str>,
    /// What is known of the running code.
    pub code: CodeStanding,
    /// The key for this session, if one was handed over.
    pub session_key: Option<SessionKey<'a>>,
    /// Whether there must be one.
    pub session_key_demand: Demand,
    /// The nonce that a session key must answer.
    pub nonce: Option<&'a str>,
    /// The CID of the attestation that a session key must name.
    pub attestation_cid: Option<&'a str>,
}

/// What can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealVerdict<'a> {
    /// The tier reached.
    pub tier: Tier,
    /// What stands in the way of confidentiality: errors where it is required, else warnings.
    pub findings: Vec<Finding>,
    /// The key to seal to, base64; only where the tier is reached.
    pub seal_to: Option<&'a str>,
}

impl SealVerdict<'_> {
    /// Whether the reader's demands are met.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Error)
    }
}

/// Judges a provider by its attestation at the instant `now`.
#[must_use]
pub fn verify_provider<'a>(
    attestation: &Map<'a>,
    policy: &SealPolicy<'a>,
    apple: &Apple,
    now: Instant,
    canonical: &mut Canonical,
) -> SealVerdict<'a> {
    let signer = Signer::of(attestation);
    let mut gate = Gate { attestation, blockers: Vec::new() };
    let own = verify_self_signature(attestation, &signer, &apple.app, canonical);
    gate.unless(matches!(own, SelfSignature::Valid { .. }), Code::AttestationSignatureInvalid);
    let hardware = gate.hardware(&signer, apple, now);
    let is_resident = matches!(hardware, Hardware::AppAttest(Residency::Enclave));
    gate.unless(policy.hardware_bound_key == Demand::Waived || is_resident, Code::KeyNotHardwareBound);
    gate.code(policy);
    gate.posture();
    if let Hardware::Device { sip, secure_boot } = hardware {
        gate.unless(sip != Some(false), Code::MdaSipOff);
        gate.unless(secure_boot != Some(false), Code::MdaSecureBootOff);
    }
    if let Some(floor) = policy.os_floor {
        let version = attestation.text("osVersion").unwrap_or_default();
        gate.unless(compare_os_versions(version, floor) != Ordering::Less, Code::OsBelowFloor);
    }
    let window = (Instant::at(attestation, "attestedAt"), Instant::at(attestation, "expiresAt"));
    let is_within = matches!(window, (Some(from), Some(until)) if (from..=until).contains(&now));
    gate.unless(is_within, Code::AttestationExpired);
    let seal_to = gate.session(policy, &signer, apple, canonical);
    gate.unless(policy.code != CodeStanding::Unknown, Code::CodeNotAttested);
    gate.unless(
        policy.secure_enclave_key == Demand::Waived || gate.says("secureEnclaveAvailable"),
        Code::SeKeyNotAvailable,
    );

    let tier = if gate.blockers.is_empty() { Tier::AttestedConfidential } else { Tier::BestEffort };
    let severity = match policy.confidential {
        Demand::Required => Severity::Error,
        Demand::Waived => Severity::Warning,
    };
    let findings = gate.blockers.into_iter().map(|code| Finding { severity, ..Finding::new(code) });
    SealVerdict {
        tier,
        findings: findings.collect(),
        seal_to: seal_to.filter(|_| tier == Tier::AttestedConfidential),
    }
}

/// What the manufacturer says.
enum Hardware {
    Nothing,
    AppAttest(Residency),
    Device { sip: Option<bool>, secure_boot: Option<bool> },
}

/// An attestation, and what stands in the way so far.
struct Gate<'m, 'a> {
    attestation: &'m Map<'a>,
    blockers: Vec<Code>,
}

impl<'a> Gate<'_, 'a> {
    fn unless(&mut self, is_met: bool, code: Code) {
        if !is_met {
            self.blockers.push(code);
        }
    }

    /// Whether a member is exactly `true`.
    fn says(&self, member: &str) -> bool {
        self.attestation.get(member).and_then(Value::as_bool) == Some(true)
    }

    fn hardware(&mut self, signer: &Signer, apple: &Apple, now: Instant) -> Hardware {
        let key = signer.key().ok();
        let bound = key.and_then(|key| verify_app_attestation(self.attestation, key, apple, now));
        if let Some(Ok(bound)) = bound {
            return Hardware::AppAttest(bound.residency);
        }
        let device = match verify_device_attestation(self.attestation, apple, now) {
            None => {
                self.blockers.push(Code::NoMdaChain);
                return Hardware::Nothing;
            }
            Some(Err(_)) => {
                self.blockers.push(Code::MdaInvalid);
                return Hardware::Nothing;
            }
            Some(Ok(device)) => device,
        };
        if !key.is_some_and(|key| device.is_bound_to(key)) {
            self.blockers.push(if device.can_bind() { Code::MdaUnbound } else { Code::MdaNoBindingMaterial });
        }
        Hardware::Device { sip: device.sip, secure_boot: device.secure_boot }
    }

    fn code(&mut self, policy: &SealPolicy<'_>) {
        let is_known = |known: &[&str], hash: &str| known.iter().any(|good| good.eq_ignore_ascii_case(hash));
        match self.text("cdHash") {
            None => self.blockers.push(Code::NoCdhash),
            Some(_) if policy.known_cd_hashes.is_empty() => self.blockers.push(Code::NoKnownGoodSet),
            Some(hash) => self.unless(is_known(&policy.known_cd_hashes, hash), Code::CdhashUnknown),
        }
        for (known, member, missing, unknown) in [
            (&policy.known_metallib_hashes, "metallibHash", Code::NoMetallibHash, Code::MetallibUnknown),
            (&policy.known_engine_lib_hashes, "engineLibHash", Code::NoEngineLibHash, Code::EngineLibUnknown),
        ] {
            match (known, self.text(member)) {
                (None, _) => {}
                (Some(_), None) => self.blockers.push(missing),
                (Some(known), Some(hash)) => self.unless(is_known(known, hash), unknown),
            }
        }
    }

    /// A text that is not empty.
    fn text(&self, member: &str) -> Option<&'a str> {
        self.attestation.text(member).filter(|text| !text.is_empty())
    }

    fn posture(&mut self) {
        let allows_debuggers = self.attestation.get("getTaskAllow").and_then(Value::as_bool);
        for (is_met, code) in [
            (self.says("sipEnabled"), Code::SipOff),
            (self.says("secureBootEnabled"), Code::SecureBootOff),
            (self.says("hardenedRuntime"), Code::NoHardenedRuntime),
            (self.says("libraryValidation"), Code::NoLibraryValidation),
            (allows_debuggers == Some(false), Code::GetTaskAllow),
            (self.says("inProcessBackend"), Code::NotInProcess),
            (self.says("antiDebug"), Code::NoAntiDebug),
            (self.says("coreDumpsDisabled"), Code::CoreDumpsEnabled),
            (self.says("envScrubbed"), Code::EnvNotScrubbed),
        ] {
            self.unless(is_met, code);
        }
    }

    /// Judges the session's key, and tells which key to seal to.
    fn session(
        &mut self,
        policy: &SealPolicy<'a>,
        signer: &Signer,
        apple: &Apple,
        canonical: &mut Canonical,
    ) -> Option<&'a str> {
        let Some(session) = &policy.session_key else {
            if policy.session_key_demand == Demand::Required {
                self.blockers.push(Code::NoSessionKey);
            }
            let key = self.text("encryptionPubKey");
            self.unless(key.is_some(), Code::NoEncryptionKey);
            return key;
        };
        self.unless(policy.nonce == Some(session.nonce), Code::SessionNonceMismatch);
        self.unless(
            policy.attestation_cid == Some(session.attestation_cid),
            Code::SessionAttestationMismatch,
        );
        let signature = Octets::of(Some(&Value::Text(session.signature)));
        let is_signed = session
            .message(canonical)
            .is_ok_and(|message| signer.verify(message, &signature, &apple.app).is_ok());
        self.unless(is_signed, Code::SessionSignatureInvalid);
        Some(session.ephemeral_pub_key)
    }
}

/// Compares two versions by the first run of dotted numbers in each; one without a number is below all others.
#[must_use]
pub fn compare_os_versions(a: &str, b: &str) -> Ordering {
    let (a, b) = (numbers(a), numbers(b));
    if a.is_empty() || b.is_empty() {
        return b.is_empty().cmp(&a.is_empty());
    }
    let component = |numbers: &[u64], at: usize| numbers.get(at).copied().unwrap_or_default();
    (0..a.len().max(b.len()))
        .map(|at| component(&a, at).cmp(&component(&b, at)))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn numbers(version: &str) -> Vec<u64> {
    let start = version.find(|char: char| char.is_ascii_digit()).unwrap_or(version.len());
    let run = version.get(start..).unwrap_or_default();
    let end = run.find(|char: char| char != '.' && !char.is_ascii_digit()).unwrap_or(run.len());
    let components = run.get(..end).unwrap_or_default().split('.');
    // A number that is too large to hold is larger than any that is not.
    components
        .take_while(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(u64::MAX))
        .collect()
}
