//! The command line as it is typed, with what the environment and a file of settings say in its place. Values are parsed into types
//! that cannot be wrong, so that commands check nothing.

mod access;
mod account;
mod feed;
mod file;
mod former;
mod inspect;
mod judge;
mod listen;
mod number;
mod operator;
mod repo;
mod serve;
mod setting;
mod settle;
mod show;
mod sign_in;
mod top;
mod upstream;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use appview_core::source::relay::RelayUrl;
use appview_core::syntax::{Did, Nsid};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use access::{Access, AddressRange, PublicUrl};
pub use account::{Account, AccountDb, Accounts, Key, LogNames, SessionKey};
pub use feed::Feed;
pub use inspect::Inspect;
pub use judge::{Brokers, Bundling, ByProof, Documents, Judging, Pinned, Verify};
pub use listen::MetricsListen;
pub use operator::{Contact, Operator};
pub use repo::Repo;
pub use serve::{Serve, Streams};
pub use setting::Setting;
pub use settle::{Mistake, Place, Settled, Unsettled, Value, settle};
pub use show::{CommandLine, Configuration};
pub use sign_in::{ClientId, SignIn};
pub use top::Top;
pub use upstream::{DirectoryUrl, DirectoryUrlError, NetworkAccess, SavedUpstream, Upstream};

use listen::{LISTEN, METRICS_LISTEN, address};
use number::{days, minutes, seconds, whole};

/// Where records are kept unless `--data-dir` says otherwise.
const DATA_DIR: &str = "./appview-data";
/// The folder beside the index that keeps what brokers and exchanges said of themselves.
pub(crate) const AUTHORITIES: &str = "authorities";

/// An AppView for dev.cocore.*: follows the network, proves every record, answers over XRPC.
///
/// Bytes from an AT Protocol relay become rows of a SQLite index only after their signature and their place in their
/// repository's tree are proven. The index may be thrown away at any time and built again; equal repositories give
/// an equal fingerprint.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "Start with:  appviewd demo          see it work, without a network\n\
                  Then:        appviewd serve         follow the network, and answer\n             \
                  appviewd top           watch it\n             \
                  appviewd help COMMAND  learn more of a command"
)]
pub struct Cli {
    /// How to log on standard error: text, json or off; RUST_LOG chooses what.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true,
        display_order = 100,
        default_value = "text",
        env = "APPVIEWD_LOG"
    )]
    pub log: LogFormat,
    /// File of settings in TOML. What it says holds where neither an option nor the environment says otherwise; `appviewd
    /// config show` tells what holds and why.
    #[arg(long, global = true, value_name = "FILE", display_order = 101, env = "APPVIEWD_CONFIG")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
    /// None.
    Off,
}

/// The folder with `index.db`.
#[derive(Debug, Clone, Args)]
pub struct DataDir {
    /// Folder that holds index.db; whatever writes makes it where it is missing.
    #[arg(long, value_name = "DIR", display_order = 90, default_value = DATA_DIR, env = "APPVIEWD_DATA_DIR")]
    pub data_dir: PathBuf,
}

impl DataDir {
    /// The index file.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.data_dir.join("index.db")
    }

    /// What an operator said of single repositories.
    #[must_use]
    pub fn roster(&self) -> PathBuf {
        self.data_dir.join("repos.txt")
    }

    /// What brokers and exchanges said of themselves.
    #[must_use]
    pub fn authorities(&self) -> PathBuf {
        self.data_dir.join(AUTHORITIES)
    }

    /// Where a running daemon takes orders.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.data_dir.join("admin.sock")
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, Args)]
pub struct Format {
    /// Write results as JSON for machines.
    #[arg(long, display_order = 95)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "flattened groups are described where they are defined")]
pub enum Command {
    /// See the whole thing work in a minute, without a network.
    ///
    /// Serves a recording of a real PDS from a relay inside this process, follows it with the real engine, fills an
    /// index in a temporary folder, and answers queries on --listen until interrupted.
    #[command(after_help = "Examples:  appviewd demo\n           \
                            appviewd demo --once\n\
                            Then:      curl -s http://127.0.0.1:8080/xrpc/dev.cocore.compute.listProviders\n           \
                            appviewd top\n           \
                            appviewd serve")]
    Demo {
        /// Address to answer on.
        #[arg(long, value_name = "ADDR", value_parser = address, default_value = LISTEN)]
        listen: SocketAddr,
        /// Stop as soon as the index equals what the recording must lead to, and say so.
        #[arg(long)]
        once: bool,
    },
    /// Follow a relay and answer queries.
    ///
    /// Asks the network who has records, proves each repository from its PDS, and goes on with what the relay brings.
    /// Goes on where it stopped: the cursor of each relay is kept with the rows it led to. Interrupt to stop; what was
    /// received is written first. Interrupt again to leave at once.
    #[command(after_help = "Examples:  appviewd serve\n           \
                            appviewd serve --relay wss://relay.example --data-dir /var/lib/appview\n           \
                            appviewd serve --source jetstream\n           \
                            appviewd serve --config appviewd.toml\n\
                            Settings:  appviewd config show --toml > appviewd.toml\n\
                            Then:      appviewd top\n           \
                            appviewd status\n           \
                            curl http://127.0.0.1:8080/readyz")]
    Serve(Box<Serve>),
    /// Tell how everything stands: streams, repositories, proofs, what is still to be fetched.
    ///
    /// Asks the daemon that serves from --data-dir, over a socket there. While none does, tells what the index knows.
    #[command(after_help = "Examples:  appviewd status\n           \
                            appviewd status --data-dir /var/lib/appview --json | jq .repos\n\
                            Then:      appviewd top, to watch it go\n           \
                            appviewd repo status DID, for one repository")]
    Status {
        /// Fail unless a daemon serves and answers: what a container's health check asks.
        #[arg(long)]
        running: bool,
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        format: Format,
    },
    /// Watch a running daemon: streams, rates, queues, errors, and how much is proven.
    ///
    /// Asks it once a second and draws what it tells, until q or Ctrl-C; what is counted is shown as it changes. A daemon that
    /// goes away is waited for. Where standard output is no terminal, or with --once, writes one look as text and ends.
    #[command(after_help = "Examples:  appviewd top\n           \
                            appviewd top --url https://appview.example\n           \
                            appviewd top --once | grep behind\n\
                            Then:      appviewd repo status DID")]
    Top(Top),
    /// Ask about one repository, or order that it be followed, left out or proven anew.
    ///
    /// A running daemon is asked over admin.sock in --data-dir, which only its owner can open.
    #[command(after_help = "Examples:  appviewd repo status did:plc:example\n           \
                            appviewd repo track did:plc:example")]
    Repo {
        #[command(subcommand)]
        what: Repo,
    },
    /// Have a running daemon close its streams and ask nobody, until `resume`.
    ///
    /// What was received is written, and queries are answered as before. Nothing is lost as long as the relays keep what
    /// comes meanwhile: a day or more. A restart ends the pause.
    #[command(after_help = "Example:  appviewd pause; make-a-copy-of-the-disk; appviewd resume")]
    Pause {
        #[command(flatten)]
        data: DataDir,
    },
    /// Have a paused daemon go on where it stopped.
    #[command(after_help = "Example:  appviewd resume; appviewd status")]
    Resume {
        #[command(flatten)]
        data: DataDir,
    },
    /// Play a recording into the index.
    ///
    /// A recording is a file of frames, each a big-endian 32-bit length and that many bytes: `appviewd record` writes
    /// one. Playing it twice changes nothing, as long as --repos holds what has to be proven again. Exits with 3 if it
    /// ends with the service closing the stream on its reader, as it does when a cursor lies in the future, and with 4
    /// if repositories are left that could not be proven: desynchronized, or returning and hidden until then.
    #[command(
        after_help = "Example:  appviewd replay frames.bin --identities plc.json --repos repos/ --data-dir /tmp/index"
    )]
    Replay {
        /// File of frames.
        frames: PathBuf,
        #[command(flatten)]
        upstream: SavedUpstream,
        #[command(flatten)]
        db: AccountDb,
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        format: Format,
    },
    /// Build the index anew, beside the old one, and swap it in when it is whole.
    ///
    /// Prints the fingerprint of the new index, and whether the old one had the same. Whatever goes wrong, the old one
    /// stays as it was: also if a repository cannot be proven, or a recording leads to nothing, ends with the service closing
    /// the stream, or leaves repositories that could not be proven. Exits with 1 then.
    ///
    /// From the network, every repository that relays and the old index know of is fetched and proven again, and those
    /// whose records differ are named. The new index is right by proof, and is swapped in; it exits with 1 all the same if
    /// the two differ. A daemon that runs on the folder is asked to do it, by its own settings: it goes on following and
    /// answering, and no request fails. Reads see the old index until they see the new one.
    #[command(after_help = "Examples:  appviewd rebuild --from network\n           \
                            appviewd rebuild --from repos/ --identities plc.json\n           \
                            appviewd rebuild --from frames.bin --identities plc.json --repos repos/")]
    Rebuild {
        /// `network`; or a folder of repository exports (CARs), or a file of frames.
        #[arg(long, value_name = "network|PATH")]
        from: Origin,
        /// Swap in what could be proven, and list what was left out. Exits with 1 if anything was.
        #[arg(long)]
        partial: bool,
        /// From the network: relay (or PDS) that is asked who has records; may be given more than once, or with commas.
        #[arg(
            long,
            value_name = "URL",
            value_delimiter = ',',
            default_value = "wss://bsky.network",
            env = "APPVIEWD_RELAY"
        )]
        relay: Vec<RelayUrl>,
        #[command(flatten)]
        network: NetworkAccess,
        /// From files: who signs for whom (see `replay --help`).
        #[arg(long, value_name = "FILE", env = "APPVIEWD_IDENTITIES")]
        identities: Option<PathBuf>,
        /// From a file of frames: folder of exports that stand in for every PDS.
        #[arg(long, value_name = "DIR", env = "APPVIEWD_REPOS")]
        repos: Option<PathBuf>,
        #[command(flatten)]
        db: AccountDb,
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        format: Format,
    },
    /// Judge a receipt or a settlement, and show by what; or check the proof of any record.
    ///
    /// Prints the chain of records as a tree: who signed what, which check passed, and by which rule (VERIFICATION.md). Exits
    /// with 0 if the verdict is ok, with 3 if it is not, with 4 if there is none because a record is missing, and with 5 if
    /// there is nothing against it, and not enough to say that it is ok: a broker whose key nobody knows, or with --strict
    /// records whose standing in their repositories is the word of a file.
    #[command(
        after_help = "Examples:  appviewd verify receipt at://did:plc:…/dev.cocore.compute.receipt/3m…\n           \
                            appviewd verify settlement at://did:web:…/dev.cocore.compute.settlement/3m… --strict\n           \
                            appviewd verify receipt at://… --bundle receipt.car --document broker.json --json\n           \
                            appviewd verify record at://… --proof proof.car --key did:key:z…"
    )]
    Verify {
        #[command(subcommand)]
        what: Verify,
    },
    /// Write everything that a verdict needs into one file, for `verify --bundle` anywhere else.
    ///
    /// The records as the index has them, with their CIDs, and the documents of the broker and the exchange. With
    /// them go proofs that the records stand in their repositories, as their hosts give them: unless --offline is given, they are
    /// asked.
    #[command(
        after_help = "Example:  appviewd bundle at://did:plc:…/dev.cocore.compute.receipt/3m… --output receipt.car"
    )]
    Bundle(Box<Bundling>),
    /// Show what is in a frame, a CAR or a record.
    ///
    /// Needs no index and no network, and proves nothing: it shows what the bytes say.
    #[command(after_help = "Examples:  appviewd inspect frame frames.bin --nth 3\n           \
                            appviewd inspect car repos/did_plc_example.car --json\n           \
                            appviewd inspect record profile.cbor")]
    Inspect {
        #[command(subcommand)]
        what: Inspect,
    },
    /// Write a relay's frames to standard output, as a recording.
    ///
    /// Nothing is filtered or checked.
    #[command(
        after_help = "Example:  appviewd record --relay wss://relay.example --frames 1000 > frames.bin"
    )]
    Record {
        /// Relay (or PDS) to listen to.
        #[arg(long, value_name = "URL")]
        relay: RelayUrl,
        /// How many frames.
        #[arg(long, value_name = "N")]
        frames: u64,
        /// Where to start; the next frame to come if left out, the oldest that the relay has kept if 0.
        #[arg(long, value_name = "SEQ")]
        cursor: Option<i64>,
    },
    /// Back up, restore and migrate the account store, or change the key that seals it.
    ///
    /// The account store holds API keys, sessions and what was promised to people. It is precious: unlike the index it cannot be
    /// built again.
    Account {
        #[command(subcommand)]
        what: Account,
    },
    /// List or revoke API keys.
    Key {
        #[command(subcommand)]
        what: Key,
    },
    /// Wipe all that is somebody's: the records in their repository, the rows of the index, and what is held of them here.
    ///
    /// A running daemon does it, and goes on with it by itself after whatever interrupts it: this command only asks how it goes. Records
    /// of others that name the person are theirs and stay. Exits with 1 if it has to wait for something.
    #[command(after_help = "Examples:  appviewd wipe did:plc:example --dry-run\n           \
                            appviewd wipe did:plc:example --end-sessions\n           \
                            appviewd wipe did:plc:example --only-here")]
    Wipe {
        /// Whose.
        did: Did,
        /// Tell what there is, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Sign them out of every browser as the last step, and give up the tokens that were used to publish for them.
        #[arg(long)]
        end_sessions: bool,
        /// Erase what is held here, sessions too, and leave their repository as it is: it is not shown until they sign in again.
        #[arg(long)]
        only_here: bool,
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        format: Format,
    },
    /// Check that the index is sound.
    ///
    /// Every stored block is hashed again, the fingerprint is added up anew, and SQLite checks its own structure. Exits
    /// with 1 and a list if anything is damaged; `rebuild` then makes a sound one.
    #[command(after_help = "Example:  appviewd check --data-dir /var/lib/appview\n\
                            If not:   appviewd rebuild --from network")]
    Check {
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        format: Format,
    },
    /// Print the fingerprint: two AppViews that saw the same network print the same.
    ///
    /// With --by, one line each: fingerprint, number of records, and what they are of.
    #[command(after_help = "To find where two differ:\n  \
                            appviewd fingerprint --by repo --data-dir a > a.txt\n  \
                            appviewd fingerprint --by repo --data-dir b | diff a.txt -")]
    Fingerprint {
        /// One line for each, to find where two differ.
        #[arg(long, value_enum, value_name = "collection|repo", hide_possible_values = true)]
        by: Option<FingerprintBy>,
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        format: Format,
    },
    /// Write the records as lines of JSON, sorted by uri.
    ///
    /// Every record of every active repository, quarantined ones too: uri, cid, collection, repo, rkey, verdict, body.
    #[command(
        after_help = "Example:  appviewd export --collection dev.cocore.compute.receipt | jq -r .body.model"
    )]
    Export {
        /// Only this collection; may be given more than once.
        #[arg(long, value_name = "NSID")]
        collection: Vec<Nsid>,
        /// Only this repository; may be given more than once.
        #[arg(long, value_name = "DID")]
        repo: Vec<Did>,
        #[command(flatten)]
        data: DataDir,
        /// What is written is JSON anyway: taken because every other command takes it.
        #[arg(long, hide = true)]
        json: bool,
    },
    /// Show which settings hold and why, check them, or write a file of them.
    ///
    /// Whatever `serve` takes can be set by an option, by a variable of the environment or in a file of settings; of these the
    /// first that says something holds, and else a default does. Other commands take their share of the same settings.
    #[command(after_help = "To begin with a file:\n  \
                            appviewd config show --toml > appviewd.toml\n  \
                            appviewd config check --config appviewd.toml\n  \
                            appviewd serve --config appviewd.toml")]
    Config {
        #[command(subcommand)]
        what: Configuration,
    },
    /// Write the completions of a shell to standard output.
    #[command(after_help = "Examples:  source <(appviewd completions bash)\n           \
                            appviewd completions zsh > ~/.zfunc/_appviewd\n           \
                            appviewd completions fish > ~/.config/fish/completions/appviewd.fish")]
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        #[arg(hide_possible_values = true)]
        shell: Shell,
    },
    /// Write the manual pages: one for each command into a folder, or that of appviewd to standard output.
    #[command(after_help = "Examples:  appviewd man | man -l -\n           \
                            appviewd man ~/.local/share/man/man1")]
    Man {
        /// Folder to write them into; made where it is missing.
        dir: Option<PathBuf>,
    },
}

/// How a fingerprint is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FingerprintBy {
    /// By collection.
    Collection,
    /// By repository.
    Repo,
}

/// Where a new index comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Relays, directories and PDSes.
    Network,
    /// A folder of exports, or a recording.
    Files(PathBuf),
}

impl FromStr for Origin {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "network" { Self::Network } else { Self::Files(text.into()) })
    }
}
