//! System tests: the real binaries, real Prometheus, promtool and DuckDB, on loopback addresses.
//!
//! One test binary, so that it is linked once. Peers are built by `tests/peers/build`; a missing one is a failure that says so.

mod corpus;
mod durability;
mod hostile;
mod peers;
mod process;
mod prometheus;
mod protocol;
mod roles;
mod wire;
