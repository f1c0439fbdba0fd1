//! One receipt: whether it holds, who signed what, every check, the records themselves, and how to check it without us.

use appview_core::block::json::write_json;
use appview_core::index::IndexReader;
use appview_core::query::QueryError;
use appview_core::record::TypedRecord as _;
use appview_core::record::compute::Receipt;
use appview_core::syntax::{AtUri, Did};
use appview_core::trust::{Evidence, Exhibit, TrustLevel};
use maud::{Markup, html};
use serde_json::Value as Json;

use super::chain::{Chain, Lanes, draw};
use super::earned::{Payment, payments};
use super::name::{Name, Names, Side};
use super::part::{Href, Mark, Moment, State, facts, identifier, long_identifier, millis, number};
use super::receipts::{money, took};
use super::verdict::{OfReceipt, OfSettlement, Verdict};
use super::{Page, Section, Sheet};

/// What is found of a receipt, and what is thought of it.
#[derive(Debug)]
pub(crate) struct ReceiptPage {
    uri: AtUri,
    at: i64,
    cid: String,
    receipt: Receipt,
    lanes: Lanes,
    payments: Vec<Payment>,
    /// What the receipt is judged by.
    pub(crate) evidence: Evidence,
    /// The settlement that counts, with what it is judged by.
    pub(crate) settlement: Option<(AtUri, Evidence)>,
    raw: Vec<(&'static str, String)>,
    verdict: Option<OfReceipt>,
    settled: Option<OfSettlement>,
}

impl ReceiptPage {
    /// Asks the index; nothing if it shows no receipt at this address.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub(crate) fn read(index: &IndexReader, uri: &AtUri) -> Result<Option<Self>, QueryError> {
        let Some(record) = index.record(uri)? else { return Ok(None) };
        let Ok(receipt) = Receipt::from_block(&record.block) else { return Ok(None) };
        let names = Names::of(index);
        let payments = payments(index, &record, &receipt)?;
        let counts = payments.iter().find(|payment| !payment.is_refund()).or_else(|| payments.first());
        let settlement = match counts {
            Some(payment) => Some((payment.uri.clone(), index.settlement_evidence(&payment.uri)?)),
            None => None,
        };
        let evidence = index.receipt_evidence(uri)?;
        let lanes = Lanes {
            requester: names.meant(&receipt.requester)?,
            provider: names.name(&record.repo)?,
            exchange: counts.map(|payment| names.meant(payment.uri.authority())).transpose()?,
        };
        let mut page = Self {
            uri: uri.clone(),
            at: record.indexed_at_micros(),
            cid: record.cid.to_string(),
            receipt,
            lanes,
            payments,
            evidence,
            settlement,
            raw: Vec::new(),
            verdict: None,
            settled: None,
        };
        page.raw = page.records(&names)?;
        Ok(Some(page))
    }

    /// Its address.
    pub(crate) const fn uri(&self) -> &AtUri {
        &self.uri
    }

    /// The page once both have been judged.
    #[must_use]
    pub(crate) fn judged(self, verdict: OfReceipt, settled: Option<OfSettlement>) -> Self {
        Self { verdict: Some(verdict), settled, ..self }
    }

    fn chain(&self) -> Option<Chain<'_>> {
        // The evidence of a settlement has that of its receipt in it.
        let (settlement, evidence) = match &self.settlement {
            Some((uri, evidence)) => (Some(uri.as_str()), evidence),
            None => (None, &self.evidence),
        };
        Chain::of(evidence, self.uri.as_str(), settlement)
    }

    /// The records of the chain as JSON.
    fn records(&self, names: &Names<'_>) -> Result<Vec<(&'static str, String)>, QueryError> {
        let Some(chain) = self.chain() else { return Ok(Vec::new()) };
        let exhibits = [
            ("Receipt", Some(chain.receipt.exhibit)),
            ("Job", chain.job.as_ref().map(|found| found.exhibit)),
            ("Attestation", chain.attestation.as_ref().map(|found| found.exhibit)),
            ("Authorization", chain.authorization.as_ref().map(|found| found.exhibit)),
            ("Settlement", chain.settlement.as_ref().map(|found| found.exhibit)),
            ("Policy", chain.policy.as_ref().map(|found| found.exhibit)),
        ];
        let found = exhibits.into_iter().filter_map(|(name, exhibit)| Some((name, json(exhibit?)?)));
        found.map(|(name, json)| Ok((name, without_hidden(&json, names)?))).collect()
    }

    fn verdict(&self) -> Markup {
        let (state, title, sentence) = match &self.verdict {
            Some(Ok(verdict)) => {
                let of = Verdict::from(&**verdict);
                let trust = match verdict.trust_level {
                    TrustLevel::HardwareAttested => {
                        "The manufacturer’s hardware vouches for the key that signed it."
                    }
                    TrustLevel::SelfAttested => "The machine alone vouches for the key that signed it.",
                };
                let faults: Vec<String> = of.faults().map(|fault| fault.message.to_string()).collect();
                let counted = of.count(&[]).sentence();
                match of.ok {
                    true => (State::Pass, "It holds", format!("{counted} {trust}")),
                    false => (State::Fail, "It does not hold", format!("{}. {counted}", faults.join("; "))),
                }
            }
            Some(Err(missing)) => {
                let why = format!(
                    "The {} is not here: it was deleted, or its account is hidden. Without it there is nothing to hold the \
                     receipt against.",
                    missing.role
                );
                (State::None, "It can’t be judged", why)
            }
            None => (State::None, "It has not been judged", String::new()),
        };
        html! {
            div class={ "verdict " (state.class()) } {
                strong { (Mark::new(state, title).markup()) }
                p { (sentence) }
            }
        }
    }

    /// What the settlement comes to, in a sentence.
    fn settled(&self) -> Markup {
        let told =
            self.settled.as_ref().map(|settled| settled.as_ref().map(|verdict| Verdict::from(&**verdict)));
        html! {
            @match told {
                None => {},
                Some(Ok(verdict)) => {
                    p.small.gap {
                        @if verdict.ok { (Mark::new(State::Pass, "The settlement holds").markup()) }
                        @else { (Mark::new(State::Fail, "The settlement does not hold").markup()) }
                        ". " (verdict.count(&[]).sentence())
                        @for fault in verdict.faults() { " " (fault.message) "." }
                    }
                }
                Some(Err(missing)) => {
                    p.small.gap { "The settlement can’t be judged: the " (missing.role) " is not here." }
                }
            }
        }
    }

    fn checks(&self) -> Markup {
        let receipt = self.verdict.as_ref().and_then(|verdict| verdict.as_ref().ok());
        let settlement = self.settled.as_ref().and_then(|verdict| verdict.as_ref().ok());
        html! {
            @if let Some(verdict) = receipt {
                section aria-labelledby="h-checks" {
                    div.head {
                        h2 #h-checks { "Checks of the receipt" }
                        span.small.soft { "rules of version " (verdict.rules.version) }
                    }
                    (Verdict::from(&**verdict).table())
                }
            }
            @if let Some(verdict) = settlement {
                section aria-labelledby="h-settled" {
                    div.head {
                        h2 #h-settled { "Checks of the settlement" }
                        span.small.soft { "rules of version " (verdict.rules.version) }
                    }
                    (Verdict::from(&**verdict).table())
                }
            }
        }
    }

    fn by_hand(&self) -> Markup {
        let uri = self.uri.as_str();
        let rkey = self.uri.rkey().unwrap_or_default();
        let file = format!("receipt-{rkey}.car");
        let proof = Href::new("/xrpc/dev.cocore.appview.getRecord")
            .with("uri", Some(uri))
            .with("proof", Some("true"));
        let bundle = Href::to("/receipt/", uri).with("format", Some("car"));
        html! {
            section aria-labelledby="h-hand" {
                h2 #h-hand { "Check it yourself" }
                div.prose {
                    p {
                        "The file holds the records that the verdict is made of, each under its hash, and the documents of "
                        "whoever else signed. The command needs nothing but the file, and does not believe this index."
                    }
                    p { a.btn.quiet.no-print href=(bundle) download=(file) { "Download the evidence" } }
                    pre tabindex="0" aria-label="Command" {
                        code data-copy="command" { "appviewd verify receipt " (uri) " --bundle " (file) }
                    }
                    @if let Some((settlement, _)) = &self.settlement {
                        @let file = format!("settlement-{rkey}.car");
                        p {
                            "The same for the settlement: "
                            a href=(bundle.with("of", Some("settlement"))) download=(file) { "its evidence" } "."
                        }
                        pre tabindex="0" aria-label="Command for the settlement" {
                            code data-copy="command" {
                                "appviewd verify settlement " (settlement.as_str()) " --bundle " (file)
                            }
                        }
                    }
                    p.small.soft {
                        "That the record stands in its repository, under a signed commit, is shown by "
                        a href=(proof) { "its proof" } ", which is fetched from the repository’s host."
                    }
                }
            }
        }
    }

    fn facts(&self) -> Markup {
        let refunds = self.payments.iter().filter(|payment| payment.is_refund()).count();
        facts(&[
            ("Address", long_identifier(self.uri.as_str(), "address")),
            ("CID", long_identifier(&self.cid, "CID")),
            ("Provider", self.lanes.provider.link(Side::Provider)),
            ("Requester", self.lanes.requester.link(Side::Person)),
            (
                "Settlements",
                html! { (number(self.payments.len() as i64 - refunds as i64)) ", " (number(refunds as i64)) " refunded" },
            ),
            ("Tier claimed", html! { (self.receipt.tier.as_deref().unwrap_or("best-effort")) }),
            ("Input", identifier(&self.receipt.input_commitment)),
            ("Output", identifier(&self.receipt.output_commitment)),
        ])
    }

    fn raw(&self) -> Markup {
        html! {
            section aria-labelledby="h-raw" {
                h2 #h-raw { "Raw records" }
                p.small.soft { "As they were signed; who is hidden is not named." }
                @for (name, json) in &self.raw {
                    details.more {
                        summary { (name) }
                        pre tabindex="0" aria-label={ (name) " record" } { code { (json) } }
                    }
                }
            }
        }
    }
}

/// A record as people read JSON.
fn json(exhibit: &Exhibit) -> Option<String> {
    let mut text = String::new();
    write_json(&mut text, exhibit.block()).ok()?;
    let value: Json = serde_json::from_str(&text).ok()?;
    serde_json::to_string_pretty(&value).ok()
}

/// The same without the DIDs of whoever is hidden.
fn without_hidden(text: &str, names: &Names<'_>) -> Result<String, QueryError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("did:") {
        let (before, from) = rest.split_at(at);
        let is_did = |char: char| char.is_ascii_alphanumeric() || ".:_%-".contains(char);
        let (did, after) = from.split_at(from.find(|char| !is_did(char)).unwrap_or(from.len()));
        out.push_str(before);
        let is_hidden = match did.parse::<Did>() {
            Ok(did) => names.name(&did)? == Name::Hidden,
            Err(_) => false,
        };
        out.push_str(if is_hidden { "hidden" } else { did });
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

impl Page for ReceiptPage {
    fn sheet(&self) -> Sheet {
        let Self { uri, receipt, lanes, .. } = self;
        let rkey = uri.rkey().unwrap_or_default();
        let receipt_verdict = self.verdict.as_ref().and_then(|verdict| verdict.as_deref().ok());
        let settled_verdict = self.settled.as_ref().and_then(|verdict| verdict.as_deref().ok());
        let provider = lanes.provider.href(Side::Provider).unwrap_or_else(|| Href::new("/providers"));
        let took = took(receipt).map(|took| format!(", in {}", millis(took))).unwrap_or_default();
        let main = html! {
            nav.crumb aria-label="You are here" { a href=(provider) { (lanes.provider.text()) } " / receipts" }
            h1 { "Receipt " span.mono { (rkey) } }
            p.lede {
                (lanes.provider.text()) " served " (receipt.model) " to " (lanes.requester.text()) " for "
                (money(&receipt.price)) " on " (Moment::InText(self.at).markup()) ": " (number(receipt.tokens.input))
                " tokens in, " (number(receipt.tokens.output)) " out" (took) "."
            }
            (self.verdict())
            (self.settled())
            @if let Some(chain) = self.chain() {
                section aria-labelledby="h-chain" {
                    h2 #h-chain { "Who signed what" }
                    p.small.soft {
                        "Each column is one repository, signed by its owner. Lines are references from record to record, with "
                        "the checks along them."
                    }
                    (draw(&chain, lanes, receipt_verdict.map(Verdict::from), settled_verdict.map(Verdict::from)))
                }
            }
            div.cols { (self.by_hand()) section aria-labelledby="h-facts" { h2 #h-facts { "Record" } (self.facts()) } }
            (self.checks())
            (self.raw())
        };
        Sheet { title: format!("Receipt {rkey}"), section: Section::Elsewhere, every: None, main }
    }
}
