//! The read methods of `dev.cocore.compute`, and the lists of `dev.cocore.appview` that are like them.
//!
//! Parameters enter; pages of indexed records and sums leave. What a filter names and nobody can have matches nothing, as
//! it always has. Verification is in `verify`.

use std::sync::Arc;

use appview_core::query::{DisputeFilter, Limit, ProviderFilter, ReceiptFilter, SettlementFilter, TotalsOf};
use axum::extract::State;

use super::answer::Json;
use super::query::Parameters;
use super::{App, XrpcError};

/// `dev.cocore.compute.listProviders`, `dev.cocore.appview.listProviders`
pub(super) async fn list_providers(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let Ok(owner) = parameters.did("owner") else { return Ok(Json::nothing("providers")) };
    let filter = ProviderFilter {
        owner,
        model: parameters.string("model"),
        trust_level: parameters.string("trustLevel"),
        tier: parameters.string("tier"),
        during: parameters.span()?,
    };
    let (limit, cursor) = parameters.part(Limit::MAX)?;
    app.read(move |index| Json::records("providers", &index.list_providers(&filter, limit, cursor.as_ref())?))
        .await
}

/// `dev.cocore.compute.listReceipts`
pub(super) async fn list_receipts(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let (Ok(provider), Ok(requester)) = (parameters.did("provider"), parameters.did("requester")) else {
        return Ok(Json::nothing("receipts"));
    };
    let filter = ReceiptFilter {
        provider,
        requester,
        job: parameters.string("job"),
        model: parameters.string("model"),
        tier: parameters.string("tier"),
        trust_level: parameters.string("trustLevel"),
        during: parameters.span()?,
    };
    let (limit, cursor) = parameters.part(Limit::MAX)?;
    app.read(move |index| Json::records("receipts", &index.list_receipts(&filter, limit, cursor.as_ref())?))
        .await
}

/// `dev.cocore.compute.listJobs`: those of one requester. Of nobody there are none.
pub(super) async fn list_jobs(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let Ok(Some(requester)) = parameters.did("requester") else { return Ok(Json::nothing("jobs")) };
    let during = parameters.span()?;
    let (limit, cursor) = parameters.part(Limit::MAX)?;
    app.read(move |index| {
        Json::records("jobs", &index.list_jobs(&requester, during, limit, cursor.as_ref())?)
    })
    .await
}

/// `dev.cocore.compute.listSettlements`
pub(super) async fn list_settlements(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let Ok(requester) = parameters.did("requester") else { return Ok(Json::nothing("settlements")) };
    let filter =
        SettlementFilter { receipt: parameters.string("receipt"), requester, during: parameters.span()? };
    let (limit, cursor) = parameters.part(Limit::MAX)?;
    app.read(move |index| {
        Json::records("settlements", &index.list_settlements(&filter, limit, cursor.as_ref())?)
    })
    .await
}

/// `dev.cocore.appview.listDisputes`
pub(super) async fn list_disputes(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let filter = DisputeFilter {
        repo: parameters.parsed("exchange")?,
        settlement: parameters.string("settlement"),
        raised_by: parameters.parsed("raisedBy")?,
        during: parameters.span()?,
    };
    let (limit, cursor) = parameters.part(Limit::default())?;
    app.read(move |index| Json::records("disputes", &index.list_disputes(&filter, limit, cursor.as_ref())?))
        .await
}

/// `dev.cocore.appview.listPolicies`
pub(super) async fn list_policies(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let (exchange, during) = (parameters.parsed("exchange")?, parameters.span()?);
    let (limit, cursor) = parameters.part(Limit::default())?;
    app.read(move |index| {
        Json::records("policies", &index.list_policies(exchange.as_ref(), during, limit, cursor.as_ref())?)
    })
    .await
}

/// `dev.cocore.appview.listAttestations`
pub(super) async fn list_attestations(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let (provider, during) = (parameters.parsed("provider")?, parameters.span()?);
    let (limit, cursor) = parameters.part(Limit::default())?;
    app.read(move |index| {
        let page = index.list_attestations(provider.as_ref(), during, limit, cursor.as_ref())?;
        Json::records("attestations", &page)
    })
    .await
}

/// `dev.cocore.compute.latency`, `dev.cocore.appview.getLatency`
pub(super) async fn latency(State(app): State<Arc<App>>, parameters: Parameters) -> Result<Json, XrpcError> {
    let (limit, cursor) = parameters.part(Limit::clamp(500))?;
    let now = app.clock.now();
    app.read(move |index| Json::of(&index.latency(now, limit, cursor.as_ref())?)).await
}

/// `dev.cocore.compute.modelActivity`, `dev.cocore.appview.getModelActivity`
pub(super) async fn model_activity(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let providers = parameters.integer("providers").map(Limit::clamp);
    let (limit, cursor) = parameters.part(Limit::default())?;
    let now = app.clock.now();
    app.read(move |index| Json::of(&index.model_activity(now, providers, limit, cursor.as_ref())?)).await
}

/// `dev.cocore.appview.getTotals`
pub(super) async fn get_totals(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Json, XrpcError> {
    let during = parameters.span()?;
    let whom = (parameters.parsed("provider")?, parameters.parsed("requester")?, parameters.string("model"));
    let of = match whom {
        (None, None, None) => TotalsOf::All,
        (Some(provider), None, None) => TotalsOf::Provider(provider),
        (None, Some(requester), None) => TotalsOf::Requester(requester),
        (None, None, Some(model)) => TotalsOf::Model(model),
        (Some(provider), None, Some(model)) => TotalsOf::ModelOf { model, provider },
        (_, Some(_), _) => {
            return Err(XrpcError::parameter("requester", "cannot be combined with provider or model"));
        }
    };
    app.read(move |index| Json::of(&index.totals(&of, during)?)).await
}
