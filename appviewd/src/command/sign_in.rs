//! As whom `serve` speaks to authorization servers: what an operator chose enters, and the clients leave that it means.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use crate::config::{self, PublicUrl};
use crate::oauth::{Client, Clients, OwnClient, Place, SigningKey, read_keys};

/// The clients that an operator chose; `answering` is where browsers reach a loopback one.
///
/// # Errors
///
/// The settings contradict each other, or a key is of no use.
pub fn clients(options: &config::Serve, answering: SocketAddr) -> Result<Clients> {
    let wanted = &options.accounts.sign_in;
    let keys = wanted.oauth_client_keys.as_deref().map(keys_in).transpose()?;
    let console = match (&wanted.console_client_id, &keys) {
        (None, _) => None,
        (Some(id), keys) => Some(Client::new(id.as_str().to_owned(), keys.clone().unwrap_or_default())),
    };
    let public = options.access.public_url.as_ref();
    let own = match (wanted.loopback_sign_in, public, keys) {
        (true, Some(_), _) => {
            bail!(
                "--loopback-sign-in is for this machine alone, and --public-url says that others come; give one of them"
            )
        }
        (true, None, _) if !answering.ip().is_loopback() => {
            bail!(
                "--loopback-sign-in is for this machine alone: answer on it alone as well, with --listen 127.0.0.1:8080"
            )
        }
        (true, None, _) => Some(OwnClient::new(Place::Loopback(answering.port()), Vec::new())),
        (false, Some(url), Some(keys)) if url.is_secure() => Some(public_client(url, keys)),
        (false, _, Some(_)) if console.is_none() => {
            bail!(
                "--oauth-client-keys is for people who sign in over https: say where, with --public-url https://…"
            )
        }
        (false, _, _) => None,
    };
    if own.is_none() {
        tracing::info!(
            "people cannot sign in here: that needs --oauth-client-keys and an https --public-url"
        );
    }
    Ok(Clients { own, console })
}

fn public_client(url: &PublicUrl, keys: Vec<Arc<SigningKey>>) -> OwnClient {
    OwnClient::new(Place::Public(url.as_str().to_owned()), keys)
}

fn keys_in(file: &Path) -> Result<Vec<Arc<SigningKey>>> {
    let named = || format!("--oauth-client-keys {}", file.display());
    let open = std::fs::File::open(file).with_context(named)?;
    let mode = open.metadata().with_context(named)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!("{}: others can read it (its mode is {mode:03o}); make it yours alone: chmod 600", named());
    }
    let text = std::io::read_to_string(open).with_context(named)?;
    read_keys(text.as_bytes()).with_context(named)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::{Cli, Command};

    fn chosen(arguments: &[&str]) -> Result<Clients> {
        let all = ["appviewd", "serve"].into_iter().chain(arguments.iter().copied());
        let Command::Serve(options) = Cli::parse_from(all).command else { panic!("serve") };
        clients(&options, options.listen)
    }

    #[test]
    fn a_client_for_development_is_for_this_machine_alone() {
        let own = chosen(&["--loopback-sign-in"]).unwrap().own.unwrap();
        assert_eq!(own.place(), &Place::Loopback(8080));
        for refused in [
            ["--loopback-sign-in", "--listen", "0.0.0.0:8080"].as_slice(),
            &["--loopback-sign-in", "--public-url", "https://appview.example"],
        ] {
            let error = chosen(refused).unwrap_err().to_string();
            assert!(error.contains("--loopback-sign-in"), "{error}");
        }
        assert!(chosen(&[]).unwrap().own.is_none());
        assert!(chosen(&["--public-url", "https://appview.example"]).unwrap().own.is_none());
    }

    #[test]
    fn keys_are_read_where_nobody_else_can() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let key = serde_json::to_string(&SigningKey::generate().unwrap().sealable().unwrap()).unwrap();
        std::fs::write(&file, key).unwrap();
        let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let path = file.to_str().unwrap();
        let with = |more: &[&str]| chosen(&[&["--oauth-client-keys", path], more].concat());
        mode(0o644);
        assert!(
            with(&["--public-url", "https://appview.example"]).unwrap_err().to_string().contains("chmod 600")
        );
        mode(0o600);
        let own = with(&["--public-url", "https://appview.example"]).unwrap().own.unwrap();
        assert_eq!(own.credentials().client_id, "https://appview.example/oauth/client-metadata.json");
        assert!(own.credentials().key.is_some());
        assert!(with(&["--public-url", "http://appview.example"]).is_err());
        assert!(with(&[]).is_err());
        let console = "https://console.example/api/auth/atproto/metadata.json";
        assert_eq!(with(&["--console-client-id", console]).unwrap().console.unwrap().id(), console);
    }
}
