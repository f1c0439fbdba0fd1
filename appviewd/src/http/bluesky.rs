//! Faces: what the public Bluesky API says of accounts whose own profiles lack a handle, a name or a picture.
//!
//! DIDs enter; whatever is known of them within half a second leaves. Nobody is asked for twice at a time: who is wanted
//! stands in one line, from which a few requests take 25 each, and what they bring is kept whether or not whoever wanted it
//! still waits. It never fails a request. Only where an operator names the API: it learns whom people look at.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use appview_core::limits;
use appview_core::source::http::Http;
use appview_core::syntax::Did;
use form_urlencoded::Serializer;
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::front::Lately;

/// How long a request waits for faces.
const PATIENCE: Duration = Duration::from_millis(500);
/// For how long a face is one's own.
const FACE: Duration = Duration::from_secs(60 * 60);
/// For how long nobody is asked about who is not known.
const UNKNOWN: Duration = Duration::from_secs(5 * 60);
/// Accounts that are remembered.
const REMEMBERED: usize = 10_000;
/// Accounts that may stand in line; those beyond are not asked for.
const IN_LINE: usize = 1_000;
/// Accounts in one request: as many as the method takes.
const TOGETHER: usize = 25;
/// Requests under way at once.
const AT_ONCE: usize = 2;

/// How an account presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Face {
    /// Its handle.
    pub(super) handle: String,
    /// Its name to show.
    pub(super) display_name: Option<String>,
    /// Where its picture can be fetched.
    pub(super) avatar: Option<String>,
}

/// All faces that are known, and the line of those that are wanted.
#[derive(Debug)]
pub(super) struct Faces {
    state: Mutex<State>,
    line: mpsc::Sender<Did>,
    /// Told whenever something has become known.
    news: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    known: Lately<Did, Known>,
    /// Who stands in line, or is being asked about.
    wanted: HashSet<Did>,
}

/// What is known of an account, or that nothing is.
#[derive(Debug, Clone)]
struct Known {
    face: Option<Face>,
    until: Instant,
}

impl Faces {
    /// Asks the API at this URL. To be called within a runtime; asking ends when this is dropped.
    pub(super) fn of(http: Http, api: &str) -> Arc<Self> {
        let (line, wanted) = mpsc::channel(IN_LINE);
        let known = Lately::new(REMEMBERED);
        let state = Mutex::new(State { known, wanted: HashSet::new() });
        let faces = Arc::new(Self { state, line, news: watch::Sender::new(()) });
        tokio::spawn(ask(http, api.to_owned(), wanted, Arc::downgrade(&faces)));
        faces
    }

    /// The faces of these accounts, as far as they are known in time.
    pub(super) async fn of_accounts(&self, dids: &[Did]) -> HashMap<Did, Face> {
        let deadline = Instant::now() + PATIENCE;
        let mut news = self.news.subscribe();
        loop {
            let (found, is_all) = self.look(dids);
            // The end of patience, and of the service, leave what is known so far.
            if is_all || !matches!(timeout_at(deadline, news.changed()).await, Ok(Ok(()))) {
                return found;
            }
        }
    }

    /// What is known of them, and whether that is all there is to know for now. Who is not known is put in line.
    fn look(&self, dids: &[Did]) -> (HashMap<Did, Face>, bool) {
        let (mut found, mut is_all) = (HashMap::new(), true);
        let now = Instant::now();
        let mut state = self.state();
        for did in dids {
            match state.known.get(did).filter(|known| now < known.until) {
                Some(Known { face: Some(face), .. }) => {
                    found.insert(did.clone(), face);
                }
                Some(Known { face: None, .. }) => {}
                None if state.wanted.contains(did) => is_all = false,
                None => {
                    // Who finds the line full does without.
                    if self.line.try_send(did.clone()).is_ok() {
                        state.wanted.insert(did.clone());
                        is_all = false;
                    }
                }
            }
        }
        (found, is_all)
    }

    /// Remembers what came of asking about these accounts.
    fn learn(&self, asked: &[Did], mut faces: HashMap<Did, Face>) {
        let now = Instant::now();
        let mut state = self.state();
        for did in asked {
            let face = faces.remove(did);
            let until = now + if face.is_some() { FACE } else { UNKNOWN };
            state.wanted.remove(did);
            state.known.put(did.clone(), Known { face, until }, 1);
        }
        drop(state);
        self.news.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks about who stands in line, for as long as there is anybody to tell.
async fn ask(http: Http, api: String, mut wanted: mpsc::Receiver<Did>, faces: Weak<Faces>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // Nobody closes the semaphore, so there is always a permit.
        let place = Arc::clone(&places).acquire_owned().await;
        let mut dids = Vec::with_capacity(TOGETHER);
        if wanted.recv_many(&mut dids, TOGETHER).await == 0 {
            return;
        }
        let (http, api, faces) = (http.clone(), api.clone(), Weak::clone(&faces));
        tokio::spawn(async move {
            let found = profiles(&http, &api, &dids).await;
            drop(place);
            if let Some(faces) = faces.upgrade() {
                faces.learn(&dids, found);
            }
        });
    }
}

/// What the API says of these accounts; nothing if it cannot be asked.
async fn profiles(http: &Http, api: &str, dids: &[Did]) -> HashMap<Did, Face> {
    #[derive(Deserialize)]
    struct Answer {
        profiles: Vec<Json>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Profile {
        did: Did,
        handle: String,
        display_name: Option<String>,
        avatar: Option<String>,
    }
    let actors: String =
        Serializer::new(String::new()).extend_pairs(dids.iter().map(|did| ("actors", did.as_str()))).finish();
    let url = format!("{api}/xrpc/app.bsky.actor.getProfiles?{actors}");
    let asked = async { http.operator(&url).await?.json(limits::XRPC_JSON_BYTES).await };
    let answer = match asked.await.map(serde_json::from_value::<Answer>) {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the Bluesky API answers something else");
            return HashMap::new();
        }
        Err(error) => {
            tracing::debug!(%error, "the Bluesky API does not answer");
            return HashMap::new();
        }
    };
    // One that makes no sense takes nothing from the others.
    let profiles = answer.profiles.into_iter().filter_map(|profile| serde_json::from_value(profile).ok());
    // A handle that does not lead back to its account is written so.
    let is_handle = |profile: &Profile| !matches!(profile.handle.as_str(), "" | "handle.invalid");
    let text = |text: Option<String>| text.filter(|text| !text.is_empty());
    let faces = profiles.filter(is_handle).map(|profile| {
        let face = Face {
            handle: profile.handle,
            display_name: text(profile.display_name),
            avatar: text(profile.avatar),
        };
        (profile.did, face)
    });
    faces.collect()
}
