//! What an operator asks and orders of single repositories.

use appview_core::syntax::Did;
use clap::Subcommand;

use super::{DataDir, Format};

/// What can be asked and ordered of one repository.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "flattened groups are described where they are defined")]
pub enum Repo {
    /// Tell what is held of it, and how well it is proven.
    #[command(after_help = "Example:  appviewd repo status did:plc:example --json")]
    Status {
        /// Whose.
        did: Did,
        #[command(flatten)]
        data: DataDir,
        #[command(flatten)]
        format: Format,
    },
    /// Follow it from here on, whether or not anyone names it.
    ///
    /// The order is kept in repos.txt in --data-dir, and holds after a restart or a rebuild.
    #[command(after_help = "Then:  appviewd repo status DID")]
    Track {
        /// Whose.
        did: Did,
        #[command(flatten)]
        data: DataDir,
    },
    /// Leave it out from here on, and erase what is held of it.
    ///
    /// The order is kept in repos.txt in --data-dir, and holds after a restart or a rebuild.
    #[command(after_help = "Then:  appviewd repo status DID")]
    Untrack {
        /// Whose.
        did: Did,
        #[command(flatten)]
        data: DataDir,
    },
    /// Prove it anew from its PDS, whatever is held.
    #[command(after_help = "Then:  appviewd repo status DID")]
    Resync {
        /// Whose.
        did: Did,
        #[command(flatten)]
        data: DataDir,
    },
}
