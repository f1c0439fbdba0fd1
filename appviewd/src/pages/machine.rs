//! Machines on offer: what their owners claim, and what the machine's own key has signed.

use appview_core::index::IndexReader;
use appview_core::query::{Limit, QueryError, RecordView, Span};
use appview_core::record::TypedRecord as _;
use appview_core::record::compute::{Attestation, ModelPrice, Provider};
use appview_core::syntax::Did;
use maud::{Markup, html};

use super::part::{Mark, State, identifier, number};

/// Attestations of a provider that are looked through for a machine's key: it makes one a day.
const ATTESTATIONS: i64 = 20;

/// A machine, and its newest attestation under the key that it names.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) provider: Provider,
    attestation: Option<Attestation>,
}

/// The machines in these records.
///
/// # Errors
///
/// Failing input or damage.
pub(super) fn machines(
    index: &IndexReader,
    owner: &Did,
    records: &[RecordView],
) -> Result<Vec<Machine>, QueryError> {
    let attested = index.list_attestations(Some(owner), Span::ALWAYS, Limit::clamp(ATTESTATIONS), None)?;
    let attested: Vec<Attestation> =
        attested.items.iter().filter_map(|record| Attestation::from_block(&record.block).ok()).collect();
    let offered = records.iter().filter_map(|record| Provider::from_block(&record.block).ok());
    let machines = offered.map(|provider| {
        let key = &provider.attestation_pub_key;
        let attestation = attested.iter().find(|attestation| attestation.public_key == *key).cloned();
        Machine { provider, attestation }
    });
    Ok(machines.collect())
}

/// Whether a machine says that it works.
pub(super) fn serving(provider: &Provider) -> Mark {
    let faults = [
        provider.engine_fault.as_ref().map(|fault| &fault.code),
        provider.attestation_fault.as_ref().map(|fault| &fault.code),
        provider.advisor_fault.as_ref().map(|fault| &fault.code),
    ];
    let fault = faults.into_iter().flatten().next();
    match (provider.active, provider.serving, fault) {
        (Some(false), _, _) => Mark::new(State::None, "switched off"),
        (_, _, Some(fault)) => Mark::new(State::Warn, fault.clone()),
        (_, Some(true), None) => Mark::new(State::Pass, "serving"),
        _ if provider.provisioning == Some(true) => Mark::new(State::Info, "loading"),
        (_, Some(false), None) => Mark::new(State::None, "not serving"),
        (_, None, None) => Mark::new(State::Info, "on offer"),
    }
}

/// What a machine is, in a few words.
pub(super) fn hardware(provider: &Provider) -> String {
    format!("{}, {} GB", provider.chip, number(provider.ram_gb))
}

/// The confidentiality that an owner claims: without a word, the least.
pub(super) fn tier(provider: &Provider) -> &str {
    provider.tier.as_deref().unwrap_or("best-effort")
}

/// What a model costs on a machine: a million tokens in, a million out, in which currency.
pub(super) fn price<'p>(provider: &'p Provider, model: &str) -> Option<&'p ModelPrice> {
    provider.price_list.iter().find(|price| price.model_id == model)
}

impl Machine {
    /// What is claimed beside what is attested.
    pub(super) fn readings(&self) -> Markup {
        let Self { provider, attestation } = self;
        let attested = |tell: &dyn Fn(&Attestation) -> Markup| match attestation {
            Some(attestation) => tell(attestation),
            None => html! { span.soft { "no attestation" } },
        };
        let nothing = || html! { span.soft { "–" } };
        let not_told = || html! { span.soft { "not told" } };
        let switch = |name: &str, is_on: bool| match is_on {
            true => Mark::new(State::Pass, format!("{name} on")).markup(),
            false => Mark::new(State::Warn, format!("{name} off")).markup(),
        };
        let text = |text: Option<&str>| text.map_or_else(nothing, |text| html! { (text) });
        let rows = [
            (
                "Processor",
                html! { (provider.chip) },
                attested(&|attestation| {
                    let is_same = attestation.chip_name == provider.chip;
                    Mark::new(if is_same { State::Pass } else { State::Warn }, &attestation.chip_name)
                        .markup()
                }),
            ),
            ("Memory", html! { (number(provider.ram_gb)) " GB" }, not_told()),
            (
                "System",
                text(provider.os.as_deref()),
                attested(&|attestation| html! { "macOS " (attestation.os_version) }),
            ),
            (
                "Trust level",
                html! { (provider.trust_level) },
                attested(&|attestation| {
                    let has_evidence =
                        attestation.app_attest.is_some() || attestation.mda_cert_chain.is_some();
                    html! { span.soft { @if has_evidence { "with hardware evidence" } @else { "no hardware evidence" } } }
                }),
            ),
            ("Tier", html! { (tier(provider)) }, attested(&|attestation| text(attestation.tier.as_deref()))),
            (
                "Secure Boot",
                nothing(),
                attested(&|attestation| switch("Secure Boot", attestation.secure_boot_enabled)),
            ),
            ("SIP", nothing(), attested(&|attestation| switch("SIP", attestation.sip_enabled))),
            ("Key", identifier(&provider.attestation_pub_key), attested(&|_| html! { "the same key" })),
            (
                "Valid until",
                nothing(),
                attested(&|attestation| match appview_core::syntax::datetime_unix_micros(
                    &attestation.expires_at,
                ) {
                    Ok(micros) => super::part::Moment::InTable(micros).markup(),
                    Err(_) => html! { (attestation.expires_at) },
                }),
            ),
        ];
        html! {
            table.stack.pairs {
                caption { (provider.machine_label) ": " (serving(provider).markup()) }
                thead {
                    tr {
                        th scope="col" { "Reading" }
                        th scope="col" { "Claimed" }
                        th scope="col" { "Attested" }
                    }
                }
                tbody {
                    @for (name, claimed, attested) in rows {
                        tr {
                            th scope="row" { (name) }
                            td data-l="Claimed" { (claimed) }
                            td data-l="Attested" { (attested) }
                        }
                    }
                }
            }
        }
    }
}
