//! HA pairs: the series of replicas, which differ in their replica labels alone, as one series (`--dedup.replica-label`).
//!
//! What is archived stays two sources; they are merged while they are read, when that is asked for. The replica labels are
//! taken off, series that are equal then are one, and of their samples one replica's are given until it has a gap
//! ([`merge`]). Values are given as they are: no sample is made up, moved or adjusted. It must never mix replicas sample by
//! sample, which would change the scrape rate, and never give series out of the order of their final labels.

mod cursor;
mod exemplar_union;
mod merge;
mod merged_scan;
mod plan;
mod replica_labels;
mod requested;
mod sample_union;

pub(crate) use self::merged_scan::MergedScan;
pub use self::replica_labels::ReplicaLabels;
pub(crate) use self::sample_union::Doubles;
