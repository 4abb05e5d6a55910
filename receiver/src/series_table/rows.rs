//! The float samples of one shard, as columns.
//!
//! Open, they stand in the order of arrival: appending is writing on at the end of a few columns, and touches nothing of the series. Frozen,
//! they stand by series, in the order of arrival within each. It must never reorder equal timestamps of one series: what settles them is
//! the total order, not the place.

use emberkeep_model::Run;

/// Rows of a chunk; a chunk is allocated at once and never grows.
const CHUNK_ROWS: usize = 4096;

/// Bytes of a chunk, without start timestamps.
const CHUNK_BYTES: usize = CHUNK_ROWS * (size_of::<u32>() + 2 * size_of::<i64>());

#[derive(Debug)]
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
    samples: Run,
}

/// All samples of a shard.
#[derive(Debug)]
pub(super) struct Rows {
    open: Vec<Chunk>,
    grouped: Option<Grouped>,
}

impl Rows {
    pub(super) fn new() -> Self {
        Self {
            open: Vec::new(),
            grouped: None,
        }
    }

    /// Adds samples of one series, and returns by how many bytes the columns grew.
    #[inline]
    pub(super) fn append(&mut self, series: u32, samples: Samples<'_>) -> usize {
        debug_assert!(self.grouped.is_none(), "a frozen table is not appended to");
        let mut grown = 0;
        let mut from = 0;
        while from < samples.timestamps.len() {
            if self.open.last().is_none_or(|chunk| chunk.series.len() == CHUNK_ROWS) {
                self.open.push(Chunk::new());
                grown += CHUNK_BYTES;
            }
            let chunk = self.open.last_mut().expect("a chunk was just added");
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

    /// Groups all rows by series, of which there are `n_series`. Needs as much memory again while it runs.
    pub(super) fn freeze(&mut self, n_series: usize) {
        if self.grouped.is_some() {
            return;
        }
        let number = |n: usize| u32::try_from(n).expect("a head is bounded far below 4 G rows");
        let mut starts = vec![0_u32; n_series + 1];
        for &series in self.open.iter().flat_map(|chunk| &chunk.series) {
            starts[series as usize] += 1;
        }
        let mut before = 0;
        for start in &mut starts {
            before += std::mem::replace(start, before);
        }
        let n_rows = before as usize;
        let has_starts = self.open.iter().any(|chunk| !chunk.samples.start_timestamps.is_empty());
        let mut samples = Run {
            timestamps: vec![0; n_rows],
            values: vec![0.0; n_rows],
            start_timestamps: vec![0; if has_starts { n_rows } else { 0 }],
        };
        let mut next = starts.clone();
        for chunk in std::mem::take(&mut self.open) {
            let rows = chunk
                .series
                .iter()
                .zip(&chunk.samples.timestamps)
                .zip(&chunk.samples.values);
            for (i, ((&series, &timestamp), &value)) in rows.enumerate() {
                let at = next[series as usize];
                next[series as usize] = at + 1;
                samples.timestamps[at as usize] = timestamp;
                samples.values[at as usize] = value;
                if let Some(&start) = chunk.samples.start_timestamps.get(i) {
                    samples.start_timestamps[at as usize] = start;
                }
            }
        }
        debug_assert_eq!(next.last().copied(), Some(number(n_rows)));
        self.grouped = Some(Grouped { starts, samples });
    }

    /// The rows of a series of a frozen shard, in order of arrival.
    pub(super) fn of_series(&self, series: u32) -> Samples<'_> {
        let Some(Grouped { starts, samples }) = &self.grouped else {
            return Samples {
                timestamps: &[],
                values: &[],
                start_timestamps: &[],
            };
        };
        let rows = starts[series as usize] as usize..starts[series as usize + 1] as usize;
        Samples {
            timestamps: &samples.timestamps[rows.clone()],
            values: &samples.values[rows.clone()],
            start_timestamps: samples.start_timestamps.get(rows).unwrap_or(&[]),
        }
    }

    /// Copies the rows of chosen series: `place` says where those of a series go, if anywhere.
    pub(super) fn collect(&self, chosen: &[u32], runs: &mut [Run]) {
        if self.grouped.is_some() {
            for (series, &place) in (0..).zip(chosen) {
                if let Some(run) = runs.get_mut(place as usize) {
                    self.of_series(series).append_to(run);
                }
            }
            return;
        }
        for chunk in &self.open {
            for (i, &series) in chunk.series.iter().enumerate() {
                if let Some(run) = runs.get_mut(chosen[series as usize] as usize) {
                    run.push(chunk.samples.sample(i));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use emberkeep_model::Sample;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Open or frozen, a series has its samples in the order in which they came.
        #[test]
        fn rows_come_back_by_series_in_order_of_arrival(
            appended in proptest::collection::vec((0_u32..5, proptest::collection::vec((0_i64..9, any::<u64>(), 0_i64..2), 0..4)), 0..40),
            copies in 1_usize..200,
        ) {
            let mut rows = Rows::new();
            let mut naive = vec![Run::default(); 6];
            for _ in 0..copies {
                for (series, samples) in &appended {
                    let run: Run = samples.iter().map(|&(timestamp, bits, start_timestamp)| Sample { timestamp, value: f64::from_bits(bits), start_timestamp }).collect();
                    let samples = Samples { timestamps: &run.timestamps, values: &run.values, start_timestamps: &run.start_timestamps };
                    rows.append(*series, samples);
                    for sample in run.iter() {
                        naive[*series as usize].push(sample);
                    }
                }
            }
            let chosen = [0, u32::MAX, 1, 2, 3, 4];
            let collect = |rows: &Rows| {
                let mut runs = vec![Run::default(); 5];
                rows.collect(&chosen, &mut runs);
                runs.iter().map(bits).collect::<Vec<_>>()
            };
            let expected: Vec<_> = [0, 2, 3, 4, 5].iter().map(|&series: &usize| bits(&naive[series])).collect();
            prop_assert_eq!(&collect(&rows), &expected);
            rows.freeze(6);
            prop_assert_eq!(&collect(&rows), &expected);
        }
    }

    fn bits(run: &Run) -> Vec<(i64, u64, i64)> {
        run.iter()
            .map(|s| (s.timestamp, s.value.to_bits(), s.start_timestamp))
            .collect()
    }
}
