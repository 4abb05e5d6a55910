//! Writes one series of a block, fed in pieces.
//!
//! Its chunks go to disk at once, so a series that is given up half-way leaves chunks that belong to none: the block is lost then.

use emberkeep_model::{HistogramRun, Labels, Run};

use super::{BlockContent, BlockWriter};
use crate::chunk::EncodedChunk;
use crate::segment::SegmentWriter;
use crate::{ChunkMeta, TsdbError};

/// A series under construction, fed in pieces. When it is dropped unfinished, the block must be given up unless it got nothing yet.
#[derive(Debug)]
pub struct SeriesWriter<'a> {
    block: &'a mut BlockWriter,
    labels: &'a Labels,
    floats: u64,
    histograms: u64,
    span: Option<(i64, i64)>,
}

impl<'a> SeriesWriter<'a> {
    pub(super) fn new(block: &'a mut BlockWriter, labels: &'a Labels) -> Self {
        Self {
            block,
            labels,
            floats: 0,
            histograms: 0,
            span: None,
        }
    }

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
    let (many, few) = if left.len() > right.len() {
        (left, right)
    } else {
        (right, left)
    };
    few.iter().any(|time| many.binary_search(time).is_ok())
}
