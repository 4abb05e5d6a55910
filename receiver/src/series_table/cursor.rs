//! Reading the table beside the write path: the series that fulfil matchers, in label order, with settled copies of their rows.
//!
//! The locks of the shards are held while a few bytes for each series are copied, and no longer: not while matchers are evaluated, nor while
//! series are sorted, nor while rows are collected. Rows of an open table stand in the order of arrival; they are collected for a slice of the
//! label order at a time, so that the copies take a fraction of what the table takes.

use emberkeep_model::head::{HeadKinds, HeadQuery};
use emberkeep_model::{Labels, Run, Sample, SeriesRuns, TimeRange};

use super::rows::{NO_PLACE, Samples};
use super::shard::ShardView;
use super::sort::{Sortee, sort};
use super::tenants::number_of;
use super::{SHARDS, SeriesTable};

/// Rows of a slice, 16 bytes each (24 with start timestamps), or what makes so many slices when that is more: each slice walks through
/// all rows.
const SLICE_ROWS: usize = 1 << 20;
const SLICES_MAX: usize = 16;

/// Where one spelling of a series is.
#[derive(Debug, Clone, Copy)]
struct At {
    shard: u32,
    position: u32,
}

/// The selected series of one table, one after the other.
#[derive(Debug)]
pub(crate) struct TableCursor<'t> {
    table: &'t SeriesTable,
    kinds: HeadKinds,
    range: TimeRange,
    shards: Vec<ShardView>,
    /// Rows of each series that are floats and lie in the range, by shard; nothing when no floats are wanted.
    counts: Vec<Vec<u32>>,
    /// In label order.
    selected: Vec<At>,
    next: usize,
    slice: Slice,
    canonical: Vec<u8>,
}

/// The floats of some neighbours in `selected`.
#[derive(Debug, Default)]
struct Slice {
    from: usize,
    to: usize,
    rows_max: usize,
    /// Where the rows of each begin, and behind the last one where they end.
    starts: Vec<usize>,
    samples: Run,
    /// By shard and position, where in the slice a series is.
    places: Vec<Vec<u32>>,
}

impl SeriesTable {
    /// A place before the first of the series that match, as of now.
    pub(crate) fn cursor(&self, query: &HeadQuery) -> TableCursor<'_> {
        self.cursor_in_slices(query, SLICE_ROWS)
    }

    /// As [`SeriesTable::cursor`], in slices of at least so many rows.
    pub(crate) fn cursor_in_slices(&self, query: &HeadQuery, slice_rows: usize) -> TableCursor<'_> {
        let shards: Vec<ShardView> = self.shards.iter().map(|shard| shard.read().view()).collect();
        // After the series: a tenant is numbered before its first one is there.
        let tenants = self.tenants.names();
        let tenant = (0..).zip(&tenants).find(|(_, name)| **name == query.tenant);
        let counts: Vec<Vec<u32>> = match query.kinds {
            HeadKinds::Samples => shards
                .iter()
                .map(|shard| shard.rows.counts(shard.n_series(), query.range))
                .collect(),
            HeadKinds::Exemplars | HeadKinds::Metadata => vec![Vec::new(); SHARDS],
        };
        let mut found = Vec::new();
        for ((shard, view), counts) in (0..).zip(&shards).zip(&counts) {
            for position in 0..view.n_series() as u32 {
                let has_rows = counts.get(position as usize).is_some_and(|&count| count > 0);
                let is_of_tenant = tenant.is_some_and(|(number, _)| number_of(view.origin(position)) == number);
                if is_of_tenant && (has_rows || view.has_others(position)) {
                    let region = view.region(position);
                    if region.fulfils(&query.matchers) {
                        found.push(Sortee::new(region, At { shard, position }));
                    }
                }
            }
        }
        sort(&mut found);
        let selected: Vec<At> = found.iter().map(|one| one.at).collect();
        let count_of = |at: &At| {
            counts[at.shard as usize]
                .get(at.position as usize)
                .copied()
                .unwrap_or(0) as usize
        };
        let rows = selected.iter().map(count_of).sum::<usize>();
        TableCursor {
            table: self,
            kinds: query.kinds,
            range: query.range,
            slice: Slice {
                rows_max: slice_rows.max(rows / SLICES_MAX),
                places: shards.iter().map(|shard| vec![NO_PLACE; shard.n_series()]).collect(),
                ..Slice::default()
            },
            shards,
            counts,
            selected,
            next: 0,
            canonical: Vec::new(),
        }
    }
}

impl TableCursor<'_> {
    /// The next series that has rows of the kinds that are wanted, settled and inside the range. Its spellings are joined.
    pub(crate) fn next(&mut self) -> Option<(Labels, SeriesRuns)> {
        while self.next < self.selected.len() {
            if self.next == self.slice.to {
                self.take_slice();
            }
            let first = self.next;
            let mut runs = SeriesRuns::default();
            while self.next < self.slice.to && self.is_same(first, self.next) {
                self.add_rows(self.next, &mut runs);
                self.next += 1;
            }
            runs.settle();
            runs.retain_range(self.range);
            if !runs.is_empty() {
                let At { shard, position } = self.selected[first];
                let labels = self.shards[shard as usize]
                    .region(position)
                    .to_labels(&mut self.canonical);
                return Some((labels, runs));
            }
        }
        None
    }

    fn add_rows(&self, number: usize, runs: &mut SeriesRuns) {
        let Slice {
            starts, samples, from, ..
        } = &self.slice;
        if self.kinds == HeadKinds::Samples {
            let rows = starts[number - from]..starts[number - from + 1];
            let rows = Samples {
                timestamps: &samples.timestamps[rows.clone()],
                values: &samples.values[rows.clone()],
                start_timestamps: samples.start_timestamps.get(rows).unwrap_or_default(),
            };
            rows.append_to(&mut runs.samples);
        }
        let At { shard, position } = self.selected[number];
        if self.shards[shard as usize].has_others(position)
            && let Some(others) = self.table.shards[shard as usize].read().others.get(&position)
        {
            match self.kinds {
                HeadKinds::Samples => runs.histograms.append(&others.histograms, 0..others.histograms.len()),
                HeadKinds::Exemplars => runs.exemplars.append(&others.exemplars),
                HeadKinds::Metadata => {}
            }
        }
    }

    /// Whether two are spellings of one series.
    fn is_same(&self, one: usize, other: usize) -> bool {
        let region = |number: usize| {
            let At { shard, position } = self.selected[number];
            self.shards[shard as usize].region(position)
        };
        one == other || region(one) == region(other)
    }

    fn count(&self, number: usize) -> usize {
        let At { shard, position } = self.selected[number];
        let counts = &self.counts[shard as usize];
        counts.get(position as usize).copied().unwrap_or(0) as usize
    }

    /// Collects the floats of the next series, so many that they are worth the way through all rows.
    fn take_slice(&mut self) {
        let (from, mut to, mut rows) = (self.slice.to, self.slice.to, 0);
        let mut starts = vec![0];
        // Spellings of one series stay together.
        while to < self.selected.len()
            && (to == from || rows + self.count(to) <= self.slice.rows_max || self.is_same(to - 1, to))
        {
            rows += self.count(to);
            starts.push(rows);
            to += 1;
        }
        let slice = &mut self.slice;
        (slice.from, slice.to) = (from, to);
        slice.samples = Run::default();
        if self.kinds != HeadKinds::Samples {
            return;
        }
        for (place, at) in (0..).zip(&self.selected[from..to]) {
            slice.places[at.shard as usize][at.position as usize] = place;
        }
        let samples = &mut slice.samples;
        samples.timestamps = vec![0; rows];
        samples.values = vec![0.0; rows];
        let mut ends = starts.clone();
        for (shard, places) in self.shards.iter().zip(&slice.places) {
            shard.rows.visit(places, self.range, |place, sample| {
                let Sample {
                    timestamp,
                    value,
                    start_timestamp,
                } = sample;
                let at = ends[place as usize];
                ends[place as usize] += 1;
                samples.timestamps[at] = timestamp;
                samples.values[at] = value;
                if start_timestamp != 0 {
                    samples.start_timestamps.resize(rows, 0);
                    samples.start_timestamps[at] = start_timestamp;
                }
            });
        }
        for at in &self.selected[from..to] {
            slice.places[at.shard as usize][at.position as usize] = NO_PLACE;
        }
        slice.starts = starts;
    }
}
