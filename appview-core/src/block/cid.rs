//! The one blessed shape of a CID: version 1, SHA-256, DAG-CBOR or raw.
//!
//! Binary or text CIDs enter, [`Cid`] leaves. Identity CIDs, CIDv0 and every other hash function are refused here, so
//! that no other room has to ask. Text and multihash details are the `cid` crate's.

use std::fmt;
use std::str::FromStr;

use cid::multihash::Multihash;

use super::BlockError;

const SHA2_256: u64 = 0x12;

/// What a CID says about its block's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Codec {
    /// Canonical DAG-CBOR: records, commits, tree nodes (multicodec 0x71).
    DagCbor,
    /// Bytes without structure: blobs (multicodec 0x55).
    Raw,
}

impl Codec {
    const fn code(self) -> u8 {
        match self {
            Self::DagCbor => 0x71,
            Self::Raw => 0x55,
        }
    }
}

/// A content address: codec and SHA-256 digest, 33 bytes of memory instead of the general CID's 96.
///
/// Shape fixed by the [data model](https://atproto.com/specs/data-model#link-and-cid-formats). Ordering is that of the
/// binary form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid {
    codec: Codec,
    digest: [u8; 32],
}

impl Cid {
    /// Length of the binary form in bytes: version, codec, hash function, digest length, digest.
    pub const BYTES: usize = 36;

    /// The address of a DAG-CBOR block.
    #[must_use]
    pub fn of(block: &[u8]) -> Self {
        Self::from_digest(Codec::DagCbor, sha256(block))
    }

    /// A CID from its parts.
    #[must_use]
    pub const fn from_digest(codec: Codec, digest: [u8; 32]) -> Self {
        Self { codec, digest }
    }

    /// Whether `block` is what this CID addresses.
    #[must_use]
    pub fn addresses(&self, block: &[u8]) -> bool {
        sha256(block) == self.digest
    }

    /// The SHA-256 digest.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What the CID says its block is.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Reads a binary CID at the start of `bytes`; returns it and what follows.
    ///
    /// # Errors
    ///
    /// [`BlockError::UnsupportedCid`] for any other version, codec, hash function or digest length.
    pub fn decode_prefix(bytes: &[u8]) -> Result<(Self, &[u8]), BlockError> {
        let refuse = |reason| Err(BlockError::UnsupportedCid { reason });
        let (head, rest) = match bytes.split_first_chunk::<4>() {
            Some(split) => split,
            None => return refuse("shorter than its prefix"),
        };
        let codec = match *head {
            [1, 0x71, 0x12, 0x20] => Codec::DagCbor,
            [1, 0x55, 0x12, 0x20] => Codec::Raw,
            [0x12, 0x20, ..] => return refuse("version 0"),
            [1, 0x71 | 0x55, 0x00, _] => return refuse("identity hash"),
            [1, 0x71 | 0x55, 0x12, _] => return refuse("digest length is not 32"),
            [1, 0x71 | 0x55, ..] => return refuse("hash function is not sha2-256"),
            [1, ..] => return refuse("codec is neither dag-cbor nor raw"),
            _ => return refuse("version is not 1"),
        };
        match rest.split_first_chunk::<32>() {
            Some((digest, rest)) => Ok((Self { codec, digest: *digest }, rest)),
            None => refuse("digest is cut short"),
        }
    }

    /// Reads a binary CID that fills `bytes`.
    ///
    /// # Errors
    ///
    /// As [`Cid::decode_prefix`], and when bytes follow.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        match Self::decode_prefix(bytes)? {
            (cid, []) => Ok(cid),
            (_, extra) => Err(BlockError::TrailingBytes { extra: extra.len() }),
        }
    }

    /// The binary form.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let (head, digest) = bytes.split_at_mut(4);
        head.copy_from_slice(&[1, self.codec.code(), 0x12, 0x20]);
        digest.copy_from_slice(&self.digest);
        bytes
    }
}

/// SHA-256, by the library that also checks P-256 signatures.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

impl From<Cid> for cid::Cid {
    fn from(ours: Cid) -> Self {
        // A 32-byte digest always fits the 64 bytes of this multihash.
        let hash = Multihash::wrap(SHA2_256, &ours.digest).unwrap_or_default();
        Self::new_v1(u64::from(ours.codec.code()), hash)
    }
}

impl TryFrom<&cid::Cid> for Cid {
    type Error = BlockError;

    fn try_from(theirs: &cid::Cid) -> Result<Self, BlockError> {
        Self::decode(&theirs.to_bytes())
    }
}

impl FromStr for Cid {
    type Err = BlockError;

    /// Reads the text form; any multibase is accepted, [`fmt::Display`] always writes base32.
    fn from_str(text: &str) -> Result<Self, BlockError> {
        let theirs = cid::Cid::from_str(text)
            .map_err(|_| BlockError::UnsupportedCid { reason: "not the text of a cid" })?;
        Self::try_from(&theirs)
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cid::Cid::from(*self).fmt(f)
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_lead_back_to_the_same_cid() {
        let cid = Cid::of(b"\xa0");
        assert_eq!(cid.to_string().parse::<Cid>().unwrap(), cid);
        assert_eq!(Cid::decode(&cid.to_bytes()).unwrap(), cid);
    }

    #[test]
    fn other_versions_codecs_and_hashes_are_refused_by_name() {
        let good = Cid::of(b"").to_bytes();
        for (at, value, reason) in [
            (0, 0, "version is not 1"),
            (1, 0x70, "codec is neither dag-cbor nor raw"),
            (2, 0x1e, "hash function is not sha2-256"),
            (2, 0x00, "identity hash"),
            (3, 0x1f, "digest length is not 32"),
        ] {
            let mut bytes = good;
            *bytes.get_mut(at).unwrap() = value;
            assert_eq!(Cid::decode(&bytes), Err(BlockError::UnsupportedCid { reason }));
        }
        assert!(Cid::decode(good.get(..35).unwrap()).is_err());
        assert!(Cid::decode(&[good.as_slice(), &[0]].concat()).is_err());
    }
}
