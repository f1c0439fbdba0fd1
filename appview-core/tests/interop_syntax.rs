//! The protocol authors' own cases for string syntax, one file per kind and expectation.
//!
//! The cases are read from a folder beside the project, see [`shared_folder`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;

use appview_core::syntax;
use fixtures::shared_folder;

/// The check for a file's kind, its name up to the first underscore.
fn check_for(kind: &str) -> Option<fn(&str) -> bool> {
    Some(match kind {
        "atidentifier" => syntax::is_at_identifier,
        "aturi" => syntax::is_at_uri,
        "cid" => syntax::is_cid,
        "datetime" => syntax::is_datetime,
        "did" => syntax::is_did,
        "handle" => syntax::is_handle,
        "language" => syntax::is_language,
        "nsid" => syntax::is_nsid,
        "recordkey" => syntax::is_record_key,
        "tid" => syntax::is_tid,
        "uri" => syntax::is_uri,
        _ => return None,
    })
}

#[test]
fn every_published_case_is_judged_as_published() {
    let Some(folder) = shared_folder("interop/syntax") else {
        return;
    };
    let mut cases = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut words = name.splitn(2, '_');
        let check = check_for(words.next().unwrap())
            .unwrap_or_else(|| panic!("{name}: a kind this test does not know"));
        let valid = match words.next() {
            Some("syntax_valid") => true,
            // Syntax that reads well and means nothing is refused as early as bad syntax is.
            Some("syntax_invalid" | "parse_invalid") => false,
            _ => panic!("{name}: an expectation this test does not know"),
        };
        for line in fs::read_to_string(&path).unwrap().lines() {
            // Spaces are part of a case; only empty lines and comments are not cases.
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            cases += 1;
            if check(line) != valid {
                wrong.push(format!("{name}: {line:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "judged differently:\n{}", wrong.join("\n"));
    assert!(cases > 0, "no case was run");
    println!("{cases} cases");
}
