//! What Emberkeep says and hears over the network, as bytes: remote write 1.0 and 2.0, remote read, head read.
//!
//! Pure functions over bytes that someone else reads and sends. This crate must never do I/O, never depend on another crate of the
//! workspace, and never panic or allocate without a bound because of bytes from outside.

mod error;
mod fields;
mod sample;
mod shape;
mod wire;

pub mod content;
pub mod frame;
pub mod head;
pub mod histogram;
pub mod messages;
pub mod read;
pub mod snappy;
pub mod write_v1;
pub mod write_v2;

pub use error::WireError;
pub use sample::{Sample, SampleColumns};
