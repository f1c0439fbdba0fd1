//! Whoever asks through [`Readers`] is answered from the newest state, by one that does not change, and keeps nobody waiting.
#![allow(clippy::unwrap_used, reason = "tests")]

mod network;

use std::sync::Barrier;

use appview_core::index::{Index, IndexError, IndexReader, Readers};
use appview_core::query::{Limit, ProviderFilter, QueryError};
use appview_core::sync::{Change, Hosting};
use network::{Business, Scratch, catalog, did};

fn providers(reader: &IndexReader) -> Result<usize, QueryError> {
    Ok(reader.list_providers(&ProviderFilter::default(), Limit::default(), None)?.items.len())
}

fn asked(readers: &Readers) -> usize {
    readers.read(providers).unwrap()
}

fn hosting(business: &Business, hosting: Hosting) -> [Change; 1] {
    [Change::Hosting { did: did(&business.owner), hosting }]
}

#[test]
fn each_question_is_answered_from_the_newest_state_and_from_one_moment() {
    let business = Business::new(50, 2);
    let scratch = Scratch::told(&business.told);
    let readers = Readers::new(scratch.index.clone(), 2);
    let mut writer = scratch.writer();
    assert_eq!(asked(&readers), 1);
    let within = readers.read(|reader| {
        let before = providers(reader)?;
        writer.apply(&hosting(&business, Hosting::Takendown), &[], 0)?;
        Ok::<_, QueryError>((before, providers(reader)?))
    });
    assert_eq!(within.unwrap(), (1, 1), "a question has one answer");
    assert_eq!(asked(&readers), 0);
    writer.apply(&hosting(&business, Hosting::Active), &[], 0).unwrap();
    assert_eq!(asked(&readers), 1);
}

#[test]
fn what_is_kept_between_questions_holds_no_state() {
    let business = Business::new(51, 2);
    let scratch = Scratch::told(&business.told);
    let readers = Readers::new(scratch.index.clone(), 4);
    let mut writer = scratch.writer();
    assert_eq!(asked(&readers), 1);
    writer.apply(&hosting(&business, Hosting::Takendown), &[], 0).unwrap();
    // As long as a state is held, this is refused.
    writer.write_back_log().unwrap();
    assert_eq!(asked(&readers), 0);
}

#[test]
fn after_a_rebuild_the_new_file_is_asked() {
    let mut business = Business::new(52, 2);
    let scratch = Scratch::told(&business.told);
    let readers = Readers::new(scratch.index.clone(), 4);
    assert_eq!(asked(&readers), 1);
    let others: Vec<Change> = business.repos().drain(1..).collect();
    Index::rebuild(scratch.index.path(), catalog(), |writer| writer.apply(&others, &[], 0).map(drop))
        .map_err(|error: IndexError| error.to_string())
        .unwrap();
    assert_eq!(asked(&readers), 0);
}

#[test]
fn many_may_ask_at_once_and_an_error_is_told_to_who_asked() {
    let business = Business::new(53, 2);
    let scratch = Scratch::told(&business.told);
    let readers = Readers::new(scratch.index.clone(), 2);
    let together = Barrier::new(8);
    std::thread::scope(|threads| {
        let asking: Vec<_> = (0..8)
            .map(|_| {
                threads.spawn(|| {
                    readers.read(|reader| {
                        together.wait();
                        providers(reader)
                    })
                })
            })
            .collect();
        for asked in asking {
            assert_eq!(asked.join().unwrap().unwrap(), 1);
        }
    });
    let refused = readers.read(|_| Err::<(), _>(QueryError::Cursor));
    assert!(matches!(refused, Err(QueryError::Cursor)));
    assert_eq!(asked(&readers), 1);

    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path().join("index.db")).unwrap();
    let readers = Readers::new(index, 1);
    drop(folder);
    assert!(matches!(readers.read(providers), Err(QueryError::Index(_))));
}
