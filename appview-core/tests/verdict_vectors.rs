//! The published cases of receipts and settlements: each verdict, each finding, each of the stricter checks.
//!
//! The cases are read from a folder beside the project, see [`fixtures::shared_folder`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod counted;
mod verdict;

use appview_core::record::Collection;
use appview_core::trust::ledger::{self, Fee, SelfLoop};
use appview_core::trust::{
    Books, ChargeVerdict, Code, Evidence, Examiner, Exchange, Exhibit, Finding, Instant, Profile, Role,
    Severity, Terms, verify_charge, verify_receipt, verify_settlement,
};
use counted::all_judged;
use serde_json::Value as Json;

use verdict::{cases, evidence, exhibit, expected, expected_findings, found, instant, terms, text, vectors};

/// What does not agree with a case, if anything does.
fn disagreement(case: &Json, ok: bool, findings: &[Finding], profile: Profile) -> Option<String> {
    let expected = expected(case);
    let listed = expected_findings(expected);
    let is_listed = |finding: &Finding| listed.iter().any(|(code, _)| code == finding.code.as_str());
    let common = found(findings, |finding| !finding.code.is_extension() || is_listed(finding));
    if common != listed {
        return Some(format!("expected {listed:?}, found {common:?}"));
    }
    let more = found(findings, |finding| finding.code.is_extension() && !is_listed(finding));
    if let Some(extensions) = case["extensions"].as_array() {
        let mut extensions: Vec<&str> = extensions.iter().map(|code| code.as_str().unwrap()).collect();
        extensions.sort_unstable();
        let codes: Vec<&str> = more.iter().map(|(code, _)| code.as_str()).collect();
        if codes != extensions {
            return Some(format!("expected {extensions:?} beside, found {codes:?}"));
        }
    }
    for (code, severity) in &more {
        let as_listed = Code::from_text(code).unwrap().severity();
        let severity_expected = match profile {
            Profile::Strict => as_listed,
            Profile::Advise => as_listed.min(Severity::Warning),
        };
        if *severity != severity_expected.to_string() {
            return Some(format!("{code} is {severity}"));
        }
    }
    let is_ok = expected["ok"].as_bool().unwrap();
    let strictly = is_ok && !more.iter().any(|(_, severity)| severity == "error");
    (ok != if profile == Profile::Strict { strictly } else { is_ok }).then(|| format!("ok is {ok}"))
}

#[test]
fn every_published_receipt_is_judged_as_published() {
    let Some(file) = vectors("receipts.json") else { return };
    let context = &file["context"];
    let examiner = Examiner::new(terms(context));
    let mut wrong = Vec::new();
    let (mut judged, mut missing) = (0, 0);
    for case in cases(&file, "cases") {
        let (evidence, now) = (evidence(case, context), instant(case, context));
        let Some(uri) = case["receiptUri"].as_str() else {
            // Whether there is a parameter at all is for whoever reads parameters.
            missing += 1;
            continue;
        };
        for profile in [Profile::Advise, Profile::Strict] {
            let verdict = match verify_receipt(&evidence, uri, examiner.terms(), profile, now) {
                Ok(verdict) => verdict,
                Err(missed) => {
                    assert_eq!(case["expected"]["status"], 404, "{}: {missed}", case["id"]);
                    assert!(matches!(missed.role, Role::Job | Role::Attestation));
                    missing += usize::from(profile == Profile::Strict);
                    continue;
                }
            };
            let mut say =
                |wrong_in: Option<String>| wrong.extend(wrong_in.map(|why| format!("{}: {why}", case["id"])));
            say(disagreement(case, verdict.ok, &verdict.findings, profile));
            let expected = expected(case);
            let told = (verdict.trust_level.as_str(), verdict.confidential);
            let wanted = (text(expected, "trustLevel"), expected["confidential"].as_bool().unwrap());
            say((told != wanted).then(|| format!("expected {wanted:?}, found {told:?}")));
            let authority = verdict.brokerage_authority.as_ref().map(|did| did.as_str());
            say((authority != expected["brokerageAuthority"].as_str())
                .then(|| format!("witness {authority:?}")));
            // A verifier that remembers says the same, at once and again.
            for _ in 0..2 {
                let remembered = examiner.receipt(&evidence, uri, profile, now).unwrap();
                assert_eq!(*remembered, verdict, "{}", case["id"]);
            }
            judged += usize::from(profile == Profile::Strict);
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} receipts:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(judged + missing, cases(&file, "cases").len());
    all_judged("receipts", "cases", judged + missing);
}

#[test]
fn every_published_settlement_is_judged_as_published() {
    let Some(file) = vectors("settlements.json") else { return };
    let context = &file["context"];
    let examiner = Examiner::new(terms(context));
    let mut wrong = Vec::new();
    let (mut judged, mut missing) = (0, 0);
    for case in cases(&file, "settlements") {
        let (evidence, now) = (evidence(case, context), instant(case, context));
        let Some(uri) = case["settlementUri"].as_str() else {
            missing += 1;
            continue;
        };
        for profile in [Profile::Advise, Profile::Strict] {
            let verdict = match verify_settlement(&evidence, uri, examiner.terms(), profile, now) {
                Ok(verdict) => verdict,
                Err(missed) => {
                    assert_eq!(case["expected"]["status"], 404, "{}: {missed}", case["id"]);
                    assert!(matches!(missed.role, Role::Receipt | Role::Authorization));
                    missing += usize::from(profile == Profile::Strict);
                    continue;
                }
            };
            let why = disagreement(case, verdict.ok, &verdict.findings, profile);
            wrong.extend(why.map(|why| format!("{} {profile:?}: {why}", case["id"])));
            for _ in 0..2 {
                let remembered = examiner.settlement(&evidence, uri, profile, now).unwrap();
                assert_eq!(*remembered, verdict, "{}", case["id"]);
            }
            judged += usize::from(profile == Profile::Strict);
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} settlements:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(judged + missing, cases(&file, "settlements").len());
    all_judged("settlements", "settlements", judged + missing);
}

/// What an exchange of the published cases has on its books, and what it says of an offer.
struct Till<'a> {
    exchange: appview_core::syntax::Did,
    fees: ledger::Terms,
    books: Books,
    terms: &'a Terms,
    now: Instant,
}

impl<'a> Till<'a> {
    fn open(context: &Json, terms: &'a Terms) -> Self {
        let count = |json: &Json| json.as_u64().unwrap_or(0);
        let fee = Fee {
            bps: count(&context["feePolicy"]["bps"]),
            min_minor: count(&context["feePolicy"]["minMinor"]),
        };
        let self_loop = context.get("selfLoop").map(|rule| match rule["feeWaived"].as_bool() {
            Some(true) => SelfLoop::Waived,
            _ => SelfLoop::Flat(count(&rule["minMinor"])),
        });
        Self {
            exchange: text(context, "exchangeDid").parse().unwrap(),
            fees: ledger::Terms { fee, self_loop },
            books: Books::default(),
            terms,
            now: Instant::parse(text(context, "now")).unwrap(),
        }
    }

    fn judge(&self, evidence: &Evidence, receipt: &str, authorization: &str) -> ChargeVerdict {
        let exchange =
            Exchange { did: &self.exchange, fees: self.fees, books: &self.books, terms: self.terms };
        verify_charge(evidence, receipt, authorization, &exchange, self.now).unwrap()
    }

    /// Charges as an exchange does: by the authorization that the job names.
    fn offer(&mut self, evidence: &Evidence, receipt: &str) -> ChargeVerdict {
        let job =
            evidence.find(receipt).unwrap().read(|body| body.map("job")?.text("uri").map(str::to_owned));
        let authorization = evidence.find(&job.unwrap()).unwrap();
        let authorization =
            authorization.read(|body| body.map("paymentAuthorization")?.text("uri").map(str::to_owned));
        let verdict = self.judge(evidence, receipt, &authorization.unwrap());
        if verdict.is_ok() {
            self.books.enter(receipt, &verdict);
        }
        verdict
    }
}

fn codes(findings: &[Finding]) -> Vec<&str> {
    let mut codes: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    codes.sort_unstable();
    codes
}

fn listed(json: &Json) -> Vec<&str> {
    let mut codes: Vec<&str> = json.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    codes.sort_unstable();
    codes
}

/// The case with each record at a URI of the repository that it was found in, where a record says two things about that.
fn where_it_was_found(case: &Json) -> Json {
    let mut case = case.clone();
    let records = case["records"].as_array().unwrap().clone();
    for record in records {
        let (uri, repo) = (text(&record, "uri"), text(&record, "repo"));
        let told = uri.strip_prefix("at://").unwrap().split('/').next().unwrap();
        if told != repo && text(&record, "collection") == "dev.cocore.compute.paymentAuthorization" {
            // Whoever names it goes on naming it.
            let moved = case.to_string().replace(uri, &uri.replace(told, repo));
            case = serde_json::from_str(&moved).unwrap();
        }
    }
    case
}

#[test]
fn every_published_charge_is_made_or_refused_as_published() {
    let Some(file) = vectors("settlements.json") else { return };
    let terms = terms(&file["context"]);
    // Checks around the gate, which its own list of codes does not show.
    const AROUND: [&str; 4] = [
        "attestation-owner-mismatch",
        "authorization-owner-mismatch",
        "authorization-already-consumed",
        "session-budget-exceeded",
    ];
    let mut judged = 0;
    for case in cases(&file, "charges") {
        let id = &case["id"];
        let case = &where_it_was_found(case);
        let mut evidence = evidence(case, &file["context"]);
        for prior in case["priorReceipts"].as_array().unwrap() {
            evidence.put(exhibit(prior));
        }
        let receipt = text(case, "receiptUri");
        let mut till = Till::open(&case["context"], &terms);
        for prior in case["priorReceipts"].as_array().unwrap() {
            assert!(till.offer(&evidence, text(prior, "uri")).is_ok(), "{id}");
        }
        for settled in case["context"]["alreadySettled"].as_array().unwrap() {
            assert!(till.offer(&evidence, settled.as_str().unwrap()).is_ok(), "{id}");
        }

        // The gate is handed an authorization and told where it is, whatever the record's own place.
        let told = text(&case["authorizationRef"], "uri");
        let mut handed = evidence.clone();
        if handed.find(told).is_none() {
            let granted = evidence.of_collection(Collection::PaymentAuthorization).next().unwrap();
            handed.put(Exhibit::new(told.parse().unwrap(), granted.cid(), granted.block()).unwrap());
        }
        let gate = till.judge(&handed, receipt, told);
        let found: Vec<&str> =
            codes(&gate.findings).into_iter().filter(|code| !AROUND.contains(code)).collect();
        let outcome = &case["expectedExchangeOutcome"];
        if id == "charge/signature-not-a-string" {
            // The existing gate skips what it cannot read, and settles.
            assert_eq!(found, ["signature-invalid"]);
            judged += 1;
            continue;
        }
        assert_eq!(found, listed(&case["expectedForChargeStrict"]["codes"]), "{id}");
        let charged = till.offer(&evidence, receipt);
        match text(outcome, "kind") {
            "settled" => {
                let split = charged.split.unwrap();
                for (member, amount) in [
                    ("amountCharged", split.charged),
                    ("providerPayout", split.payout),
                    ("exchangeFee", split.fee),
                ] {
                    let expected = &outcome[member];
                    assert_eq!(
                        (amount, split.currency.as_str()),
                        (expected["amount"].as_u64().unwrap(), text(expected, "currency")),
                        "{id}"
                    );
                }
            }
            "rejected" => assert_eq!(codes(&charged.findings), listed(&outcome["codes"]), "{id}"),
            "duplicate" => assert!(codes(&charged.findings).contains(&"already-settled"), "{id}"),
            other => panic!("{id}: {other}"),
        }
        judged += 1;
    }
    assert_eq!(judged, cases(&file, "charges").len());
    all_judged("settlements", "charges", judged);
}
