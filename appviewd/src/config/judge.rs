//! How receipts and settlements are judged from the command line, and what evidence is put into a file.

use std::path::PathBuf;

use appview_core::syntax::{AtUri, Datetime, Did};
use appview_core::trust::Instant;
use appview_core::trust::brokerage::DEFAULT_BROKER;
use clap::{Args, Subcommand};

use super::{DataDir, Format, NetworkAccess};

/// What can be verified.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "flattened groups are described where they are defined")]
pub enum Verify {
    /// A machine's account of finished work: who signed it, for which job, and who vouches for the machine.
    #[command(after_help = "Example:  appviewd verify receipt at://did:plc:…/dev.cocore.compute.receipt/3m…")]
    Receipt {
        /// The receipt's address.
        #[arg(value_name = "AT-URI")]
        uri: AtUri,
        #[command(flatten)]
        judging: Judging,
    },
    /// An exchange's account of the money: whether it fits receipt, permission and policy, and whether it was signed.
    #[command(
        after_help = "Example:  appviewd verify settlement at://did:web:…/dev.cocore.compute.settlement/3m… --strict"
    )]
    Settlement {
        /// The settlement's address.
        #[arg(value_name = "AT-URI")]
        uri: AtUri,
        #[command(flatten)]
        judging: Judging,
    },
}

/// Who is trusted as a broker, wherever receipts are judged.
#[derive(Debug, Clone, Args)]
pub struct Brokers {
    /// Broker whose countersignature makes a receipt confidential; may be given more than once.
    #[arg(
        long,
        value_name = "DID",
        default_value = DEFAULT_BROKER,
        value_delimiter = ',',
        env = "APPVIEWD_BROKER"
    )]
    pub broker: Vec<Did>,
}

impl Default for Brokers {
    fn default() -> Self {
        Self { broker: DEFAULT_BROKER.parse().into_iter().collect() }
    }
}

/// By what `verify` judges.
#[derive(Debug, Clone, Args)]
pub struct Judging {
    /// Judge by this file alone, which `appviewd bundle` wrote: no index, no network.
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Let the checks count that other verifiers lack; of themselves they only warn.
    #[arg(long)]
    pub strict: bool,
    /// When it is, like 2026-08-20T12:00:00Z; the present if left out. Only tells whether a manufacturer's certificate has
    /// expired since it was used.
    #[arg(long, value_name = "TIME")]
    pub at: Option<Datetime>,
    /// Who is trusted as a broker.
    #[command(flatten)]
    pub brokers: Brokers,
    /// Where the evidence is, unless there is a bundle.
    #[command(flatten)]
    pub index: DataDir,
    /// Whom to ask for what no index has.
    #[command(flatten)]
    pub documents: Documents,
    /// How the verdict is written.
    #[command(flatten)]
    pub format: Format,
}

impl Judging {
    /// The verifier's clock; `now` is in microseconds since 1970.
    #[must_use]
    pub fn instant(&self, now: u64) -> Instant {
        let micros = self.at.as_ref().map_or(now.cast_signed(), Datetime::unix_micros);
        Instant::from_unix_millis(micros.div_euclid(1_000))
    }
}

/// Where documents of brokers and exchanges come from.
#[derive(Debug, Clone, Args)]
pub struct Documents {
    /// Ask nobody who brokers and exchanges are: their signatures then count as unproven.
    #[arg(long)]
    pub offline: bool,
    /// The network.
    #[command(flatten)]
    pub network: NetworkAccess,
}

/// What `bundle` takes.
#[derive(Debug, Clone, Args)]
pub struct Bundling {
    /// Address of the receipt or settlement.
    #[arg(value_name = "AT-URI")]
    pub uri: AtUri,
    /// File to write: a CAR if its name ends in .car, else JSON. Standard output, as JSON, if left out.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Broker whose document to include; may be given more than once.
    #[arg(
        long,
        value_name = "DID",
        default_value = DEFAULT_BROKER,
        value_delimiter = ',',
        env = "APPVIEWD_BROKER"
    )]
    pub broker: Vec<Did>,
    /// Where the evidence is.
    #[command(flatten)]
    pub index: DataDir,
    /// Whom to ask for what no index has.
    #[command(flatten)]
    pub documents: Documents,
}
