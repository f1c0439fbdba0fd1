//! Publishing with an API key: `/pds/{create,put,delete}Record`, the same under `/api`, and the deprecated `dev.cocore.proxy.*`.
//!
//! A key's owner is whose repository is written to; nobody can name another. What a PDS says to a write that it refuses is passed on, because
//! clients look for its words.

use appview_core::source::http::Heard;
use appview_core::syntax::{Did, RecordKey};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Accounts, body, invalid, use_post};
use crate::account::{AccountError, Actor};
use crate::auth::Denied;
use crate::auth::object::Object;
use crate::http::XrpcError;
use crate::oauth::{OurCollection, SessionError, SessionInfo, Swap, Terms, Use};
use crate::publish::{PublishError, Published, Publisher, Shown};

/// Characters of what a PDS says that are passed on.
const TOLD: usize = 300;

/// What is done to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Create,
    Put,
    Delete,
}

impl Operation {
    pub(super) const ALL: [Self; 3] = [Self::Create, Self::Put, Self::Delete];

    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Create => "createRecord",
            Self::Put => "putRecord",
            Self::Delete => "deleteRecord",
        }
    }
}

pub(super) fn routes() -> Router<Accounts> {
    let bases = ["/pds/", "/api/pds/", "/xrpc/dev.cocore.proxy.", "/api/xrpc/dev.cocore.proxy."];
    Operation::ALL.into_iter().fold(Router::new(), |routes, operation| {
        let answer = async move |State(accounts): State<Accounts>, headers: HeaderMap, body: Body| {
            by_key(&accounts, operation, &headers, body).await
        };
        bases.into_iter().fold(routes, |routes, base| {
            let path = format!("{base}{}", operation.method());
            routes.route(&path, post(answer).fallback(use_post))
        })
    })
}

async fn by_key(
    accounts: &Accounts,
    operation: Operation,
    headers: &HeaderMap,
    body: Body,
) -> Result<Json<Value>, XrpcError> {
    let key = accounts.key(headers).await?;
    let publisher = accounts.publisher()?;
    if publisher.oauth().session_info(&key.did).await? == SessionInfo::Absent {
        return Err(SessionError::SignIn { did: key.did }.into());
    }
    let object = body::object(body).await?;
    carry_out(publisher, &key.did, operation, &object, Actor::Key(key.id)).await
}

/// Reads what is to be done, does it, and says what came of it.
pub(super) async fn carry_out(
    publisher: &Publisher,
    did: &Did,
    operation: Operation,
    object: &Object,
    actor: Actor,
) -> Result<Json<Value>, XrpcError> {
    let what = read(operation, object)?;
    let (collection, rkey) = match &what {
        Use::Create { collection, rkey, .. } => (collection.clone(), rkey.clone()),
        Use::Put { collection, rkey, .. } | Use::Delete { collection, rkey, .. } => {
            (collection.clone(), Some(rkey.clone()))
        }
        _ => return Err(invalid("expected a write")),
    };
    let Published { heard, shown } = publisher.publish(did, what, &actor).await?;
    let uri = rkey.map(|rkey| format!("at://{did}/{collection}/{rkey}"));
    let mut answer = match heard.status {
        200..=299 => done(operation, &heard, uri)?,
        status => {
            let told = String::from_utf8_lossy(&heard.body);
            match (operation, uri) {
                (Operation::Delete, Some(uri)) if is_gone(status, &told) => {
                    // The index may not know yet.
                    _ = uri.parse().is_ok_and(|uri| publisher.hint(&uri));
                    json!({"uri": uri, "alreadyGone": true})
                }
                _ => return Err(refused(operation, &collection, status, &told)),
            }
        }
    };
    if shown == Shown::NotYet
        && let Some(answer) = answer.as_object_mut()
    {
        // Done, and proven later: whoever did it again would do it twice.
        answer.insert("indexed".to_owned(), false.into());
    }
    Ok(Json(answer))
}

/// What is to be done, by the members that tell it.
fn read(operation: Operation, object: &Object) -> Result<Use, XrpcError> {
    let collection: OurCollection = match object.get("collection") {
        Some(Value::String(text)) => {
            text.parse().map_err(|problem| invalid(format_args!("collection: {problem}")))?
        }
        _ => return Err(invalid("collection: expected the name of a collection")),
    };
    let text = |name: &str| match object.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(invalid(format_args!("{name}: expected a text, or nothing"))),
    };
    let rkey: Option<RecordKey> = text("rkey")?
        .map(|text| text.parse())
        .transpose()
        .map_err(|problem| invalid(format_args!("rkey: {problem}")))?;
    let needed = |rkey: Option<RecordKey>| rkey.ok_or_else(|| invalid("rkey: expected the record's key"));
    let record = || match object.get("record") {
        Some(record @ Value::Object(_)) => Ok(record.clone()),
        _ => Err(invalid("record: expected an object")),
    };
    let swap = || -> Result<Terms, XrpcError> {
        let swap_record = text("swapRecord")?.map_or(Swap::Any, Swap::This);
        Ok(Terms { swap_record, ..Terms::default() })
    };
    Ok(match operation {
        Operation::Create => Use::Create { collection, rkey, record: record()?, terms: Terms::default() },
        Operation::Put => Use::Put { collection, rkey: needed(rkey)?, record: record()?, terms: swap()? },
        Operation::Delete => Use::Delete { collection, rkey: needed(rkey)?, terms: swap()? },
    })
}

/// What a PDS has done.
fn done(operation: Operation, heard: &Heard, uri: Option<String>) -> Result<Value, XrpcError> {
    let failed = || failed("the pds did what it was asked, and its answer cannot be read".to_owned());
    let answer: Value = serde_json::from_slice(&heard.body).map_err(|_| failed())?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    if operation == Operation::Delete {
        return Ok(json!({"uri": uri}));
    }
    let mut done = json!({"uri": text("uri").ok_or_else(failed)?, "cid": text("cid").ok_or_else(failed)?});
    let commit = answer.get("commit").filter(|_| operation == Operation::Create);
    if let Some((cid, rev)) = commit.and_then(|commit| Some((commit.get("cid")?, commit.get("rev")?)))
        && let Some(done) = done.as_object_mut()
    {
        done.insert("commit".to_owned(), json!({"cid": cid, "rev": rev}));
    }
    Ok(done)
}

/// Whether a PDS says that there is nothing to delete. That another record is there than was expected is not that.
fn is_gone(status: u16, told: &str) -> bool {
    let told = told.to_ascii_lowercase();
    let says = |words: &str| told.contains(words);
    !says("invalidswap")
        && (status == 404
            || says("could not locate record")
            || says("recordnotfound")
            || says("record not found")
            || says("could not find record"))
}

fn refused(operation: Operation, collection: &OurCollection, status: u16, told: &str) -> XrpcError {
    let told: String = told.chars().take(TOLD).collect();
    let status = match status {
        400..=499 => StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY),
        _ => StatusCode::BAD_GATEWAY,
    };
    XrpcError::new(status, "PdsError", format!("{} {collection}: {told}", operation.method()))
}

fn failed(message: String) -> XrpcError {
    XrpcError::new(StatusCode::BAD_GATEWAY, "PdsWriteFailed", message)
}

impl Accounts {
    /// Who publishes.
    pub(super) fn publisher(&self) -> Result<&Publisher, XrpcError> {
        self.publishing().ok_or_else(|| AccountError::SessionsOff.into())
    }
}

impl From<PublishError> for XrpcError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Record(bad) => invalid(bad),
            PublishError::Session(error) => error.into(),
        }
    }
}

impl From<SessionError> for XrpcError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::SignIn { .. } => {
                Denied::new("AuthRequired", "the session is over: its owner must sign in again").into()
            }
            SessionError::Account(error) => error.into(),
            SessionError::NoRandomness(error) => Self::internal(&error),
            SessionError::Http(error) => failed(error.to_string()),
            SessionError::Client { .. }
            | SessionError::Ended
            | SessionError::Resolve(_)
            | SessionError::Discover(_)
            | SessionError::Server(_) => {
                Self::new(StatusCode::BAD_GATEWAY, "SessionRestoreFailed", error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_that_failed_is_not_taken_for_a_record_that_is_gone() {
        assert!(is_gone(404, ""));
        assert!(is_gone(400, r#"{"error":"InvalidRequest","message":"Could not locate record: at://a"}"#));
        assert!(is_gone(400, r#"{"error":"RecordNotFound"}"#));
        assert!(!is_gone(400, r#"{"error":"InvalidSwap","message":"Record was at null"}"#));
        assert!(!is_gone(404, r#"{"error":"InvalidSwap","message":"record not found"}"#));
        assert!(!is_gone(400, r#"{"error":"InvalidRequest"}"#));
    }
}
