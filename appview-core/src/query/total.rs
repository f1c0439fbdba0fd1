//! What work adds up to.

use serde::Serialize;

use super::record::{did_id, model_id};
use super::sums::{Adder, Of};
use super::{QueryError, Span};
use crate::index::IndexReader;
use crate::syntax::Did;

/// Whose work is added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TotalsOf {
    /// Everybody's.
    #[default]
    All,
    /// That of one provider: the receipts in this repository.
    Provider(Did),
    /// That for one requester, as providers claim.
    Requester(Did),
    /// That of one model.
    Model(String),
    /// That of one model on one provider's machines.
    ModelOf {
        /// The model's name, as receipts have it.
        model: String,
        /// The provider.
        provider: Did,
    },
}

/// What receipts add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// How many receipts.
    pub requests: i64,
    /// Tokens read.
    pub tokens_in: i64,
    /// Tokens produced.
    pub tokens_out: i64,
}

impl IndexReader {
    /// What the work completed within `during` adds up to, to the microsecond. Costs a step for each week in which there was
    /// some, not for each receipt.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn totals(&self, of: &TotalsOf, during: Span) -> Result<Totals, QueryError> {
        let span = (during.since.unwrap_or(i64::MIN), during.until.unwrap_or(i64::MAX));
        let [sum] = self.query(|conn| {
            let did = |did: &Did| did_id(conn, did);
            let of = match of {
                TotalsOf::All => Some(Of::All),
                TotalsOf::Provider(provider) => did(provider)?.map(Of::Provider),
                TotalsOf::Requester(requester) => did(requester)?.map(Of::Requester),
                TotalsOf::Model(model) => model_id(conn, model)?.map(Of::Model),
                TotalsOf::ModelOf { model, provider } => {
                    let both = did(provider)?.zip(model_id(conn, model)?);
                    both.map(|(provider, model)| Of::ProviderModel { provider, model })
                }
            };
            of.map_or(Ok(Default::default()), |of| Adder::new(conn)?.within(of, [span]))
        })?;
        Ok(Totals { requests: sum.records, tokens_in: sum.tokens_in, tokens_out: sum.tokens_out })
    }
}
