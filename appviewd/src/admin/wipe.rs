//! `/wipe/{did}`: a wipe by an operator's order, how it goes, and what there is to be wiped.

use appview_core::syntax::Did;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;

use super::{Desk, Refusal, fault, parse};
use crate::account::{Actor, Extent, SessionsAfter};
use crate::wipe::{Look, WipeView};

/// `extent=here` leaves the person's repository as it is; `sessions=end` signs them out as well.
pub(super) async fn begin(
    State(desk): State<Desk>,
    Path(did): Path<String>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<WipeView>, Refusal> {
    let did: Did = parse(&did)?;
    let says =
        |wanted: &str, word: &str| parameters.iter().any(|(name, value)| name == wanted && value == word);
    let extent = if says("extent", Extent::Here.word()) { Extent::Here } else { Extent::Everything };
    let sessions =
        if says("sessions", SessionsAfter::End.word()) { SessionsAfter::End } else { SessionsAfter::Keep };
    let begun = desk.accounts()?.begin(&did, extent, sessions, Actor::Operator).await;
    tracing::info!(extent = extent.word(), "a wipe was ordered by an operator");
    begun.map(Json).map_err(fault)
}

pub(super) async fn newest(
    State(desk): State<Desk>,
    Path(did): Path<String>,
) -> Result<Json<WipeView>, Refusal> {
    let did: Did = parse(&did)?;
    let wipe = desk.accounts()?.newest(&did).await.map_err(fault)?;
    wipe.map(Json)
        .ok_or_else(|| Refusal(StatusCode::NOT_FOUND, format!("nothing of {did} was ever wiped here")))
}

pub(super) async fn look(State(desk): State<Desk>, Path(did): Path<String>) -> Result<Json<Look>, Refusal> {
    let did: Did = parse(&did)?;
    desk.accounts()?.look(&did).await.map(Json).map_err(fault)
}
