//! The reader: remote read, the metadata API and the export to TSDB blocks, from the archive and the heads of its receivers.
//!
//! It only reads: nothing in the archive or in a receiver changes through it. Its one promise is that no answer is ever silently
//! shorter than what is archived and acknowledged; when it cannot keep that, it fails.

mod api;
mod app;
pub mod cli;
mod conflict_log;
pub mod coverage;
pub mod diff;
mod error;
pub mod export;
mod head;
mod key_config;
mod metrics;
mod pace;
mod remote_read;
pub mod replay;
mod replicas;
mod roster;
mod scan;
mod series_reader;
mod serve;
mod settings;
mod sources;
mod sql_view;
mod tenant;
pub mod verify;

pub use app::Reader;
pub use emberkeep_model::{Selection, SelectorError, parse_selector};
pub use error::ReaderError;
pub use head::{HeadSource, RemoteHead};
pub use metrics::ReaderMetrics;
pub use replicas::ReplicaLabels;
pub use roster::{HeadRoster, ListedHead};
pub use scan::{Conflicts, Families, FamilyFilter, Query, Scan, Seen, SeriesSamples};
pub use series_reader::SeriesReader;
pub use settings::ReaderSettings;
pub use sources::{Look, LookSettings, MissingHeads, PinnedLook, Sources};
