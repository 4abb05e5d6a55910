//! Prometheus' own on-disk formats: chunks, chunk segments, the index and whole blocks; written and read.
//!
//! A block that leaves this crate must be one that a stock Prometheus opens, queries and compacts, so every rule that Prometheus
//! checks only when *it* writes is checked here as well. The crate knows nothing of archives or servers; its I/O is blocking and
//! touches only the paths it is given. Bytes that it reads are never trusted: damage is an error, never a panic.

mod bits;
mod block;
mod bytes;
pub mod chunk;
mod error;
pub mod index;
mod meta;
mod output;
pub mod segment;
mod tombstones;
mod window;

pub use block::{BlockContent, BlockReader, BlockWalk, BlockWriter, SeriesWriter, TEMPORARY_SUFFIX};
pub use chunk::{ChunkMeta, EncodedChunk, Encoding, PrometheusVersion, SAMPLES_PER_CHUNK, SeriesEncoder};
pub use error::TsdbError;
pub use index::SeriesEntry;
pub use meta::{BlockMeta, BlockStats, BucketLabels, Compaction, Parent};
pub use tombstones::Tombstones;
pub use window::{BLOCK_DURATION_MS, windows};
