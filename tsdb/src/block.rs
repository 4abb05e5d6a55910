//! A block: one directory with index, chunks, tombstones and description (Prometheus: `tsdb/block.go`, `tsdb/blockwriter.go`).
//!
//! ```text
//! <ULID>/meta.json  <ULID>/index  <ULID>/tombstones  <ULID>/chunks/000001 ...
//! ```
//!
//! Prometheus finds a block by the name of its directory and refuses to start on a broken one, so a directory gets its final name
//! only when everything in it is durable.

mod content;
mod reader;
mod series_writer;
mod verify;
mod walk;
mod writer;

pub use content::BlockContent;
pub use reader::BlockReader;
pub use series_writer::SeriesWriter;
pub use walk::BlockWalk;
pub use writer::BlockWriter;

/// What follows the ULID while a block is written. Prometheus deletes such directories when it starts.
pub const TEMPORARY_SUFFIX: &str = ".tmp-for-creation";

const META: &str = "meta.json";
const INDEX: &str = "index";
const TOMBSTONES: &str = "tombstones";
const CHUNKS: &str = "chunks";

/// A tombstone file without entries: magic number, version 1, and the CRC-32C of nothing. Prometheus writes it into every block.
const NO_TOMBSTONES: [u8; 9] = [0x01, 0x30, 0xBA, 0x30, 1, 0, 0, 0, 0];
