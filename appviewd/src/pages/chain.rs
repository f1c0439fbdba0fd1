//! Who signed what: a receipt's verification as a picture, a lane for each repository and an edge for each reference.

use appview_core::block::Cid;
use appview_core::record::TypedRecord;
use appview_core::record::compute::{
    Attestation, ExchangePolicy, Job, PaymentAuthorization, Receipt, Settlement,
};
use appview_core::syntax::datetime_unix_micros;
use appview_core::trust::{Evidence, Exhibit, Role};
use maud::{Markup, html};

use super::name::{Name, Side};
use super::part::{Mark, Moment, State, identifier, number};
use super::receipts::{money, took};
use super::verdict::{Count, Verdict};

/// A record of the evidence, and where it stands.
#[derive(Debug)]
pub(super) struct Found<'e, T> {
    pub(super) exhibit: &'e Exhibit,
    pub(super) record: T,
}

/// The record that a strong reference names, if it is in evidence and is one.
pub(super) fn find<'e, T: TypedRecord>(evidence: &'e Evidence, uri: &str, cid: &str) -> Option<Found<'e, T>> {
    let cid: Option<Cid> = cid.parse().ok();
    let exhibit = evidence.find_version(uri, cid)?;
    let record = T::from_block(exhibit.block()).ok()?;
    Some(Found { exhibit, record })
}

/// All that the picture is made of.
#[derive(Debug)]
pub(super) struct Chain<'e> {
    pub(super) receipt: Found<'e, Receipt>,
    pub(super) job: Option<Found<'e, Job>>,
    pub(super) attestation: Option<Found<'e, Attestation>>,
    pub(super) authorization: Option<Found<'e, PaymentAuthorization>>,
    pub(super) settlement: Option<Found<'e, Settlement>>,
    pub(super) policy: Option<Found<'e, ExchangePolicy>>,
}

impl<'e> Chain<'e> {
    /// What is in evidence of the receipt at `uri`, and of its settlement.
    pub(super) fn of(evidence: &'e Evidence, uri: &str, settlement: Option<&str>) -> Option<Self> {
        let exhibit = evidence.find(uri)?;
        let receipt = Found { exhibit, record: Receipt::from_block(exhibit.block()).ok()? };
        let job: Option<Found<'_, Job>> = find(evidence, &receipt.record.job.uri, &receipt.record.job.cid);
        let attestation = &receipt.record.attestation;
        let attestation = find(evidence, &attestation.uri, &attestation.cid);
        let settlement: Option<Found<'_, Settlement>> = settlement.and_then(|uri| find(evidence, uri, ""));
        let drawn_on = settlement.as_ref().map(|settlement| &settlement.record.requester_authorization);
        let named = job.as_ref().map(|job| &job.record.payment_authorization);
        let authorization = drawn_on.or(named).and_then(|link| find(evidence, &link.uri, &link.cid));
        let policy = settlement.as_ref().and_then(|settlement| settlement.record.policy.as_ref());
        let policy = policy.and_then(|link| find(evidence, &link.uri, &link.cid));
        Some(Self { receipt, job, attestation, authorization, settlement, policy })
    }
}

/// Whose repositories the lanes are.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) requester: Name,
    pub(super) provider: Name,
    pub(super) exchange: Option<Name>,
}

/// Draws the picture.
pub(super) fn draw(
    chain: &Chain<'_>,
    lanes: &Lanes,
    receipt: Option<Verdict<'_>>,
    settlement: Option<Verdict<'_>>,
) -> Markup {
    let count = |verdict: Option<Verdict<'_>>, roles: &[Role]| {
        verdict.map(|verdict| verdict.count(roles)).unwrap_or_default()
    };
    let of_receipt = |role| count(receipt, &[role]);
    let of_settlement = |role| count(settlement, &[role]);
    let settled =
        count(settlement, &[Role::Settlement, Role::Receipt, Role::ExchangeAttestation, Role::Refunded]);
    html! {
        div.chain {
            div.lane {
                h3 { "Requester " (lanes.requester.link(Side::Person)) }
                (node(true, "1", "Job", chain.job.as_ref().map(|found| found.exhibit), of_receipt(Role::Job), job(chain)))
                (edge(of_settlement(Role::Authorization), "pays from"))
                (node(
                    false, "", "Authorization", chain.authorization.as_ref().map(|found| found.exhibit),
                    of_settlement(Role::Authorization), authorization(chain),
                ))
            }
            (edge(of_receipt(Role::Job), "answers"))
            div.lane {
                h3 { "Provider " (lanes.provider.link(Side::Provider)) }
                (node(true, "2", "Receipt", Some(chain.receipt.exhibit), of_receipt(Role::Receipt), work(chain)))
                (edge(of_receipt(Role::Attestation), "signed by the key in"))
                (node(
                    false, "3", "Attestation", chain.attestation.as_ref().map(|found| found.exhibit),
                    of_receipt(Role::Attestation), attestation(chain),
                ))
            }
            (edge(settled, "settles"))
            div.lane {
                h3 { "Exchange " @match &lanes.exchange { Some(name) => (name.link(Side::Person)), None => "–" } }
                (node(
                    true, "4", "Settlement", chain.settlement.as_ref().map(|found| found.exhibit), settled,
                    settlement_lines(chain),
                ))
                (edge(of_settlement(Role::Policy), "fee as in"))
                (node(
                    false, "", "Policy", chain.policy.as_ref().map(|found| found.exhibit),
                    of_settlement(Role::Policy), policy(chain),
                ))
            }
        }
    }
}

fn node(
    is_main: bool,
    step: &str,
    name: &str,
    exhibit: Option<&Exhibit>,
    count: Count,
    lines: Vec<Markup>,
) -> Markup {
    let state = if exhibit.is_some() { count.state() } else { State::None };
    let word = match (exhibit, state) {
        (None, _) => "not here".to_owned(),
        (_, State::None) => "not asked about".to_owned(),
        (_, State::Fail) => format!("{} fail", number(count.failed)),
        (_, State::Warn) if count.remarks == 1 => "1 remark".to_owned(),
        (_, State::Warn) => format!("{} remarks", number(count.remarks)),
        _ => "holds".to_owned(),
    };
    html! {
        div class={ "node " (if is_main { "main " } else { "side " }) (state.class()) } {
            h4 { span { @if !step.is_empty() { (step) " " } (name) } (Mark::new(state, word).markup()) }
            ul {
                @for line in lines { li { (line) } }
                @if let Some(exhibit) = exhibit { li { (identifier(exhibit.uri().rkey().unwrap_or_default())) } }
            }
        }
    }
}

fn edge(count: Count, word: &str) -> Markup {
    let state = count.state();
    html! {
        div class={ "edge " (state.class()) } {
            b { @if state != State::None { (Mark::new(state, count.word()).markup()) } span.soft { (word) } }
        }
    }
}

fn clock(text: &str, before: &str) -> Markup {
    html! {
        (before) " "
        @match datetime_unix_micros(text) {
            Ok(micros) => (Moment::InTable(micros).markup()),
            Err(_) => (text),
        }
    }
}

fn job(chain: &Chain<'_>) -> Vec<Markup> {
    let Some(Found { record: job, .. }) = &chain.job else {
        return missing("deleted, or its account is hidden");
    };
    vec![
        html! { "up to " (money(&job.price_ceiling)) ", " (number(job.max_tokens_out)) " tokens" },
        html! { span.cut title=(job.model) { (job.model) } },
        clock(&job.created_at, "ordered"),
    ]
}

fn authorization(chain: &Chain<'_>) -> Vec<Markup> {
    let Some(Found { record, .. }) = &chain.authorization else { return missing("none in evidence") };
    let scope = match record.scope.as_str() {
        "singleJob" => "for this job only",
        "session" => "for a session",
        _ => "of an unknown scope",
    };
    vec![html! { "up to " (money(&record.ceiling)) }, html! { (scope) }]
}

fn work(chain: &Chain<'_>) -> Vec<Markup> {
    let receipt = &chain.receipt.record;
    let took = took(receipt).map(|took| format!(", {}", super::part::millis(took))).unwrap_or_default();
    vec![
        html! { (number(receipt.tokens.input)) " tokens in, " (number(receipt.tokens.output)) " out" (took) },
        html! { (money(&receipt.price)) },
        clock(&receipt.completed_at, "completed"),
    ]
}

fn attestation(chain: &Chain<'_>) -> Vec<Markup> {
    let Some(Found { record, .. }) = &chain.attestation else { return missing("deleted, or never here") };
    let has_evidence = record.app_attest.is_some() || record.mda_cert_chain.is_some();
    vec![
        html! { (record.chip_name) ", macOS " (record.os_version) },
        html! { @if has_evidence { "with hardware evidence" } @else { "no hardware evidence" } },
    ]
}

fn settlement_lines(chain: &Chain<'_>) -> Vec<Markup> {
    let Some(Found { record, .. }) = &chain.settlement else {
        return missing("no exchange that the requester authorized has settled it");
    };
    vec![
        html! { (record.status) ", charged " (money(&record.amount_charged)) },
        html! {
            "payout " (number(record.provider_payout.amount)) ", fee " (number(record.exchange_fee.amount))
        },
        clock(&record.settled_at, "settled"),
    ]
}

fn policy(chain: &Chain<'_>) -> Vec<Markup> {
    let Some(Found { record, .. }) = &chain.policy else { return missing("none in evidence") };
    let hundredths = record.fee.bps;
    let percent = match hundredths % 100 {
        0 => format!("{} %", hundredths / 100),
        rest => format!("{}.{rest:02} %", hundredths / 100),
    };
    let version =
        record.terms_version.as_deref().map(|version| format!(", terms {version}")).unwrap_or_default();
    vec![html! { "fee " (percent) (version) }]
}

fn missing(why: &str) -> Vec<Markup> {
    vec![html! { span.soft { (why) } }]
}
