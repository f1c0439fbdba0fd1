//! Verdicts as tables: each check with how it came out, by which rule, and what it has to say.

use std::sync::Arc;

use appview_core::trust::{
    Checked, Finding, Missing, Outcome, ReceiptVerdict, Role, SettlementVerdict, Severity,
};
use maud::{Markup, html};

use super::part::{Mark, State, counted};

/// A verdict of either kind, as far as a page shows it alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict<'v> {
    pub(super) checks: &'v [Checked],
    findings: &'v [Finding],
    pub(super) ok: bool,
}

/// A receipt's, or why there is none.
pub(crate) type OfReceipt = Result<Arc<ReceiptVerdict>, Missing>;

/// A settlement's, or why there is none.
pub(crate) type OfSettlement = Result<Arc<SettlementVerdict>, Missing>;

impl<'v> From<&'v ReceiptVerdict> for Verdict<'v> {
    fn from(verdict: &'v ReceiptVerdict) -> Self {
        Self { checks: &verdict.rules.checks, findings: &verdict.findings, ok: verdict.ok }
    }
}

impl<'v> From<&'v SettlementVerdict> for Verdict<'v> {
    fn from(verdict: &'v SettlementVerdict) -> Self {
        Self { checks: &verdict.rules.checks, findings: &verdict.findings, ok: verdict.ok }
    }
}

/// How many checks came out how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    pub(super) passed: i64,
    pub(super) remarks: i64,
    pub(super) failed: i64,
    pub(super) not_applicable: i64,
}

impl Count {
    /// The gravest of them.
    pub(super) const fn state(self) -> State {
        match self {
            Self { failed: 1.., .. } => State::Fail,
            Self { remarks: 1.., .. } => State::Warn,
            Self { passed: 1.., .. } => State::Pass,
            _ => State::None,
        }
    }

    /// How many hold, of how many that could.
    pub(super) fn word(self) -> String {
        format!("{} of {}", self.passed, self.passed + self.remarks + self.failed)
    }

    /// All of it in a sentence.
    pub(super) fn sentence(self) -> String {
        let mut parts = vec![counted(self.passed, "check holds", "checks hold")];
        if self.failed > 0 {
            parts.push(counted(self.failed, "does not", "do not"));
        }
        if self.remarks > 0 {
            parts.push(counted(self.remarks, "leads to a remark", "lead to remarks"));
        }
        if self.not_applicable > 0 {
            parts.push(counted(self.not_applicable, "had nothing to ask about", "had nothing to ask about"));
        }
        format!("{}.", parts.join(", "))
    }
}

impl<'v> Verdict<'v> {
    /// What a check found, if it found anything.
    fn finding(self, check: &Checked) -> Option<&'v Finding> {
        self.findings.iter().find(|finding| Some(finding.code) == check.code)
    }

    fn state(self, check: &Checked) -> State {
        match (check.outcome, self.finding(check).map(|finding| finding.severity)) {
            (Outcome::Passed, _) => State::Pass,
            (Outcome::NotApplicable, _) => State::None,
            (Outcome::Failed, Some(Severity::Info)) => State::Info,
            (Outcome::Failed, Some(Severity::Warning)) => State::Warn,
            (Outcome::Failed, _) => State::Fail,
        }
    }

    /// How the checks about records with one of these parts came out.
    pub(super) fn count(self, roles: &[Role]) -> Count {
        let mut count = Count::default();
        for check in
            self.checks.iter().filter(|check| roles.is_empty() || roles.contains(&check.check.role()))
        {
            *match self.state(check) {
                State::Pass => &mut count.passed,
                State::None => &mut count.not_applicable,
                State::Info | State::Warn => &mut count.remarks,
                State::Fail => &mut count.failed,
            } += 1;
        }
        count
    }

    /// What it found that is a reason to distrust.
    pub(super) fn faults(self) -> impl Iterator<Item = &'v Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

    /// The parts that records have in it, in the order of the checks.
    fn roles(self) -> Vec<Role> {
        let mut roles: Vec<Role> = Vec::new();
        for check in self.checks {
            if !roles.contains(&check.check.role()) {
                roles.push(check.check.role());
            }
        }
        roles
    }

    /// All checks, by the record that they are about; the gravest first, and apart from them those without anything to ask
    /// about.
    pub(super) fn table(self) -> Markup {
        let idle: Vec<&Checked> =
            self.checks.iter().filter(|check| self.state(check) == State::None).collect();
        html! {
            table.stack.checks {
                thead {
                    tr {
                        th scope="col" { "Result" }
                        th scope="col" { "What is to hold" }
                        th scope="col" { "Found" }
                        th scope="col" { "Check" }
                    }
                }
                @for role in self.roles() {
                    @let checks = self.of(role);
                    @if !checks.is_empty() {
                        tbody {
                            tr.group { th colspan="4" scope="rowgroup" { "The " (role) } }
                            @for check in checks { (self.row(check)) }
                        }
                    }
                }
            }
            @if !idle.is_empty() {
                details.more {
                    summary { (counted(idle.len() as i64, "more had", "more had")) " nothing to ask about" }
                    ul.dots.gap {
                        @for check in idle {
                            li { "the " (check.check.role()) ": " (check.check.says()) " " code { (check.check.as_str()) } }
                        }
                    }
                }
            }
        }
    }

    fn of(self, role: Role) -> Vec<&'v Checked> {
        let is_shown = |check: &&Checked| check.check.role() == role && self.state(check) != State::None;
        let mut checks: Vec<&Checked> = self.checks.iter().filter(is_shown).collect();
        checks.sort_by_key(|check| std::cmp::Reverse(self.state(check)));
        checks
    }

    fn row(self, check: &Checked) -> Markup {
        let state = self.state(check);
        let word = match state {
            State::Pass => "holds",
            State::None => "not asked about",
            State::Info => "note",
            State::Warn => "remark",
            State::Fail => "fails",
        };
        html! {
            tr class=[(state == State::Fail).then_some("flag")] {
                td { (Mark::new(state, word).markup()) }
                td { (capital(check.check.says())) }
                td.soft {
                    @if let Some(finding) = self.finding(check) { (finding.message) " " code { (finding.code.as_str()) } }
                }
                td { code title={ "heading of VERIFICATION.md: " (check.check.rule()) } { (check.check.as_str()) } }
            }
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default() + chars.as_str()
}
