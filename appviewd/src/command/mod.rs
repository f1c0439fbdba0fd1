//! One file for each command, and what they share: opening an index with errors that tell what to do next.

pub mod check;
pub mod demo;
pub mod export;
pub mod fingerprint;
pub mod inspect;
pub mod rebuild;
pub mod record;
pub mod replay;
pub mod serve;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use appview_core::index::{Index, IndexReader};
use appview_core::record::Catalog;
use appview_core::source::replay::{Identities, Offline, RepoFolder};
use appview_core::sync::Scope;

use crate::config::{DataDir, SavedUpstream};

/// Opens the index for writing, made if there is none.
fn open(data: &DataDir) -> Result<Index> {
    std::fs::create_dir_all(&data.data_dir).with_context(|| data.data_dir.display().to_string())?;
    Ok(Index::open(data.index())?)
}

/// Opens the index for reading; there must be one.
fn reader(data: &DataDir) -> Result<IndexReader> {
    let path = data.index();
    if !path.exists() {
        bail!(
            "there is no index at {}; fill one with `appviewd replay` or `appviewd serve`, or name its folder with \
             --data-dir",
            path.display()
        );
    }
    Ok(Index::open(path)?.reader()?)
}

fn catalog() -> Result<Arc<Catalog>> {
    Ok(Arc::new(Catalog::builtin()?))
}

fn offline(saved: &SavedUpstream) -> Result<Offline> {
    files(&saved.identities, saved.repos.clone())
}

fn files(identities: &Path, repos: Option<PathBuf>) -> Result<Offline> {
    Ok(Offline::new(Identities::open(identities)?, repos.map(RepoFolder::new), Scope::default()))
}
