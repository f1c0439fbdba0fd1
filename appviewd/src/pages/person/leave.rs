//! Leaving: what is held here goes, and what is in the person's own repository stays and is not shown.

use maud::html;

use super::Person;
use super::sign_in::below;
use crate::pages::Sheet;

/// The page on which somebody says that they leave.
pub(crate) fn leave(person: &Person) -> Sheet {
    let form = html! {
        div.row {
            p { (person.confirmation()) }
            button.btn.danger type="submit" { "Delete my account here" }
        }
    };
    let main = html! {
        h1 { "Delete my account here" }
        p.lede { "This service forgets you. Your repository at " (person.host()) " is not touched." }
        section.panel.danger aria-label="Delete my account here" {
            p { "This deletes, for good:" }
            ul.dots {
                li { "our copy of your records, from the index and its files; your figures go with it" }
                li { "your API keys, your sessions in every browser, our access at your PDS, and the list of what was done" }
            }
            p.small {
                "What stays: your account and every record in your repository. As long as you do not sign in here again, none of "
                "your records is shown here, whoever else has them."
            }
            (person.form("/account/leave", "", &form))
            p.small.soft { "There is no undo. To delete the records as well, " a href="/account/wipe/new" { "wipe all your data" } "." }
        }
    };
    below("Delete my account here", None, &main)
}
