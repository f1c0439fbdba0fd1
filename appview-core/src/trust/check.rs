//! What is checked, by which rule, and how it came out.
//!
//! A check is asked one question with one [`Code`] for each way of failing; what it answers is kept in an
//! [`Examination`], from which a verdict's findings and its list of rules are taken. Deliberately absent: the rules
//! themselves, which are told beside what they judge.

use std::borrow::Cow;
use std::fmt;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::evidence::Looked;
use super::exhibit::{Exhibit, Footing};
use super::{Code, Finding, Severity};

/// Counted up when equal evidence would lead to another verdict.
pub const RULES_VERSION: u32 = 1;

/// How much weight the checks have that the existing verifier lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// They warn: a verdict is `ok` exactly if the network's common checks pass.
    #[default]
    Advise,
    /// Each of them counts for what it is, so that some of them are errors.
    Strict,
}

impl Profile {
    /// How grave a code is under this profile.
    #[must_use]
    pub fn severity(self, code: Code) -> Severity {
        match self {
            Self::Advise if code.is_extension() => code.severity().min(Severity::Warning),
            _ => code.severity(),
        }
    }
}

/// What part a record has in a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// What was charged, and by whom.
    Settlement,
    /// The account of the work.
    Receipt,
    /// The order.
    Job,
    /// The machine's account of itself.
    Attestation,
    /// The permission to charge.
    Authorization,
    /// The terms of the exchange.
    Policy,
    /// The exchange's account of its key.
    ExchangeAttestation,
    /// The settlement that a refund gives back.
    Refunded,
    /// What the provider offers.
    Provider,
    /// Another record that says the same thing.
    Company,
    /// The complaint.
    Dispute,
    /// A user's agreement.
    Acceptance,
    /// Credits given.
    Credit,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// What was asked holds.
    Passed,
    /// It does not: there is a finding.
    Failed,
    /// There was nothing to ask about.
    NotApplicable,
    /// There is not enough at hand to tell: there is a finding.
    Undecided,
}

/// One check of a verdict, and how it came out. Written with the [rule](Check::rule) by which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// What was asked.
    pub check: Check,
    /// What was found.
    pub outcome: Outcome,
    /// The finding's code, where there is one.
    pub code: Option<Code>,
}

impl Serialize for Checked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("check", &self.check)?;
        map.serialize_entry("rule", self.check.rule())?;
        map.serialize_entry("outcome", &self.outcome)?;
        if let Some(code) = self.code {
            map.serialize_entry("code", &code)?;
        }
        map.end()
    }
}

/// The checks of one verdict, as they are made.
#[derive(Debug)]
pub(super) struct Examination {
    profile: Profile,
    findings: Vec<Finding>,
    checks: Vec<Checked>,
}

impl Examination {
    pub(super) fn new(profile: Profile) -> Self {
        Self { profile, findings: Vec::new(), checks: Vec::with_capacity(48) }
    }

    pub(super) fn passed(&mut self, check: Check) {
        self.note(check, Outcome::Passed, None);
    }

    pub(super) fn not_applicable(&mut self, check: Check) {
        self.note(check, Outcome::NotApplicable, None);
    }

    /// What was asked does not hold, as the code says.
    pub(super) fn failed(&mut self, check: Check, code: Code) {
        self.failed_saying(check, code, code.meaning());
    }

    pub(super) fn failed_saying(&mut self, check: Check, code: Code, message: impl Into<Cow<'static, str>>) {
        self.say(code, message);
        self.note(check, Outcome::Failed, Some(code));
    }

    /// There is not enough at hand to tell whether what was asked holds.
    pub(super) fn undecided(&mut self, check: Check, code: Code, message: impl Into<Cow<'static, str>>) {
        self.say(code, message);
        self.note(check, Outcome::Undecided, Some(code));
    }

    fn say(&mut self, code: Code, message: impl Into<Cow<'static, str>>) {
        let mut finding = Finding::new(code).saying(message);
        finding.severity = self.profile.severity(code);
        self.findings.push(finding);
    }

    /// Asks whether a record is without such company. Where none was found among those that were looked at, and not all
    /// were, nothing is decided.
    pub(super) fn ask_company(
        &mut self,
        check: Check,
        found: Option<String>,
        looked: Option<Looked>,
        code: Code,
    ) {
        match (found, looked) {
            (Some(message), _) => self.failed_saying(check, code, message),
            (None, None) => self.passed(check),
            (None, Some(Looked { at, of })) => {
                let message = format!("{check}: looked at {at} of {of} records or more");
                self.undecided(check, Code::XCompanyPartial, message);
            }
        }
    }

    /// Asks whether all these records are proven to stand in their repositories.
    pub(super) fn footing<'e>(&mut self, check: Check, mut records: impl Iterator<Item = &'e Exhibit>) {
        match records.find(|record| record.footing() == Footing::Claimed) {
            None => self.passed(check),
            Some(record) => {
                let message = format!("that {} stands there is the word of a file alone", record.uri());
                self.undecided(check, Code::XRecordUnproven, message);
            }
        }
    }

    /// Asks whether something holds; where there is nothing to ask about, it is none.
    pub(super) fn ask(&mut self, check: Check, holds: Option<bool>, code: Code) {
        self.ask_saying(check, holds, code, || code.meaning().to_owned());
    }

    pub(super) fn ask_saying(
        &mut self,
        check: Check,
        holds: Option<bool>,
        code: Code,
        message: impl FnOnce() -> String,
    ) {
        match holds {
            None => self.not_applicable(check),
            Some(true) => self.passed(check),
            Some(false) => self.failed_saying(check, code, message()),
        }
    }

    /// Whether nothing was found that is an error.
    pub(super) fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Error)
    }

    pub(super) const fn profile(&self) -> Profile {
        self.profile
    }

    pub(super) fn finish(self) -> (Vec<Finding>, Vec<Checked>) {
        (self.findings, self.checks)
    }

    fn note(&mut self, check: Check, outcome: Outcome, code: Option<Code>) {
        self.checks.push(Checked { check, outcome, code });
    }
}

macro_rules! checks {
    ($($name:ident = $text:literal $role:ident $rule:literal $says:literal)+) => {
        /// One question to the evidence.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Check {
            $(
                #[doc = concat!("`", $text, "`: ", $says, ".")]
                $name,
            )+
        }

        impl Check {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The check of this name.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|check| check.as_str() == text)
            }

            /// The name on the wire. Never changes.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// By which rule it is asked: a heading of `VERIFICATION.md`.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self {
                    $(Self::$name => $rule,)+
                }
            }

            /// Which record it is about.
            #[must_use]
            pub const fn role(self) -> Role {
                match self {
                    $(Self::$name => Role::$role,)+
                }
            }

            /// What holds where it passes, for people.
            #[must_use]
            pub const fn says(self) -> &'static str {
                match self {
                    $(Self::$name => $says,)+
                }
            }
        }
    };
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Settlement => "settlement",
            Self::Receipt => "receipt",
            Self::Job => "job",
            Self::Attestation => "attestation",
            Self::Authorization => "authorization",
            Self::Policy => "policy",
            Self::ExchangeAttestation => "exchange attestation",
            Self::Refunded => "refunded settlement",
            Self::Provider => "provider",
            Self::Company => "other record",
            Self::Dispute => "dispute",
            Self::Acceptance => "acceptance",
            Self::Credit => "credit",
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

checks! {
    // A receipt, in the order in which the common checks are made.
    InputCommitmentShape = "input-commitment-shape" Receipt "binding" "its inputCommitment is a hash in hex"
    OutputCommitmentShape = "output-commitment-shape" Receipt "binding" "its outputCommitment is a hash in hex"
    SameInput = "same-input" Job "binding" "the receipt is about its input"
    SameModel = "same-model" Job "binding" "the receipt is about its model"
    SameCurrency = "same-currency" Job "binding" "the price is in the currency of its ceiling"
    PriceWithinCeiling = "price-within-ceiling" Job "binding" "the price is within its ceiling"
    ProBonoPrice = "pro-bono-price" Receipt "binding" "what is given free of charge has no price"
    ProBonoTokens = "pro-bono-tokens" Receipt "binding" "what is given free of charge counts no tokens"
    JobInTime = "job-in-time" Job "binding" "the work was completed before it expired"
    AttestationInTime = "attestation-in-time" Attestation "binding" "the work was completed within its window"
    CanonicalForm = "canonical-form" Receipt "receipt signature" "it has a canonical form"
    SignaturePresent = "signature-present" Receipt "receipt signature" "it carries a signature"
    AttestationOwner = "attestation-owner" Attestation "binding" "it is in the receipt's repository"
    SelfSignature = "self-signature" Attestation "self-signature" "its own key signed it"
    ReceiptForm = "receipt-form" Receipt "lexicons" "it keeps its lexicon"
    ReceiptSignature = "receipt-signature" Receipt "receipt signature" "the attestation's key signed it"
    AppAttest = "app-attest" Attestation "hardware" "App Attest vouches for its key"
    DeviceAttestation = "device-attestation" Attestation "hardware" "the manufacturer's certificates vouch for its key"
    Countersignature = "countersignature" Receipt "brokerage" "a trusted broker witnessed it"

    // What the existing verifier does not look at.
    RecordCids = "record-cids" Receipt "versions" "each record hashes to its CID"
    RecordsProven = "records-proven" Receipt "footing" "each record is proven to stand in its repository"
    JobVersion = "job-version" Job "versions" "it is the version that the receipt pins"
    AttestationVersion = "attestation-version" Attestation "versions" "it is the version that the receipt pins"
    JobReference = "job-reference" Job "versions" "the receipt names a job of its repository"
    AttestationReference = "attestation-reference" Attestation "versions" "the receipt names an attestation of its repository"
    Requester = "requester" Job "terms of the job" "the receipt's requester ordered it"
    ProviderAccepted = "provider-accepted" Job "terms of the job" "it accepts the provider"
    TrustLevelSuffices = "trust-level-suffices" Job "terms of the job" "the trust level is the one it demands"
    TokensWithinCeiling = "tokens-within-ceiling" Job "terms of the job" "no more tokens were produced than it allows"
    TimesReadable = "times-readable" Receipt "times" "all instants can be read"
    TimesInOrder = "times-in-order" Receipt "times" "all instants are in a possible order"
    JobForm = "job-form" Job "lexicons" "it keeps its lexicon"
    AttestationForm = "attestation-form" Attestation "lexicons" "it keeps its lexicon"
    CommitmentShapes = "commitment-shapes" Receipt "binding" "its other hashes are hashes in hex"
    SessionMembers = "session-members" Receipt "binding" "its session is told completely or not at all"
    OutputSchemaHash = "output-schema-hash" Job "terms of the job" "the receipt is about its output schema"
    ToolSchemaHash = "tool-schema-hash" Job "terms of the job" "the receipt is about its tools"
    SignatureEncodings = "signature-encodings" Receipt "receipt signature" "the signatures are strictly encoded"
    SignedForm = "signed-form" Attestation "self-signature" "it was signed in the form that it has"
    SignatureScheme = "signature-scheme" Attestation "self-signature" "its key signs by a known scheme"
    TierClaim = "tier-claim" Receipt "brokerage" "it claims no confidentiality that nothing proves"
    ProviderKey = "provider-key" Attestation "binding" "a provider record of its repository has its key"
    Currency = "currency" Receipt "lexicons" "currencies have three letters or more"
    EvidenceCurrent = "evidence-current" Attestation "hardware" "the manufacturer's certificates have not expired since"
    EvidenceStrict = "evidence-strict" Attestation "hardware" "the manufacturer's certificates are strictly formed"
    AttestationWindow = "attestation-window" Attestation "times" "it claims seven days at most"
    OnlyReceipt = "only-receipt" Job "company" "no earlier receipt is for it"
    JobNonce = "job-nonce" Job "company" "no other job has its nonce"
    WitnessNonce = "witness-nonce" Receipt "company" "the broker's nonce witnesses nothing else"
    AttestationStanding = "attestation-standing" Attestation "versions" "it has not been overwritten or deleted since"
    AccountsActive = "accounts-active" Receipt "company" "both accounts are active"
    AuthorityDocument = "authority-document" Receipt "brokerage" "the broker's DID document is its own"
    AuthorityCurrent = "authority-current" Receipt "brokerage" "the broker's key is that of its present DID document"

    // A settlement.
    MembersPresent = "members-present" Settlement "settlement" "all that is to be compared is there"
    RightExchange = "right-exchange" Authorization "settlement" "it is for this exchange"
    AuthorizedCurrency = "authorized-currency" Authorization "settlement" "the charge is in the currency of its ceiling"
    ChargeWithinCeiling = "charge-within-ceiling" Authorization "settlement" "the charge is within its ceiling"
    Split = "split" Settlement "settlement" "payout and fee add up to the charge"
    ChargeIsPrice = "charge-is-price" Receipt "settlement" "the charge is its price"
    SettlementCids = "settlement-cids" Settlement "versions" "each record hashes to its CID"
    SettlementProven = "settlement-proven" Settlement "footing" "each record is proven to stand in its repository"
    ReceiptVersion = "receipt-version" Receipt "versions" "it is the version that the settlement pins"
    AuthorizationVersion = "authorization-version" Authorization "versions" "it is the version that the settlement pins"
    ReceiptReference = "receipt-reference" Receipt "versions" "the settlement names a receipt"
    AuthorizationReference = "authorization-reference" Authorization "versions" "the settlement names an authorization"
    AuthorizationOwner = "authorization-owner" Authorization "authorization" "it is in the requester's repository"
    JobAuthorization = "job-authorization" Job "authorization" "it names the authorization"
    ExchangeAccepted = "exchange-accepted" Job "authorization" "it accepts the exchange"
    OneCurrency = "one-currency" Settlement "settlement" "all amounts are in one currency"
    CurrencySupported = "currency-supported" Policy "policy" "it supports the currency"
    SettlementForm = "settlement-form" Settlement "lexicons" "it keeps its lexicon"
    AuthorizationForm = "authorization-form" Authorization "lexicons" "it keeps its lexicon"
    SettlementCurrency = "settlement-currency" Settlement "lexicons" "currencies have three letters or more"
    Status = "status" Settlement "settlement" "its status is known"
    Scope = "scope" Authorization "authorization" "its scope is known"
    RefundReference = "refund-reference" Settlement "refunds" "a refund, and nothing else, names what it refunds"
    RefundAmount = "refund-amount" Refunded "refunds" "no more is given back than was charged"
    ProBonoSettlement = "pro-bono-settlement" Settlement "settlement" "no money moves for what is given free of charge"
    SettledAfterWork = "settled-after-work" Settlement "times" "it is not older than the work"
    AuthorizationInTime = "authorization-in-time" Authorization "authorization" "it had not expired"
    PolicyReference = "policy-reference" Policy "policy" "it is the exchange's"
    ExchangeAttestationReference = "exchange-attestation-reference" ExchangeAttestation "policy" "it is the exchange's"
    PoliciesAgree = "policies-agree" ExchangeAttestation "policy" "it names the same policy"
    Fee = "fee" Policy "policy" "the fee is what it says"
    Price = "price" Policy "policy" "the price is what its rate makes of the tokens"
    ExchangeSignature = "exchange-signature" Settlement "exchange signature" "the exchange's key signed it"
    ExchangeCurrent = "exchange-current" Settlement "exchange signature" "the exchange's key is that of its present DID document"
    ExchangeDocument = "exchange-document" Settlement "exchange signature" "the exchange's DID document is its own"
    ReceiptVerdict = "receipt-verdict" Receipt "settlement" "it verifies itself"
    OnlySettlement = "only-settlement" Settlement "company" "the exchange settled the receipt once"
    AuthorizationUnused = "authorization-unused" Authorization "company" "it paid for nothing else"
    SessionBudget = "session-budget" Authorization "company" "all charges of its session are within its budget"

    // The other records of an exchange.
    DisputeExchange = "dispute-exchange" Dispute "disputes" "it is in its exchange's repository"
    DisputedSettlement = "disputed-settlement" Dispute "disputes" "it names a settlement of the exchange"
    DisputeOutcome = "dispute-outcome" Dispute "disputes" "it tells an outcome once it is resolved"
    DisputeRefund = "dispute-refund" Dispute "disputes" "it names the refund that it calls for"
    DisputeSignature = "dispute-signature" Dispute "exchange signature" "the exchange's key signed it"
    DisputeCurrent = "dispute-current" Dispute "exchange signature" "the exchange's key is that of its present DID document"
    AcceptedPolicy = "accepted-policy" Acceptance "acceptances" "it names a policy with these terms"
    AcceptanceSignature = "acceptance-signature" Acceptance "exchange signature" "the exchange's key signed it"
    AcceptanceCurrent = "acceptance-current" Acceptance "exchange signature" "the exchange's key is that of its present DID document"
    GrantExchange = "grant-exchange" Credit "credits" "it is in its exchange's repository"
    GrantAmount = "grant-amount" Credit "credits" "it is as much as the policy says"
    OnlyGrant = "only-grant" Credit "credits" "the recipient had no earlier one"
    PatronageAmount = "patronage-amount" Credit "credits" "it is the recipient's share"
    PatronagePool = "patronage-pool" Credit "credits" "all credits of the period are within what is shared"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_check_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Check::ALL.iter().map(|check| check.as_str()).collect();
        assert_eq!(names.len(), Check::ALL.len());
    }

    #[test]
    fn advice_is_never_an_error_and_what_is_enforced_is_what_is_listed() {
        for code in Code::ALL {
            assert_eq!(Profile::Strict.severity(*code), code.severity());
            let advised = Profile::Advise.severity(*code);
            assert!(advised < Severity::Error || !code.is_extension(), "{code}");
            assert!(advised <= code.severity(), "{code}");
        }
    }
}
