//! Which DID a handle names: by the domain name system, or by the host of that name.
//!
//! A [`Handle`] enters; a [`Did`] leaves, by the handle's word alone. Whether the DID's document names the handle too is to be
//! looked at by whoever asks. Deliberately absent: keeping answers, because handles are asked for when people sign in.
//!
//! Follows [Handle](https://atproto.com/specs/handle#handle-resolution).

use super::http::{Heard, Http, HttpError};
use super::wire::Said;
use crate::limits;
use crate::syntax::{Did, Handle};

/// How often a handle's host may point elsewhere.
const HOPS: usize = 3;

/// Why a handle names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandleError {
    /// Its name server names several DIDs.
    #[error("{handle}: its name server names more than one did")]
    Ambiguous {
        /// The handle.
        handle: Handle,
    },
    /// Neither its name server nor its host names a DID.
    #[error("{handle}: neither its name server nor its host names a did")]
    Unknown {
        /// The handle.
        handle: Handle,
    },
    /// Nobody could be asked.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// Asks which DID a handle names: first its name server, and the host of its name where that says nothing.
///
/// # Errors
///
/// [`HandleError`].
pub async fn resolve(http: &Http, handle: &Handle) -> Result<Did, HandleError> {
    let url = format!("https://{handle}/.well-known/atproto-did");
    http.may_ask(&url)?;
    let texts = http.texts(&format!("_atproto.{handle}")).await;
    let said = texts.as_deref().unwrap_or_default();
    let mut named = said.iter().filter_map(|text| text.strip_prefix("did="));
    match (named.next(), named.next()) {
        (Some(_), Some(_)) => return Err(HandleError::Ambiguous { handle: handle.clone() }),
        (Some(did), None) => return did.parse().map_err(|_| HandleError::Unknown { handle: handle.clone() }),
        (None, _) => {}
    }
    match (host_names(http, url).await, texts) {
        (Ok(Some(did)), _) => Ok(did),
        // Both have answered, and neither names one.
        (Ok(None), Ok(_)) => Err(HandleError::Unknown { handle: handle.clone() }),
        (Ok(None), Err(error)) | (Err(error), _) => Err(error.into()),
    }
}

/// The DID that a host names at `url`, or where it points from there.
async fn host_names(http: &Http, url: String) -> Result<Option<Did>, HttpError> {
    let mut next = url;
    for _ in 0..=HOPS {
        let question = http.stranger(&next).await?;
        let Heard { status, headers, body } =
            question.say(Said::default(), limits::HANDLE_ANSWER_BYTES).await?;
        match status {
            200 => return Ok(std::str::from_utf8(&body).ok().and_then(|text| text.trim().parse().ok())),
            301 | 302 | 303 | 307 | 308 => {
                let place = headers.get("location").and_then(|place| place.to_str().ok());
                let base = reqwest::Url::parse(&next).ok();
                match base.zip(place).and_then(|(base, place)| base.join(place).ok()) {
                    Some(url) => next = url.into(),
                    None => return Ok(None),
                }
            }
            400..500 => return Ok(None),
            status => return Err(HttpError::Status { url: next, status, name: None, message: None }),
        }
    }
    Ok(None)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use futures_util::future::BoxFuture;
    use futures_util::{FutureExt as _, StreamExt as _, stream};

    use super::super::clock::Clock;
    use super::super::turns::Politeness;
    use super::super::wire::{
        Bytes, ChosenBy, HeaderMap, Outside, Reach, Reply, Socket, Url, Wire, WireError,
    };
    use super::super::wishes::Wishes;
    use super::*;

    const ADA: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    const BORIS: &str = "did:web:boris.example.com";

    /// What name servers and hosts say. A page that begins with `https:` points there.
    #[derive(Debug, Default)]
    struct Names {
        texts: Option<Vec<&'static str>>,
        pages: BTreeMap<&'static str, &'static str>,
    }

    impl Wire for Names {
        fn send(&self, url: Url, _: Said, _: ChosenBy) -> BoxFuture<'static, Result<Reply, WireError>> {
            let page = self.pages.get(url.as_str()).copied();
            let mut headers = HeaderMap::new();
            let status = match page {
                None => 404,
                Some(place) if place.starts_with("https:") => {
                    headers.insert("location", place.parse().unwrap());
                    302
                }
                Some(_) => 200,
            };
            let body = stream::iter([Ok(Bytes::from_static(page.unwrap_or_default().as_bytes()))]).boxed();
            async move { Ok(Reply { status, headers, wishes: Wishes::default(), body }) }.boxed()
        }

        fn texts(&self, name: String) -> BoxFuture<'static, Result<Vec<String>, WireError>> {
            assert_eq!(name, "_atproto.ada.example.com");
            let texts = self.texts.as_ref().map(|texts| texts.iter().map(|&text| text.to_owned()).collect());
            async move { texts.ok_or_else(|| WireError::Lost("no server".to_owned())) }.boxed()
        }

        fn dial(&self, _: String) -> BoxFuture<'static, Result<Box<dyn Socket>, WireError>> {
            async { Err(WireError::Unsent("no relay".to_owned())) }.boxed()
        }
    }

    const PAGE: &str = "https://ada.example.com/.well-known/atproto-did";

    async fn ask(texts: Option<Vec<&'static str>>, pages: &[(&'static str, &'static str)]) -> String {
        let wire = Arc::new(Names { texts, pages: pages.iter().copied().collect() });
        let outside = Outside { wire, clock: Clock::system(), reach: Reach::Public };
        let http = Http::new(&outside, Politeness::default());
        match resolve(&http, &"ada.example.com".parse().unwrap()).await {
            Ok(did) => did.to_string(),
            Err(HandleError::Ambiguous { .. }) => "ambiguous".to_owned(),
            Err(HandleError::Unknown { .. }) => "unknown".to_owned(),
            Err(HandleError::Http(error)) => error.label().to_owned(),
        }
    }

    #[tokio::test]
    async fn a_name_server_comes_first_and_must_name_one() {
        let page = [(PAGE, BORIS)];
        let ada = const { concat!("did=", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa") };
        assert_eq!(ask(Some(vec!["v=spf1 -all", ada]), &page).await, ADA);
        assert_eq!(ask(Some(vec![ada, "did=did:web:boris.example.com"]), &page).await, "ambiguous");
        assert_eq!(ask(Some(vec!["did=nobody"]), &page).await, "unknown");
        assert_eq!(ask(Some(vec!["v=spf1 -all"]), &page).await, BORIS);
        assert_eq!(ask(None, &page).await, BORIS);
        assert_eq!(ask(Some(Vec::new()), &[]).await, "unknown");
        assert_eq!(ask(None, &[]).await, "unreachable", "it may be the name server that knows");
        assert_eq!(ask(Some(Vec::new()), &[(PAGE, "<html>")]).await, "unknown");
    }

    #[tokio::test]
    async fn a_host_may_point_elsewhere_a_few_times_and_nowhere_private() {
        let to = |place: &'static str| [(PAGE, place), ("https://b.example.com/did", ADA)];
        assert_eq!(ask(Some(Vec::new()), &to("https://b.example.com/did")).await, ADA);
        assert_eq!(ask(Some(Vec::new()), &to("https://localhost/did")).await, "refused");
        assert_eq!(ask(Some(Vec::new()), &to("https://127.0.0.1/did")).await, "refused");
        assert_eq!(ask(Some(Vec::new()), &[(PAGE, PAGE)]).await, "unknown", "in a circle");
    }
}
