//! Who signs for a DID, and where its repository lives.
//!
//! A DID document enters, with the audit log of a did:plc where there is one; the signing key at any point, the PDS
//! and the handle leave. Deliberately absent: fetching.
//!
//! Follows [DID](https://atproto.com/specs/did) and [did:plc](https://web.plc.directory/spec/v0.1/did-plc).

use serde_json::Value as Json;

use super::key::{KeyError, PublicKey};
use crate::syntax::{Did, Handle, Tid, datetime_unix_micros};

/// Why a DID document serves no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The document is about someone else.
    #[error("expected the document of {expected}, found that of {found:?}")]
    OtherDid {
        /// Who was asked for.
        expected: Did,
        /// What its `id` says.
        found: String,
    },
    /// A member is missing or has another shape.
    #[error("malformed did document: {reason}")]
    Malformed {
        /// Which one.
        reason: String,
    },
    /// It names no signing key.
    #[error("the did document has no #atproto verification method")]
    NoKey,
    /// The signing key cannot be read.
    #[error("the #atproto verification method is unusable: {0}")]
    Key(#[from] KeyError),
    /// The DID was tombstoned.
    #[error("the did was tombstoned")]
    Tombstoned,
}

/// What a DID resolves to, as far as repositories care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    did: Did,
    handle: Option<Handle>,
    pds: Option<String>,
    key: PublicKey,
    /// Each operation of the audit log: the time in unix microseconds from which it held, and its key; oldest first. A
    /// tombstone has none.
    history: Vec<(u64, Option<PublicKey>)>,
}

impl Identity {
    /// Reads a DID document.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]; a document without a PDS is fine, one without a signing key is not. A PDS is a scheme, a host and
    /// perhaps a port: whoever writes more than that would choose what is asked there.
    pub fn from_document(did: &Did, document: &Json) -> Result<Self, IdentityError> {
        let document = document
            .as_object()
            .ok_or_else(|| IdentityError::Malformed { reason: "expected an object".to_owned() })?;
        let id = document.get("id").and_then(Json::as_str).unwrap_or_default();
        if id != did.as_str() {
            return Err(IdentityError::OtherDid { expected: did.clone(), found: id.to_owned() });
        }
        // What follows reads the members that matter; an odd context, or a service of another kind, is nobody's
        // business here.
        let list = |member: &str| document.get(member).and_then(Json::as_array).into_iter().flatten();
        let method = list("verificationMethod")
            .find(|method| ends_in(method, "#atproto") && text(method, "controller") == Some(did.as_str()))
            .ok_or(IdentityError::NoKey)?;
        let kind = text(method, "type").unwrap_or_default();
        let multibase = text(method, "publicKeyMultibase").ok_or(IdentityError::NoKey)?;
        let pds = list("service")
            .find(|service| {
                ends_in(service, "#atproto_pds") && text(service, "type") == Some("AtprotoPersonalDataServer")
            })
            .and_then(|service| text(service, "serviceEndpoint"))
            .map(|url| url.trim_end_matches('/'))
            .filter(|url| is_origin(url));
        let handle = |name: &Json| name.as_str()?.strip_prefix("at://")?.parse().ok();
        Ok(Self {
            did: did.clone(),
            handle: list("alsoKnownAs").find_map(handle),
            pds: pds.map(str::to_owned),
            key: PublicKey::from_verification_method(kind, multibase)?,
            history: Vec::new(),
        })
    }

    /// Adds the audit log of a did:plc (`/log/audit`), so that commits from before a rotation find their key.
    ///
    /// Operations that were nullified add nothing.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Malformed`] if it is not a list of operations with a time each.
    pub fn with_audit_log(mut self, operations: &Json) -> Result<Self, IdentityError> {
        let malformed = |reason: &str| IdentityError::Malformed { reason: reason.to_owned() };
        let operations = operations.as_array().ok_or_else(|| malformed("the audit log is not a list"))?;
        for entry in operations {
            if entry.get("nullified").and_then(Json::as_bool) == Some(true) {
                continue;
            }
            let at = entry
                .get("createdAt")
                .and_then(Json::as_str)
                .and_then(|text| datetime_unix_micros(text).ok())
                .and_then(|micros| u64::try_from(micros).ok())
                .ok_or_else(|| malformed("an operation of the audit log has no createdAt"))?;
            let operation = entry.get("operation").unwrap_or(&Json::Null);
            // `signingKey` is the oldest form of an operation, `create`.
            let key = operation
                .pointer("/verificationMethods/atproto")
                .or_else(|| operation.get("signingKey"))
                .and_then(Json::as_str)
                .and_then(|text| PublicKey::from_did_key(text).ok());
            self.history.push((at, key));
        }
        self.history.sort_by_key(|(at, _)| *at);
        Ok(self)
    }

    /// The same without its audit log: only today's key is left.
    #[must_use]
    pub fn without_history(mut self) -> Self {
        self.history = Vec::new();
        self
    }

    /// The account.
    #[must_use]
    pub const fn did(&self) -> &Did {
        &self.did
    }

    /// The handle that the document claims; nobody has asked the handle whether it agrees.
    #[must_use]
    pub const fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    /// URL of the account's PDS, without a slash at its end.
    #[must_use]
    pub fn pds(&self) -> Option<&str> {
        self.pds.as_deref()
    }

    /// The key that signs today.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key that was valid when `rev` was made: by the audit log where there is one, else today's.
    #[must_use]
    pub fn key_at(&self, rev: Tid) -> Option<&PublicKey> {
        if self.history.is_empty() { Some(&self.key) } else { self.former_key(rev) }
    }

    /// The key that the audit log says was valid when `rev` was made.
    ///
    /// Hosts sign a repository's first commit before they register its DID, so what is older than the log falls to the
    /// log's first key.
    #[must_use]
    pub fn former_key(&self, rev: Tid) -> Option<&PublicKey> {
        let held = self.history.iter().rev().find(|(from, _)| *from <= rev.micros());
        held.or(self.history.first()).and_then(|(_, key)| key.as_ref())
    }
}

fn text<'j>(item: &'j Json, member: &str) -> Option<&'j str> {
    item.get(member)?.as_str()
}

/// Whether the item's `id` is `fragment`, or the document's own DID and `fragment`.
fn ends_in(item: &Json, fragment: &str) -> bool {
    text(item, "id").is_some_and(|id| id.ends_with(fragment))
}

/// Whether a URL is a scheme, a host and perhaps a port.
fn is_origin(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, host)| {
        !host.is_empty() && !host.contains(|c: char| "/?#@\\".contains(c) || c.is_whitespace())
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    const OLD: &str = "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc";
    const NEW: &str = "did:key:zQ3shtxV1FrJfhqE1dvxYRcCknWNjHc3c5X1y3ZSoPDi2aur2";

    fn document() -> Json {
        json!({
            "@context": "https://www.w3.org/ns/did/v1",
            "id": "did:plc:abc",
            "alsoKnownAs": ["at://alice.example.com"],
            "verificationMethod": [{
                "id": "did:plc:abc#atproto", "type": "Multikey", "controller": "did:plc:abc",
                "publicKeyMultibase": NEW.strip_prefix("did:key:"),
            }],
            "service": [
                {"id": "#other", "type": "Odd", "serviceEndpoint": {"uri": 1}},
                {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": "https://pds.example/"},
            ],
        })
    }

    #[test]
    fn a_document_gives_key_host_and_handle() {
        let identity = Identity::from_document(&"did:plc:abc".parse().unwrap(), &document()).unwrap();
        assert_eq!(identity.pds(), Some("https://pds.example"));
        assert_eq!(identity.handle().unwrap().as_str(), "alice.example.com");
        assert_eq!(identity.key().to_string(), NEW);
        let other = Identity::from_document(&"did:plc:xyz".parse().unwrap(), &document());
        assert!(matches!(other, Err(IdentityError::OtherDid { .. })));
    }

    #[test]
    fn a_pds_is_a_host_and_nothing_more() {
        let pds = |endpoint: &str| {
            let mut document = document();
            *document.pointer_mut("/service/1/serviceEndpoint").unwrap() = endpoint.into();
            let identity = Identity::from_document(&"did:plc:abc".parse().unwrap(), &document).unwrap();
            identity.pds().map(str::to_owned)
        };
        assert_eq!(pds("http://localhost:2583").as_deref(), Some("http://localhost:2583"));
        for more in [
            "https://pds.example/admin",
            "https://pds.example?a=b&c=",
            "https://pds.example#",
            "https://me@pds.example",
            "https://pds.example\\admin",
            "https://",
            "pds.example",
        ] {
            assert_eq!(pds(more), None, "{more}");
        }
    }

    #[test]
    fn the_audit_log_says_which_key_was_valid_when() {
        let log = json!([
            {"createdAt": "2026-01-01T00:00:00Z", "operation": {"verificationMethods": {"atproto": OLD}}},
            {"createdAt": "2026-01-02T00:00:00Z", "nullified": true, "operation": {"signingKey": NEW}},
            {"createdAt": "2026-02-01T00:00:00Z", "operation": {"signingKey": NEW}},
        ]);
        let identity = Identity::from_document(&"did:plc:abc".parse().unwrap(), &document())
            .unwrap()
            .with_audit_log(&log)
            .unwrap();
        let at = |text| {
            let micros = u64::try_from(datetime_unix_micros(text).unwrap()).unwrap();
            identity.key_at(Tid::from_micros(micros, 0)).unwrap().to_string()
        };
        assert_eq!(at("2025-12-31T23:59:59Z"), OLD, "a first commit is signed before its DID is registered");
        assert_eq!(at("2026-01-15T00:00:00Z"), OLD);
        assert_eq!(at("2026-02-01T00:00:00Z"), NEW);
    }
}
