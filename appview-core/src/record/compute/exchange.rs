//! Exchanges: their terms, who agreed to them, and the money they moved.

use super::Money;
use crate::record::view::views;
use crate::record::{Bytes, StrongRef};

views! {
    /// The terms of an exchange.
    record ExchangePolicy {
        required {
            /// The exchange's DID.
            exchange: String,
            /// The exchange's share.
            fee: FeeSchedule,
            /// The currencies it settles in.
            supported_currencies: Vec<String>,
            /// The rule for requester and provider being one.
            self_loop: SelfLoopRule,
            /// When it was published.
            created_at: String,
        }
        optional {
            /// One price for all models.
            token_rate: TokenRate,
            /// What moves the money.
            processor: String,
            /// Where the terms of use are.
            terms_uri: String,
            /// Their version.
            terms_version: String,
            /// Credits a newcomer gets.
            token_grant: i64,
            /// Credits that must remain.
            token_floor: i64,
            /// The DID that takes fees and pays patronage.
            treasury_did: String,
            /// Recurring credits.
            weekly_refresh: RefreshRule,
            /// What returns to those who traded.
            patronage_distribution: PatronageRule,
            /// Whether it applies to new business; true when absent.
            active: bool,
        }
    }

    /// How an exchange's share is computed.
    object FeeSchedule {
        required {
            /// Hundredths of a percent.
            bps: i64,
            /// The least fee, in the currency's smallest unit.
            min_minor: i64,
            /// The currency of `min_minor`.
            currency: String,
        }
        optional {}
    }

    /// One price for all models.
    object TokenRate {
        required {
            /// The price of a million input tokens.
            input_price_per_m_tok: i64,
            /// The price of a million output tokens.
            output_price_per_m_tok: i64,
            /// The currency of both.
            currency: String,
        }
        optional {}
    }

    /// What is charged when requester and provider are one account.
    object SelfLoopRule {
        required {
            /// Whether there is no fee.
            fee_waived: bool,
        }
        optional {
            /// The flat fee otherwise.
            min_minor: i64,
        }
    }

    /// Recurring credits.
    object RefreshRule {
        required {
            /// Credits each time.
            amount_per_did: i64,
            /// The period in minutes.
            cadence_minutes: i64,
        }
        optional {}
    }

    /// How part of a treasury returns to those who traded.
    object PatronageRule {
        required {
            /// Hundredths of a percent of the treasury.
            fraction_bps: i64,
            /// The period in days.
            cadence_days: i64,
        }
        optional {}
    }

    /// An exchange's account of the software and key it runs with.
    record ExchangeAttestation {
        required {
            /// The exchange's DID.
            exchange: String,
            /// The policy published with it.
            policy: StrongRef,
            /// The software's version.
            software_version: String,
            /// Which key signs.
            signing_key_fingerprint: String,
            /// When it was published.
            created_at: String,
        }
        optional {
            /// What the exchange says about oversight.
            audit_posture: String,
        }
    }

    /// A user's agreement to an exchange's terms.
    record TermsAcceptance {
        required {
            /// The exchange's DID.
            exchange: String,
            /// The policy shown.
            policy: StrongRef,
            /// The version accepted.
            terms_version: String,
            /// The address of the text accepted.
            terms_uri: String,
            /// When it was accepted.
            accepted_at: String,
        }
        optional {
            /// The program it was accepted with.
            user_agent: String,
            /// The exchange attestation that tells the key.
            attestation: StrongRef,
            /// The exchange's signature.
            sig: String,
        }
    }

    /// An exchange's account of the money moved for one receipt.
    record Settlement {
        required {
            /// The receipt paid for.
            receipt: StrongRef,
            /// The permission to charge.
            requester_authorization: StrongRef,
            /// Taken from the requester, or given back.
            amount_charged: Money,
            /// The provider's share.
            provider_payout: Money,
            /// The exchange's share.
            exchange_fee: Money,
            /// The exchange's own handle of the payment.
            processor_reference: Bytes,
            /// `settled`, `refunded` or `disputed`.
            status: String,
            /// When the books were changed.
            settled_at: String,
        }
        optional {
            /// The charge given back.
            refund_of: StrongRef,
            /// The policy the fee follows.
            policy: StrongRef,
            /// The exchange attestation in force.
            exchange_attestation: StrongRef,
            /// The exchange's signature.
            sig: String,
        }
    }

    /// An objection to a settlement.
    record Dispute {
        required {
            /// The settlement complained about.
            settlement: StrongRef,
            /// The exchange's DID.
            exchange: String,
            /// The DID that complained.
            raised_by: String,
            /// When the complaint arrived.
            raised_at: String,
            /// What it is about.
            reason: DisputeReason,
            /// `open` or `resolved`.
            status: String,
            /// When it was published.
            created_at: String,
        }
        optional {
            /// The decision.
            outcome: DisputeOutcome,
            /// The CID of material kept elsewhere.
            evidence_cid: String,
            /// The exchange's signature.
            sig: String,
        }
    }

    /// Why a [`Dispute`] was raised.
    object DisputeReason {
        required {
            /// The kind of complaint.
            category: String,
        }
        optional {
            /// The complaint in words.
            detail: String,
        }
    }

    /// How a [`Dispute`] was decided.
    object DisputeOutcome {
        required {
            /// The decision.
            verdict: String,
            /// When it was made.
            decided_at: String,
        }
        optional {
            /// The settlement that pays back.
            refund_settlement: StrongRef,
            /// The reasons.
            rationale: String,
        }
    }
}
