//! The catalog: what is live in the bucket (DESIGN §5).
//!
//! Receivers append commit records to their own numbered logs, one committer folds them into numbered roots, and everybody else
//! reads the newest root and the records above its watermarks. The only operation on which anything rests is the creation of a
//! numbered object; nothing is ever overwritten, but by the same content under another key.

mod change;
mod collect;
mod commit;
mod commit_record;
mod condemned;
mod deletion_record;
mod entry;
mod epoch;
mod fold;
mod format;
mod history;
mod integrity;
mod key_use;
mod live;
mod load;
mod lock;
mod manifest;
mod mask;
mod orphans;
mod pin;
mod rebuild;
mod root;
mod undo;
mod view;

#[cfg(test)]
pub(crate) mod tests;

pub use change::{Change, apply};
pub use collect::{CollectSettings, Collected, collect};
pub use commit::{Committed, NextSequence, commit, next_sequence};
pub use commit_record::{CommitRecord, WalRange};
pub use condemned::{CondemnedEntry, CondemnedList, Removal};
pub use deletion_record::{DeletionRecord, HiddenRows};
pub use entry::{FileEntry, PartEntry};
#[cfg(test)]
pub(crate) use epoch::EpochClaim;
pub use epoch::claim_epoch;
pub use fold::fold;
pub use format::{FirstKey, Format};
pub use history::RetainedRoot;
pub use integrity::Salvage;
pub use key_use::{KeyUse, KeyedObject, ObjectPlace, RemovedPart};
pub use live::Live;
pub use lock::Lock;
#[cfg(test)]
pub(crate) use manifest::Manifest;
pub use manifest::ManifestEntry;
pub use mask::{CompiledMask, Mask, MatcherText, hides_metadata};
pub use orphans::{Orphans, condemn_orphans, find_orphans, forget_locks, forget_masks};
pub use pin::{HeldPin, Pin};
pub use rebuild::Rebuild;
pub use root::{Quarantined, Root, Watermark};
pub use undo::{Undone, rollback};
pub use view::{Catalog, CatalogView};
