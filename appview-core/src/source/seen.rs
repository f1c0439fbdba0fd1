//! The documents of brokers and exchanges as their hosts have given them, kept from one run to the next.
//!
//! A document enters as it came from its host, and when; whoever judges an old record has those of its time back, as
//! [`Origin::Remembered`]. So a verdict does not change because a host is down, a process was started again, or a key was
//! replaced. A folder beside the index holds them, one file for each DID: it can't be had again from anywhere, and nothing
//! of the index is in it. Bounded, for any stranger can be an exchange. Deliberately absent: asking hosts.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io};

use serde_json::{Value as Json, json};

use crate::limits;
use crate::syntax::Did;
use crate::trust::{Document, Evidence, Instant, Origin, Terms};

/// How long a document must have been given for that to be written down again, in microseconds: a day.
const DAY: u64 = 24 * 60 * 60 * 1_000_000;

/// Why what was seen cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeenError {
    /// The folder or a file in it.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the machine said.
        error: io::Error,
    },
    /// A file that this does not write so.
    #[error("{}: expected {expected}; without the file, the documents in it are forgotten", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What should stand there.
        expected: &'static str,
    },
}

/// What hosts have given. Shared by all who judge.
#[derive(Debug, Default)]
pub struct Seen {
    folder: Option<PathBuf>,
    kept: Mutex<BTreeMap<Did, Vec<Span>>>,
}

/// A document, and from when to when its host gave it, in microseconds since 1970. Those of one DID are in order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    first: u64,
    last: u64,
    document: Document,
}

impl Seen {
    /// Remembers as long as the process lives.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// Reads what a folder holds, and keeps what comes there. It is made once there is something to keep.
    ///
    /// # Errors
    ///
    /// [`SeenError`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, SeenError> {
        let folder = folder.into();
        let mut kept = BTreeMap::new();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries.map_err(|error| SeenError::Io { path: folder.clone(), error })?),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry.map_err(|error| SeenError::Io { path: folder.clone(), error })?.path();
            // A write that was cut short leaves a file of another ending.
            if path.extension().is_some_and(|extension| extension == "json") {
                let bytes = fs::read(&path).map_err(|error| SeenError::Io { path: path.clone(), error })?;
                let (did, spans) =
                    read(&bytes).map_err(|expected| SeenError::Malformed { path, expected })?;
                kept.insert(did, spans);
            }
        }
        Ok(Self { folder: Some(folder), kept: Mutex::new(kept) })
    }

    /// Notes that the host of a DID gave this document `now`, in microseconds since 1970. One that is too large is not kept,
    /// nor that of an exchange where there are enough; a broker's always has a place. A disk that fails is told in the log:
    /// no verdict waits for it.
    pub fn note(&self, did: &Did, document: &Document, now: u64, terms: &Terms) {
        let mut kept = self.lock();
        let has_place =
            kept.len() < limits::SEEN_DIDS || kept.contains_key(did) || terms.brokerages.contains(did);
        if !has_place || document.json().to_string().len() > limits::SEEN_DOCUMENT_BYTES {
            return;
        }
        let spans = kept.entry(did.clone()).or_default();
        match spans.last_mut().filter(|span| span.document == *document) {
            Some(span) if now < span.last.saturating_add(DAY) => return,
            Some(span) => span.last = now,
            None => spans.push(Span { first: now, last: now, document: document.clone() }),
        }
        if spans.len() > limits::SEEN_DOCUMENTS {
            spans.remove(0);
        }
        if let Some(folder) = &self.folder
            && let Err(error) = write(folder, did, spans)
        {
            tracing::warn!(%did, %error, folder = %folder.display(), "the document of an authority could not be kept");
        }
    }

    /// Adds to `evidence` what is remembered of these.
    pub fn complete<'d>(&self, evidence: &mut Evidence, wanted: impl IntoIterator<Item = &'d Did>) {
        let kept = self.lock();
        for did in wanted {
            let spans = kept.get(did).map(Vec::as_slice).unwrap_or_default();
            for (at, span) in spans.iter().enumerate() {
                let until = spans.get(at + 1).map(|next| {
                    Instant::from_unix_millis(i64::try_from(next.first / 1_000).unwrap_or(i64::MAX))
                });
                evidence.put_document(did.clone(), span.document.clone(), Origin::Remembered { until });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Did, Vec<Span>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(bytes: &[u8]) -> Result<(Did, Vec<Span>), &'static str> {
    let json: Json = serde_json::from_slice(bytes).map_err(|_| "json")?;
    let did = json.get("did").and_then(Json::as_str).and_then(|did| did.parse().ok()).ok_or("a did")?;
    let spans = json.get("seen").and_then(Json::as_array).ok_or("a list of what was seen")?;
    let span = |span: &Json| {
        let moment = |member: &str| span.get(member).and_then(Json::as_u64);
        let document = Document::new(span.get("document")?.clone());
        Some(Span { first: moment("first")?, last: moment("last")?, document })
    };
    let spans = spans.iter().map(span).collect::<Option<_>>().ok_or("first, last and document")?;
    Ok((did, spans))
}

/// Writes a file beside and then in the place of the one before, so that there is always a whole one.
fn write(folder: &Path, did: &Did, spans: &[Span]) -> io::Result<()> {
    let spans = spans
        .iter()
        .map(|span| json!({"first": span.first, "last": span.last, "document": span.document.json()}));
    let json = json!({"did": did.as_str(), "seen": spans.collect::<Vec<_>>()});
    // A DID may be longer than a file's name.
    let name = blake3::hash(did.as_str().as_bytes()).to_hex();
    fs::create_dir_all(folder)?;
    let beside = folder.join(format!("{name}.part"));
    let mut file = fs::File::create(&beside)?;
    writeln!(file, "{json:#}")?;
    file.sync_all()?;
    fs::rename(beside, folder.join(format!("{name}.json")))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn document(number: usize) -> Document {
        Document::new(json!({"id": "did:web:a.example", "number": number}))
    }

    fn remembered(seen: &Seen, did: &Did) -> Vec<(Origin, Document)> {
        let mut evidence = Evidence::default();
        seen.complete(&mut evidence, [did]);
        evidence.documents().flat_map(|(_, known)| known.to_vec()).collect()
    }

    fn until(millis: Option<i64>) -> Origin {
        Origin::Remembered { until: millis.map(Instant::from_unix_millis) }
    }

    #[test]
    fn what_a_host_gave_is_good_until_it_gave_another_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authorities");
        let (did, terms): (Did, _) = ("did:web:a.example".parse().unwrap(), Terms::builtin().unwrap());
        let seen = Seen::open(&path).unwrap();
        assert!(remembered(&seen, &did).is_empty() && !path.exists());
        for (moment, number) in [(1_000, 1), (2_000, 1), (3_000, 2), (4_000, 2), (5_000, 3)] {
            seen.note(&did, &document(number), moment, &terms);
        }
        let expected =
            vec![(until(None), document(3)), (until(Some(3)), document(1)), (until(Some(5)), document(2))];
        let again = Seen::open(&path).unwrap();
        for seen in [&seen, &again] {
            assert_eq!(remembered(seen, &did), expected);
        }
        // One that comes back is good again, without an end.
        again.note(&did, &document(1), 6_000, &terms);
        let known = remembered(&Seen::open(&path).unwrap(), &did);
        assert_eq!(known.iter().filter(|(origin, _)| *origin == until(None)).count(), 1);
        assert!(
            known.contains(&(until(None), document(1))) && known.contains(&(until(Some(6)), document(3)))
        );
    }

    #[test]
    fn strangers_take_no_more_than_their_places_and_none_of_a_brokers() {
        let seen = Seen::nowhere();
        let terms = Terms::builtin().unwrap();
        for number in 0..=limits::SEEN_DIDS {
            seen.note(&format!("did:web:s{number}.example").parse().unwrap(), &document(number), 1, &terms);
        }
        assert_eq!(seen.lock().len(), limits::SEEN_DIDS);
        let broker = terms.brokerages.first().unwrap();
        seen.note(broker, &document(1), 1, &terms);
        assert_eq!(remembered(&seen, broker).len(), 1);
        for number in 0..2 * limits::SEEN_DOCUMENTS {
            seen.note(broker, &document(number), 2 + number as u64, &terms);
        }
        assert_eq!(remembered(&seen, broker).len(), limits::SEEN_DOCUMENTS);
        let large = Document::new(json!({"id": "x".repeat(limits::SEEN_DOCUMENT_BYTES)}));
        seen.note(broker, &large, 99, &terms);
        assert!(!remembered(&seen, broker).iter().any(|(_, document)| *document == large));
    }

    #[test]
    fn a_file_that_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("{", "json"),
            ("{}", "a did"),
            (r#"{"did": "did:web:a.example"}"#, "a list of what was seen"),
            (r#"{"did": "did:web:a.example", "seen": [{}]}"#, "first, last and document"),
        ] {
            fs::write(folder.path().join("a.json"), text).unwrap();
            let told = Seen::open(folder.path()).unwrap_err().to_string();
            let wanted =
                format!("a.json: expected {expected}; without the file, the documents in it are forgotten");
            assert!(told.ends_with(&wanted), "{told}");
        }
    }
}
