//! The catalog: what is live in the bucket (DESIGN §5).
//!
//! Receivers append commit records to their own numbered logs, one committer folds them into numbered roots, and everybody else
//! reads the newest root and the records above its watermarks. The only operation on which anything rests is the creation of a
//! numbered object; nothing is ever overwritten.

mod commit;
mod commit_record;
mod entry;
mod epoch;
mod fold;
mod format;
mod load;
mod root;
mod view;

#[cfg(test)]
pub(crate) mod tests;

pub use commit::{Committed, NextSequence, commit, next_sequence};
pub use commit_record::{CommitRecord, WalRange};
pub use entry::{FileEntry, PartEntry};
#[cfg(test)]
pub(crate) use epoch::EpochClaim;
pub use epoch::claim_epoch;
pub use fold::fold;
pub use format::Format;
pub use root::{Root, Watermark};
pub use view::{Catalog, CatalogView};
