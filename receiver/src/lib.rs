//! The receiver: remote write to write-ahead log to head to parts.
//!
//! Read `ingest` for the way of a request, `flusher` and `committer` for the way of what was acknowledged into the archive.
//! It must never acknowledge what is not durable, and never import the compactor or the reader: commit records, parts and the head's
//! read endpoint are the interface.

mod admission;
mod adopt;
mod batch;
mod buffers;
pub mod cli;
mod clock_rule;
mod committer;
mod error;
mod flush;
mod flusher;
mod generations;
mod head_endpoint;
mod head_read;
mod http;
mod identity;
mod ingest;
mod intake;
mod key_config;
mod limits;
mod log_keys;
mod metrics;
mod plan;
mod poison;
mod receiver;
mod replay;
mod replay_state;
mod series_table;
mod settings;
mod sources;
mod staging;
mod status;

pub use adopt::{AdoptFlags, Adoption, adopt};
pub use error::ReceiverError;
pub use ingest::Pause;
pub use limits::Limits;
pub use receiver::{Components, Receiver};
pub use settings::Settings;
