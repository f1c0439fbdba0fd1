//! A range of time.

/// From a moment on, and before another; either may be open. Microseconds since 1970.
///
/// Of a receipt it is about the time at which the work was completed as it says, else that in its key; of any other
/// record about the time in its key, which one whose key is no TID does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first moment that belongs to it.
    pub since: Option<i64>,
    /// The first moment that does not belong to it any more.
    pub until: Option<i64>,
}

impl Span {
    /// All of time.
    pub const ALWAYS: Self = Self { since: None, until: None };
}
