//! What an operator may ask and order of a running daemon, over a socket in its data folder.
//!
//! Requests of whoever may open `admin.sock` enter, which the file's mode leaves to its owner; JSON leaves, and orders to the
//! engine. Nothing that changes anything listens on a network, so that there is no token to lose and no page that could ask in a
//! browser's name. Deliberately absent: what an order leads to.

mod client;
mod key;
mod rebuild;
mod socket;
mod status;
mod wipe;

use appview_core::source::now;
use appview_core::source::orders::NotFollowing;
use appview_core::source::pump::Input;
use appview_core::syntax::Did;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::engine::Engine;
use crate::renewal::Renewal;
use crate::roster::{Roster, Word};
use crate::wipe::Wiper;

pub use client::{AdminError, Client};
pub use socket::{Socket, SocketError};
pub use status::{Counts, Fetching, RepoStatus, Repos, Retry, Status, StreamStatus};

/// What every handler has.
#[derive(Debug, Clone)]
struct Desk {
    engine: Engine,
    roster: Roster,
    /// None where files stand in for the network.
    renewal: Option<Renewal>,
    /// None where no accounts are kept.
    accounts: Option<Wiper>,
}

/// Everything that can be asked and ordered.
pub fn routes(engine: Engine, roster: Roster, renewal: Option<Renewal>, accounts: Option<Wiper>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/pause", post(pause))
        .route("/resume", post(resume))
        .route("/repo/{did}", get(repo))
        .route("/repo/{did}/track", post(track))
        .route("/repo/{did}/untrack", post(untrack))
        .route("/repo/{did}/resync", post(resync))
        .route("/rebuild", post(rebuild::rebuild))
        .route("/wipe/{did}", get(wipe::newest).post(wipe::begin))
        .route("/wipe/{did}/look", get(wipe::look))
        .route("/keys", get(key::list))
        .route("/keys/{id}/revoke", post(key::revoke))
        .with_state(Desk { engine, roster, renewal, accounts })
}

/// Why something was not done: told as `{"message": …}`.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"message": self.1}).to_string();
        (self.0, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// Nobody can be told now: following begins, ends, or goes on in a moment with an index built anew. `what` becomes of the order.
fn later(error: NotFollowing, what: &str) -> Refusal {
    Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("{error}; {what}"))
}

/// What becomes of an order that stands in the list.
const SAVED: &str = "the order is saved, and heeded as soon as following goes on";

fn fault(error: impl std::fmt::Display) -> Refusal {
    tracing::error!(%error, "an order could not be carried out");
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

async fn status(State(desk): State<Desk>) -> Json<Status> {
    Json(Status::of(&desk.engine, now()))
}

async fn pause(State(desk): State<Desk>) -> Json<serde_json::Value> {
    desk.engine.orders.pause();
    tracing::info!("paused by an operator");
    Json(json!({"paused": true}))
}

async fn resume(State(desk): State<Desk>) -> Json<serde_json::Value> {
    desk.engine.orders.resume();
    tracing::info!("resumed by an operator");
    Json(json!({"paused": false}))
}

async fn repo(State(desk): State<Desk>, Path(did): Path<String>) -> Result<Json<RepoStatus>, Refusal> {
    let did = parse(&did)?;
    let word = desk.roster.word(&did);
    let read = tokio::task::spawn_blocking(move || RepoStatus::read(&desk.engine.index, &did, word));
    read.await.map_err(fault)?.map(Json).map_err(fault)
}

async fn track(State(desk): State<Desk>, Path(did): Path<String>) -> Result<StatusCode, Refusal> {
    let did = parse(&did)?;
    desk.say(Word::Track, &did).await?;
    let told = desk.engine.orders.send(Input::Include(did)).await;
    told.map_err(|error| later(error, SAVED))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn untrack(State(desk): State<Desk>, Path(did): Path<String>) -> Result<StatusCode, Refusal> {
    let did = parse(&did)?;
    desk.say(Word::Untrack, &did).await?;
    let told = desk.engine.orders.send(Input::Exclude(did)).await;
    told.map_err(|error| later(error, SAVED))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn resync(State(desk): State<Desk>, Path(did): Path<String>) -> Result<StatusCode, Refusal> {
    let did = parse(&did)?;
    let (index, whose) = (desk.engine.index.clone(), did.clone());
    let read = tokio::task::spawn_blocking(move || RepoStatus::read(&index, &whose, None));
    if !read.await.map_err(fault)?.map_err(fault)?.followed {
        let message = format!("{did} is not followed; `appviewd repo track {did}` follows it");
        return Err(Refusal(StatusCode::NOT_FOUND, message));
    }
    let told = desk.engine.orders.send(Input::Doubt(did)).await;
    told.map_err(|error| later(error, "try again in a moment"))?;
    Ok(StatusCode::NO_CONTENT)
}

impl Desk {
    /// Who keeps accounts, and has them wiped.
    fn accounts(&self) -> Result<&Wiper, Refusal> {
        let message = "the daemon that serves from this folder keeps no accounts (--service-did)";
        self.accounts.as_ref().ok_or_else(|| Refusal(StatusCode::NOT_FOUND, message.to_owned()))
    }

    /// Has an order on disk before it is given: one that is followed and then forgotten would be worse than none.
    async fn say(&self, word: Word, did: &Did) -> Result<(), Refusal> {
        let (roster, whose) = (self.roster.clone(), did.clone());
        let said = tokio::task::spawn_blocking(move || roster.say(word, &whose));
        said.await.map_err(fault)?.map_err(fault)?;
        tracing::info!(%did, order = %word, "ordered by an operator");
        Ok(())
    }
}

fn parse(did: &str) -> Result<Did, Refusal> {
    did.parse().map_err(|error| Refusal(StatusCode::BAD_REQUEST, format!("{did:?}: {error}")))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use appview_core::index::Index;
    use appview_core::source::backlog::Progress;
    use appview_core::source::follow::Pulse;
    use appview_core::source::orders::Orders;

    use super::*;

    #[tokio::test]
    async fn an_order_while_nothing_is_followed_is_saved_and_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine {
            index: Index::open(folder.path().join("index.db")).unwrap(),
            pulse: Pulse::default(),
            progress: Progress::default(),
            orders: Orders::default(),
        };
        let roster = Roster::open(folder.path().join("repos.txt")).unwrap();
        let desk =
            || State(Desk { engine: engine.clone(), roster: roster.clone(), renewal: None, accounts: None });
        let whose = "did:web:ada.example";
        let did: Did = whose.parse().unwrap();
        let saved = "nothing is being followed at the moment; the order is saved, and heeded as soon as following goes on";
        for (word, refused) in [
            (Word::Track, track(desk(), Path(whose.to_owned())).await),
            (Word::Untrack, untrack(desk(), Path(whose.to_owned())).await),
        ] {
            let Refusal(status, told) = refused.unwrap_err();
            assert_eq!((status, told.as_str()), (StatusCode::SERVICE_UNAVAILABLE, saved), "{word}");
        }
        assert_eq!(roster.word(&did), Some(Word::Untrack));
        let kept = std::fs::read_to_string(folder.path().join("repos.txt")).unwrap();
        assert_eq!(kept, format!("untrack {whose}\n"));
    }
}
