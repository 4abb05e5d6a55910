//! One block of an export, from the archive to disk and back: scanned, written, read back, compared.
//!
//! It owns all it needs, so that several run at the same time. It must never leave a block under its final name that is not what was
//! meant, and never take more memory than it was given: then it gives up and says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberkeep_archive::ObjectStore;
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Labels, SeriesRuns, TimeRange};
use emberkeep_tsdb::{BlockMeta, BlockReader, BlockWriter, BucketLabels, PrometheusVersion};
use ulid::Ulid;

use super::content::Content;
use super::tally::Tally;
use super::throttle::Throttle;
use super::{StartTimestamps, Verification, memory};
use crate::replicas::{Doubles, MergedScan};
use crate::scan::{Ground, Opened, Scan};
use crate::sources::Look;
use crate::{Conflicts, Query, ReaderError, ReplicaLabels};

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

/// What became of a block.
#[derive(Debug)]
pub(super) enum Made {
    /// There is nothing in the window.
    Nothing,
    /// The window needs more memory; nothing is left on disk. In bytes, as far as it is known.
    TooLarge(u64),
    /// The block is on disk under its name.
    Block(Box<MadeBlock>),
}

/// A block on disk.
#[derive(Debug)]
pub(super) struct MadeBlock {
    pub(super) meta: BlockMeta,
    pub(super) bytes: u64,
    pub(super) content: Content,
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
            Ok(Self::Archived(Box::new(opened.scan_by(rows).await?)))
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

    fn conflicts(&self) -> Conflicts {
        match self {
            Self::Archived(scan) => scan.conflicts().clone(),
            Self::Stripped(scan) => scan.conflicts(),
        }
    }

    /// Bytes that its cursors take at most.
    fn memory(&self, opened: &Opened, memory: u64) -> u64 {
        match self {
            Self::Archived(_) => memory::of_cursors_by(opened.parts(), memory::window_rows(opened.parts(), memory)),
            Self::Stripped(scan) => memory::of_cursors_by(opened.parts().saturating_mul(scan.streams()), 8 * 1024),
        }
    }
}

impl Work {
    /// Makes the block of a window in at most so many bytes of memory.
    ///
    /// # Errors
    /// When something cannot be read or written, or the block that was read back is not what was meant.
    pub(super) async fn make(&self, window: TimeRange, ulid: Ulid, memory: u64) -> Result<Made, ReaderError> {
        let query = Query {
            range: self.query.range.intersect(window),
            ..self.query.clone()
        };
        let ground = Ground::of(&self.store, &self.look);
        let opened = Opened::open(ground, &query, HeadKinds::Samples, usize::MAX).await?;
        let mut rows = Rows::open(self, &opened, memory).await?;
        let of_cursors = rows.memory(&opened, memory);
        let Some(of_index) = memory.checked_sub(of_cursors) else {
            return Ok(Made::TooLarge(of_cursors));
        };
        let path = self.directory.join(ulid.to_string());
        let failed = |error| ReaderError::output(&path, format!("{error}"));
        let mut writer = self.writer(window, ulid).map_err(failed)?;
        let mut meant = Tally::new(self.starts, self.verification);
        let mut piece = SeriesRuns::default();
        let mut paid = 0;
        while let Some(labels) = rows.next_series().await? {
            meant.begin(&labels);
            let mut series = writer.series(&labels).map_err(failed)?;
            while rows.next_piece(&mut piece).await? {
                meant.add(&piece);
                series.push(&piece.samples, &piece.histograms).map_err(failed)?;
            }
            series.finish().map_err(failed)?;
            if let Some(needed) = self.beyond(&writer, of_index, memory) {
                return Ok(Made::TooLarge(needed.saturating_add(of_cursors)));
            }
            let written = writer.written();
            self.throttle.take(written - paid).await;
            paid = written;
        }
        let conflicts = rows.conflicts();
        // Verification has the whole memory.
        drop((rows, opened));
        let chunks = *writer.content();
        if let (Some(target), Some(needed)) = (self.read_by, chunks.readable_since())
            && needed > target
        {
            return Err(ReaderError::output(
                &path,
                format!(
                    "the block would hold chunks that only Prometheus {needed} and newer read, and the target is {target}, which stops at \
                     them: update it, or leave such series out with --match (--ignore version writes the block all the same)"
                ),
            ));
        }
        let Some(meta) = writer.finish().map_err(failed)? else {
            return Ok(Made::Nothing);
        };
        let bytes = match self.check(&path, &meant) {
            Ok(bytes) => bytes,
            Err(why) => {
                // A block that is not what was meant must not stay where a Prometheus would load it.
                std::fs::remove_dir_all(&path).map_err(ReaderError::file(&path))?;
                return Err(ReaderError::output(
                    &path,
                    format!("read back, the block is not what was written: {why}"),
                ));
            }
        };
        let mut content = meant.into_content();
        content.set_chunks(&chunks);
        content.set_conflicts(&conflicts);
        Ok(Made::Block(Box::new(MadeBlock { meta, bytes, content })))
    }

    fn writer(&self, window: TimeRange, ulid: Ulid) -> Result<BlockWriter, emberkeep_tsdb::TsdbError> {
        let mut writer = BlockWriter::create(&self.directory, ulid, window)?;
        if self.starts == StartTimestamps::Kept {
            writer = writer.with_start_timestamps();
        }
        if let Some(bucket) = &self.bucket {
            writer = writer.for_bucket(bucket.clone());
        }
        Ok(writer)
    }

    /// The memory that the index has come to need, when that is too much.
    fn beyond(&self, writer: &BlockWriter, of_index: u64, memory: u64) -> Option<u64> {
        let writing = writer.memory();
        let reading = match self.verification {
            Verification::Full => writer.memory_of_reading(),
            Verification::LeftOut => 0,
        };
        (writing > of_index || reading > memory).then_some(writing.max(reading))
    }

    /// The size of a block, after it was read back and compared.
    fn check(&self, path: &Path, meant: &Tally) -> Result<u64, String> {
        match self.verification {
            Verification::Full => read_back(path, meant, self.starts),
            Verification::LeftOut => size_of(path).map_err(|error| error.to_string()),
        }
    }
}

/// Reads a block with everything it is checked by, and compares it sample by sample with what was meant. Returns its size.
fn read_back(path: &Path, meant: &Tally, starts: StartTimestamps) -> Result<u64, String> {
    let mut reader = BlockReader::open(path).map_err(|error| error.to_string())?;
    let mut found = Tally::new(starts, Verification::Full);
    let stats = reader
        .verify_chunks(|series, position, chunk| {
            if position == 0 {
                found.begin(&series.labels);
            }
            found.add(chunk);
        })
        .map_err(|error| error.to_string())?;
    if (stats.num_series, stats.num_samples) != meant.counts() {
        let (series, samples) = meant.counts();
        return Err(format!(
            "{} series with {} samples instead of {series} with {samples}",
            stats.num_series, stats.num_samples
        ));
    }
    if found.digest() != meant.digest() {
        return Err("its samples differ".to_owned());
    }
    Ok(reader.bytes())
}

/// Bytes of all files of a block.
pub(super) fn size_of(directory: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            size_of(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}
