//! Published cases as evidence: their records, documents, roots and clock.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod deal;

use std::borrow::Cow;
use std::fs;

use appview_core::record::Catalog;
use appview_core::trust::{
    AppId, Apple, Document, Environment, Evidence, Exhibit, Finding, Instant, Origin, Terms,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fixtures::{shared_folder, value};
use serde_json::Value as Json;

/// A file of published vectors, if this machine has them.
pub(crate) fn vectors(name: &str) -> Option<Json> {
    let file = shared_folder("vectors")?.join(name);
    Some(serde_json::from_slice(&fs::read(file).unwrap()).unwrap())
}

/// The cases of a file; there must be some.
pub(crate) fn cases<'a>(file: &'a Json, name: &str) -> &'a [Json] {
    let cases = file[name].as_array().unwrap();
    assert!(!cases.is_empty(), "{name} holds no case");
    cases
}

pub(crate) fn text<'a>(json: &'a Json, member: &str) -> &'a str {
    json[member].as_str().unwrap_or_else(|| panic!("{member} is no text in {json}"))
}

fn der(context: &Json, member: &str) -> Cow<'static, [u8]> {
    Cow::Owned(STANDARD.decode(text(context, member)).unwrap())
}

/// The terms that a file's cases are judged by.
pub(crate) fn terms(context: &Json) -> Terms {
    let environment = match context["allowDevelopmentAppAttest"].as_bool() {
        Some(true) => Environment::Development,
        _ => Environment::Production,
    };
    let apple = Apple {
        app_attest_root: der(context, "appAttestRootDerB64"),
        mda_root: der(context, "mdaRootDerB64"),
        app: AppId::new(text(context, "appAttestAppId")),
        environment,
    };
    let brokerages = context["trustedBrokerages"].as_array().unwrap();
    let brokerages = brokerages.iter().map(|did| did.as_str().unwrap().parse().unwrap()).collect();
    Terms { apple, brokerages, ..Terms::new(Catalog::builtin().unwrap()) }
}

pub(crate) fn instant(case: &Json, context: &Json) -> Instant {
    let now = case.get("now").or_else(|| context.get("now")).unwrap();
    Instant::parse(now.as_str().unwrap()).unwrap()
}

/// A published record as it would be found: its block is made by an encoder that is not ours.
pub(crate) fn exhibit(record: &Json) -> Exhibit {
    let block = value::encode(&value::from_json(&record["body"]));
    Exhibit::new(text(record, "uri").parse().unwrap(), text(record, "cid").parse().unwrap(), block).unwrap()
}

/// Everything that a case says is known.
pub(crate) fn evidence(case: &Json, context: &Json) -> Evidence {
    let mut evidence = Evidence::default();
    for record in case["records"].as_array().unwrap() {
        evidence.put(exhibit(record));
    }
    for member in ["didDocuments", "exchangeDidDocuments"] {
        for (did, document) in context[member].as_object().into_iter().flatten() {
            evidence.put_document(did.parse().unwrap(), Document::new(document.clone()), Origin::Resolved);
        }
    }
    evidence
}

/// Adds the documents that another evidence has.
pub(crate) fn add_documents(evidence: &mut Evidence, of: &Evidence) {
    for (did, known) in of.documents() {
        for (origin, document) in known {
            evidence.put_document(did.clone(), document.clone(), *origin);
        }
    }
}

/// What a case expects: the recommended result where there is one.
pub(crate) fn expected(case: &Json) -> &Json {
    case.get("recommended").unwrap_or(&case["expected"])
}

/// Codes and severities of expected findings, sorted.
pub(crate) fn expected_findings(expected: &Json) -> Vec<(String, String)> {
    let findings = expected["findings"].as_array().unwrap();
    let mut found: Vec<_> = findings
        .iter()
        .map(|finding| {
            (
                text(finding, "code").to_owned(),
                if text(finding, "severity") == "warn" { "warning" } else { text(finding, "severity") }
                    .to_owned(),
            )
        })
        .collect();
    found.sort();
    found
}

pub(crate) fn found(findings: &[Finding], wanted: impl Fn(&Finding) -> bool) -> Vec<(String, String)> {
    let wanted = findings.iter().filter(|finding| wanted(finding));
    let mut found: Vec<_> =
        wanted.map(|finding| (finding.code.to_string(), finding.severity.to_string())).collect();
    found.sort();
    found
}

pub(crate) fn base64(text: &Json) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}
