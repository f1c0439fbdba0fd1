//! What the page asks for as an example: something that is there.
//!
//! The index enters; addresses and accounts that it has leave. An index that has nothing to show yet gives none, and then
//! whatever has the right form stands in its place, and nothing on the page leads there.

use appview_core::index::IndexReader;
use appview_core::query::{Limit, Page, QueryError, ReceiptFilter, RecordView, SettlementFilter};
use serde_json::Value;

use super::{Method, Parameter};

/// Something of each kind that a method has to be asked about.
#[derive(Debug, Default)]
pub(super) struct Examples {
    receipt: Option<String>,
    settlement: Option<String>,
    provider: Option<String>,
    requester: Option<String>,
}

impl Examples {
    /// The newest receipt and settlement that are shown, and whose they are.
    pub(super) fn of(index: &IndexReader) -> Result<Self, QueryError> {
        let one = Limit::clamp(1);
        let receipt = newest(index.list_receipts(&ReceiptFilter::default(), one, None)?);
        let settlement =
            newest(index.list_settlements(&SettlementFilter::default(), Limit::clamp(1), None)?);
        let requester = receipt.as_ref().and_then(|receipt| {
            let mut body = String::new();
            receipt.write_body(&mut body).ok()?;
            let body: Value = serde_json::from_str(&body).ok()?;
            body.get("requester").and_then(Value::as_str).map(str::to_owned)
        });
        let uri = |record: &RecordView| record.uri().to_string();
        Ok(Self {
            receipt: receipt.as_ref().map(uri),
            settlement: settlement.as_ref().map(uri),
            provider: receipt.map(|receipt| receipt.repo.to_string()),
            requester,
        })
    }

    /// What a method may be asked about, if there is anything.
    pub(super) fn of_parameter(&self, method: &Method<'_>, parameter: &Parameter<'_>) -> Option<&str> {
        let found = match parameter.name {
            "uri" if method.name.ends_with(".verifySettlement") => &self.settlement,
            "uri" => &self.receipt,
            "requester" => &self.requester,
            "did" => &self.provider,
            _ => &None,
        };
        found.as_deref()
    }
}

fn newest(page: Page<RecordView>) -> Option<RecordView> {
    page.items.into_iter().next()
}

/// A path and query, and whether it asks for something that is there.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) path: String,
    pub(super) is_there: bool,
}

impl Example {
    /// How a method is asked for no more than it must be.
    pub(super) fn of(method: &Method<'_>, examples: &Examples) -> Self {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut is_there = true;
        for parameter in method.parameters.iter().filter(|parameter| parameter.is_required) {
            let found = examples.of_parameter(method, parameter);
            is_there &= found.is_some();
            query.append_pair(parameter.name, found.unwrap_or_else(|| placeholder(parameter)));
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        Self { path: format!("/xrpc/{}{mark}{query}", method.name), is_there }
    }
}

/// Text of the right form.
fn placeholder(parameter: &Parameter<'_>) -> &'static str {
    match parameter.schema.get("format").and_then(Value::as_str) {
        Some("did") => "did:web:forge.example",
        Some("at-uri") => "at://did:web:forge.example/dev.cocore.compute.receipt/3jzfcijpj2z2a",
        _ => "text",
    }
}
