//! A refresh token is offered by one task at a time, to the account's own server, and whatever becomes of the answer no session is half
//! written, resurrected or lost without need.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use appview_core::source::http::Heard;
use appview_core::syntax::Did;
use appviewd::account::{AccountStore, Action, Actor, SessionState};
use appviewd::oauth::{OAuth, SessionError, Use};
use futures_util::future::join_all;
use tempfile::TempDir;

use support::authority::{Authority, Fault};
use support::exchange::{oauth, sign_in};
use support::service::{SESSION_KEY, ring};

struct Here {
    authority: Authority,
    oauth: OAuth,
    store: AccountStore,
    ada: Did,
    _folder: TempDir,
}

/// Somebody is signed in, and her access token has run out.
async fn expired() -> Here {
    let authority = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = AccountStore::open(folder.path().join("account.db"), Some(ring(SESSION_KEY))).unwrap();
    let oauth = oauth(&authority, store.clone(), folder.path(), 8080);
    let ada: Did = authority.account().parse().unwrap();
    sign_in(&oauth, &authority, ada.as_str()).await.unwrap();
    authority.expire_access();
    authority.forget_heard();
    Here { authority, oauth, store, ada, _folder: folder }
}

fn list() -> Use {
    let collection = "dev.cocore.compute.job".parse().unwrap();
    Use::List { collection, limit: None, cursor: None, reverse: None }
}

impl Here {
    async fn use_it(&self) -> Result<Heard, SessionError> {
        self.oauth.carry_out(&self.ada, &list(), &Actor::Browser).await
    }

    fn state(&self) -> &'static str {
        match self.store.session(&self.ada).unwrap().map(|session| session.state) {
            Some(SessionState::Ready(_)) => "ready",
            Some(SessionState::Refreshing(_)) => "refreshing",
            Some(SessionState::NeedsSignIn) => "needs-sign-in",
            None => "none",
        }
    }

    fn spent(&self) -> usize {
        let heard = self.authority.heard("/token");
        heard.iter().filter(|heard| heard.proof.as_ref().unwrap().get("nonce").is_some()).count()
    }

    fn actions(&self) -> Vec<Action> {
        let (entries, _) = self.store.audit(&self.ada, 50, None).unwrap();
        entries.into_iter().rev().map(|entry| entry.action).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_uses_at_once_renew_once() {
    let here = expired().await;
    let used = join_all((0..8).map(|_| here.use_it())).await;
    assert!(used.iter().all(|used| used.as_ref().is_ok_and(|heard| heard.status == 200)), "{used:?}");
    assert_eq!((here.spent(), here.state()), (1, "ready"));
    assert_eq!(here.actions().iter().filter(|action| **action == Action::Refreshed).count(), 1);
    assert_eq!(here.actions().iter().filter(|action| **action == Action::Listed).count(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_answer_was_lost_is_offered_again_and_then_the_session_is_over() {
    let here = expired().await;
    here.authority.go_wrong(Fault::TokenLost);
    assert!(matches!(here.use_it().await, Err(SessionError::Server(error)) if error.is_in_doubt()));
    assert_eq!(here.state(), "refreshing");
    here.authority.go_right();
    assert!(matches!(here.use_it().await, Err(SessionError::SignIn { .. })));
    assert_eq!(here.state(), "needs-sign-in");
    assert!(matches!(here.use_it().await, Err(SessionError::SignIn { .. })));
    assert_eq!(here.spent(), 2, "nobody is asked again");
    assert_eq!(here.actions().last(), Some(&Action::Lost));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_not_taken_the_token_costs_nothing() {
    let here = expired().await;
    for fault in [Fault::TokenBroken, Fault::TokenUnreachable, Fault::OtherResource, Fault::NoPar] {
        here.authority.go_wrong(fault);
        let failed = here.use_it().await;
        assert!(failed.is_err() && here.state() == "ready", "{fault:?}: {failed:?}");
        here.authority.go_right();
    }
    assert_eq!(here.use_it().await.unwrap().status, 200);
    assert_eq!(here.state(), "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_the_token_no_more_ends_the_session_and_its_tokens_are_erased() {
    let here = expired().await;
    here.authority.go_wrong(Fault::InvalidGrant);
    assert!(matches!(here.use_it().await, Err(SessionError::SignIn { .. })));
    assert_eq!(here.state(), "needs-sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_somebody_else_is_given_up_and_not_used() {
    let here = expired().await;
    here.authority.go_wrong(Fault::OtherSubject);
    assert!(matches!(here.use_it().await, Err(SessionError::SignIn { .. })));
    assert_eq!(here.state(), "needs-sign-in");
    assert!(here.authority.sessions()[0].is_over);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_it_may_leave_and_it_is_renewed_all_the_same() {
    let here = expired().await;
    here.authority.go_wrong(Fault::TokenSlow);
    let (oauth, ada) = (here.oauth.clone(), here.ada.clone());
    let waiting = tokio::spawn(async move { oauth.carry_out(&ada, &list(), &Actor::Browser).await });
    here.authority.asked_slowly(1).await;
    waiting.abort();
    assert!(waiting.await.is_err());
    here.authority.let_go();
    here.oauth.settled().await;
    assert_eq!((here.spent(), here.state()), (1, "ready"));
    assert_eq!(here.use_it().await.unwrap().status, 200);
    assert_eq!(here.spent(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_ended_meanwhile_stays_ended_and_its_tokens_are_given_up() {
    let here = expired().await;
    here.authority.go_wrong(Fault::TokenSlow);
    let (oauth, ada) = (here.oauth.clone(), here.ada.clone());
    let waiting = tokio::spawn(async move { oauth.carry_out(&ada, &list(), &Actor::Browser).await });
    here.authority.asked_slowly(1).await;
    assert!(here.store.end_session(&here.ada, here.oauth.now()).unwrap());
    here.authority.let_go();
    assert!(waiting.await.unwrap().is_err());
    here.oauth.settled().await;
    assert_eq!(here.state(), "none");
    assert!(here.authority.sessions()[0].is_over, "what came after the end was given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_has_another_server_is_not_used_by_the_former_ones_tokens() {
    let here = expired().await;
    let elsewhere = Authority::start().await;
    here.authority.town().world().migrate(here.ada.as_str(), &elsewhere.url());
    // Whatever was known of the account before.
    let fresh = oauth(&here.authority, here.store.clone(), here._folder.path(), 8080);
    let used = fresh.carry_out(&here.ada, &list(), &Actor::Browser).await;
    assert!(matches!(used, Err(SessionError::SignIn { .. })), "{used:?}");
    assert_eq!((here.spent(), here.state()), (0, "needs-sign-in"));
    assert!(elsewhere.heard("/token").is_empty() && elsewhere.heard("listRecords").is_empty());
    fresh.revoke_due().await;
    assert!(here.authority.sessions()[0].is_over);
}
