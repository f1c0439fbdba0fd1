//! What can be asked about settings.

use std::ffi::OsString;

use clap::{Args, Subcommand};

use super::{Format, Value};

/// What can be asked about settings.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "flattened groups are described where they are defined")]
pub enum Configuration {
    /// Show each setting, its value, and where that is from.
    ///
    /// An option holds before a variable of the environment, that before the file of --config, and that before the default.
    /// Of a secret it is told only that it is set.
    #[command(after_help = "Examples:  appviewd config show\n           \
                            appviewd config show --config /etc/appviewd.toml --json\n           \
                            appviewd config show serve --listen 0.0.0.0:8080\n           \
                            appviewd config show --toml > appviewd.toml")]
    Show {
        /// Write a file of settings instead, for --config: each explained, and what is only the default commented out.
        #[arg(long, conflicts_with = "json")]
        toml: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        line: CommandLine,
    },
    /// Check what is set, and tell each mistake with its place.
    ///
    /// Exits with 0 if there is none, else with 1. Nothing is opened, asked or changed.
    #[command(after_help = "Example:  appviewd config check --config /etc/appviewd.toml")]
    Check {
        #[command(flatten)]
        line: CommandLine,
    },
}

/// A command line whose settings are asked about.
#[derive(Debug, Clone, Args)]
pub struct CommandLine {
    /// Command as it would be typed after `appviewd`; `serve` if left out.
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

impl CommandLine {
    /// The whole of it, with what was typed before it.
    #[must_use]
    pub fn whole(&self, typed: &[Value], config: Option<OsString>) -> Vec<OsString> {
        let is_option = |word: &OsString| word.to_string_lossy().starts_with('-');
        let command = match self.words.first() {
            Some(word) if !is_option(word) => None,
            _ => Some(OsString::from("serve")),
        };
        let typed = typed.iter().filter(|value| matches!(value.place, super::Place::Option(_)));
        let typed = typed.flat_map(|value| value.setting.typed(&value.value));
        let program = OsString::from(env!("CARGO_PKG_NAME"));
        [program].into_iter().chain(config).chain(typed).chain(command).chain(self.words.clone()).collect()
    }
}
