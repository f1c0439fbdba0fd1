//! People see and change what is theirs on pages of this service: nobody else's page or form does, and what opens a door is shown once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use appviewd::account::{Action, Actor, Entry};
use appviewd::config::{Access, Operator};
use form_urlencoded::Serializer;
use serde_json::{Value as Json, json};
use support::authority::Authority;
use support::exchange::{Exchange, Streams, cookies, friend};
use support::http::{Reply, send, send_body};
use support::people::Person;
use support::served::followed_by;
use support::service::{SESSION_KEY, Service, ring};

const READS_PAGES: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const FRIEND: &str = "dev.cocore.account.friend";
const PATIENCE: Duration = Duration::from_secs(60);

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.clone()).unwrap()
}

fn heading(html: &str) -> &str {
    let rest = html.split_once("<h1").unwrap().1;
    rest.split_once('>').unwrap().1.split_once("</h1>").unwrap().0
}

/// What every form on a page has.
fn field(html: &str) -> String {
    let rest = html.split_once("name=\"session\" value=\"").expect("there is a form").1;
    rest.split_once('"').unwrap().0.to_owned()
}

async fn page(address: SocketAddr, path: &str, cookie: &str) -> Reply {
    let headers = [READS_PAGES, ("Cookie", cookie)];
    let headers = if cookie.is_empty() { &headers[..1] } else { &headers };
    send(address, &format!("GET {path}"), headers).await
}

/// Sends a form as a browser does that shows a page of ours, which tells nobody where it was.
async fn submit(address: SocketAddr, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Reply {
    submit_from(address, path, cookie, fields, &[("Origin", "null"), ("Sec-Fetch-Site", "same-origin")]).await
}

async fn submit_from(
    address: SocketAddr,
    path: &str,
    cookie: &str,
    fields: &[(&str, &str)],
    from: &[(&str, &str)],
) -> Reply {
    let body = Serializer::new(String::new()).extend_pairs(fields).finish();
    let headers = [[FORM, READS_PAGES, ("Cookie", cookie)].as_slice(), from].concat();
    send_body(address, &format!("POST {path}"), &headers, body.as_bytes()).await
}

/// Somebody who is signed in, at their own page.
struct Signed {
    exchange: Exchange,
    authority: Authority,
    did: String,
    cookie: String,
    field: String,
}

impl Signed {
    async fn in_here() -> Self {
        let authority = Authority::start().await;
        let exchange = Exchange::start(&authority, Streams::Relay).await;
        let did = authority.account().to_string();
        let cookie = exchange.sign_in(&authority, &did).await;
        let field = field(&text(&page(exchange.address, "/account", &cookie).await));
        Self { exchange, authority, did, cookie, field }
    }

    async fn page(&self, path: &str) -> String {
        let reply = page(self.exchange.address, path, &self.cookie).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.head);
        text(&reply)
    }

    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let fields = [&[("session", self.field.as_str())], fields].concat();
        submit(self.exchange.address, path, &self.cookie, &fields).await
    }

    /// Goes on until the page of the wipe has this heading.
    async fn until(&self, wanted: &str) -> String {
        let found = async {
            loop {
                let html = self.page("/account/wipe").await;
                if heading(&html) == wanted {
                    return html;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the wipe goes on")
    }

    async fn publish(&self, key: &str) -> Reply {
        let record = json!({"collection": FRIEND, "record": friend("did:web:friend.example")});
        self.exchange.publish(key, "/pds/createRecord", &record).await
    }
}

/// The one key on a page.
fn key_on(html: &str) -> Option<String> {
    let rest = html.split_once("data-copy=\"key\">")?.1;
    Some(rest.split_once("</code>")?.0.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_by_a_form_and_needs_no_script() {
    let authority = Authority::start().await;
    let exchange = Exchange::start(&authority, Streams::None).await;
    let ada = authority.account().to_string();
    let reply = page(exchange.address, "/account", "").await;
    assert_eq!((reply.header("set-cookie"), reply.header("cache-control")), (None, Some("no-store")));
    let html = text(&reply);
    assert!(html.contains("<form class=\"panel\" method=\"post\" action=\"/account/sign-in\">"), "{html}");

    let said = [("account", ada.as_str()), ("returnTo", "/account")];
    let begun = submit(exchange.address, "/account/sign-in", "", &said).await;
    assert_eq!(begun.status, 200, "{}", text(&begun));
    let url = begun.header("refresh").unwrap().strip_prefix("0;url=").unwrap().to_owned();
    assert!(url.starts_with(&authority.url()), "{url}");
    assert!(text(&begun).contains(&format!("href=\"{}\"", url.replace('&', "&amp;"))), "{}", text(&begun));
    let cookie = begun.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");

    let reply = exchange.come_back(&authority.approve(&ada, &url), &cookies(&begun)[0]).await;
    assert_eq!((reply.status, reply.header("location")), (303, Some("/account")));
    let cookie = cookies(&reply).into_iter().find(|cookie| cookie.starts_with("appview=")).unwrap();
    let reply = page(exchange.address, "/account", &cookie).await;
    assert_eq!((reply.status, reply.header("cache-control")), (200, Some("no-store")));
    assert_eq!((reply.header("etag"), reply.header("set-cookie")), (None, None));
    assert!(text(&reply).contains(&ada) && text(&reply).contains("This browser"));

    // Nobody is asked at all for what names nobody, and for no form of another site.
    let wrong = submit(exchange.address, "/account/sign-in", "", &[("account", "not a handle")]).await;
    assert_eq!((wrong.status, heading(&text(&wrong))), (400, "That cannot be done"));
    for from in [
        [("Origin", "https://evil.example")].as_slice(),
        &[("Origin", "null")],
        &[("Origin", "null"), ("Sec-Fetch-Site", "cross-site")],
        &[],
    ] {
        let evil = submit_from(exchange.address, "/account/sign-in", "", &said, from).await;
        assert_eq!((evil.status, heading(&text(&evil))), (403, "Not from one of our pages"), "{from:?}");
    }
    // What comes back twice is told in words, with a way to begin again.
    let reply = page(exchange.address, "/oauth/callback?state=a&code=b&iss=c", "").await;
    assert_eq!((reply.status, heading(&text(&reply))), (400, "You are not signed in"));
    assert!(text(&reply).contains("href=\"/account\""));
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_on_one_page_once_and_is_revoked_and_deleted_there() {
    let ada = Signed::in_here().await;
    let made = ada.submit("/account/keys", &[("name", "<b>laptop</b>"), ("days", "90")]).await;
    assert_eq!((made.status, made.header("cache-control")), (200, Some("no-store")), "{}", text(&made));
    let html = text(&made);
    let key = key_on(&html).expect("the key is shown");
    assert!(html.contains("&lt;b&gt;laptop&lt;/b&gt;") && !html.contains("<b>laptop"), "{html}");
    assert_eq!(ada.publish(&key).await.status, 200);

    let again = ada.page("/account").await;
    assert!(!again.contains(&key) && key_on(&again).is_none(), "it is shown once");
    assert!(again.contains(&key[..15]) && again.contains("active</span>"), "{again}");
    assert!(again.contains("published <code"), "what it was used for is told: {again}");
    let [held] = &ada.exchange.store.keys(appviewd::account::KeyOf::Anyone).unwrap()[..] else { panic!() };
    // Counted from when the form came, which was a moment before.
    let (lasts, days) = (held.expires_at.unwrap() - held.created_at, 90 * 24 * 60 * 60 * 1_000_000);
    assert!(lasts <= days && days - lasts < 60_000_000, "{lasts}");

    let (revoke, delete) =
        (format!("/account/keys/{}/revoke", held.id), format!("/account/keys/{}/delete", held.id));
    assert!(again.contains(&revoke));
    let revoked = ada.submit(&revoke, &[]).await;
    assert_eq!((revoked.status, revoked.header("location")), (303, Some("/account")));
    assert_eq!(ada.publish(&key).await.status, 401);
    let html = ada.page("/account").await;
    assert!(html.contains("revoked</span>") && html.contains(&delete), "{html}");
    assert_eq!(ada.submit(&delete, &[]).await.status, 303);
    assert!(ada.page("/account").await.contains("You have no API key."));

    for (fields, why) in [
        ([("name", ""), ("days", "")], "Name: expected 1 to 100 characters"),
        ([("name", "a"), ("days", "0")], "Days: expected a number from 1 to 3650"),
        ([("name", "a"), ("days", "soon")], "days"),
    ] {
        let refused = ada.submit("/account/keys", &fields).await;
        assert_eq!(refused.status, 400);
        assert!(text(&refused).contains(why), "{}", text(&refused));
    }
    ada.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_counts_only_from_a_page_of_the_same_session() {
    let ada = Signed::in_here().await;
    let boris = ada.authority.account().to_string();
    let his = ada.exchange.sign_in(&ada.authority, &boris).await;
    let his_field = field(&text(&page(ada.exchange.address, "/account", &his).await));
    assert_ne!(ada.field, his_field);
    let did = ada.did.parse().unwrap();
    let paths = [
        "/account/keys",
        "/account/keys/0/revoke",
        "/account/keys/0/delete",
        "/account/sign-out",
        "/account/sign-out-everywhere",
        "/account/wipe/new",
        "/account/wipe/retry",
        "/account/leave",
    ];
    let all = |field: &'static str, value: &str| {
        [(field, value.to_owned()), ("name", "a".to_owned()), ("confirm", ada.did.clone())]
    };
    for path in paths {
        for fields in [all("session", &his_field), all("session", ""), all("other", &ada.field)] {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let reply = submit(ada.exchange.address, path, &ada.cookie, &fields).await;
            assert_eq!((reply.status, heading(&text(&reply))), (403, "Not from one of our pages"), "{path}");
        }
        // The right field, by another site's page, which it could not know.
        let right = [("session", ada.field.as_str()), ("name", "a"), ("confirm", ada.did.as_str())];
        for from in [[("Origin", "https://evil.example")].as_slice(), &[("Sec-Fetch-Site", "same-site")], &[]]
        {
            let reply = submit_from(ada.exchange.address, path, &ada.cookie, &right, from).await;
            assert_eq!(reply.status, 403, "{path} {from:?}");
        }
        let nobody = submit(ada.exchange.address, path, "appview=nobody", &right).await;
        assert_eq!((nobody.status, heading(&text(&nobody))), (401, "Sign in first"), "{path}");
        // What a form does is not done by looking.
        assert!([405, 200].contains(&page(ada.exchange.address, path, &ada.cookie).await.status), "{path}");
    }
    assert!(ada.exchange.store.keys(appviewd::account::KeyOf::Anyone).unwrap().is_empty());
    assert!(ada.exchange.wiper.newest(&did).await.unwrap().is_none());
    assert!(ada.page("/account").await.contains("This browser"), "she is signed in still");
    ada.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wipes_types_who_they_are_and_sees_it_go() {
    let ada = Signed::in_here().await;
    let key = ada.exchange.key(&ada.did);
    for _ in 0..3 {
        assert_eq!(ada.publish(&key).await.status, 200);
    }
    let html = ada.page("/account/wipe/new").await;
    for told in
        ["3 records", "3 rows", "1 key", &format!("<code>{FRIEND}</code>"), "Nothing has been changed yet."]
    {
        assert!(html.contains(told), "{told}: {html}");
    }
    let did = ada.did.parse().unwrap();
    for wrong in ["", "ada", "did:web:other.example"] {
        let refused = ada.submit("/account/wipe/new", &[("confirm", wrong)]).await;
        assert_eq!((refused.status, heading(&text(&refused))), (400, "That cannot be done"));
    }
    assert!(ada.exchange.wiper.newest(&did).await.unwrap().is_none() && ada.exchange.indexed().len() == 3);
    let nothing = page(ada.exchange.address, "/account/wipe", &ada.cookie).await;
    assert_eq!((nothing.status, nothing.header("location")), (303, Some("/account/wipe/new")));

    let begun = ada.submit("/account/wipe/new", &[("confirm", &ada.did)]).await;
    assert_eq!((begun.status, begun.header("location")), (303, Some("/account/wipe")));
    let html = ada.until("Your data is wiped").await;
    assert!(html.contains("3 records deleted") && !html.contains("data-live"), "{html}");
    assert_eq!(html.matches("done</span>").count(), 3, "{html}");
    assert!(ada.exchange.indexed().is_empty() && ada.authority.town().world().records(&ada.did).is_empty());
    assert_eq!(ada.publish(&key).await.status, 401, "keys are gone");
    // Programs ask at the same place.
    let told = send(ada.exchange.address, "GET /account/wipe", &[("Cookie", &ada.cookie)]).await;
    assert_eq!(told.json()["wipe"]["complete"], json!(true));

    // Once more, with the sessions: what is left of this browser is told that it is over, and forgets its cookie.
    let ends = [("confirm", ada.did.as_str()), ("endSessions", "true")];
    assert_eq!(ada.submit("/account/wipe/new", &ends).await.status, 303);
    let over = async {
        loop {
            let reply = page(ada.exchange.address, "/account/wipe", &ada.cookie).await;
            if heading(&text(&reply)) == "You are signed out" {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let reply = tokio::time::timeout(PATIENCE, over).await.expect("sessions end");
    assert!(reply.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert!(text(&reply).contains("A wipe of yours has ended your sessions"));
    assert_eq!(heading(&text(&page(ada.exchange.address, "/account/wipe", "").await)), "Sign in");
    ada.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_keeps_their_repository_and_is_not_shown() {
    let ada = Signed::in_here().await;
    let key = ada.exchange.key(&ada.did);
    assert_eq!(ada.publish(&key).await.status, 200);
    assert!(ada.page("/account/leave").await.contains("Delete my account here"));
    assert_eq!(ada.submit("/account/leave", &[("confirm", "somebody")]).await.status, 400);
    assert_eq!(ada.exchange.indexed().len(), 1);
    assert_eq!(ada.submit("/account/leave", &[("confirm", &ada.did)]).await.status, 303);
    let gone = async {
        while page(ada.exchange.address, "/account", &ada.cookie).await.header("set-cookie").is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("she is forgotten");
    assert!(ada.exchange.indexed().is_empty());
    assert_eq!(ada.authority.town().world().records(&ada.did).len(), 1, "her repository is hers");
    ada.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_this_browser_and_everywhere_ends_all() {
    let ada = Signed::in_here().await;
    let other = ada.exchange.sign_in(&ada.authority, &ada.did).await;
    let key = ada.exchange.key(&ada.did);
    assert_eq!(ada.page("/account").await.matches("Another browser").count(), 1);
    let out = ada.submit("/account/sign-out", &[]).await;
    assert_eq!((out.status, out.header("location")), (303, Some("/account")));
    assert!(out.header("set-cookie").unwrap().starts_with("appview=; Path=/; Max-Age=0; HttpOnly"));
    let stale = page(ada.exchange.address, "/account", &ada.cookie).await;
    assert_eq!(heading(&text(&stale)), "You are signed out");
    assert_eq!(ada.publish(&key).await.status, 200, "keys go on working");

    let his = field(&text(&page(ada.exchange.address, "/account", &other).await));
    let all =
        submit(ada.exchange.address, "/account/sign-out-everywhere", &other, &[("session", &his)]).await;
    let html = text(&all);
    assert_eq!((all.status, heading(&html)), (200, "Signed out everywhere"));
    assert!(html.contains("1 browser is signed out") && html.contains("1 API key is revoked"), "{html}");
    assert_eq!(ada.publish(&key).await.status, 401);
    ada.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_told_page_by_page_and_what_it_names_is_text() {
    let ada = Signed::in_here().await;
    let did = ada.did.parse().unwrap();
    for at in 0..60 {
        let entry = Entry::new(at, Action::Listed, Actor::Daemon).to(format!("<i>{at}</i>"));
        ada.exchange.store.note(&did, &entry).unwrap();
    }
    let (mut path, mut seen) = ("/account".to_owned(), 0);
    loop {
        let html = ada.page(&path).await;
        assert!(!html.contains("<i>"), "{html}");
        seen += html.matches("&lt;i&gt;").count() / 2;
        let Some((_, rest)) =
            html.split_once("rel=\"next\"").map(|_| html.split_once("/account?before=").unwrap())
        else {
            break;
        };
        path = format!("/account?before={}", rest.split(['#', '"']).next().unwrap());
    }
    assert_eq!(seen, 60);
    ada.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_for_one_person_is_kept_nowhere_and_loads_nothing() {
    let ada = Signed::in_here().await;
    for path in ["/account", "/account/wipe/new", "/account/leave", "/account/wipe", "/privacy"] {
        let reply = page(ada.exchange.address, path, &ada.cookie).await;
        let html = text(&reply);
        if path != "/privacy" {
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
            assert_eq!((reply.header("etag"), reply.header("content-encoding")), (None, None), "{path}");
        }
        for absent in [" style=", "<style", " onclick", "<img", "<iframe", "javascript:"] {
            assert!(!html.contains(absent), "{path}: {absent}");
        }
        assert!(html.matches("<script").count() <= 1, "{path}");
        // The token of the cookie is on no page.
        assert!(!html.contains(ada.cookie.split_once('=').unwrap().1), "{path}");
    }
    // Whoever asks for a page after her gets none of it.
    let html = text(&page(ada.exchange.address, "/account", "").await);
    assert!(!html.contains(&ada.did) && heading(&html) == "Sign in", "{html}");
    ada.exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_sign_in_the_page_says_so_and_how_that_is_changed() {
    let operator = Operator {
        name: Some("Example <Co-op>".to_owned()),
        contact: Some("privacy@appview.example".parse().unwrap()),
    };
    let (_scenario, _relay, daemon) = followed_by(Access { operator, ..Access::default() }).await;
    for path in ["/account", "/account/wipe/new", "/account/leave"] {
        let reply = page(daemon.address, path, "").await;
        assert_eq!((reply.status, heading(&text(&reply))), (200, "No accounts here"), "{path}");
        assert!(text(&reply).contains("--service-did") && reply.header("set-cookie").is_none());
    }
    assert_eq!(submit(daemon.address, "/account/keys", "", &[("name", "a")]).await.status, 404);
    let html = text(&page(daemon.address, "/privacy", "").await);
    assert!(
        html.contains("Example &lt;Co-op&gt;") && html.contains("href=\"mailto:privacy@appview.example\""),
        "{html}"
    );
    assert!(html.contains("Not here: this instance keeps no accounts."), "{html}");
    assert!(html.contains("Operated by Example &lt;Co-op&gt;"), "on every page");
    daemon.stop().await;

    let ada = Person::new("ada");
    for (ring, switch) in [(None, "--session-key-file"), (Some(ring(SESSION_KEY)), "--oauth-client-keys")] {
        let service = Service::with(&[&ada], ring).await;
        let html = text(&page(service.address, "/account", "").await);
        assert_eq!(heading(&html), "Nobody can sign in here");
        assert!(html.contains(switch), "{html}");
        let html = text(&page(service.address, "/privacy", "").await);
        assert!(html.contains("Not here: nobody signs in") && !html.contains("keeps no accounts."), "{html}");
        let told: Json = send(service.address, "GET /account/wipe", &[]).await.json();
        assert_eq!(told["error"], "SessionsUnavailable");
    }
}
