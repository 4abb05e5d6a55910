//! The compactor: it folds the receivers' commit records into numbered roots, and keeps what lies in the archive in good order.
//!
//! Receivers commit each on their own, without meeting anyone. A reader would have to read all their records ever made; so one
//! process now and then writes down what is live as of one moment, merges small parts into large ones, and removes what is to go.
//! Correctness never rests on it: any number may run, or none.
//!
//! It must never delete what no root condemned, and never be asked by a reader or a receiver.

pub mod cli;
mod compactor;
pub mod deletion;
pub mod drill;
mod error;
#[cfg(test)]
mod fixture;
pub mod guard;
pub mod heal;
mod job_result;
mod keeping;
mod key_config;
#[cfg(test)]
mod keyless;
pub mod locks;
pub mod merge;
mod merger;
mod metrics;
pub mod orphans;
mod pause;
mod plan;
pub mod publish;
pub mod quota;
#[cfg(test)]
mod races;
pub mod rebuild;
pub mod rekey;
pub mod retention;
pub mod scrub;
pub mod seed;
mod settings;
pub mod status;
pub mod undo;
mod upkeep;
mod upkeep_metrics;

pub use compactor::Compactor;
pub use error::CompactorError;
pub use job_result::{JobResult, Landed, commit_results};
pub use keeping::{KeepingMetrics, KeepingSettings, Tables};
pub use merger::{JobError, Merger, MergerSettings};
pub use plan::{Job, JobKind, JobWindow, PlanSettings};
pub use settings::Settings;
pub use upkeep::{Pass, Upkeep, UpkeepSettings};
pub use upkeep_metrics::UpkeepMetrics;
