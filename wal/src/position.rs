//! Where records are: a segment number and a byte offset, and ranges of segments.

use std::fmt;

/// The place of one record: the segment's number and the offset of the record's header in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the segment.
    pub segment: u64,
    /// Offset of the header in bytes from the start of the file.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// Segments `from` to `to`, both included. Numbers in it need not all exist as files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentRange {
    /// First segment.
    pub from: u64,
    /// Last segment.
    pub to: u64,
}

impl SegmentRange {
    /// Whether the segment is in the range.
    pub fn contains(&self, segment: u64) -> bool {
        (self.from..=self.to).contains(&segment)
    }
}

impl fmt::Display for SegmentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.from, self.to)
    }
}
