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
    let count = |outcome| metrics::counter!("appview_http_faces_total", "outcome" => outcome).increment(1);
    let answer = match asked.await.map(serde_json::from_value::<Answer>) {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the Bluesky API answers something else");
            count("malformed");
            return HashMap::new();
        }
        Err(error) => {
            tracing::debug!(%error, "the Bluesky API does not answer");
            count(error.label());
            return HashMap::new();
        }
    };
    count("answered");
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

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use appview_core::source::clock::Clock;
    use appview_core::source::turns::Politeness;
    use appview_core::source::wire::{
        Bytes, ChosenBy, HeaderMap, Outside, Reach, Reply, Said, Socket, Url, Wire, WireError,
    };
    use appview_core::source::wishes::Wishes;
    use futures_util::future::BoxFuture;
    use futures_util::stream::once;
    use serde_json::json;

    use super::*;

    /// What the API does when it is asked.
    #[derive(Debug, Clone, Copy)]
    enum Mood {
        Knows,
        Fails,
        Babbles,
        Hangs,
    }

    /// The API, and whom it was asked about.
    #[derive(Debug)]
    struct Api {
        mood: Mutex<Mood>,
        asked: Mutex<Vec<Vec<String>>>,
    }

    impl Wire for Api {
        fn send(&self, url: Url, _: Said, chosen: ChosenBy) -> BoxFuture<'static, Result<Reply, WireError>> {
            assert_eq!((chosen, url.path()), (ChosenBy::Operator, "/xrpc/app.bsky.actor.getProfiles"));
            let actors: Vec<String> = url.query_pairs().map(|(_, actor)| actor.into_owned()).collect();
            let profiles: Vec<Json> = actors
                .iter()
                .filter(|did| !did.ends_with("nobody"))
                .map(|did| {
                    let handle = if did.ends_with("moved") { "handle.invalid" } else { "a.example" };
                    json!({"did": did, "handle": handle, "displayName": "", "avatar": "https://a.example/a"})
                })
                .chain([json!({"did": 1})])
                .collect();
            self.asked.lock().unwrap().push(actors);
            let (status, body) = match *self.mood.lock().unwrap() {
                Mood::Knows => (200, json!({"profiles": profiles}).to_string()),
                Mood::Fails => (500, String::new()),
                Mood::Babbles => (200, "[]".to_owned()),
                Mood::Hangs => return Box::pin(std::future::pending()),
            };
            let body = Box::pin(once(async { Ok(Bytes::from(body)) }));
            Box::pin(async move {
                Ok(Reply { status, headers: HeaderMap::new(), wishes: Wishes::default(), body })
            })
        }

        fn texts(&self, _: String) -> BoxFuture<'static, Result<Vec<String>, WireError>> {
            panic!("nobody asks for a name")
        }

        fn dial(&self, _: String) -> BoxFuture<'static, Result<Box<dyn Socket>, WireError>> {
            panic!("nobody subscribes")
        }
    }

    fn faces(mood: Mood) -> (Arc<Api>, Arc<Faces>) {
        let api = Arc::new(Api { mood: Mutex::new(mood), asked: Mutex::default() });
        let wire: Arc<dyn Wire> = Arc::clone(&api) as _;
        let outside = Outside { wire, clock: Clock::of_runtime(0, 1), reach: Reach::Public };
        (Arc::clone(&api), Faces::of(Http::new(&outside, Politeness::default()), "https://api.example"))
    }

    fn dids(names: &[&str]) -> Vec<Did> {
        names.iter().map(|name| format!("did:web:{name}").parse().unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_face_is_asked_for_once_and_kept_for_an_hour() {
        let (api, faces) = faces(Mood::Knows);
        let wanted = dids(&["ada", "nobody", "moved"]);
        for _ in 0..3 {
            let found = faces.of_accounts(&wanted).await;
            let face = Face {
                handle: "a.example".to_owned(),
                display_name: None,
                avatar: Some("https://a.example/a".to_owned()),
            };
            assert_eq!(found, HashMap::from([(wanted[0].clone(), face)]));
        }
        assert_eq!(api.asked.lock().unwrap().len(), 1);
        // Who was not known is asked about again sooner than who was.
        tokio::time::sleep(UNKNOWN).await;
        faces.of_accounts(&wanted).await;
        assert_eq!(api.asked.lock().unwrap()[1], ["did:web:nobody", "did:web:moved"]);
        tokio::time::sleep(FACE).await;
        faces.of_accounts(&wanted[..1]).await;
        assert_eq!(api.asked.lock().unwrap()[2], ["did:web:ada"]);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_together_have_one_question_of_twenty_five_at_most() {
        let (api, faces) = faces(Mood::Knows);
        let wanted: Vec<Did> = (0..60).map(|at| format!("did:web:n{at}").parse().unwrap()).collect();
        let (one, two) = tokio::join!(faces.of_accounts(&wanted), faces.of_accounts(&wanted));
        assert_eq!((one.len(), two.len()), (60, 60));
        let asked = api.asked.lock().unwrap().clone();
        assert_eq!(asked.iter().map(Vec::len).sum::<usize>(), 60, "nobody is asked about twice");
        assert!(asked.iter().all(|together| together.len() <= TOGETHER));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_that_the_api_does_takes_longer_than_half_a_second() {
        for mood in [Mood::Fails, Mood::Babbles, Mood::Hangs] {
            let (_api, faces) = faces(mood);
            let began = Instant::now();
            assert_eq!(faces.of_accounts(&dids(&["ada"])).await, HashMap::new());
            assert!(began.elapsed() <= PATIENCE, "{mood:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_late_is_there_the_next_time() {
        let (api, faces) = faces(Mood::Hangs);
        let wanted = dids(&["ada"]);
        assert_eq!(faces.of_accounts(&wanted).await, HashMap::new());
        *api.mood.lock().unwrap() = Mood::Knows;
        // The question that hangs ends by itself, as a failure.
        tokio::time::sleep(Duration::from_secs(60) + UNKNOWN).await;
        assert_eq!(faces.of_accounts(&wanted).await.len(), 1);
    }
}
