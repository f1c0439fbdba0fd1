//! What was measured, beside what was aimed at.

use std::fmt::Write as _;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing was aimed at: it is good to know.
    None,
}

/// One figure, measured once in each run.
#[derive(Debug)]
struct Figure {
    what: String,
    unit: &'static str,
    goal: Goal,
    values: Vec<f64>,
}

/// Every figure, in the order of its first measurement.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    figures: Vec<Figure>,
}

impl Outcome {
    /// Notes a figure of one run.
    pub(crate) fn note(&mut self, what: impl Into<String>, unit: &'static str, goal: Goal, value: f64) {
        let what = what.into();
        println!("  {what}: {} {unit}", rounded(value));
        match self.figures.iter_mut().find(|figure| figure.what == what) {
            Some(figure) => figure.values.push(value),
            None => self.figures.push(Figure { what, unit, goal, values: vec![value] }),
        }
    }

    /// The figures as a table in Markdown. `judged` says whether a goal was met: it must not where too little was measured.
    pub(crate) fn table(&self, judged: bool) -> String {
        let mut table =
            String::from("| figure | goal | median | least | most | |\n|---|---|---|---|---|---|\n");
        for Figure { what, unit, goal, values } in &self.figures {
            let mut values = values.clone();
            values.sort_by(f64::total_cmp);
            let (least, most, median) = (values[0], values[values.len() - 1], values[values.len() / 2]);
            let (wanted, is_met) = match goal {
                Goal::AtLeast(goal) => (format!("≥ {}", rounded(*goal)), Some(median >= *goal)),
                Goal::AtMost(goal) => (format!("≤ {}", rounded(*goal)), Some(median <= *goal)),
                Goal::None => (String::new(), None),
            };
            let verdict = match is_met.filter(|_| judged) {
                Some(true) => "met",
                Some(false) => "**missed**",
                None => "",
            };
            let [median, least, most] = [median, least, most].map(rounded);
            writeln!(table, "| {what} | {wanted} | {median} {unit} | {least} | {most} | {verdict} |")
                .unwrap();
        }
        table
    }
}

/// Three digits that count, or all before the point, in groups.
fn rounded(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => return grouped(value.round()),
    };
    format!("{value:.decimals$}")
}

fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
