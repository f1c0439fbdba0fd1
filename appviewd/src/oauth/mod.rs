//! Signing in at people's own authorization servers, and using what they gave: an OAuth client of AT Protocol.
//!
//! A handle, a DID or a PDS's URL enters, and a person is signed in; from then on a [`Use`] enters, and a PDS's answer leaves. Tokens
//! live in the account store, sealed, and are in clear only while they are used. They are good once, or for an hour, and have one
//! owner: each DID's are renewed by one task at a time, which nothing interrupts. Deliberately absent: HTTP towards us, cookies,
//! and what people publish.
//!
//! `discover` finds the server, `endpoint` speaks to it with proofs by `dpop`, `client` says who we are and `key` signs it; `sign_in`
//! begins and ends a sign-in, `session` renews and uses what came of it for what is `allowed`, `handover` takes a console's, and `revoke`
//! gives tokens up.
//!
//! Follows [AT Protocol OAuth](https://atproto.com/specs/oauth).

mod allowed;
mod client;
mod discover;
mod dpop;
mod endpoint;
mod error;
mod handover;
mod key;
mod revoke;
mod session;
mod sign_in;
mod token;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use appview_core::source::clock::Clock;
use appview_core::source::directory::Directory;
use appview_core::source::http::Http;
use appview_core::source::network::Network;
use appview_core::source::turns::Urgency;
use appview_core::syntax::Did;
use tokio::sync::watch;

pub use allowed::{CollectionError, MOST_WRITES, OurCollection, Swap, Terms, Use, Write};
pub use client::{
    CALLBACK_PATH, Client, Clients, Credentials, KEYS_PATH, METADATA_PATH, OwnClient, Place, read_keys, scope,
};
pub use error::{DiscoverError, GrantError, ServerError, SessionError, SignInError};
pub use handover::HandoverError;
pub use key::{KeyError, PrivateJwk, SigningKey};
pub use revoke::SignedOut;
pub use session::SessionInfo;
pub use sign_in::{Begun, Callback, Finished, Start};
pub use token::Tokens;

use crate::account::AccountStore;
use dpop::Nonces;
use endpoint::Teller;

/// The client; cheap to clone, one for all clones.
#[derive(Clone)]
pub struct OAuth(Arc<Inner>);

struct Inner {
    http: Http,
    directory: Directory,
    clock: Clock,
    store: AccountStore,
    clients: Clients,
    nonces: Nonces,
    /// Whose session somebody is at; whoever else wants it waits.
    held: Mutex<BTreeMap<Did, Arc<tokio::sync::Mutex<()>>>>,
    /// How many are at what must not be interrupted.
    under_way: watch::Sender<usize>,
    /// Rises when there is something to revoke.
    ended: watch::Sender<u64>,
}

impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OAuth")
    }
}

impl OAuth {
    /// Speaks as these clients over this network, and keeps sessions in this store.
    #[must_use]
    pub fn new(network: &Network, store: AccountStore, clients: Clients) -> Self {
        Self(Arc::new(Inner {
            http: network.http.with(Urgency::Live),
            directory: network.directory.clone(),
            clock: network.clock.clone(),
            store,
            clients,
            nonces: Nonces::default(),
            held: Mutex::default(),
            under_way: watch::Sender::new(0),
            ended: watch::Sender::new(0),
        }))
    }

    /// Where sessions are.
    #[must_use]
    pub fn store(&self) -> &AccountStore {
        &self.0.store
    }

    /// Who we are.
    #[must_use]
    pub fn clients(&self) -> &Clients {
        &self.0.clients
    }

    /// What time it is, in microseconds since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.clock.now()
    }

    /// Waits until nothing is under way that must not be interrupted: a token that is being spent, a session that is being written.
    pub async fn settled(&self) {
        // The sender lives in `self`, so that waiting cannot fail.
        let _ = self.0.under_way.subscribe().wait_for(|count| *count == 0).await;
    }

    fn teller(&self) -> Teller<'_> {
        Teller { http: &self.0.http, clock: &self.0.clock, nonces: &self.0.nonces }
    }

    /// The right to be at a DID's session.
    async fn hold(&self, did: &Did) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(held.entry(did.clone()).or_default())
        };
        lock.lock_owned().await
    }

    /// Does something to its end, whether or not anyone waits for it still; none if it panicked, or the runtime ends.
    async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let under_way = UnderWay::of(self);
        let done = tokio::spawn(async move {
            let done = work.await;
            drop(under_way);
            done
        });
        done.await.ok()
    }
}

/// One more that must not be interrupted, until it is dropped.
struct UnderWay(OAuth);

impl UnderWay {
    fn of(oauth: &OAuth) -> Self {
        oauth.0.under_way.send_modify(|count| *count = count.saturating_add(1));
        Self(oauth.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.send_modify(|count| *count = count.saturating_sub(1));
    }
}
