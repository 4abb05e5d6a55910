//! Series of a scan that were found and not given yet.
//!
//! They refer to the slice of the series table that is at work. Where few of a page match, several pages are looked through before the first
//! series is given; then what has to be known of one is taken out of its slice.

use std::ops::Range;

use super::series_slice::{Dictionaries, SeriesSlice};

/// A series that was found.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its row in the slice.
    pub(super) local: usize,
    /// What of it lay in a slice that is gone; none for a series of the slice at work.
    pub(super) kept: Option<KeptSeries>,
    pub(super) row: u64,
    pub(super) samples: Range<u64>,
    pub(super) histograms: Range<u64>,
    pub(super) exemplars: Range<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct KeptSeries {
    /// Canonical bytes.
    pub(super) labels: Box<[u8]>,
    pub(super) times: (i64, i64),
}

/// First rows that the next series may have, by kind.
#[derive(Debug, Default)]
pub(super) struct NextRows {
    pub(super) samples: u64,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
}

impl Place {
    /// Canonical bytes of its labels. `slice` is the one at work.
    pub(super) fn labels<'a>(&'a self, slice: &'a mut SeriesSlice, dictionaries: &Dictionaries) -> &'a [u8] {
        match &self.kept {
            Some(kept) => &kept.labels,
            None => slice.show_labels(self.local, dictionaries),
        }
    }

    /// Its oldest and newest time.
    pub(super) fn times(&self, slice: &SeriesSlice) -> (i64, i64) {
        match &self.kept {
            Some(kept) => kept.times,
            None => slice.times(self.local),
        }
    }

    /// Takes out of a slice, which goes, what is still to be said.
    pub(super) fn keep(&mut self, slice: &SeriesSlice, dictionaries: &Dictionaries, buffer: &mut Vec<u8>) {
        if self.kept.is_none() {
            self.kept = Some(KeptSeries {
                labels: slice.labels(self.local, dictionaries, buffer).into(),
                times: slice.times(self.local),
            });
        }
    }
}
