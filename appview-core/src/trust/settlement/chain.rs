//! Settlement, receipt and authorization side by side: the network's common checks.
//!
//! Three bodies enter, and an examination goes on. An object that is missing breaks a lexicon and ends the comparisons that
//! need it; amounts that are no integers add up to nothing. Deliberately absent: the exchange's signature.

use super::{Case, Status};
use crate::trust::Code;
use crate::trust::body::{Money, shown};
use crate::trust::check::{Check, Examination};

pub(super) fn examine(examination: &mut Examination, case: &Case<'_>) {
    let (settlement, receipt) = (&case.settlement.body, &case.receipt.body);
    let authorization = &case.authorization.body;
    let [charged, payout, fee] =
        ["amountCharged", "providerPayout", "exchangeFee"].map(|member| settlement.money(member));
    let ceiling = authorization.money("ceiling");
    let price = receipt.money("price");

    let settles = case.status == Status::Settled;
    let absent = [
        ("amountCharged", charged.is_none()),
        ("providerPayout", payout.is_none()),
        ("exchangeFee", fee.is_none()),
        ("the authorization's ceiling", ceiling.is_none()),
        ("the receipt's price", settles && price.is_none()),
    ];
    let absent: Vec<&str> =
        absent.into_iter().filter_map(|(name, is_absent)| is_absent.then_some(name)).collect();
    examination.ask_saying(Check::MembersPresent, Some(absent.is_empty()), Code::LexiconInvalid, || {
        format!("expected an amount in {}", absent.join(", "))
    });

    let exchange = case.settlement.exhibit.repo();
    let authorized = authorization.text("exchange");
    examination.ask_saying(
        Check::RightExchange,
        Some(authorized == Some(exchange)),
        Code::WrongExchange,
        || format!("the authorization is for {}, the settlement by {exchange}", shown(authorized)),
    );

    let pair = charged.zip(ceiling);
    let same = pair.map(|(charged, ceiling)| charged.is_in_currency_of(&ceiling));
    let told = |other: Option<Money<'_>>, name: &str| {
        let shown = |money: Option<Money<'_>>| money.map_or_else(String::new, |money| money.shown());
        format!("{} was charged, the {name} is {}", shown(charged), shown(other))
    };
    examination
        .ask_saying(Check::AuthorizedCurrency, same, Code::CurrencyMismatch, || told(ceiling, "ceiling"));
    let within = pair.filter(|_| same == Some(true)).and_then(|(charged, ceiling)| {
        charged.amount.map(|amount| ceiling.amount.is_some_and(|ceiling| amount <= ceiling))
    });
    examination
        .ask_saying(Check::ChargeWithinCeiling, within, Code::OverCeiling, || told(ceiling, "ceiling"));

    let parts = charged.zip(payout).zip(fee).map(|((charged, payout), fee)| [charged, payout, fee]);
    let is_split = parts.map(|parts| split(parts, case.status));
    examination.ask_saying(Check::Split, is_split, Code::SplitMismatch, || {
        let [charged, payout, fee] = parts.map(|parts| parts.map(|money| money.shown())).unwrap_or_default();
        format!("{charged} was charged, of which {payout} is the payout and {fee} the fee")
    });

    let is_price = charged
        .zip(price)
        .filter(|_| settles)
        .map(|(charged, price)| charged.amount.is_some() && charged.amount == price.amount);
    examination.ask_saying(Check::ChargeIsPrice, is_price, Code::AmountVsPrice, || told(price, "price"));
}

/// Whether a charge is split without loss. Of a refund, what is given back may stand alone.
fn split([charged, payout, fee]: [Money<'_>; 3], status: Status) -> bool {
    let sum = payout.amount.zip(fee.amount).and_then(|(payout, fee)| payout.checked_add(fee));
    let adds_up = sum.is_some() && sum == charged.amount;
    adds_up || (status == Status::Refunded && charged.amount.is_some() && payout.is_zero() && fee.is_zero())
}
