//! Wherever the process ends while a session is renewed or begun, the next one goes on with what is on disk: a whole session, or none.
//!
//! The points are global: this file has one test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use appview_core::syntax::Did;
use appviewd::account::{AccountStore, Actor, SessionState};
use appviewd::oauth::{SessionError, Use};
use fail::FailScenario;

use support::authority::Authority;
use support::exchange::{oauth, sign_in};
use support::service::{SESSION_KEY, ring};

fn list() -> Use {
    let collection = "dev.cocore.compute.job".parse().unwrap();
    Use::List { collection, limit: None, cursor: None, reverse: None }
}

fn state(store: &AccountStore, did: &Did) -> &'static str {
    match store.session(did).unwrap().map(|session| session.state) {
        Some(SessionState::Ready(_)) => "ready",
        Some(SessionState::Refreshing(_)) => "refreshing",
        Some(SessionState::NeedsSignIn) => "needs-sign-in",
        None => "none",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_under_way_is_gone_on_with_or_over() {
    let _points = FailScenario::setup();
    // Where it ends, what is on disk then, and what the next process makes of it.
    for (point, left, after) in [
        ("oauth::before-intent", "ready", "ready"),
        // Written down, and not sent: the server takes it.
        ("oauth::after-intent", "refreshing", "ready"),
        // Sent, and the answer is gone with the process: the server takes it no more.
        ("oauth::after-answer", "refreshing", "needs-sign-in"),
    ] {
        let authority = Authority::start().await;
        let folder = tempfile::tempdir().unwrap();
        let open = || AccountStore::open(folder.path().join("account.db"), Some(ring(SESSION_KEY))).unwrap();
        let ada: Did = authority.account().parse().unwrap();
        {
            let store = open();
            let oauth = oauth(&authority, store.clone(), folder.path(), 8080);
            sign_in(&oauth, &authority, ada.as_str()).await.unwrap();
            authority.expire_access();
            fail::cfg(point, "panic").unwrap();
            let ended = oauth.carry_out(&ada, &list(), &Actor::Browser).await;
            fail::remove(point);
            assert!(matches!(ended, Err(SessionError::Ended)), "{point} was not met: {ended:?}");
            assert_eq!(state(&store, &ada), left, "{point}");
        }
        let store = open();
        let oauth = oauth(&authority, store.clone(), folder.path(), 8080);
        oauth.resume().await;
        let used = oauth.carry_out(&ada, &list(), &Actor::Browser).await;
        assert_eq!(state(&store, &ada), after, "{point}");
        assert_eq!(used.is_ok_and(|heard| heard.status == 200), after == "ready", "{point}");
    }

    // A sign-in whose tokens could not be sealed: they are given up, and there is no session.
    let authority = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = AccountStore::open(folder.path().join("account.db"), Some(ring(SESSION_KEY))).unwrap();
    let oauth = oauth(&authority, store.clone(), folder.path(), 8080);
    let ada: Did = authority.account().parse().unwrap();
    fail::cfg("oauth::before-session", "panic").unwrap();
    assert!(sign_in(&oauth, &authority, ada.as_str()).await.is_err());
    fail::remove("oauth::before-session");
    assert_eq!(state(&store, &ada), "none");
    assert!(authority.sessions()[0].is_over);
}
