//! Drills: a random piece of the archive is restored as a user would restore it, so that it is known every day that it can be.
//!
//! A drill runs the real commands as child processes (`reader export-tsdb`, `reader verify`, `reader diff`) and, when it is given one, a real
//! Prometheus on the blocks: what is proven is the way that is taken on the worst day, not a shortcut through this process. Children
//! give way to everything else, have bounds of time and size, and nothing of them stays behind. A drill must never write to the
//! archive but its pin and its result, and never take silence for proof.

mod child;
mod choice;
mod error;
mod leftovers;
mod metrics;
mod peer;
mod program;
mod report;
mod run;
mod sample;
mod schedule;
mod scratch;
mod settings;
mod steps;
mod windows;

#[cfg(test)]
mod tests;

pub use error::DrillError;
pub use metrics::DrillMetrics;
pub use report::{DrillReport, PrometheusProof, SourceProof, Step};
pub use run::{Drill, FailedFiles, Wish};
pub use schedule::Schedule;
pub use settings::{DrillSettings, LiveSource, archive_arguments};
