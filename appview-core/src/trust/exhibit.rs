//! One record of the evidence: where it was found, and its bytes.
//!
//! A URI, a CID and a block enter as they were found; members leave, whatever is in the block. Deliberately absent: what the
//! record is good for.

use std::sync::{Arc, OnceLock};

use ipld_core::ipld::Ipld;
use serde::Serialize;

use super::body::Body;
use crate::block::{Cid, Map, Value, cbor};
use crate::limits;
use crate::record::Collection;
use crate::syntax::AtUri;

/// What every AT URI begins with.
const SCHEME: &str = "at://";

/// Whether a record is what its URI leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Standing {
    /// It stands there.
    #[default]
    Current,
    /// It stood there, and has been overwritten or deleted since.
    Former,
}

/// What vouches for a record standing in its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Footing {
    /// It was proven against a commit that the repository's key signed, by whoever gathered the evidence.
    #[default]
    Proven,
    /// A file says so, and nobody else.
    Claimed,
}

/// A URI at which no record can stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{uri}: expected at://, a did, a collection and a record key")]
pub struct ExhibitError {
    /// The URI.
    pub uri: AtUri,
}

/// One record of the evidence. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Exhibit {
    uri: AtUri,
    /// Where the repository's name and the collection's end in the URI: both are looked at again and again.
    ends: [usize; 2],
    cid: Cid,
    block: Arc<[u8]>,
    standing: Standing,
    footing: Footing,
    /// Whether the block hashes to the CID, once somebody asked.
    is_its_own: OnceLock<bool>,
    /// The nearest block that can be read, once somebody had to ask for it.
    nearest: OnceLock<Arc<[u8]>>,
}

impl PartialEq for Exhibit {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order() && (self.footing, &self.block) == (other.footing, &other.block)
    }
}

impl Eq for Exhibit {}

impl Exhibit {
    /// A record that was found at `uri` under `cid`, which is taken on trust: that the block does not hash to it is for a
    /// verdict to find. Whoever makes it answers for its standing there, unless it is put [on another footing](Self::on).
    ///
    /// # Errors
    ///
    /// [`ExhibitError`] if `uri` names no record, or has a handle as its authority.
    pub fn new(uri: AtUri, cid: Cid, block: impl Into<Arc<[u8]>>) -> Result<Self, ExhibitError> {
        if uri.rkey().is_none() || !uri.authority().starts_with("did:") {
            return Err(ExhibitError { uri });
        }
        let repo = SCHEME.len() + uri.authority().len();
        let ends = [repo, repo + 1 + uri.collection().unwrap_or_default().len()];
        Ok(Self {
            uri,
            ends,
            cid,
            block: block.into(),
            standing: Standing::Current,
            footing: Footing::Proven,
            is_its_own: OnceLock::new(),
            nearest: OnceLock::new(),
        })
    }

    /// A record whose block was hashed before: by an index when it was written, by a CAR when it was read.
    ///
    /// # Errors
    ///
    /// As [`Exhibit::new`].
    pub(crate) fn hashed(uri: AtUri, cid: Cid, block: impl Into<Arc<[u8]>>) -> Result<Self, ExhibitError> {
        Ok(Self { is_its_own: OnceLock::from(true), ..Self::new(uri, cid, block)? })
    }

    /// The same record, standing as given.
    #[must_use]
    pub fn standing_as(mut self, standing: Standing) -> Self {
        self.standing = standing;
        self
    }

    /// The same record, on this footing.
    #[must_use]
    pub const fn on(mut self, footing: Footing) -> Self {
        self.footing = footing;
        self
    }

    /// Where it was found.
    #[must_use]
    pub const fn uri(&self) -> &AtUri {
        &self.uri
    }

    /// The repository it was found in, a DID: who answers for it.
    #[must_use]
    pub fn repo(&self) -> &str {
        let [end, _] = self.ends;
        self.uri.as_str().get(SCHEME.len()..end).unwrap_or_default()
    }

    /// The collection it was found in.
    #[must_use]
    pub fn collection(&self) -> &str {
        let [repo, end] = self.ends;
        self.uri.as_str().get(repo + 1..end).unwrap_or_default()
    }

    /// Whether it was found in that collection.
    #[must_use]
    pub fn is_in(&self, collection: Collection) -> bool {
        self.collection() == collection.nsid()
    }

    /// The CID it was found under.
    #[must_use]
    pub const fn cid(&self) -> Cid {
        self.cid
    }

    /// Whether the block hashes to the CID that it was found under.
    #[must_use]
    pub fn is_its_own(&self) -> bool {
        *self.is_its_own.get_or_init(|| self.cid.addresses(&self.block))
    }

    /// Its bytes as they were found.
    #[must_use]
    pub fn block(&self) -> &[u8] {
        &self.block
    }

    /// A block that can be read in the place of one that is not of the data model: the same with null for each fraction
    /// and each other number that has no place there, or an empty record.
    pub(super) fn nearest(&self) -> &[u8] {
        self.nearest.get_or_init(|| {
            let is_long = self.block.len() > limits::RECORD_BYTES;
            let tree = serde_ipld_dagcbor::from_slice::<Ipld>(&self.block).ok().filter(|_| !is_long);
            tree.map_or_else(|| vec![0xa0], |tree| cbor::encode(&of_the_data_model(&tree))).into()
        })
    }

    /// Reads its members as a verdict would: none where the block is no record, and null in the place of what has no place
    /// in the data model.
    pub fn read<T>(&self, read: impl FnOnce(&Map<'_>) -> T) -> T {
        read(&Body::of(self).map)
    }

    /// Whether it still stands there.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// What vouches for it having been found there.
    #[must_use]
    pub const fn footing(&self) -> Footing {
        self.footing
    }

    /// The order in which evidence is kept: of several versions the present one first.
    pub(super) fn order(&self) -> (&AtUri, Standing, Cid) {
        (&self.uri, self.standing, self.cid)
    }
}

fn of_the_data_model(tree: &Ipld) -> Value<'_> {
    match tree {
        Ipld::Null | Ipld::Float(_) => Value::Null,
        Ipld::Bool(bool) => Value::Bool(*bool),
        Ipld::Integer(integer) => i64::try_from(*integer).map_or(Value::Null, Value::Integer),
        Ipld::String(text) => Value::Text(text),
        Ipld::Bytes(bytes) => Value::Bytes(bytes),
        Ipld::Link(cid) => Cid::try_from(cid).map_or(Value::Null, Value::Link),
        Ipld::List(items) => Value::List(items.iter().map(of_the_data_model).collect()),
        Ipld::Map(members) => Value::Map(Map::from_entries(
            members.iter().map(|(key, value)| (key.as_str(), of_the_data_model(value))).collect(),
        )),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_its_uri_are_its_own() {
        let uri = "at://did:web:ada.example/dev.cocore.compute.job/3jzfcijpj2z2a";
        let exhibit = Exhibit::new(uri.parse().unwrap(), Cid::of(b""), []).unwrap();
        assert_eq!((exhibit.repo(), exhibit.collection()), ("did:web:ada.example", "dev.cocore.compute.job"));
        assert!(exhibit.is_in(Collection::Job) && !exhibit.is_in(Collection::Receipt));
    }

    #[test]
    fn what_names_no_record_is_no_exhibit() {
        for uri in
            ["at://did:web:ada.example", "at://did:web:ada.example/a.b.c", "at://ada.example/a.b.c/self"]
        {
            assert!(Exhibit::new(uri.parse().unwrap(), Cid::of(b""), []).is_err(), "{uri}");
        }
    }
}
