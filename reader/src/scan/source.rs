//! One source of a scan: a part's cursor, or the answer of a head.
//!
//! Both give series in label order and, of the series they stand at, rows of each kind in time order. A source must never decide
//! what is kept: it hands over rows, the merge judges them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use emberkeep_archive::{PartScan, SeriesRows, TimeSpan};
use emberkeep_model::head::{HeadAnswer, HeadKinds, HeadSeries, PackedCursor};
use emberkeep_model::{ExemplarRun, HistogramRun, Labels, Run, SeriesRuns, TimeRange};

use super::buffer::Buffer;
use super::hidden::{Hidden, Masks};
use super::member::Member;
use crate::ReaderError;

/// A cursor over one part or head.
pub(super) struct Source {
    /// Where errors point to.
    name: String,
    cursor: Cursor,
    kinds: HeadKinds,
    visible: Visible,
    /// What is hidden of the series it stands at.
    hidden: Hidden,
    /// The series it stood at last, to notice a source that is not in label order.
    labels: Option<Labels>,
}

/// What of a source may be seen.
#[derive(Debug, Clone)]
pub(super) struct Visible {
    /// The masks that are not applied to its rows yet.
    pub(super) masks: Masks,
    /// The time that is asked for.
    pub(super) range: TimeRange,
}

enum Cursor {
    Part {
        scan: Box<PartScan>,
        at: Option<SeriesRows>,
        /// The times of all exemplars of the tenant; those of series are of their samples.
        exemplar_times: Option<TimeSpan>,
    },
    Head {
        answer: Arc<HeadAnswer>,
        next: PackedCursor,
        at: Option<HeadSeries>,
    },
}

impl Source {
    /// A part whose exemplars, of all series together, have these times.
    pub(super) fn part(
        scan: PartScan,
        name: &str,
        kinds: HeadKinds,
        exemplar_times: Option<TimeSpan>,
        visible: Visible,
    ) -> Self {
        Self {
            name: format!("part {name}"),
            cursor: Cursor::Part {
                scan: Box::new(scan),
                at: None,
                exemplar_times,
            },
            kinds,
            visible,
            hidden: Hidden::default(),
            labels: None,
        }
    }

    pub(super) fn head(answer: Arc<HeadAnswer>, kinds: HeadKinds, visible: Visible) -> Self {
        let name = format!("head of {}", answer.position.receiver);
        Self {
            name,
            cursor: Cursor::Head {
                next: answer.series.cursor(),
                answer,
                at: None,
            },
            kinds,
            visible,
            hidden: Hidden::default(),
            labels: None,
        }
    }

    /// Says that rows will be read, so that they may come before they are.
    pub(super) fn expect_rows(&mut self) {
        if let Cursor::Part { scan, .. } = &mut self.cursor {
            scan.expect_rows();
        }
    }

    /// Goes on to the next series that has rows of the kinds that are read. One with exemplars or metadata alone is no series
    /// of remote read.
    pub(super) async fn advance(&mut self) -> Result<Option<Labels>, ReaderError> {
        loop {
            let labels = match &mut self.cursor {
                Cursor::Part { scan, at, .. } => {
                    *at = scan.next().await?;
                    at.as_ref().map(|rows| rows.labels.clone())
                }
                Cursor::Head { answer, next, at } => {
                    *at = next.next(&answer.series);
                    at.as_ref().map(|series| series.labels.clone())
                }
            };
            if let (Some(before), Some(now)) = (&self.labels, &labels)
                && before >= now
            {
                return Err(ReaderError::Inconsistent(format!(
                    "{}: series {now} comes after {before}",
                    self.name
                )));
            }
            self.labels.clone_from(&labels);
            let Some(labels) = labels else {
                return Ok(None);
            };
            if !self.visible.masks.is_empty() {
                self.hidden = self.visible.masks.hidden(&labels);
            }
            if self.time_lines().next().is_some() && !self.is_hidden() {
                return Ok(Some(labels));
            }
        }
    }

    /// Whether masks hide all that the series it stands at has in the range, as far as that can be told without reading rows
    /// of a part.
    fn is_hidden(&self) -> bool {
        if self.hidden.is_empty() {
            return false;
        }
        let range = self.visible.range;
        let is_covered = |min_time: i64, max_time: i64| {
            let (first, last) = (min_time.max(range.start), max_time.min(range.end.saturating_sub(1)));
            self.hidden.covers(first, last)
        };
        match (&self.cursor, self.kinds) {
            (Cursor::Part { at, .. }, HeadKinds::Samples) => {
                at.as_ref().is_some_and(|at| is_covered(at.min_time, at.max_time))
            }
            (Cursor::Part { exemplar_times, .. }, HeadKinds::Exemplars) => {
                exemplar_times.is_some_and(|times| is_covered(times.min_time, times.max_time))
            }
            (Cursor::Part { .. }, HeadKinds::Metadata) => false,
            (Cursor::Head { at: series, .. }, kinds) => series.as_ref().is_some_and(|series| {
                times_of(&series.runs, kinds).all(|time| !range.contains(time) || self.hidden.hides(time))
            }),
        }
    }

    /// What there is to read of the series it stands at, by kind. `index` is the source's own number.
    pub(super) fn members(&self, index: usize) -> impl Iterator<Item = Member> {
        self.time_lines()
            .map(move |(rows, min_time, buffer)| Member::new(index, rows, min_time, buffer))
    }

    fn time_lines(&self) -> impl Iterator<Item = (Range<u64>, i64, Buffer)> {
        let lines = match (&self.cursor, self.kinds) {
            (Cursor::Part { at, exemplar_times, .. }, kinds) => {
                let exemplars_from = exemplar_times.map_or(i64::MIN, |times| times.min_time);
                at.as_ref().map(|at| lines_of_part(at, exemplars_from, kinds))
            }
            (Cursor::Head { at, .. }, kinds) => at.as_ref().map(|series| lines_of_runs(&series.runs, kinds)),
        };
        lines
            .into_iter()
            .flatten()
            .flatten()
            .filter(|(rows, _, _)| !rows.is_empty())
    }

    /// Appends some rows of the series it stands at, of the kind that the buffer holds; rows outside the range and hidden ones
    /// are left out.
    pub(super) async fn read(
        &mut self,
        rows: Range<u64>,
        range: TimeRange,
        out: &mut Buffer,
    ) -> Result<(), ReaderError> {
        let before = out.len();
        match (&mut self.cursor, &mut *out) {
            (Cursor::Part { scan, .. }, Buffer::Floats(out)) => scan.samples(rows, range, out).await?,
            (Cursor::Part { scan, .. }, Buffer::Histograms(out)) => scan.histograms(rows, range, out).await?,
            (Cursor::Part { scan, .. }, Buffer::Exemplars(out)) => scan.exemplars(rows, range, out).await?,
            (Cursor::Head { at, .. }, out) => {
                let Some(HeadSeries { runs, .. }) = at else {
                    return Ok(());
                };
                // The rows are positions in a vector, so they fit.
                let position = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
                copy(runs, position(rows.start)..position(rows.end), range, out);
            }
        }
        if !self.hidden.is_empty() {
            out.leave_out(before, &self.hidden);
        }
        Ok(())
    }
}

type Lines = [Option<(Range<u64>, i64, Buffer)>; 2];

fn lines_of_part(at: &SeriesRows, exemplars_from: i64, kinds: HeadKinds) -> Lines {
    match kinds {
        HeadKinds::Samples => [
            Some((at.samples.clone(), at.min_time, Buffer::Floats(Run::default()))),
            Some((
                at.histograms.clone(),
                at.min_time,
                Buffer::Histograms(HistogramRun::default()),
            )),
        ],
        HeadKinds::Exemplars => [
            Some((
                at.exemplars.clone(),
                exemplars_from,
                Buffer::Exemplars(ExemplarRun::default()),
            )),
            None,
        ],
        HeadKinds::Metadata => [None, None],
    }
}

fn lines_of_runs(runs: &SeriesRuns, kinds: HeadKinds) -> Lines {
    let first = |times: &[i64]| times.first().copied().unwrap_or(i64::MAX);
    match kinds {
        HeadKinds::Samples => [
            Some((
                0..runs.samples.len() as u64,
                first(&runs.samples.timestamps),
                Buffer::Floats(Run::default()),
            )),
            Some((
                0..runs.histograms.len() as u64,
                first(runs.histograms.timestamps()),
                Buffer::Histograms(HistogramRun::default()),
            )),
        ],
        HeadKinds::Exemplars => {
            let exemplars = runs.exemplars.as_slice();
            let min_time = exemplars.first().map_or(i64::MAX, |exemplar| exemplar.timestamp);
            [
                Some((
                    0..exemplars.len() as u64,
                    min_time,
                    Buffer::Exemplars(ExemplarRun::default()),
                )),
                None,
            ]
        }
        HeadKinds::Metadata => [None, None],
    }
}

/// The times of the rows of some kinds.
fn times_of(runs: &SeriesRuns, kinds: HeadKinds) -> impl Iterator<Item = i64> {
    let (samples, exemplars) = match kinds {
        HeadKinds::Samples => (Some(runs), None),
        HeadKinds::Exemplars => (None, Some(runs)),
        HeadKinds::Metadata => (None, None),
    };
    let samples = samples.into_iter().flat_map(|runs| {
        let histograms = runs.histograms.timestamps().iter();
        runs.samples.timestamps.iter().chain(histograms).copied()
    });
    let exemplars = exemplars.into_iter().flat_map(|runs| runs.exemplars.as_slice());
    samples.chain(exemplars.map(|exemplar| exemplar.timestamp))
}

/// Copies the rows at some positions of a kind that lie in the range.
fn copy(runs: &SeriesRuns, positions: Range<usize>, range: TimeRange, out: &mut Buffer) {
    let inside = |times: &[i64]| {
        let from = times.partition_point(|&t| t < range.start).max(positions.start);
        let to = times.partition_point(|&t| t < range.end).min(positions.end);
        from..to.max(from)
    };
    match out {
        Buffer::Floats(out) => {
            for i in inside(&runs.samples.timestamps) {
                out.push(runs.samples.sample(i));
            }
        }
        Buffer::Histograms(out) => out.append(&runs.histograms, inside(runs.histograms.timestamps())),
        Buffer::Exemplars(out) => {
            for exemplar in runs
                .exemplars
                .as_slice()
                .iter()
                .take(positions.end)
                .skip(positions.start)
            {
                if range.contains(exemplar.timestamp) {
                    out.push(exemplar.clone());
                }
            }
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}
