//! Everything that reads bytes from outside, under mutated inputs: no panic, no memory beyond its bound, no hang.
//!
//! One test for each target; how they are run, and for how long, is in `docs/fuzzing.md`.

#![expect(clippy::unwrap_used, reason = "tests")]

mod against_prost;
mod blocks;
mod canonical;
mod catalog;
mod chunks;
mod crafted_index;
mod logs;
mod material;
mod parts;
mod reading;
mod texts;
mod writing;
