//! What only a machine reads in full: shortened in the middle, whole in the title and whenever it is copied.

use maud::{Markup, html};

/// Characters at the end that always show.
const TAIL: usize = 6;

/// An identifier in a line. Both halves are in the text, so that selecting it copies the whole.
pub(crate) fn identifier(whole: &str) -> Markup {
    let tail = whole.char_indices().rev().nth(TAIL - 1).map_or(0, |(at, _)| at);
    let (head, tail) = whole.split_at(tail);
    html! { span.id title=(whole) { @if !head.is_empty() { span { (head) } } (tail) } }
}

/// An identifier with a line of its own, to be copied as what `kind` says.
pub(crate) fn long_identifier(whole: &str, kind: &str) -> Markup {
    html! { span.id.long data-copy=(kind) { (whole) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_whole_however_short() {
        assert_eq!(identifier("abc").into_string(), "<span class=\"id\" title=\"abc\">abc</span>");
        assert_eq!(
            identifier("did:plc:äöüabc").into_string(),
            "<span class=\"id\" title=\"did:plc:äöüabc\"><span>did:plc:</span>äöüabc</span>"
        );
        assert_eq!(identifier("\"><b>").into_string().matches('<').count(), 2, "nothing but the span itself");
    }
}
