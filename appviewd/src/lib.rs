//! The daemon and its commands: a thin layer over [`appview_core`].
//!
//! A parsed command line enters; an exit code leaves, results on standard output, everything else on standard error.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let line = ["appviewd", "inspect", "frame", "recording/frames-live.bin", "--nth", "3"];
//! let Ok(settled) = appviewd::config::settle(line) else { return Err("such settings make no sense".into()) };
//! appviewd::run(settled)?;
//! # Ok(())
//! # }
//! ```
//!
//! - [`config`]: the command line, parsed into types that cannot be wrong. [`command`]: one file for each command.
//! - [`http`]: what strangers are answered, and how they are bounded. [`admin`]: what an operator asks and orders.
//! - [`engine`], [`renewal`], [`roster`]: what runs, how its index is built anew meanwhile, whom it tracks and leaves out.
//! - [`account`], [`auth`], [`oauth`], [`publish`], [`wipe`], [`secret`]: what is kept of people, who is asking, and what is done in
//!   their names.
//! - [`meter`], [`telemetry`], [`progress`]: numbers, logs, and what is told to whoever waits.
//!
//! This crate is a program first: its items are public so that each can be tested and documented. Whoever builds something on the
//! index takes [`appview_core`].

pub mod account;
pub mod admin;
pub mod auth;
pub mod command;
pub mod config;
pub mod engine;
pub mod http;
pub mod meter;
pub mod oauth;
mod pages;
pub mod progress;
pub mod pseudonym;
pub mod publish;
pub mod renewal;
pub mod roster;
pub mod secret;
pub mod telemetry;
pub mod wipe;

use std::process::ExitCode;

use anyhow::{Result, bail};

use account::{Extent, SessionsAfter};
use command::operate::Whose;
use config::{Command, Origin, SavedUpstream, Settled};

/// Runs one command.
///
/// # Errors
///
/// What the command could not do, in words for whoever typed it.
pub fn run(settled: Settled) -> Result<ExitCode> {
    let Settled { cli, values, .. } = settled;
    match cli.command {
        Command::Demo { listen, once } => command::demo::run(listen, once),
        Command::Serve(options) => command::serve::run(&options),
        Command::Status { running, data, format } => {
            let whose = if running { Whose::Daemon } else { Whose::DaemonOrIndex };
            done(command::operate::status(whose, &data, format))
        }
        Command::Top(top) => done(command::top::run(&top)),
        Command::Repo { what } => done(command::operate::repo(&what)),
        Command::Pause { data } => done(command::operate::pause(&data)),
        Command::Resume { data } => done(command::operate::resume(&data)),
        Command::Replay { frames, upstream, db, data, format } => {
            command::replay::run(&frames, &upstream, &db, &data, format)
        }
        Command::Rebuild { from, partial, relay, network, identities, repos, db, data, format } => {
            match (from, identities) {
                (Origin::Network, _) => command::anew::run(partial, relay, &network, (&db, &data), format),
                (Origin::Files(from), Some(identities)) => {
                    let upstream = SavedUpstream { identities, repos };
                    command::rebuild::run(&from, partial, &upstream, (&db, &data), format)
                }
                (Origin::Files(_), None) => {
                    bail!(
                        "a rebuild from files needs --identities: who signs for whom (`appviewd help replay`)"
                    )
                }
            }
        }
        Command::Verify { what } => command::verify::run(&what),
        Command::Bundle(bundling) => done(command::bundle::run(&bundling)),
        Command::Inspect { what } => done(command::inspect::run(what)),
        Command::Record { relay, frames, cursor } => done(command::record::run(&relay, frames, cursor)),
        Command::Account { what } => done(command::account::run(&what)),
        Command::Key { what } => done(command::key::run(&what)),
        Command::Wipe { did, dry_run, end_sessions, only_here, data, format } => {
            let extent = if only_here { Extent::Here } else { Extent::Everything };
            let sessions = if end_sessions { SessionsAfter::End } else { SessionsAfter::Keep };
            command::wipe::run(&did, dry_run, (extent, sessions), &data, format)
        }
        Command::Check { data, format } => command::check::run(&data, format),
        Command::Fingerprint { by, data, format } => done(command::fingerprint::run(by, &data, format)),
        Command::Export { collection, repo, data, json: _ } => {
            done(command::export::run(&collection, &repo, &data))
        }
        Command::Config { what } => command::config::run(&what, cli.config.as_deref(), &values),
        Command::Completions { shell } => done(command::manual::completions(shell)),
        Command::Man { dir } => done(command::manual::pages(dir.as_deref())),
    }
}

fn done(result: Result<()>) -> Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}
