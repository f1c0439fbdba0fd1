//! What a check says: a code, how grave it is, and a sentence for people.
//!
//! Codes are the contract, messages are not. [`Code`] is the whole registry: the codes of the existing verifier as they
//! are, and those that begin with `x-`, for what it does not look at. Deliberately absent: which check raises which code.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A fact worth knowing.
    Info,
    /// Odd, and no reason to distrust.
    Warning,
    /// A reason to distrust: a verdict with one is not `ok`.
    Error,
}

impl Severity {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One thing that a check has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// What it is.
    pub code: Code,
    /// The same for people.
    pub message: Cow<'static, str>,
}

impl Finding {
    /// A finding of the code's own severity and meaning.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { severity: code.severity(), code, message: Cow::Borrowed(code.meaning()) }
    }

    /// The same finding with a message that tells more than the code's meaning.
    #[must_use]
    pub fn saying(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }
}

macro_rules! codes {
    ($($name:ident = $text:literal $severity:ident $meaning:literal)+) => {
        /// What a finding is about.
        ///
        /// A reader who does not know a code goes by the finding's severity alone.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(
                #[doc = concat!("`", $text, "`: ", $meaning, ".")]
                $name,
            )+
        }

        impl Code {
            /// All of them, in the order of the registry.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// How grave it is where rules are enforced as they are listed.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)+
                }
            }

            /// What it says, for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)+
                }
            }

            /// The code of this text.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

impl Code {
    /// Whether the existing verifier has no such check.
    #[must_use]
    pub fn is_extension(self) -> bool {
        self.as_str().starts_with("x-")
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

codes! {
    // Receipt, job and attestation side by side.
    InputCommitmentShape = "input-commitment-shape" Error
        "the receipt's inputCommitment is not 64 lower-case hex digits"
    OutputCommitmentShape = "output-commitment-shape" Error
        "the receipt's outputCommitment is not 64 lower-case hex digits"
    CommitmentMismatch = "commitment-mismatch" Error
        "the receipt's inputCommitment is not the job's"
    ModelMismatch = "model-mismatch" Error
        "the receipt's model is not the job's"
    CurrencyMismatch = "currency-mismatch" Error
        "the price and its ceiling are in different currencies"
    PriceOverCeiling = "price-over-ceiling" Error
        "the receipt's price exceeds the job's ceiling"
    ProBonoNonzeroPrice = "pro-bono-nonzero-price" Error
        "a pro bono receipt has a price"
    ProBonoNonzeroTokens = "pro-bono-nonzero-tokens" Error
        "a pro bono receipt counts tokens"
    JobExpired = "job-expired" Error
        "the work was completed after the job expired, or one of the two instants cannot be read"
    AttestationStale = "attestation-stale" Error
        "the work was completed outside the attestation's window, or one of the instants cannot be read"
    CanonicalFail = "canonical-fail" Error
        "the receipt has no canonical form"
    NoSignature = "no-signature" Error
        "the receipt carries no signature"

    // Signatures of receipts and attestations, and who owns what.
    SignatureInvalid = "signature-invalid" Error
        "the receipt's signature does not verify under the attestation's key"
    SignatureVerifyError = "signature-verify-error" Error
        "the receipt's signature is not base64"
    AttestationUnsigned = "attestation-unsigned" Error
        "the attestation carries no signature of its own key"
    AttestationSelfsigInvalid = "attestation-selfsig-invalid" Error
        "the attestation's signature does not verify under its own key"
    AttestationVerifyError = "attestation-verify-error" Error
        "the attestation's signature could not be examined"
    AttestationOwnerMismatch = "attestation-owner-mismatch" Error
        "the attestation is not in the receipt's repository"
    AttestationOwnerUnverified = "attestation-owner-unverified" Error
        "whose attestation it is was not examined"
    LexiconInvalid = "lexicon-invalid" Error
        "the record does not keep its lexicon"

    // Evidence from the manufacturer.
    AppattestNotBound = "appattest-not-bound" Error
        "the App Attest object does not verify, or does not vouch for the signing key"
    MdaNotBound = "mda-not-bound" Error
        "the device attestation chain does not vouch for the signing key"
    MdaInvalid = "mda-invalid" Error
        "the device attestation chain does not verify"
    MdaError = "mda-error" Error
        "the device attestation chain could not be examined"
    MdaEmptyChain = "mda-empty-chain" Error
        "the device attestation chain holds no certificate"
    MdaParse = "mda-parse" Error
        "a certificate of the device attestation chain cannot be read"
    MdaBadTrustAnchor = "mda-bad-trust-anchor" Error
        "the root that device attestation chains must lead to cannot be read"
    MdaNotValid = "mda-not-valid" Error
        "a certificate of the device attestation chain was not valid at the time"
    MdaBadSignature = "mda-bad-signature" Error
        "a certificate of the device attestation chain is not signed by the next"
    MdaLeafIsCa = "mda-leaf-is-ca" Error
        "the first certificate of the device attestation chain is an authority's"
    MdaNonCaIssuer = "mda-non-ca-issuer" Error
        "a certificate of the device attestation chain is issued by one that may not issue any"
    MdaBadDer = "mda-bad-der" Error
        "an extension of the device attestation chain is malformed"

    // A broker's witness.
    BrokerageCountersignatureInvalid = "brokerage-countersignature-invalid" Error
        "the broker's countersignature is not by a trusted broker, or does not verify"

    // Settlements beside their receipt and authorization.
    WrongExchange = "wrong-exchange" Error
        "the authorization is for another exchange"
    OverCeiling = "over-ceiling" Error
        "the amount charged exceeds the authorization's ceiling"
    SplitMismatch = "split-mismatch" Error
        "payout and fee do not add up to the amount charged"
    AmountVsPrice = "amount-vs-price" Error
        "the amount charged is not the receipt's price"

    // What an exchange examines before it charges.
    AlreadySettled = "already-settled" Error
        "the receipt was settled before"
    JobOwnerMismatch = "job-owner-mismatch" Error
        "the receipt's requester does not own the job"
    AuthJobLink = "auth-job-link" Error
        "the job names another authorization"
    AuthExpired = "auth-expired" Error
        "the authorization has expired"
    NonNegativeInteger = "non-negative-integer" Error
        "a price or a count of tokens is no integer from zero on"
    UnknownScope = "unknown-scope" Error
        "the authorization's scope is neither singleJob nor session"
    PriceOverJobCeiling = "price-over-job-ceiling" Error
        "the price exceeds the job's ceiling"
    CurrencyMismatchAuth = "currency-mismatch-auth" Error
        "the price and the authorization's ceiling are in different currencies"
    PriceOverAuthCeiling = "price-over-auth-ceiling" Error
        "the price exceeds the authorization's ceiling"
    TokensOverJobCeiling = "tokens-over-job-ceiling" Error
        "more tokens were produced than the job allows"
    ExchangeNotAllowed = "exchange-not-allowed" Error
        "the job does not accept this exchange"
    JobCompletedAfterExpiry = "job-completed-after-expiry" Error
        "the work was completed after the job expired"
    AuthorizationOwnerMismatch = "authorization-owner-mismatch" Error
        "the authorization is not in the requester's repository"
    AuthorizationAlreadyConsumed = "authorization-already-consumed" Error
        "the authorization for a single job paid for another receipt"
    SessionBudgetExceeded = "session-budget-exceeded" Error
        "the session's charges exceed its budget"

    // Whether a prompt may be sealed to a provider.
    AttestationSignatureInvalid = "attestation-signature-invalid" Error
        "the attestation is not signed by its own key"
    NoMdaChain = "no-mda-chain" Error
        "there is no usable evidence from the manufacturer"
    MdaUnbound = "mda-unbound" Error
        "the device attestation chain does not vouch for the signing key"
    MdaNoBindingMaterial = "mda-no-binding-material" Error
        "the device attestation chain holds nothing that could vouch for a key"
    KeyNotHardwareBound = "key-not-hardware-bound" Error
        "the signing key itself is not the attested one"
    NoCdhash = "no-cdhash" Error
        "the agent's code was not measured"
    NoKnownGoodSet = "no-known-good-set" Error
        "no measurements of known code were given"
    CdhashUnknown = "cdhash-unknown" Error
        "the agent's code is not among the known"
    NoMetallibHash = "no-metallib-hash" Error
        "the shader library was not measured"
    MetallibUnknown = "metallib-unknown" Error
        "the shader library is not among the known"
    NoEngineLibHash = "no-engine-lib-hash" Error
        "the engine's library was not measured"
    EngineLibUnknown = "engine-lib-unknown" Error
        "the engine's library is not among the known"
    SipOff = "sip-off" Error
        "System Integrity Protection is not on"
    SecureBootOff = "secure-boot-off" Error
        "Secure Boot is not on"
    NoHardenedRuntime = "no-hardened-runtime" Error
        "the agent does not run under the hardened runtime"
    NoLibraryValidation = "no-library-validation" Error
        "the agent loads libraries that nobody validated"
    GetTaskAllow = "get-task-allow" Error
        "other processes may debug the agent, or nothing says that they may not"
    NotInProcess = "not-in-process" Error
        "inference does not happen inside the measured process"
    NoAntiDebug = "no-anti-debug" Error
        "debuggers are not refused"
    CoreDumpsEnabled = "core-dumps-enabled" Error
        "a crash may write memory to disk"
    EnvNotScrubbed = "env-not-scrubbed" Error
        "dangerous environment variables were not cleared"
    MdaSipOff = "mda-sip-off" Error
        "the device attestation says that System Integrity Protection is off"
    MdaSecureBootOff = "mda-secure-boot-off" Error
        "the device attestation says that Secure Boot is off"
    OsBelowFloor = "os-below-floor" Error
        "the operating system is older than allowed"
    AttestationExpired = "attestation-expired" Error
        "the attestation is not valid at this time"
    SessionNonceMismatch = "session-nonce-mismatch" Error
        "the session key answers another nonce"
    SessionAttestationMismatch = "session-attestation-mismatch" Error
        "the session key names another attestation"
    SessionSignatureInvalid = "session-signature-invalid" Error
        "the session key is not signed by the attested key"
    NoSessionKey = "no-session-key" Error
        "a session key is required and there is none"
    NoEncryptionKey = "no-encryption-key" Error
        "there is no key to seal to"
    CodeNotAttested = "code-not-attested" Error
        "nobody vouches for the identity of the running code"
    SeKeyNotAvailable = "se-key-not-available" Error
        "no Secure Enclave key is available"

    // Receipts: what the existing verifier does not look at.
    XRecordCidMismatch = "x-record-cid-mismatch" Error
        "a record does not hash to the CID under which it is kept"
    XRecordUnproven = "x-record-unproven" Error
        "that a record stands in its repository is not proven"
    XJobCidMismatch = "x-job-cid-mismatch" Error
        "the receipt pins another version of the job"
    XAttestationCidMismatch = "x-attestation-cid-mismatch" Error
        "the receipt pins another version of the attestation"
    XJobRefInvalid = "x-job-ref-invalid" Error
        "the receipt's job is no URI of a job in the job's repository"
    XAttestationRefInvalid = "x-attestation-ref-invalid" Error
        "the receipt's attestation is no URI of an attestation in its repository"
    XRequesterNotJobOwner = "x-requester-not-job-owner" Error
        "the receipt's requester does not own the job"
    XProviderNotAccepted = "x-provider-not-accepted" Error
        "the job does not accept this provider"
    XTrustLevelTooLow = "x-trust-level-too-low" Error
        "the job demands hardware attestation"
    XTokensOverCeiling = "x-tokens-over-ceiling" Error
        "more tokens were produced than the job allows"
    XTimeUnparseable = "x-time-unparseable" Error
        "an instant cannot be read"
    XTimeOrder = "x-time-order" Error
        "instants are in an impossible order"
    XJobLexiconInvalid = "x-job-lexicon-invalid" Error
        "the job does not keep its lexicon"
    XAttestationLexiconInvalid = "x-attestation-lexicon-invalid" Error
        "the attestation does not keep its lexicon"
    XCommitmentShape = "x-commitment-shape" Error
        "an optional hash is not 64 lower-case hex digits"
    XSessionFieldsIncomplete = "x-session-fields-incomplete" Warning
        "one of sessionKeyCommitment and sessionNonce is missing"
    XOutputSchemaHashMismatch = "x-output-schema-hash-mismatch" Error
        "the hash of the output schema is not that of the job's"
    XToolSchemaHashMismatch = "x-tool-schema-hash-mismatch" Error
        "the hash of the tools is not that of the job's"
    XSignatureEncoding = "x-signature-encoding" Warning
        "a signature verifies only when its encoding is read leniently"
    XAttestationLegacyForm = "x-attestation-legacy-form" Warning
        "the attestation's signature verifies only in the form of earlier agents"
    XSigSchemeUnknown = "x-sig-scheme-unknown" Warning
        "the attestation's sigScheme is unknown, and read as p256"
    XTierOverclaimed = "x-tier-overclaimed" Warning
        "the receipt claims a confidentiality that nothing proves"
    XProviderKeyMismatch = "x-provider-key-mismatch" Error
        "no provider record of the repository has the attestation's key"
    XCurrencyNonconforming = "x-currency-nonconforming" Warning
        "a currency has two letters where the lexicon wants three"
    XHardwareEvidenceExpired = "x-hardware-evidence-expired" Info
        "the evidence from the manufacturer was valid when it was used and has expired since"
    XAttestationWindowTooLong = "x-attestation-window-too-long" Warning
        "the attestation claims to be valid for more than seven days"
    XDuplicateJobReceipt = "x-duplicate-job-receipt" Warning
        "an earlier receipt is for the same job"
    XJobNonceReused = "x-job-nonce-reused" Warning
        "two jobs of the requester share a nonce"
    XWitnessNonceReused = "x-witness-nonce-reused" Error
        "the broker's nonce witnesses another receipt"
    XAttestationNotCurrent = "x-attestation-not-current" Info
        "the attestation has been overwritten or deleted since"
    XOwnerTombstoned = "x-owner-tombstoned" Warning
        "the account of the provider or the requester is not active"
    XChainNotStrict = "x-chain-not-strict" Error
        "the evidence from the manufacturer breaks a rule of its format"
    XDidDocumentMismatch = "x-did-document-mismatch" Error
        "a DID document is about another DID"
    XAuthorityKeyFormer = "x-authority-key-former" Info
        "the key is known from a DID document of another time"
    XCompanyPartial = "x-company-partial" Info
        "not all other records were looked at"

    // Settlements: what the existing verifier does not look at.
    XReceiptCidMismatch = "x-receipt-cid-mismatch" Error
        "the settlement pins another version of the receipt"
    XAuthorizationCidMismatch = "x-authorization-cid-mismatch" Error
        "the settlement pins another version of the authorization"
    XReceiptRefInvalid = "x-receipt-ref-invalid" Error
        "the settlement's receipt is no URI of a receipt in its repository"
    XAuthorizationRefInvalid = "x-authorization-ref-invalid" Error
        "the settlement's authorization is no URI of an authorization in its repository"
    XAuthorizationNotRequesters = "x-authorization-not-requesters" Error
        "the authorization is not in the requester's repository"
    XJobAuthorizationMismatch = "x-job-authorization-mismatch" Error
        "the job names another authorization"
    XExchangeNotAccepted = "x-exchange-not-accepted" Error
        "the job does not accept this exchange"
    XCurrencyInconsistent = "x-currency-inconsistent" Error
        "amounts are in different currencies"
    XCurrencyUnsupported = "x-currency-unsupported" Warning
        "the policy does not support the currency"
    XSettlementLexiconInvalid = "x-settlement-lexicon-invalid" Error
        "the settlement does not keep its lexicon"
    XAuthorizationLexiconInvalid = "x-authorization-lexicon-invalid" Error
        "the authorization does not keep its lexicon"
    XStatusUnknown = "x-status-unknown" Error
        "the settlement's status is unknown"
    XScopeUnknown = "x-scope-unknown" Error
        "the authorization's scope is unknown"
    XRefundRefMissing = "x-refund-ref-missing" Error
        "a refund does not name what it refunds"
    XRefundRefInvalid = "x-refund-ref-invalid" Error
        "what the refund names is no settlement of the same receipt by the same exchange"
    XRefundRefUnexpected = "x-refund-ref-unexpected" Error
        "a settlement that is no refund names one that it refunds"
    XRefundExceedsOriginal = "x-refund-exceeds-original" Error
        "the refund is larger than what was charged, or in another currency"
    XProBonoNonzeroSettlement = "x-pro-bono-nonzero-settlement" Error
        "money moved for a pro bono receipt"
    XSettledBeforeCompletion = "x-settled-before-completion" Warning
        "the settlement is older than the work"
    XAuthorizationExpired = "x-authorization-expired" Error
        "the authorization had expired"
    XPolicyRefInvalid = "x-policy-ref-invalid" Error
        "the settlement's policy is not one of the exchange's, or another version"
    XExchangeAttestationRefInvalid = "x-exchange-attestation-ref-invalid" Error
        "the settlement's exchange attestation is not the exchange's, or another version"
    XPolicyAttestationDisagree = "x-policy-attestation-disagree" Warning
        "the exchange attestation names another policy"
    XFeePolicyMismatch = "x-fee-policy-mismatch" Error
        "the fee is not what the policy says"
    XSigMissing = "x-sig-missing" Warning
        "the exchange did not sign the record"
    XSigInvalid = "x-sig-invalid" Error
        "the exchange's signature does not verify"
    XSigKeyUnresolved = "x-sig-key-unresolved" Warning
        "no key of the exchange is known"
    XSigKeyFingerprintMismatch = "x-sig-key-fingerprint-mismatch" Error
        "the exchange attestation names another key"
    XReceiptInvalid = "x-receipt-invalid" Error
        "the receipt itself does not verify"
    XDuplicateSettlement = "x-duplicate-settlement" Error
        "the exchange settled the receipt before"
    XAuthorizationReused = "x-authorization-reused" Error
        "the authorization for a single job paid for another receipt"
    XSessionBudgetExceeded = "x-session-budget-exceeded" Error
        "the session's charges exceed its budget"

    // The other records of an exchange.
    XPriceOffRate = "x-price-off-rate" Warning
        "the price is not what the policy's rate makes of the tokens"
    XDisputeExchangeMismatch = "x-dispute-exchange-mismatch" Error
        "the dispute is not in its exchange's repository"
    XDisputeSettlementInvalid = "x-dispute-settlement-invalid" Error
        "what is disputed is no settlement of the exchange"
    XDisputeOutcomeMissing = "x-dispute-outcome-missing" Error
        "the dispute is resolved without an outcome"
    XDisputeRefundMissing = "x-dispute-refund-missing" Error
        "the dispute ends in a refund and names none"
    XDisputeRefundInvalid = "x-dispute-refund-invalid" Error
        "the refund is not the one that the verdict calls for"
    XGrantDuplicate = "x-grant-duplicate" Error
        "the exchange made the recipient an earlier grant"
    XGrantAmount = "x-grant-amount" Error
        "the grant is not what the policy says"
    XGrantExchangeMismatch = "x-grant-exchange-mismatch" Error
        "the grant is not in its exchange's repository"
    XPatronageAmount = "x-patronage-amount" Error
        "the credit is not the recipient's share"
    XPatronageOverPool = "x-patronage-over-pool" Error
        "a period's credits exceed what was to be shared"
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_code_has_one_text_and_comes_back_from_it() {
        let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_text(code.as_str()), Some(*code));
            assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
        }
        assert_eq!(Code::from_text("x-unheard-of"), None);
    }

    #[test]
    fn what_the_existing_verifier_raises_is_an_error() {
        for code in Code::ALL.iter().filter(|code| !code.is_extension()) {
            assert_eq!(code.severity(), Severity::Error, "{code}");
        }
    }

    #[test]
    fn a_finding_is_written_with_the_words_of_the_lexicon() {
        let finding = Finding::new(Code::XSigMissing).saying("no sig in at://…");
        assert_eq!(
            serde_json::to_string(&finding).unwrap(),
            r#"{"severity":"warning","code":"x-sig-missing","message":"no sig in at://…"}"#
        );
    }
}
