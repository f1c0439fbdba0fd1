//! Who may import whom, and what the core never does, held against the sources themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each room may import besides itself: a whole room, or items of one.
const MAY_IMPORT: [(&str, &[&str]); 9] = [
    ("limits", &[]),
    ("syntax", &["limits"]),
    ("block", &["limits"]),
    ("repo", &["syntax", "block", "limits"]),
    ("sync", &["syntax", "block", "repo", "limits"]),
    ("record", &["syntax", "block", "limits", "repo::PublicKey", "repo::KeyError", "repo::SignatureError"]),
    ("trust", &["syntax", "block", "record", "limits", "repo::PublicKey"]),
    (
        "index",
        &[
            "syntax",
            "block",
            "record",
            "limits",
            "sync::Change",
            "sync::Followed",
            "sync::Hosting",
            "sync::Postponed",
            "sync::Proof",
            "sync::RecordChange",
            "sync::RepoHead",
            "sync::RepoState",
            "sync::StreamCursor",
            "sync::VerifiedCommit",
            "sync::VerifiedHead",
            "sync::VerifiedRecord",
            "sync::VerifiedRepo",
            "sync::Watch",
        ],
    ),
    ("query", &["syntax", "block", "record", "trust", "index", "limits", "sync::Hosting"]),
];

/// Rooms that import what they like, and that nobody imports.
const LAST: [&str; 1] = ["source"];

/// A source file without its comments and its tests.
struct Source {
    room: String,
    /// Its place in the tree of modules, the room first.
    module: Vec<String>,
    path: PathBuf,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
            {
                let relative = path.strip_prefix(&root).unwrap().with_extension("");
                let mut module: Vec<String> =
                    relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
                if module.ends_with(&["mod".to_owned()]) {
                    module.pop();
                }
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\n#[expect").next().unwrap();
                let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let code: String = code
                    .lines()
                    .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
                    .flat_map(|line| [line, "\n"])
                    .collect();
                sources.push(Source { room: module[0].clone(), module, path, code });
            }
        }
    }
    assert!(sources.len() > 30, "the sources were not found");
    sources
}

impl Source {
    /// Every path that starts at `crate` or at a parent, from the crate's root on.
    fn imports(&self) -> BTreeSet<String> {
        let mut imports = BTreeSet::new();
        for start in ["crate::", "super::"] {
            for (at, _) in self.code.match_indices(start) {
                let before = self.code[..at].chars().next_back();
                if before.is_some_and(|before| before.is_alphanumeric() || "_:$".contains(before)) {
                    continue;
                }
                let mut rest = &self.code[at..];
                let mut base = self.module.clone();
                if let Some(after) = rest.strip_prefix("crate::") {
                    (rest, base) = (after, Vec::new());
                }
                while let Some(after) = rest.strip_prefix("super::") {
                    rest = after;
                    base.pop();
                }
                paths(&mut rest, &base, &mut imports);
            }
        }
        imports
    }
}

/// Reads one path or group of a `use`, and leaves `rest` behind it.
fn paths(rest: &mut &str, base: &[String], found: &mut BTreeSet<String>) {
    if let Some(group) = rest.strip_prefix('{') {
        *rest = group;
        loop {
            *rest = rest.trim_start_matches([' ', '\n', ',']);
            match rest.strip_prefix('}') {
                Some(after) => {
                    *rest = after;
                    return;
                }
                None => paths(rest, base, found),
            }
        }
    }
    let end =
        rest.find(|char: char| !char.is_alphanumeric() && char != '_' && char != '*').unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    assert!(!name.is_empty(), "expected a path, found {:?}", rest.get(..40));
    let path: Vec<String> = base.iter().cloned().chain([name.to_owned()]).collect();
    *rest = after;
    match after.strip_prefix("::") {
        Some(after) if !after.starts_with('<') => {
            *rest = after;
            paths(rest, &path, found);
        }
        _ => {
            found.insert(path.join("::"));
        }
    }
    if let Some(after) = rest.strip_prefix(" as ") {
        let end = after.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(after.len());
        *rest = &after[end..];
    }
}

#[test]
fn rooms_import_only_what_lies_before_them() {
    let mut rooms = BTreeSet::new();
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.room != "lib") {
        rooms.insert(source.room.clone());
        if LAST.contains(&source.room.as_str()) {
            continue;
        }
        let allowed = MAY_IMPORT.iter().find(|(room, _)| *room == source.room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{} is a room without a rule", source.room));
        for import in source.imports() {
            let is_within = |whole: &str| {
                import.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            };
            if !is_within(&source.room) && !allowed.iter().any(|allowed| is_within(allowed)) {
                wrong.push(format!("{}: {import}", source.path.display()));
            }
        }
    }
    assert!(rooms.len() >= 6, "{rooms:?}");
    assert!(wrong.is_empty(), "imports against the order of the house:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_verifying_functions_make_what_is_proven() {
    let mut makers = BTreeSet::new();
    for source in sources() {
        for proven in ["VerifiedCommit", "VerifiedHead", "VerifiedRecord", "VerifiedRepo"] {
            for (at, _) in source.code.match_indices(&format!("{proven} {{")) {
                let before = source.code[..at].trim_end();
                // `-> VerifiedRepo {` begins a body, not a value.
                if !["->", "impl", "for", "struct"].iter().any(|word| before.ends_with(word)) {
                    makers.insert((source.module.join("::"), proven));
                }
            }
        }
        if source.module == ["sync", "verify", "proven"] {
            let wide = source.code.lines().filter(|line| {
                let field = line.trim_start().split_once(": ").map_or("", |(field, _)| field);
                line.contains("pub(crate)")
                    || line.contains("pub(in")
                    || field.starts_with("pub ") && !field.contains(['(', '<'])
            });
            assert_eq!(wide.collect::<Vec<_>>(), Vec::<&str>::new(), "fields that others can set");
            assert!(!source.code.contains("-> Self"), "a constructor that takes no proof");
        }
    }
    let expected = ["VerifiedCommit", "VerifiedHead", "VerifiedRecord", "VerifiedRepo"];
    assert_eq!(makers, expected.map(|proven| ("sync::verify".to_owned(), proven)).into());
}

#[test]
fn time_is_handed_in_and_never_asked_for() {
    for source in sources().iter().filter(|source| source.room != "source") {
        for clock in ["SystemTime::now", "Instant::now", "rand::", "getrandom"] {
            assert!(!source.code.contains(clock), "{} in {}", clock, source.path.display());
        }
    }
}

#[test]
fn queries_only_read() {
    for source in sources().iter().filter(|source| source.room == "query") {
        let code = source.code.to_lowercase();
        let words: Vec<&str> = code.split_whitespace().collect();
        for pair in words.windows(3) {
            let writes =
                matches!(pair, ["insert" | "\"insert", "into", _] | ["delete" | "\"delete", "from", _])
                    || matches!(pair, ["update" | "\"update", _, "set"]);
            assert!(!writes, "{} writes: {pair:?}", source.path.display());
        }
    }
}

#[test]
fn the_core_without_features_knows_no_runtime_and_no_socket() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "appview-core", "--edges", "normal", "--no-default-features"])
        .args(["--prefix", "none", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("rusqlite"), "the tree is there");
    for absent in ["tokio", "mio", "socket2", "hyper", "reqwest", "rustls", "tungstenite", "futures-executor"]
    {
        assert!(!crates.contains(absent), "{absent}");
    }
}

#[test]
fn the_reader_of_imports_understands_groups_parents_and_names() {
    let code = "use super::frame::{self, Event as E, deep::{A, B}};\nuse crate::{block::Cid, limits};\n\
                fn f() -> crate::syntax::Did { super::super::repo::Key::new() }";
    let module = ["sync", "verify"].map(str::to_owned).to_vec();
    let source = Source { room: "sync".to_owned(), module, path: PathBuf::new(), code: code.to_owned() };
    let found = source.imports();
    let expected = [
        "block::Cid",
        "limits",
        "repo::Key::new",
        "sync::frame::Event",
        "sync::frame::deep::A",
        "sync::frame::deep::B",
        "sync::frame::self",
        "syntax::Did",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}
