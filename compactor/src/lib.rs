//! The compactor: it folds the receivers' commit records into numbered roots.
//!
//! Receivers commit each on their own, without meeting anyone. A reader would have to read all their records ever made; so one
//! process now and then writes down what is live as of one moment. Correctness never rests on it: any number may run, or none.
//!
//! It must never delete anything in this version, and never be asked by a reader or a receiver.

pub mod cli;
mod compactor;
mod error;
mod metrics;
mod pause;
mod settings;

pub use compactor::Compactor;
pub use error::CompactorError;
pub use settings::Settings;
