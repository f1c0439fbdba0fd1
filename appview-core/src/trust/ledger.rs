//! The arithmetic of an exchange: fees, prices and shares.
//!
//! Amounts in the smallest unit of a currency enter and leave, from zero to 2^53 - 1. Everything is rounded down, and
//! nothing overflows.

/// Ten thousand basis points are the whole.
const WHOLE_BPS: u128 = 10_000;

/// What an exchange keeps of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fee {
    /// Basis points of the amount.
    pub bps: u64,
    /// The least, unless the amount is less.
    pub min_minor: u64,
}

/// What an exchange keeps where requester and provider are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfLoop {
    /// Nothing.
    Waived,
    /// So much, unless the amount is less.
    Flat(u64),
}

/// Who deals with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dealing {
    /// A requester with a provider.
    Usual,
    /// One account with itself.
    SelfLoop,
    /// A requester with a provider who asks for nothing.
    ProBono,
}

/// The terms of an exchange, as far as fees go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The usual fee.
    pub fee: Fee,
    /// The rule for accounts that deal with themselves; without one they pay the usual fee.
    pub self_loop: Option<SelfLoop>,
}

impl Fee {
    /// The fee on an amount; never more than the amount.
    #[must_use]
    pub fn of(&self, amount: u64) -> u64 {
        let share = u128::from(amount) * u128::from(self.bps) / WHOLE_BPS;
        narrow(share).max(self.min_minor).min(amount)
    }
}

impl Terms {
    /// The fee on an amount.
    #[must_use]
    pub fn fee(&self, amount: u64, dealing: Dealing) -> u64 {
        match (dealing, self.self_loop) {
            (Dealing::ProBono, _) | (Dealing::SelfLoop, Some(SelfLoop::Waived)) => 0,
            (Dealing::SelfLoop, Some(SelfLoop::Flat(fee))) => fee.min(amount),
            (Dealing::Usual, _) | (Dealing::SelfLoop, None) => self.fee.of(amount),
        }
    }
}

/// What tokens cost, for a million of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRate {
    /// Tokens that are read.
    pub input: u64,
    /// Tokens that are produced.
    pub output: u64,
}

impl TokenRate {
    /// The price of tokens, each kind rounded down alone.
    #[must_use]
    pub fn price(&self, input: u64, output: u64) -> u64 {
        let part = |rate: u64, tokens: u64| u128::from(rate) * u128::from(tokens) / 1_000_000;
        narrow(part(self.input, input).saturating_add(part(self.output, output)))
    }
}

/// One recipient's part in what an exchange gives back for a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patronage {
    /// What the treasury held before.
    pub treasury: u64,
    /// Basis points of it that are shared.
    pub fraction_bps: u64,
    /// What the recipient moved in the period.
    pub score: u64,
    /// What all recipients moved.
    pub total: u64,
}

impl Patronage {
    /// What is shared among all.
    #[must_use]
    pub fn pool(&self) -> u64 {
        narrow(u128::from(self.treasury) * u128::from(self.fraction_bps) / WHOLE_BPS)
    }

    /// The recipient's part of the pool, as exchanges compute it: rounded down twice.
    #[must_use]
    pub fn credit(&self) -> u64 {
        let share = u128::from(self.pool()) * u128::from(self.score);
        share.checked_div(u128::from(self.total)).map_or(0, narrow)
    }

    /// The recipient's part as the lexicon defines it, rounded down once; it may be one more.
    #[must_use]
    pub fn lexicon_credit(&self) -> u64 {
        let share = u128::from(self.treasury) * u128::from(self.fraction_bps);
        let share = share.saturating_mul(u128::from(self.score));
        share.checked_div(u128::from(self.total) * WHOLE_BPS).map_or(0, narrow)
    }

    /// Whether a credit is what one of the two ways gives, or beside it: published totals leave out whose part was
    /// rounded to nothing.
    #[must_use]
    pub fn accepts(&self, credited: u64) -> bool {
        credited >= 1
            && [self.credit(), self.lexicon_credit()].iter().any(|credit| credit.abs_diff(credited) <= 1)
    }
}

/// An amount that fits, or the largest there is.
fn narrow(amount: u128) -> u64 {
    u64::try_from(amount).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms { fee: Fee { bps: 500, min_minor: 3 }, self_loop: Some(SelfLoop::Flat(2)) };

    #[test]
    fn a_fee_is_at_least_the_least_and_never_more_than_the_amount() {
        assert_eq!([0, 2, 10, 100, 119, 120].map(|amount| TERMS.fee.of(amount)), [0, 2, 3, 5, 5, 6]);
        assert_eq!(Fee { bps: u64::MAX, min_minor: 0 }.of(u64::MAX), u64::MAX);
    }

    #[test]
    fn who_deals_with_whom_decides_first() {
        assert_eq!(TERMS.fee(100, Dealing::ProBono), 0);
        assert_eq!((TERMS.fee(100, Dealing::SelfLoop), TERMS.fee(1, Dealing::SelfLoop)), (2, 1));
        assert_eq!(Terms { self_loop: Some(SelfLoop::Waived), ..TERMS }.fee(100, Dealing::SelfLoop), 0);
        assert_eq!(Terms { self_loop: None, ..TERMS }.fee(100, Dealing::SelfLoop), 5);
    }

    #[test]
    fn each_kind_of_token_is_rounded_alone() {
        assert_eq!(TokenRate { input: 999_999, output: 999_999 }.price(1, 1), 0);
        assert_eq!(TokenRate { input: 150, output: 600 }.price(1_000_000, 10_000), 156);
        assert_eq!(TokenRate { input: u64::MAX, output: u64::MAX }.price(u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        let nobody = Patronage { treasury: 100, fraction_bps: 8_000, score: 0, total: 0 };
        assert_eq!((nobody.pool(), nobody.credit(), nobody.lexicon_credit()), (80, 0, 0));
        assert!(!nobody.accepts(0), "a credit of nothing is none");
    }
}
