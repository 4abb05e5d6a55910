//! What a block is made of, and which Prometheus can read it.
//!
//! Counted while the block is written. Only chunks are counted: samples, series and the like are in the block's description.

use crate::{EncodedChunk, Encoding, PrometheusVersion};

/// Chunks of a block by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockContent {
    /// By encoding, in the order of [`Encoding::ALL`].
    chunks: [u64; Encoding::ALL.len()],
    custom_buckets: u64,
}

impl BlockContent {
    /// Counts a chunk.
    pub fn add(&mut self, chunk: &EncodedChunk<'_>) {
        self.chunks[chunk.encoding as usize - 1] += 1;
        self.custom_buckets += u64::from(chunk.custom_buckets);
    }

    /// Adds what another block holds.
    pub fn merge(&mut self, other: &Self) {
        for (sum, count) in self.chunks.iter_mut().zip(other.chunks) {
            *sum += count;
        }
        self.custom_buckets += other.custom_buckets;
    }

    /// Number of chunks in an encoding.
    #[must_use]
    pub fn chunks(&self, encoding: Encoding) -> u64 {
        self.chunks[encoding as usize - 1]
    }

    /// Number of chunks, among those of histograms, with custom buckets.
    #[must_use]
    pub fn custom_bucket_chunks(&self) -> u64 {
        self.custom_buckets
    }

    /// The encodings that there are chunks of.
    pub fn encodings(&self) -> impl Iterator<Item = Encoding> {
        Encoding::ALL.into_iter().filter(|&encoding| self.chunks(encoding) > 0)
    }

    /// The first Prometheus that reads everything in it; none when it is empty.
    #[must_use]
    pub fn readable_since(&self) -> Option<PrometheusVersion> {
        let custom = (self.custom_buckets > 0).then_some(PrometheusVersion::CUSTOM_BUCKETS);
        self.encodings().map(Encoding::readable_since).chain(custom).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(encoding: Encoding, custom_buckets: bool) -> EncodedChunk<'static> {
        EncodedChunk {
            encoding,
            min_time: 0,
            max_time: 0,
            samples: 1,
            custom_buckets,
            data: &[],
        }
    }

    #[test]
    fn the_newest_kind_decides_who_reads_it() {
        let mut content = BlockContent::default();
        assert_eq!(content.readable_since(), None);
        content.add(&chunk(Encoding::Xor, false));
        content.add(&chunk(Encoding::Histogram, false));
        assert_eq!(content.readable_since(), Some(PrometheusVersion(2, 40)));
        content.add(&chunk(Encoding::Histogram, true));
        assert_eq!(content.readable_since(), Some(PrometheusVersion(2, 54)));
        let mut other = BlockContent::default();
        other.add(&chunk(Encoding::FloatHistogramSt, true));
        content.merge(&other);
        assert_eq!(content.readable_since(), Some(PrometheusVersion(3, 14)));
        assert_eq!(
            (content.chunks(Encoding::Histogram), content.custom_bucket_chunks()),
            (2, 2)
        );
        assert!(
            content
                .encodings()
                .eq([Encoding::Xor, Encoding::Histogram, Encoding::FloatHistogramSt])
        );
    }
}
