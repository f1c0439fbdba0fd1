//! `serve`: relays into the index, the index to HTTP, until interrupted.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use appview_core::index::{Index, IndexWriter};
use appview_core::record::Catalog;
use appview_core::source::follow::{Answers, Following, Pulse, Source, follow};
use appview_core::source::relay::RelayUrl;
use appview_core::source::wire::Outside;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::{ADMIN_SOCKET, collections, listen, network, open, outside};
use crate::config::{DataDir, Upstream};
use crate::http::{self, App, Health};
use crate::renewal::{Loan, Renewal};

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
    let outside = outside(&upstream.network)?;
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
    let network = network(&upstream.network, data, outside);
    Ok(Answers::Network { network, collections: collections()? })
}

/// Follows and answers until `stopped` turns true. Where the network is asked, the index can be built anew meanwhile.
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
    let mut writer = index.writer(Catalog::builtin()?)?;
    let (loans, mut asked_for) = mpsc::channel(1);
    if let Some(asked) = following.asked() {
        take_rebuilds(&index, Renewal { path: index.path().into(), asked, loans }, until(stopped.clone()));
    }
    let app = App::new(index.clone(), Health { pulse: pulse.clone() });
    let answering = tokio::spawn(http::serve(listener, app, until(stopped.clone())));
    let mut next = Some(following);
    while let Some(following) = next {
        next = following.again();
        let (mut loan, may_lend) = (None, next.is_some());
        let end = async {
            tokio::select! {
                () = until(stopped.clone()) => {}
                Some(asked_for) = asked_for.recv(), if may_lend => loan = Some(asked_for),
            }
        };
        let followed = follow(writer, following, pulse.clone(), end).await;
        // An index that cannot be written ends the answering too.
        if followed.is_err() {
            answering.abort();
        }
        writer = followed?;
        match loan {
            Some(loan) => writer = lend(writer, loan, &index).await?,
            None => break,
        }
    }
    answering.await??;
    // The log goes back into the file, so that what is left behind is one file.
    if let Err(error) = writer.write_back_log() {
        tracing::debug!(%error, "the log stays beside the index");
    }
    Ok(())
}

/// Lends the writer, and waits until it, or one of the index in its place, is back.
async fn lend(writer: IndexWriter, Loan { lend, back }: Loan, index: &Index) -> Result<IndexWriter> {
    if let Err(writer) = lend.send(writer) {
        return Ok(writer);
    }
    match back.await {
        Ok(writer) => Ok(writer),
        Err(_) => Ok(index.writer(Catalog::builtin()?)?),
    }
}

/// Answers whoever asks for a rebuild at the socket beside the index. Following does not depend on it.
#[cfg(unix)]
fn take_rebuilds(index: &Index, renewal: Renewal, shutdown: impl Future<Output = ()> + Send + 'static) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = index.path().with_file_name(ADMIN_SOCKET);
    let listen = || -> std::io::Result<_> {
        // The index has no other writer, so that whoever left it there is gone.
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        let listener = tokio::net::UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    match listen() {
        Ok(listener) => {
            let routes = http::rebuild::routes(renewal);
            tokio::spawn(async move {
                tokio::select! {
                    ended = axum::serve(listener, routes) => {
                        tracing::warn!(?ended, "nobody can ask for a rebuild any more");
                    }
                    () = shutdown => {}
                }
                // The next start would remove it as well.
                let _ = std::fs::remove_file(path);
            });
        }
        Err(error) => tracing::warn!(path = %path.display(), %error, "nobody can ask for a rebuild"),
    }
}

#[cfg(not(unix))]
fn take_rebuilds(_: &Index, _: Renewal, _: impl Future<Output = ()>) {}

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
