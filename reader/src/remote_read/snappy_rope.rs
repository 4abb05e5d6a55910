//! A snappy block that is compressed while it is written, with places whose content is filled in later.
//!
//! A sampled answer is one snappy block of one message, whose lengths stand before what they measure. Built plainly, it would
//! be in memory whole, several bytes for each byte sent. Snappy's compressor works in blocks of 64 KiB that do not refer to
//! each other, and a literal needs no compressor, so blocks may be compressed one by one and the lengths put between them as
//! literals at the end. It must never write more than the 4 GiB that the format can name.

use bytes::Bytes;
use snap::raw::Encoder;

use super::wire;
use crate::ReaderError;

/// The block of snappy's format.
const BLOCK_BYTES: usize = 64 * 1024;

/// A place in the rope that is filled in later.
#[derive(Debug)]
pub(super) struct Slot(usize);

/// The block under construction.
pub(super) struct SnappyRope {
    encoder: Encoder,
    pieces: Vec<Vec<u8>>,
    block: Vec<u8>,
    compressed: Vec<u8>,
    plain_bytes: u64,
    /// Bytes of all finished pieces.
    held_bytes: u64,
}

impl SnappyRope {
    pub(super) fn new() -> Self {
        Self {
            encoder: Encoder::new(),
            pieces: Vec::new(),
            block: Vec::with_capacity(BLOCK_BYTES),
            compressed: vec![0; snap::raw::max_compress_len(BLOCK_BYTES)],
            plain_bytes: 0,
            held_bytes: 0,
        }
    }

    /// Bytes of the block so far, but for what is not compressed yet.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Adds bytes at the end.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), ReaderError> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(now);
            if self.block.len() == BLOCK_BYTES {
                self.compress()?;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Keeps a place at the end.
    pub(super) fn reserve(&mut self) -> Result<Slot, ReaderError> {
        self.compress()?;
        self.pieces.push(Vec::new());
        Ok(Slot(self.pieces.len() - 1))
    }

    /// Fills a place with at most 60 bytes.
    pub(super) fn fill(&mut self, slot: Slot, bytes: &[u8]) -> Result<(), ReaderError> {
        // A literal of 1 to 60 bytes has the tag (length - 1) << 2.
        let mut piece = Vec::with_capacity(bytes.len() + 1);
        for part in bytes.chunks(60) {
            piece.push(((part.len() - 1) << 2) as u8);
            piece.extend_from_slice(part);
        }
        self.pieces[slot.0] = piece;
        self.count(bytes.len())
    }

    /// The finished block in pieces.
    pub(super) fn finish(mut self) -> Result<Vec<Bytes>, ReaderError> {
        self.compress()?;
        let mut preamble = Vec::new();
        wire::varint(self.plain_bytes, &mut preamble);
        let pieces = std::iter::once(preamble).chain(self.pieces);
        Ok(pieces.filter(|piece| !piece.is_empty()).map(Bytes::from).collect())
    }

    fn compress(&mut self) -> Result<(), ReaderError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let written = self
            .encoder
            .compress(&self.block, &mut self.compressed)
            .map_err(|error| ReaderError::Inconsistent(format!("snappy: {error}")))?;
        // What a compressor writes begins with the length of this block; the whole has one length of its own.
        let own_length = wire::varint_len(self.block.len() as u64);
        self.pieces.push(self.compressed[own_length..written].to_vec());
        self.held_bytes += (written - own_length) as u64;
        let plain = self.block.len();
        self.block.clear();
        self.count(plain)
    }

    fn count(&mut self, plain: usize) -> Result<(), ReaderError> {
        self.plain_bytes += plain as u64;
        if self.plain_bytes > u64::from(u32::MAX) {
            return Err(ReaderError::TooMuch(
                "the answer is larger than 4 GiB, the most that a sampled answer can be: narrow the query".to_owned(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_rope_is_one_snappy_block(
            parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), 0usize..2_000, any::<bool>()), 0..20)
        ) {
            let mut rope = SnappyRope::new();
            let (mut plain, mut slots) = (Vec::new(), Vec::new());
            for (bytes, repeat, later) in parts {
                if later && bytes.len() <= 60 {
                    slots.push((rope.reserve().unwrap(), bytes.clone()));
                    plain.extend_from_slice(&bytes);
                } else {
                    for _ in 0..repeat {
                        rope.write(&bytes).unwrap();
                        plain.extend_from_slice(&bytes);
                    }
                }
            }
            for (slot, bytes) in slots {
                rope.fill(slot, &bytes).unwrap();
            }
            let whole: Vec<u8> = rope.finish().unwrap().concat();
            let mut found = Vec::new();
            emberkeep_proto::snappy::decompress_capped(&whole, plain.len(), &mut found).unwrap();
            prop_assert_eq!(found, plain);
        }
    }
}
