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

/// Returns which other settlements decided something.
pub(super) fn examine<'e>(
    examination: &mut Examination,
    case: &Case<'e>,
    evidence: &'e Evidence,
) -> Vec<&'e Exhibit> {
    if case.status != Status::Settled {
        let checks = [Check::OnlySettlement, Check::AuthorizationUnused, Check::SessionBudget];
        checks.into_iter().for_each(|check| examination.not_applicable(check));
        return Vec::new();
    }
    let others: Vec<(&Exhibit, Body<'_>)> = settled(evidence, case.settlement.exhibit).collect();
    let named = |body: &Body<'_>, member: &str, uri: &str| {
        Reference::read(&body.map, member).is_some_and(|reference| reference.uri == uri)
    };
    let receipt = case.receipt_reference.uri;
    let twin = others.iter().find(|(_, body)| named(body, "receipt", receipt));
    let told = twin.map(|twin| both(case, twin, "is for the same receipt"));
    let looked = evidence.looked(Check::OnlySettlement);
    examination.ask_company(Check::OnlySettlement, told, looked, Code::XDuplicateSettlement);

    let authorization = case.authorization_reference.uri;
    let drawn = |body: &Body<'_>| named(body, "requesterAuthorization", authorization);
    let scope = case.authorization.body.text("scope");
    let is_single = scope == Some("singleJob") && !case.receipt.body.is_true("proBono");
    let reuse = others.iter().find(|(_, body)| drawn(body) && !named(body, "receipt", receipt));
    let reuse = reuse.filter(|_| is_single);
    if is_single {
        let told = reuse.map(|other| both(case, other, "draws on the same authorization"));
        let looked = evidence.looked(Check::AuthorizationUnused);
        examination.ask_company(Check::AuthorizationUnused, told, looked, Code::XAuthorizationReused);
    } else {
        examination.not_applicable(Check::AuthorizationUnused);
    }

    let budget = case.authorization.body.money("sessionBudget").filter(|_| scope == Some("session"));
    let charged =
        |body: &Body<'_>| body.money("amountCharged").and_then(|money| money.amount).map_or(0, i128::from);
    let sum = charged(&case.settlement.body)
        + others.iter().filter(|(_, body)| drawn(body)).map(|(_, body)| charged(body)).sum::<i128>();
    // An index adds up all of them, of which evidence holds a part.
    let all = evidence.drawn_on(case.settlement.exhibit.repo(), authorization);
    let sum = all.map_or(sum, |all| sum.max(i128::from(all.amount)));
    let within = budget.map(|budget| budget.amount.is_some_and(|budget| sum <= i128::from(budget)));
    let shown = || budget.map_or_else(String::new, |budget| budget.shown());
    match (within, evidence.looked(Check::SessionBudget).filter(|_| all.is_none())) {
        (None, _) => examination.not_applicable(Check::SessionBudget),
        (Some(true), looked) => {
            examination.ask_company(Check::SessionBudget, None, looked, Code::XSessionBudgetExceeded);
        }
        (Some(false), _) => {
            let message = format!("{sum} was charged in all, the session's budget is {}", shown());
            examination.failed_saying(Check::SessionBudget, Code::XSessionBudgetExceeded, message);
        }
    }
    [twin, reuse].into_iter().flatten().map(|(exhibit, _)| *exhibit).collect()
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
