//! Which rooms of the daemon know what, held against the sources themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every source of the daemon, by its path below `src`, without comments and tests.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                let code =
                    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
                found.push((path.strip_prefix(&root).unwrap().to_owned(), code));
            }
        }
    }
    assert!(found.len() > 30, "the sources were not found");
    found
}

/// Files that name one of these crates, among those that are looked at.
fn that_name(crates: &[&str], is_looked_at: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let names = |code: &str| crates.iter().any(|name| code.contains(&format!("{name}::")));
    let sources = sources().into_iter();
    sources.filter(|(path, code)| is_looked_at(path) && names(code)).map(|(path, _)| path).collect()
}

#[test]
fn only_the_account_store_knows_sqlite() {
    let none: Vec<PathBuf> = Vec::new();
    assert_eq!(that_name(&["rusqlite"], |path| !path.starts_with("account")), none);
    assert!(that_name(&["rusqlite"], |path| path.starts_with("account")).len() > 5);
}

#[test]
fn neither_the_account_store_nor_who_is_asking_knows_http() {
    let none: Vec<PathBuf> = Vec::new();
    let http = ["axum", "hyper", "http", "reqwest"];
    assert_eq!(that_name(&http, |path| path.starts_with("account") || path.starts_with("auth")), none);
    assert!(that_name(&http, |path| path.starts_with("http")).len() > 5);
}
