//! Service-auth tokens: what a PDS signs for one method of this service is taken once, and nothing else ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use appview_core::source::clock::Clock;
use appview_core::source::directory::Directory;
use appview_core::source::http::Http;
use appview_core::source::replay::Identities;
use appview_core::source::turns::Politeness;
use appview_core::source::wire::{Outside, Reach};
use appview_core::syntax::Did;
use appviewd::auth::service::{ServiceAuth, Signers, Terms};
use appviewd::secret::Secret;
use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fixtures::KeyKind;
use serde_json::{Value as Json, json};
use support::people::{Person, SERVICE, identities, seconds, sign_text};
use tokio::net::TcpListener;

const METHOD: &str = "dev.cocore.account.listApiKeys";
/// The moment at which tests with a clock of their own begin, in seconds since the Unix epoch.
const BEGIN: i64 = 1_791_105_300;

fn terms() -> Terms {
    Terms { service: SERVICE.parse().unwrap(), lifetime: Duration::from_secs(300) }
}

/// A service that knows these people, and has been running for an hour.
fn service(people: &[&Person]) -> ServiceAuth {
    let identities = Identities::from_json(&identities(people)).unwrap();
    let micros = u64::try_from(BEGIN - 3_600).unwrap() * 1_000_000;
    let clock = Clock::of_runtime(micros, 1);
    ServiceAuth::new(&terms(), Signers::Files(Arc::new(identities)), clock)
}

async fn an_hour() {
    tokio::time::advance(Duration::from_secs(3_600)).await;
}

async fn verify(service: &ServiceAuth, token: String) -> Result<Did, &'static str> {
    service.verify(&Secret::new(token), METHOD).await.map_err(|denied| denied.name)
}

/// Claims with some of them replaced, or taken away by null.
fn with(claims: &Json, changes: &Json) -> Json {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Json::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

#[tokio::test(start_paused = true)]
async fn what_a_pds_signs_is_taken_whatever_the_curve_and_however_high_the_s() {
    for kind in [KeyKind::K256, KeyKind::P256] {
        let ada = Person::with("ada", kind);
        let service = service(&[&ada]);
        an_hour().await;
        let claims = || ada.claims(METHOD, BEGIN);
        assert_eq!(verify(&service, ada.sign(&ada.header(), &claims())).await, Ok(ada.did.clone()));
        let high = |message: &[u8]| ada.key.sign_high_s(message);
        let high = sign_text(&ada.header().to_string(), &claims().to_string(), high);
        assert_eq!(verify(&service, high).await, Ok(ada.did.clone()), "a high S");
        for changes in [
            json!({"aud": format!("{SERVICE}#cocore_appview")}),
            json!({"nbf": BEGIN}),
            json!({"exp": BEGIN + 300}),
            json!({"more": "of it"}),
        ] {
            let token = ada.sign(&ada.header(), &with(&claims(), &changes));
            assert_eq!(verify(&service, token).await, Ok(ada.did.clone()), "{changes}");
        }
        for changes in [json!({"typ": null}), json!({"kid": "#atproto"}), json!({"typ": "whatever"})] {
            let token = ada.sign(&with(&ada.header(), &changes), &claims());
            assert_eq!(verify(&service, token).await, Ok(ada.did.clone()), "{changes}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_claim_that_does_not_hold_is_refused_by_name() {
    let ada = Person::new("ada");
    let service = service(&[&ada]);
    an_hour().await;
    let cases = [
        ("BadJwtIssuer", json!({"iss": null})),
        ("BadJwtIssuer", json!({"iss": "ada.example"})),
        ("BadJwtIssuer", json!({"iss": format!("{}#atproto", ada.did)})),
        ("BadJwtIssuer", json!({"iss": "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc"})),
        ("BadJwtIssuer", json!({"iss": "did:web:unknown.example"})),
        ("BadJwtAudience", json!({"aud": null})),
        ("BadJwtAudience", json!({"aud": "did:web:other.example"})),
        ("BadJwtAudience", json!({"aud": format!("{SERVICE}#other")})),
        ("BadJwtAudience", json!({"aud": format!("{SERVICE}#")})),
        ("BadJwtAudience", json!({"aud": format!("{SERVICE} ")})),
        ("BadJwtAudience", json!({"aud": SERVICE.to_uppercase()})),
        ("BadJwtAudience", json!({"aud": [SERVICE]})),
        ("BadJwtLexicon", json!({"lxm": null})),
        ("BadJwtLexicon", json!({"lxm": "*"})),
        ("BadJwtLexicon", json!({"lxm": "dev.cocore.account.listapikeys"})),
        ("BadJwtLexicon", json!({"lxm": "dev.cocore.account.createApiKey"})),
        ("BadJwt", json!({"exp": null})),
        ("BadJwt", json!({"exp": (BEGIN + 60).to_string()})),
        ("BadJwt", json!({"exp": 1.5})),
        ("BadJwt", json!({"exp": i64::MAX})),
        ("BadJwt", json!({"exp": -1})),
        ("BadJwt", json!({"exp": BEGIN + 301})),
        ("BadJwt", json!({"iat": null})),
        ("BadJwt", json!({"iat": BEGIN - 250})),
        ("BadJwt", json!({"iat": BEGIN + 31, "exp": BEGIN + 90})),
        ("BadJwt", json!({"nbf": BEGIN + 31})),
        ("BadJwt", json!({"nbf": "soon"})),
        ("JwtExpired", json!({"iat": BEGIN - 90, "exp": BEGIN - 30})),
        ("BadJwt", json!({"jti": null})),
        ("BadJwt", json!({"jti": ""})),
        ("BadJwt", json!({"jti": 7})),
        ("BadJwt", json!({"jti": "a".repeat(129)})),
    ];
    for (name, changes) in cases {
        let claims = with(&ada.claims(METHOD, BEGIN), &changes);
        let found = verify(&service, ada.sign(&ada.header(), &claims)).await;
        assert_eq!(found, Err(name), "{changes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_that_asks_for_another_way_of_checking_is_refused() {
    let [ada, boris] = [Person::with("ada", KeyKind::K256), Person::with("boris", KeyKind::P256)];
    let service = service(&[&ada, &boris]);
    an_hour().await;
    let cases = [
        ("BadJwt", json!({"alg": null})),
        ("BadJwt", json!({"alg": "none"})),
        ("BadJwt", json!({"alg": "None"})),
        ("BadJwt", json!({"alg": "HS256"})),
        ("BadJwt", json!({"alg": "ES384"})),
        ("BadJwt", json!({"alg": ["ES256K"]})),
        ("BadJwtSignature", json!({"alg": "ES256"})),
        ("BadJwt", json!({"crit": ["exp"]})),
        ("BadJwt", json!({"kid": "#other"})),
        ("BadJwt", json!({"kid": 1})),
        ("BadJwtType", json!({"typ": "at+jwt"})),
        ("BadJwtType", json!({"typ": "refresh+jwt"})),
        ("BadJwtType", json!({"typ": "dpop+jwt"})),
        ("BadJwtSignature", json!({"jwk": {"kty": "EC"}, "alg": "ES256"})),
    ];
    for (name, changes) in cases {
        let token = ada.sign(&with(&ada.header(), &changes), &ada.claims(METHOD, BEGIN));
        assert_eq!(verify(&service, token).await, Err(name), "{changes}");
    }
    let confused = boris.sign(&ada.header(), &boris.claims(METHOD, BEGIN));
    assert_eq!(verify(&service, confused).await, Err("BadJwtSignature"), "P-256 under another's name");
}

#[tokio::test(start_paused = true)]
async fn only_the_owners_signature_over_these_very_bytes_counts() {
    let [ada, mallory] = [Person::new("ada"), Person::new("mallory")];
    let service = service(&[&ada, &mallory]);
    an_hour().await;
    let (header, claims) = (ada.header().to_string(), ada.claims(METHOD, BEGIN).to_string());
    let forged = sign_text(&header, &claims, |message| mallory.key.sign(message));
    assert_eq!(verify(&service, forged).await, Err("BadJwtSignature"), "another's key");
    for (what, signature) in [("none", Vec::new()), ("zeros", vec![0; 64]), ("ones", vec![0xff; 64])] {
        let token = sign_text(&header, &claims, |_| signature);
        assert_eq!(verify(&service, token).await, Err("BadJwtSignature"), "{what}");
    }
    let der = sign_text(&header, &claims, |message| ada.key.sign_der(message));
    assert_eq!(verify(&service, der).await, Err("BadJwtSignature"), "DER");
    let padded = sign_text(&header, &claims, |message| [ada.key.sign(message), vec![0]].concat());
    assert_eq!(verify(&service, padded).await, Err("BadJwtSignature"), "65 bytes");
    let good = sign_text(&header, &claims, |message| ada.key.sign(message));
    let mut parts: Vec<&str> = good.split('.').collect();
    let other = ada.claims(METHOD, BEGIN).to_string();
    let other = URL_SAFE_NO_PAD.encode(other);
    parts[1] = &other;
    assert_eq!(verify(&service, parts.join(".")).await, Err("BadJwtSignature"), "other claims");
    assert_eq!(verify(&service, good).await, Ok(ada.did), "what failed in its name has not used it up");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_token_is_refused_before_anybody_is_asked() {
    let ada = Person::new("ada");
    let service = service(&[&ada]);
    an_hour().await;
    let good = ada.sign(&ada.header(), &ada.claims(METHOD, BEGIN));
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let sign = |header: &str, claims: &str| sign_text(header, claims, |message| ada.key.sign(message));
    let ours = ada.header().to_string();
    let twice = text.replacen('{', "{\"lxm\": \"dev.cocore.other\", ", 1);
    let escaped = text.replacen('{', "{\"\\u0069ss\": \"did:web:mallory.example\", ", 1);
    let many: String = (0..16).map(|at| format!("\"{at}\": 1, ")).collect();
    let many = text.replacen('{', &format!("{{{many}"), 1);
    for (what, token) in [
        ("nothing", String::new()),
        ("dots", "..".to_owned()),
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{good}.{signature}")),
        ("another alphabet", good.replacen(header, &format!("{header}+/"), 1)),
        ("padding", format!("{good}=")),
        ("space", format!("{good} ")),
        ("the other base64", format!("{header}.{}.{signature}", STANDARD.encode(format!("{text}??>>")))),
        ("no object", sign(&ours, "[]")),
        ("an empty object", sign(&ours, "{}")),
        ("an empty header", sign("{}", &text)),
        ("a header that is none", sign("\"ES256K\"", &text)),
        ("something behind the claims", sign(&ours, &format!("{text} {{}}"))),
        ("a claim twice", sign(&ours, &twice)),
        ("a claim twice, once in disguise", sign(&ours, &escaped)),
        ("a header's member twice", sign(&ours.replacen('{', "{\"alg\": \"none\", ", 1), &text)),
        ("too many claims", sign(&ours, &many)),
        ("5 kB", sign(&ours, &text.replacen('{', &format!("{{\"a\": \"{}\", ", "a".repeat(4_000)), 1))),
        ("a deep one", sign(&ours, &format!("{}{}", "[".repeat(1_000), "]".repeat(1_000)))),
        ("a byte that is no text", sign_text(&ours, "{\"a\": \"\u{0}\"", |message| ada.key.sign(message))),
    ] {
        assert_eq!(verify(&service, token).await, Err("BadJwt"), "{what}");
    }
    assert_eq!(verify(&service, good.clone()).await, Ok(ada.did.clone()));
}

#[tokio::test(start_paused = true)]
async fn half_a_minute_lies_between_two_clocks_that_are_still_believed() {
    let ada = Person::new("ada");
    let service = service(&[&ada]);
    an_hour().await;
    let at = |issued: i64, expires: i64| {
        let claims = with(&ada.claims(METHOD, BEGIN), &json!({"iat": issued, "exp": expires}));
        ada.sign(&ada.header(), &claims)
    };
    for (issued, expires, expected) in [
        (BEGIN - 60, BEGIN - 29, Ok(ada.did.clone())),
        (BEGIN - 60, BEGIN - 30, Err("JwtExpired")),
        (BEGIN + 30, BEGIN + 60, Ok(ada.did.clone())),
        (BEGIN + 31, BEGIN + 60, Err("BadJwt")),
        (BEGIN, BEGIN + 300, Ok(ada.did.clone())),
        (BEGIN, BEGIN + 301, Err("BadJwt")),
    ] {
        assert_eq!(verify(&service, at(issued, expires)).await, expected, "{issued}..{expires}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_many_copies_of_a_token_one_is_taken() {
    let [ada, boris] = [Person::new("ada"), Person::new("boris")];
    let service = Arc::new(service(&[&ada, &boris]));
    an_hour().await;
    let claims = ada.claims(METHOD, BEGIN);
    let token = ada.sign(&ada.header(), &claims);
    let copies = (0..50).map(|_| {
        let (service, token) = (Arc::clone(&service), token.clone());
        tokio::spawn(async move { verify(&service, token).await })
    });
    let mut taken = 0;
    for copy in copies.collect::<Vec<_>>() {
        match copy.await.unwrap() {
            Ok(_) => taken += 1,
            Err(name) => assert_eq!(name, "JwtReplayed"),
        }
    }
    assert_eq!(taken, 1);
    let again = with(&claims, &json!({"exp": BEGIN + 50}));
    assert_eq!(verify(&service, ada.sign(&ada.header(), &again)).await, Err("JwtReplayed"), "by its jti");
    let theirs = with(&claims, &json!({"iss": boris.did.as_str()}));
    let theirs = verify(&service, boris.sign(&boris.header(), &theirs)).await;
    assert_eq!(theirs, Ok(boris.did), "the same jti of another");
    tokio::time::advance(Duration::from_secs(89)).await;
    let late = verify(&service, token.clone()).await;
    assert_eq!(late, Err("JwtReplayed"), "for as long as it is good");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(verify(&service, token).await, Err("JwtExpired"));
}

#[tokio::test(start_paused = true)]
async fn a_token_from_before_a_restart_may_have_been_used_and_is_not_taken() {
    let ada = Person::new("ada");
    let before = service(&[&ada]);
    an_hour().await;
    let token = ada.sign(&ada.header(), &ada.claims(METHOD, BEGIN));
    assert_eq!(verify(&before, token.clone()).await, Ok(ada.did.clone()));
    tokio::time::advance(Duration::from_secs(1)).await;
    let identities = Identities::from_json(&identities(&[&ada])).unwrap();
    let micros = u64::try_from(BEGIN + 1).unwrap() * 1_000_000;
    let clock = Clock::of_runtime(micros, 1);
    let after = ServiceAuth::new(&terms(), Signers::Files(Arc::new(identities)), clock);
    assert_eq!(verify(&after, token).await, Err("JwtReplayed"));
    let newer = ada.sign(&ada.header(), &ada.claims(METHOD, BEGIN + 1));
    assert_eq!(verify(&after, newer).await, Ok(ada.did.clone()));
}

/// A directory that tells one document, which can be exchanged, and counts how often it was asked.
struct Plc {
    url: String,
    document: Arc<Mutex<Json>>,
    asked: Arc<AtomicUsize>,
}

impl Plc {
    async fn start(document: Json) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (document, asked) = (Arc::new(Mutex::new(document)), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (Arc::clone(&document), Arc::clone(&asked));
        let answer = async move || {
            count.fetch_add(1, Ordering::SeqCst);
            axum::Json(told.lock().unwrap().clone())
        };
        let routes = Router::new().route("/{did}", get(answer));
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, document, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_key_that_was_rotated_is_found_by_asking_once_and_bad_signatures_ask_no_more() {
    let did: Did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
    let of = |name: &str| Person { did: did.clone(), ..Person::new(name) };
    let [old, new, mallory] = ["old", "new", "mallory"].map(of);
    let plc = Plc::start(old.document()).await;
    let outside = Outside::internet(Reach::Anywhere).unwrap();
    let clock = Clock::system();
    let directory = Directory::new(Http::new(&outside, Politeness::default()), clock.clone(), &plc.url);
    let service = ServiceAuth::new(&terms(), Signers::Network(directory), clock);
    let token = |person: &Person| person.sign(&person.header(), &person.claims(METHOD, seconds() + 1));
    assert_eq!(verify(&service, token(&old)).await, Ok(did.clone()));
    assert_eq!(verify(&service, token(&old)).await, Ok(did.clone()));
    assert_eq!(plc.asked(), 1, "what is known is not asked for again");
    *plc.document.lock().unwrap() = new.document();
    assert_eq!(verify(&service, token(&new)).await, Ok(did.clone()));
    assert_eq!(plc.asked(), 2, "asked once for the key that was rotated");
    assert_eq!(verify(&service, token(&old)).await, Err("BadJwtSignature"), "the former key is one no more");
    let names: BTreeSet<_> = {
        let mut names = BTreeSet::new();
        for _ in 0..100 {
            names.insert(verify(&service, token(&mallory)).await.unwrap_err());
        }
        names
    };
    assert_eq!(names, BTreeSet::from(["BadJwtSignature"]));
    assert_eq!(plc.asked(), 2, "whoever signs badly makes nobody ask");
    assert_eq!(verify(&service, token(&new)).await, Ok(did));
}

#[tokio::test]
async fn whoever_cannot_be_found_is_not_let_in() {
    let ada = Person { did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap(), ..Person::new("ada") };
    let plc = Plc::start(json!({"id": ada.did.as_str()})).await;
    let outside = Outside::internet(Reach::Public).unwrap();
    let clock = Clock::system();
    let directory = Directory::new(Http::new(&outside, Politeness::default()), clock.clone(), &plc.url);
    let service = ServiceAuth::new(&terms(), Signers::Network(directory), clock);
    let token = |iss: &str| {
        let claims = with(&ada.claims(METHOD, seconds() + 1), &json!({"iss": iss}));
        ada.sign(&ada.header(), &claims)
    };
    for iss in [
        ada.did.as_str(),
        "did:web:127.0.0.1",
        "did:web:localhost",
        "did:web:localhost%3A8080",
        "did:web:pds.internal",
        "did:web:example.com:path",
    ] {
        assert_eq!(verify(&service, token(iss)).await, Err("BadJwtIssuer"), "{iss}");
    }
    assert_eq!(plc.asked(), 1, "no private host was asked, and nobody twice");
}
