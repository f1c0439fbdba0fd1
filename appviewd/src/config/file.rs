//! A file of settings, as it is written: names and values in [TOML](https://toml.io), with their lines.
//!
//! Text enters; entries leave, or the line that is no TOML. Deliberately absent: which names there are, and what they mean.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Mistake;

/// A file of settings.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// What it says, in its order.
    pub(super) entries: Vec<Entry>,
}

/// One name and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name.
    pub(super) key: String,
    /// Where the name stands, counted from 1.
    pub(super) line: usize,
    /// The value.
    pub(super) written: Written,
}

/// A value, as far as settings have such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Written {
    /// A text or a number.
    One(String),
    /// True or false.
    Switch(bool),
    /// A list of texts and numbers.
    Many(Vec<String>),
    /// Anything else, by its name.
    Other(&'static str),
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(text) => write!(f, "{text:?}"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Many(_) => f.write_str("a list"),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}

impl File {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no TOML.
    pub(super) fn read(path: &Path) -> Result<Self, Mistake> {
        let text = std::fs::read_to_string(path).map_err(|error| Mistake {
            place: path.display().to_string(),
            told: format!("cannot be read: {error}; `--config` must name a file of settings"),
        })?;
        let entries = entries(&text).map_err(|(line, told)| Mistake {
            place: format!("{}:{line}", path.display()),
            told: format!("expected TOML such as `listen = \"127.0.0.1:8080\"`: {told}"),
        })?;
        Ok(Self { entries })
    }
}

/// What a text says; or where it is no TOML, and why.
fn entries(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let line = |span: Range<usize>| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| {
        (line(error.span().unwrap_or_default()), error.message().trim_end().replace('\n', ", "))
    })?;
    let mut entries: Vec<Entry> = table
        .get_ref()
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            line: line(key.span()),
            written: written(value.get_ref()),
        })
        .collect();
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn written(value: &DeValue<'_>) -> Written {
    match value {
        DeValue::Boolean(on) => Written::Switch(*on),
        DeValue::Array(values) => {
            let values: Option<Vec<String>> = values.iter().map(|value| one(value.get_ref())).collect();
            values.map_or(Written::Other("a list of other things"), Written::Many)
        }
        DeValue::Table(_) => Written::Other("a table"),
        DeValue::Datetime(_) => Written::Other("a date"),
        value => one(value).map_or(Written::Other("something else"), Written::One),
    }
}

fn one(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_their_values_and_lines() {
        let text = "# A comment.\nready-lag = 30\nrelay = [\n  'wss://a.example',\n  \"wss://b.example\",\n]\n\
                    allow-private-hosts = true\ndata-dir = \"/var/lib/app view\"\nwhen = 2026-01-01\n[serve]\nx = 1\n";
        let said: Vec<(String, usize, String)> = entries(text)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.key, entry.line, format!("{:?}", entry.written)))
            .collect();
        let expected = [
            ("ready-lag", 2, r#"One("30")"#),
            ("relay", 3, r#"Many(["wss://a.example", "wss://b.example"])"#),
            ("allow-private-hosts", 7, "Switch(true)"),
            ("data-dir", 8, r#"One("/var/lib/app view")"#),
            ("when", 9, r#"Other("a date")"#),
            ("serve", 10, r#"Other("a table")"#),
        ];
        assert_eq!(said, expected.map(|(key, line, written)| (key.to_owned(), line, written.to_owned())));
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        for (text, expected) in [("a = 1\nb =\n", 2), ("a = 1\n\na = 2\n", 3), ("listen 127.0.0.1\n", 1)] {
            let (line, told) = entries(text).unwrap_err();
            assert_eq!(line, expected, "{told}");
            assert!(!told.is_empty() && !told.contains('\n'), "{told}");
        }
    }
}
