//! `status`, `repo`, `pause` and `resume`: what an operator asks and orders of a running daemon. What the index tells by itself
//! is told while none runs.

use std::fmt::Display;
use std::io::Write as _;

use anyhow::Result;
use appview_core::source::now;
use appview_core::syntax::Did;
use serde::Serialize;

use super::existing;
use crate::admin::{AdminError, Client, RepoStatus, Status};
use crate::config::{DataDir, Format, Repo};
use crate::roster::Roster;

/// Whose word on how everything stands will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The daemon's; while none runs, the index's.
    DaemonOrIndex,
    /// The daemon's alone.
    Daemon,
}

/// Tells how everything stands.
///
/// # Errors
///
/// Nothing runs, and there is no index either, or it will not do.
pub fn status(whose: Whose, data: &DataDir, format: Format) -> Result<()> {
    match client(data).get::<Status>("/status") {
        Err(AdminError::Nobody(_)) if whose == Whose::DaemonOrIndex => {
            tell(&Status::stored(&existing(data)?, now())?, format)
        }
        status => tell(&status?, format),
    }
}

/// Asks about one repository, or orders something for it.
///
/// # Errors
///
/// Nothing runs, or what runs refuses.
pub fn repo(what: &Repo) -> Result<()> {
    let (order, did, data, next) = match what {
        Repo::Status { did, data, format } => return repo_status(did, data, *format),
        Repo::Track { did, data } => ("track", did, data, "is followed"),
        Repo::Untrack { did, data } => {
            ("untrack", did, data, "is left out, and what was held of it is erased")
        }
        Repo::Resync { did, data } => ("resync", did, data, "is being proven anew from its PDS"),
    };
    client(data).post(&format!("/repo/{did}/{order}"))?;
    writeln!(std::io::stdout(), "{did} {next}")?;
    Ok(())
}

/// Has a running daemon pause.
///
/// # Errors
///
/// Nothing runs.
pub fn pause(data: &DataDir) -> Result<()> {
    client(data).post("/pause")?;
    writeln!(
        std::io::stdout(),
        "paused: nothing is followed or asked until `appviewd resume`; queries are answered"
    )?;
    Ok(())
}

/// Has a running daemon go on.
///
/// # Errors
///
/// Nothing runs.
pub fn resume(data: &DataDir) -> Result<()> {
    client(data).post("/resume")?;
    writeln!(std::io::stdout(), "going on where it stopped")?;
    Ok(())
}

fn repo_status(did: &Did, data: &DataDir, format: Format) -> Result<()> {
    match client(data).get::<RepoStatus>(&format!("/repo/{did}")) {
        Err(AdminError::Nobody(folder)) => {
            let word = Roster::open(data.roster())?.word(did);
            let status = RepoStatus::read(&existing(data)?, did, word)?;
            eprintln!("appviewd: nothing serves from {}: this is what the index tells", folder.display());
            tell(&status, format)
        }
        status => tell(&status?, format),
    }
}

fn client(data: &DataDir) -> Client {
    Client::new(&data.socket())
}

fn tell<T: Display + Serialize>(what: &T, format: Format) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if format.json {
        writeln!(out, "{}", serde_json::to_string(what)?)?;
    } else {
        write!(out, "{what}")?;
    }
    Ok(())
}
