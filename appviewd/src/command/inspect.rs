//! `inspect`: what is in a frame, a CAR or a record, as a table or JSON. Needs no index and no network.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use appview_core::block::car::{Archive, Slice};
use appview_core::block::{Cid, cbor, json};
use appview_core::record::{Catalog, Reading};
use appview_core::repo::mst::{self, MstError};
use appview_core::repo::{Commit, RepoOp};
use appview_core::source::replay::Recording;
use appview_core::sync::Event;
use appview_core::sync::frame::CommitEvent;
use serde_json::{Value as Json, json};

use crate::config::Inspect;

/// Shows what the file holds.
///
/// # Errors
///
/// The file cannot be read, or is not what it should be; the message says where and why.
pub fn run(what: Inspect) -> Result<()> {
    match what {
        Inspect::Frame { file, nth, format } => {
            let frame = read_frame(&file, nth)?;
            let explain = || format!("{} holds no message of subscribeRepos", file.display());
            let (event, deviations) = Event::decode(&frame).with_context(explain)?;
            let description = describe(&event, deviations).with_context(|| file.display().to_string())?;
            if format.json { print_json(&description) } else { print_frame(&event, &description) }
        }
        Inspect::Car { file, format } => car(&file, format.json),
        Inspect::Record { file, rkey, format } => record(&file, &rkey, format.json),
    }
}

/// A single frame, or one of a recording.
fn read_frame(file: &Path, nth: Option<u64>) -> Result<Vec<u8>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    // A frame starts with the head of a map, a recording with the high byte of a length, which is always 0.
    if nth.is_none() && bytes.first() != Some(&0) {
        return Ok(bytes);
    }
    let nth = nth.unwrap_or(1);
    let mut recording = Recording::new(bytes.as_slice());
    let mut frame = Vec::new();
    for _ in 0..nth {
        let read = recording.next_frame(&mut frame);
        if !read.with_context(|| format!("{} is no recording", file.display()))? {
            bail!("{} has fewer than {nth} frames", file.display());
        }
    }
    Ok(frame)
}

fn describe(event: &Event<'_>, deviations: u32) -> Result<Json> {
    let mut description = match event {
        Event::Commit(commit) => commit_json(commit)?,
        Event::Sync(sync) => json!({
            "type": "#sync", "seq": sync.seq, "did": sync.did, "rev": sync.rev.to_string(),
            "commit": signed(&Slice::parse(sync.blocks)?, None)?,
        }),
        Event::Identity { seq, did } => json!({"type": "#identity", "seq": seq, "did": did}),
        Event::Account { seq, did, active, status } => {
            json!({"type": "#account", "seq": seq, "did": did, "active": active, "status": status})
        }
        Event::Info { name, message } => json!({"type": "#info", "name": name, "message": message}),
        Event::Error { name, message } => json!({"type": "error", "error": name, "message": message}),
        Event::Unknown { op, kind, seq } => json!({"type": kind, "op": op, "seq": seq, "unknown": true}),
        _ => json!({"type": "unknown"}),
    };
    if deviations > 0
        && let Some(members) = description.as_object_mut()
    {
        members.insert("deviations".to_owned(), deviations.into());
    }
    Ok(description)
}

fn commit_json(event: &CommitEvent<'_>) -> Result<Json> {
    let blocks = Slice::parse(event.blocks)?;
    let mut ops = Vec::new();
    for op in &event.ops {
        let (action, cid, prev) = match *op {
            RepoOp::Create { cid, .. } => ("create", Some(cid), None),
            RepoOp::Update { cid, prev, .. } => ("update", Some(cid), prev),
            RepoOp::Delete { prev, .. } => ("delete", None, prev),
        };
        let record = match cid.and_then(|cid| blocks.get(&cid)) {
            Some(block) => block_json(block),
            None => Json::Null,
        };
        ops.push(json!({
            "action": action, "path": op.path(), "cid": cid.map(|cid| cid.to_string()),
            "prev": prev.map(|cid| cid.to_string()), "record": record,
        }));
    }
    Ok(json!({
        "type": "#commit", "seq": event.seq, "repo": event.repo, "rev": event.rev.to_string(),
        "since": event.since.map(|since| since.to_string()),
        "prevData": event.prev_data.map(|cid| cid.to_string()),
        "commit": signed(&blocks, Some(event.commit))?,
        "blocks": blocks.len(), "ops": ops,
    }))
}

/// The signed object of a CAR.
fn signed(blocks: &Slice<'_>, cid: Option<Cid>) -> Result<Json> {
    let cid = cid.or_else(|| blocks.roots().first().copied()).context("the car has no root")?;
    let block = blocks.get(&cid).with_context(|| format!("commit {cid} is missing"))?;
    let commit = Commit::decode(block)?;
    Ok(json!({
        "cid": cid.to_string(), "did": commit.did, "rev": commit.rev.to_string(), "data": commit.data.to_string(),
    }))
}

fn block_json(block: &[u8]) -> Json {
    json::to_json(block).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Json::Null)
}

fn print_frame(event: &Event<'_>, description: &Json) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let commit = match event {
        Event::Commit(commit) => commit,
        Event::Sync(sync) => {
            writeln!(out, "#sync  seq {}", sync.seq)?;
            writeln!(out, "did       {}", sync.did)?;
            writeln!(out, "rev       {}", sync.rev)?;
            writeln!(out, "commit    {}", text(description, "/commit/cid"))?;
            writeln!(out, "data      {}", text(description, "/commit/data"))?;
            return Ok(());
        }
        Event::Identity { seq, did } => {
            writeln!(out, "#identity  seq {seq}")?;
            writeln!(out, "did       {did}")?;
            return Ok(());
        }
        Event::Account { seq, did, active, status } => {
            writeln!(out, "#account  seq {seq}")?;
            writeln!(out, "did       {did}")?;
            writeln!(out, "active    {active}")?;
            writeln!(out, "status    {}", status.unwrap_or("none"))?;
            return Ok(());
        }
        Event::Info { name, message } => {
            writeln!(out, "#info")?;
            writeln!(out, "name      {name}")?;
            writeln!(out, "message   {}", message.unwrap_or("none"))?;
            return Ok(());
        }
        Event::Error { name, message } => {
            writeln!(out, "error")?;
            writeln!(out, "error     {name}")?;
            writeln!(out, "message   {}", message.unwrap_or("none"))?;
            return Ok(());
        }
        _ => {
            drop(out);
            return print_json(description);
        }
    };
    writeln!(out, "#commit  seq {}", commit.seq)?;
    writeln!(out, "repo      {}", commit.repo)?;
    writeln!(out, "rev       {}", commit.rev)?;
    writeln!(out, "since     {}", commit.since.map_or("none".to_owned(), |since| since.to_string()))?;
    writeln!(out, "commit    {}", commit.commit)?;
    writeln!(out, "data      {}", text(description, "/commit/data"))?;
    writeln!(out, "prevData  {}", commit.prev_data.map_or("none".to_owned(), |cid| cid.to_string()))?;
    for op in description.get("ops").and_then(Json::as_array).into_iter().flatten() {
        writeln!(out, "\n{:<7} {}  {}", text(op, "/action"), text(op, "/path"), text(op, "/cid"))?;
        if let Some(record) = op.get("record").filter(|record| !record.is_null()) {
            writeln!(out, "{}", serde_json::to_string_pretty(record)?)?;
        }
    }
    Ok(())
}

fn text<'j>(json: &'j Json, pointer: &str) -> &'j str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or("-")
}

fn car(file: &Path, as_json: bool) -> Result<()> {
    let opened = std::fs::File::open(file).with_context(|| file.display().to_string())?;
    let archive = Archive::from_file(opened).with_context(|| format!("{} is no CAR", file.display()))?;
    let root = archive.roots().first().copied();
    let root = root.with_context(|| format!("{} has no root", file.display()))?;
    let mut block = Vec::new();
    if !archive.read(&root, &mut block)? {
        bail!("{} does not hold its root {root}", file.display());
    }
    let commit = Commit::decode(&block).with_context(|| format!("{} is no repository", file.display()))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut records = Vec::new();
    mst::walk::<MstError>(&archive, &commit.data, b"", |path, cid| {
        records.push((String::from_utf8_lossy(path).into_owned(), cid));
        Ok(())
    })?;
    if as_json {
        let records: Vec<Json> =
            records.iter().map(|(path, cid)| json!({"path": path, "cid": cid.to_string()})).collect();
        let description = json!({
            "did": commit.did, "rev": commit.rev.to_string(), "data": commit.data.to_string(),
            "commit": root.to_string(), "blocks": archive.len(), "records": records,
        });
        writeln!(out, "{description}")?;
    } else {
        writeln!(out, "did     {}", commit.did)?;
        writeln!(out, "rev     {}", commit.rev)?;
        writeln!(out, "data    {}", commit.data)?;
        writeln!(out, "commit  {root}")?;
        writeln!(out, "blocks  {}, records {}\n", archive.len(), records.len())?;
        for (path, cid) in records {
            writeln!(out, "{path}\t{cid}")?;
        }
    }
    Ok(out.flush()?)
}

fn record(file: &Path, rkey: &str, as_json: bool) -> Result<()> {
    let block = std::fs::read(file).with_context(|| file.display().to_string())?;
    let value = cbor::decode(&block).with_context(|| format!("{} is no DAG-CBOR block", file.display()))?;
    let collection = value.as_map().and_then(|map| map.text("$type")).unwrap_or_default();
    let judgement = Catalog::builtin()?.judge_block(collection, rkey, &block, Reading::Network);
    let findings: Vec<Json> = judgement
        .findings
        .iter()
        .map(|finding| json!({"path": finding.path, "rule": finding.rule.name(), "message": finding.message}))
        .collect();
    let verdict = judgement.verdict.name();
    if as_json {
        return print_json(&json!({
            "cid": Cid::of(&block).to_string(), "verdict": verdict, "findings": findings, "record": block_json(&block),
        }));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "cid      {}", Cid::of(&block))?;
    writeln!(out, "verdict  {verdict}")?;
    for finding in &judgement.findings {
        writeln!(out, "         {}: {} ({})", finding.path, finding.message, finding.rule.name())?;
    }
    writeln!(out, "{}", serde_json::to_string_pretty(&block_json(&block))?)?;
    Ok(())
}

fn print_json(value: &Json) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{value}")?;
    Ok(())
}
