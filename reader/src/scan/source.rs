//! One source of a scan: a part's cursor, or the answer of a head.
//!
//! Both give series in label order and, of the series they stand at, rows of each kind in time order. A source must never decide
//! what is kept: it hands over rows, the merge judges them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use emberkeep_archive::{PartScan, SeriesRows};
use emberkeep_model::head::{HeadAnswer, HeadKinds};
use emberkeep_model::{ExemplarRun, HistogramRun, Labels, Run, SeriesRuns, TimeRange};

use super::buffer::Buffer;
use super::member::Member;
use crate::ReaderError;

/// A cursor over one part or head.
pub(super) struct Source {
    /// Where errors point to.
    name: String,
    cursor: Cursor,
    kinds: HeadKinds,
    /// The series it stood at last, to notice a source that is not in label order.
    labels: Option<Labels>,
}

enum Cursor {
    Part {
        scan: Box<PartScan>,
        at: Option<SeriesRows>,
        /// No exemplar of the tenant is older; the times of series are those of their samples.
        exemplars_from: i64,
    },
    Head {
        answer: Arc<HeadAnswer>,
        next: usize,
    },
}

impl Source {
    /// A part whose exemplars are not older than `exemplars_from`.
    pub(super) fn part(scan: PartScan, name: String, kinds: HeadKinds, exemplars_from: i64) -> Self {
        Self {
            name: format!("part {name}"),
            cursor: Cursor::Part {
                scan: Box::new(scan),
                at: None,
                exemplars_from,
            },
            kinds,
            labels: None,
        }
    }

    pub(super) fn head(answer: Arc<HeadAnswer>, kinds: HeadKinds) -> Self {
        let name = format!("head of {}", answer.position.receiver);
        Self {
            name,
            cursor: Cursor::Head { answer, next: 0 },
            kinds,
            labels: None,
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
                Cursor::Head { answer, next } => {
                    *next += 1;
                    answer.series.get(*next - 1).map(|series| series.labels.clone())
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
            if labels.is_none() || self.time_lines().next().is_some() {
                return Ok(labels);
            }
        }
    }

    /// What there is to read of the series it stands at, by kind. `index` is the source's own number.
    pub(super) fn members(&self, index: usize) -> impl Iterator<Item = Member> {
        self.time_lines()
            .map(move |(rows, min_time, buffer)| Member::new(index, rows, min_time, buffer))
    }

    fn time_lines(&self) -> impl Iterator<Item = (Range<u64>, i64, Buffer)> {
        let lines = match (&self.cursor, self.kinds) {
            (Cursor::Part { at, exemplars_from, .. }, kinds) => {
                at.as_ref().map(|at| lines_of_part(at, *exemplars_from, kinds))
            }
            (Cursor::Head { answer, next }, kinds) => next
                .checked_sub(1)
                .and_then(|at| answer.series.get(at))
                .map(|series| lines_of_runs(&series.runs, kinds)),
        };
        lines
            .into_iter()
            .flatten()
            .flatten()
            .filter(|(rows, _, _)| !rows.is_empty())
    }

    /// Appends some rows of the series it stands at, of the kind that the buffer holds; rows outside the range are left out.
    pub(super) async fn read(
        &mut self,
        rows: Range<u64>,
        range: TimeRange,
        out: &mut Buffer,
    ) -> Result<(), ReaderError> {
        match (&mut self.cursor, out) {
            (Cursor::Part { scan, .. }, Buffer::Floats(out)) => scan.samples(rows, range, out).await?,
            (Cursor::Part { scan, .. }, Buffer::Histograms(out)) => scan.histograms(rows, range, out).await?,
            (Cursor::Part { scan, .. }, Buffer::Exemplars(out)) => scan.exemplars(rows, range, out).await?,
            (Cursor::Head { answer, next }, out) => {
                let runs = &answer.series[*next - 1].runs;
                // The rows are positions in a vector, so they fit.
                let position = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
                copy(runs, position(rows.start)..position(rows.end), range, out);
            }
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
