//! What work adds up to.

use rusqlite::Connection;
use serde::Serialize;

use super::record::{did_id, model_id};
use super::sums::{Adder, Of};
use super::{QueryError, Span};
use crate::index::{Fault, IndexReader, Sum};
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

/// Spans of equal length, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// The first moment of the first, in microseconds since 1970.
    pub since: i64,
    /// How long each is, in microseconds; 1 at least.
    pub length: i64,
    /// How many there are.
    pub count: u16,
}

impl From<Sum> for Totals {
    fn from(sum: Sum) -> Self {
        Self { requests: sum.records, tokens_in: sum.tokens_in, tokens_out: sum.tokens_out }
    }
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
        let [sum] = self.query(|conn| match of.find(conn)? {
            Some(of) => Adder::new(conn)?.within(of, [span]),
            None => Ok(Default::default()),
        })?;
        Ok(sum.into())
    }

    /// What the work completed within each of the steps adds up to. Costs a look at each hour in which there was some, and
    /// at each receipt only where a step begins within the hour.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn series(&self, of: &TotalsOf, steps: Steps) -> Result<Vec<Totals>, QueryError> {
        let sums = self.query(|conn| match of.find(conn)? {
            Some(of) => Adder::new(conn)?.series(of, steps),
            None => Ok(vec![Sum::default(); usize::from(steps.count)]),
        })?;
        Ok(sums.into_iter().map(Totals::from).collect())
    }
}

impl TotalsOf {
    /// The group, in the index's terms; none where nothing is known of it.
    fn find(&self, conn: &Connection) -> Result<Option<Of>, Fault> {
        let did = |did: &Did| did_id(conn, did);
        Ok(match self {
            Self::All => Some(Of::All),
            Self::Provider(provider) => did(provider)?.map(Of::Provider),
            Self::Requester(requester) => did(requester)?.map(Of::Requester),
            Self::Model(model) => model_id(conn, model)?.map(Of::Model),
            Self::ModelOf { model, provider } => {
                let both = did(provider)?.zip(model_id(conn, model)?);
                both.map(|(provider, model)| Of::ProviderModel { provider, model })
            }
        })
    }
}
