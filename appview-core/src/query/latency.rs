//! How long work took.

use serde::Serialize;

use super::{Limit, PageCursor, QueryError};
use crate::index::IndexReader;
use crate::syntax::{Datetime, Did};

/// How long the newest hundred pieces of work took that tell it, in milliseconds from `startedAt` to `completedAt`.
///
/// Percentiles are by nearest rank. A receipt tells it unless one of its times cannot be read, or they are in the wrong order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyStats {
    /// How many there are, at most 100.
    pub sample_count: u32,
    /// The median; none without a sample, as all that follows.
    pub p50_ms: Option<i64>,
    /// What 95 of 100 took at most.
    pub p95_ms: Option<i64>,
    /// The mean, rounded.
    pub avg_ms: Option<i64>,
    /// The newest.
    pub last_ms: Option<i64>,
}

/// The latency of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderLatency {
    /// The provider.
    pub did: Did,
    /// Over its own newest work.
    pub stats: LatencyStats,
}

/// The latency of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelLatency {
    /// The model's name, as receipts have it.
    pub model_id: String,
    /// Over the newest work it did.
    pub stats: LatencyStats,
}

/// The latency of everything, and of each provider and model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// The moment of the question.
    pub generated_at: Datetime,
    /// Over the newest work of the network.
    pub overall: LatencyStats,
    /// Providers with a sample, that with the newest first.
    pub by_provider: Vec<ProviderLatency>,
    /// Models with a sample, that with the newest first.
    pub by_model: Vec<ModelLatency>,
    /// Where both lists go on; none if neither does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<PageCursor>,
}

impl IndexReader {
    /// How long work took, at most `limit` providers and as many models at once.
    ///
    /// `now` is told as the moment of the answer, in microseconds since 1970, and changes nothing in it.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn latency(
        &self,
        now: u64,
        limit: Limit<1_000>,
        cursor: Option<&PageCursor>,
    ) -> Result<Latency, QueryError> {
        let _ = (now, limit, cursor);
        todo!()
    }
}
