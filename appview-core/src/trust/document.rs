//! Keys in DID documents, as brokers and exchanges publish them.
//!
//! A document enters; its P-256 keys leave, in its order, each with the fingerprints that it may be known by. Deliberately
//! absent: fetching, and every member but `id` and `verificationMethod`. What a key is for is not looked at either, as no
//! other verifier looks.

use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map as Object, Value as Json};

use super::canonical::Canonical;
use super::encoding::read_base64url;
use super::p256::Key;
use crate::block::cid::sha256;
use crate::limits;
use crate::repo::PublicKey;

/// Members of a JSON Web Key that are secret.
const SECRET: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Members of a JSON Web Key that the reference hashes, of those that are there.
const HASHED: [&str; 6] = ["kty", "crv", "x", "y", "alg", "kid"];

/// Members of a JSON Web Key that make the key.
const BARE: [&str; 4] = ["kty", "crv", "x", "y"];

/// Why a document tells nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Longer than any document need be.
    #[error("expected a did document of at most {limit} bytes, found {found}", limit = limits::DID_DOCUMENT_BYTES)]
    TooLarge {
        /// How long it is.
        found: usize,
    },
    /// Not JSON, or no object.
    #[error("the did document is no json object")]
    NotAnObject,
}

/// How a document writes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyForm {
    /// `publicKeyJwk`.
    Jwk,
    /// `publicKeyMultibase`.
    Multibase,
}

/// A key of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentKey {
    /// The two coordinates, X before Y: 64 bytes that may be no point of the curve.
    pub point: [u8; 64],
    /// How the document writes it.
    pub form: KeyForm,
    /// What it may be known by: SHA-256 of its JSON Web Key in canonical form, in base64 for URLs. Its owner may have
    /// hashed more members than make the key, so there are several.
    pub fingerprints: Vec<String>,
}

impl DocumentKey {
    /// The key of a JSON Web Key, if it is one of P-256.
    #[must_use]
    pub fn from_jwk(jwk: &Object<String, Json>) -> Option<Self> {
        let text = |member: &str| jwk.get(member).and_then(Json::as_str);
        if (text("kty"), text("crv")) != (Some("EC"), Some("P-256")) {
            return None;
        }
        let coordinate = |member| <[u8; 32]>::try_from(read_base64url(text(member)?)?).ok();
        let point: [u8; 64] = [coordinate("x")?, coordinate("y")?].concat().try_into().ok()?;
        let with = |is_hashed: &dyn Fn(&str) -> bool| -> Object<String, Json> {
            let members = jwk.iter().filter(|(member, _)| is_hashed(member));
            members.map(|(member, value)| (member.clone(), value.clone())).collect()
        };
        let bare = with(&|member| BARE.contains(&member));
        let variants = [
            with(&|member| !SECRET.contains(&member)),
            with(&|member| HASHED.contains(&member)),
            bare.clone(),
            with_algorithm(bare),
        ];
        Some(Self { point, form: KeyForm::Jwk, fingerprints: fingerprints(variants) })
    }

    /// The key of a verification method's multibase text, if it is one of P-256.
    fn from_multibase(kind: &str, text: &str) -> Option<Self> {
        let PublicKey::P256(key) = PublicKey::from_verification_method(kind, text).ok()? else {
            return None;
        };
        let key = Key::from_sec1(ParsedPublicKey::as_ref(&key)).ok()?;
        let (x, y) = key.point().split_at(32);
        let text = |coordinate: &[u8]| Json::String(URL_SAFE_NO_PAD.encode(coordinate));
        let mut bare = Object::new();
        for (member, value) in [("kty", "EC".into()), ("crv", "P-256".into()), ("x", text(x)), ("y", text(y))]
        {
            bare.insert(member.to_owned(), value);
        }
        let variants = [bare.clone(), with_algorithm(bare)];
        Some(Self { point: *key.point(), form: KeyForm::Multibase, fingerprints: fingerprints(variants) })
    }
}

fn with_algorithm(mut jwk: Object<String, Json>) -> Object<String, Json> {
    jwk.insert("alg".to_owned(), "ES256".into());
    jwk
}

/// What the variants of one key are known by; one without a canonical form is known by nothing.
fn fingerprints(variants: impl IntoIterator<Item = Object<String, Json>>) -> Vec<String> {
    let mut canonical = Canonical::new();
    let mut found: Vec<String> = Vec::new();
    for jwk in variants {
        let Ok(text) = canonical.json(&Json::Object(jwk).to_string()) else {
            continue;
        };
        let fingerprint = URL_SAFE_NO_PAD.encode(sha256(text));
        if !found.contains(&fingerprint) {
            found.push(fingerprint);
        }
    }
    found
}

/// What a DID document says about keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DidDocument {
    id: Option<String>,
    keys: Vec<DocumentKey>,
}

impl DidDocument {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`DocumentError`]. Methods that are not understood are passed over.
    pub fn parse(json: &[u8]) -> Result<Self, DocumentError> {
        if json.len() > limits::DID_DOCUMENT_BYTES {
            return Err(DocumentError::TooLarge { found: json.len() });
        }
        serde_json::from_slice(json)
            .map_err(|_| DocumentError::NotAnObject)
            .and_then(|json: Json| Self::from_json(&json))
    }

    /// Reads a document that was parsed.
    ///
    /// # Errors
    ///
    /// [`DocumentError::NotAnObject`].
    pub fn from_json(json: &Json) -> Result<Self, DocumentError> {
        let document = json.as_object().ok_or(DocumentError::NotAnObject)?;
        let methods = document.get("verificationMethod").and_then(Json::as_array).into_iter().flatten();
        let key = |method: &Json| {
            let jwk = method.get("publicKeyJwk").and_then(Json::as_object).and_then(DocumentKey::from_jwk);
            let text = |member| method.get(member).and_then(Json::as_str);
            jwk.or_else(|| DocumentKey::from_multibase(text("type")?, text("publicKeyMultibase")?))
        };
        Ok(Self {
            id: document.get("id").and_then(Json::as_str).map(str::to_owned),
            keys: methods.filter_map(key).collect(),
        })
    }

    /// Whether it is about this DID; one that is not should be believed by nobody.
    #[must_use]
    pub fn is_about(&self, did: &str) -> bool {
        self.id.as_deref() == Some(did)
    }

    /// Its P-256 keys.
    #[must_use]
    pub fn keys(&self) -> &[DocumentKey] {
        &self.keys
    }

    /// The key that a broker signs with: the first JSON Web Key. A multibase key is not understood by other verifiers.
    #[must_use]
    pub fn broker_key(&self) -> Option<&[u8; 64]> {
        self.keys.iter().find(|key| key.form == KeyForm::Jwk).map(|key| &key.point)
    }
}

/// Where the document of a did:plc or did:web is, the former at the directory `plc` (a URL).
///
/// Nothing for other methods, and for a did:web whose parts are no host and no names of folders once their escapes are
/// undone. Whether the place may be asked is not examined.
#[must_use]
pub fn document_url(did: &str, plc: &str) -> Option<String> {
    if did.starts_with("did:plc:") {
        return Some(format!("{}/{}", plc.trim_end_matches('/'), did.replace(':', "%3A")))
            .filter(|url| url.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte)));
    }
    let mut parts = did.strip_prefix("did:web:")?.split(':').map(unescape);
    let host = parts.next()??;
    let folders = parts.collect::<Option<Vec<_>>>()?;
    Some(match folders.as_slice() {
        [] => format!("https://{host}/.well-known/did.json"),
        folders => format!("https://{host}/{}/did.json", folders.join("/")),
    })
}

/// One part of a did:web, its escapes undone; nothing if it is empty or would be more than one part of a URL.
fn unescape(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest.split_first_chunk::<2>()?;
            let digits =
                std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"/?#@\\".contains(byte);
    let is_part = !bytes.is_empty() && bytes.iter().all(is_plain) && bytes != b"." && bytes != b"..";
    String::from_utf8(bytes).ok().filter(|_| is_part)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_did_web_leads_to_its_host_and_nowhere_else() {
        for did in [
            "did:web:a.example%2F..%2Fb",
            "did:web:user%40a.example",
            "did:web:a.example:..:x",
            "did:web:a.example::x",
            "did:web:a.example%3",
            "did:web:a.example%zz",
            "did:web:a.example%+1",
            "did:web:%00",
        ] {
            assert_eq!(document_url(did, "https://plc.test"), None, "{did}");
        }
        assert_eq!(document_url("did:plc:a?b", "https://plc.test"), None);
        assert_eq!(
            document_url("did:web:a.example:b%20c", "https://plc.test").as_deref(),
            None,
            "a space is no part of a URL"
        );
    }

    #[test]
    fn a_key_in_multibase_is_the_same_key_as_its_jwk() {
        let json = r##"{"id": "did:web:a.example", "verificationMethod": [
            {"id": "#a", "type": "Multikey", "publicKeyMultibase": "zDnaeUKTWUXc1HDpGfKbEK31nKLN19yX5aunFd7VK1CUMeyJu"},
            {"id": "#b", "type": "Multikey", "publicKeyMultibase": "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc"},
            7]}"##;
        let document = DidDocument::parse(json.as_bytes()).unwrap();
        assert!(document.is_about("did:web:a.example") && !document.is_about("did:web:b.example"));
        assert_eq!(document.broker_key(), None);
        let [key] = document.keys() else { panic!("one key of P-256") };
        let (x, y) = key.point.split_at(32);
        let jwk = serde_json::json!({
            "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        let same = DocumentKey::from_jwk(jwk.as_object().unwrap()).unwrap();
        assert_eq!((same.point, &same.fingerprints), (key.point, &key.fingerprints));
        assert_eq!(same.fingerprints.len(), 2, "bare, and with its algorithm");
    }

    #[test]
    fn a_secret_is_in_no_fingerprint() {
        let mut jwk =
            serde_json::json!({"kty": "EC", "crv": "P-256", "x": "A".repeat(43), "y": "A".repeat(43)});
        let before = DocumentKey::from_jwk(jwk.as_object().unwrap()).unwrap();
        jwk["d"] = "c2VjcmV0".into();
        assert_eq!(DocumentKey::from_jwk(jwk.as_object().unwrap()).unwrap(), before);
    }

    #[test]
    fn what_is_no_document_is_refused_by_name() {
        assert_eq!(DidDocument::parse(b"[]"), Err(DocumentError::NotAnObject));
        assert_eq!(DidDocument::parse(b"{"), Err(DocumentError::NotAnObject));
        let long = vec![b' '; limits::DID_DOCUMENT_BYTES + 1];
        assert_eq!(DidDocument::parse(&long), Err(DocumentError::TooLarge { found: long.len() }));
    }
}
