//! The published cases of receipts and settlements: each verdict, each finding, each of the stricter checks.
//!
//! The cases are read from a folder beside the project, see [`fixtures::shared_folder`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod verdict;

use appview_core::trust::{
    Code, Examiner, Finding, Profile, Role, Severity, verify_receipt, verify_settlement,
};
use serde_json::Value as Json;

use verdict::{cases, evidence, expected, expected_findings, found, instant, terms, text, vectors};

/// What does not agree with a case, if anything does.
fn disagreement(case: &Json, ok: bool, findings: &[Finding], profile: Profile) -> Option<String> {
    let expected = expected(case);
    let listed = expected_findings(expected);
    let is_listed = |finding: &Finding| listed.iter().any(|(code, _)| code == finding.code.as_str());
    let common = found(findings, |finding| !finding.code.is_extension() || is_listed(finding));
    let common: Vec<(String, String)> = match profile {
        Profile::Strict => common,
        // A stricter check that the case lists has the severity that it lists.
        Profile::Advise => common,
    };
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
    println!("receipts.json: {judged} verdicts under two profiles, {missing} without a verdict");
    assert_eq!(judged + missing, cases(&file, "cases").len());
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
    println!("settlements.json: {judged} verdicts under two profiles, {missing} without a verdict");
    assert_eq!(judged + missing, cases(&file, "settlements").len());
}
