//! The samples of one series of one replica, floats and histograms on one time line, a few ahead.
//!
//! Two rows ahead are enough for the merge to know the distance of scrapes. It holds a piece of the scan and one row more.

use emberkeep_model::SeriesRuns;

use super::merged_scan::StreamScan;
use crate::ReaderError;

/// Bytes of a row beside the canonical bytes of a histogram.
const ROW_BYTES: usize = 24;

/// Where a row lies in a piece.
#[derive(Debug, Clone, Copy)]
enum Place {
    Float(usize),
    Histogram(usize),
}

/// A position in the time line.
#[derive(Debug)]
pub(super) struct Cursor {
    stream: usize,
    runs: SeriesRuns,
    /// The rows of the piece in the order of time.
    rows: Vec<(i64, Place)>,
    at: usize,
    /// The row before the next one, given or passed over.
    before: Option<i64>,
    /// Whether the scan has no more of the series.
    is_ended: bool,
    next: SeriesRuns,
}

impl Cursor {
    /// Before the first row of the series at which a stream stands.
    pub(super) fn new(stream: usize) -> Self {
        Self {
            stream,
            runs: SeriesRuns::default(),
            rows: Vec::new(),
            at: 0,
            before: None,
            is_ended: false,
            next: SeriesRuns::default(),
        }
    }

    /// The stream that it reads.
    pub(super) fn stream(&self) -> usize {
        self.stream
    }

    /// Whether [`Self::pass`] has anything to do.
    pub(super) fn must_move(&self, until: Option<i64>) -> bool {
        let is_short = !self.is_ended && self.at + 2 > self.rows.len();
        is_short || until.is_some_and(|until| self.first().is_some_and(|first| first <= until))
    }

    /// The time of the next row; none at the end. Known after [`Self::pass`].
    pub(super) fn first(&self) -> Option<i64> {
        self.rows.get(self.at).map(|&(time, _)| time)
    }

    /// The least distance of the next row from the one before it and from the one behind it, where there are such.
    pub(super) fn distance(&self) -> Option<i64> {
        let first = self.first()?;
        let back = self.before.map(|before| first.saturating_sub(before));
        let ahead = self.rows.get(self.at + 1).map(|&(time, _)| time.saturating_sub(first));
        back.into_iter().chain(ahead).min()
    }

    /// Passes over rows at or before a time, and reads on until two rows are known or there are no more.
    pub(super) async fn pass(&mut self, until: Option<i64>, streams: &mut [StreamScan]) -> Result<(), ReaderError> {
        loop {
            if let Some(until) = until {
                while let Some(time) = self.first().filter(|&time| time <= until) {
                    self.before = Some(time);
                    self.at += 1;
                }
            }
            if self.is_ended || self.at + 2 <= self.rows.len() {
                return Ok(());
            }
            self.read_on(streams).await?;
        }
    }

    /// Gives the next row; returns what it weighs.
    pub(super) fn give(&mut self, out: &mut SeriesRuns) -> usize {
        let Some(&(time, place)) = self.rows.get(self.at) else {
            return 0;
        };
        self.before = Some(time);
        self.at += 1;
        push(&self.runs, place, out)
    }

    async fn read_on(&mut self, streams: &mut [StreamScan]) -> Result<(), ReaderError> {
        if !streams[self.stream].scan.next_piece(&mut self.next).await? {
            self.is_ended = true;
            return Ok(());
        }
        let mut left = SeriesRuns::default();
        for &(_, place) in &self.rows[self.at..] {
            push(&self.runs, place, &mut left);
        }
        if left.is_empty() {
            std::mem::swap(&mut self.runs, &mut self.next);
        } else {
            left.append(&self.next);
            self.runs = left;
        }
        self.at = 0;
        self.rows.clear();
        let floats = self.runs.samples.timestamps.iter().enumerate();
        self.rows.extend(floats.map(|(i, &time)| (time, Place::Float(i))));
        if !self.runs.histograms.is_empty() {
            let histograms = self.runs.histograms.timestamps().iter().enumerate();
            self.rows
                .extend(histograms.map(|(i, &time)| (time, Place::Histogram(i))));
            // A settled series has one row for each time.
            self.rows.sort_unstable_by_key(|&(time, _)| time);
        }
        Ok(())
    }
}

fn push(runs: &SeriesRuns, place: Place, out: &mut SeriesRuns) -> usize {
    match place {
        Place::Float(i) => {
            out.samples.push(runs.samples.sample(i));
            ROW_BYTES
        }
        Place::Histogram(i) => {
            let row = runs.histograms.row(i);
            out.histograms.push_row(row);
            ROW_BYTES + row.canonical.len()
        }
    }
}
