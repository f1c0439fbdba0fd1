//! `account`: what an operator does with the account store while no daemon uses it; and how `serve` opens it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use appview_core::source::follow::{Answers, Following};
use appview_core::source::now;
use tokio::net::TcpListener;

use super::identities;
use crate::account::{self, AccountStore, KeyPlaces, Keyring, LaterWipes};
use crate::auth::internal::{self, InternalSecret};
use crate::auth::service::{ServiceAuth, Signers, Terms as ServiceTerms};
use crate::config::{self, Account, SessionKey};
use crate::engine::Engine;
use crate::http::Accounts;
use crate::http::person::Terms;
use crate::oauth::{OAuth, SigningKey};
use crate::publish::Publisher;
use crate::roster::Roster;
use crate::secret::Secret;
use crate::wipe::{Terms as WipeTerms, Wiper};

/// Does one of them.
///
/// # Errors
///
/// What it could not do; the store is as it was unless it says otherwise.
pub fn run(what: &Account) -> Result<()> {
    let mut out = std::io::stdout();
    match what {
        Account::Backup { to, db, data } => {
            account::backup(&db.path(data), to)?;
            writeln!(
                out,
                "{} holds everything but sessions; keep it where only you can read it",
                to.display()
            )?;
        }
        Account::Restore { from, forget_later_wipes, db, data } => {
            let store = db.path(data);
            let wipes = if *forget_later_wipes { LaterWipes::Forgotten } else { LaterWipes::AsStored };
            let restored = account::restore(from, &store, wipes, now())?;
            writeln!(
                out,
                "{} is restored: {} API keys; sessions are not in a backup",
                store.display(),
                restored.keys
            )?;
            if restored.left_out > 0 {
                writeln!(
                    out,
                    "{} keys were left out: their owners have had their data wiped",
                    restored.left_out
                )?;
            }
            if let Some(replaced) = restored.replaced {
                writeln!(
                    out,
                    "the store before is {}; delete it when you need it no more",
                    replaced.display()
                )?;
            }
        }
        Account::Migrate { db, data } => {
            let store = db.path(data);
            let migrated = account::migrate(&store, now())?;
            match migrated.backup {
                None => writeln!(out, "{} is of this version already: {}", store.display(), migrated.to)?,
                Some(backup) => writeln!(
                    out,
                    "{} went from version {} to {}; a backup is {}",
                    store.display(),
                    migrated.from,
                    migrated.to,
                    backup.display()
                )?,
            }
        }
        Account::ClientKey { to } => {
            let key = SigningKey::generate()?;
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
            let mut file = file.with_context(|| to.display().to_string())?;
            serde_json::to_writer(&mut file, &key.sealable()?)?;
            writeln!(file)?;
            writeln!(
                out,
                "{} holds the key {}; keep it where only you can read it",
                to.display(),
                key.kid()
            )?;
        }
        Account::RotateKey { key, db, data } => {
            let Some(ring) = keyring(key)? else {
                bail!("no session key is given: name the file with --session-key-file");
            };
            let first = ring.first();
            let store = db.path(data);
            if !store.exists() {
                bail!("{}: expected an account store, found no file", store.display());
            }
            let rows = AccountStore::open(store, Some(ring))?.rotate()?;
            writeln!(
                out,
                "everything is sealed with key {first}, {rows} rows of it anew; the other keys may go"
            )?;
        }
    }
    Ok(())
}

/// What `serve` answers about accounts with, and where it listens for the console.
#[derive(Debug)]
pub struct Door {
    /// Everything about accounts.
    pub accounts: Accounts,
    /// Where the console asks, if there is one.
    pub console: Option<TcpListener>,
}

impl Door {
    /// Opens the store, if the service has a name of its own.
    ///
    /// # Errors
    ///
    /// The store or a key is of no use, or an address is taken.
    pub async fn open(
        options: &config::Serve,
        following: &Following,
        engine: &Engine,
        answering: SocketAddr,
        roster: &Roster,
    ) -> Result<Option<Self>> {
        let wanted = &options.accounts;
        let secret = internal_secret(wanted)?;
        let Some(service) = options.access.service_did.clone() else {
            if wanted.key.session_key_file.is_some() || secret.is_some() {
                bail!(
                    "accounts need a name for this service, for which tokens are made: give it with --service-did"
                );
            }
            return Ok(None);
        };
        let ring = keyring(&wanted.key)?;
        if ring.is_some() {
            harden()?;
        } else {
            tracing::warn!("no session key is given: sign-in is off (--session-key-file)");
        }
        let store = AccountStore::open(wanted.db.path(&options.data), ring)?;
        let clock = following.outside.clock.clone();
        let signers = match (&following.answers, &options.upstream.identities) {
            (Answers::Network { network, .. }, _) => Signers::Network(network.directory.clone()),
            (Answers::Upstream(_), Some(file)) => Signers::Files(Arc::new(identities(file)?)),
            (Answers::Upstream(_), None) => bail!("nobody is there to ask who signs for whom"),
        };
        let terms = ServiceTerms { service, lifetime: wanted.service_auth_lifetime };
        let base = base(options, answering);
        let url = |chosen: &Option<config::PublicUrl>| {
            chosen.as_ref().map_or_else(|| base.clone(), |url| url.as_str().to_owned())
        };
        let console = match &secret {
            None => None,
            Some(_) => {
                let address = wanted.internal_listen;
                let listener = TcpListener::bind(address).await.with_context(|| {
                    format!("cannot listen on {address}; choose another address with --internal-listen")
                })?;
                tracing::info!(address = %listener.local_addr()?, "answering the console");
                Some(listener)
            }
        };
        let publisher = match &following.answers {
            Answers::Network { network, .. } if store.has_sessions() => {
                let clients = super::sign_in::clients(options, answering)?;
                let oauth = OAuth::new(network, store.clone(), clients);
                Some(Publisher::new(oauth, engine.clone(), network.clone())?)
            }
            // Where files stand in for the network there is nobody to publish to.
            Answers::Network { .. } | Answers::Upstream(_) => None,
        };
        let network = match &following.answers {
            Answers::Network { network, .. } => Some(network.clone()),
            Answers::Upstream(_) => None,
        };
        let directory = network.as_ref().map(|network| network.directory.clone());
        let wiper = Wiper::new(WipeTerms {
            store: store.clone(),
            engine: engine.clone(),
            network,
            oauth: publisher.as_ref().map(|publisher| publisher.oauth().clone()),
            roster: Some(roster.clone()),
            clock: clock.clone(),
        });
        let terms = Terms {
            store,
            publisher,
            wiper,
            directory,
            service: ServiceAuth::new(&terms, signers, clock.clone()),
            internal: secret,
            index: engine.index.clone(),
            clock,
            console: url(&wanted.console_url),
            api_base: url(&wanted.agent_api_base),
        };
        Ok(Some(Self { accounts: Accounts::new(terms, &options.access), console }))
    }
}

fn keyring(key: &SessionKey) -> Result<Option<Keyring>> {
    let places = KeyPlaces::of_environment(key.session_key_file.clone());
    if places.variable.is_some() {
        tracing::warn!(
            "the session key is in the environment, which others on this machine may read; a file or a credential is safer"
        );
    }
    Ok(places.keyring()?)
}

fn internal_secret(wanted: &config::Accounts) -> Result<Option<InternalSecret>> {
    let variable = std::env::var(internal::VARIABLE).ok().map(Secret::new);
    Ok(InternalSecret::find(wanted.internal_secret_file.clone(), variable.as_ref())?)
}

/// Where the service is reached: as told, as its did:web says, or where it listens.
fn base(options: &config::Serve, answering: SocketAddr) -> String {
    let told = options.access.public_url.as_ref().map(|url| url.as_str().to_owned());
    let did = options.access.service_did.as_ref().and_then(|did| did.as_str().strip_prefix("did:web:"));
    let host = did.filter(|host| !host.contains(['%', ':'])).map(|host| format!("https://{host}"));
    told.or(host).unwrap_or_else(|| format!("http://{answering}"))
}

/// Keeps what is in memory from files: no core is dumped, and nobody else may look.
fn harden() -> Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
