//! Tokens that a person's PDS signs for one method of this service, good once.
//!
//! A token and the method that was called enter; the DID of whoever called leaves. What is cheap to check is checked first, the network is
//! asked last, and a token is used up only by its owner's signature. A key that fails is asked for anew, once, because it may
//! have been rotated, and seldom, because anyone can sign badly in another's name. Deliberately absent: what the person may do.
//!
//! Follows [XRPC, inter-service authentication](https://atproto.com/specs/xrpc#inter-service-authentication-jwt). Signatures may
//! have a high S, as those of other services may: a token is told from another by its `jti`, not by its bytes.

use std::sync::Arc;
use std::time::Duration;

use appview_core::repo::{Identity, PublicKey};
use appview_core::source::clock::Clock;
use appview_core::source::directory::Directory;
use appview_core::source::replay::Identities;
use appview_core::sync::Freshness;
use appview_core::syntax::Did;

use super::Denied;
use super::rates::Rates;
use super::replay::{Replay, Used};
use super::token::{Algorithm, Token};
use crate::secret::Secret;

/// The service as DID documents name it.
pub const FRAGMENT: &str = "#cocore_appview";
/// How far another clock may be off, in seconds.
const SKEW: i64 = 30;
/// In a minute, in microseconds.
const MINUTE: u64 = 60_000_000;
/// How often one DID may be asked for anew in a minute.
const REFRESHES: u32 = 1;
/// How often all of them together.
const ALL_REFRESHES: u32 = 60;
/// How many DIDs are remembered for that.
const REFRESHED: usize = 10_000;

/// Who knows who signs for whom.
#[derive(Debug, Clone)]
pub enum Signers {
    /// The network.
    Network(Directory),
    /// A file that stands in for it.
    Files(Arc<Identities>),
}

impl Signers {
    /// Resolves a DID; none if it cannot be, for whatever reason.
    async fn find(&self, did: &Did, freshness: Freshness) -> Option<Arc<Identity>> {
        match self {
            Self::Network(directory) => directory.resolve(did, freshness).await.ok(),
            Self::Files(identities) => identities.get(did.as_str()).cloned(),
        }
    }
}

/// What a service is called, and how long a token for it may be good.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The service's DID.
    pub service: Did,
    /// The longest time between a token's making and its end.
    pub lifetime: Duration,
}

/// Verifies tokens for one service.
#[derive(Debug)]
pub struct ServiceAuth {
    signers: Signers,
    clock: Clock,
    audiences: [String; 2],
    lifetime: i64,
    /// Since when tokens are remembered, in seconds since the Unix epoch: one that is older may have been used.
    since: i64,
    replay: Replay,
    refreshes: Rates<Did>,
    all_refreshes: Rates<()>,
}

impl ServiceAuth {
    /// Verifies from here on.
    #[must_use]
    pub fn new(terms: &Terms, signers: Signers, clock: Clock) -> Self {
        let service = terms.service.as_str();
        Self {
            signers,
            audiences: [service.to_owned(), format!("{service}{FRAGMENT}")],
            lifetime: i64::try_from(terms.lifetime.as_secs()).unwrap_or(i64::MAX),
            since: seconds(clock.now()),
            clock,
            replay: Replay::default(),
            refreshes: Rates::new(REFRESHES, MINUTE, REFRESHED),
            all_refreshes: Rates::new(ALL_REFRESHES, MINUTE, 1),
        }
    }

    /// Who signed this token for this method.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub async fn verify(&self, token: &Secret<String>, method: &str) -> Result<Did, Denied> {
        let token = Token::read(token.expose())?;
        let now = seconds(self.clock.now());
        self.check_claims(&token, method, now)?;
        self.check_signature(&token).await?;
        let end = token.expires.saturating_add(SKEW);
        match self.replay.once(&token.issuer, &token.jti, end, now) {
            Ok(()) => Ok(token.issuer),
            Err(Used::Before) => {
                Err(Denied::new("JwtReplayed", "the token was used before; ask for another one"))
            }
            Err(Used::Full) => Err(Denied::new("JwtReplayed", "too many tokens were used; wait a minute")),
        }
    }

    fn check_claims(&self, token: &Token<'_>, method: &str, now: i64) -> Result<(), Denied> {
        if !is_account(&token.issuer) {
            let message =
                format!("expected the did:plc or did:web of an account as iss, found {}", token.issuer);
            return Err(Denied::new("BadJwtIssuer", message));
        }
        if !self.audiences.contains(&token.audience) {
            let [service, _] = &self.audiences;
            return Err(Denied::new("BadJwtAudience", format!("expected a token for {service}")));
        }
        if token.method != method {
            return Err(Denied::new("BadJwtLexicon", format!("expected a token for the method {method}")));
        }
        let bad = |message: &str| Err(Denied::new("BadJwt", message));
        if token.expires <= now.saturating_sub(SKEW) {
            return Err(Denied::new("JwtExpired", "the token is over; ask for another one"));
        }
        if token.expires.saturating_sub(token.issued) > self.lifetime {
            return bad(&format!("expected a token that is good for at most {} seconds", self.lifetime));
        }
        let latest = now.saturating_add(SKEW);
        if token.issued > latest || token.not_before.is_some_and(|moment| moment > latest) {
            return bad("the token is not good yet");
        }
        if token.issued < self.since {
            let message = "the token is older than this process, and may have been used; ask for another one";
            return Err(Denied::new("JwtReplayed", message));
        }
        Ok(())
    }

    async fn check_signature(&self, token: &Token<'_>) -> Result<(), Denied> {
        let unknown = || {
            let message = format!("expected an iss whose key can be found, found {}", token.issuer);
            Denied::new("BadJwtIssuer", message)
        };
        let identity = self.signers.find(&token.issuer, Freshness::Cached).await.ok_or_else(unknown)?;
        if is_signed(token, identity.key()) {
            return Ok(());
        }
        let bad = || Denied::new("BadJwtSignature", "the token is not signed by its iss");
        let now = self.clock.now();
        if self.refreshes.take(token.issuer.clone(), now).is_err()
            || self.all_refreshes.take((), now).is_err()
        {
            return Err(bad());
        }
        let fresh = self.signers.find(&token.issuer, Freshness::Fresh).await.ok_or_else(bad)?;
        if fresh.key() != identity.key() && is_signed(token, fresh.key()) { Ok(()) } else { Err(bad()) }
    }
}

/// The two methods that the protocol has, with nothing behind the DID.
fn is_account(did: &Did) -> bool {
    did.as_str().starts_with("did:plc:") || did.as_str().starts_with("did:web:")
}

/// The token's word on the algorithm counts only where it is the key's own.
fn is_signed(token: &Token<'_>, key: &PublicKey) -> bool {
    let is_its_own = matches!(
        (token.algorithm, key),
        (Algorithm::Es256, PublicKey::P256(_)) | (Algorithm::Es256K, PublicKey::K256(_))
    );
    is_its_own && key.verify_either_s(token.signed.as_bytes(), &token.signature).is_ok()
}

/// Whole seconds of microseconds.
fn seconds(micros: u64) -> i64 {
    i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX)
}
