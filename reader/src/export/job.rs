//! Blocks of an export, from the archive to disk and back: scanned, written, read back, compared.
//!
//! It owns all it needs, so that several run at the same time. Windows that follow one another and lie in the same parts are made in one
//! pass, or each page of these parts would be decoded once for each of them. It must never take more memory than it was given: then it
//! gives up and says so.

use std::path::PathBuf;
use std::sync::Arc;

use emberkeep_archive::ObjectStore;
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Labels, SeriesRuns, TimeRange};
use emberkeep_tsdb::{BucketLabels, PrometheusVersion};
use ulid::Ulid;

use super::making::{MadeBlock, Making, Written};
use super::throttle::Throttle;
use super::{StartTimestamps, Verification, memory};
use crate::replicas::{Doubles, MergedScan};
use crate::scan::{Ground, Opened, Scan};
use crate::sources::Look;
use crate::{Query, ReaderError, ReplicaLabels};

/// What all blocks of an export have in common.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) look: Look,
    /// Of the whole range.
    pub(super) query: Query,
    /// Where blocks are made.
    pub(super) directory: PathBuf,
    pub(super) starts: StartTimestamps,
    /// Labels that are taken off every series.
    pub(super) stripped: ReplicaLabels,
    pub(super) doubles: Doubles,
    pub(super) bucket: Option<BucketLabels>,
    pub(super) verification: Verification,
    /// The Prometheus that gets the block must read it.
    pub(super) read_by: Option<PrometheusVersion>,
    pub(super) throttle: Throttle,
}

/// What became of the blocks of a job.
pub(super) enum Made {
    /// The windows need more memory; nothing is left on disk. In bytes, as far as it is known.
    TooLarge(u64),
    /// The blocks on disk under their names, none for windows without anything; as many as windows, in their order.
    Blocks(Vec<Option<MadeBlock>>),
}

/// The series of a window, as they are archived or without some labels.
enum Rows {
    Archived(Box<Scan>),
    Stripped(Box<MergedScan>),
}

impl Rows {
    async fn open(work: &Work, opened: &Opened, memory: u64) -> Result<Self, ReaderError> {
        if work.stripped.is_empty() {
            let rows = memory::window_rows(opened.parts(), memory);
            Ok(Self::Archived(Box::new(
                opened.scan_by(rows, memory::ahead(memory)).await?,
            )))
        } else {
            let scan = MergedScan::without(opened, &work.stripped, work.doubles).await?;
            Ok(Self::Stripped(Box::new(scan)))
        }
    }

    async fn next_series(&mut self) -> Result<Option<Labels>, ReaderError> {
        match self {
            Self::Archived(scan) => scan.next_series().await,
            Self::Stripped(scan) => scan.next_series().await,
        }
    }

    async fn next_piece(&mut self, out: &mut SeriesRuns) -> Result<bool, ReaderError> {
        match self {
            Self::Archived(scan) => scan.next_piece(out).await,
            Self::Stripped(scan) => scan.next_piece(out).await,
        }
    }

    /// Ends every piece at these times, of rows as they are archived; others are read for one block at a time.
    fn cut_at(&mut self, edges: &[i64]) {
        if let Self::Archived(scan) = self {
            scan.cut_at(edges);
        }
    }

    /// Rows that lost against a different one, of rows as they are archived.
    fn conflicts_so_far(&self) -> u64 {
        match self {
            Self::Archived(scan) => scan.conflicts_so_far(),
            Self::Stripped(_) => 0,
        }
    }

    /// Bytes that its cursors take at most.
    fn memory(&self, opened: &Opened, memory: u64) -> u64 {
        match self {
            Self::Archived(_) => {
                let rows = memory::window_rows(opened.parts(), memory);
                memory::of_cursors_by(opened.parts(), rows).saturating_add(2 * memory::ahead(memory))
            }
            Self::Stripped(scan) => memory::of_cursors_by(opened.parts().saturating_mul(scan.streams()), 8 * 1024),
        }
    }
}

impl Work {
    /// Makes the blocks of windows that follow one another, in one pass over their rows and in at most so many bytes of memory.
    ///
    /// # Errors
    /// When something cannot be read or written, or a block that was read back is not what was meant.
    pub(super) async fn make(&self, blocks: &[(TimeRange, Ulid)], memory: u64) -> Result<Made, ReaderError> {
        let whole = |blocks: &[(TimeRange, Ulid)]| {
            let (first, last) = (blocks.first()?.0, blocks.last()?.0);
            Some(TimeRange {
                start: first.start,
                end: last.end,
            })
        };
        let Some(whole) = whole(blocks) else {
            return Ok(Made::Blocks(Vec::new()));
        };
        let query = Query {
            range: self.query.range.intersect(whole),
            ..self.query.clone()
        };
        let ground = Ground::of(&self.store, &self.look);
        let opened = Opened::open(ground, &query, HeadKinds::Samples, usize::MAX).await?;
        let memory_of_rows = memory.saturating_sub(memory::of_further_writers(blocks.len()));
        let mut rows = Rows::open(self, &opened, memory_of_rows).await?;
        let edges: Vec<i64> = blocks.iter().map(|(window, _)| window.end).collect();
        rows.cut_at(&edges);
        let of_rest = rows.memory(&opened, memory_of_rows) + memory::of_further_writers(blocks.len());
        let Some(of_index) = memory.checked_sub(of_rest) else {
            return Ok(Made::TooLarge(of_rest));
        };
        let begun = blocks.iter().map(|&(window, ulid)| Making::begin(self, window, ulid));
        let mut makings = begun.collect::<Result<Vec<_>, _>>()?;
        let (mut piece, mut counted, mut paid) = (SeriesRuns::default(), 0, 0);
        while let Some(labels) = rows.next_series().await? {
            take_series(&mut makings, &labels, &mut rows, &mut piece, &mut counted).await?;
            if let Some(needed) = self.beyond(&makings, of_index, memory) {
                return Ok(Made::TooLarge(needed.saturating_add(of_rest)));
            }
            let written: u64 = makings.iter().map(|making| making.writer.written()).sum();
            self.throttle.take(written - paid).await;
            paid = written;
        }
        if let (Rows::Stripped(scan), [making]) = (&rows, &mut *makings) {
            making.set_conflicts(scan.conflicts());
        }
        // Verification has the whole memory.
        drop((rows, opened));
        self.finish(makings).map(Made::Blocks)
    }

    /// Gives the blocks their names, and reads them back when all memory of writing is free.
    fn finish(&self, makings: Vec<Making>) -> Result<Vec<Option<MadeBlock>>, ReaderError> {
        let mut written = Vec::with_capacity(makings.len());
        for making in makings {
            match making.finish(self.read_by) {
                Ok(block) => written.push(block),
                Err(error) => {
                    written.into_iter().flatten().for_each(Written::give_up);
                    return Err(error);
                }
            }
        }
        let (mut made, mut written) = (Vec::with_capacity(written.len()), written.into_iter());
        while let Some(block) = written.next() {
            match block.map(|block| block.check(self)).transpose() {
                Ok(block) => made.push(block),
                Err(error) => {
                    written.flatten().for_each(Written::give_up);
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    /// The memory that the indexes have come to need, when that is too much.
    fn beyond(&self, makings: &[Making], of_index: u64, memory: u64) -> Option<u64> {
        let writing: u64 = makings.iter().map(|making| making.writer.memory()).sum();
        let reading = makings.iter().map(|making| making.writer.memory_of_reading());
        let reading = match self.verification {
            Verification::Full => reading.max().unwrap_or(0),
            Verification::LeftOut => 0,
        };
        (writing > of_index || reading > memory).then_some(writing.max(reading))
    }
}

/// Takes all rows of a series, those of each window into its block. No piece lies in two windows.
async fn take_series(
    makings: &mut [Making],
    labels: &Labels,
    rows: &mut Rows,
    piece: &mut SeriesRuns,
    counted: &mut u64,
) -> Result<(), ReaderError> {
    let mut is_left = rows.next_piece(piece).await?;
    for making in makings {
        let end = making.window.end;
        let is_inside = |piece: &SeriesRuns| piece.time_span().is_none_or(|(first, _)| first < end);
        if !is_left || !is_inside(piece) {
            continue;
        }
        let mut series = making.series(labels)?;
        let before = *counted;
        while is_left && is_inside(piece) {
            series.push(piece)?;
            *counted = rows.conflicts_so_far();
            is_left = rows.next_piece(piece).await?;
        }
        series.finish()?;
        making.add_conflicts(*counted - before, labels);
    }
    Ok(())
}
