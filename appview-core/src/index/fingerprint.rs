//! One number for a set of records, kept up to date record by record.

use std::fmt;

use crate::block::Cid;

/// How many numbers a sum has.
const LANES: usize = 1024;

/// A sum over a set of records that any two holders of the same records agree on, in whatever order they got them.
///
/// Each record is expanded by BLAKE3 over `at://did/collection/rkey`, a zero byte and its binary CID, to 1024 numbers of
/// 16 bits (little-endian); a set's sum adds them lane by lane, wrapping. So a record is added or taken away without
/// looking at the others, and finding another set with the same sum is as hard as a lattice problem ("LtHash", with the
/// parameters that its authors give 200 bits of security). What is compared is the hash of the sum: BLAKE3 over its 2048
/// bytes, which [`fmt::Display`] writes as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint(Box<[u16; LANES]>);

impl Default for Fingerprint {
    /// That of no record at all.
    fn default() -> Self {
        Self(Box::new([0; LANES]))
    }
}

impl Fingerprint {
    /// Length of the sum in bytes.
    pub(super) const BYTES: usize = 2 * LANES;

    /// Adds a record, or a sum.
    pub(crate) fn add(&mut self, other: &Self) {
        for (lane, number) in self.0.iter_mut().zip(other.0.iter()) {
            *lane = lane.wrapping_add(*number);
        }
    }

    /// Takes away what was added before.
    pub(super) fn subtract(&mut self, other: &Self) {
        for (lane, number) in self.0.iter_mut().zip(other.0.iter()) {
            *lane = lane.wrapping_sub(*number);
        }
    }

    /// Becomes the sum of one record alone. In place, since a sum is too large to be made anew for each record.
    pub(crate) fn set_record(&mut self, did: &str, nsid: &str, rkey: &str, cid: &Cid) {
        let mut hasher = blake3::Hasher::new();
        for part in ["at://", did, "/", nsid, "/", rkey, "\0"] {
            hasher.update(part.as_bytes());
        }
        hasher.update(&cid.to_bytes());
        let mut bytes = [0; Self::BYTES];
        hasher.finalize_xof().fill(&mut bytes);
        self.set_bytes(&bytes);
    }

    /// The sum as it is stored.
    pub(super) fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (pair, lane) in bytes.as_chunks_mut().0.iter_mut().zip(self.0.iter()) {
            *pair = lane.to_le_bytes();
        }
        bytes
    }

    /// Reads a stored sum.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut sum = Self::default();
        sum.set_bytes(bytes.try_into().ok()?);
        Some(sum)
    }

    fn set_bytes(&mut self, bytes: &[u8; Self::BYTES]) {
        for (lane, pair) in self.0.iter_mut().zip(bytes.as_chunks().0) {
            *lane = u16::from_le_bytes(*pair);
        }
    }

    /// BLAKE3 over the sum's bytes: what two indexes compare.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.to_bytes()).as_bytes()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word and number by number.
    fn naive(records: &[(&str, Cid)]) -> String {
        let mut lanes = vec![0_u64; 1024];
        for (uri, cid) in records {
            let mut input = uri.as_bytes().to_vec();
            input.push(0);
            input.extend_from_slice(&cid.to_bytes());
            let mut output = blake3::Hasher::new().update(&input).finalize_xof();
            for lane in &mut lanes {
                let mut pair = [0; 2];
                output.fill(&mut pair);
                *lane += u64::from(pair[0]) + 256 * u64::from(pair[1]);
            }
        }
        let bytes: Vec<u8> =
            lanes.iter().flat_map(|lane| [(lane % 256) as u8, (lane / 256 % 256) as u8]).collect();
        blake3::hash(&bytes).to_hex().to_string()
    }

    fn record(did: &str, rkey: &str, cid: &Cid) -> Fingerprint {
        let mut sum = Fingerprint::default();
        sum.set_record(did, "dev.cocore.compute.job", rkey, cid);
        sum
    }

    #[test]
    fn a_sum_is_what_its_definition_says() {
        let (a, b) = (Cid::of(b"a"), Cid::of(b"b"));
        let mut sum = record("did:web:x.example", "1", &a);
        sum.add(&record("did:web:y.example", "2", &b));
        let uris = [
            ("at://did:web:x.example/dev.cocore.compute.job/1", a),
            ("at://did:web:y.example/dev.cocore.compute.job/2", b),
        ];
        assert_eq!(sum.to_string(), naive(&uris));
        assert_eq!(Fingerprint::default().to_string(), naive(&[]));
    }

    #[test]
    fn what_was_added_can_be_taken_away_in_any_order() {
        let cid = Cid::of(b"");
        let mut sum = Fingerprint::default();
        for rkey in ["1", "2", "3"] {
            sum.add(&record("did:web:x.example", rkey, &cid));
        }
        sum.subtract(&record("did:web:x.example", "1", &cid));
        sum.subtract(&record("did:web:x.example", "3", &cid));
        assert_eq!(sum, record("did:web:x.example", "2", &cid));
        assert_eq!(Fingerprint::from_bytes(&sum.to_bytes()), Some(sum));
        assert_eq!(Fingerprint::from_bytes(&[0; 2047]), None);
    }
}
