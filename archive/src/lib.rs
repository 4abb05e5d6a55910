//! What lies in the bucket: names, parts (Parquet), commit records, roots, and the stores themselves.
//!
//! The only crate that names `parquet`, `arrow` and `object_store`, so that the rest of the program speaks of parts, records
//! and views. The catalog is built on one primitive, the creation of an object that must not exist yet, which every store has.
//! Nothing here may believe an ambiguous answer of a store, overwrite an object that another process could read, or panic on
//! bytes that came from the outside.

pub mod catalog;
mod checksum;
mod counting;
mod create;
#[cfg(feature = "open-tables")]
pub mod delta_table;
pub mod digest;
mod directory_store;
mod download;
mod drill;
mod envelope;
mod error;
mod keys;
mod local_file;
pub mod names;
mod newest;
pub mod part;
mod scrub;
pub mod sql;
mod store;
mod store_check;
mod upload;

pub use catalog::{
    Catalog, CatalogView, Change, CollectSettings, Collected, CommitRecord, Committed, CompiledMask, CondemnedEntry,
    CondemnedList, FileEntry, FirstKey, Format, HeldPin, Live, Lock, ManifestEntry, Mask, MatcherText, NextSequence,
    PartEntry, Pin, Quarantined, Removal, RetainedRoot, Root, Salvage, Undone, WalRange, Watermark, apply, claim_epoch,
    collect, commit, fold, next_sequence, rollback,
};
pub use catalog::{
    DeletionRecord, HiddenRows, KeyUse, KeyedObject, ObjectPlace, Orphans, Rebuild, RemovedPart, condemn_orphans,
    find_orphans, forget_locks, forget_masks,
};
pub use checksum::{Checksummed, crc32c};
pub use counting::{CountingStore, StoreOperation, StoreTraffic};
pub use create::{Created, fresh_nonce, put_create};
pub use directory_store::DirectoryStore;
pub use download::download;
pub use drill::{DrillOutcome, DrillRecord, DrillState};
pub use envelope::{CatalogObject, open_envelope, seal_envelope};
pub use error::ArchiveError;
pub use keys::{
    DerivedKey, KEY_BYTES, KeyError, KeyPlace, KeyPurpose, KeySource, KeyStamp, KeyedStore, Keys, NONCE_BYTES,
    STAMP_BYTES_MAX, TAG_BYTES, is_key_id, object_key, open_object, part_key, reseal, seal_object,
};
pub use names::FileKind;
pub use object_store::ObjectStore;
pub use object_store::path::Path as ObjectPath;
pub use part::{
    AheadBytes, Compaction, DescribedFile, FamilyCursor, FamilyMetadata, FileSummary, KeptParts, LabelTranslation,
    MetadataCursor, PartInfo, PartOrigin, PartReader, PartScan, PartSettings, PartSummary, PartWriter, RunSlice,
    ScanKinds, ScanQuery, SeriesMetadata, SeriesRows, TenantSummary, TimeSpan, file_stamp, part_number,
};
pub use scrub::{ScrubState, check_file};
pub use store::StoreConfig;
pub use store_check::{StoreCheckError, StoreFinding, check_store};
pub use ulid::Ulid;
pub use upload::{upload, upload_file};
