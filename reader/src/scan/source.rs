//! One source of a scan: a part's cursor, or the answer of a head.
//!
//! Both give series in label order and, of the series they stand at, rows in time order. A source must never decide what is
//! kept: it hands over rows, the merge judges them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use emberkeep_archive::{PartScan, SeriesRows};
use emberkeep_model::head::HeadAnswer;
use emberkeep_model::{Labels, Run, TimeRange};

use super::series::Member;
use crate::ReaderError;

/// A cursor over one part or head.
pub(super) struct Source {
    /// Where errors point to.
    name: String,
    cursor: Cursor,
    /// The series it stood at last, to notice a source that is not in label order.
    labels: Option<Labels>,
}

enum Cursor {
    Part {
        scan: Box<PartScan>,
        at: Option<SeriesRows>,
    },
    Head {
        answer: Arc<HeadAnswer>,
        next: usize,
    },
}

impl Source {
    pub(super) fn part(scan: PartScan, name: String) -> Self {
        Self {
            name: format!("part {name}"),
            cursor: Cursor::Part {
                scan: Box::new(scan),
                at: None,
            },
            labels: None,
        }
    }

    pub(super) fn head(answer: Arc<HeadAnswer>) -> Self {
        let name = format!("head of {}", answer.position.receiver);
        Self {
            name,
            cursor: Cursor::Head { answer, next: 0 },
            labels: None,
        }
    }

    /// Goes on to the next series.
    pub(super) async fn advance(&mut self) -> Result<Option<Labels>, ReaderError> {
        let labels = match &mut self.cursor {
            Cursor::Part { scan, at } => {
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
        Ok(labels)
    }

    /// What there is to read of the series it stands at. `index` is the source's own number.
    pub(super) fn member(&self, index: usize) -> Option<Member> {
        match &self.cursor {
            Cursor::Part { at, .. } => at.as_ref().map(|at| Member::new(index, at.rows.clone(), at.min_time)),
            Cursor::Head { answer, next } => {
                let run = &answer.series.get(next.checked_sub(1)?)?.samples;
                run.timestamps
                    .first()
                    .map(|&first| Member::new(index, 0..run.len() as u64, first))
            }
        }
    }

    /// Appends the samples of some rows of the series it stands at; rows outside the range are left out.
    pub(super) async fn read(&mut self, rows: Range<u64>, range: TimeRange, out: &mut Run) -> Result<(), ReaderError> {
        match &mut self.cursor {
            Cursor::Part { scan, .. } => scan.samples(rows, range, out).await?,
            Cursor::Head { answer, next } => {
                let samples = &answer.series[*next - 1].samples;
                // The rows are positions in a vector, so they fit.
                let position = |row: u64| usize::try_from(row).unwrap_or(usize::MAX).min(samples.len());
                let from = samples
                    .timestamps
                    .partition_point(|&t| t < range.start)
                    .max(position(rows.start));
                let to = samples
                    .timestamps
                    .partition_point(|&t| t < range.end)
                    .min(position(rows.end));
                for i in from..to {
                    out.push(samples.sample(i));
                }
            }
        }
        Ok(())
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
