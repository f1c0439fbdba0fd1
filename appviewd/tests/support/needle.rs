//! Looking for bytes that must be nowhere: in every file of a folder, however they are written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Something that must not be found, in every form in which it might be.
pub struct Needle {
    name: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Needle {
    pub fn new(name: impl Into<String>, bytes: &[u8]) -> Self {
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        let mut forms = vec![
            ("as it is", bytes.to_vec()),
            ("in capital hexadecimal", hex.to_uppercase().into_bytes()),
            ("in hexadecimal", hex.into_bytes()),
            ("in UTF-16", bytes.iter().flat_map(|byte| [*byte, 0]).collect()),
        ];
        // In base64 it may begin at each of three places; of each, the digits that depend on nothing before or after.
        for skipped in 0..3 {
            let whole = &bytes[skipped..];
            let whole = &whole[..whole.len() / 3 * 3];
            forms.push(("in base64", STANDARD_NO_PAD.encode(whole).into_bytes()));
            forms.push(("in base64url", URL_SAFE_NO_PAD.encode(whole).into_bytes()));
        }
        assert!(forms.iter().all(|(_, form)| form.len() >= 8), "too short to be looked for");
        Self { name: name.into(), forms }
    }

    pub fn forms(&self) -> impl Iterator<Item = &[u8]> {
        self.forms.iter().map(|(_, form)| form.as_slice())
    }
}

/// One form of a needle, with its name.
type Form<'n> = (&'n Needle, &'static str, &'n [u8]);

/// All forms of all needles, by their first eight bytes.
struct Finder<'n> {
    by_begin: HashMap<[u8; 8], Vec<Form<'n>>>,
    /// Whether some form begins with two such bytes.
    may_begin: Vec<bool>,
}

impl<'n> Finder<'n> {
    fn of(needles: &'n [Needle]) -> Self {
        let mut finder = Self { by_begin: HashMap::new(), may_begin: vec![false; 1 << 16] };
        for needle in needles {
            for (name, form) in &needle.forms {
                let begin: &[u8; 8] = form.first_chunk().unwrap();
                finder.may_begin[usize::from(u16::from_be_bytes([begin[0], begin[1]]))] = true;
                finder.by_begin.entry(*begin).or_default().push((needle, name, form));
            }
        }
        finder
    }

    /// What is in these bytes, each at its first place.
    fn find(&self, place: &str, haystack: &[u8]) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for at in 0..haystack.len().saturating_sub(7) {
            if !self.may_begin[usize::from(u16::from_be_bytes([haystack[at], haystack[at + 1]]))] {
                continue;
            }
            let here = &haystack[at..];
            for (needle, form, bytes) in self.by_begin.get(here.first_chunk().unwrap()).into_iter().flatten()
            {
                if here.starts_with(bytes) {
                    found.insert(format!("{} {form} in {place}", needle.name));
                }
            }
        }
        found
    }
}

/// Every place in which one of the needles is: in the files of a folder and what is below it, or in what was said.
pub fn find(needles: &[Needle], folder: &Path, said: &[(&str, &[u8])]) -> Vec<String> {
    let finder = Finder::of(needles);
    let mut found = Vec::new();
    let mut look = |place: &str, haystack: &[u8]| found.extend(finder.find(place, haystack));
    for (place, text) in said {
        look(place, text);
    }
    let mut folders = vec![folder.to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files += 1;
                let path = entry.path().display().to_string();
                look(&format!("the name of {path}"), path.as_bytes());
                look(&path, &std::fs::read(entry.path()).unwrap());
            }
        }
    }
    assert!(files > 0, "there was nothing to look into");
    found
}

/// A looker that sees nothing proves nothing: each form of each needle is found where it is planted.
pub fn assert_seen(needles: &[Needle]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("planted");
    for needle in needles {
        for form in needle.forms() {
            std::fs::write(&path, [&[0; 5_000], form, b"after"].concat()).unwrap();
            assert_ne!(find(std::slice::from_ref(needle), folder.path(), &[]), [""; 0]);
        }
    }
}
