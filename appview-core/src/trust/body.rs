//! Records as checks read them: members by name, and nothing that stops a verdict.
//!
//! A block enters, a [`Body`] leaves, whatever is in it. A member that is missing or of another type is none, and a check
//! that needs it fails. What is not of the data model because of a fraction is read all the same, with the fraction as
//! null: everything else that the record says can then still be judged. Deliberately absent: any rule.

use super::Instant;
use super::canonical::Canonical;
use super::exhibit::Exhibit;
use crate::block::cid::sha256;
use crate::block::{Map, Value};
use crate::record::{self, Catalog, Collection, Reading, Rule};

/// Most bytes of an author's text that a message repeats: enough for the URI of a record.
const EXCERPT: usize = 256;

/// A record's members.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) map: Map<'a>,
    /// Whether it is all that the block holds. A body that is not has no canonical form, and keeps no lexicon.
    pub(super) is_whole: bool,
}

impl<'a> Body<'a> {
    pub(super) fn of(exhibit: &'a Exhibit) -> Self {
        if let Ok(Value::Map(map)) = record::decode(exhibit.block()) {
            return Self { map, is_whole: true };
        }
        match record::decode(exhibit.nearest()) {
            Ok(Value::Map(map)) => Self { map, is_whole: false },
            _ => Self { map: Map::default(), is_whole: false },
        }
    }

    pub(super) fn text(&self, member: &str) -> Option<&'a str> {
        self.map.text(member)
    }

    pub(super) fn has(&self, member: &str) -> bool {
        self.map.get(member).is_some()
    }

    pub(super) fn instant(&self, member: &str) -> Option<Instant> {
        Instant::at(&self.map, member)
    }

    /// The amount of money at a member; none if there is no object.
    pub(super) fn money(&self, member: &str) -> Option<Money<'a>> {
        self.map.map(member).map(Money::read)
    }

    /// Whether a member holds `true` itself.
    pub(super) fn is_true(&self, member: &str) -> bool {
        matches!(self.map.get(member), Some(Value::Bool(true)))
    }

    /// The texts in a list; none of another type.
    pub(super) fn texts(&self, member: &str) -> Vec<&'a str> {
        match self.map.get(member) {
            Some(Value::List(items)) => items.iter().filter_map(Value::as_text).collect(),
            _ => Vec::new(),
        }
    }
}

/// An amount, as far as it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Money<'a> {
    pub(super) amount: Option<i64>,
    pub(super) currency: Option<&'a str>,
}

impl<'a> Money<'a> {
    pub(super) fn read(map: &Map<'a>) -> Self {
        Self { amount: map.integer("amount"), currency: map.text("currency") }
    }

    /// Whether both are in one currency, which each of them names.
    pub(super) fn is_in_currency_of(&self, other: &Money<'_>) -> bool {
        self.currency.is_some() && self.currency == other.currency
    }

    pub(super) fn is_zero(&self) -> bool {
        self.amount == Some(0)
    }

    pub(super) fn shown(&self) -> String {
        let amount = self.amount.map_or_else(|| "no integer".to_owned(), |amount| amount.to_string());
        format!("{amount} {}", excerpt(self.currency.unwrap_or("of no currency")))
    }
}

/// The beginning of an author's text, on one line.
pub(super) fn excerpt(text: &str) -> String {
    let cut = text.get(..text.floor_char_boundary(EXCERPT)).unwrap_or(text);
    let mut shown: String =
        cut.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect();
    if cut.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// A member that should be text, for a message.
pub(super) fn shown(text: Option<&str>) -> String {
    text.map_or_else(|| "no text".to_owned(), |text| format!("{:?}", excerpt(text)))
}

/// Whether a text is 64 lower-case hex digits.
pub(super) fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The hash of a value's canonical form, in hex.
pub(super) fn canonical_hash(value: &Value<'_>) -> Option<String> {
    let mut canonical = Canonical::new();
    let hash = sha256(canonical.value(value).ok()?);
    Some(hash.map(|byte| format!("{byte:02x}")).concat())
}

/// How well a record keeps its lexicon, as far as a verdict minds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Form {
    /// The first breach that counts.
    pub(super) breach: Option<String>,
    /// The member whose currency has two letters, as the network's own unit does.
    pub(super) short_currency: Option<String>,
}

impl Form {
    /// A currency of two letters is told apart from other breaches. Three breaches count as none: a `$type` that is left out,
    /// which is framing and was not signed; a record key of another kind, which is not in the record; and text that is no
    /// base64, about which the signature or the evidence in it has its own code.
    pub(super) fn of(
        catalog: &Catalog,
        collection: Collection,
        exhibit: &Exhibit,
        body: &mut Body<'_>,
    ) -> Self {
        if !body.is_whole {
            return Self {
                breach: Some("the block is not of the data model".to_owned()),
                short_currency: None,
            };
        }
        let rkey = exhibit.uri().rkey().unwrap_or_default();
        // Lent for the moment, since the catalogue judges values.
        let record = Value::Map(std::mem::take(&mut body.map));
        let judgement = catalog.judge(collection.nsid(), rkey, &record, Reading::Network);
        if let Value::Map(map) = record {
            body.map = map;
        }
        let mut form = Self::default();
        for finding in judgement.findings {
            match finding.rule {
                Rule::RecordType if !body.has("$type") => {}
                Rule::RecordKey | Rule::Base64 => {}
                Rule::MinLength if is_short_currency(&body.map, &finding.path) => {
                    form.short_currency.get_or_insert(finding.path);
                }
                _ => {
                    form.breach.get_or_insert_with(|| {
                        let place = if finding.path.is_empty() { "the record" } else { &finding.path };
                        format!("{place}: {}", finding.message)
                    });
                }
            }
        }
        form
    }
}

fn is_short_currency(map: &Map<'_>, path: &str) -> bool {
    let Some((place, "currency")) = path.rsplit_once('.') else { return false };
    let currency = map.map(place).and_then(|money| money.text("currency"));
    currency.is_some_and(|currency| {
        currency.len() == 2 && currency.bytes().all(|byte| byte.is_ascii_alphabetic())
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::block::Cid;

    fn exhibit(block: Vec<u8>) -> Exhibit {
        let uri = "at://did:web:ada.example/dev.cocore.compute.job/3jzfcijpj2z2a".parse().unwrap();
        Exhibit::new(uri, Cid::of(&block), block).unwrap()
    }

    #[test]
    fn a_fraction_reads_as_null_and_the_rest_as_it_stands() {
        // {"a": 1.5, "b": "text"}
        let block = b"\xa2\x61a\xfb\x3f\xf8\0\0\0\0\0\0\x61b\x64text".to_vec();
        let exhibit = exhibit(block);
        let body = Body::of(&exhibit);
        assert!(!body.is_whole);
        assert_eq!((body.map.get("a"), body.text("b")), (Some(&Value::Null), Some("text")));
    }

    #[test]
    fn what_is_no_record_at_all_has_no_members() {
        for block in [vec![], vec![0xff], vec![0x01], b"\x81\x01".to_vec(), vec![0xa1, 0x61]] {
            let exhibit = exhibit(block);
            assert!(Body::of(&exhibit).map.is_empty());
        }
    }

    #[test]
    fn a_message_repeats_one_short_line_of_what_a_stranger_wrote() {
        assert_eq!(excerpt("a\nb\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
        assert_eq!(excerpt(&"ä".repeat(200)).chars().count(), 129);
    }
}
