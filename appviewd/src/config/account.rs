//! What is kept of people, where, and who may ask in their name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use appview_core::syntax::Did;
use clap::{Args, Subcommand};

use super::{DataDir, Format, PublicUrl, SignIn};

/// Where the account store is.
#[derive(Debug, Clone, Args)]
pub struct AccountDb {
    /// File of accounts: keys, sessions, and what was promised to people. account.db in --data-dir if left out.
    #[arg(long, value_name = "FILE", display_order = 91, env = "APPVIEWD_ACCOUNT_DB")]
    pub account_db: Option<PathBuf>,
}

impl AccountDb {
    /// The file.
    #[must_use]
    pub fn path(&self, data: &DataDir) -> PathBuf {
        self.account_db.clone().unwrap_or_else(|| data.data_dir.join("account.db"))
    }
}

/// What seals sessions.
#[derive(Debug, Clone, Args)]
pub struct SessionKey {
    /// File with the key that seals sessions at rest: 32 random bytes in hexadecimal or base64, as `openssl rand -hex 32`
    /// prints them, readable by you alone. Further lines may hold keys that are only used to open. A systemd credential
    /// named appviewd-session-key, or the variable `APPVIEWD_SESSION_KEY`, does as well. Without one sign-in is off.
    #[arg(long, value_name = "FILE", env = "APPVIEWD_SESSION_KEY_FILE")]
    pub session_key_file: Option<PathBuf>,
}

/// How `serve` keeps accounts. There are some if --service-did is given.
#[derive(Debug, Clone, Args)]
pub struct Accounts {
    /// Where they are.
    #[command(flatten)]
    pub db: AccountDb,
    /// What seals them.
    #[command(flatten)]
    pub key: SessionKey,
    /// How people sign in.
    #[command(flatten)]
    pub sign_in: SignIn,
    /// Longest time in seconds for which a service-auth token may be good.
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = lifetime,
        default_value = "300",
        env = "APPVIEWD_SERVICE_AUTH_LIFETIME"
    )]
    pub service_auth_lifetime: Duration,
    /// File with the secret that a console beside this service shares with it, at least 32 characters; or the variable
    /// `APPVIEWD_INTERNAL_SECRET`. Without one nothing listens for a console.
    #[arg(long, value_name = "FILE", env = "APPVIEWD_INTERNAL_SECRET_FILE")]
    pub internal_secret_file: Option<PathBuf>,
    /// Address to listen on for the console.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", env = "APPVIEWD_INTERNAL_LISTEN")]
    pub internal_listen: SocketAddr,
    /// Where people approve a device, at /devices/new; --public-url if left out.
    #[arg(long, value_name = "URL", env = "APPVIEWD_CONSOLE_URL")]
    pub console_url: Option<PublicUrl>,
    /// Where a paired device is to use its key; --public-url if left out.
    #[arg(long, value_name = "URL", env = "APPVIEWD_AGENT_API_BASE")]
    pub agent_api_base: Option<PublicUrl>,
    /// Name people in the log by their DIDs. Otherwise each has a name there that tells them from others, and is another
    /// one after each start.
    #[arg(long, env = "APPVIEWD_LOG_DIDS")]
    pub log_dids: bool,
}

/// What a log calls people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogNames {
    /// Something that is another after each start, and that nobody can look up.
    #[default]
    Hashes,
    /// Their DIDs.
    Dids,
}

impl Accounts {
    /// What the log calls people.
    #[must_use]
    pub const fn log_names(&self) -> LogNames {
        if self.log_dids { LogNames::Dids } else { LogNames::Hashes }
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=3_600) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a whole number of seconds from 1 to 3600".to_owned()),
    }
}

/// What can be done with an account store.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "flattened groups are described where they are defined")]
pub enum Account {
    /// Write a backup into a new file, whether or not a daemon runs.
    ///
    /// It holds keys (their hashes), audit lists, wipes and what must not come back. Sessions are left out: people sign in again
    /// after a restore, and a stolen backup signs nobody in. The files of bug reports are in the folder bug-reports.
    Backup {
        /// The new file.
        to: PathBuf,
        #[command(flatten)]
        db: AccountDb,
        #[command(flatten)]
        data: DataDir,
    },
    /// Put a backup in the place of the store, which is kept beside it. Stop the daemon first.
    ///
    /// What people have had wiped since the backup is left out: the store that is replaced tells who. If it cannot be read any
    /// more, nothing is done unless you say --forget-later-wipes.
    Restore {
        /// The backup.
        from: PathBuf,
        /// Restore it although nobody can tell whose data was wiped since, so that it may come back.
        #[arg(long)]
        forget_later_wipes: bool,
        #[command(flatten)]
        db: AccountDb,
        #[command(flatten)]
        data: DataDir,
    },
    /// Bring a store of an earlier version to this one, after a backup beside it. Stop the daemon first.
    Migrate {
        #[command(flatten)]
        db: AccountDb,
        #[command(flatten)]
        data: DataDir,
    },
    /// Write a new private key for --oauth-client-keys into a new file, by which authorization servers know this service.
    ///
    /// To change the key, put the new one in front of the old one: {"keys": [NEW, OLD]}. Sessions keep the key that they began
    /// with, for as long as it is there.
    ClientKey {
        /// The new file.
        to: PathBuf,
    },
    /// Seal everything with the first session key, so that the others may be thrown away. Stop the daemon first.
    ///
    /// To change the key, write a new one above the old one in the file of --session-key-file, run this, and take the old
    /// line away. If others may have seen the old key, have people sign in again as well.
    RotateKey {
        #[command(flatten)]
        key: SessionKey,
        #[command(flatten)]
        db: AccountDb,
        #[command(flatten)]
        data: DataDir,
    },
}

/// What an operator can do with API keys.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "flattened groups are described where they are defined")]
pub enum Key {
    /// List keys: who has them, what they begin with, when they were used. The keys themselves are nowhere.
    List {
        /// Only this account's.
        #[arg(long, value_name = "DID")]
        did: Option<Did>,
        #[command(flatten)]
        db: AccountDb,
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        format: Format,
    },
    /// Revoke a key, whether or not a daemon runs.
    Revoke {
        /// Its id, as `key list` tells it.
        id: String,
        #[command(flatten)]
        db: AccountDb,
        #[command(flatten)]
        data: DataDir,
    },
}
