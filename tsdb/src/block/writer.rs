//! Writes one block from series in label order, each whole or in pieces.
//!
//! Chunks stream to disk as they come; what is held in memory is the index' bound (symbols, label pairs, 4 bytes per posting), never
//! samples. A crash before the rename leaves a directory that Prometheus ignores and deletes, a crash after it a whole block; the
//! last sync only decides which of the two. A writer that is dropped removes its directory.

use std::fs;
use std::path::{Path, PathBuf};

use emberkeep_model::{Labels, SeriesRuns, TimeRange};
use ulid::Ulid;

use super::{BlockContent, CHUNKS, INDEX, META, NO_TOMBSTONES, SeriesWriter, TEMPORARY_SUFFIX, TOMBSTONES};
use crate::chunk::SeriesEncoder;
use crate::error::io_error;
use crate::index::IndexWriter;
use crate::meta::{self, BucketMeta};
use crate::output::{Output, sync_directory};
use crate::segment::{SEGMENT_BYTES, SegmentWriter};
use crate::{BlockMeta, BlockStats, BucketLabels, ChunkMeta, TsdbError};

/// A block under construction.
#[derive(Debug)]
pub struct BlockWriter {
    directory: UnfinishedDirectory,
    output: PathBuf,
    ulid: Ulid,
    pub(super) range: TimeRange,
    pub(super) segments: SegmentWriter,
    pub(super) index: IndexWriter,
    pub(super) encoder: SeriesEncoder,
    pub(super) stats: BlockStats,
    pub(super) content: BlockContent,
    /// First and last timestamp.
    pub(super) span: Option<(i64, i64)>,
    /// An error struck in the middle of a series; what is on disk can no longer become a block.
    pub(super) broken: bool,
    pub(super) chunks: Vec<ChunkMeta>,
    bucket: Option<BucketLabels>,
}

impl BlockWriter {
    /// Creates `<output>/<ULID>.tmp-for-creation/` for samples inside `range`, one aligned window.
    ///
    /// # Errors
    /// [`TsdbError::Exists`] when there is a block or a temporary directory of that name, [`TsdbError::Io`].
    pub fn create(output: &Path, ulid: Ulid, range: TimeRange) -> Result<Self, TsdbError> {
        let finished = output.join(ulid.to_string());
        let path = output.join(format!("{ulid}{TEMPORARY_SUFFIX}"));
        for taken in [&finished, &path] {
            if fs::exists(taken).map_err(io_error("look at", taken))? {
                return Err(TsdbError::Exists(taken.clone()));
            }
        }
        fs::create_dir(&path).map_err(io_error("create directory", &path))?;
        let directory = UnfinishedDirectory {
            path: Some(path.clone()),
        };
        Ok(Self {
            segments: SegmentWriter::create(&path.join(CHUNKS), SEGMENT_BYTES)?,
            index: IndexWriter::create(&path.join(INDEX))?,
            directory,
            output: output.to_owned(),
            ulid,
            range,
            encoder: SeriesEncoder::new(),
            stats: BlockStats::default(),
            content: BlockContent::default(),
            span: None,
            broken: false,
            chunks: Vec::new(),
            bucket: None,
        })
    }

    /// Keeps start timestamps from here on, in encodings that only Prometheus 3.11 (floats) and 3.14 (histograms) read; used for
    /// chunks that have any.
    #[must_use]
    pub fn with_start_timestamps(mut self) -> Self {
        self.encoder = SeriesEncoder::with_start_timestamps();
        self
    }

    /// Makes a block for the bucket of Thanos or Mimir: its description has the section that they ask for, and there is no file for
    /// tombstones, which they do not keep.
    #[must_use]
    pub fn for_bucket(mut self, bucket: BucketLabels) -> Self {
        self.bucket = Some(bucket);
        self
    }

    /// Bytes of memory that the block needs until it is finished, the last step included; nothing of it is given back before.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.index.memory()
    }

    /// Bytes of memory that reading the block whole will need, as [`BlockReader::verify_chunks`](crate::BlockReader::verify_chunks)
    /// does.
    #[must_use]
    pub fn memory_of_reading(&self) -> u64 {
        self.index.memory_of_reading()
    }

    /// Bytes on disk so far, the file in which the entries of the index wait included.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.segments.written() + self.index.written()
    }

    /// What the block holds so far.
    #[must_use]
    pub fn content(&self) -> &BlockContent {
        &self.content
    }

    /// Adds the next series, in strictly rising label order, with all its settled floats and histograms. Exemplars are left out:
    /// a block has no place for them. Without floats and histograms the series is not in the block.
    ///
    /// # Errors
    /// [`TsdbError::Refused`] for a series or samples that may not come here; the block can go on without them. After any other
    /// error it must be given up.
    pub fn push(&mut self, labels: &Labels, runs: &SeriesRuns) -> Result<(), TsdbError> {
        let mut series = self.series(labels)?;
        series.push(&runs.samples, &runs.histograms)?;
        series.finish()
    }

    /// Begins the next series, in strictly rising label order.
    ///
    /// # Errors
    /// [`TsdbError::Refused`] for labels that may not come here; the block can go on without them.
    pub fn series<'a>(&'a mut self, labels: &'a Labels) -> Result<SeriesWriter<'a>, TsdbError> {
        self.check_usable()?;
        self.index.check_order(labels)?;
        self.encoder.clear();
        self.chunks.clear();
        Ok(SeriesWriter::new(self, labels))
    }

    /// Writes what is left, makes everything durable and gives the directory its final name. Without any series there is no block:
    /// nothing is left on disk and the answer is none.
    ///
    /// # Errors
    /// [`TsdbError::Io`], [`TsdbError::TooLarge`], [`TsdbError::Refused`] after an earlier error; nothing is left on disk then,
    /// unless the very last step failed, the sync of the output directory: the block is whole, but a power cut may take it back.
    pub fn finish(self) -> Result<Option<BlockMeta>, TsdbError> {
        self.check_usable()?;
        let Some((first, last)) = self.span else {
            return Ok(None);
        };
        let path = self.directory.path();
        self.segments.finish()?;
        self.index.finish()?;
        if self.bucket.is_none() {
            let mut tombstones = Output::create(&path.join(TOMBSTONES))?;
            tombstones.put(&NO_TOMBSTONES)?;
            tombstones.finish()?;
        }
        // The range excludes its end, so the last timestamp is never the last `i64`.
        let meta = BlockMeta::fresh(self.ulid, first, last + 1, self.stats);
        match &self.bucket {
            Some(bucket) => meta::write(&BucketMeta::new(&meta, bucket, path, CHUNKS, INDEX)?, &path.join(META))?,
            None => meta::write(&meta, &path.join(META))?,
        }
        sync_directory(path)?;
        self.directory.rename(&self.output.join(self.ulid.to_string()))?;
        sync_directory(&self.output)?;
        Ok(Some(meta))
    }

    fn check_usable(&self) -> Result<(), TsdbError> {
        if self.broken {
            Err(TsdbError::Refused("an earlier error broke the block".to_owned()))
        } else {
            Ok(())
        }
    }
}

/// A directory that is removed with all it holds unless it is renamed.
#[derive(Debug)]
struct UnfinishedDirectory {
    path: Option<PathBuf>,
}

impl UnfinishedDirectory {
    fn path(&self) -> &Path {
        self.path
            .as_deref()
            .expect("only a renamed directory has no path, and renaming consumes it")
    }

    fn rename(mut self, to: &Path) -> Result<(), TsdbError> {
        fs::rename(self.path(), to).map_err(io_error("rename to", to))?;
        self.path = None;
        Ok(())
    }
}

impl Drop for UnfinishedDirectory {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Whoever gave up the block has an error to report already; what stays is ignored by Prometheus.
            let _ = fs::remove_dir_all(path);
        }
    }
}
