//! How much of each part a query may fetch before it asks for it, so that an object store far away is not what it waits for.
//!
//! A network that brings 100 MB/s after 30 ms has 3 MB under way, of all parts together. All cursors go through their parts at the same pace,
//! in the order of labels, so each gets the share that its files have of all; then all of them are as far ahead.

use emberkeep_archive::{AheadBytes, FileKind, PartEntry};

/// Of rows, of all parts together, and as much of series tables.
pub(crate) const MOST: u64 = 8 << 20;
/// Of rows, of a part at least: three pages of a flush, one at work and two behind it.
const LEAST_ROWS: u64 = 160 << 10;
/// Of series tables, of a part at least.
const LEAST_SERIES: u64 = 64 << 10;

/// The shares of all parts of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    rows: u64,
    series: u64,
}

impl Shares {
    pub(super) fn of<'a>(parts: impl Iterator<Item = &'a PartEntry>) -> Self {
        let mut shares = Self { rows: 1, series: 1 };
        for part in parts {
            let AheadBytes { rows, series } = bytes_of(part);
            shares.rows = shares.rows.saturating_add(rows);
            shares.series = shares.series.saturating_add(series);
        }
        shares
    }

    /// That of one scan of a part with so many bytes, when all parts together have at most so many of each kind.
    pub(super) fn of_part(&self, bytes: AheadBytes, most: u64) -> AheadBytes {
        let share = |part: u64, all: u64, least: u64| {
            let share = u128::from(most) * u128::from(part) / u128::from(all);
            u64::try_from(share).unwrap_or(most).max(least)
        };
        AheadBytes {
            rows: share(bytes.rows, self.rows, LEAST_ROWS),
            series: share(bytes.series, self.series, LEAST_SERIES),
        }
    }
}

/// What the files of a part have.
pub(super) fn bytes_of(part: &PartEntry) -> AheadBytes {
    let bytes = |kind| part.find(kind).map_or(0, |file| file.bytes);
    AheadBytes {
        rows: bytes(FileKind::Samples).saturating_add(bytes(FileKind::Histograms)),
        series: bytes(FileKind::Series),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_share_by_their_bytes() {
        let part = |rows, series| AheadBytes { rows, series };
        let shares = Shares {
            rows: 100 << 20,
            series: 100 << 20,
        };
        assert_eq!(
            shares.of_part(part(75 << 20, 50 << 20), 8 << 20),
            part(6 << 20, 4 << 20)
        );
        assert_eq!(
            shares.of_part(part(1, 1), 8 << 20),
            part(LEAST_ROWS, LEAST_SERIES),
            "none has too little"
        );
        assert_eq!(
            shares.of_part(part(75 << 20, 50 << 20), 4 << 20),
            part(3 << 20, 2 << 20)
        );
    }
}
