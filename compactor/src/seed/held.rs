//! What the archive holds of a window already, so that a seed adds only rows that change an answer.
//!
//! Rows are compared and not names of blocks: names change with every compaction of the source, and what was seeded once may have been
//! merged, deleted or rolled back since. Parts of level 1 and above know the digests of their rows, so what was seeded before is
//! recognised without reading it. Deleted rows count as held: their deletion hides them wherever they come from.

use std::sync::Arc;

use emberkeep_archive::digest::Digests;
use emberkeep_archive::{
    Catalog, ObjectStore, PartEntry, PartReader, PartScan, RunSlice, ScanKinds, ScanQuery, SeriesRows,
};
use emberkeep_model::{HistogramRun, Labels, Run, SeriesRuns, TenantId, TimeRange};

use super::{Fills, SeedError};

/// Rows that are decoded at once of each part.
const WINDOW_ROWS: usize = 16 << 10;

/// The parts of a window.
#[derive(Debug)]
pub(super) struct HeldParts {
    readers: Vec<PartReader>,
    query: ScanQuery,
    fills: Fills,
}

impl HeldParts {
    /// Opens every live part that may hold rows of the window, but those that are quarantined: what they hold cannot be read, so it is
    /// better brought again.
    pub(super) async fn open(
        catalog: &Catalog,
        tenant: &TenantId,
        range: TimeRange,
        fills: Fills,
    ) -> Result<Self, SeedError> {
        let quarantined = catalog.live().await?.quarantined();
        let view = catalog.refresh().await?;
        let wanted = |part: &&Arc<PartEntry>| {
            part.may_hold(tenant.as_str(), range) && !quarantined.contains(&part.ulid.to_string())
        };
        let mut readers = Vec::new();
        for part in view.parts.iter().filter(wanted) {
            let store: Arc<dyn ObjectStore> = Arc::clone(catalog.store());
            readers.push(PartReader::open(store, part).await?);
        }
        Ok(Self {
            readers,
            query: ScanQuery {
                tenant: tenant.clone(),
                range,
                matchers: [].into(),
                kinds: ScanKinds::AllWithDigests,
            },
            fills,
        })
    }

    /// A walk over them in label order.
    pub(super) fn walk(&self) -> HeldWalk {
        let of = |reader: &PartReader| HeldCursor {
            scan: reader.scan(self.query.clone(), WINDOW_ROWS),
            next: None,
            is_begun: false,
        };
        HeldWalk {
            cursors: self.readers.iter().map(of).collect(),
            range: self.query.range,
            fills: self.fills,
            digests: Digests::default(),
        }
    }
}

/// One walk. Series must be asked for in label order.
#[derive(Debug)]
pub(super) struct HeldWalk {
    cursors: Vec<HeldCursor>,
    range: TimeRange,
    fills: Fills,
    digests: Digests,
}

#[derive(Debug)]
struct HeldCursor {
    scan: PartScan,
    next: Option<SeriesRows>,
    is_begun: bool,
}

impl HeldWalk {
    /// Takes out of the settled rows of a series what the archive holds, or prefers another row to; how many rows that were.
    pub(super) async fn take_out(&mut self, labels: &Labels, runs: &mut SeriesRuns) -> Result<u64, SeedError> {
        let mut having = Vec::new();
        for (at, cursor) in self.cursors.iter_mut().enumerate() {
            if cursor.reach(labels).await? {
                having.push(at);
            }
        }
        if having.is_empty() {
            return Ok(0);
        }
        let before = runs.len() as u64;
        self.digests.clear();
        self.digests.add_samples(RunSlice::from(&runs.samples));
        self.digests.add_histograms(&runs.histograms);
        let is_whole = having.iter().any(|&at| {
            let held = self.cursors[at].next.as_ref().map(|next| &next.digests);
            held.is_some_and(|held| holds(held, &self.digests))
        });
        if is_whole {
            runs.clear();
            return Ok(before);
        }
        let mut held = SeriesRuns::default();
        for at in having {
            self.cursors[at].rows(self.range, &mut held).await?;
        }
        held.settle();
        if self.fills == Fills::MissingTimes {
            only_missing_times(&held, runs);
            return Ok(before - runs.len() as u64);
        }
        let mut both = held.clone();
        both.append(runs);
        both.settle();
        runs.samples = added_samples(&held.samples, &both.samples);
        runs.histograms = added_histograms(&held.histograms, &both.histograms);
        Ok(before - runs.len() as u64)
    }
}

/// Whether every window of `wanted` has the same rows in `held`.
fn holds(held: &Digests, wanted: &Digests) -> bool {
    let kinds = [
        (&held.samples, &wanted.samples),
        (&held.histograms, &wanted.histograms),
        (&held.start_timestamps, &wanted.start_timestamps),
    ];
    kinds.into_iter().all(|(held, wanted)| {
        wanted
            .iter()
            .all(|(window, sum)| held.iter().any(|(other, held)| (other, held) == (window, sum)))
    })
}

/// Takes out rows of times at which `held` has any; both are settled.
fn only_missing_times(held: &SeriesRuns, runs: &mut SeriesRuns) {
    let is_missing = |time: i64| {
        held.samples.timestamps.binary_search(&time).is_err()
            && held.histograms.timestamps().binary_search(&time).is_err()
    };
    let mut samples = Run::default();
    for sample in runs.samples.iter().filter(|sample| is_missing(sample.timestamp)) {
        samples.push(sample);
    }
    runs.samples = samples;
    let mut histograms = HistogramRun::default();
    for row in runs.histograms.iter().filter(|row| is_missing(row.timestamp)) {
        histograms.push_row(row);
    }
    runs.histograms = histograms;
}

/// Rows of `both` that are not in `held`; both are settled.
fn added_samples(held: &Run, both: &Run) -> Run {
    let (mut at, mut added) = (0, Run::default());
    for sample in both.iter() {
        while held.timestamps.get(at).is_some_and(|&time| time < sample.timestamp) {
            at += 1;
        }
        if at >= held.len() || held.sample(at) != sample {
            added.push(sample);
        }
    }
    added
}

fn added_histograms(held: &HistogramRun, both: &HistogramRun) -> HistogramRun {
    let (mut at, mut added) = (0, HistogramRun::default());
    for row in both.iter() {
        while held.timestamps().get(at).is_some_and(|&time| time < row.timestamp) {
            at += 1;
        }
        let same = at < held.len() && {
            let held = held.row(at);
            (held.timestamp, held.start_timestamp, held.canonical)
                == (row.timestamp, row.start_timestamp, row.canonical)
        };
        if !same {
            added.push_row(row);
        }
    }
    added
}

impl HeldCursor {
    /// Goes on to a series; whether the part has it.
    async fn reach(&mut self, labels: &Labels) -> Result<bool, SeedError> {
        if !self.is_begun {
            self.is_begun = true;
            self.next = self.scan.next().await?;
        }
        while self.next.as_ref().is_some_and(|next| next.labels < *labels) {
            self.next = self.scan.next().await?;
        }
        Ok(self.next.as_ref().is_some_and(|next| next.labels == *labels))
    }

    /// Appends the rows of the series that was reached.
    async fn rows(&mut self, range: TimeRange, runs: &mut SeriesRuns) -> Result<(), SeedError> {
        if let Some(next) = &self.next {
            let samples = next.samples.clone();
            self.scan.samples(samples, range, &mut runs.samples).await?;
            let histograms = next.histograms.clone();
            self.scan.histograms(histograms, range, &mut runs.histograms).await?;
        }
        Ok(())
    }
}
