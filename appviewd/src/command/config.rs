//! `config show` and `config check`: which settings hold and why, and what is wrong with them.
//!
//! A command line enters, to be settled as if it were run; what it would be run with leaves, as a table, as JSON, or as a file
//! of settings. Deliberately absent: anything that runs it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value as Json, json};

use crate::config::{CommandLine, Configuration, Format, Mistake, Place, Settled, Unsettled, Value, settle};

/// What is told of a secret.
const SECRET: &str = "set";
/// What is told where nothing is set.
const NOTHING: &str = "-";
/// Widest value that others are aligned with.
const WIDEST: usize = 40;
/// How wide an explanation in a file is.
const WIDTH: usize = 100;

/// Shows or checks settings. `config` and `typed` are what was said before: a file, and settings.
///
/// # Errors
///
/// Standard output is closed.
pub fn run(what: &Configuration, config: Option<&Path>, typed: &[Value]) -> Result<ExitCode> {
    let settled = |line: &CommandLine| {
        let names_file = |word: &OsString| word.to_string_lossy().starts_with("--config");
        let config = config.filter(|_| !line.words.iter().any(names_file));
        let option = config.map(|path| {
            let mut option = OsString::from("--config=");
            option.push(path);
            option
        });
        settle(line.whole(typed, option))
    };
    match what {
        Configuration::Show { toml, format, line } => match settled(line) {
            Ok(settled) => {
                tell_notes(&settled);
                let told = match (toml, format) {
                    (true, _) => file(&settled.values),
                    (false, Format { json: true }) => format!("{:#}\n", values_as_json(&settled.values)),
                    (false, Format { json: false }) => table(&settled.values),
                };
                std::io::stdout().write_all(told.as_bytes())?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => refused(error),
        },
        Configuration::Check { line } => match settled(line) {
            Ok(settled) => {
                tell_notes(&settled);
                let said = settled.values.iter().filter(|value| value.place != Place::Default).count();
                let of = settled.values.len();
                writeln!(
                    std::io::stdout(),
                    "{said} of {of} settings are set, and make sense; the others are defaults"
                )?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => refused(error),
        },
    }
}

fn tell_notes(settled: &Settled) {
    for note in &settled.notes {
        eprintln!("note: {note}");
    }
}

/// Tells what is wrong.
fn refused(error: Unsettled) -> Result<ExitCode> {
    match error {
        Unsettled::Typed(error) => error.exit(),
        Unsettled::Mistakes(mistakes) => {
            for mistake in &mistakes {
                let Mistake { place, told } = mistake;
                eprintln!("{place}: {told}");
            }
            let s = if mistakes.len() == 1 { "" } else { "s" };
            eprintln!(
                "{} mistake{s}; `appviewd config show --toml` writes a file with every setting",
                mistakes.len()
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Each setting as a line of its name, its value and where that is from.
fn table(values: &[Value]) -> String {
    let mut rows = vec![["setting".to_owned(), "value".to_owned(), "from".to_owned()]];
    for value in values {
        let shown = match value {
            value if value.value.is_empty() => NOTHING.to_owned(),
            value if value.setting.is_secret() => SECRET.to_owned(),
            value => value.value.join(","),
        };
        rows.push([value.setting.key.clone(), shown, value.place.to_string()]);
        rows.extend(
            secret(value).map(|(key, variable)| [key, SECRET.to_owned(), format!("environment {variable}")]),
        );
    }
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        widths.filter(|width| *width <= WIDEST).max().unwrap_or_default()
    };
    let (keys, shown) = (width(0), width(1));
    rows.iter().fold(String::new(), |mut told, [key, value, place]| {
        // Writing to a string does not fail.
        let _ = writeln!(told, "{key:<keys$}  {value:<shown$}  {place}");
        told
    })
}

fn values_as_json(values: &[Value]) -> Json {
    let value = |value: &Value| {
        let shown = match value {
            value if value.value.is_empty() => Json::Null,
            value if value.setting.is_secret() => json!(SECRET),
            value if value.setting.is_list() => json!(value.value),
            value => json!(value.value.first()),
        };
        let from = match &value.place {
            Place::Option(name) => json!({"option": format!("--{name}")}),
            Place::Variable(name) => json!({"variable": name}),
            Place::File { path, line } => json!({"file": path, "line": line}),
            Place::Default => json!("default"),
        };
        json!({"setting": value.setting.key, "value": shown, "from": from})
    };
    let secrets = values.iter().filter_map(secret);
    let secrets = secrets
        .map(|(key, variable)| json!({"setting": key, "value": SECRET, "from": {"variable": variable}}));
    values.iter().map(value).chain(secrets).collect()
}

/// A secret that the environment holds itself, where a setting names a file for it.
fn secret(value: &Value) -> Option<(String, String)> {
    let variable = value.setting.secret_variable()?;
    std::env::var_os(variable)?;
    let key = value.setting.key.trim_end_matches("-file");
    Some((key.to_owned(), variable.to_owned()))
}

/// A file of settings that says what holds: defaults behind a `#`, so that those of another version may differ.
fn file(values: &[Value]) -> String {
    let mut told = String::from(
        "# Settings of appviewd: appviewd serve --config FILE.\n\
         # An option holds before a variable of the environment, that before this file, and that before the default.\n\
         # Lines like #name = value tell defaults; take the # away to change one.\n",
    );
    let mut heading = None;
    for Value { setting, value, place } in values {
        told.push('\n');
        if let Some(text) = setting.heading().filter(|text| Some(*text) != heading) {
            heading = Some(text);
            told += &format!("# {text}\n# {}\n\n", "-".repeat(text.chars().count()));
        }
        for line in setting.help().lines().flat_map(wrapped) {
            told += &format!("# {line}\n");
        }
        let written = match value.as_slice() {
            values if setting.is_list() => {
                let values: Vec<String> = values.iter().map(|value| toml_text(value)).collect();
                format!("[{}]", values.join(", "))
            }
            [value] if setting.is_switch() || value.parse::<i64>().is_ok() => value.clone(),
            values => toml_text(&values.join(",")),
        };
        told += &match place {
            // A form is no value: taking its mark away alone must not do.
            _ if value.is_empty() || setting.is_secret() => {
                format!("# {} = {:?}\n", setting.key, setting.value_name())
            }
            Place::Default => format!("#{} = {written}\n", setting.key),
            _ => format!("{} = {written}\n", setting.key),
        };
    }
    told
}

/// A text in quotes: what JSON escapes, TOML escapes alike.
fn toml_text(text: &str) -> String {
    Json::from(text).to_string()
}

/// A paragraph in lines of a width.
fn wrapped(paragraph: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in paragraph.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;
    use crate::config::Setting;

    #[test]
    fn of_a_secret_it_is_told_that_it_is_set_and_no_more() {
        let token = Arg::new("token").long("token").env("APPVIEWD_UNIT_TOKEN").hide_env_values(true);
        let settings = Setting::of(&Command::new("serve").arg(token));
        let values: Vec<Value> = settings
            .into_iter()
            .map(|setting| Value {
                setting,
                value: vec!["hunter2".to_owned()],
                place: Place::Option("token".to_owned()),
            })
            .collect();
        for told in [table(&values), values_as_json(&values).to_string(), file(&values)] {
            assert!(told.contains("token") && !told.contains("hunter2"), "{told}");
        }
        assert!(table(&values).contains("set"));
    }
}
