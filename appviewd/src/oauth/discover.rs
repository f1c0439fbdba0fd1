//! Which authorization server an account has, and whether it is one that AT Protocol lets us go to.
//!
//! A PDS's URL enters; a [`Server`] leaves. Each document must be answered at once, by exactly 200 and as JSON: a redirect would
//! let one host speak for another. Deliberately absent: whose PDS it is.
//!
//! Follows [AT Protocol OAuth, authorization servers](https://atproto.com/specs/oauth#authorization-servers),
//! [RFC 8414](https://www.rfc-editor.org/rfc/rfc8414) and [RFC 9728](https://www.rfc-editor.org/rfc/rfc9728).

use appview_core::limits;
use appview_core::source::http::{Heard, Http};
use appview_core::source::turns::Urgency;
use appview_core::source::wire::{Said, Url};
use serde_json::Value as Json;

use super::error::DiscoverError;

/// An authorization server, as far as it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// Its name, which is its origin.
    pub(super) issuer: String,
    /// Where browsers are sent.
    pub(super) authorization: String,
    /// Where requests are left before.
    pub(super) pushed: String,
    /// Where tokens are had.
    pub(super) token: String,
    /// Where tokens are given up, if anywhere.
    pub(super) revocation: Option<String>,
}

/// The authorization server of a PDS.
///
/// # Errors
///
/// [`DiscoverError`].
pub(super) async fn server_of(http: &Http, pds: &str) -> Result<Server, DiscoverError> {
    server(http, &issuer_of(http, pds).await?, Some(pds)).await
}

/// What a PDS calls its authorization server.
///
/// # Errors
///
/// [`DiscoverError`].
pub(super) async fn issuer_of(http: &Http, pds: &str) -> Result<String, DiscoverError> {
    let url = format!("{pds}/.well-known/oauth-protected-resource");
    let document = document(http, &url).await?;
    let refuse = |member, expected| DiscoverError::Metadata { url: url.clone(), member, expected };
    if document.get("resource").and_then(Json::as_str).map(|url| url.trim_end_matches('/')) != Some(pds) {
        return Err(refuse("resource", "the pds itself"));
    }
    let servers = document.get("authorization_servers").and_then(Json::as_array);
    match servers.map(Vec::as_slice) {
        Some([Json::String(issuer)]) if is_origin(http, issuer) => Ok(issuer.clone()),
        _ => Err(refuse("authorization_servers", "exactly one origin")),
    }
}

/// What an authorization server says of itself; of a PDS, that it protects it.
///
/// # Errors
///
/// [`DiscoverError`].
pub(super) async fn server(http: &Http, issuer: &str, pds: Option<&str>) -> Result<Server, DiscoverError> {
    let url = format!("{issuer}/.well-known/oauth-authorization-server");
    let document = document(http, &url).await?;
    Metadata { http, url: &url, document: &document }.read(issuer, pds)
}

async fn document(http: &Http, url: &str) -> Result<Json, DiscoverError> {
    let question = http.with(Urgency::Live).stranger(url).await?;
    let Heard { status, headers, body } = question.say(Said::default(), limits::DID_DOCUMENT_BYTES).await?;
    let kind = headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json =
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    let refuse = |found: String| DiscoverError::Answer { url: url.to_owned(), found };
    match (status, is_json) {
        (200, true) => serde_json::from_slice(&body).map_err(|_| refuse("no json".to_owned())),
        (200, false) => Err(refuse("another content type".to_owned())),
        (status, _) => Err(refuse(status.to_string())),
    }
}

/// Whether a text is the origin of a host that we may ask, written as such.
fn is_origin(http: &Http, text: &str) -> bool {
    http.may_ask(text).is_ok() && Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
}

/// A document that is being read.
struct Metadata<'a> {
    http: &'a Http,
    url: &'a str,
    document: &'a Json,
}

impl Metadata<'_> {
    fn read(&self, issuer: &str, pds: Option<&str>) -> Result<Server, DiscoverError> {
        if self.text("issuer") != Some(issuer) {
            return Err(self.refuse("issuer", "the origin that it was fetched from"));
        }
        self.must_list("response_types_supported", "code", "code")?;
        self.must_list("grant_types_supported", "authorization_code", "authorization_code")?;
        self.must_list("grant_types_supported", "refresh_token", "refresh_token")?;
        self.must_list("code_challenge_methods_supported", "S256", "S256")?;
        self.must_list("token_endpoint_auth_methods_supported", "none", "none")?;
        self.must_list("token_endpoint_auth_methods_supported", "private_key_jwt", "private_key_jwt")?;
        self.must_list("token_endpoint_auth_signing_alg_values_supported", "ES256", "ES256")?;
        if self.lists("token_endpoint_auth_signing_alg_values_supported", "none") {
            return Err(self.refuse("token_endpoint_auth_signing_alg_values_supported", "no none"));
        }
        self.must_list("dpop_signing_alg_values_supported", "ES256", "ES256")?;
        self.must_list("scopes_supported", "atproto", "atproto")?;
        self.must_be_true("require_pushed_authorization_requests")?;
        self.must_be_true("authorization_response_iss_parameter_supported")?;
        self.must_be_true("client_id_metadata_document_supported")?;
        if self.document.get("require_request_uri_registration") == Some(&Json::Bool(false)) {
            return Err(self.refuse("require_request_uri_registration", "true, or nothing"));
        }
        if let Some(pds) = pds
            && self.document.get("protected_resources").is_some()
            && !self.lists("protected_resources", pds)
        {
            return Err(self.refuse("protected_resources", "the pds among them"));
        }
        Ok(Server {
            issuer: issuer.to_owned(),
            authorization: self.endpoint("authorization_endpoint")?,
            pushed: self.endpoint("pushed_authorization_request_endpoint")?,
            token: self.endpoint("token_endpoint")?,
            revocation: match self.document.get("revocation_endpoint") {
                None | Some(Json::Null) => None,
                Some(_) => Some(self.endpoint("revocation_endpoint")?),
            },
        })
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.document.get(member)?.as_str()
    }

    fn lists(&self, member: &str, wanted: &str) -> bool {
        let list = self.document.get(member).and_then(Json::as_array);
        list.is_some_and(|list| list.iter().any(|item| item.as_str() == Some(wanted)))
    }

    fn must_list(
        &self,
        member: &'static str,
        item: &str,
        expected: &'static str,
    ) -> Result<(), DiscoverError> {
        if self.lists(member, item) { Ok(()) } else { Err(self.refuse(member, expected)) }
    }

    fn must_be_true(&self, member: &'static str) -> Result<(), DiscoverError> {
        match self.document.get(member) {
            Some(Json::Bool(true)) => Ok(()),
            _ => Err(self.refuse(member, "true")),
        }
    }

    /// A URL that we, or a browser on our word, may go to.
    fn endpoint(&self, member: &'static str) -> Result<String, DiscoverError> {
        match self.text(member) {
            Some(url) if self.http.may_ask(url).is_ok() => Ok(url.to_owned()),
            _ => Err(self.refuse(member, "the url of a host that may be asked")),
        }
    }

    fn refuse(&self, member: &'static str, expected: &'static str) -> DiscoverError {
        DiscoverError::Metadata { url: self.url.to_owned(), member, expected }
    }
}
