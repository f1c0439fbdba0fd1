//! A file that is not a sound index of this version is refused by name, and left as it is.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod network;

use std::os::unix::fs::PermissionsExt as _;

use appview_core::index::{APPLICATION_ID, Damage, Index, IndexError, SCHEMA_VERSION};
use appview_core::query::Scope;
use appview_core::record::Verdict;
use network::{Business, Scratch, catalog};
use rusqlite::Connection;

fn label(error: &IndexError) -> (&'static str, bool) {
    (error.label(), error.to_string().contains("index.db"))
}

#[test]
fn other_files_are_refused_by_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let refused = |expected| {
        let before = std::fs::read(&path).unwrap();
        assert_eq!(label(&Index::open(&path).unwrap_err()), (expected, true));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(label(&Index::create(&path).unwrap_err()), ("exists", true));
    };
    std::fs::write(&path, "a letter to a friend, of some length, so that it could be a database").unwrap();
    refused("not-sqlite");
    std::fs::remove_file(&path).unwrap();

    Connection::open(&path).unwrap().execute_batch("create table theirs (id)").unwrap();
    refused("foreign");
    let rebuilt = Index::rebuild(&path, catalog(), |_| Ok::<_, IndexError>(()));
    assert_eq!(label(&rebuilt.unwrap_err()), ("foreign", true));
    std::fs::remove_file(&path).unwrap();

    for version in [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1] {
        Index::create(&path).unwrap();
        Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
        refused("schema-mismatch");
        let error = Index::open(&path).unwrap_err();
        assert!(
            matches!(error, IndexError::SchemaMismatch { found, expected: SCHEMA_VERSION, .. } if found == version)
        );
        // That is what a rebuild is for.
        Index::rebuild(&path, catalog(), |_| Ok::<_, IndexError>(())).unwrap();
        Index::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_file_cut_short_or_overwritten_is_damaged_and_can_be_rebuilt() {
    let mut business = Business::new(30, 8);
    let repos = business.repos();
    let scratch = Scratch::told(&repos);
    scratch.writer().write_back_log().unwrap();
    let path = scratch.index.path();
    let sound = std::fs::read(path).unwrap();

    let mut cut = sound.clone();
    cut.truncate(sound.len() / 2);
    let mut zeroed = sound.clone();
    zeroed[3 * 4096..12 * 4096].fill(0);
    for damaged in [cut, zeroed] {
        std::fs::write(path, &damaged).unwrap();
        assert_eq!(label(&Index::open(path).unwrap_err()), ("corrupt", true));
        let rebuilt =
            Index::rebuild(path, catalog(), |writer| writer.apply(&repos, &[], 0).map(drop)).unwrap();
        assert_eq!(rebuilt.reader().unwrap().check(|_| ()).unwrap().damage, []);
    }
    // Without its first page nobody can tell whose it was, so it is not ours to replace.
    let mut beheaded = sound;
    beheaded[..4096].fill(0);
    std::fs::write(path, &beheaded).unwrap();
    assert_eq!(label(&Index::open(path).unwrap_err()), ("not-sqlite", true));
}

#[test]
fn a_second_writer_is_refused_for_as_long_as_the_first_lives() {
    let scratch = Scratch::new();
    let first = scratch.writer();
    let error = scratch.index.writer(catalog()).unwrap_err();
    assert_eq!(label(&error), ("locked", true));
    assert!(error.to_string().contains("index.db.lock"));
    let rebuilt = Index::rebuild(scratch.index.path(), catalog(), |_| Ok::<_, IndexError>(()));
    assert_eq!(rebuilt.unwrap_err().label(), "locked");
    assert!(scratch.index.reader().is_ok());
    drop(first);
    assert!(scratch.index.writer(catalog()).is_ok());
}

#[test]
fn only_the_owner_may_read_the_files() {
    let business = Business::new(31, 1);
    let scratch = Scratch::told(&business.told);
    let _writer = scratch.writer();
    for entry in std::fs::read_dir(scratch.folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

#[test]
fn the_file_says_whose_it_is_and_overwrites_what_it_forgets() {
    let scratch = Scratch::new();
    drop(scratch.writer());
    let conn = Connection::open(scratch.index.path()).unwrap();
    let pragma =
        |name| conn.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
    assert_eq!(pragma("application_id"), i64::from(APPLICATION_ID).into());
    assert_eq!(pragma("user_version"), i64::from(SCHEMA_VERSION).into());
    assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
    let strict: i64 = conn
        .query_row(
            "select count(*) from pragma_table_list where schema = 'main' and name not like 'sqlite_%' and strict = 0",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(strict, 0);
}

#[test]
fn whoever_only_reads_creates_nothing_and_opens_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    assert_eq!(label(&Index::open_existing(&path).unwrap_err()), ("missing", true));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let business = Business::new(33, 1);
    let scratch = Scratch::told(&business.told);
    let reader = Index::open_existing(scratch.index.path()).unwrap().reader().unwrap();
    let seen = reader.fingerprint(&Scope::Whole).unwrap();
    assert_eq!(seen, scratch.reader().fingerprint(&Scope::Whole).unwrap());

    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("create table other (id integer)").unwrap();
    drop(conn);
    assert_eq!(label(&Index::open_existing(&path).unwrap_err()), ("foreign", true));
}

#[test]
fn a_check_finds_what_a_stray_hand_did() {
    let business = Business::new(32, 3);
    let scratch = Scratch::told(&business.told);
    let tamper = |sql: &str| {
        let scratch = Scratch::told(&business.told);
        let conn = Connection::open(scratch.index.path()).unwrap();
        conn.pragma_update(None, "foreign_keys", false).unwrap();
        conn.pragma_update(None, "ignore_check_constraints", true).unwrap();
        assert!(conn.execute(sql, []).unwrap() > 0, "{sql}");
        drop(conn);
        let checked = scratch.reader().check(|_| ()).unwrap();
        assert_eq!(checked.found as usize, checked.damage.len());
        checked.damage
    };
    assert_eq!(scratch.reader().check(|_| ()).unwrap().damage, []);
    let whole = scratch.reader().fingerprint(&Scope::Whole).unwrap().to_string();

    let one = "(select min(id) from record where collection = (select id from collection where nsid like '%receipt'))";
    let flipped = tamper(&format!("update record set body = cast(body || x'00' as blob) where id = {one}"));
    assert!(matches!(&flipped[..], [Damage::Block { uri, .. }] if uri.contains("receipt")), "{flipped:?}");

    let lost = tamper(&format!("delete from record where id = {one}"));
    let sums = lost.iter().filter(|damage| matches!(damage, Damage::Sum { .. })).count();
    assert_eq!(sums, 2, "one collection and the whole: {lost:?}");
    assert!(lost.iter().any(
        |damage| matches!(damage, Damage::Sum { collection: None, expected, .. } if *expected == whole)
    ));
    assert!(lost.iter().any(|damage| matches!(damage, Damage::Reference { table } if table == "receipt")));

    let hidden = tamper(&format!("update record set served = 0 where id = {one}"));
    assert!(hidden.iter().any(|damage| matches!(damage, Damage::Served { .. })), "{hidden:?}");
    let untold = tamper(&format!("update record set seq = null where id = {one}"));
    assert!(matches!(&untold[..], [Damage::Served { .. }]), "{untold:?}");
    let untyped = tamper(&format!("delete from receipt where record = {one}"));
    assert!(
        matches!(&untyped[..], [Damage::Typed { .. }, rest @ ..] if rest.iter().all(|damage| matches!(damage, Damage::Derived { .. }))),
        "{untyped:?}"
    );
    let moved = tamper(&format!("update record set rkey = 'elsewhere' where id = {one}"));
    assert!(moved.iter().any(|damage| matches!(damage, Damage::Sum { .. })), "{moved:?}");

    let counted = tamper("update tally set marked = marked + 2 where collection = 0");
    let [damage @ Damage::Count { collection: None, verdict: Verdict::Marked, expected, found }] =
        &counted[..]
    else {
        panic!("expected one count that differs, found {counted:?}");
    };
    assert_eq!(*expected, found + 2);
    let told = format!("all collections: expected {expected} marked records, found {found}");
    assert_eq!(damage.to_string(), told);

    for (table, what) in [
        ("total", "update total set records = records + 1 where kind = 0"),
        ("total", "update total set tokens_in = tokens_in + 1 where kind = 1"),
        ("total", "update total set hours = x'00010203' where kind = 2 and a = 0"),
        ("total", "delete from total where kind = 3"),
        ("total", "update total set week = week + 1 where kind = 4"),
        ("total", "update total set records = 2 where kind = 5"),
        ("total", "insert into total values (6, 0, 7, 0, 1, 0, 0, x'')"),
        ("total", "update total set b = 2 where kind = 7"),
        ("latency", "update latency set p95 = p95 + 1 where kind = 2"),
        ("latency", "delete from latency where kind = 1"),
        ("service", "update service set newest = newest - 1 where provider = 0"),
        ("service", "insert into service select model, 1000, newest from service limit 1"),
        ("trust", "update trust set created = 'yesterday'"),
        ("trust", "delete from trust"),
        ("directory", "update directory set names = cast(names || 'x' as blob)"),
        ("directory", "insert into directory values (1000, x'')"),
        ("repo", "update repo set recent = recent + 1"),
    ] {
        let found = tamper(what);
        let begin = format!("{table}: ");
        assert!(found.iter().any(|damage| damage.to_string().starts_with(&begin)), "{what}: {found:?}");
        assert!(found.iter().all(|damage| matches!(damage, Damage::Derived { .. })), "{what}: {found:?}");
    }
}
