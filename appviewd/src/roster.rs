//! The operator's word on single repositories, in a file that outlives the index.
//!
//! `repos.txt` enters: lines `track DID` and `untrack DID`, blank ones, and notes that start with `#`. Two lists leave: what is
//! followed whether or not anyone else names it, and what is left out for good. The index may be deleted at any time and
//! built again, so that what is left out cannot stand in it. Deliberately absent: what follows from the lists.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use appview_core::sync::Scope;
use appview_core::syntax::Did;

/// What an operator says of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Follow it, whether or not anyone else names it.
    Track,
    /// Leave it out, and erase what is held of it.
    Untrack,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Track => "track",
            Self::Untrack => "untrack",
        })
    }
}

/// Why the list cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RosterError {
    /// A line says nothing that can be understood.
    #[error("{}, line {line}: expected `track DID`, `untrack DID` or a note that starts with #, found {found:?}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What it says.
        found: String,
    },
    /// Two lines are about the same repository.
    #[error("{}, line {line}: {did} stands in an earlier line already", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The later line, counted from 1.
        line: usize,
        /// Whose.
        did: Did,
    },
    /// The disk refuses.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
}

/// The list; cheap to clone, one for all clones.
#[derive(Debug, Clone)]
pub struct Roster {
    path: Arc<Path>,
    lines: Arc<Mutex<Vec<Line>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    /// Blank, or for people.
    Note(String),
    Order(Word, Did),
}

impl FromStr for Line {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            return Ok(Self::Note(text.to_owned()));
        }
        let (word, did) = trimmed.split_once(char::is_whitespace).ok_or(())?;
        let word = match word {
            "track" => Word::Track,
            "untrack" => Word::Untrack,
            _ => return Err(()),
        };
        Ok(Self::Order(word, did.trim().parse().map_err(|_| ())?))
    }
}

impl Roster {
    /// Reads the list; one that is not there is empty.
    ///
    /// # Errors
    ///
    /// [`RosterError`]: a list that is half understood would bring back what was left out.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, RosterError> {
        let path = path.into();
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(RosterError::Io { path, error }),
            Ok(text) => text,
        };
        let (mut lines, mut named) = (Vec::new(), BTreeSet::new());
        for (at, text) in text.lines().enumerate() {
            let number = at.saturating_add(1);
            let Ok(line) = text.parse() else {
                return Err(RosterError::Line { path, line: number, found: text.to_owned() });
            };
            if let Line::Order(_, did) = &line
                && !named.insert(did.clone())
            {
                return Err(RosterError::Twice { path, line: number, did: did.clone() });
            }
            lines.push(line);
        }
        Ok(Self { path: path.into(), lines: Arc::new(Mutex::new(lines)) })
    }

    /// What was said of a repository.
    #[must_use]
    pub fn word(&self, did: &Did) -> Option<Word> {
        word(&self.lines(), did)
    }

    /// Whoever this was said of.
    #[must_use]
    pub fn all(&self, wanted: Word) -> Vec<Did> {
        let lines = self.lines();
        orders(&lines).filter(|(word, _)| *word == wanted).map(|(_, did)| did.clone()).collect()
    }

    /// Everything of `dev.cocore.*` but what is left out.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::default().excluding(self.all(Word::Untrack))
    }

    /// Says something of a repository, in place of what was said before, and has it on disk when it returns.
    ///
    /// # Errors
    ///
    /// [`RosterError::Io`]: the file is as it was.
    pub fn say(&self, wanted: Word, did: &Did) -> Result<(), RosterError> {
        let mut lines = self.lines();
        if word(&lines, did) == Some(wanted) {
            return Ok(());
        }
        let mut said = lines.clone();
        said.retain(|line| !matches!(line, Line::Order(_, about) if about == did));
        said.push(Line::Order(wanted, did.clone()));
        write(&self.path, &said).map_err(|error| RosterError::Io { path: self.path.to_path_buf(), error })?;
        *lines = said;
        Ok(())
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn orders(lines: &[Line]) -> impl Iterator<Item = (Word, &Did)> {
    lines.iter().filter_map(|line| match line {
        Line::Order(word, did) => Some((*word, did)),
        Line::Note(_) => None,
    })
}

fn word(lines: &[Line], did: &Did) -> Option<Word> {
    orders(lines).find(|(_, about)| *about == did).map(|(word, _)| word)
}

/// Writes another file and gives it the name, so that a crash leaves the one or the other.
fn write(path: &Path, lines: &[Line]) -> std::io::Result<()> {
    let mut text = String::new();
    for line in lines {
        // Writing to a string does not fail.
        let _ = match line {
            Line::Note(note) => writeln!(text, "{note}"),
            Line::Order(word, did) => writeln!(text, "{word} {did}"),
        };
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_last_is_what_is_read_and_notes_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("repos.txt");
        let [ada, boris]: [Did; 2] =
            ["did:web:ada.example", "did:web:boris.example"].map(|did| did.parse().unwrap());
        std::fs::write(&path, "# friends\n\n  track\tdid:web:ada.example \n").unwrap();
        let roster = Roster::open(&path).unwrap();
        assert_eq!(roster.word(&ada), Some(Word::Track));
        roster.say(Word::Untrack, &ada).unwrap();
        roster.say(Word::Track, &boris).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "# friends\n\nuntrack did:web:ada.example\ntrack did:web:boris.example\n"
        );
        let read = Roster::open(&path).unwrap();
        assert!(read.scope().excludes(ada.as_str()) && !read.scope().excludes(boris.as_str()));
        assert_eq!(read.all(Word::Track), [boris]);
    }

    #[test]
    fn a_line_that_cannot_be_understood_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("repos.txt");
        let error = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Roster::open(&path).unwrap_err().to_string()
        };
        for line in
            ["ignore did:web:ada.example", "untrack", "untrack ada.example", "track did:web:a did:web:b"]
        {
            let told = error(&format!("# first\n{line}\n"));
            assert!(
                told.contains("repos.txt, line 2: expected `track DID`") && told.contains(line),
                "{told}"
            );
        }
        let twice = error("track did:web:ada.example\nuntrack did:web:ada.example\n");
        assert!(twice.contains("line 2: did:web:ada.example stands in an earlier line"), "{twice}");
    }
}
