//! `demo`: a recording of a real PDS, served by a relay inside this process, followed by the real engine.
//!
//! Nothing leaves the machine. What the engine is told about identities and repositories was saved with the recording,
//! and so was what the index must hold at the end, by the PDS's own word: the demo compares, and says so.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use appview_core::index::Index;
use appview_core::query::ExportFilter;
use appview_core::source::follow::{Answers, Following, Pulse, Source};
use appview_core::source::relay::RelayUrl;
use appview_core::source::replay::{Identities, Offline, Recording, RepoFolder};
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::{Event, Scope};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value as Json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::serve::{Doors, Limits};
use super::{listen, serve};
use crate::engine::Engine;

const FRAMES: &[u8] = include_bytes!("../../recording/frames-live.bin");
const IDENTITIES: &str = include_str!("../../recording/plc.json");
const ORACLE: &str = include_str!("../../recording/oracle.json");

macro_rules! exports {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../recording/repos/", $name)).as_slice())),*]
    };
}

/// Exports of the repositories, by file name: they stand in for the PDS.
const EXPORTS: [(&str, &[u8]); 9] = exports![
    "did_plc_2772a7bv57z4lhimh7z466vo.car",
    "did_plc_bjxq26mtdagze6oktnfzvhoe.car",
    "did_plc_blmo4ecpe42gjmb6bkgeuqf5.car",
    "did_plc_exu5tv46npooqfmudghyfhts.car",
    "did_plc_ikcz3vg2jyv6ejkyhtma6evv.car",
    "did_plc_srievuw3pkkp4x4zrninoz7f.car",
    "did_plc_vjmjt4qxprnh5fjc7etvkkny.car",
    "did_plc_wuzxvvdlolmlywdndvdfwf7f.car",
    "did_plc_xnp7tscnrnk43ds3fcohzsqq.car",
];

/// Pause between two frames, so that there is something to watch.
const PACE: Duration = Duration::from_millis(5);
/// How long the engine may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs until interrupted, or until the index is complete if `once`.
///
/// # Errors
///
/// The address is taken, or the index does not become what the recording must lead to.
pub fn run(address: SocketAddr, once: bool) -> Result<ExitCode> {
    let folder = tempfile::Builder::new().prefix("appview-demo-").tempdir()?;
    let repos = folder.path().join("repos");
    std::fs::create_dir(&repos)?;
    for (name, car) in EXPORTS {
        std::fs::write(repos.join(name), car)?;
    }
    let identities = Identities::from_json(&serde_json::from_str(IDENTITIES)?)?;
    let upstream = Offline::new(identities, Some(RepoFolder::new(repos)), Scope::default());
    let index = Index::open(folder.path().join("index.db"))?;
    let frames = recorded_frames()?;
    let last = frames.last().map_or(0, |(seq, _)| *seq);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = listen(address).await?;
        let address = listener.local_addr()?;
        let relay_listener = TcpListener::bind("127.0.0.1:0").await?;
        let relay: RelayUrl = format!("ws://{}", relay_listener.local_addr()?).parse()?;
        introduce(frames.len(), &relay, folder.path(), address)?;
        tokio::spawn(serve_frames(relay_listener, frames));

        let outside = Outside::internet(Reach::Anywhere)?;
        let sources = vec![Source::Relay(relay)];
        let following = Following::new(sources, Answers::Upstream(Box::new(upstream)), outside);
        let engine = Engine::of(index.clone(), &following);
        let pulse = engine.pulse.clone();
        let (stop, stopped) = watch::channel(false);
        let doors = Doors::queries(listener);
        let serving = tokio::spawn(serve::serve(engine, following, doors, Limits::default(), stopped));
        let complete = async {
            wait_for(&pulse, last).await?;
            conclude(&index, &pulse, address)
        };
        let result = tokio::select! {
            result = complete => result,
            () = serve::interrupted() => Err(anyhow!("interrupted before the index was complete")),
        };
        if !once && result.is_ok() {
            writeln!(
                std::io::stdout(),
                "\nInterrupt (Ctrl-C) to stop; the temporary folder is then removed."
            )?;
            serve::interrupted().await;
        }
        // The server may have ended by itself, with an error that is read below.
        let _ = stop.send(true);
        serving.await??;
        result
    })?;
    Ok(ExitCode::SUCCESS)
}

fn introduce(frames: usize, relay: &RelayUrl, folder: &Path, address: SocketAddr) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "A small compute market on an ordinary day, recorded from a real PDS: {frames} messages.")?;
    writeln!(out, "  relay   {relay}  (inside this process)")?;
    writeln!(out, "  index   {}", folder.join("index.db").display())?;
    writeln!(out, "  page    http://{address}/")?;
    Ok(writeln!(out)?)
}

/// The frames of the recording with their places in the stream.
fn recorded_frames() -> Result<Vec<(i64, Vec<u8>)>> {
    let mut recording = Recording::new(FRAMES);
    let (mut frames, mut frame) = (Vec::new(), Vec::new());
    while recording.next_frame(&mut frame)? {
        let (event, _) = Event::decode(&frame)?;
        frames.push((event.seq().unwrap_or_default(), frame.clone()));
    }
    Ok(frames)
}

/// A relay: the recorded frames to whoever connects, from the cursor that is asked for.
async fn serve_frames(listener: TcpListener, frames: Vec<(i64, Vec<u8>)>) {
    while let Ok((socket, _)) = listener.accept().await {
        if let Err(error) = send_frames(socket, &frames).await {
            tracing::debug!(%error, "a consumer left");
        }
    }
}

async fn send_frames(socket: TcpStream, frames: &[(i64, Vec<u8>)]) -> Result<()> {
    let mut cursor = 0;
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let read_cursor = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let query = request.uri().query().unwrap_or_default();
        cursor = query.strip_prefix("cursor=").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        Ok(response)
    };
    let mut socket = tokio_tungstenite::accept_hdr_async(socket, read_cursor).await?;
    for (_, frame) in frames.iter().filter(|(seq, _)| *seq > cursor) {
        socket.send(Message::Binary(frame.clone().into())).await?;
        tokio::time::sleep(PACE).await;
    }
    // Pings are answered while reading; nothing else is expected.
    while let Some(message) = socket.next().await {
        message?;
    }
    Ok(())
}

/// Waits until everything up to `last` is stored.
async fn wait_for(pulse: &Pulse, last: i64) -> Result<()> {
    let stored = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while !pulse.read().cursors.iter().any(|(_, seq)| *seq >= last) {
            tick.tick().await;
        }
    };
    match tokio::time::timeout(PATIENCE, stored).await {
        Ok(()) => Ok(()),
        Err(_) => bail!("the engine did not get through the recording within {} s", PATIENCE.as_secs()),
    }
}

/// Compares the index with what the PDS listed, and shows what there is.
fn conclude(index: &Index, pulse: &Pulse, address: SocketAddr) -> Result<()> {
    let reader = index.reader()?;
    let mut held = BTreeMap::new();
    let mut collections: BTreeMap<String, u64> = BTreeMap::new();
    reader.export(&ExportFilter::default(), |record| {
        *collections.entry(record.collection.to_string()).or_default() += 1;
        held.insert(record.uri().to_string(), record.cid.to_string());
        Ok::<_, Error>(())
    })?;
    let tally = pulse.read().tally;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} messages: {} commits proven, {} not ours, {} refused",
        tally.frames, tally.commits, tally.foreign, tally.rejected
    )?;
    for (collection, records) in &collections {
        writeln!(out, "  {records:>4}  {collection}")?;
    }
    if held != listed()? {
        bail!("the index differs from what the PDS listed");
    }
    writeln!(out, "{} records, exactly those that the PDS itself listed at the end.", held.len())?;
    writeln!(out, "fingerprint {}", index.fingerprint()?)?;
    writeln!(out)?;
    writeln!(out, "Try next:")?;
    writeln!(out, "  http://{address}/  in a browser")?;
    writeln!(out, "  curl -s http://{address}/healthz")?;
    writeln!(out, "  curl -s http://{address}/xrpc/dev.cocore.compute.listProviders")?;
    writeln!(out, "  curl -s 'http://{address}/xrpc/dev.cocore.compute.listReceipts?limit=2'")?;
    if let Some(provider) = held.keys().find(|uri| uri.contains("/dev.cocore.compute.receipt/"))
        && let Some(did) = provider.split('/').nth(2)
    {
        writeln!(out, "  curl -s 'http://{address}/xrpc/dev.cocore.compute.listReceipts?provider={did}'")?;
    }
    Ok(())
}

/// What the PDS listed, by its own word.
fn listed() -> Result<BTreeMap<String, String>> {
    let oracle: Json = serde_json::from_str(ORACLE)?;
    let records = oracle.get("records").and_then(Json::as_array).context("the oracle has no records")?;
    let text = |record: &Json, member: &str| {
        record.get(member).and_then(Json::as_str).unwrap_or_default().to_owned()
    };
    Ok(records.iter().map(|record| (text(record, "uri"), text(record, "cid"))).collect())
}
