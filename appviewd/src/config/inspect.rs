//! Which files can be shown.

use std::path::PathBuf;

use clap::{Subcommand, value_parser};

use super::Format;

/// What `inspect` can show.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "flattened groups are described where they are defined")]
pub enum Inspect {
    /// A message of subscribeRepos (or a recording: its first frame, or --nth).
    #[command(after_help = "Example:  appviewd inspect frame frames.bin --nth 3 --json")]
    Frame {
        /// File with one frame, or a recording.
        file: PathBuf,
        /// Which frame of a recording, counted from 1.
        #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
        nth: Option<u64>,
        #[command(flatten)]
        format: Format,
    },
    /// A repository export: its commit, and every record with its CID.
    #[command(after_help = "Example:  appviewd inspect car repos/did_plc_example.car")]
    Car {
        /// File.
        file: PathBuf,
        #[command(flatten)]
        format: Format,
    },
    /// A record's block (DAG-CBOR): its JSON, its CID, and what its lexicon says about it.
    #[command(after_help = "Example:  appviewd inspect record profile.cbor")]
    Record {
        /// File.
        file: PathBuf,
        /// The record key to judge it by.
        #[arg(long, value_name = "RKEY", default_value = "self")]
        rkey: String,
        #[command(flatten)]
        format: Format,
    },
}
