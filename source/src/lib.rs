//! A live Prometheus as Emberkeep reads it: its samples by remote read, and what it says of itself.
//!
//! Seeding, comparing and healing ask the same server the same things, so they share one client. Everything that a server
//! answers is checked and bounded, and an answer that was cut off is an error, never a short answer. It must never write to the
//! server, never retry on its own, and never know an archive.

mod client;
mod config;
mod error;
mod flags;
mod frames;
mod own_metrics;
mod read;
mod relabel;
mod sampled;
mod series_stream;
mod settings;
mod status;
mod throttle;

pub use client::Source;
pub use config::{Auth, SourceConfig};
pub use error::SourceError;
pub use flags::SourceFlags;
pub use own_metrics::OwnMetrics;
pub use relabel::{RelabelConfig, RelabelRules, Relabelled};
pub use series_stream::SeriesStream;
pub use settings::{RemoteWrite, SourceSettings};
pub use status::{BuildInfo, HeadStats};
pub use throttle::Throttle;
