//! The PDS: what is done with a token.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fixtures::world::Did;
use fixtures::{Write, value};
use serde_json::{Value as Json, json};

use super::proof::{Key, refusal};
use super::{Authority, Fault, lost};

impl Authority {
    /// Whose token a request to the PDS has.
    fn whose(&self, headers: &HeaderMap, key: &str) -> Option<String> {
        let token = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("DPoP ")?.to_owned();
        if self.is(Fault::AccessRefused) {
            return None;
        }
        let state = self.state();
        let session = state.sessions.iter().find(|session| session.access == token && !session.is_over)?;
        assert_eq!(session.key, key, "a token is used with the key that it is bound to");
        Some(session.did.clone())
    }
}

fn pds_error(status: u16, name: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, axum::Json(json!({"error": name, "message": message}))).into_response()
}

pub(super) async fn service(
    State(authority): State<Authority>,
    key: axum::Extension<Key>,
    headers: HeaderMap,
    Path(method): Path<String>,
) -> Response {
    assert_eq!(method, "getServiceAuth");
    match authority.whose(&headers, &key.0.0) {
        Some(_) => axum::Json(json!({"token": "a service token"})).into_response(),
        None => refusal(true, 401, "invalid_token", None),
    }
}

pub(super) async fn repo(
    State(authority): State<Authority>,
    key: axum::Extension<Key>,
    headers: HeaderMap,
    Path(method): Path<String>,
    body: String,
) -> Response {
    let Some(did) = authority.whose(&headers, &key.0.0) else {
        return refusal(true, 401, "invalid_token", None);
    };
    if method == "listRecords" {
        return axum::Json(json!({"records": []})).into_response();
    }
    if authority.is(Fault::PdsBroken) {
        return pds_error(500, "InternalServerError", "Internal Server Error");
    }
    if authority.is(Fault::InvalidSwap) {
        return pds_error(400, "InvalidSwap", "Record was at bafyother");
    }
    if authority.is(Fault::NotLocated) {
        return pds_error(400, "InvalidRequest", "Could not locate record");
    }
    let asked: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(asked["repo"], did, "nobody writes to another's repository");
    let town = authority.town();
    let owner: Did = did.as_str().into();
    let collection = asked["collection"].as_str().unwrap_or_default();
    let rkey = match asked["rkey"].as_str() {
        Some(rkey) => rkey.to_owned(),
        None => town.world().next_tid(),
    };
    let path = format!("{collection}/{rkey}");
    let uri = format!("at://{did}/{path}");
    let is_there = town.world().records(&did).contains_key(&path);
    let record = || value::from_json(&asked["record"]);
    let write = match (method.as_str(), is_there) {
        ("createRecord", false) => Write::create(collection, &rkey, record()),
        ("putRecord", false) => Write::create(collection, &rkey, record()),
        ("putRecord", true) => Write::update(collection, &rkey, record()),
        ("deleteRecord", true) => Write::delete(collection, &rkey),
        ("deleteRecord", false) => return axum::Json(json!({})).into_response(),
        other => panic!("{other:?}"),
    };
    town.commit(&owner, vec![write]);
    if authority.is(Fault::PdsLost) {
        return lost();
    }
    let world = town.world();
    let head = world.head(&did).clone();
    let commit = json!({"cid": head.commit.to_string(), "rev": head.rev});
    let cid = world.records(&did).get(&path).map(ToString::to_string);
    axum::Json(json!({"uri": uri, "cid": cid, "commit": commit, "validationStatus": "unknown"}))
        .into_response()
}
