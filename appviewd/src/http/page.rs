//! Pages: what is asked for in a path becomes questions to the index, and their answers HTML, or a file of values.
//!
//! A path and its parameters enter; a page leaves, or an error, which `front::errors` writes as one. What is on pages, and how
//! they look, is [`pages`](crate::pages)'s.

use std::sync::Arc;

use appview_core::index::IndexReader;
use appview_core::query::AccountOrder;
use appview_core::record::Collection;
use appview_core::syntax::{AtUri, Did};
use appview_core::trust::{Bundle, Profile};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::describe::{self, Description};
use super::query::Parameters;
use super::{App, XrpcError};
use crate::admin::Status;
use crate::pages::person::Off;
use crate::pages::{
    AccountPage, Asset, Foot, Judged, Judgement, ModelAsked, ModelPage, ModelsPage, NetworkPage, Page,
    PrivacyPage, ProviderAsked, ProviderPage, ProvidersAsked, ProvidersPage, ReceiptPage, StatusPage,
};

/// Where a file is, whose name tells its content: it never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// `/`
pub(super) async fn network(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Response, XrpcError> {
    let range = parameters.parsed("range")?;
    let (now, status) = (app.present(), app.status());
    let found = move |index: &IndexReader| Ok(Some(NetworkPage::read(index, range, status, now)?));
    app.page(&parameters, found, "").await
}

/// `/providers`
pub(super) async fn providers(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Response, XrpcError> {
    let order = match parameters.text("order") {
        Some("newest") => AccountOrder::Newest,
        _ => AccountOrder::Recent,
    };
    let asked = ProvidersAsked {
        order,
        q: parameters.string("q"),
        trust_level: parameters.string("trust"),
        tier: parameters.string("tier"),
        cursor: parameters.parsed("cursor")?,
    };
    let now = app.present();
    app.page(&parameters, move |index| Ok(Some(ProvidersPage::read(index, asked, now)?)), "").await
}

/// `/provider/{did}`
pub(super) async fn provider(
    State(app): State<Arc<App>>,
    Path(did): Path<String>,
    parameters: Parameters,
) -> Result<Response, XrpcError> {
    let asked = ProviderAsked {
        did: account(&did)?,
        range: parameters.parsed("range")?,
        model: parameters.string("model"),
        cursor: parameters.parsed("cursor")?,
    };
    let now = app.present();
    app.page(&parameters, move |index| Ok(ProviderPage::read(index, asked, now)?), NOBODY).await
}

/// `/models`
pub(super) async fn models(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Response, XrpcError> {
    let cursor = parameters.parsed("cursor")?;
    let now = app.present();
    app.page(&parameters, move |index| Ok(Some(ModelsPage::read(index, cursor, now)?)), "").await
}

/// `/model/{id}`
pub(super) async fn model(
    State(app): State<Arc<App>>,
    Path(model): Path<String>,
    parameters: Parameters,
) -> Result<Response, XrpcError> {
    let asked =
        ModelAsked { model, range: parameters.parsed("range")?, cursor: parameters.parsed("cursor")? };
    let now = app.present();
    let found = move |index: &IndexReader| Ok(ModelPage::read(index, asked, now)?);
    app.page(&parameters, found, "no receipt and no machine here names this model").await
}

/// `/u/{did}`
pub(super) async fn person(
    State(app): State<Arc<App>>,
    Path(did): Path<String>,
    parameters: Parameters,
) -> Result<Response, XrpcError> {
    let (did, cursor) = (account(&did)?, parameters.parsed("cursor")?);
    let now = app.present();
    let found = move |index: &IndexReader| Ok(AccountPage::read(index, &did, cursor.as_ref(), now)?);
    app.page(&parameters, found, NOBODY).await
}

/// `/receipt/{at-uri}`
pub(super) async fn receipt(
    State(app): State<Arc<App>>,
    Path(uri): Path<String>,
    parameters: Parameters,
) -> Result<Response, XrpcError> {
    let uri = record(&uri, Collection::Receipt)?;
    let (found, foot) =
        app.read(move |index| Ok((ReceiptPage::read(index, &uri)?, Foot::read(index)?))).await?;
    let mut page = found.ok_or_else(|| XrpcError::not_found("this receipt is not here"))?;
    page.evidence = app.complete(page.evidence).await;
    if let Some((uri, evidence)) = page.settlement.take() {
        page.settlement = Some((uri, app.complete(evidence).await));
    }
    if parameters.text("format") == Some("car") {
        return evidence(page, parameters.text("of") == Some("settlement"));
    }
    let (examiner, now, frame) = (Arc::clone(&app.examiner), app.instant(), app.frame.clone());
    app.work(move || {
        let verdict = examiner.receipt(&page.evidence, page.uri().as_str(), Profile::Advise, now);
        let settled = page
            .settlement
            .as_ref()
            .map(|(uri, evidence)| examiner.settlement(evidence, uri.as_str(), Profile::Advise, now));
        Ok(html(frame.page(&page.judged(verdict, settled).sheet(), Some(&foot))))
    })
    .await
}

/// The evidence of a receipt, or of its settlement, as a file.
fn evidence(page: ReceiptPage, of_settlement: bool) -> Result<Response, XrpcError> {
    let rkey = page.uri().rkey().unwrap_or_default().to_owned();
    let (name, bundle) = if of_settlement {
        let settlement = page.settlement.ok_or_else(|| XrpcError::not_found("no settlement of it counts"))?;
        ("settlement", Bundle::new(settlement.0, settlement.1))
    } else {
        ("receipt", Bundle::new(page.uri().clone(), page.evidence))
    };
    Ok(file(bundle.to_car(), "application/vnd.ipld.car", &format!("{name}-{rkey}.car")))
}

/// `/status`
pub(super) async fn status(
    State(app): State<Arc<App>>,
    parameters: Parameters,
) -> Result<Response, XrpcError> {
    let status = app.status();
    app.page(&parameters, move |index| Ok(Some(StatusPage::read(index, status)?)), "").await
}

/// `/api`
pub(super) async fn api(app: &App, description: Arc<Description>) -> Result<Response, XrpcError> {
    let (sheet, foot) = describe::page(app, description).await?;
    Ok(html(app.frame.page(&sheet, Some(&foot))))
}

/// `/privacy`; `off` tells why nobody can sign in, if nobody can.
pub(super) async fn privacy(State(app): State<Arc<App>>, off: Option<Off>) -> Result<Response, XrpcError> {
    let foot = app.read(|index| Ok(Foot::read(index)?)).await?;
    let page = PrivacyPage { access: &app.access, keeping: app.keeping, host: app.frame.host(), off };
    Ok(html(app.frame.page(&page.sheet(), Some(&foot))))
}

/// `/go`: leads to the page of whatever is asked for.
pub(super) async fn go(parameters: Parameters) -> Redirect {
    let q = parameters.text("q").unwrap_or_default().trim();
    let href = crate::pages::lookup(q);
    Redirect::to(&href.to_string())
}

/// `/assets/…`
pub(super) fn asset(asset: &'static Asset) -> Response {
    let kind = HeaderValue::from_static(asset.kind);
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_EVER)], asset.content).into_response()
}

/// What is said of an account without a record.
const NOBODY: &str = "no record of this account is known here";

fn account(text: &str) -> Result<Did, XrpcError> {
    text.parse().map_err(|_| XrpcError::parameter("did", "expected a DID, such as did:plc:… or did:web:…"))
}

/// The address of a record, as a part of a path. Whatever stands before may have merged its slashes.
fn record(text: &str, collection: Collection) -> Result<AtUri, XrpcError> {
    let place = text.strip_prefix("at:").unwrap_or(text).trim_start_matches('/');
    let uri = format!("at://{place}").parse::<AtUri>().ok();
    let is_asked = |uri: &AtUri| uri.collection() == Some(collection.nsid()) && uri.rkey().is_some();
    uri.filter(is_asked).ok_or_else(|| {
        XrpcError::parameter("uri", format!("expected the address of a {} record", collection.nsid()))
    })
}

fn html(text: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], text).into_response()
}

/// A file to be kept.
fn file(content: impl Into<axum::body::Body>, kind: &'static str, name: &str) -> Response {
    let mut response = content.into().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // A record key has no character that a header's value may not have.
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

impl App {
    /// The present, in microseconds since 1970.
    fn present(&self) -> i64 {
        i64::try_from(self.clock.now()).unwrap_or(i64::MAX)
    }

    fn status(&self) -> Status {
        Status::of(&self.engine, self.clock.now())
    }

    /// Finds what is on a page, has its receipts judged, and writes it: as a page, or its list as a file.
    ///
    /// # Errors
    ///
    /// What `find` returns; 404 with `missing` where it finds nothing.
    async fn page<P: Page>(
        &self,
        parameters: &Parameters,
        find: impl FnOnce(&IndexReader) -> Result<Option<P>, XrpcError> + Send + 'static,
        missing: &'static str,
    ) -> Result<Response, XrpcError> {
        let (found, foot) = self.read(move |index| Ok((find(index)?, Foot::read(index)?))).await?;
        let mut page = found.ok_or_else(|| XrpcError::not_found(missing))?;
        if let Some(receipts) = page.receipts() {
            for judged in receipts.each_to_judge() {
                judged.evidence = self.complete(std::mem::take(&mut judged.evidence)).await;
            }
        }
        let (examiner, now, frame) = (Arc::clone(&self.examiner), self.instant(), self.frame.clone());
        let as_file = parameters.text("format") == Some("csv");
        self.work(move || {
            if let Some(receipts) = page.receipts() {
                for Judged { uri, evidence, judgement } in receipts.each_to_judge() {
                    *judgement = Some(if uri.collection() == Some(Collection::Settlement.nsid()) {
                        let verdict = examiner.settlement(evidence, uri.as_str(), Profile::Advise, now);
                        Judgement::of(verdict.as_ref().map(|verdict| verdict.findings.as_slice()))
                    } else {
                        let verdict = examiner.receipt(evidence, uri.as_str(), Profile::Advise, now);
                        Judgement::of(verdict.as_ref().map(|verdict| verdict.findings.as_slice()))
                    });
                }
            }
            match page.list().filter(|_| as_file) {
                None => Ok(html(frame.page(&page.sheet(), Some(&foot)))),
                Some(list) => {
                    let name = format!("{}.csv", list.name);
                    let mut response = file(list.table.csv(), "text/csv; charset=utf-8", &name);
                    let next =
                        list.next.map(|next| format!("<{}>; rel=\"next\"", next.with("format", Some("csv"))));
                    if let Some(Ok(next)) = next.map(HeaderValue::try_from) {
                        response.headers_mut().insert(header::LINK, next);
                    }
                    Ok(response)
                }
            }
        })
        .await
    }
}
