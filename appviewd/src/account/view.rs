//! Keys as they are told, in JSON.

use appview_core::syntax::Datetime;
use serde::{Deserialize, Serialize};

use super::ApiKey;

/// A key: what is not set is not there. Moments are in UTC, with milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    /// Its name for machines.
    pub id: String,
    /// Whose it is.
    pub did: String,
    /// Its name for people.
    pub name: String,
    /// How it begins.
    pub prefix: String,
    /// Since when there is one.
    pub created_at: String,
    /// From when on it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Since when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
}

impl From<ApiKey> for KeyView {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            did: key.did.as_str().to_owned(),
            name: key.name,
            prefix: key.prefix,
            created_at: datetime(key.created_at),
            expires_at: key.expires_at.map(datetime),
            revoked_at: key.revoked_at.map(datetime),
            last_used_at: key.last_used_at.map(datetime),
        }
    }
}

/// A moment as JSON has it; the last one that it can have for all that come after the year 9999.
#[must_use]
pub fn datetime(micros: u64) -> String {
    let datetime = i64::try_from(micros).ok().and_then(Datetime::from_unix_micros);
    datetime.map_or_else(|| "9999-12-31T23:59:59.999Z".to_owned(), |datetime| datetime.as_str().to_owned())
}
