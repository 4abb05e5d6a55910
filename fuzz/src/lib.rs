//! Fuzzing on stable Rust: mutates real inputs, and fails on a panic, on memory beyond a stated bound and on a hang.
//!
//! Drawn in `docs/fuzzing.md`. The targets are the tests of this crate; here is only what drives them. It must never know what an
//! input means, and never depend on anything but the standard library, so that a run can be repeated anywhere from its seed.

mod dice;
mod input;
mod meter;
mod mutation;
mod settings;
mod shrink;
mod target;
mod trial;
mod watchdog;

pub use dice::Dice;
pub use input::Input;
pub use target::{Bound, Target};
