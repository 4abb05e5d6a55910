//! Seeding: history that exists already is brought into the archive, from TSDB blocks or from a Prometheus that runs.
//!
//! Window by window: rows are read in label order, external labels are added as the sender would, and only rows that change what the archive
//! answers are written, uploaded, read back, and made live by one root ([decision 0018](../../docs/decisions/0018-seeding.md)). What the
//! archive holds is found by its rows and digests and not by a list of what was seeded: so a seed that is run again after a crash, a merge, a
//! rollback or with other blocks of the same data adds what is missing and nothing else. It must never remove anything, and never leave out
//! a row without saying so.

mod block_rows;
mod blocks;
mod error;
mod external;
mod from_blocks;
mod from_source;
mod held;
mod lanes;
mod report;
mod rows;
mod target;

pub use blocks::{BlockFound, Found, HeadLeft, find_blocks};
pub use error::SeedError;
pub use external::ExternalLabels;
pub use from_blocks::from_blocks;
pub(crate) use from_source::first_slice;
pub use from_source::{Sieve, SourceSeed, from_source};
pub use report::{SeedReport, Skipped, WindowReport};
pub use target::{Fills, SeedTarget};

#[cfg(test)]
mod tests;
