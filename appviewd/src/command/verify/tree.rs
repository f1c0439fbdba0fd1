//! A verdict as a tree for people: each record of the chain, who signed it, and what was asked about it.

use std::io::{Result, Write};

use appview_core::syntax::Datetime;
use appview_core::trust::{
    Check, Checked, Code, Finding, Footing, Instant, Judged, Outcome, ReceiptVerdict, Role, Rules,
    SettlementVerdict, Severity,
};

/// Where the evidence was.
pub(super) enum Source {
    /// In the index.
    Index,
    /// In a file of this name.
    Bundle(String),
}

/// How a tree is written.
pub(super) struct Tree<'a> {
    pub(super) source: &'a Source,
    pub(super) now: Instant,
}

/// The checks of a verdict and what they found.
#[derive(Clone, Copy)]
struct Told<'v> {
    rules: &'v Rules,
    findings: &'v [Finding],
}

/// One record of the chain, with the verdict that its checks are in.
struct Node<'v> {
    judged: &'v Judged,
    told: Vec<Told<'v>>,
    children: Vec<Node<'v>>,
}

impl Tree<'_> {
    pub(super) fn receipt(&self, out: &mut dyn Write, verdict: &ReceiptVerdict) -> Result<()> {
        let told = Told { rules: &verdict.rules, findings: &verdict.findings };
        let is = format!("receipt {}: {}", told.says_it_is(verdict.ok), verdict.trust_level);
        match &verdict.brokerage_authority {
            Some(broker) if verdict.confidential => writeln!(out, "{is}, confidential by {broker}")?,
            _ => writeln!(out, "{is}, not confidential")?,
        }
        self.rules(out, told, &verdict.judged)?;
        match receipt_node(verdict) {
            Some(node) => self.node(out, &node, "", ""),
            None => Ok(()),
        }
    }

    pub(super) fn settlement(
        &self,
        out: &mut dyn Write,
        verdict: &SettlementVerdict,
        receipt: Option<&ReceiptVerdict>,
    ) -> Result<()> {
        let told = Told { rules: &verdict.rules, findings: &verdict.findings };
        writeln!(out, "settlement {}", told.says_it_is(verdict.ok))?;
        self.rules(out, told, &verdict.judged)?;
        let node = |role| {
            let judged = verdict.judged.iter().find(|judged| judged.role == role)?;
            Some(Node { judged, told: vec![told], children: Vec::new() })
        };
        let Some(mut root) = node(Role::Settlement) else { return Ok(()) };
        let mut of_receipt = node(Role::Receipt);
        if let (Some(node), Some(receipt)) = (&mut of_receipt, receipt) {
            // The job is asked about by both.
            let own = Told { rules: &receipt.rules, findings: &receipt.findings };
            node.told.push(own);
            node.children = receipt_node(receipt).into_iter().flat_map(|node| node.children).collect();
            node.children.iter_mut().for_each(|child| child.told.insert(0, told));
        }
        root.children.extend(of_receipt);
        let named = [Role::Authorization, Role::Policy, Role::ExchangeAttestation, Role::Refunded];
        root.children.extend(named.into_iter().filter_map(node));
        root.children.extend(company(&verdict.judged));
        self.node(out, &root, "", "")
    }

    fn rules(&self, out: &mut dyn Write, told: Told<'_>, judged: &[Judged]) -> Result<()> {
        let count = |outcome| told.rules.checks.iter().filter(|checked| checked.outcome == outcome).count();
        let (passed, failed) = (count(Outcome::Passed), count(Outcome::Failed));
        let profile = match told.rules.profile {
            appview_core::trust::Profile::Advise => "advise",
            appview_core::trust::Profile::Strict => "strict",
        };
        let now = Datetime::from_unix_micros(self.now.unix_millis().saturating_mul(1_000));
        let now = now.map_or_else(String::new, |now| format!(", at {now}"));
        let beside = count(Outcome::NotApplicable);
        let rules = format!("rules {} ({profile}){now}", told.rules.version);
        let open = match count(Outcome::Undecided) {
            0 => String::new(),
            open => format!("{open} could not be decided, "),
        };
        writeln!(
            out,
            "{rules}: {passed} checks passed, {failed} failed, {open}{beside} had nothing to ask about"
        )?;
        let claimed = judged.iter().filter(|judged| judged.footing == Footing::Claimed).count();
        match self.source {
            Source::Bundle(file) if claimed > 0 => {
                let which = if claimed == judged.len() { "the" } else { "some of the" };
                writeln!(
                    out,
                    "that {which} records stand in their repositories is the word of {file} alone"
                )?;
            }
            Source::Bundle(file) => {
                writeln!(out, "{file} proves each record by a signed commit of its repository")?;
            }
            Source::Index => {
                writeln!(out, "the index has proven each record against a signed commit of its repository")?;
            }
        }
        writeln!(out)
    }

    /// Writes a record and what hangs below it; `first` stands before its first line, `rest` before all others.
    fn node(&self, out: &mut dyn Write, node: &Node<'_>, first: &str, rest: &str) -> Result<()> {
        let Node { judged, told, children } = node;
        writeln!(out, "{first}{} {}", judged.role, judged.uri)?;
        let inner = format!("{rest}{} ", if children.is_empty() { " " } else { "│" });
        writeln!(out, "{inner}version {}", judged.cid)?;
        writeln!(out, "{inner}signed  {}", self.signed(node))?;
        for told in told {
            for checked in told.rules.checks.iter().filter(|checked| is_about(checked, judged.role)) {
                line(out, &inner, checked, told.findings)?;
            }
        }
        for (at, child) in children.iter().enumerate() {
            let is_last = at + 1 == children.len();
            let (first, next) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.node(out, child, &format!("{rest}{first}"), &format!("{rest}{next}"))?;
        }
        Ok(())
    }

    /// Who signed a record, besides the owner of the repository that it stands in.
    fn signed(&self, node: &Node<'_>) -> String {
        let passed = |check| {
            let mut checks = node.told.iter().flat_map(|told| &told.rules.checks);
            checks.any(|checked| checked.check == check && checked.outcome == Outcome::Passed)
        };
        let by = match node.judged.role {
            Role::Receipt if passed(Check::ReceiptSignature) && passed(Check::Countersignature) => {
                "by the key of its attestation, and by a broker as its witness"
            }
            Role::Receipt if passed(Check::ReceiptSignature) => "by the key of its attestation",
            Role::Attestation if passed(Check::SelfSignature) => "by the key that it is about",
            Role::Settlement if passed(Check::ExchangeSignature) => "by a key of the exchange",
            Role::Receipt | Role::Attestation => "by nobody who can be told",
            Role::Settlement if !node.told.iter().any(|told| told.says(Code::XSigMissing)) => {
                "by nobody who can be told"
            }
            _ => {
                let owner = node.judged.uri.authority();
                return match node.judged.footing {
                    Footing::Proven => format!("with the repository of {owner}"),
                    Footing::Claimed => format!("with the repository of {owner}, which is not shown here"),
                };
            }
        };
        by.to_owned()
    }
}

impl Told<'_> {
    fn says_it_is(&self, ok: bool) -> &'static str {
        match ok {
            true if self.says(Code::XRecordUnproven) => "is ok, if its records stand where they are said to",
            true => "is ok",
            false if self.rules.is_open(self.findings) => "can NOT be judged by what is at hand",
            false => "is NOT ok",
        }
    }

    fn says(&self, code: Code) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }
}

fn receipt_node(verdict: &ReceiptVerdict) -> Option<Node<'_>> {
    let told = Told { rules: &verdict.rules, findings: &verdict.findings };
    let node = |role| {
        let judged = verdict.judged.iter().find(|judged| judged.role == role)?;
        Some(Node { judged, told: vec![told], children: Vec::new() })
    };
    let named = [Role::Job, Role::Attestation, Role::Provider];
    let mut children: Vec<Node<'_>> = named.into_iter().filter_map(node).collect();
    children.extend(company(&verdict.judged));
    Some(Node { children, ..node(Role::Receipt)? })
}

/// The other records that decided something. What they decided is told where it was asked.
fn company(judged: &[Judged]) -> impl Iterator<Item = Node<'_>> {
    let others = judged.iter().filter(|judged| judged.role == Role::Company);
    others.map(|judged| Node { judged, told: Vec::new(), children: Vec::new() })
}

fn is_about(checked: &Checked, role: Role) -> bool {
    checked.check.role() == role && checked.outcome != Outcome::NotApplicable
}

fn line(out: &mut dyn Write, before: &str, checked: &Checked, findings: &[Finding]) -> Result<()> {
    let rule = checked.check.rule();
    let finding = checked.code.and_then(|code| findings.iter().find(|finding| finding.code == code));
    match finding {
        None => writeln!(out, "{before}  ok     {} [{rule}]", checked.check.says()),
        Some(finding) => {
            let mark = match finding.severity {
                _ if checked.outcome == Outcome::Undecided => "open ",
                Severity::Error => "ERROR",
                Severity::Warning => "warn ",
                Severity::Info => "info ",
            };
            writeln!(out, "{before}  {mark}  {}: {} [{rule}]", finding.code, finding.message)
        }
    }
}
