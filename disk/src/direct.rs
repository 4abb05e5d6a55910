//! Memory for writes that bypass the page cache.
//!
//! A device takes whole blocks from aligned memory. The allocator aligns to 16 bytes, so the buffer is longer than asked for
//! and begins at its first aligned byte; it must never grow, because growing would move it.

/// Alignment of offsets, lengths and memory for [`crate::FileSystem::open_direct`], in bytes.
///
/// Devices have logical blocks of 512 or 4,096 bytes; a file on one with larger blocks is written through the page cache.
pub const DIRECT_BLOCK_BYTES: usize = 4096;

/// A buffer of a fixed size whose first byte lies on a block boundary.
#[derive(Debug)]
pub struct DirectBuffer {
    memory: Vec<u8>,
    start: usize,
    capacity: usize,
    len: usize,
}

impl DirectBuffer {
    /// An empty buffer that can hold `blocks` blocks (at least one); it reads as zeros behind what was written.
    #[must_use]
    pub fn new(blocks: usize) -> Self {
        let capacity = blocks.max(1) * DIRECT_BLOCK_BYTES;
        let memory = vec![0; capacity + DIRECT_BLOCK_BYTES];
        let start = memory.as_ptr().addr().wrapping_neg() % DIRECT_BLOCK_BYTES;
        Self {
            memory,
            start,
            capacity,
            len: 0,
        }
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes as much from the front of `bytes` as fits, and answers how much that was.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.capacity - self.len);
        let end = self.start + self.len;
        self.memory[end..end + count].copy_from_slice(&bytes[..count]);
        self.len += count;
        count
    }

    /// What it holds, followed by zeros up to a multiple of `unit` bytes, which divides the block size.
    #[must_use]
    pub fn padded(&mut self, unit: usize) -> &[u8] {
        let len = self.len.next_multiple_of(unit).min(self.capacity);
        self.memory[self.start + self.len..self.start + len].fill(0);
        &self.memory[self.start..self.start + len]
    }

    /// Forgets the whole units of `unit` bytes at its front, so that what is left is the beginning of one.
    pub fn keep_last(&mut self, unit: usize) {
        let whole = self.len - self.len % unit;
        self.memory
            .copy_within(self.start + whole..self.start + self.len, self.start);
        self.len -= whole;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is put in comes out in order, in aligned blocks of which only the last is padded.
        #[test]
        fn what_is_filled_is_written_once(pieces: Vec<Vec<u8>>, unit in prop_oneof![Just(1), Just(512), Just(DIRECT_BLOCK_BYTES)]) {
            let mut buffer = DirectBuffer::new(1);
            let (mut file, mut at) = (Vec::new(), 0);
            for piece in &pieces {
                let mut rest = &piece[..];
                loop {
                    rest = &rest[buffer.fill(rest)..];
                    let block = buffer.padded(unit);
                    prop_assert!(block.as_ptr().addr().is_multiple_of(DIRECT_BLOCK_BYTES));
                    prop_assert!(block.len().is_multiple_of(unit));
                    file.truncate(at);
                    file.extend_from_slice(block);
                    at += buffer.len() - buffer.len() % unit;
                    buffer.keep_last(unit);
                    if rest.is_empty() {
                        break;
                    }
                }
            }
            let expected = pieces.concat();
            prop_assert_eq!(&file[..expected.len()], &expected[..]);
            prop_assert!(file[expected.len()..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_full_buffer_takes_no_more() {
        let mut buffer = DirectBuffer::new(2);
        assert_eq!(buffer.fill(&[7; 3 * DIRECT_BLOCK_BYTES]), 2 * DIRECT_BLOCK_BYTES);
        assert_eq!(buffer.fill(&[7]), 0);
        buffer.keep_last(DIRECT_BLOCK_BYTES);
        assert!(buffer.is_empty());
    }
}
