//! One value for each setting, and why it has it: an option, else the environment, else a file, else the default.
//!
//! A command line enters, with the environment and the file that either names; the parsed command leaves, and where each
//! value is from. What the environment of the first AppView and the file say is judged value by value, so that a mistake is
//! told with its place, and is then written behind what was typed: clap sees one command line, and its rules hold for all of
//! it. Deliberately absent: what any setting means.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use super::Cli;
use super::file::{Entry, File, Written};
use super::former;
use super::setting::{FILE, Setting, deaf, nearest};

/// What our own variables begin with.
const OURS: &str = "APPVIEWD_";

/// The one that names the file.
const FILE_VARIABLE: &str = "APPVIEWD_CONFIG";

/// The command that is told what is not heeded; to others it is nothing.
const TOLD: &str = "serve";

/// Commands that look at settings themselves, so that they can tell of mistakes.
const LOOKS: &str = "config";

/// What a command line comes to.
#[derive(Debug)]
pub struct Settled {
    /// The command, and what it takes.
    pub cli: Cli,
    /// Each setting that it takes.
    pub values: Vec<Value>,
    /// What somebody who set things should know.
    pub notes: Vec<String>,
}

/// A setting's value.
#[derive(Debug, Clone)]
pub struct Value {
    /// Which setting.
    pub setting: Setting,
    /// The value; more than one of a list, none where nothing is set.
    pub value: Vec<String>,
    /// Why it has it.
    pub place: Place,
}

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An option that was typed.
    Option(String),
    /// A variable of the environment.
    Variable(String),
    /// A file of settings.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) => write!(f, "option --{name}"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Something that was set wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: a file and its line, or a variable.
    pub place: String,
    /// What, and by which rule.
    pub told: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.told)
    }
}

/// Why a command line comes to nothing.
#[derive(Debug)]
pub enum Unsettled {
    /// What was typed makes no sense, or asks for help.
    Typed(clap::Error),
    /// What was set makes no sense.
    Mistakes(Vec<Mistake>),
}

impl From<clap::Error> for Unsettled {
    fn from(error: clap::Error) -> Self {
        Self::Typed(error)
    }
}

/// Settles what a command line asks for, the program's name first.
///
/// # Errors
///
/// It makes no sense, or the settings do not.
pub fn settle(line: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Settled, Unsettled> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    let line: Vec<OsString> = line.into_iter().map(Into::into).collect();
    let Merged { matches, values, notes } = merged(Cli::command, &line, &environment.collect())?;
    Ok(Settled { cli: Cli::from_arg_matches(&matches)?, values, notes })
}

/// What a command line comes to, of any program.
struct Merged {
    matches: ArgMatches,
    values: Vec<Value>,
    notes: Vec<String>,
}

/// The command line with what the environment and a file add to it.
fn merged(
    program: impl Fn() -> Command,
    line: &[OsString],
    environment: &BTreeMap<String, String>,
) -> Result<Merged, Unsettled> {
    let mut root = program();
    root.build();
    // What is wrong in it is told in the end, when nothing is missing any more.
    let typed = program().ignore_errors(true).try_get_matches_from(line)?;
    let (path, command, typed) = innermost(&root, &typed);
    let known = Known { all: Setting::all(&root), deaf: deaf(program()) };
    let here = Setting::of(command);
    let mut said = Said::default();
    if path.first() != Some(&LOOKS) {
        let is_open = |setting: &&Setting| typed.value_source(setting.id()) != Some(ValueSource::CommandLine);
        let file = typed.try_get_one::<PathBuf>(FILE).ok().flatten();
        said = known.said(here.iter().filter(is_open), environment, file)?;
    }

    let end = line.iter().position(|word| word == "--").unwrap_or(line.len());
    let (before, after) = line.split_at_checked(end).unwrap_or((line, &[]));
    let matches = program().try_get_matches_from(before.iter().chain(&said.options).chain(after))?;
    let (_, _, found) = innermost(&root, &matches);
    let values = here.into_iter().map(|setting| value(setting, found, &mut said.places)).collect();
    let mut notes = said.notes;
    if path.as_slice() == [TOLD] {
        notes.extend(said.unheeded);
        notes.extend(known.unknown(environment));
    }
    Ok(Merged { matches, values, notes })
}

/// The command that was asked for, how it is called, and what was typed for it.
fn innermost<'c, 'm>(
    root: &'c Command,
    matches: &'m ArgMatches,
) -> (Vec<&'m str>, &'c Command, &'m ArgMatches) {
    let (mut path, mut command, mut matches) = (Vec::new(), root, matches);
    while let Some((name, inner)) = matches.subcommand() {
        let Some(found) = command.find_subcommand(name) else {
            break;
        };
        path.push(name);
        (command, matches) = (found, inner);
    }
    (path, command, matches)
}

fn value(setting: Setting, matches: &ArgMatches, places: &mut BTreeMap<String, Place>) -> Value {
    let raw = matches.try_get_raw(setting.id()).ok().flatten().into_iter().flatten();
    let value: Vec<String> = raw.map(|value| value.to_string_lossy().into_owned()).collect();
    let place = places.remove(&setting.key).unwrap_or_else(|| match matches.value_source(setting.id()) {
        Some(ValueSource::CommandLine) => Place::Option(setting.key.clone()),
        Some(ValueSource::EnvVariable) => Place::Variable(setting.variable.clone()),
        _ => Place::Default,
    });
    Value { setting, value, place }
}

/// What is said behind what was typed.
#[derive(Default)]
struct Said {
    /// As options.
    options: Vec<OsString>,
    /// Why, by the key.
    places: BTreeMap<String, Place>,
    /// What is heeded and should be said otherwise.
    notes: Vec<String>,
    /// What is not heeded.
    unheeded: Vec<String>,
}

impl Said {
    fn add(&mut self, setting: &Setting, values: &[String], place: Place) {
        self.options.extend(setting.typed(values));
        self.places.insert(setting.key.clone(), place);
    }
}

/// All settings of a program, and the program without its environment, which knows their rules.
struct Known {
    all: Vec<Setting>,
    deaf: Command,
}

impl Known {
    /// What the environment of the first AppView and a file say of settings that were not typed. What our own variables say,
    /// clap reads itself; it is judged here because its mistakes have no place there.
    fn said<'s>(
        &self,
        open: impl Iterator<Item = &'s Setting>,
        environment: &BTreeMap<String, String>,
        file: Option<&PathBuf>,
    ) -> Result<Said, Unsettled> {
        let (former, unheeded) = former::heeded(environment, &self.all);
        let (mut said, mut mistakes) = (Said { unheeded, ..Said::default() }, Vec::new());
        let filed = file.map(|path| self.filed(path, &mut mistakes)).unwrap_or_default();
        for setting in open {
            if let Some(value) = environment.get(&setting.variable) {
                mistakes.extend(self.judged(setting, &setting.variable, value));
            } else if let Some(former) = former.iter().find(|former| former.key == setting.key) {
                let (theirs, ours, value) = (former.variable, &setting.variable, &former.value);
                mistakes.extend(self.judged(setting, theirs, value));
                said.notes.push(format!("{theirs} is heeded as {ours}={value}; set that instead"));
                said.add(setting, std::slice::from_ref(value), Place::Variable(theirs.to_owned()));
            } else if let Some((place, values)) = filed.get(&setting.key) {
                said.add(setting, values, place.clone());
            }
        }
        if mistakes.is_empty() { Ok(said) } else { Err(Unsettled::Mistakes(mistakes)) }
    }

    /// What is wrong with a variable's value.
    fn judged(&self, setting: &Setting, variable: &str, value: &str) -> Option<Mistake> {
        let known = self.all.iter().find(|known| known.is(setting))?;
        let told = known.judge(&self.deaf, &[value.to_owned()]).err()?;
        Some(Mistake { place: variable.to_owned(), told: format!("{}: {told}", setting.key) })
    }

    /// What a file says of each setting, and in which line; what makes no sense is added to the mistakes.
    fn filed(&self, path: &Path, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, (Place, Vec<String>)> {
        let mut found = BTreeMap::new();
        let entries = match File::read(path) {
            Ok(file) => file.entries,
            Err(mistake) => {
                mistakes.push(mistake);
                Vec::new()
            }
        };
        for entry in entries {
            match self.meant(&entry) {
                Ok(values) => {
                    let place = Place::File { path: path.to_owned(), line: entry.line };
                    found.insert(entry.key, (place, values));
                }
                Err(told) => {
                    mistakes.push(Mistake { place: format!("{}:{}", path.display(), entry.line), told });
                }
            }
        }
        found
    }

    /// The values that an entry gives to the setting that it names.
    fn meant(&self, entry: &Entry) -> Result<Vec<String>, String> {
        let Entry { key, written, .. } = entry;
        if let Some(setting) = self.all.iter().find(|setting| setting.key == *key) {
            let values = setting.values(written);
            let judged = values.and_then(|values| setting.judge(&self.deaf, &values).map(|()| values));
            return judged.map_err(|told| format!("{key}: {told}"));
        }
        Err(match written {
            Written::Other(kind) => format!(
                "{key:?} is {kind}, and no setting; settings are lines like name = value, before any [table]"
            ),
            _ => match nearest(&self.deaf, &self.all, key) {
                Some(near) => format!("{key:?} is no setting; is {near:?} meant?"),
                None => format!("{key:?} is no setting"),
            },
        })
    }

    /// A note on each variable that looks like one of ours and is none.
    fn unknown(&self, environment: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
        let is_known = |name: &str| {
            let is_it =
                |setting: &Setting| setting.variable == name || setting.secret_variable() == Some(name);
            name == FILE_VARIABLE || self.all.iter().any(is_it)
        };
        let unknown = environment.keys().filter(move |name| name.starts_with(OURS) && !is_known(name));
        unknown.map(|name| {
            let key = name.trim_start_matches(OURS).to_lowercase().replace('_', "-");
            let near = nearest(&self.deaf, &self.all, &key);
            let near = self.all.iter().find(|setting| Some(&setting.key) == near.as_ref());
            let near = near.map(|near| format!("; is {} meant?", near.variable)).unwrap_or_default();
            format!("{name} is no setting{near}")
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    /// A program whose options this code has never heard of.
    fn program() -> Command {
        let option = |name: &'static str, variable: &'static str| Arg::new(name).long(name).env(variable);
        let file = option("config", "APPVIEWD_UNIT_CONFIG").global(true);
        let file = file.value_parser(clap::value_parser!(PathBuf));
        let warmth = option("warmth", "APPVIEWD_UNIT_WARMTH").default_value("20");
        let warmth = warmth.value_parser(clap::value_parser!(u8).range(..30));
        let token = option("token", "APPVIEWD_UNIT_TOKEN").hide_env_values(true);
        let tea = option("tea", "APPVIEWD_UNIT_TEA").action(ArgAction::SetTrue);
        let untold = Arg::new("untold").long("untold");
        let serve = Command::new("serve").args([warmth, token, tea, untold]);
        let rest = Command::new("rest").arg(option("tea", "APPVIEWD_UNIT_TEA").action(ArgAction::SetTrue));
        Command::new("house").arg(file).subcommand(serve).subcommand(rest)
    }

    fn settled(file: &str, line: &[&str]) -> Result<Vec<Value>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("house.toml");
        std::fs::write(&path, file).unwrap();
        let config = format!("--config={}", path.display());
        let line = ["house", &config].iter().chain(line).map(OsString::from).collect::<Vec<_>>();
        match merged(program, &line, &BTreeMap::new()) {
            Ok(merged) => Ok(merged.values),
            Err(Unsettled::Mistakes(mistakes)) => {
                Err(mistakes.into_iter().map(|mistake| mistake.told).collect())
            }
            Err(Unsettled::Typed(error)) => panic!("{error}"),
        }
    }

    fn of<'v>(values: &'v [Value], key: &str) -> (&'v [String], bool) {
        let value = values.iter().find(|value| value.setting.key == key).unwrap();
        (&value.value, matches!(value.place, Place::File { .. }))
    }

    #[test]
    fn an_option_with_a_variable_can_be_set_in_a_file_without_another_line() {
        let values = settled("warmth = 21\ntea = true\n", &["serve"]).unwrap();
        assert_eq!(of(&values, "warmth"), (&["21".to_owned()][..], true));
        assert_eq!(of(&values, "tea"), (&["true".to_owned()][..], true));
        assert_eq!(of(&values, "token"), (&[][..], false));
        assert_eq!(values.len(), 3, "what has no variable is no setting");
        let values = settled("warmth = 21\ntea = true\n", &["rest"]).unwrap();
        assert_eq!(of(&values, "tea"), (&["true".to_owned()][..], true), "another command takes its share");
        assert_eq!(values.len(), 1);
    }

    #[test]
    fn its_own_rules_hold_for_a_file_too() {
        assert_eq!(
            settled("warmth = 30\n", &["serve"]).unwrap_err(),
            ["warmth: 30 is not in 0..30, found \"30\""]
        );
        assert_eq!(
            settled("tea = 'yes'\n", &["rest"]).unwrap_err(),
            ["tea: expected true or false, found \"yes\""]
        );
        assert_eq!(settled("untold = 1\n", &["serve"]).unwrap_err(), ["\"untold\" is no setting"]);
        assert_eq!(
            settled("warmht = 1\n", &["rest"]).unwrap_err(),
            ["\"warmht\" is no setting; is \"warmth\" meant?"]
        );
        assert_eq!(settled("config = 'a'\n", &["rest"]).unwrap_err(), ["\"config\" is no setting"]);
    }

    #[test]
    fn a_secret_is_known_by_its_option() {
        let values = settled("token = 'hunter2'\n", &["serve"]).unwrap();
        let value = values.iter().find(|value| value.setting.key == "token").unwrap();
        assert!(value.setting.is_secret());
        assert!(!values.iter().any(|value| value.setting.is_secret() && value.setting.key != "token"));
    }
}
