//! Bytes that live as long as their table, in blocks: no allocation per string, and nothing is copied when it grows.

/// Longer strings get a block of their own.
const BLOCK_BYTES: usize = 64 << 10;

/// Where a string lies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    block: u32,
    offset: u32,
}

/// Append-only bytes.
#[derive(Debug, Default)]
pub(super) struct Arena {
    blocks: Vec<Vec<u8>>,
}

impl Arena {
    /// Copies the parts one behind the other. Returns where they begin, and by how many bytes the arena grew.
    pub(super) fn push(&mut self, parts: &[&[u8]]) -> (Place, usize) {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut grown = 0;
        if self
            .blocks
            .last()
            .is_none_or(|block| block.capacity() - block.len() < len)
        {
            let block = Vec::with_capacity(BLOCK_BYTES.max(len));
            grown = block.capacity();
            self.blocks.push(block);
        }
        let block = self.blocks.last_mut().expect("a block was just added");
        let number = |n: usize| u32::try_from(n).expect("a head is bounded far below 4 Gi blocks");
        let offset = number(block.len());
        for part in parts {
            block.extend_from_slice(part);
        }
        let block = number(self.blocks.len() - 1);
        (Place { block, offset }, grown)
    }

    /// `len` bytes from a place on.
    #[inline]
    pub(super) fn bytes(&self, place: Place, len: usize) -> &[u8] {
        let offset = place.offset as usize;
        &self.blocks[place.block as usize][offset..offset + len]
    }
}
