//! Everything against Prometheus' own code: what it wrote is read, what is written it reads, and both judge histograms alike.
//!
//! The files of `testdata/golden` come from the Go programs in `testdata/generate` (Prometheus 3.14) and `testdata/generate-2.42`.
//! The first of them is also built and run here, so `go` must be on the path, and the module proxy in reach for the first time.

#![expect(clippy::unwrap_used, reason = "tests")]

mod blocks;
mod chunks;
mod generated;
mod judged;
mod oracle;
mod rows;
mod written;
