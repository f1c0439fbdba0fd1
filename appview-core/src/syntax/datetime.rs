//! Datetimes: what RFC 3339, ISO 8601 and WHATWG HTML all accept, with a required zone.

use std::fmt;
use std::str::FromStr;

use super::{SyntaxError, SyntaxKind, TextVisitor};

/// Longest datetime in bytes.
const MAX_DATETIME: usize = 64;
/// Most digits of a second's fraction.
const MAX_FRACTION: usize = 20;
/// Days from the first day of the year 0 to the first of 1970, in the proleptic Gregorian calendar.
const DAYS_BEFORE_1970: i64 = 719_528;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The first moment of the year 0, and the last of the year 9999.
const FIRST_MICROS: i64 = -DAYS_BEFORE_1970 * MICROS_PER_DAY;
const LAST_MICROS: i64 = 253_402_300_799_999_999;

/// The moment 0.
const EPOCH: &str = "1970-01-01T00:00:00.000Z";

/// A moment as an author wrote it, e.g. `1985-04-12T23:20:50.123Z`.
///
/// The text is kept (precision and zone are part of a signed record); order is by moment, then by text. A leap second
/// (`:60`) is refused, because HTML, one of the three formats a datetime must meet, has none.
/// <https://atproto.com/specs/lexicon#datetime>
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Datetime {
    unix_micros: i64,
    text: Box<str>,
}

impl Datetime {
    /// A moment in UTC with milliseconds, such as `2026-11-22T14:57:26.019Z`; none outside the years 0 to 9999.
    #[must_use]
    pub fn from_unix_micros(unix_micros: i64) -> Option<Self> {
        let (days, in_day) = (unix_micros.div_euclid(MICROS_PER_DAY), unix_micros.rem_euclid(MICROS_PER_DAY));
        let days = days + DAYS_BEFORE_1970;
        if !(0..days_since_year_zero(10_000, 1, 1)).contains(&days) {
            return None;
        }
        let (year, month, day) = date(days);
        let millis = in_day / 1_000;
        let (hour, minute, second) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1_000 % 60);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (place, digits, number) in [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, hour),
            (14, 2, minute),
            (17, 2, second),
            (20, 3, millis % 1_000),
        ] {
            let mut rest = number;
            for digit in text.iter_mut().skip(place).take(digits).rev() {
                *digit += (rest % 10) as u8;
                rest /= 10;
            }
        }
        let text = std::str::from_utf8(&text).unwrap_or(EPOCH);
        Some(Self { unix_micros: unix_micros.div_euclid(1_000) * 1_000, text: text.into() })
    }

    /// The same, with the nearest moment that there is where there is none.
    #[must_use]
    pub fn saturating(unix_micros: i64) -> Self {
        let in_range = unix_micros.clamp(FIRST_MICROS, LAST_MICROS);
        Self::from_unix_micros(in_range).unwrap_or_else(|| Self { unix_micros: 0, text: EPOCH.into() })
    }

    /// The text, exactly as it was parsed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Microseconds since 1970 in UTC, negative before; finer digits are cut off towards the past.
    #[must_use]
    pub fn unix_micros(&self) -> i64 {
        self.unix_micros
    }
}

impl FromStr for Datetime {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Ok(Self { unix_micros: datetime_unix_micros(text)?, text: text.into() })
    }
}

impl TryFrom<&str> for Datetime {
    type Error = SyntaxError;

    fn try_from(text: &str) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl TryFrom<String> for Datetime {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<Self, SyntaxError> {
        Ok(Self { unix_micros: datetime_unix_micros(&text)?, text: text.into() })
    }
}

impl fmt::Display for Datetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl AsRef<str> for Datetime {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl serde::Serialize for Datetime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Datetime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor::new())
    }
}

/// Whether `text` is a datetime, its calendar date and time of day included.
#[must_use]
pub fn is_datetime(text: &str) -> bool {
    datetime_unix_micros(text).is_ok()
}

/// The moment a datetime names, in microseconds since 1970, without keeping the text.
///
/// # Errors
/// [`SyntaxError`] when `text` is not a datetime: another layout, no zone, the zone `-00:00` (which ISO 8601 forbids), a
/// date the calendar lacks, or a moment before the year 0 in UTC.
pub fn datetime_unix_micros(text: &str) -> Result<i64, SyntaxError> {
    let kind = SyntaxKind::Datetime;
    if text.len() > MAX_DATETIME {
        return Err(kind.expected("at most 64 bytes"));
    }
    let mut rest = Rest { bytes: text.as_bytes(), offset: 0 };
    let year = rest.number(4, 0, 9999, "a year of four digits")?;
    rest.byte(b'-', "'-'")?;
    let month = rest.number(2, 1, 12, "a month of 01 to 12")?;
    rest.byte(b'-', "'-'")?;
    let day = rest.number(2, 1, days_in_month(year, month), "a day of that month")?;
    rest.byte(b'T', "'T'")?;
    let hour = rest.number(2, 0, 23, "an hour of 00 to 23")?;
    rest.byte(b':', "':'")?;
    let minute = rest.number(2, 0, 59, "a minute of 00 to 59")?;
    rest.byte(b':', "':'")?;
    let second = rest.number(2, 0, 59, "a second of 00 to 59")?;
    let micros = if rest.peek() == Some(b'.') { rest.fraction()? } else { 0 };
    let zone_minutes = rest.zone()?;
    if rest.peek().is_some() {
        return Err(kind.expected_at("the end of the text", rest.offset));
    }

    // Counted from the year 0, so that a moment before it is simply negative.
    let minutes = (days_since_year_zero(year, month, day) * 24 + hour) * 60 + minute - zone_minutes;
    if minutes < 0 {
        return Err(kind.expected("a moment not before the year 0000 in utc"));
    }
    let seconds = (minutes - DAYS_BEFORE_1970 * 24 * 60) * 60 + second;
    Ok(seconds * 1_000_000 + micros)
}

fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_year_zero(year: i64, month: i64, day: i64) -> i64 {
    // Leap years among 0..year; the year 0 itself is one, hence the ceilings.
    let leap_years = (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400;
    let months: i64 = (1..month).map(|earlier| days_in_month(year, earlier)).sum();
    year * 365 + leap_years + months + day - 1
}

/// Year, month and day of a day, counted from the first of the year 0. Years are counted from March, so that the leap day is
/// the last of its year, and each month begins after 153 days for five months.
fn date(days: i64) -> (i64, i64, i64) {
    let from_march = days - 60 + 146_097;
    let (era, day_of_era) = (from_march / 146_097 - 1, from_march % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// What is left to read.
struct Rest<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Rest<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    fn byte(&mut self, wanted: u8, reason: &'static str) -> Result<(), SyntaxError> {
        if self.peek() != Some(wanted) {
            return Err(SyntaxKind::Datetime.expected_at(reason, self.offset));
        }
        self.offset += 1;
        Ok(())
    }

    fn digit(&mut self) -> Option<i64> {
        let digit = self.peek().filter(u8::is_ascii_digit)?;
        self.offset += 1;
        Some(i64::from(digit - b'0'))
    }

    fn number(
        &mut self,
        digits: usize,
        least: i64,
        most: i64,
        reason: &'static str,
    ) -> Result<i64, SyntaxError> {
        let start = self.offset;
        let mut number = 0;
        for _ in 0..digits {
            let digit = self.digit().ok_or(SyntaxKind::Datetime.expected_at(reason, start))?;
            number = number * 10 + digit;
        }
        if (least..=most).contains(&number) {
            Ok(number)
        } else {
            Err(SyntaxKind::Datetime.expected_at(reason, start))
        }
    }

    fn fraction(&mut self) -> Result<i64, SyntaxError> {
        self.byte(b'.', "'.'")?;
        let start = self.offset;
        let (mut micros, mut weight) = (0, 100_000);
        while let Some(digit) = self.digit() {
            micros += digit * weight;
            weight /= 10;
        }
        if (1..=MAX_FRACTION).contains(&(self.offset - start)) {
            Ok(micros)
        } else {
            Err(SyntaxKind::Datetime.expected_at("1 to 20 digits of a fraction", start))
        }
    }

    /// Minutes east of UTC.
    fn zone(&mut self) -> Result<i64, SyntaxError> {
        let start = self.offset;
        let reason = "a zone: 'Z' or an offset such as '+02:00'";
        let sign = match self.peek() {
            Some(b'Z') => {
                self.offset += 1;
                return Ok(0);
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(SyntaxKind::Datetime.expected_at(reason, start)),
        };
        self.offset += 1;
        let hours = self.number(2, 0, 23, reason)?;
        self.byte(b':', reason)?;
        let minutes = hours * 60 + self.number(2, 0, 59, reason)?;
        if sign < 0 && minutes == 0 {
            return Err(SyntaxKind::Datetime.expected_at("an offset other than '-00:00'", start));
        }
        Ok(sign * minutes)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str) -> i64 {
        datetime_unix_micros(text).unwrap()
    }

    #[test]
    fn a_moment_is_written_as_it_is_read() {
        for text in [
            "1970-01-01T00:00:00.000Z",
            "2026-11-22T14:57:26.019Z",
            "2000-02-29T23:59:59.999Z",
            "0000-03-01T00:00:00.000Z",
            "9999-12-31T23:59:59.999Z",
        ] {
            let read: Datetime = text.parse().unwrap();
            assert_eq!(Datetime::from_unix_micros(read.unix_micros()), Some(read));
        }
        for (beyond, text) in [(i64::MIN, "0000-01-01T00:00:00.000Z"), (i64::MAX, "9999-12-31T23:59:59.999Z")]
        {
            assert_eq!(Datetime::saturating(beyond).as_str(), text);
        }
        for beyond in [i64::MIN, -62_167_219_200_000_001, 253_402_300_800_000_000, i64::MAX] {
            assert_eq!(Datetime::from_unix_micros(beyond), None);
        }
    }

    #[test]
    fn known_moments_have_their_known_numbers() {
        assert_eq!(micros("1970-01-01T00:00:00Z"), 0);
        assert_eq!(micros("1969-12-31T23:59:59.999999Z"), -1);
        assert_eq!(micros("2000-02-29T12:00:00.5Z"), 951_825_600_500_000);
        assert_eq!(micros("2038-01-19T03:14:08Z"), 2_147_483_648_000_000);
        assert_eq!(micros("0000-01-01T00:00:00Z"), -62_167_219_200_000_000);
        assert_eq!(micros("9999-12-31T23:59:59Z"), 253_402_300_799_000_000);
    }

    #[test]
    fn the_zone_moves_the_moment() {
        assert_eq!(micros("1970-01-01T02:30:00+02:30"), 0);
        assert_eq!(micros("1969-12-31T17:00:00-07:00"), 0);
    }

    #[test]
    fn the_calendar_knows_its_leap_years_and_no_leap_seconds() {
        assert!(is_datetime("2024-02-29T00:00:00Z"));
        assert!(is_datetime("2000-02-29T00:00:00Z"));
        assert!(!is_datetime("1900-02-29T00:00:00Z"));
        assert!(!is_datetime("2023-02-29T00:00:00Z"));
        assert!(!is_datetime("2023-04-31T00:00:00Z"));
        assert!(!is_datetime("2016-12-31T23:59:60Z"));
        assert!(!is_datetime("2016-12-31T24:00:00Z"));
    }

    #[test]
    fn moments_order_before_spellings() {
        let early: Datetime = "2020-01-01T00:00:00+01:00".parse().unwrap();
        let late: Datetime = "2020-01-01T00:00:00Z".parse().unwrap();
        assert!(early < late);
    }

    proptest! {
        #[test]
        fn consecutive_days_are_a_day_apart(day in 0..3_652_058_i64) {
            // Walk the calendar from a day number by subtraction and come back to the same number.
            let (mut year, mut left) = (day / 366, day - days_since_year_zero(day / 366, 1, 1));
            while left >= 365 + i64::from(is_leap_year(year)) {
                left -= 365 + i64::from(is_leap_year(year));
                year += 1;
            }
            let mut month = 1;
            while left >= days_in_month(year, month) {
                left -= days_in_month(year, month);
                month += 1;
            }
            let text = format!("{year:04}-{month:02}-{:02}T00:00:00Z", left + 1);
            prop_assert_eq!(micros(&text), (day - DAYS_BEFORE_1970) * 86_400_000_000);
            let written = Datetime::from_unix_micros(micros(&text)).unwrap();
            prop_assert_eq!(written.as_str(), text.replace('Z', ".000Z"));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9TZ:.+-]{0,70}") {
            let _either_way_is_fine = datetime_unix_micros(&text);
        }
    }
}
