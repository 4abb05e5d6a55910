//! The log as its users see it, on the file system that forgets and on the real one.
//!
//! `crash` is the proof of the promise: a crash at every step, and each class of sync taken out.
#![expect(clippy::unwrap_used, reason = "tests")]

mod crash;
mod damage;
mod faults;
mod files;
mod group;
mod poison;
mod prepared;
mod rig;
mod round_trip;
mod sealed;
mod set_aside;
mod space;
mod survey;
