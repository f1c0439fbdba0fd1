//! Numbers as people read them: digits in threes, and a unit.

/// A whole number, with a comma at each thousand.
pub(crate) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        out.push('−');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number and what it counts: `1 receipt`, `2 receipts`.
pub(crate) fn counted(count: i64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// A number short enough for an axis: `900`, `4 k`, `1.5 M`.
pub(crate) fn compact(count: i64) -> String {
    let (unit, name) = match count {
        ..10_000 => return number(count),
        10_000..1_000_000 => (1_000, "k"),
        1_000_000..1_000_000_000 => (1_000_000, "M"),
        _ => (1_000_000_000, "G"),
    };
    let tenths = count / (unit / 10);
    match tenths % 10 {
        0 => format!("{} {name}", number(tenths / 10)),
        rest => format!("{}.{rest} {name}", number(tenths / 10)),
    }
}

/// A time span in milliseconds: `0.45 s`, `5.9 s`, `12 s`, `3 min`.
pub(crate) fn millis(millis: i64) -> String {
    match millis {
        ..1_000 => format!("{}.{:02} s", millis / 1_000, millis.max(0) % 1_000 / 10),
        1_000..10_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => seconds(millis.unsigned_abs() / 1_000),
    }
}

/// A time span in seconds by its largest unit that says something.
pub(crate) fn seconds(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A part of a whole, in tenths of a percent that are never rounded up to all of it.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    match part.saturating_mul(1_000).checked_div(whole) {
        None => "–".to_owned(),
        Some(1_000) => "100 %".to_owned(),
        Some(tenths) => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// A size in megabytes or less.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", number((bytes / 1_000_000).cast_signed()), bytes / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_threes() {
        for (given, told) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "−1,234,567")] {
            assert_eq!(number(given), told);
        }
        assert_eq!(number(i64::MIN), "−9,223,372,036,854,775,808");
        assert_eq!([counted(1, "job", "jobs"), counted(2_000, "job", "jobs")], ["1 job", "2,000 jobs"]);
    }

    #[test]
    fn an_axis_has_short_numbers() {
        for (given, told) in
            [(0, "0"), (9_000, "9,000"), (40_000, "40 k"), (1_500_000, "1.5 M"), (2_000_000_000, "2 G")]
        {
            assert_eq!(compact(given), told);
        }
    }

    #[test]
    fn spans_of_time_are_as_exact_as_anyone_wants_to_know() {
        for (given, told) in
            [(0, "0.00 s"), (456, "0.45 s"), (5_999, "5.9 s"), (59_999, "59 s"), (180_000, "3 min")]
        {
            assert_eq!(millis(given), told);
        }
        assert_eq!([seconds(7_200), seconds(172_800)], ["2 h", "2 days"]);
    }

    #[test]
    fn almost_everything_is_not_everything() {
        assert_eq!([percent(9_999, 10_000), percent(3, 3), percent(0, 0)], ["99.9 %", "100 %", "–"]);
    }
}
