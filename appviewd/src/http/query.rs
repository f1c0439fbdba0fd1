//! Query strings, read as the network's clients write them.
//!
//! A request's query enters; parameters leave, parsed. The rules are those of URLs in browsers: a plus is a space, the
//! first of several values counts, what is no UTF-8 is replaced, and nothing is an error as such. Numbers are read as far
//! as they are numbers, and brought into their range; a flag is set by the word `true` alone; what is empty is not given.
//! Unknown parameters are passed over.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use appview_core::query::{Limit, PageCursor, Span};
use appview_core::syntax::{Did, datetime_unix_micros};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use form_urlencoded::parse;

use super::XrpcError;

/// Text in the place of a DID that can be no account's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nobody;

/// The parameters of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a query string.
    pub(super) fn read(query: &str) -> Self {
        Self(parse(query.as_bytes()).into_owned().collect())
    }

    /// A parameter's text, if it is given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let (_, text) = self.0.iter().find(|(found, _)| found == name)?;
        Some(text.as_str()).filter(|text| !text.is_empty())
    }

    /// A parameter that has a form of its own, if it is given.
    ///
    /// # Errors
    ///
    /// 400 if it does not have that form.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>, XrpcError> {
        let parsed = self.text(name).map(str::parse).transpose();
        parsed.map_err(|problem| XrpcError::parameter(name, problem))
    }

    /// A parameter without which there is no question.
    ///
    /// # Errors
    ///
    /// 400 if it is not given.
    pub(super) fn required(&self, name: &str) -> Result<&str, XrpcError> {
        self.text(name).ok_or_else(|| XrpcError::parameter(name, "is required"))
    }

    /// A parameter that has a form of its own, without which there is no question.
    ///
    /// # Errors
    ///
    /// 400 if it is not given, or does not have that form.
    pub(super) fn required_as<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<T, XrpcError> {
        self.required(name)?.parse().map_err(|problem| XrpcError::parameter(name, problem))
    }

    /// The same as text of its own.
    pub(super) fn string(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// Whom a parameter names, if it is given.
    ///
    /// # Errors
    ///
    /// What is given is no DID, so that it is nobody's.
    pub(super) fn did(&self, name: &str) -> Result<Option<Did>, Nobody> {
        self.text(name).map(str::parse).transpose().map_err(|_| Nobody)
    }

    /// A number, as far as there is one.
    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(leading_integer)
    }

    /// How many items are wanted, brought into its range.
    pub(super) fn limit<const MOST: u32>(&self, name: &str, default: Limit<MOST>) -> Limit<MOST> {
        self.integer(name).map_or(default, Limit::clamp)
    }

    /// Which part of a list is wanted.
    ///
    /// # Errors
    ///
    /// 400 for a cursor that is none.
    pub(super) fn part<const MOST: u32>(
        &self,
        default: Limit<MOST>,
    ) -> Result<(Limit<MOST>, Option<PageCursor>), XrpcError> {
        Ok((self.limit("limit", default), self.parsed("cursor")?))
    }

    /// The range of time from `since` to `until`.
    ///
    /// # Errors
    ///
    /// 400 for a moment that is none.
    pub(super) fn span(&self) -> Result<Span, XrpcError> {
        let moment = |name| {
            let micros = self.text(name).map(datetime_unix_micros).transpose();
            micros.map_err(|problem| XrpcError::parameter(name, problem))
        };
        Ok(Span { since: moment("since")?, until: moment("until")? })
    }

    /// Whether a flag is set.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }
}

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}

/// The integer that a text begins with, after white space and a sign; none if it begins with something else.
fn leading_integer(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|char: char| !char.is_ascii_digit()).unwrap_or(digits.len());
    let digits = digits.get(..end).filter(|digits| !digits.is_empty())?;
    // Whatever has more digits than fit is beyond every range.
    let number = digits.parse().unwrap_or(i64::MAX);
    Some(if is_negative { -number } else { number })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_far_as_it_is_one_and_brought_into_its_range() {
        let limit = |query: &str| Parameters::read(query).limit("limit", Limit::<100>::clamp(24)).get();
        for (text, read) in [
            ("7", 7),
            ("12abc", 12),
            ("1e3", 1),
            ("1.9", 1),
            ("%207", 7),
            ("+7", 7),
            ("%2B7", 7),
            ("%09%0A7", 7),
            ("0", 1),
            ("-5", 1),
            ("101", 100),
            ("99999999999999999999999", 100),
            ("-99999999999999999999999", 1),
            ("", 24),
            ("abc", 24),
            ("-", 24),
            ("0x10", 1),
        ] {
            assert_eq!(limit(&format!("limit={text}")), read, "{text:?}");
        }
        assert_eq!(limit(""), 24);
    }

    #[test]
    fn the_first_value_counts_and_what_is_empty_is_not_given() {
        let parameters = Parameters::read("a=1&a=2&b=&b=3&c&d=x+y%20z&%65=f&g=%ff&h=%zz&=i&j=k=l");
        let text = |name| parameters.text(name);
        assert_eq!((text("a"), text("b"), text("c")), (Some("1"), None, None));
        assert_eq!((text("d"), text("e")), (Some("x y z"), Some("f")));
        assert_eq!((text("g"), text("h")), (Some("\u{fffd}"), Some("%zz")));
        assert_eq!((text(""), text("j"), text("nothing")), (Some("i"), Some("k=l"), None));
        assert!(parameters.required("b").is_err());
        assert_eq!(parameters.required("a").unwrap(), "1");
    }

    #[test]
    fn a_flag_is_set_by_one_word() {
        for (query, is_set) in
            [("f=true", true), ("f=TRUE", false), ("f=1", false), ("f", false), ("", false)]
        {
            assert_eq!(Parameters::read(query).flag("f"), is_set, "{query}");
        }
    }

    #[test]
    fn a_form_of_its_own_is_demanded() {
        let did = |query| Parameters::read(query).parsed::<Did>("did");
        assert_eq!(did("did=did:web:a.example").unwrap().unwrap().as_str(), "did:web:a.example");
        assert_eq!(did("did=").unwrap(), None);
        assert!(did("did=alice").is_err());
        assert_eq!(Parameters::read("did=alice").did("did"), Err(Nobody));
        assert_eq!(Parameters::read("did=").did("did"), Ok(None));
        let span = |query| Parameters::read(query).span();
        let during = span("since=1970-01-01T00:00:01Z&until=1970-01-01T00:00:02.5Z").unwrap();
        assert_eq!(during, Span { since: Some(1_000_000), until: Some(2_500_000) });
        assert_eq!(span("since=").unwrap(), Span::ALWAYS);
        assert!(span("until=yesterday").is_err());
    }
}
