//! How an authorization server, or a PDS, goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::lost;
use super::pds::pds_error;

/// How it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Each answer brings another nonce, and only that one is taken.
    NonceEachCall,
    /// Whatever the nonce is, another one is wanted.
    NonceNever,
    /// The metadata lacks where requests are pushed.
    NoPar,
    /// The metadata says that pushing is not required.
    ParOptional,
    /// The metadata says that another issuer is meant.
    OtherIssuer,
    /// The protected resource names two servers.
    TwoServers,
    /// The protected resource is another one.
    OtherResource,
    /// Documents are answered by a redirect to themselves elsewhere.
    Redirect,
    /// Documents are answered as text.
    NotJson,
    /// Documents have 5 MB.
    HugeMetadata,
    /// The answer with tokens has 5 MB.
    HugeTokens,
    /// The answer with tokens is no object.
    GarbledTokens,
    /// The scope is a number.
    ScopeIsNumber,
    /// The scope lacks `atproto`.
    ScopeLacksAtproto,
    /// The tokens are bound to nothing.
    BearerTokens,
    /// The tokens are somebody else's.
    OtherSubject,
    /// The tokens are nobody's.
    NoSubject,
    /// The callback names another issuer.
    MixUp,
    /// The callback names none.
    NoIssuer,
    /// The token endpoint breaks before it has done anything.
    TokenBroken,
    /// The token endpoint cannot be connected to.
    TokenUnreachable,
    /// The token endpoint does what it is asked, and its answer is lost.
    TokenLost,
    /// The token endpoint takes no refresh token any more.
    InvalidGrant,
    /// The token endpoint answers when it is let.
    TokenSlow,
    /// Revocations are answered with 204.
    RevokeNoContent,
    /// Revocations are answered with 500.
    RevokeBroken,
    /// Revocations are done, and their answers lost.
    RevokeLost,
    /// There is nowhere to revoke.
    NoRevocation,
    /// The PDS takes no access token that there is.
    AccessRefused,
    /// The PDS refuses every write, as one whose swap fails.
    InvalidSwap,
    /// The PDS says that the record is not there.
    NotLocated,
    /// The PDS breaks.
    PdsBroken,
    /// The PDS does what it is asked, and its answer is lost.
    PdsLost,
    /// The PDS wants to be left alone for a second, again and again.
    RateLimited,
    /// The PDS takes no commit of several deletions.
    NoBatches,
    /// The PDS lets nobody write to a collection that has no lexicon here.
    ScopeMissing,
}

/// How one request to a PDS is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// 429, and when to come back.
    Limited,
    /// 500.
    Broken,
    /// The connection breaks off before anything is done.
    CutOff,
    /// What is asked is done, and never answered.
    Unanswered,
}

impl Interruption {
    /// What is answered before anything is done, if anything is.
    pub(super) fn answer(self) -> Option<Response> {
        Some(match self {
            Self::Limited => {
                let body = axum::Json(json!({"error": "RateLimitExceeded", "message": "slow down"}));
                (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], body).into_response()
            }
            Self::Broken => pds_error(500, "InternalServerError", "Internal Server Error"),
            Self::CutOff => lost(),
            Self::Unanswered => return None,
        })
    }
}
