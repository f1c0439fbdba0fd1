//! One file for each command, and what they share: opening an index with errors that tell what to do next.

pub mod account;
pub mod anew;
pub mod bundle;
pub mod check;
pub mod config;
pub mod demo;
pub mod export;
pub mod fingerprint;
pub mod inspect;
pub mod key;
pub mod manual;
pub mod operate;
pub mod rebuild;
pub mod record;
pub mod replay;
pub mod serve;
pub mod sign_in;
pub mod top;
pub mod verify;
pub mod wipe;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use appview_core::index::Index;
use appview_core::record::Collection;
use appview_core::source::network::Network;
use appview_core::source::replay::{Identities, Offline, RepoFolder};
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::Scope;
use appview_core::syntax::Nsid;
use tokio::net::TcpListener;

use crate::account::excluded;
use crate::config::{AccountDb, DataDir, NetworkAccess, SavedUpstream};
use crate::roster::Roster;

/// Opens the index for writing, made if there is none.
fn open(data: &DataDir) -> Result<Index> {
    make_folder(data)?;
    Ok(Index::open(data.index())?)
}

fn make_folder(data: &DataDir) -> Result<()> {
    let folder = data.data_dir.display();
    std::fs::create_dir_all(&data.data_dir)
        .with_context(|| format!("cannot make the folder {folder}; name another with --data-dir"))
}

/// Opens the index for reading; there must be one.
fn existing(data: &DataDir) -> Result<Index> {
    let path = data.index();
    if !path.exists() {
        bail!(
            "there is no index at {}; fill one with `appviewd replay` or `appviewd serve`, or name its folder with \
             --data-dir",
            path.display()
        );
    }
    Ok(Index::open_existing(path)?)
}

fn identities(file: &Path) -> Result<Identities> {
    Identities::open(file).context(
        "--identities must name a file that says who signs for whom (`appviewd help replay` tells its form)",
    )
}

fn offline(saved: &SavedUpstream) -> Result<Offline> {
    files(&saved.identities, saved.repos.as_deref())
}

/// Saved identities and exports, which stand in for the network.
fn files(file: &Path, repos: Option<&Path>) -> Result<Offline> {
    if let Some(folder) = repos.filter(|folder| !folder.is_dir()) {
        bail!("--repos must name a folder of exports (CARs): {} is none", folder.display());
    }
    let exports = repos.map(RepoFolder::new);
    Ok(Offline::new(identities(file)?, exports, Scope::default()))
}

/// The world outside, as far as it may be asked.
fn outside(access: &NetworkAccess) -> Result<Outside> {
    let reach = if access.allow_private_hosts { Reach::Anywhere } else { Reach::Public };
    Ok(Outside::internet(reach)?)
}

/// What is shown: without whom an operator leaves out, and without what people had wiped.
fn scope(data: &DataDir, db: &AccountDb) -> Result<Scope> {
    let roster = Roster::open(data.roster())?;
    Ok(crate::wipe::scope(roster.scope(), excluded(&db.path(data))?))
}

/// The network, with large exports spooled beside the index.
fn network(access: &NetworkAccess, data: &DataDir, outside: &Outside, scope: Scope) -> Network {
    Network::new(outside, access.plc.as_str(), data.data_dir.clone(), scope)
}

/// Every collection that relays are asked about.
fn collections() -> Result<Vec<Nsid>> {
    Ok(Collection::ALL.iter().map(|collection| collection.nsid().parse()).collect::<Result<_, _>>()?)
}

/// Takes an address to answer on.
async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another address with --listen"))
}
