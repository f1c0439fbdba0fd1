//! Frames that arrived together, on their way to the pump together.
//!
//! A busy socket has many messages ready when it is read. All of them take one allocation and one place in the queue: to
//! take a piece of memory for each on one thread, and to give it back on another, costs more than to refuse a frame.
//! Deliberately absent: any waiting for frames that have not arrived.

/// How many bytes make a burst full: from a dozen frames on, its fixed cost no longer shows.
const FULL_BYTES: usize = 64 << 10;

/// Messages of one stream, in their order: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burst {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Burst {
    /// Starts with the first frame.
    #[must_use]
    pub fn new(first: &[u8]) -> Self {
        Self { bytes: first.to_vec(), ends: vec![first.len()] }
    }

    /// Adds the next.
    pub fn push(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }

    /// Whether it is time to begin another.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.bytes.len() >= FULL_BYTES
    }

    /// The frames.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let frame = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            frame
        })
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all of them.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_frame_by_frame() {
        let mut burst = Burst::new(b"one");
        for frame in [b"".as_slice(), b"three", b"4"] {
            burst.push(frame);
        }
        let frames: Vec<&[u8]> = burst.frames().collect();
        assert_eq!(frames, [b"one".as_slice(), b"", b"three", b"4"]);
        assert_eq!((burst.count(), burst.bytes()), (4, 9));
    }
}
