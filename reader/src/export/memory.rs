//! What a block in work takes in memory, so that all of them stay within `--max-memory`.
//!
//! Three things grow: cursors with the number of parts, the index with series and labels, and what verification holds of the index
//! that it reads back. Samples never do. The figures are bounds, checked by the test that counts every allocation.

use crate::scan::MOST_AHEAD;

/// Buffers of a writer and a scan that are there for any block.
const FIXED: u64 = 6 << 20;

/// What a part holds while it is open beside its rows: footers, pages of labels and of samples, and what is fetched ahead of any.
const OPEN_PART: u64 = (288 + 224) << 10;

/// A row that is decoded: timestamp, value, scale, and its place in the columns.
const ROW: u64 = 28;

/// Buffers of each further writer beside the first.
const WRITER: u64 = 4 << 20;

/// Rows that may be decoded at once, most first.
const WINDOW_ROWS: [usize; 4] = [64 * 1024, 16 * 1024, 8 * 1024, 4 * 1024];

/// The least memory that a block with so many open parts needs beside its index.
pub(super) fn of_cursors(parts: usize) -> u64 {
    of_cursors_by(parts, WINDOW_ROWS[WINDOW_ROWS.len() - 1])
}

/// What writers of so many blocks take beside their indexes, when one pass makes them together, above that of one.
pub(super) fn of_further_writers(blocks: usize) -> u64 {
    WRITER.saturating_mul(blocks.saturating_sub(1) as u64)
}

/// Bytes of rows that are fetched before they are asked for, and as many of series tables.
pub(super) fn ahead(memory: u64) -> u64 {
    (memory / 32).min(MOST_AHEAD)
}

/// As many rows at once as half of the memory allows.
pub(super) fn window_rows(parts: usize, memory: u64) -> usize {
    let fits = |rows: &usize| of_cursors_by(parts, *rows) <= memory / 2;
    WINDOW_ROWS
        .into_iter()
        .find(fits)
        .unwrap_or(WINDOW_ROWS[WINDOW_ROWS.len() - 1])
}

/// What cursors with so many rows take.
pub(super) fn of_cursors_by(parts: usize, window_rows: usize) -> u64 {
    let part = OPEN_PART + ROW * window_rows as u64;
    FIXED.saturating_add(part.saturating_mul(parts as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_parts_read_more_at_once() {
        assert_eq!(window_rows(1, 1 << 30), 64 * 1024);
        assert_eq!(window_rows(10_000, 1 << 30), 4 * 1024);
        assert!(window_rows(24, 64 << 20) >= 8 * 1024);
        assert!(of_cursors(24) < 64 << 20);
    }
}
