//! `serve`: relays into the index, the index to HTTP, until interrupted.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use appview_core::index::Index;
use appview_core::record::{Catalog, Collection};
use appview_core::source::follow::{Answers, Following, Pulse, Source, follow};
use appview_core::source::network::Network;
use appview_core::source::relay::RelayUrl;
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::Scope;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{listen, open};
use crate::config::{DataDir, Upstream};
use crate::http::{self, App, Health};

/// Follows and answers until interrupted.
///
/// # Errors
///
/// The address is taken, or the index cannot be opened or written.
pub fn run(
    data: &DataDir,
    relays: Vec<RelayUrl>,
    address: SocketAddr,
    upstream: &Upstream,
) -> Result<ExitCode> {
    let index = open(data)?;
    let reach = if upstream.allow_private_hosts { Reach::Anywhere } else { Reach::Public };
    let outside = Outside::internet(reach)?;
    let answers = answers(upstream, data, &outside)?;
    let sources = relays.into_iter().map(Source::Relay).collect();
    let following = Following::new(sources, answers, outside);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = listen(address).await?;
        tracing::info!(address = %listener.local_addr()?, "answering");
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            interrupted().await;
            tracing::info!("stopping: writing what was received");
            // Nobody listens any more only when everything has ended already.
            let _ = stop.send(true);
        });
        serve(index, following, listener, Pulse::default(), stopped).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The network, or the files that stand in for it.
fn answers(upstream: &Upstream, data: &DataDir, outside: &Outside) -> Result<Answers> {
    if let Some(identities) = &upstream.identities {
        let files = super::files(identities, upstream.repos.as_deref())?;
        return Ok(Answers::Upstream(Box::new(files)));
    }
    let network = Network::new(outside, upstream.plc.as_str(), data.data_dir.clone(), Scope::default());
    let collections = Collection::ALL.iter().map(|collection| collection.nsid().parse());
    Ok(Answers::Network { network, collections: collections.collect::<Result<_, _>>()? })
}

/// Follows and answers until `stopped` turns true.
///
/// # Errors
///
/// The index cannot be written, or the listener fails.
pub async fn serve(
    index: Index,
    following: Following,
    listener: TcpListener,
    pulse: Pulse,
    stopped: watch::Receiver<bool>,
) -> Result<()> {
    let writer = index.writer(Catalog::builtin()?)?;
    let app = App::new(index, Health { pulse: pulse.clone() });
    let answering = tokio::spawn(http::serve(listener, app, until(stopped.clone())));
    let followed = follow(writer, following, pulse, until(stopped)).await;
    // An index that cannot be written ends the answering too.
    if followed.is_err() {
        answering.abort();
    }
    let mut writer = followed?;
    answering.await??;
    // The log goes back into the file, so that what is left behind is one file.
    if let Err(error) = writer.write_back_log() {
        tracing::debug!(%error, "the log stays beside the index");
    }
    Ok(())
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which stops us as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Completes at the first interrupt or request to terminate.
pub(super) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
