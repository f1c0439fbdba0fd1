//! How receipts and settlements are judged from the command line, and what evidence is put into a file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use appview_core::record::LexiconError;
use appview_core::repo::{Identity, PublicKey};
use appview_core::syntax::{AtUri, Datetime, Did};
use appview_core::trust::brokerage::DEFAULT_BROKER;
use appview_core::trust::{Document, Instant, Terms};
use clap::{Args, Subcommand};
use serde_json::Value as Json;

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
    /// Any record: whether its repository holds it, by a proof that getRecord gave.
    ///
    /// Checks the signed commit, the nodes of its tree on the way to the record, and the record. Exits with 0 if the record is
    /// proven, with 3 if nothing is, and with 4 if it is proven that the repository has no such record.
    #[command(
        after_help = "Example:  curl -s 'http://…/xrpc/dev.cocore.appview.getRecord?proof=true&uri=at://…' > proof.json\n          \
                            appviewd verify record at://… --proof proof.json --key did:key:z…"
    )]
    Record(Box<ByProof>),
}

/// A record, and the proof that its repository holds it.
#[derive(Debug, Clone, Args)]
pub struct ByProof {
    /// The record's address.
    #[arg(value_name = "AT-URI")]
    pub uri: AtUri,
    /// The proof: a CAR, or an answer of getRecord with one in it.
    #[arg(long, value_name = "FILE")]
    pub proof: PathBuf,
    /// Key that signs for the account, as a did:key; whatever else is given. With it, or with --identities, nobody is asked.
    #[arg(long, value_name = "DID:KEY", value_parser = PublicKey::from_did_key)]
    pub key: Option<PublicKey>,
    /// Saved DID documents (see `replay --help`), of which one says who signs.
    #[arg(long, value_name = "FILE", env = "APPVIEWD_IDENTITIES")]
    pub identities: Option<PathBuf>,
    /// Whom to ask who signs, unless it is said.
    #[command(flatten)]
    pub network: NetworkAccess,
    /// How the outcome is written.
    #[command(flatten)]
    pub format: Format,
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
    /// DID document that is believed as it stands in this file, in the place of what its host or a bundle says: of a broker or
    /// an exchange, whose signatures it decides, or of whose records a bundle proves. May be given more than once, also for
    /// one DID.
    #[arg(
        long,
        value_name = "FILE",
        value_parser = Pinned::read,
        value_delimiter = ',',
        env = "APPVIEWD_DOCUMENT"
    )]
    pub document: Vec<Pinned>,
}

impl Brokers {
    /// The network's own terms, but for these brokers and documents.
    ///
    /// # Errors
    ///
    /// As [`Terms::builtin`].
    pub fn terms(&self) -> Result<Terms, LexiconError> {
        let documents =
            self.document.iter().map(|Pinned { did, document, .. }| (did.clone(), document.clone()));
        Ok(Terms { brokerages: self.broker.clone(), documents: documents.collect(), ..Terms::builtin()? })
    }

    /// Who signs for whose repository, by the documents that are believed.
    #[must_use]
    pub fn identities(&self) -> BTreeMap<Did, Identity> {
        let known = self.document.iter();
        known.filter_map(|pinned| Some((pinned.did.clone(), pinned.identity.clone()?))).collect()
    }
}

impl Default for Brokers {
    fn default() -> Self {
        Self { broker: DEFAULT_BROKER.parse().into_iter().collect(), document: Vec::new() }
    }
}

/// A DID document that an operator believes.
#[derive(Debug, Clone)]
pub struct Pinned {
    did: Did,
    document: Document,
    identity: Option<Identity>,
}

impl Pinned {
    fn read(path: &str) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        let json: Json = serde_json::from_slice(&bytes).map_err(|error| format!("not json: {error}"))?;
        let did = json.get("id").and_then(Json::as_str).and_then(|did| did.parse().ok());
        let did: Did = did.ok_or("expected a did document, whose id is a did")?;
        let document = Document::new(json);
        let identity = Identity::from_document(&did, document.json()).ok();
        if document.keys().is_empty() && identity.is_none() {
            return Err(
                "expected a P-256 key or a repository's key among its verification methods".to_owned()
            );
        }
        Ok(Self { did, document, identity })
    }
}

/// By what `verify` judges.
#[derive(Debug, Clone, Args)]
pub struct Judging {
    /// Judge by this file alone, which `appviewd bundle` wrote: no index, no network. Whose records they are, brokers and
    /// exchanges are known by --document alone.
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
    /// Ask nobody who brokers and exchanges are: only those are known whose document was seen before, or is given by --document.
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
    /// Whose documents to include.
    #[command(flatten)]
    pub brokers: Brokers,
    /// Where the evidence is.
    #[command(flatten)]
    pub index: DataDir,
    /// Whom to ask for what no index has.
    #[command(flatten)]
    pub documents: Documents,
}
