//! The read methods of `dev.cocore.account`: the directory, one account, and who trusts whom.
//!
//! Parameters enter; answers leave. Handles and pictures are those of an account's own profile; what it lacks is filled in
//! by `bluesky` where the operator has turned that on.

use std::collections::HashMap;
use std::sync::Arc;

use appview_core::query::{
    Account, AccountFilter, AccountKind, AccountOrder, AccountPlace, AccountProfile, FriendEdge,
    IncomingFriend, Limit, PageCursor, Viewer,
};
use appview_core::syntax::{AtUri, Did};
use axum::extract::State;
use serde::Serialize;

use super::answer::Json;
use super::bluesky::Face;
use super::query::Parameters;
use super::{App, XrpcError};

/// Accounts on a page of the directory, if nobody says otherwise.
const ACCOUNTS: i64 = 24;
/// Pairs on a page of the graph, if nobody says otherwise.
const EDGES: i64 = 5_000;

/// `dev.cocore.account.listProfiles`, `dev.cocore.appview.listProfiles`
pub(super) async fn list_profiles(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let (limit, cursor) = parameters.part(Limit::MAX)?;
    app.read(move |index| Json::records("profiles", &index.list_profiles(limit, cursor.as_ref())?)).await
}

/// `dev.cocore.account.getProfile`
pub(super) async fn get_profile(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    #[derive(Serialize)]
    struct Answer {
        profile: AccountProfile,
    }
    let now = app.clock.now();
    let found = match required_did(&parameters)? {
        Some(did) => app.read(move |index| Ok(index.profile(&did, now)?)).await?,
        None => None,
    };
    let mut profile = found.ok_or_else(|| XrpcError::not_found("no record of this account is known here"))?;
    let AccountProfile { did, handle, display_name, avatar_url, .. } = &mut profile;
    if handle.is_none() || display_name.is_none() || avatar_url.is_none() {
        let faces = app.faces(std::slice::from_ref(did)).await;
        fill(&faces, did, [handle, display_name, avatar_url]);
    }
    Json::of(&Answer { profile })
}

/// `dev.cocore.account.listAccounts`
pub(super) async fn list_accounts(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        accounts: Vec<Account>,
        total: u64,
        limit: u32,
        offset: u32,
        sort_by: AccountOrder,
        providers_only: bool,
        exclude_viewer_friends: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        q: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<PageCursor>,
    }
    let limit = parameters.limit("limit", Limit::clamp(ACCOUNTS));
    let offset = parameters.integer("offset").map_or(0, |offset| {
        // Beyond what can be counted there is nobody either.
        u32::try_from(offset.max(0)).unwrap_or(u32::MAX)
    });
    let cursor: Option<PageCursor> = parameters.parsed("cursor")?;
    let providers_only = parameters.flag("providersOnly");
    let exclude_viewer_friends = parameters.flag("excludeViewerFriends");
    let order = match parameters.text("sortBy") {
        Some("newest") => AccountOrder::Newest,
        _ => AccountOrder::Recent,
    };
    // What names nobody leaves nobody out.
    let viewer = match parameters.did("viewerDid").ok().flatten() {
        None => Viewer::Anyone,
        Some(did) if exclude_viewer_friends => Viewer::AccountAndFriends(did),
        Some(did) => Viewer::Account(did),
    };
    let q = parameters.text("q").map(str::trim).filter(|q| !q.is_empty()).map(str::to_owned);
    let sought = q.as_deref().map_or("", |q| q.strip_prefix('@').unwrap_or(q));
    let kind = if providers_only { AccountKind::Providers } else { AccountKind::All };
    let filter = AccountFilter { order, kind, viewer, q: sought.to_owned() };
    let mut found = app
        .read(move |index| {
            let place = cursor.as_ref().map_or(AccountPlace::Offset(offset), AccountPlace::After);
            Ok(index.list_accounts(&filter, limit, place)?)
        })
        .await?;
    let lacks = |account: &&Account| {
        account.handle.is_none() || account.display_name.is_none() || account.avatar_url.is_none()
    };
    let lacking: Vec<Did> = found.accounts.iter().filter(lacks).map(|account| account.did.clone()).collect();
    let faces = app.faces(&lacking).await;
    for Account { did, handle, display_name, avatar_url, .. } in &mut found.accounts {
        fill(&faces, did, [handle, display_name, avatar_url]);
    }
    Json::of(&Answer {
        accounts: found.accounts,
        total: found.total,
        limit: limit.get(),
        offset,
        sort_by: order,
        providers_only,
        exclude_viewer_friends,
        q,
        cursor: found.cursor,
    })
}

/// `dev.cocore.account.listIncomingFriends`
pub(super) async fn list_incoming_friends(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Friend {
        friender: Did,
        friender_handle: Option<String>,
        subject: Did,
        uri: AtUri,
        created_at: String,
    }
    #[derive(Serialize)]
    struct Answer {
        friends: Vec<Friend>,
        total: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<PageCursor>,
    }
    let (limit, cursor) = parameters.part(Limit::default())?;
    let Some(did) = required_did(&parameters)? else {
        return Json::of(&Answer { friends: Vec::new(), total: 0, cursor: None });
    };
    let subject = did.clone();
    let page =
        app.read(move |index| Ok(index.list_incoming_friends(&subject, limit, cursor.as_ref())?)).await?;
    let lacks = |friend: &&IncomingFriend| friend.friender_handle.is_none();
    let lacking: Vec<Did> = page.items.iter().filter(lacks).map(|friend| friend.friender.clone()).collect();
    let faces = app.faces(&lacking).await;
    let friends: Vec<Friend> = page
        .items
        .into_iter()
        .map(|friend| Friend {
            friender_handle: friend
                .friender_handle
                .or_else(|| faces.get(&friend.friender).map(|face| face.handle.clone())),
            friender: friend.friender,
            subject: did.clone(),
            uri: friend.uri,
            created_at: friend.created_at,
        })
        .collect();
    Json::of(&Answer { total: friends.len(), friends, cursor: page.cursor })
}

/// `dev.cocore.account.listFriendEdges`
pub(super) async fn list_friend_edges(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    #[derive(Serialize)]
    struct Answer {
        edges: Vec<FriendEdge>,
        total: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<PageCursor>,
    }
    let (limit, cursor) = parameters.part(Limit::clamp(EDGES))?;
    app.read(move |index| {
        let page = index.list_friend_edges(limit, cursor.as_ref())?;
        Json::of(&Answer { total: page.items.len(), edges: page.items, cursor: page.cursor })
    })
    .await
}

/// The account that is asked about; none if what is given begins like a DID and is none: such an account has no records.
fn required_did(parameters: &Parameters) -> Result<Option<Did>, XrpcError> {
    let text = parameters.required("did")?;
    if !text.starts_with("did:") {
        return Err(XrpcError::parameter("did", "expected a DID, such as did:plc:… or did:web:…"));
    }
    Ok(text.parse().ok())
}

/// Fills in what an account's own profile does not tell: handle, name and picture.
fn fill(faces: &HashMap<Did, Face>, did: &Did, [handle, name, picture]: [&mut Option<String>; 3]) {
    if let Some(face) = faces.get(did) {
        handle.get_or_insert_with(|| face.handle.clone());
        *name = name.take().or_else(|| face.display_name.clone());
        *picture = picture.take().or_else(|| face.avatar.clone());
    }
}
