//! Tables: rows once, for a page and for a file of comma-separated values.
//!
//! Each cell says what it is in either. On a phone a row is a block: its first cell leads, and the others bear the name of
//! their column.
//!
//! Follows [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180) for the file.

use maud::{Markup, html};

use super::{Href, Mark, Moment, number};

/// Columns beyond which they stand closer together.
const MANY: usize = 8;

/// What stands in one place of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    markup: Markup,
    value: String,
}

impl Cell {
    /// Markup, and what a file has in its place.
    pub(crate) fn new(markup: Markup, value: impl Into<String>) -> Self {
        Self { markup, value: value.into() }
    }

    /// Nothing to tell.
    pub(crate) fn absent() -> Self {
        Self::new(html! { span.soft { "–" } }, "")
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        let value: String = text.into();
        Self::new(html! { (value) }, value)
    }

    pub(crate) fn number(count: i64) -> Self {
        Self::new(html! { (number(count)) }, count.to_string())
    }

    pub(crate) fn millis(millis: Option<i64>) -> Self {
        millis.map_or_else(Self::absent, |millis| {
            Self::new(html! { (super::millis(millis)) }, millis.to_string())
        })
    }

    pub(crate) fn moment(micros: i64) -> Self {
        let exact = appview_core::syntax::Datetime::saturating(micros);
        Self::new(Moment::Ago(micros).markup(), exact.as_str())
    }

    pub(crate) fn mark(mark: &Mark) -> Self {
        Self::new(mark.markup(), mark.word.clone())
    }

    /// A link within the service, with what is whole of it in its title.
    pub(crate) fn link(href: &Href, shown: Markup, whole: &str) -> Self {
        Self::new(html! { a href=(href) title=(whole) { (shown) } }, whole)
    }

    /// The same cell with a second line below, which a file leaves out.
    #[must_use]
    pub(crate) fn below(self, line: Markup) -> Self {
        Self { markup: html! { (self.markup) span.sub { (line) } }, ..self }
    }
}

/// Where the cells of a column go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The first line of a block on a phone, and the head of the row.
    Lead,
    /// Opposite to it.
    Side,
    /// A line of its own.
    Wide,
    Text,
    Number,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    place: Place,
}

impl Column {
    pub(crate) const fn lead(name: &'static str) -> Self {
        Self { name, place: Place::Lead }
    }

    pub(crate) const fn side(name: &'static str) -> Self {
        Self { name, place: Place::Side }
    }

    pub(crate) const fn wide(name: &'static str) -> Self {
        Self { name, place: Place::Wide }
    }

    pub(crate) const fn text(name: &'static str) -> Self {
        Self { name, place: Place::Text }
    }

    pub(crate) const fn number(name: &'static str) -> Self {
        Self { name, place: Place::Number }
    }

    fn head(self) -> Markup {
        html! { th scope="col" class=[(self.place == Place::Number).then_some("num")] { (self.name) } }
    }

    fn cell(self, cell: &Cell) -> Markup {
        let Self { name, place } = self;
        let inside = &cell.markup;
        match place {
            Place::Lead => html! { th.lead scope="row" { (inside) } },
            Place::Side => html! { td.side { (inside) } },
            Place::Wide => html! { td.wide data-l=(name) { (inside) } },
            Place::Text => html! { td data-l=(name) { (inside) } },
            Place::Number => html! { td.num data-l=(name) { (inside) } },
        }
    }
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) caption: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// What is said where there is no row.
    pub(crate) nothing: &'static str,
}

impl Table {
    pub(crate) fn markup(&self) -> Markup {
        let Self { caption, columns, rows, nothing } = self;
        if rows.is_empty() {
            return html! { p.note.soft.small { (nothing) } };
        }
        html! {
            table.stack .dense[columns.len() > MANY] {
                caption class=[(!caption.contains(' ')).then_some("vh")] { (caption) }
                thead { tr { @for column in columns { (column.head()) } } }
                tbody {
                    @for row in rows { tr { @for (column, cell) in columns.iter().zip(row) { (column.cell(cell)) } } }
                }
            }
        }
    }

    /// As a file: a line of names, then a line for each row.
    pub(crate) fn csv(&self) -> String {
        let mut out = String::new();
        let heads = self.columns.iter().map(|column| column.name);
        line(&mut out, heads);
        for row in &self.rows {
            line(&mut out, row.iter().map(|cell| cell.value.as_str()));
        }
        out
    }
}

fn line<'v>(out: &mut String, values: impl Iterator<Item = &'v str>) {
    for (at, value) in values.enumerate() {
        if at > 0 {
            out.push(',');
        }
        // What a spreadsheet would take for a formula is text: a name is somebody else's.
        let is_formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']) && value.parse::<i64>().is_err();
        let value = if is_formula { format!("'{value}") } else { value.to_owned() };
        if value.contains(['"', ',', '\n', '\r']) {
            out.push('"');
            out.push_str(&value.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&value);
        }
    }
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(value: &str) -> Table {
        Table {
            caption: "Things",
            columns: vec![Column::lead("Thing"), Column::number("Count")],
            rows: vec![vec![Cell::text(value), Cell::number(-3)]],
            nothing: "There is none.",
        }
    }

    #[test]
    fn what_a_record_says_is_text_on_the_page() {
        let page = table("<script>alert(1)</script>\"'&").markup().into_string();
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&amp;"), "{page}");
    }

    #[test]
    fn a_file_has_the_values_and_no_formulas() {
        let line = |value: &str| table(value).csv().lines().nth(1).unwrap_or_default().to_owned();
        assert_eq!(table("a").csv(), "Thing,Count\r\na,-3\r\n");
        assert_eq!(line("a,\"b\""), "\"a,\"\"b\"\"\",-3");
        assert_eq!(line("=HYPERLINK(1)"), "'=HYPERLINK(1),-3");
        assert_eq!(line("@x"), "'@x,-3");
    }

    #[test]
    fn nothing_is_said_in_words() {
        let empty = Table { rows: Vec::new(), ..table("") };
        assert!(empty.markup().into_string().contains("There is none."));
        assert_eq!(empty.csv(), "Thing,Count\r\n");
    }
}
