//! What an exchange keeps of a charge.
//!
//! An amount and a rule enter, the fee leaves. All arithmetic is of whole smallest units, rounded down. Deliberately absent:
//! whose rule it is.

use crate::block::Map;

/// A share of each charge, and the least that it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeSchedule {
    /// Hundredths of a percent.
    pub bps: i64,
    /// The least fee, in smallest units.
    pub min_minor: i64,
}

impl FeeSchedule {
    /// The schedule of a policy; none if it lacks one.
    #[must_use]
    pub fn of(policy: &Map<'_>) -> Option<Self> {
        let fee = policy.map("fee")?;
        Some(Self { bps: fee.integer("bps")?, min_minor: fee.integer("minMinor")? })
    }

    /// The fee on a charge: never more than the charge itself.
    #[must_use]
    pub fn on(self, amount: i64) -> i64 {
        let share = i128::from(amount) * i128::from(self.bps);
        let share = share.div_euclid(10_000);
        let fee = share.max(i128::from(self.min_minor)).min(i128::from(amount));
        // Not above `amount`; below the least of 64 bits no share of an amount can be.
        i64::try_from(fee).unwrap_or(i64::MIN)
    }
}

/// What is kept where requester and provider are one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelfLoop {
    /// Nothing.
    Waived,
    /// This much in smallest units, and no more than the charge.
    Flat(i64),
}

impl SelfLoop {
    /// The rule of a policy; none if it has none.
    #[must_use]
    pub fn of(policy: &Map<'_>) -> Option<Self> {
        let rule = policy.map("selfLoop")?;
        let is_waived = matches!(rule.get("feeWaived"), Some(crate::block::Value::Bool(true)));
        Some(if is_waived { Self::Waived } else { Self::Flat(rule.integer("minMinor").unwrap_or(0)) })
    }

    /// The fee on a charge.
    #[must_use]
    pub fn on(self, amount: i64) -> i64 {
        match self {
            Self::Waived => 0,
            Self::Flat(least) => least.min(amount),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_is_rounded_down_has_a_floor_and_never_exceeds_the_charge() {
        for (amount, bps, min_minor, fee) in [
            (120, 500, 0, 6),
            (119, 500, 0, 5),
            (120, 500, 500, 120),
            (0, 500, 5, 0),
            ((1 << 53) - 1, 10_000, 0, (1 << 53) - 1),
            (i64::MAX, i64::MAX, 0, i64::MAX),
            (i64::MIN, i64::MAX, i64::MIN, i64::MIN),
        ] {
            assert_eq!(FeeSchedule { bps, min_minor }.on(amount), fee, "{amount} {bps} {min_minor}");
        }
        assert_eq!(SelfLoop::Waived.on(120), 0);
        assert_eq!((SelfLoop::Flat(3).on(120), SelfLoop::Flat(3).on(1)), (3, 1));
    }
}
