//! A settlement beside the exchange's others, as far as they are in evidence.
//!
//! A [`Case`] and the evidence enter, and an examination goes on. Of two settlements that should be one, both are marked, and
//! the message names the earlier: which of them stands is for whoever reads both to say. Deliberately absent: settlements of
//! other exchanges, which anyone can write.

use super::{Case, Status};
use crate::record::Collection;
use crate::trust::Code;
use crate::trust::body::Body;
use crate::trust::check::{Check, Examination};
use crate::trust::evidence::Evidence;
use crate::trust::exhibit::Exhibit;
use crate::trust::reference::Reference;

pub(super) fn examine(examination: &mut Examination, case: &Case<'_>, evidence: &Evidence) {
    if case.status != Status::Settled {
        let checks = [Check::OnlySettlement, Check::AuthorizationUnused, Check::SessionBudget];
        return checks.into_iter().for_each(|check| examination.not_applicable(check));
    }
    let others: Vec<(&Exhibit, Body<'_>)> = settled(evidence, case.settlement.exhibit).collect();
    let named = |body: &Body<'_>, member: &str, uri: &str| {
        Reference::read(&body.map, member).is_some_and(|reference| reference.uri == uri)
    };
    let receipt = case.receipt_reference.uri;
    let twin = others.iter().find(|(_, body)| named(body, "receipt", receipt));
    examination.ask_saying(Check::OnlySettlement, Some(twin.is_none()), Code::XDuplicateSettlement, || {
        twin.map_or_else(String::new, |twin| both(case, twin, "is for the same receipt"))
    });

    let authorization = case.authorization_reference.uri;
    let drawn = |body: &Body<'_>| named(body, "requesterAuthorization", authorization);
    let scope = case.authorization.body.text("scope");
    let is_single = scope == Some("singleJob") && !case.receipt.body.is_true("proBono");
    let reuse = others.iter().find(|(_, body)| drawn(body) && !named(body, "receipt", receipt));
    let is_unused = is_single.then_some(reuse.is_none());
    examination.ask_saying(Check::AuthorizationUnused, is_unused, Code::XAuthorizationReused, || {
        reuse.map_or_else(String::new, |other| both(case, other, "draws on the same authorization"))
    });

    let budget = case.authorization.body.money("sessionBudget").filter(|_| scope == Some("session"));
    let charged =
        |body: &Body<'_>| body.money("amountCharged").and_then(|money| money.amount).map_or(0, i128::from);
    let sum = charged(&case.settlement.body)
        + others.iter().filter(|(_, body)| drawn(body)).map(|(_, body)| charged(body)).sum::<i128>();
    let within = budget.map(|budget| budget.amount.is_some_and(|budget| sum <= i128::from(budget)));
    examination.ask_saying(Check::SessionBudget, within, Code::XSessionBudgetExceeded, || {
        let budget = budget.map_or_else(String::new, |budget| budget.shown());
        format!("{sum} was charged in all, the session's budget is {budget}")
    });
}

/// The other settled settlements of the same exchange.
fn settled<'e>(evidence: &'e Evidence, own: &'e Exhibit) -> impl Iterator<Item = (&'e Exhibit, Body<'e>)> {
    let settlements = evidence.of_collection(Collection::Settlement);
    settlements
        .filter(|other| other.repo() == own.repo() && other.uri() != own.uri())
        .map(|other| (other, Body::of(other)))
        .filter(|(_, body)| Status::of(body.text("status")) == Status::Settled)
}

/// Names another settlement, and which of the two is earlier.
fn both(case: &Case<'_>, (other, body): &(&Exhibit, Body<'_>), does: &str) -> String {
    let place = |exhibit: &Exhibit, body: &Body<'_>| {
        let at = body.instant("settledAt");
        (at.is_none(), at, exhibit.uri().clone())
    };
    let own = place(case.settlement.exhibit, &case.settlement.body);
    let which = if place(other, body) < own { "earlier" } else { "later" };
    format!("{}, {which}, {does}", other.uri())
}
