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

/// Names of the tests that the page at `/privacy` tells.
fn told_on_the_page() -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pages/privacy/promise.rs");
    let page = std::fs::read_to_string(page).unwrap();
    page.split('"').skip(1).step_by(2).filter(|text| is_name(text)).map(str::to_owned).collect()
}

/// Names of all tests of promises.
fn names() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promises");
    let files = std::fs::read_dir(folder).unwrap();
    let text: String = files.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let names = text.split("\nfn ").chain(text.split("\nasync fn ")).skip(1);
    names
        .filter_map(|rest| rest.split_once('('))
        .map(|(name, _)| name.to_owned())
        .filter(|name| is_name(name))
        .collect()
}

/// `p07_…`
fn is_name(text: &str) -> bool {
    let number = text.strip_prefix('p').and_then(|rest| rest.split_once('_'));
    number.is_some_and(|(number, _)| number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[test]
fn p23_the_list_and_the_tests_say_the_same() {
    assert!(tested().len() >= 17, "the tests were not found");
    assert_eq!(told(), tested(), "left: PROMISES.md, right: tests");
    assert_eq!(told_on_the_page(), names(), "left: the page at /privacy, right: tests");
}
