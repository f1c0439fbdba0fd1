//! The PDS: what is done with a token.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fixtures::world::Did;
use fixtures::{Write, value};
use serde_json::{Value as Json, json};

use super::proof::{Key, refusal};
use super::{Authority, Fault, Interruption, form, lost};

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

pub(super) fn pds_error(status: u16, name: &str, message: &str) -> Response {
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

/// What everyone may read.
fn read(authority: &Authority, method: &str, query: &str) -> Response {
    let query = form(query);
    let town = authority.town();
    let world = town.world();
    let did = &query["repo"];
    if !world.dids().any(|known| **known == **did) {
        return pds_error(400, "InvalidRequest", "Could not find user");
    }
    let records = world.records(did);
    if method == "describeRepo" {
        let collections: BTreeSet<_> = records.keys().map(|path| path.split('/').next().unwrap()).collect();
        return axum::Json(json!({"did": did, "handle": "a.test", "collections": collections}))
            .into_response();
    }
    let limit = query.get("limit").map_or(50, |limit| limit.parse().unwrap());
    let prefix = format!("{}/", query["collection"]);
    let before = query.get("cursor").map(|cursor| format!("{prefix}{cursor}"));
    let found = records.iter().rev().filter(|(path, _)| {
        path.starts_with(&prefix) && before.as_ref().is_none_or(|before| path.as_str() < before.as_str())
    });
    let found: Vec<Json> = found
        .take(limit)
        .map(|(path, cid)| json!({"uri": format!("at://{did}/{path}"), "cid": cid.to_string(), "value": {}}))
        .collect();
    let last =
        found.last().map(|record| record["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
    let mut listed = json!({"records": found});
    if let Some(last) = last {
        listed["cursor"] = json!(last);
    }
    axum::Json(listed).into_response()
}

impl Authority {
    /// Deletes together what is asked to be deleted, all or nothing.
    fn apply_writes(&self, did: &str, asked: &Json) -> Response {
        let writes = asked["writes"].as_array().unwrap();
        if writes.len() > 200 {
            return pds_error(400, "InvalidRequest", "Too many writes. Max: 200");
        }
        if self.is(Fault::NoBatches) {
            return pds_error(400, "InvalidRequest", "Could not find a record with key");
        }
        let town = self.town();
        let mut deletes = Vec::new();
        for write in writes {
            assert_eq!(
                write["$type"], "com.atproto.repo.applyWrites#delete",
                "nothing else is done by a wipe"
            );
            let (collection, rkey) = (write["collection"].as_str().unwrap(), write["rkey"].as_str().unwrap());
            assert!(collection.starts_with("dev.cocore."), "{collection}");
            if !town.world().records(did).contains_key(&format!("{collection}/{rkey}")) {
                return pds_error(500, "InternalServerError", "Could not find a record with key");
            }
            deletes.push(Write::delete(collection, rkey));
        }
        town.commit(&did.into(), deletes);
        if self.is(Fault::PdsLost) {
            return lost();
        }
        let world = town.world();
        let head = world.head(did);
        axum::Json(json!({"commit": {"cid": head.commit.to_string(), "rev": head.rev}, "results": []}))
            .into_response()
    }
}

pub(super) async fn repo(
    State(authority): State<Authority>,
    key: Option<axum::Extension<Key>>,
    headers: HeaderMap,
    Path(method): Path<String>,
    axum::extract::RawQuery(query): axum::extract::RawQuery,
    body: String,
) -> Response {
    let key = key.map(|key| key.0.0);
    if key.is_some() && authority.whose(&headers, key.as_deref().unwrap()).is_none() {
        return refusal(true, 401, "invalid_token", None);
    }
    if method == "listRecords" || method == "describeRepo" {
        return read(&authority, &method, &query.unwrap_or_default());
    }
    let Some(did) = authority.whose(&headers, key.as_deref().unwrap_or_default()) else {
        return refusal(true, 401, "invalid_token", None);
    };
    if authority.is(Fault::RateLimited) {
        return Interruption::Limited.answer().unwrap();
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
    if authority.is(Fault::ScopeMissing) && body.contains("dev.cocore.unknown") {
        return pds_error(403, "ScopeMissingError", "Missing required scope");
    }
    if method == "applyWrites" {
        return authority.apply_writes(&did, &asked);
    }
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
