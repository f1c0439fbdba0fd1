//! `serve`: streams into the index, the index to HTTP, until interrupted. Everything that serving consists of meets here.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use appview_core::index::{Index, IndexWriter};
use appview_core::record::Catalog;
use appview_core::source::follow::{Answers, Following, Source, follow};
use appview_core::source::wire::Outside;
use appview_core::sync::verifier::Pace;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};

use super::{account, collections, listen, network, open, outside};
use crate::account::keep;
use crate::admin::{self, Socket};
use crate::config::{self, Access, Feed, MetricsListen, Streams, Upstream};
use crate::engine::Engine;
use crate::http::{self, Answering, App, Seats, Subscribers};
use crate::meter::Meter;
use crate::renewal::{Loan, Renewal};
use crate::roster::{Roster, Word};
use crate::wipe;

/// How long a server may take to answer what cannot be asked twice.
const SPENDING: Duration = Duration::from_secs(15);

/// Where the daemon answers.
#[derive(Debug)]
pub struct Doors {
    /// Queries.
    pub queries: TcpListener,
    /// Numbers, if anyone wants them.
    pub metrics: Option<TcpListener>,
    /// An operator, with what was said of single repositories.
    pub operator: Option<(UnixListener, Roster)>,
    /// People and their machines, if accounts are kept.
    pub accounts: Option<account::Door>,
}

impl Doors {
    /// For queries alone.
    #[must_use]
    pub const fn queries(queries: TcpListener) -> Self {
        Self { queries, metrics: None, operator: None, accounts: None }
    }
}

/// What an operator chose.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How far behind every stream it may be and still be ready.
    pub ready_lag: Duration,
    /// How long stopping may take.
    pub stop_within: Duration,
    /// What others are told.
    pub feed: Feed,
    /// Whom to answer.
    pub access: Access,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ready_lag: Duration::from_secs(60),
            stop_within: Duration::from_secs(30),
            feed: Feed::default(),
            access: Access::default(),
        }
    }
}

/// Follows and answers until interrupted.
///
/// # Errors
///
/// An address is taken, another daemon serves from the folder, the index cannot be opened or written, or stopping took too long.
pub fn run(options: &config::Serve) -> Result<ExitCode> {
    let data = &options.data;
    let index = open(data)?;
    let roster = Roster::open(data.roster())?;
    let following = following(options, &roster)?;
    let engine = Engine::of(index, &following);
    Meter::global();
    lift_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let (_socket, operator) = Socket::bind(&data.socket())?;
        let queries = listen(options.listen).await?;
        let metrics = match options.metrics_listen {
            MetricsListen::Off => None,
            MetricsListen::At(address) => {
                let listener = TcpListener::bind(address).await.with_context(|| {
                    format!(
                        "cannot listen on {address}; choose another address with --metrics-listen, or off"
                    )
                })?;
                tracing::info!(address = %listener.local_addr()?, "telling numbers");
                Some(listener)
            }
        };
        tracing::info!(address = %queries.local_addr()?, "answering");
        let limits = Limits {
            ready_lag: options.ready_lag,
            stop_within: options.stop_within,
            feed: options.feed,
            access: options.access.clone(),
        };
        let accounts =
            account::Door::open(options, &following, &engine, queries.local_addr()?, &roster).await?;
        let doors = Doors { queries, metrics, operator: Some((operator, roster)), accounts };
        serve(engine, following, doors, limits, stop_when_interrupted()).await
    });
    // Whatever did not end within its time is not waited for.
    runtime.shutdown_background();
    result.map(|()| ExitCode::SUCCESS)
}

/// Lets the process have as many files open as the system allows it: what a shell allows of itself, often 1,024, is less than a
/// full listener takes.
pub fn lift_file_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!(%error, ?current, "the limit of open files stays");
    }
}

/// Turns true at the first interrupt; the second ends the process.
fn stop_when_interrupted() -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        interrupted().await;
        tracing::info!("stopping: writing what was received; interrupt again to leave at once");
        // Nobody listens any more only when everything has ended already.
        let _ = stop.send(true);
        interrupted().await;
        tracing::warn!("leaving at once; what was not written is received again at the next start");
        std::process::exit(130);
    });
    stopped
}

fn following(options: &config::Serve, roster: &Roster) -> Result<Following> {
    let upstream = &options.upstream;
    let outside = outside(&upstream.network)?;
    if let Some(did) = options.track.iter().find(|did| roster.word(did) == Some(Word::Untrack)) {
        let file = options.data.roster();
        bail!("--track {did}: {} leaves it out; take its line away there first", file.display());
    }
    let answers = answers(upstream, options, roster, &outside)?;
    let relays = || options.relay.iter().cloned();
    let sources = match options.source {
        Streams::Relay => relays().map(Source::Relay).collect(),
        Streams::Jetstream => vec![Source::Jetstream(options.jetstream.clone())],
    };
    let tracked = roster.all(Word::Track).into_iter().chain(options.track.iter().cloned()).collect();
    let directories = relays().collect();
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let pace = Pace { audit: micros(options.audit_within), keep_hidden: micros(options.keep_hidden) };
    let scope = roster.scope();
    Ok(Following { directories, tracked, scope, pace, ..Following::new(sources, answers, outside) })
}

/// The network, or the files that stand in for it.
fn answers(
    upstream: &Upstream,
    options: &config::Serve,
    roster: &Roster,
    outside: &Outside,
) -> Result<Answers> {
    if let Some(identities) = &upstream.identities {
        let files = super::files(identities, upstream.repos.as_deref())?;
        return Ok(Answers::Upstream(Box::new(files)));
    }
    let network = network(&upstream.network, &options.data, outside, roster.scope());
    Ok(Answers::Network { network, collections: collections()? })
}

/// Follows and answers until `stopped` turns true. Then streams are closed, what was received is written, and answers that were
/// begun are finished.
///
/// # Errors
///
/// The index cannot be written, or stopping takes longer than it may: nothing is lost by that, because cursors are written with
/// the rows that they cover.
pub async fn serve(
    engine: Engine,
    following: Following,
    doors: Doors,
    limits: Limits,
    stopped: watch::Receiver<bool>,
) -> Result<()> {
    let mut writer = engine.index.writer(Catalog::builtin()?)?;
    let (loans, mut asked_for) = mpsc::channel(1);
    let (close, closed) = watch::channel(false);
    let mut answering = tokio::task::JoinSet::new();
    let subscribers = Subscribers::new(engine.index.clone(), engine.pulse.feed(), limits.feed.terms());
    let seats = Seats::of(&limits.access);
    let network = match &following.answers {
        Answers::Network { network, .. } => Some(network.clone()),
        Answers::Upstream(_) => None,
    };
    let terms = super::verify::terms(&limits.access.brokers.broker)?;
    let clock = following.outside.clock.clone();
    let how = Answering {
        ready_lag: limits.ready_lag,
        access: limits.access,
        network,
        clock: clock.clone(),
        terms,
    };
    let app = App::new(engine.clone(), how, stopped.clone(), subscribers.clone());
    let (accounts, console) = doors.accounts.map_or((None, None), |door| (Some(door.accounts), door.console));
    let store = accounts.as_ref().map(|accounts| accounts.store().clone());
    if let Some((listener, accounts)) = console.zip(accounts.clone()) {
        let router = http::internal_routes(accounts);
        answering.spawn(http::serve(listener, router, Seats::unlimited(), closed.clone()));
    }
    let wiper = accounts.as_ref().map(|accounts| accounts.wiper().clone());
    if let Some(wiper) = wiper.clone() {
        let stopped = closed.clone();
        answering.spawn(async move { wiper.run(stopped).await });
    }
    if let Some(store) = store.clone() {
        answering.spawn(keep(store, clock, closed.clone()));
    }
    let oauth = accounts.as_ref().and_then(|accounts| Some(accounts.publishing()?.oauth().clone()));
    if let Some(oauth) = oauth.clone() {
        let stopped = closed.clone();
        answering.spawn(async move {
            tokio::select! {
                ((), ()) = async { tokio::join!(oauth.resume(), oauth.revoke()) } => {}
                () = until(stopped) => {}
            }
        });
    }
    answering.spawn(http::serve(doors.queries, http::routes(app, accounts), seats, closed.clone()));
    if let Some(listener) = doors.metrics {
        let router = http::metrics_route(engine.clone());
        answering.spawn(http::serve(listener, router, Seats::unlimited(), closed.clone()));
    }
    let roster = doors.operator.as_ref().map(|(_, roster)| roster.clone());
    if let Some((listener, roster)) = doors.operator {
        let path = engine.index.path().into();
        let renewal = following.asked().map(|asked| Renewal { path, asked, loans });
        let router = admin::routes(engine.clone(), roster, renewal, wiper);
        answering.spawn(http::serve(listener, router, Seats::unlimited(), closed));
    }
    let whole = following.scope.clone();
    let following = async {
        let mut next = Some(following);
        while let Some(mut following) = next {
            // An operator may have spoken since the last time, and people may have had their data wiped.
            following.scope = roster.as_ref().map_or_else(|| whole.clone(), Roster::scope);
            if let Some(roster) = &roster {
                following.tracked.extend(roster.all(Word::Track));
            }
            if let Some(store) = &store {
                following.scope = wipe::scope(following.scope, store.exclusions()?);
            }
            next = following.again();
            writer.set_feed_retention(limits.feed.retention());
            let (mut loan, may_lend) = (None, next.is_some());
            let end = async {
                tokio::select! {
                    () = until(stopped.clone()) => {}
                    Some(asked_for) = asked_for.recv(), if may_lend => loan = Some(asked_for),
                }
            };
            writer = follow(writer, following, engine.pulse.clone(), end).await?;
            let Some(loan) = loan else { break };
            match lend(writer, loan, &engine.index, stopped.clone()).await? {
                Some(back) => writer = back,
                None => return Ok(None),
            }
        }
        anyhow::Ok(Some(writer))
    };
    let until_late = async {
        until(stopped.clone()).await;
        tokio::time::sleep(limits.stop_within).await;
    };
    let followed = tokio::select! {
        followed = following => followed,
        () = until_late => {
            let waiting = engine.pulse.read().queued;
            let within = limits.stop_within.as_secs();
            bail!(
                "stopped without writing everything within {within} s: {waiting} messages waited; they are received again at \
                 the next start (--stop-within allows more)"
            );
        }
    };
    // Whether or not the index could be written, nothing is answered from here on.
    close.send_replace(true);
    subscribers.close();
    let writer = followed?;
    // A rebuild that goes on hears that it is over.
    drop(asked_for);
    while answering.join_next().await.is_some() {}
    if let Some(oauth) = oauth {
        // A token that is being spent is worth waiting for: its answer cannot be had twice.
        if tokio::time::timeout(SPENDING, oauth.settled()).await.is_err() {
            tracing::warn!(
                "a session was being renewed when the daemon stopped; it is gone on with at the next start"
            );
        }
    }
    subscribers.closed().await;
    // The log goes back into the file, so that what is left behind is one file.
    if let Some(mut writer) = writer
        && let Err(error) = writer.write_back_log()
    {
        tracing::debug!(%error, "the log stays beside the index");
    }
    Ok(())
}

/// Lends the writer, and waits until it, or one of the index in its place, is back; none if `stopped` turns true before that,
/// because whoever has it may be asking the network.
async fn lend(
    writer: IndexWriter,
    Loan { lend, back }: Loan,
    index: &Index,
    stopped: watch::Receiver<bool>,
) -> Result<Option<IndexWriter>> {
    if let Err(writer) = lend.send(writer) {
        return Ok(Some(writer));
    }
    tokio::select! {
        back = back => match back {
            Ok(writer) => Ok(Some(writer)),
            Err(_) => Ok(Some(index.writer(Catalog::builtin()?)?)),
        },
        () = until(stopped) => Ok(None),
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which stops us as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Completes at the next interrupt or request to terminate.
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    if let Ok(mut terminate) = signal(SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = tokio::signal::ctrl_c() => return,
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// An index with its writer, and a loan with both ends that the borrower has.
    fn loan() -> (tempfile::TempDir, Index, Loan, oneshot::Receiver<IndexWriter>, oneshot::Sender<IndexWriter>)
    {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path().join("index.db")).unwrap();
        let ((lend, lent), (give_back, back)) = (oneshot::channel(), oneshot::channel());
        (folder, index, Loan { lend, back }, lent, give_back)
    }

    #[tokio::test]
    async fn a_writer_that_is_lent_comes_back_or_is_made_anew() {
        let (_stop, stopped) = watch::channel(false);
        let (_folder, index, wanted, lent, give_back) = loan();
        let writer = index.writer(Catalog::builtin().unwrap()).unwrap();
        let borrowing = async { give_back.send(lent.await.unwrap()).map_err(drop).unwrap() };
        let (back, ()) = tokio::join!(lend(writer, wanted, &index, stopped.clone()), borrowing);
        assert!(back.unwrap().is_some());
        // Whoever borrowed it failed.
        let (_folder, index, wanted, lent, give_back) = loan();
        let writer = index.writer(Catalog::builtin().unwrap()).unwrap();
        let borrowing = async { drop((lent.await.unwrap(), give_back)) };
        let (back, ()) = tokio::join!(lend(writer, wanted, &index, stopped), borrowing);
        assert!(back.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_stop_does_not_wait_for_a_writer_that_is_lent() {
        let (stop, stopped) = watch::channel(false);
        let (_folder, index, wanted, lent, _give_back) = loan();
        let writer = index.writer(Catalog::builtin().unwrap()).unwrap();
        let borrowing = async {
            let lent = lent.await.unwrap();
            stop.send_replace(true);
            lent
        };
        let (back, _lent) = tokio::join!(lend(writer, wanted, &index, stopped), borrowing);
        assert!(back.unwrap().is_none());
    }
}
