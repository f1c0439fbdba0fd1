//! People with keys of their own, the tokens that their PDSes would sign, and whatever else somebody could sign.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use appview_core::syntax::Did;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fixtures::seed::Seed;
use fixtures::{KeyKind, SigningKey};
use serde_json::{Value as Json, json};

/// What the service is called.
pub const SERVICE: &str = "did:web:appview.example";

pub struct Person {
    pub did: Did,
    pub key: SigningKey,
}

/// Seconds since the Unix epoch.
pub fn seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

impl Person {
    pub fn new(name: &str) -> Self {
        Self::with(name, KeyKind::K256)
    }

    pub fn with(name: &str, kind: KeyKind) -> Self {
        let did = format!("did:web:{name}.example").parse().unwrap();
        let seed = name.bytes().fold(1, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
        Self { did, key: SigningKey::generate(kind, &mut Seed::new(seed)) }
    }

    pub fn document(&self) -> Json {
        json!({
            "id": self.did.as_str(),
            "verificationMethod": [{
                "id": format!("{}#atproto", self.did),
                "type": "Multikey",
                "controller": self.did.as_str(),
                "publicKeyMultibase": self.key.multikey(),
            }],
        })
    }

    /// A good token for one method, made and good at this moment.
    pub fn token(&self, method: &str) -> String {
        self.sign(&self.header(), &self.claims(method, seconds()))
    }

    pub fn header(&self) -> Json {
        let alg = match self.key.kind() {
            KeyKind::K256 => "ES256K",
            KeyKind::P256 => "ES256",
        };
        json!({"typ": "JWT", "alg": alg})
    }

    pub fn claims(&self, method: &str, now: i64) -> Json {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let jti = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        json!({"iss": self.did.as_str(), "aud": SERVICE, "lxm": method, "iat": now, "exp": now + 60, "jti": jti})
    }

    pub fn sign(&self, header: &Json, claims: &Json) -> String {
        sign_text(&header.to_string(), &claims.to_string(), |message| self.key.sign(message))
    }

    /// The header for a request with a good token.
    pub fn bearer(&self, method: &str) -> String {
        format!("Bearer {}", self.token(method))
    }
}

/// A token with this text as its header and its claims.
pub fn sign_text(header: &str, claims: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Who signs for whom, as a file has it.
pub fn identities(people: &[&Person]) -> Json {
    people
        .iter()
        .map(|person| (person.did.as_str().to_owned(), person.document()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
