//! Answers that are given again: as long as nothing has changed, or for a moment.
//!
//! A request's path and query enter, before anything in them is read; an answer leaves that was made before, byte for byte
//! and compressed already, or the one that is made now and stays. However many ask for the same at once, it is made once.
//! An answer is never older than the index was when the request came, but where its route says that a moment does not
//! matter: what takes time to add up, and ends at the present anyway. It is known by a tag that is a hash of what it says, so
//! that whoever has it is told that it still holds, whatever else has changed. Deliberately absent: what is for one person
//! alone.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use metrics::Counter;
use tokio::sync::OnceCell;

use super::super::{App, Version, XrpcError};
use super::lately::Lately;
use super::tell_browsers;
use super::trace::Tally;

/// What all answers may weigh together, with their keys.
const WEIGHT: usize = 16 << 20;
/// Longest answer that is kept, as it is sent.
const LARGEST: usize = 2 << 20;
/// What an answer weighs without its key and its body: two dozen headers, most of all.
const OVERHEAD: usize = 2_048;
/// For how long an answer that is kept for a moment is given.
const MOMENT: Duration = Duration::from_secs(2);
/// How often answers that nobody will be given any more are looked for, at most.
const SWEPT: Duration = Duration::from_millis(100);
/// Bytes of a tag's hash.
const TAG_BYTES: usize = 16;

/// For how long an answer may be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Keep {
    /// As long as the index is as it was.
    WhileUnchanged,
    /// For two seconds, whatever happens meanwhile.
    Briefly,
}

/// All answers that are kept.
#[derive(Debug)]
pub(in crate::http) struct Shelf {
    counts: Counts,
    answers: Mutex<Answers>,
}

#[derive(Debug)]
struct Answers {
    lately: Lately<Box<str>, Arc<Slot>>,
    /// As of when what is of no use was last looked for, and when that was.
    swept: (Version, Instant),
}

/// Where answers came from.
#[derive(Debug)]
struct Counts {
    given: Counter,
    unchanged: Counter,
    made: Counter,
    passed: Counter,
}

impl Counts {
    fn new() -> Self {
        let how = |how| metrics::counter!("appview_http_kept_total", "how" => how);
        Self { given: how("given"), unchanged: how("unchanged"), made: how("made"), passed: how("passed") }
    }
}

/// The place of an answer, which may be about to be made.
#[derive(Debug)]
pub(super) struct Slot {
    keep: Keep,
    version: Version,
    answer: OnceCell<Kept>,
}

/// An answer as it is sent.
#[derive(Debug)]
pub(super) struct Kept {
    made: Instant,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// The numbers of its route.
    tally: Arc<Tally>,
}

impl Shelf {
    /// An empty shelf.
    pub(in crate::http) fn new() -> Self {
        let swept = (Version { changes: 0, hour: 0 }, Instant::now());
        let answers = Mutex::new(Answers { lately: Lately::new(WEIGHT), swept });
        Self { counts: Counts::new(), answers }
    }

    /// The place of an answer to a request that was made before, and may be given.
    pub(super) fn find<B>(&self, request: &axum::http::Request<B>, version: Version) -> Option<Arc<Slot>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let key = key(Encoding::accepted(request.headers()), request)?;
        let found = self.answers().lately.get(&*key);
        found.filter(|slot| slot.is_good(version) && slot.answer.initialized())
    }

    /// Gives an answer, or the word that it is what the client has.
    pub(super) fn give(&self, kept: &Kept, condition: Option<&HeaderValue>) -> Response {
        let response = kept.answer(condition);
        let is_whole = response.status() != StatusCode::NOT_MODIFIED;
        if is_whole { &self.counts.given } else { &self.counts.unchanged }.increment(1);
        response
    }

    /// The place of the answer to `key`, as of `version` or later.
    fn slot(&self, key: &str, keep: Keep, version: Version) -> Arc<Slot> {
        let mut answers = self.answers();
        if let Some(slot) = answers.lately.get(key).filter(|slot| slot.is_good(version)) {
            return slot;
        }
        answers.sweep(version);
        let slot = Arc::new(Slot { keep, version, answer: OnceCell::new() });
        answers.lately.put(key.into(), Arc::clone(&slot), key.len() + OVERHEAD);
        slot
    }

    /// Notes what an answer weighs that was made for this place.
    fn weigh(&self, key: &str, slot: &Arc<Slot>, bytes: usize) {
        let mut answers = self.answers();
        // Another may have taken its place meanwhile.
        if answers.lately.get(key).is_some_and(|kept| Arc::ptr_eq(&kept, slot)) {
            answers.lately.put(key.into(), Arc::clone(slot), key.len() + OVERHEAD + bytes);
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    /// Gives up what the index's changes have made useless: it would be in memory until as much again is asked for.
    fn sweep(&mut self, version: Version) {
        let (then, at) = self.swept;
        if version > then && at.elapsed() >= SWEPT {
            self.lately.retain(|slot| slot.is_good(version));
            self.swept = (version, Instant::now());
        }
    }
}

impl Slot {
    /// Whether it may be given as of a version. What is newer than the index was when it was asked is as good.
    fn is_good(&self, version: Version) -> bool {
        match self.keep {
            Keep::WhileUnchanged => self.version >= version,
            Keep::Briefly => self.answer.get().is_none_or(|kept| kept.made.elapsed() < MOMENT),
        }
    }

    /// The answer, if it was made.
    pub(super) fn kept(&self) -> Option<&Kept> {
        self.answer.get()
    }
}

/// Answers from the shelf, or passes a request on and puts its answer there.
pub(super) async fn serve(
    State((app, keep)): State<(Arc<App>, Keep)>,
    mut request: Request,
    next: Next,
) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    // What is read from here on is at least as new.
    let version = app.version();
    let condition = request.headers_mut().remove(header::IF_NONE_MATCH);
    let encoding = Encoding::accepted(request.headers());
    encoding.demand(request.headers_mut());
    let Some(key) = key(encoding, &request) else { return next.run(request).await };
    // Whatever is asked with `HEAD` is what `GET` would bring; its body is taken off at the end.
    *request.method_mut() = Method::GET;
    let slot = app.shelf.slot(&key, keep, version);
    let mut was_made = None;
    let made = slot.answer.get_or_try_init(|| async {
        was_made = Some(false);
        let kept = make(&app, keep, request, next).await?;
        was_made = Some(true);
        app.shelf.weigh(&key, &slot, kept.body.len());
        Ok::<_, Response>(kept)
    });
    let made = made.await;
    match (made, was_made) {
        (Ok(kept), None) => app.shelf.give(kept, condition.as_ref()),
        (Ok(kept), Some(_)) => {
            app.shelf.counts.made.increment(1);
            kept.answer(condition.as_ref())
        }
        (Err(response), _) => {
            app.shelf.counts.passed.increment(1);
            response
        }
    }
}

/// Where the answer to a request is kept: by its path and query as they came, and by how it is packed.
fn key<B>(encoding: Encoding, request: &axum::http::Request<B>) -> Option<String> {
    let asked = request.uri().path_and_query()?.as_str();
    let mut key = String::with_capacity(asked.len() + 1);
    key.push(encoding.letter());
    key.push_str(asked);
    Some(key)
}

/// Has an answer made.
///
/// # Errors
///
/// The answer itself, if it is not to be kept.
async fn make(app: &App, keep: Keep, request: Request, next: Next) -> Result<Kept, Response> {
    let tally = app.tallies.of(&request);
    let (parts, body) = next.run(request).await.into_parts();
    let status = parts.status;
    // What a request lacks, and what is not there, is as much an answer as what is. All else may be otherwise in a moment.
    let is_lasting = match keep {
        Keep::WhileUnchanged => matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND),
        Keep::Briefly => false,
    };
    if status != StatusCode::OK && !is_lasting {
        return Err(Response::from_parts(parts, body));
    }
    let body = to_bytes(body, usize::MAX).await;
    let body = body.map_err(|error| XrpcError::internal(&error).into_response())?;
    let mut headers = parts.headers;
    if status == StatusCode::OK {
        let cache_control = match keep {
            Keep::WhileUnchanged => "public, max-age=1",
            Keep::Briefly => "public, max-age=2",
        };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    // Whatever is given again passes no layer that would say it.
    tell_browsers(app, &mut headers);
    let kept = Kept { made: Instant::now(), status, headers, body, tally };
    if kept.body.len() > LARGEST { Err(kept.answer(None)) } else { Ok(kept) }
}

impl Kept {
    /// Whether it says why there is no other.
    pub(super) fn is_error(&self) -> bool {
        self.status.is_client_error()
    }

    /// The numbers of its route.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    fn answer(&self, condition: Option<&HeaderValue>) -> Response {
        let named = condition.zip(self.headers.get(header::ETAG));
        let is_named = named.is_some_and(|(condition, tag)| names(condition, tag));
        let body = if is_named { Body::empty() } else { Body::from(self.body.clone()) };
        let mut response = Response::new(body);
        *response.status_mut() = if is_named { StatusCode::NOT_MODIFIED } else { self.status };
        response.headers_mut().clone_from(&self.headers);
        if is_named {
            for about_the_body in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
                response.headers_mut().remove(about_the_body);
            }
        }
        response
    }
}

/// Tags an answer by what it says, before it is packed: two that say the same are one, at whatever AppView and in whatever
/// encoding they are made.
pub(super) async fn tagged(response: Response) -> Response {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = match to_bytes(body, usize::MAX).await {
        Ok(body) => body,
        Err(error) => return XrpcError::internal(&error).into_response(),
    };
    // A tag has no character that a header's value may not have.
    if let Ok(tag) = HeaderValue::try_from(tag(&body)) {
        parts.headers.insert(header::ETAG, tag);
    }
    Response::from_parts(parts, body.into())
}

fn tag(body: &[u8]) -> String {
    let hash = blake3::hash(body);
    let mut tag = String::with_capacity(2 * TAG_BYTES + 4);
    tag.push_str("W/\"");
    for byte in hash.as_bytes().iter().take(TAG_BYTES) {
        // Writing to a string does not fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Whether `If-None-Match` names a tag. Tags are weak: the same answer has one in whatever encoding it is sent.
fn names(condition: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(condition), Ok(tag)) = (condition.to_str(), tag.to_str()) else { return false };
    let opaque = |tag| str::strip_prefix(tag, "W/").unwrap_or(tag);
    condition.split(',').map(str::trim).any(|named| named == "*" || opaque(named) == opaque(tag))
}

/// How an answer is packed. The last that a client takes is the one it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Encoding {
    Identity,
    Gzip,
    Brotli,
}

impl Encoding {
    fn accepted(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let accepted = values.flat_map(|value| value.split(',')).filter_map(|item| {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
            if weight.is_some_and(|weight| weight <= 0.0) {
                return None;
            }
            match name.trim() {
                name if name.eq_ignore_ascii_case("br") => Some(Self::Brotli),
                name if name.eq_ignore_ascii_case("gzip") => Some(Self::Gzip),
                _ => None,
            }
        });
        accepted.max().unwrap_or(Self::Identity)
    }

    /// Leaves it as the only one that a request asks for.
    fn demand(self, headers: &mut HeaderMap) {
        match self {
            Self::Identity => headers.remove(header::ACCEPT_ENCODING),
            other => headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(other.name())),
        };
    }

    /// Tells answers of one encoding from those of another.
    const fn letter(self) -> char {
        match self {
            Self::Identity => 'i',
            Self::Gzip => 'g',
            Self::Brotli => 'b',
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn encoding(accept: &str) -> Encoding {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(accept).unwrap());
        Encoding::accepted(&headers)
    }

    #[test]
    fn a_client_gets_the_smallest_that_it_takes() {
        assert_eq!(Encoding::accepted(&HeaderMap::new()), Encoding::Identity);
        assert_eq!(encoding("gzip, deflate, br, zstd"), Encoding::Brotli);
        assert_eq!(encoding("gzip;q=1.0, br;q=0"), Encoding::Gzip);
        assert_eq!(encoding("GZIP"), Encoding::Gzip);
        assert_eq!(encoding("identity, deflate, zstd"), Encoding::Identity);
        assert_eq!(encoding("gzip;q=0.000"), Encoding::Identity);
        assert_eq!(encoding("gzip;q=, br;x"), Encoding::Brotli, "what makes no sense refuses nothing");
    }

    #[test]
    fn a_tag_is_named_alone_in_a_list_or_by_a_star() {
        let named = |condition: &'static str| {
            names(&HeaderValue::from_static(condition), &HeaderValue::from_static("W/\"a-1\""))
        };
        for condition in ["W/\"a-1\"", "\"a-1\"", "\"b\", W/\"a-1\"", "*"] {
            assert!(named(condition), "{condition}");
        }
        for condition in ["", "a-1", "W/\"a-2\"", "\"a-1", "\"a-1,b\""] {
            assert!(!named(condition), "{condition}");
        }
    }

    /// An answer that was made so long ago.
    fn kept(ago: Duration) -> Kept {
        Kept {
            made: Instant::now().checked_sub(ago).unwrap(),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            tally: Arc::new(Tally::new("/")),
        }
    }

    const fn version(changes: u64) -> Version {
        Version { changes, hour: 1 }
    }

    #[test]
    fn a_place_is_shared_until_something_changes_or_the_moment_is_over() {
        let shelf = Shelf::new();
        let slot = |keep, changes| shelf.slot("key", keep, version(changes));
        let first = slot(Keep::WhileUnchanged, 1);
        assert!(Arc::ptr_eq(&first, &slot(Keep::WhileUnchanged, 1)));
        let second = slot(Keep::WhileUnchanged, 2);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &slot(Keep::WhileUnchanged, 1)), "what is newer is as good");
        let brief = shelf.slot("brief", Keep::Briefly, version(2));
        let again = || shelf.slot("brief", Keep::Briefly, version(3));
        assert!(Arc::ptr_eq(&brief, &again()), "what is about to be made is waited for");
        brief.answer.set(kept(MOMENT)).unwrap();
        assert!(!Arc::ptr_eq(&brief, &again()));
    }

    #[test]
    fn what_a_change_has_made_useless_is_given_up() {
        let shelf = Shelf::new();
        shelf.answers().swept.1 = Instant::now().checked_sub(SWEPT).unwrap();
        let lasting = shelf.slot("lasting", Keep::WhileUnchanged, version(1));
        let [brief, over] = ["brief", "over"].map(|key| shelf.slot(key, Keep::Briefly, version(1)));
        brief.answer.set(kept(Duration::ZERO)).unwrap();
        over.answer.set(kept(MOMENT)).unwrap();
        shelf.answers().swept.1 = Instant::now().checked_sub(SWEPT).unwrap();
        shelf.slot("another", Keep::WhileUnchanged, version(2));
        let held = |slot: &Arc<Slot>| Arc::strong_count(slot) > 1;
        assert_eq!([held(&lasting), held(&brief), held(&over)], [false, true, false]);
    }

    #[test]
    fn a_tag_is_of_what_is_said() {
        assert_eq!(tag(b"{}"), tag(b"{}"));
        assert_ne!(tag(b"{}"), tag(b"[]"));
        assert_eq!(tag(b"").len(), 2 * TAG_BYTES + 4);
    }
}
