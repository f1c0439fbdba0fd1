//! How many published cases there are in each list: the table of VERIFICATION.md, which each run of a list is held to.
#![allow(dead_code, reason = "each test uses its part")]

use std::fs;

/// The rows of the table: a file without its ending, a list in it, and how many cases that has.
pub(crate) fn rows() -> Vec<(String, String, usize)> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../VERIFICATION.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [file, list, cases] = cells.try_into().ok()?;
        Some((file.to_owned(), list.to_owned(), cases.parse().ok()?))
    });
    let rows: Vec<_> = rows.collect();
    let all: usize = rows.iter().map(|(_, _, cases)| cases).sum();
    assert!(all > 0 && text.contains(&format!("\n{all} in all.\n")), "the sum is {all}");
    rows
}

/// Says that each case of a list was judged, as a row of the table, which must have that row.
pub(crate) fn all_judged(file: &str, list: &str, cases: usize) {
    let written = rows().into_iter().find(|(of, name, _)| (&**of, &**name) == (file, list));
    assert_eq!(Some(cases), written.map(|(_, _, cases)| cases), "cases of {file} {list}");
    println!("| {file} | {list} | {cases} |");
}
