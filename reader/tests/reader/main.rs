//! The reader against archives that are really written, and a naive model of what it must answer.

#![expect(clippy::unwrap_used, reason = "tests")]

mod answers;
mod api;
mod bits;
mod coverage;
mod export;
mod heads;
mod histograms;
mod limits;
mod looks;
mod masks;
mod model;
mod remote_read;
mod replay;
mod replicas;
mod scan;
mod support;
mod verify;
