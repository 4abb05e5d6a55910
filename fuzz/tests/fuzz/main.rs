//! Everything that reads bytes from outside, under mutated inputs: no panic, no memory beyond its bound, no hang.
//!
//! One test for each target; how they are run, and for how long, is in `docs/fuzzing.md`.

#![expect(clippy::unwrap_used, reason = "tests")]

mod against_prost;
mod canonical;
mod material;
mod reading;
mod writing;
