//! Typed views of the `dev.cocore.compute` records.
//!
//! Member by member as the lexicons name them; what a member means, in which unit and who checks it, is told there.

mod exchange;
mod job;
mod machine;

pub use exchange::{
    Dispute, DisputeOutcome, DisputeReason, ExchangeAttestation, ExchangePolicy, FeeSchedule, PatronageRule,
    RefreshRule, SelfLoopRule, Settlement, TermsAcceptance, TokenRate,
};
pub use job::{
    BrokerageCountersignature, GenerationParams, Job, Money, OutputSchema, PaymentAuthorization, Receipt,
    TokenCounts, Tool, ToolFunction,
};
pub use machine::{
    AdvisorFault, AppAttest, Attestation, AttestationFault, EngineFault, ModelPrice, ProBonoPolicy, Provider,
};
