//! Staged parts: flushed, durable on local disk, not yet in the catalog.
//!
//! A staged part is a directory `<wal id>-<from>-<to>` with the part's files and `manifest.json`. It is written under a `.tmp` name,
//! every file and the directory are synced, and the rename (synced too) is the moment from which it *replaces* its segments: a start
//! resumes it and never replays them. Crash windows: before the rename there is only a `.tmp` directory, which is removed, and the
//! segments; after it, the manifest says which segments to remove. This module must never remove a segment itself.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberkeep_archive::{
    CatalogObject, Keys, PartEntry, WalRange, open_envelope, open_object, seal_envelope, seal_object,
};
use emberkeep_disk::{FileSystem, read_to_vec};
use serde::{Deserialize, Serialize};

use crate::error::ReceiverError;

const MANIFEST: &str = "manifest.json";
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// What is said of a staged part beside its files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// The nonce of the commit record to come: a commit that was not heard of is recognised by it.
    pub(crate) nonce: String,
    /// The part of the log that this part replaces.
    pub(crate) wal: WalRange,
    /// Arrival of its newest record, milliseconds since 1970.
    pub(crate) newest_arrival: i64,
    /// The part; its file paths are names inside this directory.
    pub(crate) part: PartEntry,
}

impl CatalogObject for Manifest {
    // As of 2 a part may have files of all kinds; as of 3 its entry says when it was committed and which masks it was written under.
    const VERSION: u64 = 3;
}

/// One staged part.
#[derive(Debug)]
pub(crate) struct StagedPart {
    pub(crate) directory: PathBuf,
    pub(crate) manifest: Manifest,
}

impl StagedPart {
    /// Bytes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.manifest.part.files.iter().map(|f| f.bytes).sum()
    }

    /// The part with file paths below the staging directory.
    pub(crate) fn entry_in_staging(&self) -> PartEntry {
        let mut entry = self.manifest.part.clone();
        for file in &mut entry.files {
            file.path = format!("{}/{}", name(&self.manifest.wal), file.path);
        }
        entry
    }

    /// The directory in which a part of this range is written first.
    pub(crate) fn temporary(staging: &Path, wal: &WalRange) -> PathBuf {
        staging.join(format!("{}.tmp", name(wal)))
    }

    /// Makes a written part durable and gives it its name. The files in `temporary` are complete and synced.
    pub(crate) fn publish(
        fs: &dyn FileSystem,
        staging: &Path,
        temporary: &Path,
        manifest: Manifest,
        keys: &Keys,
    ) -> Result<Self, ReceiverError> {
        let bytes = seal_object(keys, &name(&manifest.wal), seal_envelope(&manifest)?)?;
        // Syncs the manifest and, with it, the names of the part's files.
        emberkeep_disk::write_new_durable(fs, &temporary.join(MANIFEST), &bytes)
            .map_err(ReceiverError::disk(temporary))?;
        let directory = staging.join(name(&manifest.wal));
        fs.rename(temporary, &directory)
            .map_err(ReceiverError::disk(&directory))?;
        fs.sync_dir(staging).map_err(ReceiverError::disk(staging))?;
        Ok(Self { directory, manifest })
    }

    /// Removes a committed part. A crash leaves the whole part, whose nonce is then found in the archive, or a `.tmp` directory.
    pub(crate) fn remove(&self, fs: &dyn FileSystem) -> Result<(), ReceiverError> {
        retire(fs, &self.directory)
    }

    /// Removes what failed tries to stage this range have left under either name. Their segments are still in the log.
    pub(crate) fn clear(fs: &dyn FileSystem, staging: &Path, wal: &WalRange) -> Result<(), ReceiverError> {
        let temporary = Self::temporary(staging, wal);
        emberkeep_disk::remove_dir_all(fs, &temporary).map_err(ReceiverError::disk(temporary))?;
        retire(fs, &staging.join(name(wal)))
    }
}

/// Takes a directory its staged name, durably, before anything inside goes: a start must never find half a part under such a name.
fn retire(fs: &dyn FileSystem, directory: &Path) -> Result<(), ReceiverError> {
    let staging = directory.parent().unwrap_or(Path::new("."));
    let retired = directory.with_extension("tmp");
    let removal = || {
        match fs.rename(directory, &retired) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        fs.sync_dir(staging)?;
        emberkeep_disk::remove_dir_all(fs, &retired)?;
        fs.sync_dir(staging)
    };
    removal().map_err(ReceiverError::disk(directory))
}

/// What a start finds in the staging directory: staged parts in log order. Unfinished ones are removed.
pub(crate) fn resume(fs: &Arc<dyn FileSystem>, staging: &Path, keys: &Keys) -> Result<Vec<StagedPart>, ReceiverError> {
    emberkeep_disk::create_dir_all_durable(&**fs, staging).map_err(ReceiverError::disk(staging))?;
    // A process that died between a rename and its sync left a name that is not durable yet, and segments are about to go for it.
    fs.sync_dir(staging).map_err(ReceiverError::disk(staging))?;
    let mut parts = Vec::new();
    for entry in fs.read_dir(staging).map_err(ReceiverError::disk(staging))? {
        let directory = staging.join(&entry.name);
        // Dotted names are the directory store's, which reads staged parts for the head.
        if !entry.is_dir() || entry.name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if directory.extension().is_some_and(|e| e == "tmp") {
            emberkeep_disk::remove_dir_all(&**fs, &directory).map_err(ReceiverError::disk(&directory))?;
            continue;
        }
        let path = directory.join(MANIFEST);
        let bytes = read_to_vec(&**fs, &path, MANIFEST_BYTES_MAX).map_err(ReceiverError::disk(&path))?;
        // Its name is the range that it replaces: the manifest of another part does not pass.
        let bytes = open_object(keys, &entry.name.to_string_lossy(), bytes.into())?;
        let manifest = open_envelope(&path.display().to_string(), &bytes)?;
        parts.push(StagedPart { directory, manifest });
    }
    parts.sort_by_key(|part: &StagedPart| part.manifest.wal.from);
    Ok(parts)
}

/// Segment numbers are padded, so that the names sort in log order.
fn name(wal: &WalRange) -> String {
    format!("{}-{:012}-{:012}", wal.id, wal.from, wal.to)
}
