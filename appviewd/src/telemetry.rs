//! Logs: where they go and how they look. Results never go here; progress is [`crate::progress`]'s.
//!
//! What serves others names nobody in its log, unless its operator asks for it. A command tells whoever typed it.

use anstream::{AutoStream, ColorChoice};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{Cli, Command, LogFormat};
use crate::pseudonym::{Hiding, Pseudonyms};
use crate::secret::NoRandomness;

/// Starts logging to standard error. Called once; a second call changes nothing.
///
/// # Errors
///
/// [`NoRandomness`], without which nobody could be hidden.
pub fn start(cli: &Cli) -> Result<(), NoRandomness> {
    // A command that ends says what there is to say by its results.
    let level = if matches!(cli.command, Command::Serve(_)) { "info" } else { "warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let writer = match &cli.command {
        Command::Serve(options) if !options.accounts.log_dids => {
            let names = Pseudonyms::random()?;
            BoxMakeWriter::new(move || Hiding(names.clone()))
        }
        _ => BoxMakeWriter::new(std::io::stderr),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_target(false)
        .with_ansi(is_coloured(&std::io::stderr()));
    // Failing means that a subscriber is set already, as in tests that start twice.
    let _ = match cli.log {
        LogFormat::Text => builder.compact().try_init(),
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Off => Ok(()),
    };
    Ok(())
}

/// Whether to write in colours there: on a terminal, unless `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` or `TERM` say otherwise.
/// The same rule as that of help and errors.
pub fn is_coloured(to: &impl anstream::stream::RawStream) -> bool {
    AutoStream::choice(to) != ColorChoice::Never
}
