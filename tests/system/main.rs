//! System tests: the real binaries, real Prometheus, promtool and DuckDB, on loopback addresses.
//!
//! One test binary, so that it is linked once. Peers are built by `tests/peers/build`; a missing one is a failure that says so.

mod adopt;
mod blocks;
mod churn;
mod compaction;
mod compatibility;
mod compliance;
mod corpus;
mod deletion;
mod drill;
mod durability;
mod encryption;
mod exact;
mod gauges;
mod heal;
mod hostile;
mod independent;
mod interceptor;
mod limits;
mod load;
mod middle;
mod minio;
mod minio_kills;
mod minio_path;
mod minio_rights;
mod open_tables;
mod otel;
mod overload;
mod partial;
mod peers;
mod process;
mod prometheus;
mod protocol;
mod replicas;
mod requests;
mod restore_pages;
mod restore_targets;
mod roles;
mod seed;
mod senders;
mod stuck;
mod upgrade;
mod verify;
mod wire;
