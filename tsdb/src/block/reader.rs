//! Reads one block, whole series or chunk by chunk.
//!
//! Reads what Prometheus up to 3.14 writes: all six encodings, deleted samples left out. Chunks of a series that overlap, or whose
//! samples lie outside the time that the index gives them, are damage; so the memory that a series takes is bounded by its chunks.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use emberkeep_model::{ResetHint, SeriesRuns};
use ulid::Ulid;

use super::{CHUNKS, INDEX, META, TOMBSTONES};
use crate::error::{corrupt, io_error};
use crate::index::{IndexReader, SeriesEntry};
use crate::segment::SegmentReader;
use crate::tombstones::Tombstones;
use crate::{BlockMeta, ChunkMeta, TsdbError, chunk};

/// An open block.
#[derive(Debug)]
pub struct BlockReader {
    pub(super) directory: PathBuf,
    pub(super) meta: BlockMeta,
    pub(super) index: IndexReader,
    segments: SegmentReader,
    pub(super) tombstones: Tombstones,
    other_bytes: u64,
}

impl BlockReader {
    /// Opens the block in a directory; the index is held in memory, chunks are read when asked for.
    ///
    /// # Errors
    /// [`TsdbError::Io`], [`TsdbError::Corrupt`], [`TsdbError::Unsupported`] for other versions.
    pub fn open(directory: &Path) -> Result<Self, TsdbError> {
        let meta_path = directory.join(META);
        let meta = BlockMeta::read(&meta_path)?;
        let named = directory
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| Ulid::from_string(name).ok());
        if named.is_some_and(|ulid| ulid != meta.ulid) {
            // Prometheus finds blocks by directory and deletes them by ULID.
            let what = format!("its ULID {} is not the name of the directory", meta.ulid);
            return Err(corrupt(|| format!("`{}`", meta_path.display()))(what));
        }
        let (tombstones, tombstone_bytes) = Tombstones::read(&directory.join(TOMBSTONES))?;
        let index = IndexReader::open(&directory.join(INDEX))?;
        let segments = SegmentReader::open(&directory.join(CHUNKS))?;
        let meta_bytes = fs::metadata(&meta_path).map_err(io_error("look at", &meta_path))?.len();
        Ok(Self {
            directory: directory.to_owned(),
            meta,
            index,
            segments,
            tombstones,
            other_bytes: meta_bytes + tombstone_bytes,
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the block says of itself.
    #[must_use]
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Its index.
    #[must_use]
    pub fn index(&self) -> &IndexReader {
        &self.index
    }

    /// What was deleted from it; what the samples are read by leaves it out already.
    #[must_use]
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// Bytes of all its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.index.bytes() + self.segments.bytes() + self.other_bytes
    }

    /// Number of series.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.index.ids().len()
    }

    /// Labels and chunks of the series at a position in label order.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`].
    ///
    /// # Panics
    /// When the position is not below [`BlockReader::series_count`].
    pub fn series(&self, position: usize) -> Result<SeriesEntry, TsdbError> {
        self.index.series(self.index.ids()[position])
    }

    /// Appends what is left of one chunk of a series to `runs`: floats or histograms, never both.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`], also when the samples do not rise or lie outside the time that the index says; `runs` is then of no
    /// use. [`TsdbError::Unsupported`] for unknown encodings, [`TsdbError::Io`].
    pub fn chunk_samples(
        &mut self,
        series: &SeriesEntry,
        chunk: &ChunkMeta,
        runs: &mut SeriesRuns,
    ) -> Result<(), TsdbError> {
        let deleted = self.tombstones.of_series(series.id);
        if deleted.iter().any(|deleted| overlaps(deleted, chunk)) {
            let deleted = deleted.to_vec();
            let mut whole = SeriesRuns::default();
            self.stored_samples(chunk, &mut whole)?;
            append_kept(&whole, &deleted, runs);
            Ok(())
        } else {
            self.stored_samples(chunk, runs)
        }
    }

    /// As [`BlockReader::chunk_samples`], with what was deleted.
    pub(super) fn stored_samples(&mut self, chunk: &ChunkMeta, runs: &mut SeriesRuns) -> Result<(), TsdbError> {
        let (floats, histograms) = (runs.samples.len(), runs.histograms.len());
        let place = || format!("chunk {:#x} of `{}`", chunk.reference, self.directory.display());
        let (encoding, data) = self.segments.chunk(chunk.reference)?;
        chunk::decode(encoding, data, &mut runs.samples, &mut runs.histograms).map_err(|error| match error {
            TsdbError::Corrupt { what, .. } => corrupt(place)(what),
            other => other,
        })?;
        for times in [
            &runs.samples.timestamps[floats..],
            &runs.histograms.timestamps()[histograms..],
        ] {
            let inside = times.first().is_none_or(|&first| first >= chunk.min_time)
                && times.last().is_none_or(|&last| last <= chunk.max_time);
            if !inside || !times.is_sorted_by(|a, b| a < b) {
                return Err(corrupt(place)(
                    "its samples are out of order or outside the time that the index says",
                ));
            }
        }
        Ok(())
    }

    /// All samples of a series, in place of what `runs` held. A caller that cannot hold a series of any length takes its chunks one
    /// by one.
    ///
    /// # Errors
    /// As [`BlockReader::chunk_samples`].
    pub fn samples(&mut self, series: &SeriesEntry, runs: &mut SeriesRuns) -> Result<(), TsdbError> {
        runs.clear();
        series
            .chunks
            .iter()
            .try_for_each(|chunk| self.chunk_samples(series, chunk, runs))
    }
}

fn overlaps(deleted: &RangeInclusive<i64>, chunk: &ChunkMeta) -> bool {
    *deleted.start() <= chunk.max_time && *deleted.end() >= chunk.min_time
}

/// Appends the rows of a chunk that were not deleted.
///
/// The first histogram that is left knows nothing of the one before it any more: between them may have been the reset that cut the
/// chunks. Within a chunk there is none, whatever was deleted.
pub(super) fn append_kept(chunk: &SeriesRuns, deleted: &[RangeInclusive<i64>], runs: &mut SeriesRuns) {
    let kept = |time: i64| {
        let next = deleted.partition_point(|deleted| *deleted.end() < time);
        deleted.get(next).is_none_or(|deleted| !deleted.contains(&time))
    };
    for sample in chunk.samples.iter().filter(|sample| kept(sample.timestamp)) {
        runs.samples.push(sample);
    }
    let mut first = true;
    for row in chunk.histograms.iter().filter(|row| kept(row.timestamp)) {
        let mut histogram = row.histogram();
        if first && histogram.reset_hint == ResetHint::NotReset {
            histogram.reset_hint = ResetHint::Unknown;
            runs.histograms.push(row.timestamp, row.start_timestamp, &histogram);
        } else {
            runs.histograms.push_row(row);
        }
        first = false;
    }
}
