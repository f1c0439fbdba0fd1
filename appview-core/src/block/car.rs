//! CAR bytes in, hashed blocks out.
//!
//! [`Slice`] is a CAR in memory, borrowed: the `blocks` of a message. [`Reader`] streams a CAR of any length through one
//! buffer, and [`Archive`] keeps what is needed to read its blocks again in any order: 20 bytes of memory for each
//! block, so that a 300 MB export fits a small process. Each of them hashes every block before anyone sees it.
//! [`write()`] makes one. Deliberately absent: what the roots mean, and any network. Rejected alternative: `iroh-car`, which does not compare
//! a block with its CID.
//!
//! Follows [CAR v1](https://ipld.io/specs/transport/car/carv1/); as the repository specification asks, blocks may come
//! in any order, more than once, and more than are needed.

use std::any::Any;
use std::fs::File;
use std::io::{BufReader, Read};

use super::cbor;
use super::{BlockError, Cid};
use crate::limits;

/// A CAR in memory; every block hashed, found by its CID.
#[derive(Debug)]
pub struct Slice<'a> {
    roots: Vec<Cid>,
    /// Sorted by CID: a slice has a handful of blocks, and bisecting them costs less than hashing a key.
    blocks: Vec<(Cid, &'a [u8])>,
}

impl<'a> Slice<'a> {
    /// Reads and hashes a whole CAR.
    ///
    /// # Errors
    ///
    /// A malformed header or length, a CID of another shape, a block that does not hash to its CID.
    pub fn parse(car: &'a [u8]) -> Result<Self, BlockError> {
        let mut rest = car;
        let roots = header(take_section(&mut rest, car.len(), limits::CAR_HEADER_BYTES)?)?;
        // A block takes 38 bytes at the very least; most take hundreds.
        let mut blocks = Vec::with_capacity((rest.len() / 256).clamp(4, 256));
        while !rest.is_empty() {
            let section = take_section(&mut rest, car.len(), limits::BLOCK_BYTES + Cid::BYTES)?;
            let (cid, block) = Cid::decode_prefix(section)?;
            if !cid.addresses(block) {
                return Err(BlockError::HashMismatch { cid });
            }
            blocks.push((cid, block));
        }
        blocks.sort_unstable_by_key(|(cid, _)| *cid);
        Ok(Self { roots, blocks })
    }

    /// The roots that the header names.
    #[must_use]
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// The block of `cid`, if it is here.
    #[must_use]
    pub fn get(&self, cid: &Cid) -> Option<&'a [u8]> {
        let at = self.blocks.binary_search_by_key(cid, |(cid, _)| *cid).ok()?;
        self.blocks.get(at).map(|(_, block)| *block)
    }

    /// How many blocks there are, repeated ones counted each time.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

/// A block of a [`Reader`], hashed.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Its address.
    pub cid: Cid,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Where they start in the input.
    pub offset: u64,
}

/// Streams a CAR; holds one block at a time.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    roots: Vec<Cid>,
    section: Vec<u8>,
    offset: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the header. `input` should be buffered.
    ///
    /// # Errors
    ///
    /// A malformed header, or a failing `input`.
    pub fn new(input: R) -> Result<Self, BlockError> {
        let mut reader = Self { input, roots: Vec::new(), section: Vec::new(), offset: 0 };
        if !reader.next_section(limits::CAR_HEADER_BYTES)? {
            return Err(BlockError::CarHeader { reason: "the file is empty" });
        }
        reader.roots = header(&reader.section)?;
        Ok(reader)
    }

    /// The roots that the header names.
    #[must_use]
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// The next block; none at the end.
    ///
    /// # Errors
    ///
    /// As [`Slice::parse`], or a failing input.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, BlockError> {
        if !self.next_section(limits::BLOCK_BYTES + Cid::BYTES)? {
            return Ok(None);
        }
        let (cid, block) = Cid::decode_prefix(&self.section)?;
        if !cid.addresses(block) {
            return Err(BlockError::HashMismatch { cid });
        }
        let offset = self.offset.saturating_sub(block.len() as u64);
        Ok(Some(Block { cid, bytes: block, offset }))
    }

    /// Reads one length-prefixed section; false at the end of the input.
    fn next_section(&mut self, limit: usize) -> Result<bool, BlockError> {
        let mut varint = Varint::default();
        let length = loop {
            let mut byte = [0];
            if self.input.read(&mut byte)? == 0 {
                if varint.is_started() {
                    return Err(self.truncated());
                }
                return Ok(false);
            }
            self.offset = self.offset.saturating_add(1);
            if let Some(length) = varint.push(byte[0])? {
                break length;
            }
        };
        check_section(length, limit)?;
        self.section.clear();
        // `take` bounds what a lying length can make us read, `read_to_end` what it can make us reserve.
        let read = self.input.by_ref().take(length as u64).read_to_end(&mut self.section)?;
        self.offset = self.offset.saturating_add(read as u64);
        if read == length { Ok(true) } else { Err(self.truncated()) }
    }

    fn truncated(&self) -> BlockError {
        BlockError::Truncated { offset: usize::try_from(self.offset).unwrap_or(usize::MAX) }
    }
}

/// A CAR whose blocks can be read again in any order; every block hashed when it was opened.
#[derive(Debug)]
pub struct Archive {
    roots: Vec<Cid>,
    places: Places,
    store: Store,
}

/// Where the blocks are, found by the first eight bytes of their digests. Eight bytes can be made to collide, so a lookup
/// compares whole CIDs of all entries that share them.
#[derive(Debug)]
struct Places {
    /// Sorted by prefix.
    sorted: Vec<Place>,
    /// For each value of a prefix's first bits, where its places start. There are about as many values as places, so a
    /// lookup bisects a few places that lie together; all of them at worst, if someone ground digests to be alike.
    starts: Vec<u32>,
    /// How far a prefix is shifted to leave those first bits.
    shift: u32,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    File(Box<OnDisk>),
}

#[derive(Debug)]
struct OnDisk {
    file: File,
    /// What must not end before it.
    _kept: Box<dyn Any + Send + Sync>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    prefix: u64,
    /// Where the block starts (upper 40 bits: a terabyte) and its length (lower 24 bits: 16 MiB).
    packed: u64,
}

impl Place {
    const fn offset(self) -> u64 {
        self.packed >> 24
    }

    const fn length(self) -> usize {
        (self.packed & 0x00ff_ffff) as usize
    }
}

impl Archive {
    /// Bytes of memory that it takes for each block, at most: its place, and its share of where places start.
    pub const BYTES_PER_BLOCK: usize = size_of::<Place>() + size_of::<u32>();
    /// Bytes of a CAR that a block takes at the very least: a length and a CID.
    pub const SMALLEST_BLOCK: u64 = Cid::BYTES as u64 + 1;

    /// Opens a CAR that is in memory.
    ///
    /// # Errors
    ///
    /// As [`Slice::parse`]; more than [`limits::ARCHIVE_BLOCKS`] blocks.
    pub fn from_bytes(car: Vec<u8>) -> Result<Self, BlockError> {
        let (roots, places) = index(car.as_slice())?;
        Ok(Self { roots, places, store: Store::Memory(car) })
    }

    /// Opens a CAR file, which must not change while this lives; what is read later is hashed again.
    ///
    /// # Errors
    ///
    /// As [`Archive::from_bytes`], or a failing file.
    pub fn from_file(file: File) -> Result<Self, BlockError> {
        Self::from_file_keeping(file, ())
    }

    /// The same, which keeps something until it is dropped: what the file takes of a limit, say.
    ///
    /// # Errors
    ///
    /// As [`Archive::from_file`].
    pub fn from_file_keeping(file: File, kept: impl Any + Send + Sync) -> Result<Self, BlockError> {
        let (roots, places) = index(BufReader::with_capacity(256 * 1024, &file))?;
        let store = Store::File(Box::new(OnDisk { file, _kept: Box::new(kept) }));
        Ok(Self { roots, places, store })
    }

    /// The roots that the header names.
    #[must_use]
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    /// How many blocks there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.places.sorted.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.places.sorted.is_empty()
    }

    /// Bytes of all blocks together.
    #[must_use]
    pub fn block_bytes(&self) -> u64 {
        self.places.sorted.iter().map(|place| place.length() as u64).sum()
    }

    /// Whether the blocks stay in a file.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        matches!(self.store, Store::File(_))
    }

    /// Bytes of memory that it takes: the CAR itself unless it is a file, and some 20 for each block.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        let car = match &self.store {
            Store::Memory(car) => car.capacity(),
            Store::File(_) => 0,
        };
        let places = self.places.sorted.capacity().saturating_mul(size_of::<Place>());
        let starts = self.places.starts.capacity().saturating_mul(size_of::<u32>());
        car.saturating_add(places).saturating_add(starts)
    }

    /// Length of the block of `cid` in bytes; none if it is not here.
    ///
    /// # Errors
    ///
    /// A failing file.
    pub fn size(&self, cid: &Cid) -> Result<Option<usize>, BlockError> {
        let mut named = [0; Cid::BYTES];
        for place in self.places.of(cid) {
            // The CID stands right before its block.
            let start = place.offset().saturating_sub(Cid::BYTES as u64);
            match &self.store {
                Store::Memory(car) => {
                    let start = usize::try_from(start).unwrap_or(usize::MAX);
                    let range = start..start.saturating_add(Cid::BYTES);
                    let bytes = car.get(range).and_then(|bytes| bytes.first_chunk());
                    named = *bytes.ok_or(BlockError::Truncated { offset: start })?;
                }
                Store::File(on_disk) => read_exact_at(&on_disk.file, &mut named, start)?,
            }
            if named == cid.to_bytes() {
                return Ok(Some(place.length()));
            }
        }
        Ok(None)
    }

    /// Reads the block of `cid` into `buffer`; false if it is not here.
    ///
    /// # Errors
    ///
    /// A failing file, or one that changed since it was opened.
    pub fn read(&self, cid: &Cid, buffer: &mut Vec<u8>) -> Result<bool, BlockError> {
        for place in self.places.of(cid) {
            buffer.clear();
            match &self.store {
                Store::Memory(car) => {
                    // The blocks of memory cannot have changed since they were hashed, their CIDs stand before them.
                    let end = usize::try_from(place.offset()).unwrap_or(usize::MAX);
                    let section = end.saturating_sub(Cid::BYTES)..end.saturating_add(place.length());
                    let section = car.get(section).ok_or(BlockError::Truncated { offset: end })?;
                    let (found, block) = Cid::decode_prefix(section)?;
                    if found == *cid {
                        buffer.extend_from_slice(block);
                        return Ok(true);
                    }
                }
                Store::File(on_disk) => {
                    buffer.resize(place.length(), 0);
                    read_exact_at(&on_disk.file, buffer, place.offset())?;
                    if cid.addresses(buffer) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }
}

impl Places {
    fn new(mut sorted: Vec<Place>) -> Self {
        sorted.sort_unstable_by_key(|place| place.prefix);
        // Twice as much is reserved while it grows, and it is kept for longer than that.
        sorted.shrink_to_fit();
        // At least one bit, since a shift of 64 is none.
        let bits = sorted.len().checked_ilog2().unwrap_or(0).max(1);
        let shift = u64::BITS.saturating_sub(bits);
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for (at, place) in (0..).zip(&sorted) {
            while starts.len() as u64 <= place.prefix >> shift {
                starts.push(at);
            }
        }
        starts.resize((1 << bits) + 1, u32::try_from(sorted.len()).unwrap_or(u32::MAX));
        Self { sorted, starts, shift }
    }

    fn of(&self, cid: &Cid) -> impl Iterator<Item = &Place> {
        let prefix = prefix(cid);
        let first_bits = usize::try_from(prefix >> self.shift).unwrap_or(usize::MAX);
        let range = match self.starts.get(first_bits..).and_then(<[u32]>::first_chunk) {
            Some([start, end]) => *start as usize..*end as usize,
            None => 0..0,
        };
        let near = self.sorted.get(range).unwrap_or_default();
        let first = near.partition_point(|place| place.prefix < prefix);
        near.iter().skip(first).take_while(move |place| place.prefix == prefix)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = buffer.split_at_mut(read).1;
                offset = offset.saturating_add(read as u64);
            }
        }
    }
    Ok(())
}

fn index(input: impl Read) -> Result<(Vec<Cid>, Places), BlockError> {
    let mut reader = Reader::new(input)?;
    let mut places = Vec::new();
    while let Some(Block { cid, bytes, offset }) = reader.next_block()? {
        if places.len() >= limits::ARCHIVE_BLOCKS || offset >= 1 << 40 {
            return Err(BlockError::TooLarge {
                what: "a car",
                found: places.len().saturating_add(1),
                limit: limits::ARCHIVE_BLOCKS,
            });
        }
        places.push(Place { prefix: prefix(&cid), packed: offset << 24 | bytes.len() as u64 });
    }
    Ok((reader.roots, Places::new(places)))
}

fn prefix(cid: &Cid) -> u64 {
    cid.digest().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Reads `{roots: [cid, …], version: 1}`.
fn header(bytes: &[u8]) -> Result<Vec<Cid>, BlockError> {
    let malformed = |reason| BlockError::CarHeader { reason };
    let mut reader = cbor::Reader::canonical(bytes);
    if reader.map()? != 2 || !reader.next_key_is("roots") {
        return Err(malformed("expected the members roots and version"));
    }
    let count = reader.list()?;
    let mut roots = Vec::with_capacity(count.min(4));
    for _ in 0..count {
        roots.push(reader.link()?);
    }
    if !reader.next_key_is("version") {
        return Err(malformed("expected the members roots and version"));
    }
    if reader.integer()? != 1 {
        return Err(malformed("expected version 1"));
    }
    reader.end()?;
    Ok(roots)
}

/// A CAR of one root, with blocks in the order given. Whether they hash to their CIDs is for the caller to know.
#[must_use]
pub fn write<'a>(root: &Cid, blocks: impl IntoIterator<Item = (Cid, &'a [u8])>) -> Vec<u8> {
    let mut header = Vec::with_capacity(64);
    cbor::write_head(&mut header, 5, 2);
    cbor::write_text(&mut header, "roots");
    cbor::write_head(&mut header, 4, 1);
    cbor::write_link(&mut header, root);
    cbor::write_text(&mut header, "version");
    cbor::write_integer(&mut header, 1);
    let mut car = Vec::with_capacity(4_096);
    write_varint(&mut car, header.len() as u64);
    car.extend_from_slice(&header);
    for (cid, block) in blocks {
        write_varint(&mut car, (Cid::BYTES + block.len()) as u64);
        car.extend_from_slice(&cid.to_bytes());
        car.extend_from_slice(block);
    }
    car
}

fn write_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // The lowest seven bits, and a mark that more follow.
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Splits one length-prefixed section off `rest`, which is the end of an input of `total` bytes.
fn take_section<'a>(rest: &mut &'a [u8], total: usize, limit: usize) -> Result<&'a [u8], BlockError> {
    let truncated = |rest: &[u8]| BlockError::Truncated { offset: total.saturating_sub(rest.len()) };
    let mut varint = Varint::default();
    let length = loop {
        let (&byte, after) = rest.split_first().ok_or_else(|| truncated(rest))?;
        *rest = after;
        if let Some(length) = varint.push(byte)? {
            break length;
        }
    };
    check_section(length, limit)?;
    let (section, after) = rest.split_at_checked(length).ok_or_else(|| truncated(rest))?;
    *rest = after;
    Ok(section)
}

const fn check_section(length: usize, limit: usize) -> Result<(), BlockError> {
    if length > limit {
        return Err(BlockError::TooLarge { what: "a car section", found: length, limit });
    }
    Ok(())
}

/// An unsigned LEB128 of at most five bytes, in its shortest form.
#[derive(Default)]
struct Varint {
    value: usize,
    shift: u32,
}

impl Varint {
    const fn is_started(&self) -> bool {
        self.shift > 0
    }

    fn push(&mut self, byte: u8) -> Result<Option<usize>, BlockError> {
        let refuse = |rule| Err(BlockError::NotCanonical { offset: 0, rule });
        if self.shift > 28 {
            return refuse("a car length takes at most five bytes");
        }
        self.value |= usize::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        match byte {
            0x80.. => Ok(None),
            0 if self.shift > 7 => refuse("a car length takes its shortest form"),
            _ => Ok(Some(self.value)),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn car(roots: &[Cid], blocks: &[(Cid, &[u8])]) -> Vec<u8> {
        let mut header = vec![0xa2];
        cbor::write_text(&mut header, "roots");
        cbor::write_head(&mut header, 4, roots.len() as u64);
        roots.iter().for_each(|root| cbor::write_link(&mut header, root));
        cbor::write_text(&mut header, "version");
        header.push(1);
        let mut out = Vec::new();
        let mut section = |bytes: &[u8]| {
            assert!(bytes.len() < 128 * 128);
            if bytes.len() < 128 {
                out.push(u8::try_from(bytes.len()).unwrap());
            } else {
                out.push(u8::try_from(bytes.len() & 0x7f).unwrap() | 0x80);
                out.push(u8::try_from(bytes.len() >> 7).unwrap());
            }
            out.extend_from_slice(bytes);
        };
        section(&header);
        for (cid, block) in blocks {
            section(&[&cid.to_bytes(), *block].concat());
        }
        out
    }

    #[test]
    fn blocks_are_found_in_any_order_in_memory_and_in_a_file() {
        let bodies: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; usize::from(n) * 3]).collect();
        let blocks: Vec<(Cid, &[u8])> = bodies.iter().map(|b| (Cid::of(b), b.as_slice())).collect();
        let bytes = car(&[blocks[0].0], &blocks);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();

        let slice = Slice::parse(&bytes).unwrap();
        let archives = [Archive::from_bytes(bytes.clone()).unwrap(), Archive::from_file(file).unwrap()];
        let mut buffer = Vec::new();
        for (cid, block) in blocks.iter().rev() {
            assert_eq!(slice.get(cid), Some(*block));
            for archive in &archives {
                assert!(archive.read(cid, &mut buffer).unwrap());
                assert_eq!(buffer, *block);
            }
        }
        assert_eq!(slice.roots(), archives[1].roots());
        assert!(!archives[0].read(&Cid::of(b"absent"), &mut buffer).unwrap());
    }

    #[test]
    fn one_flipped_bit_anywhere_in_a_block_is_noticed() {
        let body = [7; 40];
        let bytes = car(&[Cid::of(&body)], &[(Cid::of(&body), &body)]);
        for at in bytes.len() - 40..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(matches!(Slice::parse(&flipped), Err(BlockError::HashMismatch { .. })));
            assert!(matches!(Archive::from_bytes(flipped), Err(BlockError::HashMismatch { .. })));
        }
    }

    #[test]
    fn malformed_lengths_and_headers_are_refused() {
        let good = car(&[Cid::of(b"")], &[(Cid::of(b"x"), b"x")]);
        assert!(Slice::parse(&good[..good.len() - 1]).is_err());
        assert!(Slice::parse(b"").is_err());
        for bad in [
            &b"\xff\xff\xff\xff\xff\x01"[..],
            b"\xff\xff\xff\xff\x7f",
            b"\x80\x00",
            b"\x80",
            b"\x01\xa0",
            b"\x0c\xa2\x65roots\x80\x67versio",
        ] {
            assert!(Slice::parse(bad).is_err(), "{bad:02x?}");
            assert!(Archive::from_bytes(bad.to_vec()).is_err(), "{bad:02x?}");
        }
    }
}
