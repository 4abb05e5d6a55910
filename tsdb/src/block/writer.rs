//! Writes one block from series in label order, each whole or in pieces.
//!
//! Chunks stream to disk as they come; what is held in memory is the index' bound (symbols, label pairs, 4 bytes per posting), never
//! samples. A crash before the rename leaves a directory that Prometheus ignores and deletes, a crash after it a whole block; the
//! last sync only decides which of the two. A writer that is dropped removes its directory.

use std::fs;
use std::path::{Path, PathBuf};

use emberkeep_model::{HistogramRun, Labels, Run, SeriesRuns, TimeRange};
use ulid::Ulid;

use super::{BlockContent, CHUNKS, INDEX, META, NO_TOMBSTONES, TEMPORARY_SUFFIX, TOMBSTONES};
use crate::chunk::{EncodedChunk, SeriesEncoder};
use crate::error::io_error;
use crate::index::IndexWriter;
use crate::output::{Output, sync_directory};
use crate::segment::{SEGMENT_BYTES, SegmentWriter};
use crate::{BlockMeta, BlockStats, ChunkMeta, TsdbError};

/// A block under construction.
#[derive(Debug)]
pub struct BlockWriter {
    directory: UnfinishedDirectory,
    output: PathBuf,
    ulid: Ulid,
    range: TimeRange,
    segments: SegmentWriter,
    index: IndexWriter,
    encoder: SeriesEncoder,
    stats: BlockStats,
    content: BlockContent,
    /// First and last timestamp.
    span: Option<(i64, i64)>,
    /// An error struck in the middle of a series; what is on disk can no longer become a block.
    broken: bool,
    chunks: Vec<ChunkMeta>,
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
            encoder: SeriesEncoder::new(false),
            stats: BlockStats::default(),
            content: BlockContent::default(),
            span: None,
            broken: false,
            chunks: Vec::new(),
        })
    }

    /// Keeps start timestamps from here on, in encodings that only Prometheus 3.11 (floats) and 3.14 (histograms) read; used for
    /// chunks that have any.
    #[must_use]
    pub fn with_start_timestamps(mut self) -> Self {
        self.encoder = SeriesEncoder::new(true);
        self
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
        Ok(SeriesWriter {
            block: self,
            labels,
            floats: 0,
            histograms: 0,
            span: None,
        })
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
        let mut tombstones = Output::create(&path.join(TOMBSTONES))?;
        tombstones.put(&NO_TOMBSTONES)?;
        tombstones.finish()?;
        // The range excludes its end, so the last timestamp is never the last `i64`.
        let meta = BlockMeta::fresh(self.ulid, first, last + 1, self.stats);
        meta.write(&path.join(META))?;
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

/// A series under construction, fed in pieces. When it is dropped unfinished, the block must be given up unless it got nothing yet.
#[derive(Debug)]
pub struct SeriesWriter<'a> {
    block: &'a mut BlockWriter,
    labels: &'a Labels,
    floats: u64,
    histograms: u64,
    span: Option<(i64, i64)>,
}

impl SeriesWriter<'_> {
    /// Adds the next piece: settled floats and histograms, all newer than those before.
    ///
    /// # Errors
    /// [`TsdbError::Refused`] for samples that may not come here; nothing of the piece is added. If it is the first piece, the block
    /// can go on without the series. After any other error the block must be given up.
    pub fn push(&mut self, samples: &Run, histograms: &HistogramRun) -> Result<(), TsdbError> {
        let Some((first, last)) = self.checked_span(samples, histograms)? else {
            return Ok(());
        };
        // Until the series is whole: what is on disk belongs to no series yet.
        self.block.broken = true;
        let BlockWriter {
            encoder,
            segments,
            chunks,
            content,
            ..
        } = &mut *self.block;
        encoder.push(samples, histograms, |chunk| store(chunk, segments, chunks, content))?;
        self.floats += samples.len() as u64;
        self.histograms += histograms.len() as u64;
        self.span = Some((self.span.map_or(first, |(min, _)| min), last));
        Ok(())
    }

    /// Ends the series. Without samples it is not in the block.
    ///
    /// # Errors
    /// [`TsdbError::Io`], [`TsdbError::TooLarge`]; the block must be given up.
    pub fn finish(self) -> Result<(), TsdbError> {
        let Some((first, last)) = self.span else {
            return Ok(());
        };
        let BlockWriter {
            encoder,
            segments,
            chunks,
            content,
            ..
        } = &mut *self.block;
        encoder.finish(|chunk| store(chunk, segments, chunks, content))?;
        let block = self.block;
        block.index.push(self.labels, &block.chunks)?;
        block.broken = false;
        block.span = Some(
            block
                .span
                .map_or((first, last), |(min, max)| (min.min(first), max.max(last))),
        );
        block.stats.num_series += 1;
        block.stats.num_chunks += block.chunks.len() as u64;
        block.stats.num_samples += self.floats + self.histograms;
        block.stats.num_float_samples += self.floats;
        block.stats.num_histogram_samples += self.histograms;
        Ok(())
    }

    /// Oldest and newest timestamp of a piece, when it may come here.
    fn checked_span(&self, samples: &Run, histograms: &HistogramRun) -> Result<Option<(i64, i64)>, TsdbError> {
        let refused = |what: &str| Err(TsdbError::Refused(format!("series `{}`: {what}", self.labels)));
        if !samples.is_settled() || !histograms.is_settled() {
            return refused("its timestamps do not rise strictly");
        }
        if share_a_timestamp(&samples.timestamps, histograms.timestamps()) {
            return refused("a float and a histogram have the same timestamp");
        }
        let ends = |times: &[i64]| Some((*times.first()?, *times.last()?));
        let span = match (ends(&samples.timestamps), ends(histograms.timestamps())) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        if let Some((first, last)) = span {
            if self.span.is_some_and(|(_, before)| first <= before) {
                return refused("its pieces overlap");
            }
            if !self.block.range.contains(first) || !self.block.range.contains(last) {
                return refused("a sample lies outside the block's window");
            }
        }
        Ok(span)
    }
}

/// Writes a chunk and notes where it is.
fn store(
    chunk: EncodedChunk<'_>,
    segments: &mut SegmentWriter,
    chunks: &mut Vec<ChunkMeta>,
    content: &mut BlockContent,
) -> Result<(), TsdbError> {
    let reference = segments.append(chunk.encoding, chunk.data)?;
    chunks.push(ChunkMeta {
        min_time: chunk.min_time,
        max_time: chunk.max_time,
        reference,
    });
    content.add(&chunk);
    Ok(())
}

/// Whether two strictly rising lists have an element in common.
fn share_a_timestamp(left: &[i64], right: &[i64]) -> bool {
    let (many, few) = if left.len() > right.len() { (left, right) } else { (right, left) };
    few.iter().any(|time| many.binary_search(time).is_ok())
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
