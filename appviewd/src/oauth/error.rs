//! Why somebody is not signed in, or something is not done with a session.
//!
//! No error holds a token, a key or a body; what servers say is cut and told as theirs.

use appview_core::source::directory::ResolveError;
use appview_core::source::handle::HandleError;
use appview_core::source::http::HttpError;
use appview_core::syntax::{Did, Handle};

use crate::account::AccountError;
use crate::secret::NoRandomness;

/// Why a server could not be found, or is none that we can go to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The document could not be had.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It was answered with something else.
    #[error("{url}: expected 200 and application/json, found {found}")]
    Answer {
        /// The URL.
        url: String,
        /// What was found.
        found: String,
    },
    /// The document lacks something that AT Protocol asks for.
    #[error("{url}: {member}: expected {expected}")]
    Metadata {
        /// The URL.
        url: String,
        /// Which member.
        member: &'static str,
        /// The rule.
        expected: &'static str,
    },
}

/// Why an authorization server did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// There was no answer, or too long a one.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It refused, and says why.
    #[error("{url}: {status} {name}{}", description.as_ref().map(|text| format!(": {text}")).unwrap_or_default())]
    Refused {
        /// The URL.
        url: String,
        /// The status code.
        status: u16,
        /// The error's name.
        name: String,
        /// What the server says to people.
        description: Option<String>,
    },
    /// It answered with a status alone.
    #[error("{url}: {status}")]
    Status {
        /// The URL.
        url: String,
        /// The status code.
        status: u16,
    },
    /// Its answer is not what the protocol says.
    #[error("{url}: expected {expected}")]
    Malformed {
        /// The URL.
        url: String,
        /// What was expected.
        expected: &'static str,
    },
}

impl ServerError {
    /// Whether the server says that what we hold is worth nothing any more.
    #[must_use]
    pub fn is_invalid_grant(&self) -> bool {
        matches!(self, Self::Refused { name, .. } if name == "invalid_grant")
    }

    /// Whether it is not known if the server did what it was asked.
    #[must_use]
    pub const fn is_in_doubt(&self) -> bool {
        matches!(
            self,
            Self::Http(HttpError::Lost { .. } | HttpError::TooLarge { .. }) | Self::Malformed { .. }
        )
    }
}

/// Why what a server gave is not taken for a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// The tokens are not bound to a key.
    #[error("expected a token of type DPoP")]
    NotBound,
    /// What was granted is no AT Protocol session.
    #[error("expected a scope with atproto")]
    Scope,
    /// It is about nobody.
    #[error("expected the did of an account as sub")]
    Subject,
    /// It is about somebody else.
    #[error("expected a session of {expected}, found one of {found}")]
    OtherAccount {
        /// Who was to sign in.
        expected: Did,
        /// Who did.
        found: Did,
    },
    /// The account's own server is another one.
    #[error("{did}: its authorization server is {expected}, and not {found}")]
    OtherIssuer {
        /// The account.
        did: Did,
        /// Its server.
        expected: String,
        /// Who gave the session.
        found: String,
    },
    /// The account has no PDS.
    #[error("{did}: its document names no pds")]
    NoPds {
        /// The account.
        did: Did,
    },
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// People cannot sign in here.
    #[error("signing in is off here")]
    Off,
    /// The text names nobody.
    #[error("expected a handle like ada.example.com, a did, or the https url of a pds")]
    Nobody,
    /// A handle could not be resolved.
    #[error(transparent)]
    Handle(#[from] HandleError),
    /// The DID's document names another handle.
    #[error("{did} does not call itself {handle}")]
    OtherHandle {
        /// The handle.
        handle: Handle,
        /// Whom it names.
        did: Did,
    },
    /// A DID could not be resolved.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The server could not be found.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The server did not do what it was asked.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// What came back fits no sign-in that began in this browser within ten minutes.
    #[error("this sign-in is over, or began in another browser; begin again")]
    Unknown,
    /// What came back is from another server than the one that was gone to.
    #[error("the answer is from another server than the one that was asked; begin again")]
    MixedUp,
    /// The person, or the server, said no.
    #[error("the server refused: {name}")]
    Refused {
        /// The error's name.
        name: String,
    },
    /// What was given is no session of that account.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// The account store.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Nothing random can be had.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Why a session is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There is none, or it is over: the person must sign in again.
    #[error("{did} has to sign in again")]
    SignIn {
        /// Whose.
        did: Did,
    },
    /// Its client is none of ours, or its key is lost: for an operator.
    #[error("the session of {did} belongs to the client {client_id}, which has no such key here")]
    Client {
        /// Whose.
        did: Did,
        /// The client.
        client_id: String,
    },
    /// The account could not be resolved.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The server could not be found.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The server did not do what it was asked.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The PDS could not be asked.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The account store.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Nothing random can be had.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The daemon stops.
    #[error("the daemon is stopping")]
    Ended,
}
