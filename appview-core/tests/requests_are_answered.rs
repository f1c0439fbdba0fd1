//! What the pump asks for is answered by whoever knows it at the time, and by nobody else.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod outside;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use appview_core::index::{Index, IndexError, IndexWriter};
use appview_core::record::Catalog;
use appview_core::source::follow::{Answers, Following, Pulse, follow_in_place};
use appview_core::source::network::Network;
use appview_core::source::pump::{Answer, Batch, Input, Request, Sink, Upstream as _};
use appview_core::sync::verifier::Unresolved;
use appview_core::sync::{Freshness, Hosting, Postponed, Proof, RecordChange, RepoHead, Scope};
use appview_core::syntax::Did;
use fixtures::{KeyKind, World, Write, records};
use outside::{Asked, Asker, MadeUp, PDS, Said, not_registered, padded};
use serde_json::json;

const OTHER: &str = "https://other.example.com";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A world with one account, told by a directory and by two PDSes.
#[derive(Clone)]
struct Net(Arc<Mutex<Inner>>);

struct Inner {
    world: World,
    whose: String,
    /// Answers that take the place of what is true, by host and method.
    instead: BTreeMap<(&'static str, &'static str), Said>,
    /// What the directory says of everybody.
    of_directory: Option<(u16, &'static str)>,
}

impl Net {
    fn new() -> Self {
        let mut world = World::new(11);
        let whose = world.create_account(KeyKind::K256);
        world.genesis_frames(&whose);
        world.migrate(&whose, PDS);
        world.commit(
            &whose,
            vec![
                Write::create("dev.cocore.account.profile", "self", records::profile("Ada", 0)),
                Write::create("dev.cocore.account.friend", "a", records::friend("did:web:friend.example", 0)),
            ],
        );
        let whose = whose.to_string();
        Self(Arc::new(Mutex::new(Inner { world, whose, instead: BTreeMap::new(), of_directory: None })))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn instead(&self, host: &'static str, method: &'static str, said: Said) {
        self.with(|inner| inner.instead.insert((host.trim_start_matches("https://"), method), said));
    }

    fn did(&self) -> Did {
        self.with(|inner| inner.whose.parse().unwrap())
    }

    fn head(&self) -> RepoHead {
        self.with(|inner| {
            let head = inner.world.head(&inner.whose);
            RepoHead { rev: head.rev.parse().unwrap(), data: head.data.to_string().parse().unwrap() }
        })
    }

    fn commit(&self, rkey: &str) {
        self.with(|Inner { world, whose, .. }| {
            let friend = records::friend("did:web:friend.example", 0);
            world.advance(1_000_000);
            world.commit(whose, vec![Write::create("dev.cocore.account.friend", rkey, friend)]);
        });
    }

    fn made_up(&self) -> MadeUp {
        let net = self.clone();
        MadeUp::new(move |asked| net.with(|inner| inner.answer(asked)))
    }

    fn asker(&self) -> (MadeUp, Asker) {
        let made_up = self.made_up();
        let asker = Asker::new(&made_up);
        (made_up, asker)
    }
}

impl Inner {
    fn answer(&self, asked: &Asked) -> Said {
        let method = asked.method().rsplit('.').next().unwrap();
        let instead = self.instead.iter().find(|((host, of), _)| (*host, *of) == (asked.host(), method));
        if let Some((_, said)) = instead {
            return said.clone();
        }
        let Self { world, whose, .. } = self;
        match (asked.host(), method) {
            ("plc.example.com", "audit") => Said::json(&world.plc_entry(whose)["operations"]),
            ("plc.example.com", _) => match self.of_directory {
                Some((status, text)) => {
                    let message = format!("{text}: {}", asked.method());
                    Said::new(status, json!({ "message": message }).to_string())
                }
                None => Said::json(&world.did_document(whose)),
            },
            (_, "getRepo") => Said::new(200, world.car(whose)),
            (_, "getLatestCommit") => {
                let head = world.head(whose);
                Said::json(&json!({"cid": head.commit.to_string(), "rev": head.rev}))
            }
            (_, "getRepoStatus") => {
                Said::json(&json!({"did": whose, "active": true, "rev": world.head(whose).rev}))
            }
            other => panic!("{other:?}"),
        }
    }
}

fn inactive() -> Said {
    Said::error(400, "RepoDeactivated")
}

#[tokio::test(start_paused = true)]
async fn a_repository_is_fetched_and_proven_unless_its_host_has_what_is_held() {
    let net = Net::new();
    let (made_up, mut asker) = net.asker();
    let request = |held| Request::Repo { did: net.did(), held, attempt: 0, not_before: 0 };
    asker.asking.ask(request(None));
    let Answer::Repo { repo, .. } = asker.answer().await else { panic!("a repository") };
    assert_eq!((repo.head(), repo.proof()), (net.head(), Proof::Full));
    assert_eq!(made_up.times("com.atproto.sync.getLatestCommit"), 0);

    asker.asking.ask(request(Some(net.head())));
    let Answer::Current { head, .. } = asker.answer().await else { panic!("it is current") };
    assert_eq!(head, net.head());
    assert_eq!(made_up.times("com.atproto.sync.getRepo"), 1);

    let held = net.head();
    net.commit("b");
    asker.asking.ask(request(Some(held)));
    let Answer::Repo { repo, .. } = asker.answer().await else { panic!("a repository") };
    assert_eq!(repo.head(), net.head());
    let backlog = asker.network.progress.read(outside::BEGIN);
    assert_eq!((backlog.waiting, backlog.settled), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_its_former_host_has_signed_is_proven_by_the_audit_log() {
    let net = Net::new();
    net.with(|Inner { world, whose, .. }| {
        world.advance(1_000_000);
        world.rotate_key(whose, KeyKind::P256);
        world.migrate(whose, OTHER);
    });
    let (made_up, mut asker) = net.asker();
    asker.asking.ask(Request::Repo { did: net.did(), held: None, attempt: 0, not_before: 0 });
    let Answer::Repo { repo, .. } = asker.answer().await else { panic!("a repository") };
    assert_eq!(repo.proof(), Proof::Provisional);
    assert_eq!(made_up.times("audit"), 1);
    assert_eq!(made_up.asked_of(PDS).len(), 0, "the account has left it");
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_is_not_proven_is_tried_again_until_it_is() {
    let net = Net::new();
    let forged = net.with(|Inner { world, .. }| {
        // Somebody else's, whole and well signed.
        let other = world.create_account(KeyKind::K256);
        world.genesis_frames(&other);
        world.car(&other)
    });
    net.instead(PDS, "getRepo", Said::new(200, forged));
    let (_, mut asker) = net.asker();
    asker.asking.ask(Request::Repo { did: net.did(), held: None, attempt: 0, not_before: 0 });
    for attempt in 1..=3 {
        let Input::Postponed { did, postponed } = asker.hear().await else { panic!("it is put off") };
        assert_eq!((did, postponed.attempt), (net.did(), attempt));
    }
    net.with(|inner| inner.instead.clear());
    let Answer::Repo { repo, .. } = asker.answer().await else { panic!("a repository") };
    assert_eq!(repo.head(), net.head());
}

#[tokio::test(start_paused = true)]
async fn a_disk_of_ours_that_fails_costs_a_repository_no_attempt() {
    let net = Net::new();
    let large = padded(net.with(|inner| inner.world.car(&inner.whose)), 6);
    net.instead(PDS, "getRepo", Said::new(200, large));
    let made_up = net.made_up();
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let mut asker = Asker::spooling(&made_up, spool.clone());
    asker.asking.ask(Request::Repo { did: net.did(), held: None, attempt: 3, not_before: 0 });
    for _ in 0..20 {
        let Input::Postponed { did, postponed } = asker.hear().await else { panic!("it is put off") };
        assert_eq!((did, postponed.attempt), (net.did(), 3));
        let pause = Duration::from_micros(postponed.until - made_up.now());
        assert!(pause > secs(60) && pause <= secs(300), "{pause:?}");
    }
    std::fs::create_dir(&spool).unwrap();
    let Answer::Repo { repo, .. } = asker.answer().await else { panic!("a repository") };
    assert!(repo.is_file());
    assert_eq!(repo.head(), net.head());
}

#[tokio::test(start_paused = true)]
async fn an_account_is_as_its_present_host_says() {
    for (said, hosting) in [
        (
            Said::json(&json!({"did": "did:plc:x", "active": false, "status": "takendown"})),
            Hosting::Takendown,
        ),
        (Said::error(400, "RepoDeactivated"), Hosting::Deactivated),
        (Said::error(404, "RepoNotFound"), Hosting::Deleted),
    ] {
        let net = Net::new();
        net.instead(PDS, "getRepoStatus", said);
        let (_, mut asker) = net.asker();
        asker.asking.ask(Request::Hosting { did: net.did() });
        let Answer::Hosting { hosting: told, .. } = asker.answer().await else { panic!("an answer") };
        assert_eq!(told, hosting);
    }
}

#[tokio::test(start_paused = true)]
async fn whom_a_directory_does_not_know_is_hidden_and_only_who_is_tombstoned_is_deleted() {
    for (status, text, expected) in [
        (404, "DID not registered", Hosting::Inactive),
        (404, "DID not available", Hosting::Deleted),
        (410, "DID not available", Hosting::Deleted),
    ] {
        for request in about_an_account() {
            let net = Net::new();
            net.with(|inner| inner.of_directory = Some((status, text)));
            let (made_up, mut asker) = net.asker();
            asker.asking.ask(request(net.did(), net.head()));
            let Answer::Hosting { hosting, .. } = asker.answer().await else { panic!("an answer") };
            assert_eq!(hosting, expected, "{status} {text}");
            assert_eq!(made_up.asked().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_did_web_whose_host_has_lost_its_document_is_hidden_and_not_deleted() {
    for status in [404, 410] {
        for request in about_an_account() {
            let made_up = MadeUp::new(move |_| Said::new(status, "<html>nothing here</html>"));
            let mut asker = Asker::new(&made_up);
            asker.asking.ask(request("did:web:ada.example.com".parse().unwrap(), Net::new().head()));
            let Answer::Hosting { hosting, .. } = asker.answer().await else { panic!("an answer") };
            assert_eq!(hosting, Hosting::Inactive);
        }
    }
}

/// The questions that may be answered with how an account is hosted.
fn about_an_account() -> [fn(Did, RepoHead) -> Request; 3] {
    [
        |did, _| Request::Repo { did, held: None, attempt: 0, not_before: 0 },
        |did, _| Request::Hosting { did },
        |did, held| Request::Audit { did, held },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_hosting_that_nobody_can_tell_is_left_at_that() {
    let net = Net::new();
    net.instead(PDS, "getRepoStatus", Said::error(500, "InternalServerError"));
    let (made_up, mut asker) = net.asker();
    asker.asking.ask(Request::Hosting { did: net.did() });
    assert!(asker.hear_within(secs(3600)).await.is_none());
    assert_eq!(made_up.times("com.atproto.sync.getRepoStatus"), 3);
}

#[tokio::test(start_paused = true)]
async fn an_audit_tells_what_the_host_has() {
    let net = Net::new();
    let (made_up, mut asker) = net.asker();
    let audit = |held| Request::Audit { did: net.did(), held };
    let held = net.head();
    asker.asking.ask(audit(held));
    let Answer::Current { head, .. } = asker.answer().await else { panic!("it is current") };
    assert_eq!(head, held);
    net.commit("b");
    asker.asking.ask(audit(held));
    let Answer::Behind { rev, .. } = asker.answer().await else { panic!("it is behind") };
    assert_eq!(rev, net.head().rev);
    assert_eq!(made_up.times("com.atproto.sync.getRepo"), 0, "an audit fetches nothing");
    assert_eq!(made_up.asked_of(outside::PLC).len(), 1, "who signs is known for an hour");

    net.instead(PDS, "getLatestCommit", inactive());
    asker.asking.ask(audit(held));
    let Answer::Hosting { hosting, .. } = asker.answer().await else { panic!("an answer") };
    assert_eq!(hosting, Hosting::Deactivated);
    assert_eq!(made_up.asked_of(outside::PLC).len(), 2, "bad news is checked against the newest document");
}

#[tokio::test(start_paused = true)]
async fn what_a_host_says_of_an_account_that_has_left_it_is_not_believed() {
    for request in [
        |did, held| Request::Audit { did, held },
        |did, held| Request::Repo { did, held: Some(held), attempt: 0, not_before: 0 },
    ] {
        let net = Net::new();
        let (made_up, mut asker) = net.asker();
        asker.asking.ask(Request::Identity { did: net.did(), freshness: Freshness::Cached });
        let _ = asker.answer().await;
        // It leaves while the host is thinking.
        let leaves = net.clone();
        let leaving = tokio::spawn(async move {
            tokio::time::sleep(secs(2)).await;
            leaves.with(|Inner { world, whose, .. }| world.migrate(whose, OTHER));
        });
        net.instead(PDS, "getLatestCommit", inactive().after(secs(4)));
        asker.asking.ask(request(net.did(), net.head()));
        let Answer::Current { identity, .. } = asker.answer().await else {
            panic!("it is current at its new host")
        };
        assert_eq!(identity.pds(), Some(OTHER));
        assert_eq!(made_up.asked_of(OTHER).len(), 1);
        leaving.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_audit_that_nobody_answers_is_left_to_the_next() {
    let net = Net::new();
    net.instead(PDS, "getLatestCommit", Said::error(500, "InternalServerError"));
    let (made_up, mut asker) = net.asker();
    asker.asking.ask(Request::Audit { did: net.did(), held: net.head() });
    let Answer::Unaudited { did } = asker.answer().await else { panic!("nobody was asked") };
    assert_eq!(did, net.did());
    assert_eq!(made_up.asked_of(PDS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_record_is_told_with_its_proof_or_not_at_all() {
    let net = Net::new();
    let path: appview_core::syntax::RepoPath = "dev.cocore.account.profile/self".parse().unwrap();
    let car = net.with(|Inner { world, whose, .. }| world.car(whose));
    net.instead(PDS, "getRecord", Said::new(200, car.clone()));
    let (made_up, mut asker) = net.asker();
    let request = || Request::Record { did: net.did(), path: path.clone() };
    asker.asking.ask(request());
    let Answer::Record { record, .. } = asker.answer().await else { panic!("a record") };
    assert_eq!(record.head(), net.head());
    assert!(matches!(record.change(), RecordChange::Put { .. }));
    let asked = &made_up.asked_of(PDS)[0];
    assert_eq!(asked.param("collection").as_deref(), Some("dev.cocore.account.profile"));
    assert_eq!(asked.param("rkey").as_deref(), Some("self"));

    let mut broken = car;
    let last = broken.len() - 1;
    broken[last] ^= 1;
    for said in [Said::new(200, broken), Said::error(400, "RecordNotFound"), Said::refused(), Said::silence()]
    {
        net.instead(PDS, "getRecord", said);
        asker.asking.ask(request());
        assert!(asker.hear_within(secs(3600)).await.is_none());
    }
    assert_eq!(made_up.times("com.atproto.sync.getRecord"), 5, "once each: the repository is fetched anyway");
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_the_same_ten_thousand_times_has_one_errand_run_and_what_was_asked_last_counts() {
    let net = Net::new();
    net.instead(PDS, "getRepo", Said::silence());
    net.instead(PDS, "getRepoStatus", Said::silence());
    let (made_up, mut asker) = net.asker();
    for flip in 0..10_000 {
        asker.asking.ask(Request::Hosting { did: net.did() });
        asker.asking.ask(Request::Repo { did: net.did(), held: None, attempt: 0, not_before: 0 });
        if flip % 1_000 == 0 {
            tokio::time::sleep(secs(1)).await;
        }
    }
    tokio::time::sleep(secs(1)).await;
    assert_eq!(asker.network.progress.read(made_up.now()).waiting, 1);
    let begun = made_up.asked_of(PDS).len();
    assert!(begun <= 2, "{begun} requests at a host that answers none");

    net.with(|inner| inner.instead.clear());
    asker.asking.ask(Request::Repo { did: net.did(), held: Some(net.head()), attempt: 0, not_before: 0 });
    let (mut repos, mut hostings) = (0, 0);
    while let Some(input) = asker.hear_within(secs(2 * 3600)).await {
        match input {
            Input::Answer(Answer::Current { head, .. }) => {
                assert_eq!(head, net.head());
                repos += 1;
            }
            Input::Answer(Answer::Hosting { .. }) => hostings += 1,
            Input::Postponed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((repos, hostings), (1, 1));
    assert_eq!(asker.network.progress.read(made_up.now()).waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_while_the_answer_is_on_its_way_is_answered_afterwards() {
    let net = Net::new();
    let car = net.with(|inner| inner.world.car(&inner.whose));
    net.instead(PDS, "getRepo", Said::new(200, car).after(secs(4)));
    let (made_up, mut asker) = net.asker();
    let before = net.head();
    let request = || Request::Repo { did: net.did(), held: None, attempt: 0, not_before: 0 };
    asker.asking.ask(request());
    tokio::time::sleep(secs(2)).await;
    assert_eq!(made_up.times("com.atproto.sync.getRepo"), 1);
    net.commit("b");
    net.with(|inner| inner.instead.clear());
    for _ in 0..100 {
        asker.asking.ask(request());
    }
    for head in [before, net.head()] {
        let Answer::Repo { repo, .. } = asker.answer().await else { panic!("a repository") };
        assert_eq!(repo.head(), head);
    }
    assert!(asker.hear_within(secs(3600)).await.is_none(), "a hundred are one");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_put_off_is_hurried_by_who_asks_again_but_once_a_minute() {
    let net = Net::new();
    let (made_up, mut asker) = net.asker();
    net.instead(PDS, "getRepo", Said::new(200, "no export"));
    let request = || Request::Repo { did: net.did(), held: None, attempt: 0, not_before: 0 };
    asker.asking.ask(request());
    while made_up.times("com.atproto.sync.getRepo") < 8 {
        assert!(asker.hear_within(secs(3600)).await.is_some());
    }
    // A pause of minutes has begun.
    for _ in 0..50 {
        asker.asking.ask(request());
        tokio::time::sleep(secs(1)).await;
    }
    assert_eq!(made_up.times("com.atproto.sync.getRepo"), 9);
    net.with(|Inner { world, whose, .. }| world.migrate(whose, OTHER));
    asker.asking.ask(request());
    tokio::time::sleep(secs(15)).await;
    assert_eq!(made_up.asked_of(OTHER).len(), 1, "who has moved need not wait for the former host's pause");
    let Answer::Repo { .. } = asker.answer().await else { panic!("a repository") };
}

#[tokio::test(start_paused = true)]
async fn whose_identity_is_one_too_many_is_unreachable_at_once_until_others_are_answered() {
    let made_up = MadeUp::new(not_registered);
    let mut asker = Asker::new(&made_up);
    let ask = |asker: &mut Asker, number| {
        asker.asking.ask(Request::Identity { did: outside::did(number), freshness: Freshness::Cached })
    };
    for number in 0..10_000 {
        assert!(ask(&mut asker, number).is_none());
    }
    let Some(Answer::Identity { did, identity }) = ask(&mut asker, 10_000) else {
        panic!("there is no room")
    };
    assert_eq!((did, identity.unwrap_err()), (outside::did(10_000), Unresolved::Unreachable));
    for _ in 0..10_000 {
        let Answer::Identity { .. } = asker.answer().await else { panic!("an identity") };
    }
    assert!(ask(&mut asker, 10_000).is_none());
    let Answer::Identity { did, identity } = asker.answer().await else { panic!("an identity") };
    assert_eq!((did, identity.unwrap_err()), (outside::did(10_000), Unresolved::Gone));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_one_too_many_is_not_asked_for_until_others_are_done() {
    let made_up = MadeUp::new(|asked| match asked.host() {
        "plc.example.com" => {
            let host = outside::number(asked.method()) % 500;
            Said::json(&outside::document(asked.method(), &format!("https://h{host}.example.com")))
        }
        _ => Said::error(400, "RecordNotFound"),
    });
    let mut asker = Asker::new(&made_up);
    let path: appview_core::syntax::RepoPath = "dev.cocore.account.profile/self".parse().unwrap();
    let mut ask = |number| {
        assert!(
            asker.asking.ask(Request::Record { did: outside::did(number), path: path.clone() }).is_none()
        );
    };
    (0..10_100).for_each(&mut ask);
    tokio::time::sleep(secs(2 * 3600)).await;
    let asked = || made_up.times("com.atproto.sync.getRecord");
    assert_eq!(asked(), 10_000);
    ask(10_000);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(asked(), 10_001);
}

/// Lends its writer to a following.
struct Lent(IndexWriter);

impl AsRef<IndexWriter> for Lent {
    fn as_ref(&self) -> &IndexWriter {
        &self.0
    }
}

impl Sink for Lent {
    type Error = IndexError;

    fn write(&mut self, batch: Batch) -> Result<(), IndexError> {
        (&mut self.0).write(batch)
    }
}

/// Follows nobody but `whose` for a time, with an index that outlives it; returns what that remembers of a fetch that
/// failed.
async fn live(made_up: &MadeUp, index: &Index, whose: &Did, time: Duration) -> Postponed {
    let outside = made_up.outside();
    let network = Network::new(&outside, outside::PLC, std::env::temp_dir(), Scope::default());
    let answers = Answers::Network { network, collections: Vec::new() };
    let following = Following::new(Vec::new(), answers, outside);
    let orders = following.orders.clone();
    let until = async {
        // The first poll of it comes after the start.
        tokio::task::yield_now().await;
        orders.send(Input::Track(whose.clone())).await.unwrap();
        tokio::time::sleep(time).await;
    };
    let writer = index.writer(Catalog::builtin().unwrap()).unwrap();
    follow_in_place(Lent(writer), following, &Pulse::default(), until).await.unwrap();
    let writer = index.writer(Catalog::builtin().unwrap()).unwrap();
    let followed = writer.repo_states().map(Result::unwrap).next().unwrap();
    followed.watch.postponed.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_back_off_outlives_the_process() {
    let net = Net::new();
    net.instead(PDS, "getRepo", Said::new(200, "no export"));
    let made_up = net.made_up();
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path().join("index.db")).unwrap();
    let before = live(&made_up, &index, &net.did(), secs(2 * 3600)).await;
    let asked = made_up.asked().len();
    assert!(before.attempt > 8 && before.until > made_up.now() + 1_000_000, "{before:?}");

    let after = live(&made_up, &index, &net.did(), secs(2 * 3600)).await;
    let first = &made_up.asked()[asked];
    let due = Duration::from_micros(before.until - outside::BEGIN);
    assert!(first.at >= due && first.at < due + secs(1), "{:?} instead of {due:?}", first.at);
    assert!(after.attempt > before.attempt, "{after:?} goes on from {before:?}");
}
