//! The directory store behaves as a store in memory does, and keeps what it answered for.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cached;
mod conformance;
mod crashing;

use futures::FutureExt;

/// Outside of a runtime the store does its work right away, so nothing is ever pending.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    work.now_or_never().expect("the store waits for nothing")
}
