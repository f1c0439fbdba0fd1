//! What judging a record says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most findings one judgement keeps, so that a hostile record cannot make its own verdict large.
pub(super) const MAX_FINDINGS: usize = 16;

/// The grade of a record, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Keeps its schema, or has none here.
    #[default]
    Valid,
    /// Breaks a length, range, choice or format only: served, with the mark.
    Marked,
    /// Lacks a required member or has one of another type: kept, and served on request only.
    Quarantined,
}

impl Verdict {
    /// The name used in answers and metrics. Never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Marked => "marked",
            Self::Quarantined => "quarantined",
        }
    }

    /// The number used in storage. Never changes.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Valid => 0,
            Self::Marked => 1,
            Self::Quarantined => 2,
        }
    }

    /// The verdict of this number.
    #[must_use]
    pub const fn from_code(code: i64) -> Option<Self> {
        match code {
            0 => Some(Self::Valid),
            1 => Some(Self::Marked),
            2 => Some(Self::Quarantined),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident $text:literal => $verdict:ident,)+) => {
        /// A rule a record can break. Its name never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name used in storage, answers and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The verdict that breaking this rule leads to.
            #[must_use]
            pub const fn verdict(self) -> Verdict {
                match self {
                    $(Self::$name => Verdict::$verdict,)+
                }
            }
        }
    };
}

rules! {
    /// The block is not canonical DAG-CBOR of the data model.
    Undecodable "undecodable" => Quarantined,
    /// Lists and maps are nested deeper than any block may be.
    TooDeep "too-deep" => Quarantined,
    /// The record's `$type` is not its collection.
    RecordType "record-type" => Quarantined,
    /// A required member is absent.
    Missing "missing" => Quarantined,
    /// A value is of another type than its schema says.
    WrongType "wrong-type" => Quarantined,
    /// A value is not the one its schema fixes.
    Const "const" => Marked,
    /// A value is not among the choices of its schema.
    Enum "enum" => Marked,
    /// Text is not the name of the token its schema fixes.
    Token "token" => Marked,
    /// An integer is too small.
    Minimum "minimum" => Marked,
    /// An integer is too large.
    Maximum "maximum" => Marked,
    /// Text, bytes or a list are too short.
    MinLength "min-length" => Marked,
    /// Text, bytes or a list are too long.
    MaxLength "max-length" => Marked,
    /// Text has too few characters as people count them.
    MinGraphemes "min-graphemes" => Marked,
    /// Text has too many characters as people count them.
    MaxGraphemes "max-graphemes" => Marked,
    /// Text is not of the format its schema asks for.
    Format "format" => Marked,
    /// Text in the place of bytes is not base64.
    Base64 "base64" => Marked,
    /// A blob's media type is not among those accepted.
    Accept "accept" => Marked,
    /// A blob is too large.
    MaxSize "max-size" => Marked,
    /// An object is none of the alternatives of a closed union.
    ClosedUnion "closed-union" => Marked,
    /// The record key is not of the kind its collection asks for.
    RecordKey "record-key" => Marked,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Where in the record, e.g. `tokens.in` or `priceList[2].currency`; empty for the record itself.
    pub path: String,
    /// The rule broken.
    pub rule: Rule,
    /// What was expected and what was found, for people.
    pub message: String,
}

/// What judging a record says: its grade, and why.
///
/// The verdict is that of the worst breach; `Valid` if and only if there is no finding.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Judgement {
    /// The grade.
    pub verdict: Verdict,
    /// The breaches, at most 16. Where there were more, one that explains the verdict is among them.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// Whether nothing that is still to come could change anything here.
    pub(super) fn is_settled(&self) -> bool {
        self.verdict == Verdict::Quarantined && self.findings.len() >= MAX_FINDINGS
    }

    pub(super) fn add(&mut self, rule: Rule, path: impl FnOnce() -> String, message: String) {
        let worse = rule.verdict() > self.verdict;
        if self.findings.len() >= MAX_FINDINGS {
            if !worse {
                return;
            }
            self.findings.pop();
        }
        self.verdict = self.verdict.max(rule.verdict());
        self.findings.push(Finding { path: path(), rule, message });
    }
}
