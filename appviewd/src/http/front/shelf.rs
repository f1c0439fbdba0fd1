//! Answers that are given again: as long as nothing has changed, or for a moment.
//!
//! A request's path and query enter, before anything in them is read; an answer leaves that was made before, byte for byte
//! and compressed already, or the one that is made now and stays. However many ask for the same at once, it is made once.
//! An answer is never older than the index was when the request came, but where its route says that a moment does not
//! matter: what takes time to add up, and ends at the present anyway. Deliberately absent: what is for one
//! person alone.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// What all answers may weigh together, with their keys.
const WEIGHT: usize = 64 << 20;
/// Longest answer that is kept, as it is sent.
const LARGEST: usize = 4 << 20;
/// What an answer weighs without its key and its body.
const OVERHEAD: usize = 512;
/// For how long an answer that is kept for a moment is given.
const MOMENT: Duration = Duration::from_secs(2);

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
    /// Tells this process from others: what answers look like may differ between them.
    edition: u64,
    made: AtomicU64,
    answers: Mutex<Lately<Box<str>, Arc<Slot>>>,
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
struct Slot {
    version: Version,
    answer: OnceCell<Kept>,
}

#[derive(Debug)]
struct Kept {
    made: Instant,
    status: StatusCode,
    headers: HeaderMap,
    /// The tag among the headers; none of an error.
    tag: Option<String>,
    body: Bytes,
}

impl Shelf {
    /// An empty shelf of a process that was started at this moment, in microseconds since the Unix epoch.
    pub(in crate::http) fn since(edition: u64) -> Self {
        Self {
            counts: Counts::new(),
            edition,
            made: AtomicU64::new(0),
            answers: Mutex::new(Lately::new(WEIGHT)),
        }
    }

    /// The place of the answer to `key`, as of `version` or later.
    fn slot(&self, key: &str, keep: Keep, version: Version) -> Arc<Slot> {
        let mut answers = self.answers();
        if let Some(slot) = answers.get(key).filter(|slot| slot.is_good(keep, version)) {
            return slot;
        }
        let slot = Arc::new(Slot { version, answer: OnceCell::new() });
        answers.put(key.into(), Arc::clone(&slot), key.len() + OVERHEAD);
        slot
    }

    /// Notes what an answer weighs that was made for this place.
    fn weigh(&self, key: &str, slot: &Arc<Slot>, bytes: usize) {
        let mut answers = self.answers();
        // Another may have taken its place meanwhile.
        if answers.get(key).is_some_and(|kept| Arc::ptr_eq(&kept, slot)) {
            answers.put(key.into(), Arc::clone(slot), key.len() + OVERHEAD + bytes);
        }
    }

    /// What tells one answer to a request from another. Where nothing but the index decides, the version does.
    fn tag(&self, keep: Keep, version: Version) -> String {
        match keep {
            Keep::WhileUnchanged => {
                format!("W/\"{:x}-{:x}-{:x}\"", self.edition, version.changes, version.hour)
            }
            Keep::Briefly => {
                format!("W/\"{:x}-{:x}\"", self.edition, self.made.fetch_add(1, Ordering::Relaxed))
            }
        }
    }

    fn answers(&self) -> MutexGuard<'_, Lately<Box<str>, Arc<Slot>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn is_good(&self, keep: Keep, version: Version) -> bool {
        match keep {
            Keep::WhileUnchanged => self.version == version,
            Keep::Briefly => self.answer.get().is_none_or(|kept| kept.made.elapsed() < MOMENT),
        }
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
    if let (Some(condition), Keep::WhileUnchanged) = (&condition, keep) {
        let tag = app.shelf.tag(keep, version);
        if names(condition, &tag) {
            app.shelf.counts.unchanged.increment(1);
            return unmodified(&tag, keep);
        }
    }
    let encoding = Encoding::accepted(request.headers());
    encoding.demand(request.headers_mut());
    let mut key = String::with_capacity(256);
    // Writing to a string does not fail.
    let _ = match request.uri().path_and_query() {
        Some(asked) => write!(key, "{} {asked}", encoding.name()),
        None => write!(key, "{} {}", encoding.name(), request.uri()),
    };
    // Whatever is asked with `HEAD` is what `GET` would bring; its body is taken off at the end.
    *request.method_mut() = Method::GET;
    let slot = app.shelf.slot(&key, keep, version);
    let counts = &app.shelf.counts;
    let mut count = &counts.given;
    let made = slot.answer.get_or_try_init(|| async {
        count = &counts.passed;
        let kept = make(&app, keep, version, request, next).await?;
        count = &counts.made;
        app.shelf.weigh(&key, &slot, kept.body.len());
        Ok(kept)
    });
    let answer = match made.await {
        Ok(kept) => kept.answer(condition.as_ref(), keep),
        Err(response) => response,
    };
    count.increment(1);
    answer
}

/// Has an answer made.
///
/// # Errors
///
/// The answer itself, if it is not to be kept.
async fn make(
    app: &App,
    keep: Keep,
    version: Version,
    request: Request,
    next: Next,
) -> Result<Kept, Response> {
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
    let tag = (status == StatusCode::OK).then(|| app.shelf.tag(keep, version));
    if let Some(tag) = &tag {
        describe(&mut headers, tag, keep);
    }
    let kept = Kept { made: Instant::now(), status, headers, tag, body };
    if kept.body.len() > LARGEST { Err(kept.answer(None, keep)) } else { Ok(kept) }
}

impl Kept {
    fn answer(&self, condition: Option<&HeaderValue>, keep: Keep) -> Response {
        if let (Some(condition), Some(tag)) = (condition, &self.tag)
            && names(condition, tag)
        {
            return unmodified(tag, keep);
        }
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

fn unmodified(tag: &str, keep: Keep) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    describe(response.headers_mut(), tag, keep);
    response
}

/// Says what an answer is, and for how long it may be taken for the present one.
fn describe(headers: &mut HeaderMap, tag: &str, keep: Keep) {
    let cache_control = match keep {
        Keep::WhileUnchanged => "public, max-age=1",
        Keep::Briefly => "public, max-age=2",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    // A tag has no character that a header's value may not have.
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
}

/// Whether `If-None-Match` names a tag. Tags are weak: the same answer has one in whatever encoding it is sent.
fn names(condition: &HeaderValue, tag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let tag = opaque(tag);
    let named = condition.to_str().unwrap_or_default().split(',').map(str::trim);
    named.into_iter().any(|named| named == "*" || opaque(named) == tag)
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
        let named = |condition: &'static str| names(&HeaderValue::from_static(condition), "W/\"a-1\"");
        for condition in ["W/\"a-1\"", "\"a-1\"", "\"b\", W/\"a-1\"", "*"] {
            assert!(named(condition), "{condition}");
        }
        for condition in ["", "a-1", "W/\"a-2\"", "\"a-1", "\"a-1,b\""] {
            assert!(!named(condition), "{condition}");
        }
    }

    #[test]
    fn a_place_is_shared_until_something_changes_or_the_moment_is_over() {
        let shelf = Shelf::since(1);
        let version = |changes| Version { changes, hour: 1 };
        let slot = |keep, changes| shelf.slot("key", keep, version(changes));
        let first = slot(Keep::WhileUnchanged, 1);
        assert!(Arc::ptr_eq(&first, &slot(Keep::WhileUnchanged, 1)));
        let second = slot(Keep::WhileUnchanged, 2);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &slot(Keep::Briefly, 3)), "what is about to be made is waited for");
        let kept = Kept {
            made: Instant::now().checked_sub(MOMENT).unwrap(),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            tag: None,
            body: Bytes::new(),
        };
        second.answer.set(kept).unwrap();
        assert!(!Arc::ptr_eq(&second, &slot(Keep::Briefly, 3)));
    }
}
