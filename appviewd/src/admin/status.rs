//! How everything stands, and how one repository does: read off a running engine, or off the index of one that does not run.
//!
//! Readings enter; what is told leaves, as JSON by its serialization and as text by its `Display`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use appview_core::index::{Index, IndexError, IndexReader};
use appview_core::query;
use appview_core::source::backlog::Backlog;
use appview_core::sync::verifier::{Pace, Standing};
use appview_core::sync::{Followed, Hosting, Proof};
use appview_core::syntax::{Datetime, Did};
use serde::{Deserialize, Serialize};

use crate::engine::{self, Engine};
use crate::roster::Word;

/// How everything stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Whether a daemon runs. If none does, the rest is what the index tells.
    pub running: bool,
    /// Whether an operator has ordered a pause.
    pub paused: bool,
    /// Each stream.
    pub streams: Vec<StreamStatus>,
    /// How many repositories stand how.
    pub repos: Repos,
    /// The share of hosted repositories that is proven current.
    pub proven_share: f64,
    /// How long ago the repository with the oldest proof was shown to be current.
    pub oldest_proof_age_seconds: Option<u64>,
    /// How far fetching has come.
    pub fetching: Fetching,
    /// What was counted since following began: at the start of the daemon, or when it went on with an index built anew.
    pub counts: Counts,
    /// Messages that wait for the pump.
    pub queued: u64,
    /// Bytes that those take, with the one that is being handled.
    pub queued_bytes: u64,
    /// What was refused, by the reason, with what was no newer than what is held.
    pub rejections: BTreeMap<String, u64>,
    /// Size of the index, with its log.
    pub index_bytes: u64,
}

/// How one stream stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamStatus {
    /// Where it is.
    pub endpoint: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// The newest event that has been handled.
    pub newest: Option<i64>,
    /// The cursor that is stored with the rows.
    pub stored: Option<i64>,
    /// How far behind it we are; none where that is not known.
    pub lag_seconds: Option<f64>,
}

/// How many repositories stand how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repos {
    /// Followed.
    pub followed: u64,
    /// Followed, and their account is hosted.
    pub hosted: u64,
    /// Followed, and their account is not hosted.
    pub hidden: u64,
    /// Hosted, and proven current.
    pub proven: u64,
    /// To be proven from their export.
    pub waiting: u64,
    /// Hosted, and nothing has been proven yet.
    pub unproven: u64,
}

/// How far fetching has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetching {
    /// Settled since there has been something to fetch.
    pub settled: u64,
    /// To be fetched.
    pub waiting: u64,
    /// Those among them whose last try failed.
    pub put_off: u64,
    /// How long it takes at the pace so far, without those.
    pub seconds_left: Option<u64>,
}

/// What was counted since the daemon was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Frames handled.
    pub frames: u64,
    /// Hints heard.
    pub hints: u64,
    /// Commits proven.
    pub commits: u64,
    /// Whole repositories proven.
    pub repos: u64,
    /// Audits that found what is held.
    pub audits: u64,
    /// Audits that found something else.
    pub audit_differences: u64,
    /// Frames refused.
    pub rejected: u64,
}

impl Status {
    /// How a running engine stands, at a moment in microseconds since the Unix epoch.
    #[must_use]
    pub fn of(engine: &Engine, now: u64) -> Self {
        let beat = engine.pulse.read();
        let stored = |endpoint: &str| beat.cursors.iter().find(|(of, _)| of == endpoint).map(|(_, seq)| *seq);
        let streams = beat.streams.iter().map(|stream| StreamStatus {
            endpoint: stream.endpoint.clone(),
            connected: stream.is_connected,
            newest: stream.newest,
            stored: stored(&stream.endpoint),
            lag_seconds: stream.newest_at.map(|_| engine::lag(&beat, stream, now).as_secs_f64()),
        });
        let tally = beat.tally;
        Self {
            running: true,
            paused: engine.orders.is_paused(),
            streams: streams.collect(),
            counts: Counts {
                frames: tally.frames,
                hints: tally.hints,
                commits: tally.commits,
                repos: tally.repos,
                audits: tally.audits,
                audit_differences: tally.audit_differences,
                rejected: tally.rejected,
            },
            queued: beat.queued as u64,
            queued_bytes: beat.queued_bytes as u64,
            rejections: beat
                .rejections
                .iter()
                .map(|(reason, count)| ((*reason).to_owned(), *count))
                .collect(),
            fetching: Fetching::from(engine.progress.read(now)),
            ..Self::standing(beat.standing, engine.index_bytes(), now)
        }
    }

    /// What the index tells while no daemon runs, at a moment in microseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn stored(index: &Index, now: u64) -> Result<Self, IndexError> {
        let reader = index.reader()?;
        let mut standing = Standing::default();
        for followed in reader.repo_states() {
            count(&followed?, now, &mut standing);
        }
        let streams = reader.cursors()?.into_iter().map(|cursor| StreamStatus {
            endpoint: cursor.endpoint,
            connected: false,
            newest: Some(cursor.seq),
            stored: Some(cursor.seq),
            lag_seconds: None,
        });
        let fetching = Fetching { waiting: standing.waiting, ..Fetching::default() };
        let status = Self::standing(standing, engine::bytes_on_disk(index.path()), now);
        Ok(Self { streams: streams.collect(), fetching, ..status })
    }

    fn standing(standing: Standing, index_bytes: u64, now: u64) -> Self {
        let age = |at| Duration::from_micros(now.saturating_sub(at)).as_secs();
        Self {
            running: false,
            paused: false,
            streams: Vec::new(),
            repos: Repos {
                followed: standing.followed,
                hosted: standing.hosted,
                hidden: standing.followed.saturating_sub(standing.hosted),
                proven: standing.proven,
                waiting: standing.waiting,
                unproven: standing.unproven,
            },
            proven_share: standing.proven_share(),
            oldest_proof_age_seconds: standing.oldest_proof.map(age),
            fetching: Fetching::default(),
            counts: Counts::default(),
            queued: 0,
            queued_bytes: 0,
            rejections: BTreeMap::new(),
            index_bytes,
        }
    }
}

/// Counts a stored repository by the rule by which a running verifier counts its own.
fn count(Followed { state, watch, .. }: &Followed, now: u64, standing: &mut Standing) {
    let add = |count: &mut u64, counts: bool| *count = count.saturating_add(u64::from(counts));
    let is_hosted = state.hosting.is_hosted();
    let is_held = is_hosted && state.head.is_some();
    let is_waiting = is_hosted && state.proof == Proof::Desynchronized;
    let recent = Pace::default().audit.saturating_mul(2);
    let is_current = !is_waiting && watch.proven_at.is_some_and(|at| now.saturating_sub(at) <= recent);
    add(&mut standing.followed, true);
    add(&mut standing.hosted, is_hosted);
    add(&mut standing.proven, is_held && state.proof == Proof::Full && is_current);
    add(&mut standing.waiting, is_waiting);
    add(&mut standing.unproven, is_hosted && state.head.is_none());
    if is_held {
        let at = watch.proven_at.unwrap_or(0);
        standing.oldest_proof = Some(standing.oldest_proof.map_or(at, |oldest| oldest.min(at)));
    }
}

impl From<Backlog> for Fetching {
    fn from(backlog: Backlog) -> Self {
        Self {
            settled: backlog.settled,
            waiting: backlog.waiting,
            put_off: backlog.put_off,
            seconds_left: backlog.left.map(|left| left.as_secs()),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.running, self.paused) {
            (false, _) => "not running: this is what the index tells",
            (true, true) => "running, paused",
            (true, false) => "running",
        };
        writeln!(f, "appviewd   {state}")?;
        for stream in &self.streams {
            let StreamStatus { endpoint, connected, newest, stored, lag_seconds } = stream;
            let state = match (self.running, connected) {
                (false, _) => String::new(),
                (true, true) => ", connected".to_owned(),
                (true, false) => ", not connected".to_owned(),
            };
            let lag = lag_seconds.map(|lag| format!(", {lag:.1} s behind")).unwrap_or_default();
            writeln!(
                f,
                "stream     {endpoint}{state}{lag}; at {}, stored {}",
                or_none(*newest),
                or_none(*stored)
            )?;
        }
        let Repos { followed, hosted, hidden, proven, waiting, unproven } = self.repos;
        writeln!(
            f,
            "repos      {followed} followed: {hosted} hosted, {hidden} hidden; {proven} proven current, {waiting} waiting, \
             {unproven} never proven"
        )?;
        let age = self.oldest_proof_age_seconds.map(|age| format!("; oldest proof {} ago", span(age)));
        writeln!(f, "proven     {:.1} %{}", self.proven_share * 100.0, age.unwrap_or_default())?;
        let Fetching { settled, waiting, put_off, seconds_left } = self.fetching;
        if self.running {
            let left =
                seconds_left.filter(|_| waiting > put_off).map(|left| format!("; about {} left", span(left)));
            writeln!(
                f,
                "fetching   {settled} settled, {waiting} waiting, {put_off} of them put off{}",
                left.unwrap_or_default()
            )?;
            let Counts { frames, hints, commits, repos, audits, audit_differences, rejected } = self.counts;
            writeln!(f, "received   {frames} frames, {hints} hints, {} messages queued", self.queued)?;
            writeln!(f, "verified   {commits} commits, {repos} repositories; {rejected} refused")?;
            let reasons: Vec<_> =
                self.rejections.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            if !reasons.is_empty() {
                writeln!(f, "reasons    {}", reasons.join(", "))?;
            }
            writeln!(f, "audits     {audits} found nothing, {audit_differences} found a difference")?;
        }
        writeln!(f, "index      {:.1} MB", bytes_to_megabytes(self.index_bytes))
    }
}

/// How one repository stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepoStatus {
    /// Whose.
    pub did: String,
    /// Whether it is followed.
    pub followed: bool,
    /// What an operator said of it: `track` or `untrack`.
    pub operator: Option<String>,
    /// How its account is hosted.
    pub hosting: Option<String>,
    /// How well what is held is proven: `full`, `provisional` or `desynchronized`; `deleted` where nothing is held any more,
    /// because the account is gone.
    pub proof: Option<String>,
    /// The revision that is held.
    pub rev: Option<String>,
    /// When that was last shown to be the newest.
    pub proven_at: Option<String>,
    /// Since when it has been hidden.
    pub hidden_since: Option<String>,
    /// That its export could not be had.
    pub retry: Option<Retry>,
    /// What its records add up to, to be compared with another AppView's.
    pub fingerprint: Option<String>,
}

/// That an export could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How many tries have failed in a row.
    pub failed: u32,
    /// When the next one is due.
    pub at: String,
}

impl RepoStatus {
    /// What the index tells of a repository; `word` is the operator's.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn read(index: &Index, did: &Did, word: Option<Word>) -> Result<Self, IndexError> {
        let reader = index.reader()?;
        let nothing = Self {
            did: did.to_string(),
            followed: false,
            operator: word.map(|word| word.to_string()),
            hosting: None,
            proof: None,
            rev: None,
            proven_at: None,
            hidden_since: None,
            retry: None,
            fingerprint: None,
        };
        match reader.followed(did)? {
            None => Ok(nothing),
            Some(followed) => nothing.filled(&reader, &followed),
        }
    }

    fn filled(self, reader: &IndexReader, followed: &Followed) -> Result<Self, IndexError> {
        let Followed { did, state, watch } = followed;
        let fingerprint = reader.fingerprint(&query::Scope::Repo(did.clone()))?;
        let proof = match state.hosting {
            // Nothing is left to be proven.
            Hosting::Deleted if state.head.is_none() => state.hosting.as_str(),
            _ => state.proof.as_str(),
        };
        Ok(Self {
            followed: true,
            hosting: Some(state.hosting.as_str().to_owned()),
            proof: Some(proof.to_owned()),
            rev: state.head.map(|head| head.rev.to_string()),
            proven_at: watch.proven_at.and_then(moment),
            hidden_since: watch.hidden_at.and_then(moment),
            retry: watch.postponed.and_then(|postponed| {
                Some(Retry { failed: postponed.attempt, at: moment(postponed.until)? })
            }),
            fingerprint: Some(fingerprint.to_string()),
            ..self
        })
    }
}

impl fmt::Display for RepoStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { did, followed, operator, .. } = self;
        writeln!(f, "repo          {did}")?;
        let state = match (followed, operator.as_deref()) {
            (true, Some("track")) => "yes, as ordered",
            (true, _) => "yes",
            (false, Some("untrack")) => "no, as ordered",
            (false, _) => "no",
        };
        writeln!(f, "followed      {state}")?;
        let mut line = |name: &str, value: Option<&str>| match value {
            Some(value) => writeln!(f, "{name:<14}{value}"),
            None => Ok(()),
        };
        line("hosting", self.hosting.as_deref())?;
        line("proof", self.proof.as_deref())?;
        line("rev", self.rev.as_deref())?;
        line("proven at", self.proven_at.as_deref())?;
        line("hidden since", self.hidden_since.as_deref())?;
        let retry =
            self.retry.as_ref().map(|Retry { failed, at }| format!("{at}, after {failed} failed tries"));
        line("fetched anew", retry.as_deref())?;
        line("fingerprint", self.fingerprint.as_deref())
    }
}

fn moment(micros: u64) -> Option<String> {
    Datetime::from_unix_micros(i64::try_from(micros).ok()?).map(|moment| moment.to_string())
}

fn or_none(seq: Option<i64>) -> String {
    seq.map_or_else(|| "none".to_owned(), |seq| seq.to_string())
}

/// A time span by its largest unit that says something.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn bytes_to_megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
