//! A JSON object that says each thing once.
//!
//! Bytes enter; members leave by their names. Two members of one name are refused: whoever looked at the first would be deceived by
//! the second. Deliberately absent: what the members are.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value as Json;

/// Most members of an object.
const MOST: usize = 64;

/// The members of a JSON object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(BTreeMap<String, Json>);

impl Object {
    /// Reads an object, of which nothing may be left over. Nothing but space is an object without members.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes)
    }

    /// A member.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// A member that is text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.len() == MOST {
                return Err(A::Error::custom(format_args!("more than {MOST} members")));
            }
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the member {name:?} comes twice")));
            }
            members.insert(name, map.next_value()?);
        }
        Ok(Object(members))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_object_says_each_thing_once() {
        assert_eq!(Object::read(br#"{"a": "b", "c": {"d": 1}}"#).unwrap().text("a"), Some("b"));
        assert!(Object::read(b" \n").unwrap().is_empty());
        let many: Vec<String> = (0..=MOST).map(|at| format!("\"{at}\": 1")).collect();
        let many = format!("{{{}}}", many.join(","));
        for refused in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "\u0061": 1}"#,
            "null",
            "[]",
            "{} {}",
            "\u{feff}{}",
            "{",
            &many,
        ] {
            assert!(Object::read(refused.as_bytes()).is_err(), "{refused}");
        }
    }
}
