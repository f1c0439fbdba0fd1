//! Whom `serve` and its like ask: the network, or files in its place.

use std::path::PathBuf;
use std::str::FromStr;

use appview_core::source::relay::RelayUrl;
use clap::Args;

/// How the network is asked.
#[derive(Debug, Clone, Args)]
pub struct NetworkAccess {
    /// Directory of did:plc.
    #[arg(long, value_name = "URL", default_value = "https://plc.directory", env = "APPVIEWD_PLC")]
    pub plc: DirectoryUrl,
    /// Let DID documents lead to private and loopback addresses, over plain http too. For a network of your own; on the
    /// public one it would let strangers make this machine ask its neighbours.
    #[arg(long, env = "APPVIEWD_ALLOW_PRIVATE_HOSTS")]
    pub allow_private_hosts: bool,
}

/// Where `serve` asks about identities and repositories.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Asking the network")]
pub struct Upstream {
    /// The network itself, unless there are identities.
    #[command(flatten)]
    pub network: NetworkAccess,
    /// Ask nobody: answer about identities from this file (see `replay --help`).
    #[arg(long, value_name = "FILE", env = "APPVIEWD_IDENTITIES")]
    pub identities: Option<PathBuf>,
    /// With --identities: a folder of exports that stand in for every PDS.
    #[arg(long, value_name = "DIR", requires = "identities", env = "APPVIEWD_REPOS")]
    pub repos: Option<PathBuf>,
}

/// Saved identities and exports that stand in for the network.
#[derive(Debug, Clone, Args)]
pub struct SavedUpstream {
    /// JSON map from each DID to its document, or to `{didDocument, operations}`; the operations of its PLC audit log
    /// tell which key was valid when.
    #[arg(long, value_name = "FILE", env = "APPVIEWD_IDENTITIES")]
    pub identities: PathBuf,
    /// Folder of exports named after their DIDs (`did_plc_….car`), which stand in for every PDS.
    #[arg(long, value_name = "DIR", env = "APPVIEWD_REPOS")]
    pub repos: Option<PathBuf>,
}

/// Text that names no directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL like https://plc.directory, found {found:?}")]
pub struct DirectoryUrlError {
    found: String,
}

/// Where a directory of did:plc answers: an `http` or `https` URL, perhaps with a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryUrl(String);

impl DirectoryUrl {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DirectoryUrl {
    type Err = DirectoryUrlError;

    fn from_str(text: &str) -> Result<Self, DirectoryUrlError> {
        let error = || DirectoryUrlError { found: text.to_owned() };
        let (scheme, rest) = text.split_once("://").ok_or_else(error)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_path = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
        // A host and its port are written as a relay's are.
        let is_host = format!("{scheme}://{host}").parse::<RelayUrl>().is_ok();
        if matches!(scheme, "http" | "https") && is_host && path.bytes().all(is_path) {
            Ok(Self(text.to_owned()))
        } else {
            Err(error())
        }
    }
}
