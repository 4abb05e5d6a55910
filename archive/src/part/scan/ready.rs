//! Series that lie ready behind the one at which a scan stands: decoded, so that several are compared, read and passed at once.
//!
//! For who goes through many parts of the same series: a part has only a few rows of each, and what is done once for each series and part then
//! costs more than the rows. Must give what going from series to series gives.

use emberkeep_model::{Run, TimeRange};

use super::super::found_series::Place;
use super::{LabelTranslation, PartScan, no_such_rows};
use crate::{ArchiveError, FileKind};

impl PartScan {
    /// How many series, from the one at which the scan stands on and at most `most`, lie ready one behind the other, have floats and no rows of
    /// another kind, and no more than `most_rows` together. None where labels are not compared by their numbers.
    #[must_use]
    pub fn ready(&self, most: usize, most_rows: u64) -> usize {
        let Some(first) = self.current.as_ref().map(|place| place.local) else {
            return 0;
        };
        let mut rows = 0_u64;
        let is_ready = |(place, local): &(&Place, usize)| {
            rows = rows.saturating_add(place.samples.end - place.samples.start);
            let has_others = !place.histograms.is_empty() || !place.exemplars.is_empty();
            place.kept.is_none() && place.local == *local && !has_others && rows <= most_rows
        };
        match self.slice.label_numbers(first) {
            Some(_) => self.places().take(most).zip(first..).take_while(is_ready).count(),
            None => 0,
        }
    }

    /// How many series, from the ones at which both scans stand on and at most `most`, are the same in both, where at least so many lie
    /// [ready](PartScan::ready) in both and the first are known to be the same. The translation is that of [`PartScan::is_at_same`].
    #[must_use]
    pub fn same_ready(&self, other: &Self, translation: &mut LabelTranslation, most: usize) -> usize {
        match (&self.current, &other.current) {
            (Some(own), Some(others)) => translation.same_rows(
                (&self.dictionaries, &self.slice, own.local),
                (&other.dictionaries, &other.slice, others.local),
                most,
            ),
            _ => 0,
        }
    }

    /// Appends the floats of the series at which the scan stands, and of those behind it, `count` in all, which lie ready. `ends` gets the number
    /// of rows behind each. The scan stands where it stood, and nothing but [`PartScan::pass`] may be asked of it before it went on.
    ///
    /// # Errors
    /// As [`PartScan::samples`].
    pub async fn take_ready(&mut self, count: usize, out: &mut Run, ends: &mut Vec<usize>) -> Result<(), ArchiveError> {
        let mut rows = 0..0;
        let mut pieces = Vec::new();
        let mut end = out.len();
        for place in self.places().take(count) {
            let own = &place.samples;
            end += usize::try_from(own.end - own.start).unwrap_or(usize::MAX);
            ends.push(end);
            if own.is_empty() {
                continue;
            }
            if own.start == rows.end {
                rows.end = own.end;
            } else {
                pieces.push(std::mem::replace(&mut rows, own.clone()));
            }
        }
        pieces.push(rows);
        for rows in pieces.into_iter().filter(|rows| !rows.is_empty()) {
            if self.samples.take_held(&rows, out) {
                continue;
            }
            let file = self.files.samples.as_ref();
            let file = file.ok_or_else(|| no_such_rows(&rows, FileKind::Samples))?;
            let upcoming = self.queue.iter().skip(count.saturating_sub(1));
            let upcoming = upcoming
                .map(|place| place.samples.clone())
                .filter(|rows| !rows.is_empty());
            self.samples.read(file, rows, upcoming, TimeRange::ALL, out).await?;
        }
        Ok(())
    }

    /// Goes on by so many series, which lie ready; their rows are not read any more, unless they were taken.
    pub fn pass(&mut self, count: usize) {
        if let Some(more) = count.checked_sub(1) {
            self.queue.drain(..more.min(self.queue.len()));
            self.current = self.queue.pop_front();
        }
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        self.current.iter().chain(&self.queue)
    }
}
