//! What accounts are searched by: their DIDs and handles as text that can be read quickly from end to end.
//!
//! A part of all accounts enters as rows, and leaves as one text; a text and what is looked for lead to the accounts that
//! have it. Deliberately absent: an index of the text. Whatever is looked for, in however few letters, is found by reading
//! some fifty bytes for each account.

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::super::Fault;

/// Accounts in one part. All of them are looked up again where one changes its name; and where there were fewer, a search
/// would take longer to step from part to part than to read them.
const ACCOUNTS: i64 = 256;

/// The first of the characters that begin an account's entry, of three bytes each: one for each of the 256, and another for each that has a machine
/// on offer. No DID has such a character, and in a handle there is a space in its place.
const MARKS: u32 = 0xe000;

const LIST_NAMES: &str = "
    select repo.id, did.did, offers > 0, handle
      from repo
      cross join did on did.id = repo.id
      left join profile on profile.did = did.did
     where repo.id between :first and :last and shown > 0
     order by repo.id";

const FIND_PART: &str = "select names from directory where part = :part";

const SET_PART: &str = "
    insert into directory (part, names) values (:part, :names)
    on conflict do update set names = :names";

const REMOVE_PART: &str = "delete from directory where part = :part";

/// The part that an account belongs to.
pub(in crate::index) const fn part_of(repo: i64) -> i64 {
    repo / ACCOUNTS
}

/// What is to stand in a part; empty if none of its accounts has a served record.
pub(in crate::index) fn names(conn: &Connection, part: i64) -> Result<String, Fault> {
    let mut statement = conn.prepare_cached(LIST_NAMES)?;
    let first = part * ACCOUNTS;
    let mut rows = statement.query(named_params! {":first": first, ":last": first + ACCOUNTS - 1})?;
    let mut names = String::new();
    while let Some(row) = rows.next()? {
        let (repo, is_offering): (i64, bool) = (row.get(0)?, row.get(2)?);
        let did = row.get_ref(1)?.as_str().map_err(|_| Fault::Row("a did that is none"))?;
        let handle: Option<String> = row.get(3)?;
        names.push('\n');
        names.extend(mark(repo - first, is_offering));
        names.push_str(did);
        names.push('\t');
        let handle = handle.unwrap_or_default();
        names.extend(handle.chars().map(|char| if is_ours(char) { ' ' } else { char }));
    }
    names.make_ascii_lowercase();
    Ok(names)
}

/// What stands in a part.
pub(in crate::index) fn stored(conn: &Connection, part: i64) -> Result<Option<Vec<u8>>, Fault> {
    let mut statement = conn.prepare_cached(FIND_PART)?;
    Ok(statement.query_row(named_params! {":part": part}, |row| row.get(0)).optional()?)
}

/// Writes a part anew.
pub(super) fn settle(conn: &Connection, part: i64) -> Result<(), Fault> {
    let names = names(conn, part)?;
    match names.is_empty() {
        true => conn.prepare_cached(REMOVE_PART)?.execute(named_params! {":part": part})?,
        false => conn
            .prepare_cached(SET_PART)?
            .execute(named_params! {":part": part, ":names": names.as_bytes()})?,
    };
    Ok(())
}

fn mark(slot: i64, is_offering: bool) -> Option<char> {
    let slot = u32::try_from(slot).ok()? + if is_offering { ACCOUNTS as u32 } else { 0 };
    char::from_u32(MARKS + slot)
}

/// Whether a character has a meaning of ours in such a text.
fn is_ours(char: char) -> bool {
    char < ' ' || (MARKS..MARKS + 2 * ACCOUNTS as u32).contains(&u32::from(char))
}

/// Text that is looked for in names.
#[derive(Debug)]
pub(crate) struct Sought<'q>(Option<Finder<'q>>);

impl<'q> Sought<'q> {
    /// Text in lower case that is not empty.
    pub(crate) fn new(q: &'q str) -> Self {
        Self((!q.chars().any(is_ours)).then(|| Finder::new(q)))
    }

    /// Tells the number of each account in the text of a part that has it in its DID or its handle, in the order of their
    /// numbers, and whether it has a machine on offer.
    ///
    /// Bytes are compared: in UTF-8, a text is in another only from one character to the next.
    pub(crate) fn find(&self, part: i64, names: &[u8], mut tell: impl FnMut(i64, bool)) -> Result<(), Fault> {
        let Some(finder) = &self.0 else { return Ok(()) };
        let mut rest = names;
        while let Some(at) = finder.find(rest) {
            let (before, found) = rest.split_at(at);
            let slot = memrchr(b'\n', before)
                .and_then(|end| before.get(end + 1..end + 4))
                .and_then(slot)
                .ok_or(Fault::Row("names that are none"))?;
            tell(part * ACCOUNTS + slot % ACCOUNTS, slot >= ACCOUNTS);
            rest = memchr(b'\n', found).and_then(|end| found.get(end..)).unwrap_or_default();
        }
        Ok(())
    }
}

/// Which of the characters that begin an entry this is.
fn slot(mark: &[u8]) -> Option<i64> {
    let mark = std::str::from_utf8(mark).ok()?.chars().next()?;
    u32::from(mark).checked_sub(MARKS).map(i64::from)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn found(names: &str, q: &str) -> Vec<(i64, bool)> {
        let mut found = Vec::new();
        let sought = Sought::new(q);
        sought.find(2, names.as_bytes(), |repo, is_offering| found.push((repo, is_offering))).unwrap();
        found
    }

    #[test]
    fn an_account_is_found_by_any_part_of_its_names_and_by_nothing_between_them() {
        let mut names = String::new();
        for (slot, is_offering, did, handle) in [
            (0, false, "did:web:a.example", "ada"),
            (3, true, "did:web:b.example", ""),
            (255, true, "did:web:c", "a\u{e9} c c"),
        ] {
            write!(names, "\n{}{did}\t{handle}", mark(slot, is_offering).unwrap()).unwrap();
        }
        assert_eq!(found(&names, "example"), [(512, false), (515, true)]);
        assert_eq!(found(&names, "ad"), [(512, false)]);
        assert_eq!(found(&names, "\u{e9}"), [(767, true)]);
        // As often as it is there, an account is told once.
        assert_eq!(found(&names, ":"), [(512, false), (515, true), (767, true)]);
        for nothing in ["example\ta", "ada\n", "\u{e000}", "\u{e1ff}", "\t", "nobody"] {
            assert_eq!(found(&names, nothing), [], "{nothing:?}");
        }
    }

    #[test]
    fn names_that_no_account_begins_are_damage() {
        for damaged in ["ada", "\nada", "\n\u{e000}ada".trim_start()] {
            assert!(Sought::new("ada").find(0, damaged.as_bytes(), |_, _| ()).is_err(), "{damaged:?}");
        }
    }
}
