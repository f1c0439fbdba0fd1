//! The list of promises and the tests, held against each other.

use std::collections::BTreeSet;
use std::path::Path;

/// Numbers of the promises that the list tells: `**P7.** …`
fn told() -> BTreeSet<u32> {
    let list = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../PROMISES.md")).unwrap();
    list.split("**P").skip(1).filter_map(|rest| rest.split_once(".**")?.0.parse().ok()).collect()
}

/// Numbers of the promises that tests are named after: `fn p07_…`
fn tested() -> BTreeSet<u32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promises");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let numbers = |text: String| {
        let tests = text.split("\nfn p").chain(text.split("\nasync fn p")).skip(1).map(str::to_owned);
        tests.filter_map(|rest| rest.get(..3)?.strip_suffix('_')?.parse().ok()).collect::<Vec<u32>>()
    };
    files.flat_map(numbers).collect()
}

#[test]
fn p23_the_list_and_the_tests_say_the_same() {
    assert!(tested().len() >= 17, "the tests were not found");
    assert_eq!(told(), tested(), "left: PROMISES.md, right: tests");
}
