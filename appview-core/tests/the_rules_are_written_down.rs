//! VERIFICATION.md says what each check asks, below the heading of its rule, and nothing that is not asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;

use appview_core::trust::{Check, RULES_VERSION};

#[test]
fn each_check_stands_below_its_rule_with_what_holds() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../VERIFICATION.md");
    let text = fs::read_to_string(path).unwrap();
    let mut heading = String::new();
    let mut written = BTreeSet::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            heading = title.to_lowercase();
        } else if line.starts_with("| `") {
            written.insert(format!("{heading} {line}"));
        }
    }
    let asked: BTreeSet<String> = Check::ALL
        .iter()
        .map(|check| format!("{} | `{check}` | {} | {} |", check.rule(), check.role(), check.says()))
        .collect();
    let differ: Vec<&String> = written.symmetric_difference(&asked).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    assert_eq!(RULES_VERSION, 1, "another version asks for another look at the text above the tables");
}
