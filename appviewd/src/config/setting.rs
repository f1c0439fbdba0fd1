//! What can be set, read off the definition of the command line: nothing is listed twice.
//!
//! A command enters; each of its options that a variable of the environment sets as well leaves as a [`Setting`], which a file
//! may set by the option's long name. Deliberately absent: a list of settings, and anything that knows one of them.

use std::ffi::OsString;
use std::iter::once;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

use super::file::Written;

/// The option that names the file: a file cannot name another.
pub(super) const FILE: &str = "config";

/// The command that takes nearly all of them, and is asked first what one means.
const FIRST: &str = "serve";

/// Something that can be set by an option, by a variable and in a file.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Its name in a file: the option's, without dashes before it.
    pub key: String,
    /// The variable of the environment.
    pub variable: String,
    arg: Arg,
    /// A command that takes it.
    command: Vec<String>,
}

impl Setting {
    /// The settings that a command takes itself, in the order in which its help tells them.
    #[must_use]
    pub fn of(command: &Command) -> Vec<Self> {
        command.get_arguments().filter_map(|arg| Self::from(arg, &[])).collect()
    }

    /// All settings of a program, each once.
    #[must_use]
    pub fn all(root: &Command) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut commands: Vec<(Vec<String>, &Command)> = vec![(Vec::new(), root)];
        commands.extend(root.find_subcommand(FIRST).map(|command| (vec![FIRST.to_owned()], command)));
        commands.extend(below(root, &[]));
        for (path, command) in commands {
            for setting in command.get_arguments().filter_map(|arg| Self::from(arg, &path)) {
                if !found.iter().any(|known| known.key == setting.key) {
                    found.push(setting);
                }
            }
        }
        found
    }

    fn from(arg: &Arg, command: &[String]) -> Option<Self> {
        let key = arg.get_long()?.to_owned();
        let variable = arg.get_env()?.to_str()?.to_owned();
        let command = command.to_vec();
        (key != FILE).then(|| Self { key, variable, arg: arg.clone(), command })
    }

    /// Whether a command is told the same thing by this option.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.key == other.key && self.variable == other.variable
    }

    /// By what name clap knows it.
    #[must_use]
    pub fn id(&self) -> &str {
        self.arg.get_id().as_str()
    }

    /// What it is about, in a paragraph or more.
    #[must_use]
    pub fn help(&self) -> String {
        let help = self.arg.get_long_help().or_else(|| self.arg.get_help());
        help.map(ToString::to_string).unwrap_or_default()
    }

    /// Under what it stands in help.
    #[must_use]
    pub fn heading(&self) -> Option<&str> {
        self.arg.get_help_heading()
    }

    /// What stands for its value in help.
    #[must_use]
    pub fn value_name(&self) -> &str {
        self.arg.get_value_names().and_then(|names| names.first()).map_or("VALUE", |name| name.as_str())
    }

    /// What it is unless anything is said.
    #[must_use]
    pub fn default(&self) -> Vec<String> {
        self.arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect()
    }

    /// Whether its value is for nobody to see. Said of an option by `hide_env_values`.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.arg.is_hide_env_values_set()
    }

    /// The variable that may hold a secret itself, where this setting names a file for it.
    #[must_use]
    pub fn secret_variable(&self) -> Option<&str> {
        self.variable.strip_suffix("_FILE")
    }

    /// Whether it is on or off, and nothing else.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        matches!(self.arg.get_action(), ArgAction::SetTrue)
    }

    /// Whether it may be given more than once.
    #[must_use]
    pub fn is_list(&self) -> bool {
        matches!(self.arg.get_action(), ArgAction::Append)
    }

    /// The values that a file gives it, as an option would.
    ///
    /// # Errors
    ///
    /// Its value is of another kind.
    pub(super) fn values(&self, written: &Written) -> Result<Vec<String>, String> {
        match written {
            Written::Switch(on) if self.is_switch() => Ok(vec![on.to_string()]),
            other if self.is_switch() => Err(format!("expected true or false, found {other}")),
            Written::One(text) => Ok(vec![text.clone()]),
            Written::Many(values) if self.is_list() && values.is_empty() => {
                Err("expected at least one value; take the line away to have the default".to_owned())
            }
            Written::Many(values) if self.is_list() => Ok(values.clone()),
            other if self.is_list() => Err(format!("expected a text or a list of texts, found {other}")),
            other => Err(format!("expected one text or number, found {other}")),
        }
    }

    /// The same as options on a command line.
    #[must_use]
    pub fn typed(&self, values: &[String]) -> Vec<OsString> {
        let option = |value: &String| match value.as_str() {
            "true" if self.is_switch() => Some(format!("--{}", self.key)),
            _ if self.is_switch() => None,
            value => Some(format!("--{}={value}", self.key)),
        };
        values.iter().filter_map(option).map(OsString::from).collect()
    }

    /// Says which rule is broken by values, if any is. `root` must be [`deaf`].
    ///
    /// # Errors
    ///
    /// The rule, and what was found.
    pub(super) fn judge(&self, root: &Command, values: &[String]) -> Result<(), String> {
        if let (true, Some(found)) = (self.is_switch(), values.iter().find(|value| !is_switch(value))) {
            return Err(format!("expected true or false, found {found:?}"));
        }
        let line = once(OsString::from(root.get_name()))
            .chain(self.command.iter().map(OsString::from))
            .chain(self.typed(values));
        let Err(error) = root.clone().try_get_matches_from(line) else {
            return Ok(());
        };
        let is_its_own = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
        if is_its_own && self.is_secret() {
            return Err("expected another value".to_owned());
        }
        let found = match error.get(ContextKind::InvalidValue) {
            Some(ContextValue::String(found)) => found.as_str(),
            _ => "",
        };
        let rule = match error.kind() {
            ErrorKind::ValueValidation => match std::error::Error::source(&error) {
                Some(rule) => rule.to_string(),
                None => "expected another value".to_owned(),
            },
            ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) => format!("expected {}", any_of(valid)),
                _ => "expected a value".to_owned(),
            },
            // What else the command lacks is no fault of this value.
            _ => return Ok(()),
        };
        Err(if rule.contains("found") { rule } else { format!("{rule}, found {found:?}") })
    }
}

fn is_switch(text: &str) -> bool {
    matches!(text, "true" | "false")
}

fn any_of(values: &[String]) -> String {
    match values.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

/// The commands below one, with how they are called.
fn below<'c>(command: &'c Command, path: &[String]) -> Vec<(Vec<String>, &'c Command)> {
    let mut found = Vec::new();
    for child in command.get_subcommands() {
        let path: Vec<String> = path.iter().cloned().chain([child.get_name().to_owned()]).collect();
        found.push((path.clone(), child));
        found.extend(below(child, &path));
    }
    found
}

/// The same program, deaf to the environment.
#[must_use]
pub(super) fn deaf(command: Command) -> Command {
    let deaf_to = |arg: Arg| arg.env(Resettable::<clap::builder::OsStr>::Reset);
    command.mut_args(deaf_to).mut_subcommands(deaf)
}

/// The key that somebody may have meant. `root` must be [`deaf`].
pub(super) fn nearest(root: &Command, settings: &[Setting], key: &str) -> Option<String> {
    let line = [root.get_name(), FIRST, &format!("--{key}")].map(OsString::from);
    let error = root.clone().try_get_matches_from(line).err()?;
    let Some(ContextValue::String(option)) = error.get(ContextKind::SuggestedArg) else {
        return None;
    };
    let near = option.trim_start_matches('-');
    settings.iter().find(|setting| setting.key == near).map(|setting| setting.key.clone())
}
