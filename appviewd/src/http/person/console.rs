//! What the console beside us asks of people's sessions: `/internal/oauth-session` and `/internal/pds/*`.
//!
//! Whoever asks has the internal secret, and names the person. It may have no more done than the person's own machines: a request that
//! is passed on is read, and made anew from what was understood of it.

use appview_core::syntax::{Did, RecordKey};
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::publish::{Operation, carry_out};
use super::{Accounts, body, invalid, use_get, use_post};
use crate::account::Actor;
use crate::auth::object::Object;
use crate::http::XrpcError;
use crate::http::query::Parameters;
use crate::oauth::{
    HandoverError, MOST_WRITES, OurCollection, SessionError, SessionInfo, Swap, Terms, Use, Write,
};
use crate::publish::PublishError;
use crate::secret::Secret;

/// Longest session that is handed over, in bytes.
const SESSION: usize = 262_144;
/// Longest request that is passed on, in bytes: the longest that a PDS takes, in JSON's text.
const PASSED_ON: usize = 2_100_000;

pub(super) fn routes() -> Router<Accounts> {
    let routes = Router::new()
        .route("/internal/oauth-session", post(take_over).fallback(use_post))
        .route("/internal/pds/proxy", post(pass_on).fallback(use_post))
        .route("/internal/pds/session-info", get(session_info).fallback(use_get));
    Operation::ALL.into_iter().fold(routes, |routes, operation| {
        let answer = async move |State(accounts): State<Accounts>, body: Body| {
            let object = body::object(body).await?;
            carry_out(accounts.publisher()?, &body::did(&object)?, operation, &object, Actor::Internal).await
        };
        routes.route(&format!("/internal/pds/{}", operation.method()), post(answer).fallback(use_post))
    })
}

async fn take_over(State(accounts): State<Accounts>, body: Body) -> Result<Json<Value>, XrpcError> {
    // As JSON in JSON it may take twice as much.
    let object = body::object_of(body, SESSION * 2).await?;
    let did = body::did(&object)?;
    let data = match object.get("data") {
        Some(Value::String(text)) => text.clone(),
        Some(object @ Value::Object(_)) => object.to_string(),
        _ => return Err(invalid("data: expected a session, as an object or as its JSON")),
    };
    if data.is_empty() || data.len() > SESSION {
        return Err(invalid(format_args!("data: expected 1 to {SESSION} bytes")));
    }
    let data = Secret::new(data.into_bytes());
    if accounts.publisher()?.oauth().take_over(&did, &data).await? {
        accounts.wiper().welcome(&did).await?;
    }
    Ok(Json(json!({"ok": true})))
}

async fn session_info(
    State(accounts): State<Accounts>,
    parameters: Parameters,
) -> Result<Json<Value>, XrpcError> {
    let did: Did = parameters.parsed("did")?.ok_or_else(|| invalid("did required"))?;
    // Not knowing is an error: the console signs people out whose session is absent.
    Ok(Json(match accounts.publisher()?.oauth().session_info(&did).await? {
        SessionInfo::Present { pds } => json!({"present": true, "aud": pds}),
        SessionInfo::Absent => json!({"present": false, "aud": null}),
    }))
}

/// Has a request done with a person's session. What became of it is told within an answer of 200: any other status means that it
/// was not passed on.
async fn pass_on(State(accounts): State<Accounts>, body: Body) -> Result<Json<Value>, XrpcError> {
    let object = body::object_of(body, PASSED_ON).await?;
    let text = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(invalid(format_args!("{name} must be a string"))),
    };
    let (did, path) = (text("did")?, text("path")?);
    let (verb, said, blob) = (text("method")?, text("bodyText")?, text("blobB64")?);
    text("contentType")?;
    let did: Did = did.and_then(|did| did.parse().ok()).ok_or_else(|| invalid("did required"))?;
    let path = path.filter(|path| !path.is_empty()).ok_or_else(|| invalid("path required"))?;
    let asked = Asked { did: &did, verb: verb.unwrap_or("GET"), said, is_blob: blob.is_some() };
    let what = asked.read(path)?;
    let answered = |status: u16, text: String, kind: &str| {
        Ok(Json(json!({"status": status, "bodyText": text, "contentType": kind})))
    };
    let told = |status, name: &str, message: String| {
        answered(status, json!({"error": name, "message": message}).to_string(), "application/json")
    };
    match accounts.publisher()?.publish(&did, what, &Actor::Internal).await {
        Ok(published) => {
            let heard = published.heard;
            let kind = heard.headers.get("content-type").and_then(|kind| kind.to_str().ok());
            let kind = kind.unwrap_or("application/octet-stream").to_owned();
            answered(heard.status, String::from_utf8_lossy(&heard.body).into_owned(), &kind)
        }
        Err(PublishError::Record(bad)) => told(400, "InvalidRequest", bad.to_string()),
        Err(PublishError::Session(error @ SessionError::SignIn { .. })) => {
            told(401, "AuthRequired", error.to_string())
        }
        Err(error) => Err(error.into()),
    }
}

/// A request that is to be passed on.
struct Asked<'a> {
    did: &'a Did,
    verb: &'a str,
    said: Option<&'a str>,
    is_blob: bool,
}

impl Asked<'_> {
    /// What is asked for, if it is something that a session may be used for.
    fn read(&self, path: &str) -> Result<Use, XrpcError> {
        let refused = || invalid("path not allowed");
        let (method, query) = path.split_once('?').unwrap_or((path, ""));
        // The method's name, and nothing that could be read as another path.
        let method = method.strip_prefix("/xrpc/").ok_or_else(refused)?;
        let parameters = Parameters::read(query);
        let verb = self.verb.to_ascii_uppercase();
        match (verb.as_str(), method) {
            _ if self.is_blob => Err(refused()),
            ("GET", "com.atproto.repo.listRecords") => self.list(&parameters),
            ("GET", "com.atproto.repo.getRecord") => self.get(&parameters),
            ("GET", "com.atproto.server.getServiceAuth") => service_auth(&parameters),
            ("POST", "com.atproto.repo.createRecord") => self.write(Operation::Create),
            ("POST", "com.atproto.repo.putRecord") => self.write(Operation::Put),
            ("POST", "com.atproto.repo.deleteRecord") => self.write(Operation::Delete),
            ("POST", "com.atproto.repo.applyWrites") => self.apply(),
            _ => Err(refused()),
        }
    }

    fn is_own(&self, repo: Option<&str>) -> Result<(), XrpcError> {
        if repo == Some(self.did.as_str()) {
            Ok(())
        } else {
            Err(invalid("repo: expected the person's own DID"))
        }
    }

    fn list(&self, parameters: &Parameters) -> Result<Use, XrpcError> {
        self.is_own(parameters.text("repo"))?;
        Ok(Use::List {
            collection: collection(parameters.text("collection"))?,
            limit: parameters.parsed::<u8>("limit")?,
            cursor: parameters.text("cursor").map(str::to_owned),
            reverse: parameters.text("reverse").map(|text| text == "true"),
        })
    }

    fn get(&self, parameters: &Parameters) -> Result<Use, XrpcError> {
        self.is_own(parameters.text("repo"))?;
        let collection = collection(parameters.text("collection"))?;
        Ok(Use::Get { collection, rkey: rkey(parameters.text("rkey"))? })
    }

    fn body(&self) -> Result<Object, XrpcError> {
        let text = self.said.unwrap_or_default();
        let body = Object::read(text.as_bytes());
        let body =
            body.map_err(|error| invalid(format_args!("bodyText: expected a JSON object: {error}")))?;
        self.is_own(body.text("repo"))?;
        Ok(body)
    }

    fn write(&self, operation: Operation) -> Result<Use, XrpcError> {
        let body = self.body()?;
        let (collection, terms) = (collection(body.text("collection"))?, terms(&body)?);
        let record = || body.get("record").cloned().ok_or_else(|| invalid("record: expected an object"));
        Ok(match operation {
            Operation::Create => {
                let rkey = body.get("rkey").map(|key| rkey(key.as_str())).transpose()?;
                Use::Create { collection, rkey, record: record()?, terms }
            }
            Operation::Put => {
                Use::Put { collection, rkey: rkey(body.text("rkey"))?, record: record()?, terms }
            }
            Operation::Delete => Use::Delete { collection, rkey: rkey(body.text("rkey"))?, terms },
        })
    }

    fn apply(&self) -> Result<Use, XrpcError> {
        let body = self.body()?;
        let writes = body.get("writes").and_then(Value::as_array);
        let writes = writes.filter(|writes| (1..=MOST_WRITES).contains(&writes.len()));
        let writes =
            writes.ok_or_else(|| invalid(format_args!("writes: expected 1 to {MOST_WRITES} of them")))?;
        let writes = writes.iter().map(one_of).collect::<Result<Vec<_>, _>>()?;
        Ok(Use::Apply { writes, swap_commit: terms(&body)?.swap_commit })
    }
}

/// One of several writes.
fn one_of(write: &Value) -> Result<Write, XrpcError> {
    let text = |name: &str| write.get(name).and_then(Value::as_str);
    let collection = collection(text("collection"))?;
    let value = || write.get("value").cloned().ok_or_else(|| invalid("value: expected an object"));
    match text("$type").and_then(|kind| kind.strip_prefix("com.atproto.repo.applyWrites#")) {
        Some("create") => {
            let rkey = write.get("rkey").map(|key| rkey(key.as_str())).transpose()?;
            Ok(Write::Create { collection, rkey, value: value()? })
        }
        Some("update") => Ok(Write::Update { collection, rkey: rkey(text("rkey"))?, value: value()? }),
        Some("delete") => Ok(Write::Delete { collection, rkey: rkey(text("rkey"))? }),
        _ => Err(invalid(
            "writes: $type: expected a create, an update or a delete of com.atproto.repo.applyWrites",
        )),
    }
}

fn service_auth(parameters: &Parameters) -> Result<Use, XrpcError> {
    let audience = parameters.text("aud").filter(|audience| {
        let did = audience.split_once('#').map_or(*audience, |(did, _)| did);
        did.parse::<Did>().is_ok()
    });
    let audience = audience.ok_or_else(|| invalid("aud: expected a service's DID"))?.to_owned();
    let method =
        collection(parameters.text("lxm")).map_err(|_| invalid("lxm: expected a method of dev.cocore.*"))?;
    Ok(Use::ServiceAuth { audience, method, expires: parameters.parsed::<u64>("exp")? })
}

fn terms(body: &Object) -> Result<Terms, XrpcError> {
    let text = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(invalid(format_args!("{name}: expected a CID"))),
    };
    let swap_record = match (text("swapRecord")?, body.get("swapRecord")) {
        (Some(cid), _) => Swap::This(cid),
        (None, Some(_)) => Swap::Absent,
        (None, None) => Swap::Any,
    };
    let validate = body.get("validate").and_then(Value::as_bool);
    Ok(Terms { swap_record, swap_commit: text("swapCommit")?, validate })
}

fn collection(text: Option<&str>) -> Result<OurCollection, XrpcError> {
    text.unwrap_or_default().parse().map_err(|problem| invalid(format_args!("collection: {problem}")))
}

fn rkey(text: Option<&str>) -> Result<RecordKey, XrpcError> {
    text.unwrap_or_default().parse().map_err(|problem| invalid(format_args!("rkey: {problem}")))
}

impl From<HandoverError> for XrpcError {
    fn from(error: HandoverError) -> Self {
        match error {
            HandoverError::Account(error) => error.into(),
            error => invalid(error),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const ADA: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

    fn read(verb: &str, path: &str, said: Option<&str>) -> Option<Use> {
        let did = ADA.parse().unwrap();
        Asked { did: &did, verb, said, is_blob: false }.read(path).ok()
    }

    #[test]
    fn a_path_is_a_method_by_its_exact_name_or_nothing() {
        let query = format!("?repo={ADA}&collection=dev.cocore.compute.job");
        assert!(read("GET", &format!("/xrpc/com.atproto.repo.listRecords{query}"), None).is_some());
        assert!(read("get", &format!("/xrpc/com.atproto.repo.listRecords{query}&limit=50"), None).is_some());
        for path in [
            "/xrpc/com.atproto.repo./../com.atproto.server.deleteAccount",
            "/xrpc/com.atproto.repo.listRecords/../com.atproto.server.deleteAccount",
            "/xrpc/com.atproto.repo.%6cistRecords",
            "/xrpc/../xrpc/com.atproto.repo.listRecords",
            "//xrpc/com.atproto.repo.listRecords",
            "/XRPC/com.atproto.repo.listRecords",
            "/xrpc/com.atproto.repo.listRecords/",
            "/xrpc/com.atproto.repo.listRecordsX",
            "/xrpc/com.atproto.repo.listRecords#",
            "/xrpc/com.atproto.server.getServiceAuthX",
            "/xrpc/com.atproto.server.deleteAccount",
            "/xrpc/com.atproto.repo.uploadBlob",
            "https://pds.example/xrpc/com.atproto.repo.listRecords",
        ] {
            assert_eq!(read("GET", &format!("{path}{query}"), None), None, "{path}");
        }
        assert_eq!(read("POST", &format!("/xrpc/com.atproto.repo.listRecords{query}"), None), None);
    }

    #[test]
    fn only_the_persons_own_records_of_our_namespace_are_touched() {
        let of = |repo: &str, collection: &str| {
            let body = json!({"repo": repo, "collection": collection, "rkey": "a"}).to_string();
            read("POST", "/xrpc/com.atproto.repo.deleteRecord", Some(&body))
        };
        assert!(of(ADA, "dev.cocore.compute.job").is_some());
        assert_eq!(of("did:plc:bbbbbbbbbbbbbbbbbbbbbbbb", "dev.cocore.compute.job"), None);
        assert_eq!(of("ada.example.com", "dev.cocore.compute.job"), None, "a handle may be anybody's");
        assert_eq!(of(ADA, "app.bsky.feed.post"), None);
        let apply = |collection: &str| {
            let write = json!({"$type": "com.atproto.repo.applyWrites#delete", "collection": collection, "rkey": "a"});
            let body = json!({"repo": ADA, "writes": [write]}).to_string();
            read("POST", "/xrpc/com.atproto.repo.applyWrites", Some(&body))
        };
        assert!(apply("dev.cocore.compute.job").is_some());
        assert_eq!(apply("app.bsky.feed.post"), None);
        let auth =
            |query: &str| read("GET", &format!("/xrpc/com.atproto.server.getServiceAuth?{query}"), None);
        assert!(auth("aud=did:web:a.example%23cocore_appview&lxm=dev.cocore.account.listApiKeys").is_some());
        assert_eq!(auth("aud=did:web:a.example&lxm=com.atproto.server.createAccount"), None);
        assert_eq!(auth("aud=did:web:a.example"), None, "a token for anything");
    }

    #[test]
    fn what_a_record_must_be_is_passed_on() {
        let put = |swap: Value| {
            let mut body =
                json!({"repo": ADA, "collection": "dev.cocore.compute.job", "rkey": "a", "record": {}});
            body.as_object_mut().unwrap().extend(swap.as_object().unwrap().clone());
            match read("POST", "/xrpc/com.atproto.repo.putRecord", Some(&body.to_string())) {
                Some(Use::Put { terms, .. }) => terms.swap_record,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(put(json!({})), Swap::Any);
        assert_eq!(put(json!({"swapRecord": null})), Swap::Absent);
        assert_eq!(put(json!({"swapRecord": "bafy"})), Swap::This("bafy".to_owned()));
    }
}
