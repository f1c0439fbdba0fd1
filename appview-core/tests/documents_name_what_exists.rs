//! What the documents of the project link to and name is there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const DOCUMENTS: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "VERIFICATION.md"];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document(name: &str) -> String {
    fs::read_to_string(project().join(name)).unwrap()
}

/// What stands in code marks on one line, outside of blocks.
fn in_code_marks(document: &str) -> impl Iterator<Item = &str> {
    let prose = document.split("```").step_by(2);
    prose.flat_map(str::lines).flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_link_within_the_project_leads_somewhere() {
    let mut links = 0;
    for name in DOCUMENTS {
        for target in document(name).split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0) {
            let path = target.split('#').next().unwrap();
            if path.starts_with("https:") || path.is_empty() {
                continue;
            }
            assert!(project().join(path).exists(), "{name} links to {path}");
            links += 1;
        }
    }
    assert!(links > 10, "only {links} links were found");
}

#[test]
fn every_test_that_is_named_exists() {
    let architecture = document("ARCHITECTURE.md");
    let promises = architecture.split("## Tests as promises").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: BTreeSet<&str> = in_code_marks(promises).filter(|text| text.ends_with(".rs")).collect();
    assert!(named.len() > 10, "only {} tests are named", named.len());
    for test in named {
        let is_in = |folder: &str| project().join(folder).join(test).is_file();
        assert!(
            ["appview-core/tests", "appviewd/tests"].into_iter().any(is_in),
            "ARCHITECTURE.md names {test}"
        );
    }
}

#[test]
fn every_defect_that_is_mended_has_a_test_that_exists() {
    let contract = document("docs/contract.md");
    let mut named = 0;
    for row in contract.lines().skip_while(|line| !line.starts_with("| # | Defect")).skip(2) {
        let cells: Vec<&str> = row.split(" |").collect();
        let mut tests = in_code_marks(cells[3]).peekable();
        assert_eq!(tests.peek().is_none(), cells[2].ends_with("No part of reading."), "{row}");
        for test in tests {
            let is_in = |folder: &str| project().join(folder).join(test).is_file();
            assert!(["appview-core/tests", "appviewd/tests", "."].into_iter().any(is_in), "{row}");
            named += 1;
        }
    }
    assert!(named > 20, "only {named} tests are named");
}

#[test]
fn every_type_and_method_that_is_named_is_one_of_ours() {
    let mut files = Vec::new();
    for folder in ["appview-core/src", "appviewd/src", "fixtures/src"] {
        rust_files(&project().join(folder), &mut files);
    }
    let source: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let is_name_byte = |byte: char| byte.is_ascii_alphanumeric() || byte == '_';
    let names: BTreeSet<&str> = source.split(|byte| !is_name_byte(byte)).collect();
    let mut checked = 0;
    for document in DOCUMENTS.map(document) {
        for text in in_code_marks(&document) {
            // Paths like `Verifier::handle_frame`, with or without arguments.
            let path = text.split(['(', ' ', '{']).next().unwrap();
            let is_type = path.starts_with(|first: char| first.is_ascii_uppercase())
                && path.contains(|byte: char| byte.is_ascii_lowercase())
                && path.chars().all(|byte| is_name_byte(byte) || byte == ':');
            if is_type {
                for part in path.split("::") {
                    assert!(names.contains(part), "{text} is named, and {part} is nowhere");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 50, "only {checked} names were found");
}
