//! Which models are used, how much, and on whose machines.

use serde::Serialize;

use super::{Limit, PageCursor, QueryError};
use crate::index::IndexReader;
use crate::syntax::{Datetime, Did};

/// How much was asked of a model in one window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Activity {
    /// How many receipts.
    pub requests: i64,
    /// Tokens read and produced.
    pub tokens: i64,
}

/// How much was asked of a model within the last hour, 24 hours, 7 days and 30 days. Each includes those before it, its
/// first moment, and whatever is dated later than the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ActivityWindows {
    /// Within an hour.
    pub hour: Activity,
    /// Within 24 hours.
    pub day: Activity,
    /// Within 7 days.
    pub week: Activity,
    /// Within 30 days.
    pub month: Activity,
}

/// One provider's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderActivity {
    /// The provider.
    pub did: Did,
    /// What its machines did with the model.
    pub stats: ActivityWindows,
}

/// The use of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelUse {
    /// The model's name, as receipts have it.
    pub model_id: String,
    /// Over all providers, listed or not.
    pub totals: ActivityWindows,
    /// The providers that served it most recently, the latest first.
    pub by_provider: Vec<ProviderActivity>,
}

/// The use of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelActivity {
    /// The moment of the question.
    pub generated_at: Datetime,
    /// The models, the one used last first; those that nobody uses any more included.
    pub models: Vec<ModelUse>,
    /// Where the models go on; none if there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<PageCursor>,
}

impl IndexReader {
    /// How much each model was used in the time before `now` (microseconds since 1970), and by at most `providers`
    /// providers of each.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn model_activity(
        &self,
        now: u64,
        providers: Limit<1_000>,
        limit: Limit<1_000>,
        cursor: Option<&PageCursor>,
    ) -> Result<ModelActivity, QueryError> {
        let _ = (now, providers, limit, cursor);
        todo!()
    }
}
