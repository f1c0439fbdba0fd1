//! Whatever an authorization server, a PDS, a directory or a browser says, nobody is signed in as somebody else, and no token is left that
//! nobody keeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;

use appview_core::source::network::Network;
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::Scope;
use appview_core::syntax::Did;
use appviewd::account::{AccountStore, Actor};
use appviewd::oauth::{
    Callback, Clients, Finished, GrantError, OAuth, OwnClient, Place, ServerError, SessionError, SignInError,
    SigningKey, Use,
};
use appviewd::secret::Secret;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fixtures::KeyKind;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use support::authority::{Authority, Fault};
use support::exchange::{network, oauth};
use support::service::{SESSION_KEY, ring};

struct Here {
    oauth: OAuth,
    store: AccountStore,
    _folder: TempDir,
}

fn here(authority: &Authority) -> Here {
    let folder = tempfile::tempdir().unwrap();
    let store = AccountStore::open(folder.path().join("account.db"), Some(ring(SESSION_KEY))).unwrap();
    Here { oauth: oauth(authority, store.clone(), folder.path(), 8080), store, _folder: folder }
}

fn callback(query: &str) -> Callback {
    let found = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    };
    Callback {
        state: found("state").map(Secret::new),
        issuer: found("iss"),
        code: found("code").map(Secret::new),
        error: found("error"),
    }
}

impl Here {
    async fn begin(&self, account: &str) -> Result<(String, Secret<String>), SignInError> {
        let begun = self.oauth.begin_sign_in(&account.parse()?, "/").await?;
        Ok((begun.url, begun.browser))
    }

    /// Begins for `account`, is approved by `who`, and comes back.
    async fn sign_in(
        &self,
        authority: &Authority,
        account: &str,
        who: &str,
    ) -> Result<Finished, SignInError> {
        let (url, browser) = self.begin(account).await?;
        self.oauth.finish_sign_in(callback(&authority.approve(who, &url)), Some(browser)).await
    }

    fn has_session(&self, did: &str) -> bool {
        self.store.session(&did.parse().unwrap()).unwrap().is_some()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_back_as_was_meant_is_signed_in() {
    let authority = Authority::start().await;
    let here = here(&authority);
    let ada = authority.account();
    for account in [ada.to_string(), authority.url()] {
        authority.forget_heard();
        let finished = here.sign_in(&authority, &account, &ada).await.unwrap();
        assert_eq!((finished.did.as_str(), finished.return_to.as_str()), (&*ada, "/"));
        assert!(here.has_session(&ada));
        let browser = here.store.browser(&finished.browser, here.oauth.now()).unwrap().unwrap();
        assert_eq!(browser.did, finished.did);

        let pushed = authority.heard("/par").pop().unwrap();
        assert_eq!(pushed.form("code_challenge_method").as_deref(), Some("S256"));
        assert_eq!(pushed.form("response_type").as_deref(), Some("code"));
        assert!(pushed.form("client_id").unwrap().starts_with("http://localhost?redirect_uri="));
        assert_eq!(pushed.form("redirect_uri").as_deref(), Some("http://127.0.0.1:8080/oauth/callback"));
        let scope = pushed.form("scope").unwrap();
        assert!(scope.starts_with("atproto repo:dev.cocore.") && !scope.contains('*'), "{scope}");
        assert_eq!(pushed.form("login_hint").is_some(), account == *ada);
    }
    // One for each: the nonce is known from then on, for each session anew.
    assert_eq!(authority.heard("/par").len(), 2);
    assert_eq!(authority.heard("/token").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_keep_the_rules_is_not_gone_to() {
    let authority = Authority::start().await;
    let here = here(&authority);
    let ada = authority.account();
    for fault in [
        Fault::NoPar,
        Fault::ParOptional,
        Fault::OtherIssuer,
        Fault::TwoServers,
        Fault::OtherResource,
        Fault::Redirect,
        Fault::NotJson,
        Fault::HugeMetadata,
    ] {
        authority.go_wrong(fault);
        let refused = here.begin(&ada).await;
        assert!(matches!(refused, Err(SignInError::Discover(_))), "{fault:?}: {refused:?}");
        assert!(authority.heard("/par").is_empty(), "{fault:?}");
        authority.go_right();
    }
    here.begin(&ada).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_is_asked_for_once_and_no_more() {
    let authority = Authority::start().await;
    let here = here(&authority);
    let ada = authority.account();
    authority.go_wrong(Fault::NonceEachCall);
    here.sign_in(&authority, &ada, &ada).await.unwrap();
    authority.go_wrong(Fault::NonceNever);
    authority.forget_heard();
    let refused = here.begin(&ada).await;
    assert!(
        matches!(&refused, Err(SignInError::Server(ServerError::Refused { name, .. })) if name == "use_dpop_nonce"),
        "{refused:?}"
    );
    assert_eq!(authority.heard("/par").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_taken_once_in_its_browser_from_the_server_that_was_asked() {
    let authority = Authority::start().await;
    let here = here(&authority);
    let ada = authority.account();
    let finish = async |query: &str, browser: Option<Secret<String>>| {
        here.oauth.finish_sign_in(callback(query), browser).await.map(drop)
    };

    let (url, browser) = here.begin(&ada).await.unwrap();
    let query = authority.approve(&ada, &url);
    finish(&query, Some(browser.clone())).await.unwrap();
    assert!(matches!(finish(&query, Some(browser)).await, Err(SignInError::Unknown)), "twice");

    let (url, _) = here.begin(&ada).await.unwrap();
    let query = authority.approve(&ada, &url);
    let (_, other) = here.begin(&ada).await.unwrap();
    assert!(matches!(finish(&query, Some(other)).await, Err(SignInError::Unknown)), "another browser");
    let (url, _) = here.begin(&ada).await.unwrap();
    let query = authority.approve(&ada, &url);
    assert!(matches!(finish(&query, None).await, Err(SignInError::Unknown)), "a browser without the cookie");

    authority.forget_heard();
    for fault in [Fault::MixUp, Fault::NoIssuer] {
        let (url, browser) = here.begin(&ada).await.unwrap();
        authority.go_wrong(fault);
        let query = authority.approve(&ada, &url);
        assert!(
            matches!(finish(&query, Some(browser.clone())).await, Err(SignInError::MixedUp)),
            "{fault:?}"
        );
        authority.go_right();
        let query = query.replace("iss=https%3A%2F%2Fevil.example", &format!("iss={}", authority.url()));
        assert!(matches!(finish(&query, Some(browser)).await, Err(SignInError::Unknown)), "it is over");
    }
    assert!(authority.heard("/token").is_empty(), "no code goes to a server that was not asked");

    let (url, browser) = here.begin(&ada).await.unwrap();
    match finish(&authority.reject(&url), Some(browser)).await {
        Err(SignInError::Refused { name }) => assert_eq!(name, "access_denied"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_no_session_of_who_was_meant_are_given_up() {
    let authority = Authority::start().await;
    let here = here(&authority);
    let (ada, boris) = (authority.account(), authority.account());
    let revoked = |authority: &Authority| {
        let heard = authority.heard("/revoke");
        let tokens: Vec<_> = heard.iter().map(|heard| heard.form("token").unwrap()).collect();
        authority.sessions().iter().all(|session| tokens.contains(&session.refresh) && session.is_over)
    };
    for (fault, expected) in [
        (Fault::ScopeLacksAtproto, GrantError::Scope),
        (Fault::BearerTokens, GrantError::NotBound),
        (Fault::NoSubject, GrantError::Subject),
        (
            Fault::OtherSubject,
            GrantError::OtherAccount {
                expected: ada.parse().unwrap(),
                found: "did:plc:zzzzzzzzzzzzzzzzzzzzzzzz".parse().unwrap(),
            },
        ),
    ] {
        authority.go_wrong(fault);
        match here.sign_in(&authority, &ada, &ada).await {
            Err(SignInError::Grant(error)) => assert_eq!(error, expected),
            other => panic!("{fault:?}: {other:?}"),
        }
        authority.go_right();
        assert!(revoked(&authority) && !here.has_session(&ada), "{fault:?}");
    }
    let found: Did = boris.parse().unwrap();
    match here.sign_in(&authority, &ada, &boris).await {
        Err(SignInError::Grant(GrantError::OtherAccount { found: other, .. })) => assert_eq!(other, found),
        other => panic!("{other:?}"),
    }
    assert!(revoked(&authority) && !here.has_session(&ada) && !here.has_session(&boris));

    // Somebody whose own server is another one, by the word of this one.
    let elsewhere = Authority::start().await;
    let mallory = authority.town().world().create_account_at(KeyKind::K256, &elsewhere.url());
    match here.sign_in(&authority, &authority.url(), &mallory).await {
        Err(SignInError::Grant(GrantError::OtherIssuer { expected, found, .. })) => {
            assert_eq!((expected, found), (elsewhere.url(), authority.url()));
        }
        other => panic!("{other:?}"),
    }
    assert!(revoked(&authority) && !here.has_session(&mallory));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_token_endpoint_signs_nobody_in_and_breaks_nothing() {
    let authority = Authority::start().await;
    let here = here(&authority);
    let ada = authority.account();
    for fault in [
        Fault::HugeTokens,
        Fault::GarbledTokens,
        Fault::ScopeIsNumber,
        Fault::TokenBroken,
        Fault::TokenLost,
        Fault::InvalidGrant,
    ] {
        let (url, browser) = here.begin(&ada).await.unwrap();
        let query = authority.approve(&ada, &url);
        let mut query = callback(&query);
        if fault == Fault::InvalidGrant {
            query.code = Some(Secret::new("no code".to_owned()));
        } else {
            authority.go_wrong(fault);
        }
        let failed = here.oauth.finish_sign_in(query, Some(browser)).await;
        assert!(matches!(failed, Err(SignInError::Server(_))), "{fault:?}: {failed:?}");
        assert!(!here.has_session(&ada), "{fault:?}");
        authority.go_right();
    }
    here.sign_in(&authority, &ada, &ada).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_given_up() {
    let authority = Authority::start().await;
    let here = here(&authority);
    let ada = authority.account();
    here.sign_in(&authority, &ada, &ada).await.unwrap();
    here.sign_in(&authority, &ada, &ada).await.unwrap();
    here.oauth.revoke_due().await;
    let over: Vec<bool> = authority.sessions().iter().map(|session| session.is_over).collect();
    assert_eq!(over, [true, false], "a session that another has replaced is not left behind");
}

/// What the latest request at a path proves its client with: the header and the claims of a JWT that one of these keys signed.
fn assertion(authority: &Authority, path: &str, keys: &[Arc<SigningKey>]) -> (Json, Json) {
    let jwt = authority.heard(path).pop().unwrap().form("client_assertion").unwrap();
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let (head, claims) = message.split_once('.').unwrap();
    let [head, claims]: [Json; 2] = [head, claims].map(|text| serde_json::from_slice(&part(text)).unwrap());
    let key = keys.iter().find(|key| key.kid() == head["kid"]).expect("a key of ours");
    let jwk = key.public_jwk();
    let point = [vec![4], part(jwk["x"].as_str().unwrap()), part(jwk["y"].as_str().unwrap())].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(message.as_bytes(), &part(signature)).unwrap();
    (head, claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_keeps_the_client_key_that_it_began_with_when_another_comes_first() {
    let authority = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = AccountStore::open(folder.path().join("account.db"), Some(ring(SESSION_KEY))).unwrap();
    let ada = authority.account();
    let keys = [(); 2].map(|()| Arc::new(SigningKey::generate().unwrap()));
    let [new, old] = keys.clone();
    let client = |keys: Vec<Arc<SigningKey>>| {
        let own = OwnClient::new(Place::Public("https://appview.example".to_owned()), keys);
        let clients = Clients { own: Some(own), console: None };
        let oauth = OAuth::new(&network(&authority, folder.path()), store.clone(), clients);
        Here { oauth, store: store.clone(), _folder: tempfile::tempdir().unwrap() }
    };
    let before = client(vec![Arc::clone(&old)]);
    before.sign_in(&authority, &ada, &ada).await.unwrap();
    for path in ["/par", "/token"] {
        let (head, claims) = assertion(&authority, path, &keys);
        let id = "https://appview.example/oauth/client-metadata.json";
        assert_eq!((&head["kid"], &head["alg"]), (&json!(old.kid()), &json!("ES256")));
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["aud"]),
            (&json!(id), &json!(id), &json!(authority.url()))
        );
        assert!(claims["exp"].as_u64().unwrap() <= claims["iat"].as_u64().unwrap() + 60);
        assert!(claims["jti"].is_string());
    }
    let after = client(vec![Arc::clone(&new), Arc::clone(&old)]);
    authority.expire_access();
    let list = Use::List {
        collection: "dev.cocore.compute.job".parse().unwrap(),
        limit: None,
        cursor: None,
        reverse: None,
    };
    let did = ada.parse().unwrap();
    assert_eq!(after.oauth.carry_out(&did, &list, &Actor::Browser).await.unwrap().status, 200);
    assert_eq!(assertion(&authority, "/token", &keys).0["kid"], old.kid());
    after.sign_in(&authority, &ada, &ada).await.unwrap();
    assert_eq!(assertion(&authority, "/token", &keys).0["kid"], new.kid());
    // Without its key a session is of no use, and is left as it is.
    let lost = client(vec![old]);
    authority.expire_access();
    let used = lost.oauth.carry_out(&did, &list, &Actor::Browser).await;
    assert!(matches!(used, Err(SessionError::Client { .. })), "{used:?}");
    assert!(lost.has_session(&ada));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leads_to_a_private_host() {
    let authority = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = AccountStore::open(folder.path().join("account.db"), Some(ring(SESSION_KEY))).unwrap();
    let outside = Outside::internet(Reach::Public).unwrap();
    let plc = authority.url();
    let network = Network::new(&outside, &plc, folder.path().to_owned(), Scope::default());
    let own = OwnClient::new(Place::Public("https://appview.example".to_owned()), Vec::new());
    let oauth = OAuth::new(&network, store, Clients { own: Some(own), console: None });
    // The directory is the operator's choice. It names a PDS on the loopback for her.
    let ada = authority.account();
    let port = authority.town().address().port();
    for account in [
        ada.to_string(),
        authority.url(),
        format!("https://127.0.0.1:{port}"),
        format!("https://[::1]:{port}"),
        format!("https://[::ffff:127.0.0.1]:{port}"),
        format!("https://2130706433:{port}"),
        format!("https://0x7f.1:{port}"),
        format!("https://localhost:{port}"),
        "https://169.254.169.254".to_owned(),
        "https://user@127.0.0.1".to_owned(),
        "did:web:localhost".to_owned(),
        format!("did:web:localhost%3A{port}"),
        format!("did:web:127.0.0.1%3A{port}"),
        "did:web:metadata.internal".to_owned(),
        "metadata.internal".to_owned(),
        "ada.localhost".to_owned(),
        "ada.local".to_owned(),
    ] {
        let begun = match account.parse() {
            Ok(start) => oauth.begin_sign_in(&start, "/").await.map(drop),
            Err(error) => Err(error),
        };
        assert!(begun.is_err(), "{account}");
    }
    assert!(authority.all_heard().is_empty(), "nobody was asked for metadata");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nobody_can_sign_in() {
    let authority = Authority::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = AccountStore::open(folder.path().join("account.db"), None).unwrap();
    let oauth = oauth(&authority, store, folder.path(), 8080);
    let ada = authority.account();
    assert!(matches!(oauth.begin_sign_in(&ada.parse().unwrap(), "/").await, Err(SignInError::Off)));
    assert!(authority.all_heard().is_empty());
}
