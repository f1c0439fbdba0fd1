//! `check`: the index compared with itself.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use appview_core::index::{Checked, Damage, IndexError};
use serde_json::json;

use super::existing;
use crate::config::{DataDir, Format};
use crate::progress::Progress;

/// Checks everything; 1 if anything is damaged.
///
/// # Errors
///
/// There is no index, or it cannot be read at all.
pub fn run(data: &DataDir, format: Format) -> Result<ExitCode> {
    let mut progress = Progress::start("checked", "records", None);
    let checked = match check(data, |records| progress.tell(records, String::new)) {
        // So badly damaged that it cannot even be opened, or not be read to the end.
        Err(error) => match error.downcast()? {
            IndexError::Corrupt { detail, .. } => {
                Checked { records: 0, found: 1, damage: vec![Damage::Structure { detail }] }
            }
            other => return Err(other.into()),
        },
        Ok(checked) => checked,
    };
    progress.finish(checked.records, "");
    let mut out = std::io::stdout().lock();
    if format.json {
        let damage: Vec<_> = checked.damage.iter().map(ToString::to_string).collect();
        writeln!(out, "{}", json!({"records": checked.records, "damaged": checked.found, "damage": damage}))?;
    } else if checked.found == 0 {
        writeln!(out, "{} records, all sound", checked.records)?;
    } else {
        for damage in &checked.damage {
            writeln!(out, "{damage}")?;
        }
        let unlisted = checked.found.saturating_sub(checked.damage.len() as u64);
        if unlisted > 0 {
            writeln!(out, "and {unlisted} more")?;
        }
        eprintln!("appviewd: the index is damaged; build a sound one with `appviewd rebuild`");
    }
    Ok(if checked.found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(data: &DataDir, progress: impl FnMut(u64)) -> Result<Checked> {
    Ok(existing(data)?.reader()?.check(progress)?)
}
