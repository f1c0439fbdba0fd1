//! Publishing: records of people, written to their own repositories with their sessions, and shown at once.
//!
//! A [`Use`] of a session enters; it is judged by the lexicons, carried out at the person's PDS, and what that PDS then proves of the
//! record is in the index when its answer leaves. Nothing is taken on trust, not even what we have written ourselves: the stream's copy of
//! the same commit changes nothing later. Deliberately absent: who may publish, and tokens.

mod judge;
mod show;

use std::fmt;
use std::sync::Arc;

use appview_core::record::{Catalog, LexiconError};
use appview_core::source::http::Heard;
use appview_core::source::network::Network;
use appview_core::syntax::{AtUri, Did, RepoPath, Tid};
use serde_json::Value as Json;

pub use judge::{BadRecord, judge};
pub use show::Shown;

use crate::account::Actor;
use crate::engine::Engine;
use crate::oauth::{OAuth, OurCollection, SessionError, Use, Write};

/// Publishes; cheap to clone.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    oauth: OAuth,
    engine: Engine,
    network: Network,
    catalog: Catalog,
    /// Hints that are followed at once.
    hints: tokio::sync::Semaphore,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Publisher")
    }
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A record is none of its collection.
    #[error(transparent)]
    Record(#[from] BadRecord),
    /// The session could not be used.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// What a PDS answered, and whether what it did can be seen.
#[derive(Debug)]
pub struct Published {
    /// The answer, whatever its status.
    pub heard: Heard,
    /// Whether the index shows it.
    pub shown: Shown,
}

impl Publisher {
    /// Publishes with these sessions, into the index of this engine.
    ///
    /// # Errors
    ///
    /// None that can happen in a crate that passed its tests; see [`Catalog::builtin`].
    pub fn new(oauth: OAuth, engine: Engine, network: Network) -> Result<Self, LexiconError> {
        /// As many as a PDS takes in two minutes.
        const HINTS: usize = 64;
        let catalog = Catalog::builtin()?;
        let hints = tokio::sync::Semaphore::new(HINTS);
        Ok(Self(Arc::new(Inner { oauth, engine, network, catalog, hints })))
    }

    /// Whose sessions are used.
    #[must_use]
    pub fn oauth(&self) -> &OAuth {
        &self.0.oauth
    }

    /// Carries out what a session may be used for; what is written is judged before, and in the index afterwards.
    ///
    /// # Errors
    ///
    /// [`PublishError`]. What the PDS answers is none.
    pub async fn publish(&self, did: &Did, mut what: Use, actor: &Actor) -> Result<Published, PublishError> {
        let catalog = &self.0.catalog;
        match &mut what {
            Use::Create { collection, rkey, record, .. } => {
                judge(catalog, collection, rkey.as_ref(), record)?
            }
            Use::Put { collection, rkey, record, .. } => judge(catalog, collection, Some(rkey), record)?,
            Use::Apply { writes, .. } => {
                for write in writes {
                    match write {
                        Write::Create { collection, rkey, value } => {
                            judge(catalog, collection, rkey.as_ref(), value)?;
                        }
                        Write::Update { collection, rkey, value } => {
                            judge(catalog, collection, Some(rkey), value)?
                        }
                        Write::Delete { .. } => {}
                    }
                }
            }
            Use::Delete { .. } | Use::List { .. } | Use::Get { .. } | Use::ServiceAuth { .. } => {}
        }
        let heard = self.0.oauth.carry_out(did, &what, actor).await?;
        let shown = match written(&what, &heard) {
            Some(paths) => self.show_all(did, paths, rev(&heard)).await,
            None => Shown::Yes,
        };
        Ok(Published { heard, shown })
    }

    /// Follows a hint that a record has changed: it is fetched and proven, soon, and whoever hints waits for nothing. False where there
    /// are as many hints as are followed at a time.
    #[must_use]
    pub fn hint(&self, uri: &AtUri) -> bool {
        let (Ok(did), Some(collection), Some(rkey)) =
            (uri.authority().parse::<Did>(), uri.collection(), uri.rkey())
        else {
            return false;
        };
        let (Ok(collection), Ok(rkey)) = (collection.parse(), rkey.parse()) else { return false };
        let this = self.clone();
        if this.0.hints.available_permits() == 0 {
            return false;
        }
        tokio::spawn(async move {
            let _place = this.0.hints.acquire().await;
            this.show(&did, &RepoPath { collection, rkey }, None).await;
        });
        true
    }

    async fn show_all(&self, did: &Did, paths: Vec<RepoPath>, least: Option<Tid>) -> Shown {
        let mut all = Shown::Yes;
        for path in paths {
            if self.show(did, &path, least).await == Shown::NotYet {
                // The stream, or an audit, brings the rest.
                all = Shown::NotYet;
                break;
            }
        }
        all
    }
}

/// Which records a write that went well has changed; nothing of a read, or of a write that did not go well.
fn written(what: &Use, heard: &Heard) -> Option<Vec<RepoPath>> {
    if !matches!(heard.status, 200..=299) {
        return None;
    }
    let path = |collection: &OurCollection, rkey: &appview_core::syntax::RecordKey| RepoPath {
        collection: collection.nsid().clone(),
        rkey: rkey.clone(),
    };
    match what {
        Use::Create { collection, rkey: Some(rkey), .. }
        | Use::Put { collection, rkey, .. }
        | Use::Delete { collection, rkey, .. } => Some(vec![path(collection, rkey)]),
        Use::Create { collection, rkey: None, .. } => {
            let answer: Json = serde_json::from_slice(&heard.body).ok()?;
            let uri: AtUri = answer.get("uri")?.as_str()?.parse().ok()?;
            Some(vec![path(collection, &uri.rkey()?.parse().ok()?)])
        }
        Use::Apply { writes, .. } => {
            let paths = writes.iter().filter_map(|write| match write {
                Write::Create { collection, rkey, .. } => Some(path(collection, rkey.as_ref()?)),
                Write::Update { collection, rkey, .. } | Write::Delete { collection, rkey } => {
                    Some(path(collection, rkey))
                }
            });
            Some(paths.collect())
        }
        Use::List { .. } | Use::Get { .. } | Use::ServiceAuth { .. } => None,
    }
}

/// The revision that a write has made, where the PDS tells it.
fn rev(heard: &Heard) -> Option<Tid> {
    let answer: Json = serde_json::from_slice(&heard.body).ok()?;
    answer.pointer("/commit/rev")?.as_str()?.parse().ok()
}
