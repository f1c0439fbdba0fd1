//! What was recorded: frames, DID documents and repository exports on disk.
//!
//! Paths enter; frames, identities and proven repositories leave. [`Offline`] answers the pump's requests from such
//! files, so that a folder of CARs stands in for everyone's PDS. Deliberately absent: the network.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;

use super::now;
use super::pump::{Answer, Batch, Notice, Pump, Request, Sink, Upstream};
use crate::block::BlockError;
use crate::block::car::Archive;
use crate::index::{IndexError, IndexWriter};
use crate::limits;
use crate::repo::{Commit, CommitError, Identity, IdentityError};
use crate::sync::verifier::{Keys, Tally, Unresolved};
use crate::sync::verify::{VerifyError, verify_repo};
use crate::sync::{Rejection, Scope, VerifiedRepo, Verifier};
use crate::syntax::Did;

/// Exports up to this many bytes are read into memory at once; larger ones stay in their file.
const IN_MEMORY: u64 = 32 << 20;

/// Why something recorded cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The recording ends inside a frame.
    #[error("frame {frame} is cut short, expected {expected} bytes")]
    Truncated {
        /// Which frame, counted from 1.
        frame: u64,
        /// How long it should be.
        expected: usize,
    },
    /// A length that no frame has: the file is no recording, or was damaged.
    #[error("frame {frame} claims {found} bytes, expected at most {}", limits::FRAME_BYTES)]
    FrameTooLarge {
        /// Which frame, counted from 1.
        frame: u64,
        /// The length it claims.
        found: usize,
    },
    /// The identities file is no JSON map of DIDs.
    #[error("{}: expected a JSON map from DIDs to DID documents: {reason}", path.display())]
    Identities {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A DID document that cannot be used.
    #[error("{did}: {source}")]
    Identity {
        /// Whose.
        did: String,
        /// Why not.
        source: IdentityError,
    },
    /// Nobody told us about this DID.
    #[error("no identity is known for {did}")]
    UnknownDid {
        /// Whose.
        did: Did,
    },
    /// The export is of a repository that is left out.
    #[error("{did} is left out")]
    LeftOut {
        /// Whose.
        did: Did,
    },
    /// The export is not a readable CAR with a commit.
    #[error("{}: {reason}", path.display())]
    Export {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The index cannot be written.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The export proves nothing.
    #[error("{}: {source}", path.display())]
    Unproven {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: Box<VerifyError>,
    },
}

/// A file of frames: each a big-endian `u32` length and that many bytes, one WebSocket message unchanged.
#[derive(Debug)]
pub struct Recording<R> {
    input: R,
    /// For errors.
    path: PathBuf,
    frames: u64,
}

impl Recording<BufReader<File>> {
    /// Opens a recording.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReplayError> {
        let path = path.as_ref();
        let input = BufReader::with_capacity(256 * 1024, open(path)?);
        Ok(Self { input, path: path.to_owned(), frames: 0 })
    }
}

impl<R: Read> Recording<R> {
    /// Reads a recording from `input`, which should be buffered.
    pub fn new(input: R) -> Self {
        Self { input, path: PathBuf::from("recording"), frames: 0 }
    }

    /// Reads the next frame into `frame`; false at the end.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]; the recording cannot be read any further then.
    pub fn next_frame(&mut self, frame: &mut Vec<u8>) -> Result<bool, ReplayError> {
        let Self { input, path, .. } = self;
        let io = |source| ReplayError::Io { path: path.clone(), source };
        self.frames = self.frames.saturating_add(1);
        let mut length = [0; 4];
        let mut filled = 0;
        while let Some(rest) = length.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match input.read(rest).map_err(io)? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(ReplayError::Truncated { frame: self.frames, expected: 4 }),
                read => filled = filled.saturating_add(read),
            }
        }
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > limits::FRAME_BYTES {
            return Err(ReplayError::FrameTooLarge { frame: self.frames, found: length });
        }
        frame.clear();
        let read = input.by_ref().take(length as u64).read_to_end(frame).map_err(io)?;
        if read == length {
            Ok(true)
        } else {
            Err(ReplayError::Truncated { frame: self.frames, expected: length })
        }
    }
}

/// What came of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Played {
    /// The verifier's counts.
    pub tally: Tally,
    /// What the service said about the stream itself.
    pub notices: Vec<Notice>,
    /// What was refused; of a flood only the first thousand.
    pub rejections: Vec<Rejection>,
}

/// Plays a recording into an index, from its first frame to its last. Frames that the index knows change nothing, so
/// playing one twice does no harm. `progress` is told the counts after each frame.
///
/// No cursor is stored: a place in a file is none in a relay's stream.
///
/// # Errors
///
/// [`ReplayError`]. What was played before a damaged frame is kept.
pub fn play(
    recording: &mut Recording<impl Read>,
    writer: &mut IndexWriter,
    upstream: impl Upstream,
    scope: Scope,
    mut progress: impl FnMut(&Tally),
) -> Result<Played, ReplayError> {
    let states = writer.repo_states().collect::<Result<Vec<_>, _>>()?;
    let mut verifier = Verifier::new(scope, states);
    let stream = verifier.add_stream("recording", None);
    let mut pump = Pump::new(verifier, upstream, WithoutCursors(writer), now())?;
    let mut frame = Vec::new();
    let end = loop {
        match recording.next_frame(&mut frame) {
            Ok(true) => pump.handle_frame(stream, &frame, now())?,
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        progress(&pump.tally());
    };
    pump.flush(now())?;
    end?;
    Ok(Played { tally: pump.tally(), notices: pump.take_notices(), rejections: pump.take_rejections() })
}

/// Writes changes alone.
struct WithoutCursors<'w>(&'w mut IndexWriter);

impl Sink for WithoutCursors<'_> {
    type Error = IndexError;

    fn write(&mut self, batch: Batch) -> Result<(), IndexError> {
        let batch = Batch { cursors: Vec::new(), ..batch };
        Sink::write(&mut &mut *self.0, batch)
    }
}

/// DID documents that were saved: a JSON map from each DID to its document, or to `{didDocument, operations}` with the
/// audit log of its PLC operations.
#[derive(Debug, Default)]
pub struct Identities {
    entries: HashMap<Did, Arc<Identity>>,
}

impl Identities {
    /// Reads an identities file. A document that no repository could use fails the whole: it was saved on purpose.
    ///
    /// # Errors
    ///
    /// [`ReplayError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ReplayError> {
        let path = path.as_ref();
        let malformed = |reason: String| ReplayError::Identities { path: path.to_owned(), reason };
        let json = serde_json::from_reader(BufReader::new(open(path)?));
        Self::from_json(&json.map_err(|error: serde_json::Error| match error.is_io() {
            true => ReplayError::Io { path: path.to_owned(), source: error.into() },
            false => malformed(error.to_string()),
        })?)
    }

    /// Reads the content of an identities file.
    ///
    /// # Errors
    ///
    /// [`ReplayError`].
    pub fn from_json(json: &Json) -> Result<Self, ReplayError> {
        let malformed =
            |reason: String| ReplayError::Identities { path: PathBuf::from("identities"), reason };
        let object = json.as_object().ok_or_else(|| malformed("not an object".to_owned()))?;
        let mut entries = HashMap::with_capacity(object.len());
        for (did, entry) in object {
            let did: Did = did.parse().map_err(|error| malformed(format!("{did}: {error}")))?;
            let failed = |source| ReplayError::Identity { did: did.to_string(), source };
            let document = entry.get("didDocument").unwrap_or(entry);
            let mut identity = Identity::from_document(&did, document).map_err(failed)?;
            if let Some(operations) = entry.get("operations") {
                identity = identity.with_audit_log(operations).map_err(failed)?;
            }
            entries.insert(did, Arc::new(identity));
        }
        Ok(Self { entries })
    }

    /// What is known of a DID.
    #[must_use]
    pub fn get(&self, did: &str) -> Option<&Arc<Identity>> {
        self.entries.get(did)
    }
}

/// A folder of exports, one CAR for each repository. A file's name is the DID with `_` for `:`, and does not matter
/// where the folder is read as a whole.
#[derive(Debug)]
pub struct RepoFolder {
    path: PathBuf,
}

impl RepoFolder {
    /// Names a folder.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Every CAR of the folder, sorted by name.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn cars(&self) -> Result<Vec<PathBuf>, ReplayError> {
        let io = |source| ReplayError::Io { path: self.path.clone(), source };
        let mut cars = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|extension| extension == "car") {
                cars.push(path);
            }
        }
        cars.sort();
        Ok(cars)
    }

    /// Where the export of `did` should be.
    #[must_use]
    pub fn car_of(&self, did: &Did) -> PathBuf {
        self.path.join(format!("{}.car", did.as_str().replace(':', "_")))
    }
}

/// Opens an export and says whose it claims to be.
///
/// # Errors
///
/// The file is no CAR, or its root no commit.
pub fn open_export(path: &Path) -> Result<(Did, Archive), ReplayError> {
    let export = |reason: String| ReplayError::Export { path: path.to_owned(), reason };
    let io = |source| ReplayError::Io { path: path.to_owned(), source };
    let mut file = open(path)?;
    let archive = if file.metadata().map_err(io)?.len() <= IN_MEMORY {
        let mut car = Vec::new();
        file.read_to_end(&mut car).map_err(io)?;
        Archive::from_bytes(car)
    } else {
        Archive::from_file(file)
    }
    .map_err(|error: BlockError| export(error.to_string()))?;
    let mut block = Vec::new();
    let root = archive.roots().first().copied().ok_or_else(|| export("the car has no root".to_owned()))?;
    if !archive.read(&root, &mut block).map_err(|error| export(error.to_string()))? {
        return Err(export("the root is missing".to_owned()));
    }
    let commit = Commit::decode(&block).map_err(|error: CommitError| export(error.to_string()))?;
    let did = commit.did.parse().map_err(|error| export(format!("{error}")))?;
    Ok((did, archive))
}

/// Proves an export on disk.
///
/// # Errors
///
/// [`ReplayError`]; [`ReplayError::LeftOut`] of what has no place in the scope, before it is asked who signs.
pub fn prove_export(
    path: &Path,
    identities: &Identities,
    scope: &Scope,
) -> Result<(VerifiedRepo, Arc<Identity>), ReplayError> {
    let (did, archive) = open_export(path)?;
    if scope.excludes(did.as_str()) {
        return Err(ReplayError::LeftOut { did });
    }
    let Some(identity) = identities.get(did.as_str()) else { return Err(ReplayError::UnknownDid { did }) };
    let repo = verify_repo(archive, identity, scope.as_str(), now())
        .map_err(|source| ReplayError::Unproven { path: path.to_owned(), source: Box::new(source) })?;
    if scope.is_wiped(did.as_str(), repo.head().rev) {
        return Err(ReplayError::LeftOut { did });
    }
    Ok((repo, Arc::clone(identity)))
}

/// Answers every request from disk.
#[derive(Debug)]
pub struct Offline {
    identities: Identities,
    repos: Option<RepoFolder>,
    scope: Scope,
}

impl Offline {
    /// Identities as saved; exports from `repos`, if there is such a folder.
    #[must_use]
    pub const fn new(identities: Identities, repos: Option<RepoFolder>, scope: Scope) -> Self {
        Self { identities, repos, scope }
    }
}

impl Upstream for Offline {
    fn ask(&mut self, request: Request) -> Option<Answer> {
        match request {
            Request::Identity { did, .. } => {
                let identity = self.identities.get(did.as_str());
                // A file that does not name a DID knows nothing of it, not that it is gone: a wrong file must not make
                // accounts be forgotten in silence.
                let identity = identity.map(|identity| identity.as_ref().clone());
                let identity = identity.ok_or(Unresolved::Unreachable);
                Some(Answer::Identity { did, identity })
            }
            // A file does not change: what led no further once never will.
            Request::Repo { attempt: 1.., .. } => None,
            Request::Repo { did, .. } => {
                let car = self.repos.as_ref()?.car_of(&did);
                if !car.exists() {
                    tracing::debug!(%did, "no export was saved");
                    return None;
                }
                match prove_export(&car, &self.identities, &self.scope) {
                    Ok((repo, identity)) if *repo.did() == did => Some(Answer::Repo { repo, identity }),
                    Ok((repo, _)) => {
                        tracing::warn!(%did, found = %repo.did(), "the export is another repository's");
                        None
                    }
                    Err(error) => {
                        tracing::warn!(%did, %error, "the repository cannot be proven from its export");
                        None
                    }
                }
            }
            // Files do not know; what the stream said stands.
            Request::Hosting { .. } | Request::Record { .. } => None,
            Request::Audit { did, .. } => Some(Answer::Unaudited { did }),
        }
    }

    fn keys(&self) -> Keys {
        Keys::AuditLog
    }

    fn discover(&mut self) -> Vec<Did> {
        let cars = self.repos.as_ref().map(|repos| repos.cars().unwrap_or_default()).unwrap_or_default();
        cars.iter().filter_map(|path| open_export(path).ok()).map(|(did, _)| did).collect()
    }
}

fn open(path: &Path) -> Result<File, ReplayError> {
    File::open(path).map_err(|source| ReplayError::Io { path: path.to_owned(), source })
}
