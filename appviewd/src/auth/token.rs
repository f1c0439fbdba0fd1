//! A service-auth token, read and not yet believed.
//!
//! Compact text enters; claims leave with what is signed and the signature. The header and the claims are objects that say each
//! thing once, and numbers are whole. Deliberately absent: keys, and any opinion on whether the claims hold.
//!
//! Follows [XRPC, inter-service authentication](https://atproto.com/specs/xrpc#inter-service-authentication-jwt).

use appview_core::syntax::Did;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;

use super::Denied;
use super::object::Object;

/// Longest token, in bytes.
const LONGEST: usize = 4_096;
/// Most members of its header, and of its claims.
const MEMBERS: usize = 16;
/// Longest `jti`, in bytes.
const LONGEST_JTI: usize = 128;
/// The key that signs for an account.
const KEY: &str = "#atproto";

/// What a token is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// P-256.
    Es256,
    /// secp256k1.
    Es256K,
}

/// What a token says.
#[derive(Debug)]
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) issuer: Did,
    pub(super) audience: String,
    pub(super) method: String,
    /// In seconds since the Unix epoch, as are the others.
    pub(super) expires: i64,
    pub(super) issued: i64,
    pub(super) not_before: Option<i64>,
    pub(super) jti: String,
    /// What is signed.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Denied> {
        let bad = |problem: &str| Denied::new("BadJwt", format!("expected a token of a PDS: {problem}"));
        if text.len() > LONGEST {
            return Err(bad("it is too long"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or_else(|| bad("it has one part"))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| bad("it has two parts"))?;
        if claims.contains('.') {
            return Err(bad("it has more than three parts"));
        }
        let header = object(header).ok_or_else(|| bad("its header is no object in base64url"))?;
        let claims = object(claims).ok_or_else(|| bad("its claims are no object in base64url"))?;
        let algorithm = match header.text("alg") {
            Some("ES256") => Algorithm::Es256,
            Some("ES256K") => Algorithm::Es256K,
            _ => return Err(bad("its alg is neither ES256 nor ES256K")),
        };
        if let Some(typ @ ("at+jwt" | "refresh+jwt" | "dpop+jwt")) = header.text("typ") {
            return Err(Denied::new("BadJwtType", format!("expected a service-auth token, found a {typ}")));
        }
        if header.get("crit").is_some() {
            return Err(bad("it has a crit that is not understood"));
        }
        if header.get("kid").is_some_and(|kid| kid.as_str() != Some(KEY)) {
            return Err(bad("its kid is not #atproto"));
        }
        let whole = |name: &str| claims.get(name).map(whole);
        let moment =
            |name: &str| whole(name).flatten().ok_or_else(|| bad(&format!("its {name} is no whole number")));
        let text = |name: &str| claims.text(name).map(str::to_owned);
        let issuer = text("iss")
            .and_then(|iss| iss.parse().ok())
            .ok_or_else(|| Denied::new("BadJwtIssuer", "expected a DID as the iss of the token"))?;
        let not_before = match whole("nbf") {
            None => None,
            Some(Some(moment)) => Some(moment),
            Some(None) => return Err(bad("its nbf is no whole number")),
        };
        let jti = text("jti").filter(|jti| (1..=LONGEST_JTI).contains(&jti.len()));
        Ok(Self {
            algorithm,
            issuer,
            audience: text("aud").ok_or_else(|| Denied::new("BadJwtAudience", "the token has no aud"))?,
            method: text("lxm").ok_or_else(|| Denied::new("BadJwtLexicon", "the token has no lxm"))?,
            expires: moment("exp")?,
            issued: moment("iat")?,
            not_before,
            jti: jti.ok_or_else(|| bad("its jti is not 1 to 128 characters"))?,
            signed,
            signature: URL_SAFE_NO_PAD.decode(signature).map_err(|_| bad("its signature is no base64url"))?,
        })
    }
}

fn object(part: &str) -> Option<Object> {
    let object = Object::read(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    (1..=MEMBERS).contains(&object.len()).then_some(object)
}

/// A whole number of seconds that a clock can show.
fn whole(value: &Json) -> Option<i64> {
    value.as_i64().filter(|seconds| (0..=1 << 53).contains(seconds))
}
