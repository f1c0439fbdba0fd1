//! Who we are to authorization servers: which client, by which key, and for what.
//!
//! An operator's settings enter; a client's name, its metadata, its keys and what it proves itself with leave. There are two
//! clients at most: our own, by which people sign in here, and that of a console beside us, whose sessions are handed over.
//! Deliberately absent: requests.
//!
//! Follows [AT Protocol OAuth, clients](https://atproto.com/specs/oauth#clients).

use std::sync::Arc;

use appview_core::record::Collection;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::key::{KeyError, PrivateJwk, SigningKey, nonce};
use crate::secret::NoRandomness;

/// Where our metadata is, which is what we are called by.
pub const METADATA_PATH: &str = "/oauth/client-metadata.json";
/// Where our public keys are.
pub const KEYS_PATH: &str = "/oauth/jwks.json";
/// Where authorization servers send browsers back to.
pub const CALLBACK_PATH: &str = "/oauth/callback";

/// For how long what proves a client is good, in seconds.
const ASSERTION_LASTS: u64 = 60;

/// A client as authorization servers know it.
#[derive(Debug, Clone)]
pub struct Client {
    id: String,
    keys: Vec<Arc<SigningKey>>,
}

/// How our own client is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At a public `https` URL without a path: servers fetch who we are from there, and know us by our keys.
    Public(String),
    /// On the machine of whoever signs in, on this port of 127.0.0.1: a client without keys, for development.
    Loopback(u16),
}

/// A client that may begin sign-ins.
#[derive(Debug, Clone)]
pub struct OwnClient {
    client: Client,
    place: Place,
}

/// What identifies one client in a request.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The client.
    pub client_id: String,
    /// The key that a session is bound to; none of a public client.
    pub key: Option<Arc<SigningKey>>,
}

/// The clients that this process can speak as.
#[derive(Debug, Clone, Default)]
pub struct Clients {
    /// By which people sign in here.
    pub own: Option<OwnClient>,
    /// Whose sessions are handed over.
    pub console: Option<Client>,
}

/// Private keys as an operator writes them: one JWK, or a set of them, of which the first signs for whoever signs in anew.
///
/// # Errors
///
/// [`KeyError`].
pub fn read_keys(text: &[u8]) -> Result<Vec<Arc<SigningKey>>, KeyError> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<PrivateJwk>,
    }
    let one = |text| serde_json::from_slice(text).map(|key| Set { keys: vec![key] });
    let set: Set = serde_json::from_slice(text).or_else(|_| one(text)).map_err(|_| KeyError)?;
    let keys = set.keys.iter().map(|jwk| SigningKey::from_jwk(jwk).map(Arc::new));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() { Err(KeyError) } else { Ok(keys) }
}

/// What people are asked to allow: to write the records of each collection that there is, and nothing else. A collection has to be
/// named: `repo:dev.cocore.*` is no scope.
#[must_use]
pub fn scope() -> String {
    let collections = Collection::ALL.iter().map(|collection| format!(" repo:{collection}"));
    std::iter::once("atproto".to_owned()).chain(collections).collect()
}

impl Client {
    /// A client with keys, of which the first is for new sessions; without any, a public one.
    #[must_use]
    pub const fn new(id: String, keys: Vec<Arc<SigningKey>>) -> Self {
        Self { id, keys }
    }

    /// What it is called.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What a session of this client is bound to; none if it is another client's, or bound to a key that we do not have.
    fn credentials(&self, client_id: &str, kid: Option<&str>) -> Option<Credentials> {
        let key = match kid {
            None => None,
            Some(kid) => Some(self.keys.iter().find(|key| key.kid() == kid).cloned()?),
        };
        (self.id == client_id).then(|| Credentials { client_id: self.id.clone(), key })
    }
}

impl OwnClient {
    /// A client at a place. Keys belong to a public one.
    #[must_use]
    pub fn new(place: Place, keys: Vec<Arc<SigningKey>>) -> Self {
        let client = match &place {
            Place::Public(origin) => Client::new(format!("{origin}{METADATA_PATH}"), keys),
            // The port is free, so that it is no part of the name.
            Place::Loopback(_) => {
                let redirect = format!("http://127.0.0.1{CALLBACK_PATH}");
                let query = [("redirect_uri", redirect.as_str()), ("scope", &scope())];
                let query = query.map(|(name, value)| format!("{name}={}", encode(value))).join("&");
                Client::new(format!("http://localhost?{query}"), Vec::new())
            }
        };
        Self { client, place }
    }

    /// What a new session is bound to.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        Credentials { client_id: self.client.id.clone(), key: self.client.keys.first().cloned() }
    }

    /// Where it is reached.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The origin that browsers know us by.
    #[must_use]
    pub fn origin(&self) -> String {
        match &self.place {
            Place::Public(origin) => origin.clone(),
            Place::Loopback(port) => format!("http://127.0.0.1:{port}"),
        }
    }

    /// Where browsers are sent back to.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK_PATH}", self.origin())
    }

    /// Who we are, for servers that ask; none of a loopback client, which nobody could ask.
    #[must_use]
    pub fn metadata(&self) -> Option<Json> {
        let Place::Public(origin) = &self.place else { return None };
        Some(json!({
            "client_id": self.client.id,
            "client_name": "cocore AppView",
            "client_uri": origin,
            "application_type": "web",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "redirect_uris": [self.redirect_uri()],
            "scope": scope(),
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256",
            "jwks_uri": format!("{origin}{KEYS_PATH}"),
            "dpop_bound_access_tokens": true,
        }))
    }

    /// Our public keys: those that new sessions are bound to, and those that older ones are.
    #[must_use]
    pub fn public_keys(&self) -> Json {
        let shown = |key: &Arc<SigningKey>| {
            let mut jwk = key.public_jwk();
            if let Some(jwk) = jwk.as_object_mut() {
                jwk.extend([
                    ("kid".to_owned(), key.kid().into()),
                    ("alg".to_owned(), "ES256".into()),
                    ("use".to_owned(), "sig".into()),
                ]);
            }
            jwk
        };
        json!({"keys": self.client.keys.iter().map(shown).collect::<Vec<_>>()})
    }
}

impl Clients {
    /// What a session is bound to; none if we are not that client any more, or lost its key.
    #[must_use]
    pub fn credentials(&self, client_id: &str, kid: Option<&str>) -> Option<Credentials> {
        let own = self.own.as_ref().map(|own| &own.client);
        own.into_iter().chain(&self.console).find_map(|client| client.credentials(client_id, kid))
    }
}

impl Credentials {
    /// The members of a form by which a server knows us, at a moment in seconds since the Unix epoch.
    pub(super) fn form(&self, issuer: &str, now: u64) -> Result<Vec<(&'static str, String)>, NoRandomness> {
        let mut form = vec![("client_id", self.client_id.clone())];
        if let Some(key) = &self.key {
            let claims = json!({
                "iss": self.client_id, "sub": self.client_id, "aud": issuer, "jti": nonce()?,
                "iat": now, "exp": now.saturating_add(ASSERTION_LASTS),
            });
            let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            form.push(("client_assertion_type", kind.to_owned()));
            form.push(("client_assertion", key.sign(json!({"kid": key.kid()}), &claims)?));
        }
        Ok(form)
    }
}

/// A value as forms and queries write it.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_asked_for_but_the_collections_by_their_names() {
        let scope = scope();
        let parts: Vec<&str> = scope.split(' ').collect();
        assert_eq!(parts.len(), 1 + Collection::ALL.len());
        assert!(parts.contains(&"atproto") && parts.contains(&"repo:dev.cocore.compute.receipt"));
        assert!(parts.iter().all(|part| *part == "atproto" || part.starts_with("repo:dev.cocore.")));
        assert!(!scope.contains('*') && !scope.contains("transition:"));
    }

    #[test]
    fn a_loopback_client_is_told_in_its_name() {
        let own = OwnClient::new(Place::Loopback(8080), Vec::new());
        let id = own.credentials().client_id;
        assert!(id.starts_with(
            "http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%2Foauth%2Fcallback&scope=atproto%20repo%3Adev."
        ));
        assert_eq!(own.redirect_uri(), "http://127.0.0.1:8080/oauth/callback");
        assert_eq!(own.metadata(), None);
    }

    #[test]
    fn sessions_keep_the_key_that_they_are_bound_to_when_another_comes_first() {
        let [old, new] = [(); 2].map(|()| Arc::new(SigningKey::generate().unwrap()));
        let place = Place::Public("https://appview.example".to_owned());
        let own = OwnClient::new(place, vec![Arc::clone(&new), Arc::clone(&old)]);
        assert_eq!(own.public_keys().pointer("/keys").unwrap().as_array().unwrap().len(), 2);
        assert!(!own.public_keys().to_string().contains("\"d\""));
        let id = own.credentials().client_id;
        assert_eq!(own.credentials().key.unwrap().kid(), new.kid());
        let clients = Clients { own: Some(own), console: None };
        assert_eq!(clients.credentials(&id, Some(old.kid())).unwrap().key.unwrap().kid(), old.kid());
        assert!(clients.credentials(&id, Some("another")).is_none());
        assert!(clients.credentials("https://console.example/metadata.json", Some(old.kid())).is_none());
    }

    #[test]
    fn keys_are_one_or_a_set() {
        let jwk = |key: &SigningKey| serde_json::to_value(key.sealable().unwrap()).unwrap();
        let [a, b] = [(); 2].map(|()| SigningKey::generate().unwrap());
        assert_eq!(read_keys(jwk(&a).to_string().as_bytes()).unwrap().len(), 1);
        assert_eq!(read_keys(json!({"keys": [jwk(&a), jwk(&b)]}).to_string().as_bytes()).unwrap().len(), 2);
        for refused in ["", "{}", r#"{"keys": []}"#, r#"{"keys": [{}]}"#, &a.public_jwk().to_string()] {
            assert!(read_keys(refused.as_bytes()).is_err(), "{refused}");
        }
    }
}
