//! `key`: what an operator does with API keys. A running daemon is asked to do it; where there is none, it is done here.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Result, bail};
use appview_core::source::now;

use crate::account::{AccountStore, Actor, KeyOf, KeyView};
use crate::admin::{AdminError, Client};
use crate::config::{AccountDb, DataDir, Format, Key};

/// Lists or revokes.
///
/// # Errors
///
/// There is no account store, or no such key.
pub fn run(what: &Key) -> Result<()> {
    match what {
        Key::List { did, db, data, format } => {
            let of = did.as_ref().map_or(String::new(), |did| format!("?did={did}"));
            let keys: Vec<KeyView> = match client(data).get(&format!("/keys{of}")) {
                Err(AdminError::Nobody(_)) => {
                    let of = did.as_ref().map_or(KeyOf::Anyone, KeyOf::Person);
                    store(db, data)?.keys(of)?.into_iter().map(KeyView::from).collect()
                }
                keys => keys?,
            };
            tell(&keys, *format)
        }
        Key::Revoke { id, db, data } => {
            if !is_id(id) {
                bail!("expected the id of a key, as `appviewd key list` tells it, found {id:?}");
            }
            match client(data).post(&format!("/keys/{id}/revoke")) {
                Err(AdminError::Nobody(_)) => {
                    if !store(db, data)?.revoke_key(KeyOf::Anyone, id, Actor::Operator, now())? {
                        bail!("there is no key {id}, or it was revoked before");
                    }
                }
                revoked => revoked?,
            }
            writeln!(std::io::stdout(), "{id} is revoked")?;
            Ok(())
        }
    }
}

/// What may be part of a path as it is.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn store(db: &AccountDb, data: &DataDir) -> Result<AccountStore> {
    let path: &Path = &db.path(data);
    Ok(AccountStore::open_sealed(path)?)
}

fn client(data: &DataDir) -> Client {
    Client::new(&data.socket())
}

fn tell(keys: &[KeyView], format: Format) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if format.json {
        writeln!(out, "{}", serde_json::to_string(keys)?)?;
        return Ok(());
    }
    for key in keys {
        let state = match (&key.revoked_at, &key.expires_at) {
            (Some(at), _) => format!("revoked {at}"),
            (None, Some(at)) => format!("good until {at}"),
            (None, None) => "good".to_owned(),
        };
        let used =
            key.last_used_at.as_ref().map_or_else(|| "never used".to_owned(), |at| format!("used {at}"));
        writeln!(out, "{}  {}…  {}  {:?}  {state}, {used}", key.id, key.prefix, key.did, key.name)?;
    }
    if keys.is_empty() {
        writeln!(out, "no keys")?;
    }
    Ok(())
}
