//! The float samples of one shard, as columns.
//!
//! Open, they stand in the order of arrival: appending is writing on at the end of a few columns, and touches nothing of the series. Frozen,
//! they stand by series, in the order of arrival within each. It must never reorder equal timestamps of one series: what settles them is
//! the total order, not the place.
//!
//! A full chunk never changes again and may be shared, as may be what was grouped: who reads the rows does so without the lock of the shard.

use std::sync::Arc;

use emberkeep_model::{Run, Sample, TimeRange};

/// Rows of a chunk; a chunk is allocated at once and never grows.
const CHUNK_ROWS: usize = 4096;

/// Bytes of a chunk, without start timestamps.
const CHUNK_BYTES: usize = CHUNK_ROWS * (size_of::<u32>() + 2 * size_of::<i64>());

#[derive(Debug, Clone)]
struct Chunk {
    series: Vec<u32>,
    samples: Run,
}

impl Chunk {
    fn new() -> Self {
        Self {
            series: Vec::with_capacity(CHUNK_ROWS),
            samples: Run {
                timestamps: Vec::with_capacity(CHUNK_ROWS),
                values: Vec::with_capacity(CHUNK_ROWS),
                start_timestamps: Vec::new(),
            },
        }
    }
}

/// Borrowed columns of samples of one series; `start_timestamps` is empty when none is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples<'a> {
    pub(crate) timestamps: &'a [i64],
    pub(crate) values: &'a [f64],
    pub(crate) start_timestamps: &'a [i64],
}

impl Samples<'_> {
    /// Copies them behind what a run has.
    pub(crate) fn append_to(self, run: &mut Run) {
        if !self.start_timestamps.is_empty() || !run.start_timestamps.is_empty() {
            run.start_timestamps.resize(run.timestamps.len(), 0);
            run.start_timestamps.extend_from_slice(self.start_timestamps);
        }
        run.timestamps.extend_from_slice(self.timestamps);
        run.values.extend_from_slice(self.values);
        if !run.start_timestamps.is_empty() {
            run.start_timestamps.resize(run.timestamps.len(), 0);
        }
    }
}

/// Samples by series.
#[derive(Debug)]
struct Grouped {
    /// Where the rows of each series begin, and behind the last one where they end.
    starts: Vec<u32>,
    /// The rows, [`CHUNK_ROWS`] in each but the last: those of a series may begin in one and end in another.
    pieces: Vec<Run>,
}

/// Memory of chunks whose rows were grouped, for the pieces of the next shard: memory that is new to the process is slow to get.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Run>);

impl Spare {
    /// Columns of so many rows, all zero.
    fn take(&mut self, n_rows: usize, has_starts: bool) -> Run {
        let mut run = self.0.pop().unwrap_or_default();
        run.clear();
        run.timestamps.resize(n_rows, 0);
        run.values.resize(n_rows, 0.0);
        run.start_timestamps.resize(if has_starts { n_rows } else { 0 }, 0);
        run
    }
}

/// All samples of a shard.
#[derive(Debug)]
pub(super) struct Rows {
    full: Vec<Arc<Chunk>>,
    /// The one that is written to.
    last: Option<Chunk>,
    grouped: Option<Arc<Grouped>>,
}

/// All samples that a shard had at one time.
#[derive(Debug)]
pub(super) struct RowsView {
    chunks: Vec<Arc<Chunk>>,
    grouped: Option<Arc<Grouped>>,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self {
            full: Vec::new(),
            last: None,
            grouped: None,
        }
    }

    /// All that there is now.
    pub(super) fn view(&self) -> RowsView {
        let last = self.last.as_ref().map(|chunk| Arc::new(chunk.clone()));
        RowsView {
            chunks: self.full.iter().cloned().chain(last).collect(),
            grouped: self.grouped.clone(),
        }
    }

    /// Adds samples of one series, and returns by how many bytes the columns grew.
    #[inline]
    pub(super) fn append(&mut self, series: u32, samples: Samples<'_>) -> usize {
        debug_assert!(self.grouped.is_none(), "a frozen table is not appended to");
        let mut grown = 0;
        let mut from = 0;
        while from < samples.timestamps.len() {
            if self.last.as_ref().is_none_or(|chunk| chunk.series.len() == CHUNK_ROWS) {
                let full = self.last.replace(Chunk::new());
                self.full.extend(full.map(Arc::new));
                grown += CHUNK_BYTES;
            }
            let chunk = self.last.as_mut().expect("a chunk was just added");
            if let ([timestamp], [value], []) = (samples.timestamps, samples.values, samples.start_timestamps)
                && chunk.samples.start_timestamps.is_empty()
            {
                // Most entries have one sample: three stores, and no call for each.
                chunk.series.push(series);
                chunk.samples.timestamps.push(*timestamp);
                chunk.samples.values.push(*value);
                return grown;
            }
            let to = samples.timestamps.len().min(from + CHUNK_ROWS - chunk.series.len());
            chunk.series.resize(chunk.series.len() + to - from, series);
            let had_starts = !chunk.samples.start_timestamps.is_empty();
            let piece = Samples {
                timestamps: &samples.timestamps[from..to],
                values: &samples.values[from..to],
                start_timestamps: samples.start_timestamps.get(from..to).unwrap_or(&[]),
            };
            piece.append_to(&mut chunk.samples);
            if !had_starts && !chunk.samples.start_timestamps.is_empty() {
                chunk
                    .samples
                    .start_timestamps
                    .reserve_exact(CHUNK_ROWS - chunk.series.len());
                grown += CHUNK_ROWS * size_of::<i64>();
            }
            from = to;
        }
        grown
    }

    /// Groups all rows by series, of which there are `n_series`. Takes as much memory again as the shard has, what is spare first, and
    /// leaves that of its chunks to the next one.
    pub(super) fn freeze(&mut self, n_series: usize, spare: &mut Spare) {
        if self.grouped.is_some() {
            return;
        }
        let mut open = std::mem::take(&mut self.full);
        open.extend(self.last.take().map(Arc::new));
        let number = |n: usize| u32::try_from(n).expect("a head is bounded far below 4 G rows");
        let mut starts = vec![0_u32; n_series + 1];
        for &series in open.iter().flat_map(|chunk| &chunk.series) {
            starts[series as usize] += 1;
        }
        let mut before = 0;
        for start in &mut starts {
            before += std::mem::replace(start, before);
        }
        let n_rows = before as usize;
        let has_starts = open.iter().any(|chunk| !chunk.samples.start_timestamps.is_empty());
        let firsts = (0..n_rows).step_by(CHUNK_ROWS);
        let mut pieces: Vec<Run> = firsts
            .map(|first| spare.take(CHUNK_ROWS.min(n_rows - first), has_starts))
            .collect();
        let mut next = starts.clone();
        for chunk in open {
            let rows = chunk
                .series
                .iter()
                .zip(&chunk.samples.timestamps)
                .zip(&chunk.samples.values);
            for (i, ((&series, &timestamp), &value)) in rows.enumerate() {
                let at = next[series as usize] as usize;
                next[series as usize] += 1;
                let (piece, at) = (&mut pieces[at / CHUNK_ROWS], at % CHUNK_ROWS);
                piece.timestamps[at] = timestamp;
                piece.values[at] = value;
                if let Some(&start) = chunk.samples.start_timestamps.get(i) {
                    piece.start_timestamps[at] = start;
                }
            }
            // What a reader still looks at stays with it.
            spare.0.extend(Arc::into_inner(chunk).map(|chunk| chunk.samples));
        }
        debug_assert_eq!(next.last().copied(), Some(number(n_rows)));
        self.grouped = Some(Arc::new(Grouped { starts, pieces }));
    }

    /// The rows of a series of a frozen shard, in order of arrival, piece by piece.
    pub(super) fn of_series(&self, series: u32) -> impl Iterator<Item = Samples<'_>> {
        self.grouped.iter().flat_map(move |grouped| grouped.of_series(series))
    }
}

impl Grouped {
    fn of_series(&self, series: u32) -> impl Iterator<Item = Samples<'_>> {
        let (mut from, end) = (
            self.starts[series as usize] as usize,
            self.starts[series as usize + 1] as usize,
        );
        std::iter::from_fn(move || {
            let to = end.min((from / CHUNK_ROWS + 1) * CHUNK_ROWS);
            let (piece, first) = (self.pieces.get(from / CHUNK_ROWS)?, from % CHUNK_ROWS);
            let rows = first..first + (to - from);
            from = to;
            (!rows.is_empty()).then(|| Samples {
                timestamps: &piece.timestamps[rows.clone()],
                values: &piece.values[rows.clone()],
                start_timestamps: piece.start_timestamps.get(rows).unwrap_or(&[]),
            })
        })
    }
}

impl RowsView {
    /// How many rows of each of the first `n_series` series lie in a range.
    pub(super) fn counts(&self, n_series: usize, range: TimeRange) -> Vec<u32> {
        let mut counts = vec![0; n_series];
        if let Some(grouped) = &self.grouped {
            for (series, count) in (0..).zip(&mut counts) {
                let times = grouped.of_series(series).flat_map(|samples| samples.timestamps);
                *count = times.filter(|&&time| range.contains(time)).count() as u32;
            }
        }
        for chunk in &self.chunks {
            for (&series, &time) in chunk.series.iter().zip(&chunk.samples.timestamps) {
                counts[series as usize] += u32::from(range.contains(time));
            }
        }
        counts
    }

    /// Hands over the rows that lie in a range and whose series has a place in `places`, those of a series in the order of arrival.
    pub(super) fn visit(&self, places: &[u32], range: TimeRange, mut visit: impl FnMut(u32, Sample)) {
        let mut give = |place: u32, samples: &Run, i: usize| {
            if place != NO_PLACE && range.contains(samples.timestamps[i]) {
                visit(place, samples.sample(i));
            }
        };
        if let Some(Grouped { starts, pieces }) = self.grouped.as_deref() {
            for (&place, rows) in places
                .iter()
                .zip(starts.windows(2))
                .filter(|(place, _)| **place != NO_PLACE)
            {
                (rows[0] as usize..rows[1] as usize).for_each(|i| give(place, &pieces[i / CHUNK_ROWS], i % CHUNK_ROWS));
            }
        }
        for chunk in &self.chunks {
            for (i, &series) in chunk.series.iter().enumerate() {
                give(places[series as usize], &chunk.samples, i);
            }
        }
    }
}

/// The place of a series that is not wanted.
pub(super) const NO_PLACE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Open or frozen, a series has its samples in the order in which they came.
        #[test]
        fn rows_come_back_by_series_in_order_of_arrival(
            appended in proptest::collection::vec((0_u32..5, proptest::collection::vec((0_i64..9, any::<u64>(), 0_i64..2), 0..4)), 0..40),
            copies in 1_usize..200,
        ) {
            let range = TimeRange { start: 1, end: 8 };
            let mut rows = Rows::new();
            let mut naive = vec![Run::default(); 6];
            for _ in 0..copies {
                for (series, samples) in &appended {
                    let run: Run = samples.iter().map(|&(timestamp, bits, start_timestamp)| Sample { timestamp, value: f64::from_bits(bits), start_timestamp }).collect();
                    let samples = Samples { timestamps: &run.timestamps, values: &run.values, start_timestamps: &run.start_timestamps };
                    rows.append(*series, samples);
                    for sample in run.iter().filter(|sample| range.contains(sample.timestamp)) {
                        naive[*series as usize].push(sample);
                    }
                }
            }
            let chosen = [0, NO_PLACE, 1, 2, 3, 4];
            let collect = |rows: &Rows| {
                let mut runs = vec![Run::default(); 5];
                let view = rows.view();
                view.visit(&chosen, range, |place, sample| runs[place as usize].push(sample));
                let counts: Vec<usize> = view.counts(6, range).iter().map(|&count| count as usize).collect();
                assert_eq!([counts[0], counts[2], counts[3], counts[4], counts[5]].as_slice(), runs.iter().map(Run::len).collect::<Vec<_>>());
                runs.iter().map(bits).collect::<Vec<_>>()
            };
            let expected: Vec<_> = [0, 2, 3, 4, 5].iter().map(|&series: &usize| bits(&naive[series])).collect();
            prop_assert_eq!(&collect(&rows), &expected);
            // Who holds a view sees the same rows after the freeze.
            let before = rows.view();
            rows.freeze(6, &mut Spare::default());
            prop_assert_eq!(&collect(&rows), &expected);
            prop_assert_eq!(before.counts(6, range), rows.view().counts(6, range));
        }
    }

    fn bits(run: &Run) -> Vec<(i64, u64, i64)> {
        run.iter()
            .map(|s| (s.timestamp, s.value.to_bits(), s.start_timestamp))
            .collect()
    }
}
