//! Equal repositories give equal answers, whatever the order and the way in which they came.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod network;

use appview_core::index::{Index, IndexError};
use appview_core::sync::{Change, Hosting};
use network::{Business, Scratch, catalog, cursor, interleaved, see};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn between_repositories_any_order_leads_to_the_same_answers(
        choices in proptest::collection::vec(any::<u8>(), 1..16),
        batch in 1..20_usize,
    ) {
        let mut business = Business::new(20, 4);
        let told = std::mem::take(&mut business.told);
        let expected = see(&Scratch::told(&told).reader(), &business);
        let scratch = Scratch::new();
        let mut writer = scratch.writer();
        for changes in interleaved(told, &choices).chunks(batch) {
            let applied = writer.apply(changes, &[], 0).unwrap();
            prop_assert!(applied.refused.is_empty());
        }
        let reader = scratch.reader();
        prop_assert_eq!(see(&reader, &business), expected);
        prop_assert_eq!(reader.check(|_| ()).unwrap().damage, []);
    }
}

#[test]
fn a_rebuilt_index_answers_as_the_live_one_and_takes_its_place() {
    let mut business = Business::new(21, 6);
    let scratch = Scratch::told(&business.told);
    let live = see(&scratch.reader(), &business);
    let mut reader = scratch.reader();
    let repos = business.repos();
    let rebuilt = Index::rebuild(scratch.index.path(), catalog(), |writer| {
        writer.apply(&repos, &[cursor(99)], 0)?;
        // The old file goes on answering meanwhile.
        assert_eq!(see(&scratch.reader(), &business), live);
        Ok::<_, IndexError>(())
    })
    .unwrap();
    assert_eq!(see(&rebuilt.reader().unwrap(), &business), live);
    assert_eq!(rebuilt.reader().unwrap().cursors().unwrap(), [cursor(99)]);
    assert_eq!(rebuilt.reader().unwrap().check(|_| ()).unwrap().damage, []);
    assert!(Index::open(scratch.index.path()).is_ok());

    // A reader from before has the old file until it is dropped, whatever the new one is told.
    let owner = network::did(&business.owner);
    rebuilt
        .writer(catalog())
        .unwrap()
        .apply(&[Change::Erase { did: owner, hosting: Hosting::Deleted }], &[], 0)
        .unwrap();
    reader.refresh().unwrap();
    assert_eq!(see(&reader, &business), live);
    assert_eq!(reader.cursors().unwrap(), []);
    let names = std::fs::read_dir(scratch.folder.path()).unwrap();
    assert!(names.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("rebuilding")));
}

#[test]
fn a_rebuild_that_fails_leaves_the_old_index_as_it_was() {
    let business = Business::new(22, 2);
    let scratch = Scratch::told(&business.told);
    let before = see(&scratch.reader(), &business);
    #[derive(Debug)]
    enum Failed {
        Index(#[allow(dead_code, reason = "shown if the test fails")] IndexError),
        OnPurpose,
    }
    impl From<IndexError> for Failed {
        fn from(error: IndexError) -> Self {
            Self::Index(error)
        }
    }
    let failed = Index::rebuild(scratch.index.path(), catalog(), |writer| {
        writer.apply(&business.told[..1], &[], 0)?;
        Err(Failed::OnPurpose)
    });
    assert!(matches!(failed, Err(Failed::OnPurpose)));
    assert_eq!(see(&scratch.reader(), &business), before);
    assert_eq!(
        std::fs::read_dir(scratch.folder.path())
            .unwrap()
            .flatten()
            .filter(|entry| { entry.file_name().to_string_lossy().contains("rebuilding") })
            .count(),
        0
    );
}

#[test]
fn what_was_only_in_the_log_of_the_old_file_does_not_get_into_the_new_one() {
    let mut business = Business::new(23, 3);
    let scratch = Scratch::told(&business.told);
    // A connection that stays open keeps the last one from writing the log back when it is closed.
    let mut keeper = scratch.reader();
    let owner = network::did(&business.owner);
    scratch.writer().apply(&[Change::Desynchronized { did: owner.clone() }], &[], 0).unwrap();
    keeper.refresh().unwrap();
    let repos = business.repos();
    let rebuilt =
        Index::rebuild(scratch.index.path(), catalog(), |writer| writer.apply(&repos[1..], &[], 0).map(drop));
    let reader = rebuilt.unwrap().reader().unwrap();
    assert_eq!(reader.check(|_| ()).unwrap().damage, []);
    assert_eq!(reader.repo_state(&owner).unwrap(), None);
    assert!(keeper.repo_state(&owner).unwrap().is_some());
}
