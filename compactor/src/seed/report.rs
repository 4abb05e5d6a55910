//! What a seed did, and what it could not do.

use serde::Serialize;

use super::HeadLeft;

/// Most lines about what was skipped that are kept; all are counted.
const MOST_LISTED: usize = 100;

/// What was left out because it cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// How many blocks, series and chunks.
    pub count: u64,
    /// The first of them: what, where and why.
    pub listed: Vec<String>,
}

impl Skipped {
    /// Counts and lists one.
    pub fn add(&mut self, what: String) {
        self.count += 1;
        if self.listed.len() < MOST_LISTED {
            self.listed.push(what);
        }
    }
}

/// What became of the rows of one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WindowReport {
    /// Start of the window, milliseconds since 1970.
    pub from: i64,
    /// End of the window, exclusive.
    pub to: i64,
    /// Series with rows in it.
    pub series: u64,
    /// Floats that were read.
    pub samples: u64,
    /// Native histograms that were read.
    pub histograms: u64,
    /// Of both, those that the archive has already, or has a preferred row for.
    pub held: u64,
    /// Of both, those that were written.
    pub written: u64,
    /// Parts that became live.
    pub parts: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// The root that made them live; none when there was nothing to add.
    pub root: Option<u64>,
}

/// What a seed did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SeedReport {
    /// Blocks that were read; 0 from a live source.
    pub blocks: u64,
    /// Every window that had rows, in order.
    pub windows: Vec<WindowReport>,
    /// Rows of overlapping blocks that lost against a different one of the same series and time.
    pub conflicts: u64,
    /// What cannot be read.
    pub skipped: Skipped,
    /// Newer data than any block, which lies in the write-ahead log alone and is not seeded.
    pub head_left: Option<HeadLeft>,
}

impl SeedReport {
    /// The sum over all windows.
    #[must_use]
    pub fn total(&self) -> WindowReport {
        let mut total = WindowReport {
            from: self.windows.first().map_or(0, |window| window.from),
            to: self.windows.last().map_or(0, |window| window.to),
            ..WindowReport::default()
        };
        for window in &self.windows {
            total.series = total.series.max(window.series);
            total.samples += window.samples;
            total.histograms += window.histograms;
            total.held += window.held;
            total.written += window.written;
            total.parts += window.parts;
            total.bytes += window.bytes;
            total.root = window.root.or(total.root);
        }
        total
    }
}
