//! An operator has somebody's data wiped by a command: it tells what there is, does it, and says what is left and why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use fixtures::{Write, records};
use serde_json::Value as Json;

use support::Scenario;
use support::authority::Authority;
use support::process::{sign_in, start};

fn befriend(rkey: &str) -> Write {
    Write::create(records::FRIEND, rkey, records::friend("did:web:a.example", 0))
}

/// What a command tells in JSON, with its exit code.
fn told(scenario: &Scenario, arguments: &[&str]) -> (Option<i32>, Json) {
    let output = scenario.run(&[&["wipe", "--json", "--data-dir", "data"], arguments].concat());
    let told = serde_json::from_slice(&output.stdout);
    (output.status.code(), told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wiped_by_order_is_told_before_and_after() {
    let authority = Authority::start().await;
    let [ada, boris] = [(); 2].map(|()| authority.account());
    for did in [&ada, &boris] {
        authority.town().commit(did, vec![befriend("a"), befriend("b")]);
    }
    let scenario = Scenario::empty();
    let process = start(&scenario, &authority);
    let shown = || scenario.succeed(&["export", "--data-dir", "data"]).lines().count();
    while shown() != 4 {
        tokio::task::yield_now().await;
    }
    let left = |did: &str| authority.town().world().records(did).len();

    // A look changes nothing.
    let (code, look) = told(&scenario, &[&ada, "--dry-run"]);
    assert_eq!((code, &look["repo"][records::FRIEND], &look["index"]), (Some(0), &2.into(), &2.into()));
    assert_eq!((&look["hasSession"], left(&ada), shown()), (&false.into(), 2, 4));
    let text = scenario.succeed(&["wipe", &ada, "--dry-run", "--data-dir", "data"]);
    assert!(
        text.contains("2 dev.cocore.account.friend") && text.ends_with("Nothing was changed.\n"),
        "{text}"
    );

    // Nobody but its owner may delete in a repository: it waits for them, and erases nothing before.
    let (code, wipe) = told(&scenario, &[&ada]);
    assert_eq!(
        (code, &wipe["complete"], &wipe["waitsFor"]),
        (Some(1), &false.into(), &"sign-in".into()),
        "{wipe}"
    );
    assert_eq!((left(&ada), shown()), (2, 4));
    // She does, and it goes on by itself; whoever orders it again is told of the end.
    sign_in(process.address, &authority, &ada).await;
    let (code, wipe) = told(&scenario, &[&ada]);
    assert_eq!((code, &wipe["complete"], wipe.get("waitsFor")), (Some(0), &true.into(), None), "{wipe}");
    assert_eq!((left(&ada), shown()), (0, 2));

    // What is held here needs nobody else.
    let (code, wipe) = told(&scenario, &[&boris, "--only-here"]);
    assert_eq!((code, &wipe["complete"], &wipe["deleted"]), (Some(0), &true.into(), &0.into()), "{wipe}");
    assert_eq!((left(&boris), shown()), (2, 0));
    drop(process);
    let refused = scenario.fail(1, &["wipe", &boris, "--data-dir", "data"]);
    assert!(refused.contains("serve"), "it says what has to run: {refused}");
}
