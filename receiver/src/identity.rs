//! Who this receiver is: its id, the id of its log, and the first segment number that is free.
//!
//! Made once in the data directory. A commit record names the log and a range of segments and trims only those, so a segment
//! number must never be used twice: the floor is raised durably before the segments below it are removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberkeep_archive::fresh_nonce;
use emberkeep_disk::{FileSystem, read_to_vec, replace_durable};
use emberkeep_wal::WalId;
use serde::{Deserialize, Serialize};

use crate::error::ReceiverError;

const VERSION: u32 = 1;

/// The file `receiver.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    receiver: String,
    wal_id: String,
    segment_floor: u64,
    /// The archive that this receiver commits to; empty until it was reached once.
    dataset: String,
}

/// The identity of one data directory.
#[derive(Debug)]
pub(crate) struct Identity {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    stored: Stored,
    wal_id: WalId,
}

impl Identity {
    /// Reads the identity, or makes one in a directory that has none.
    pub(crate) fn open(fs: Arc<dyn FileSystem>, path: &Path) -> Result<Self, ReceiverError> {
        let damaged = |reason: String| ReceiverError::Damaged {
            path: path.to_owned(),
            reason,
        };
        match read_to_vec(&*fs, path, 1 << 16) {
            Ok(bytes) => {
                let version = serde_json::from_slice::<serde_json::Value>(&bytes)
                    .map_err(|e| damaged(format!("it is not JSON ({e}); restore it from a copy")))?["version"]
                    .as_u64();
                if version != Some(u64::from(VERSION)) {
                    return Err(damaged(format!(
                        "version {version:?} is not {VERSION}: upgrade the program"
                    )));
                }
                let stored: Stored = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
                let wal_id = stored
                    .wal_id
                    .parse()
                    .map_err(|_| damaged("`wal_id` is not 32 hex digits".to_owned()))?;
                Ok(Self {
                    fs,
                    path: path.to_owned(),
                    stored,
                    wal_id,
                })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let wal_id = WalId::from_bytes(rand::random());
                let receiver = fresh_nonce().to_lowercase();
                let stored = Stored {
                    version: VERSION,
                    receiver,
                    wal_id: wal_id.to_string(),
                    segment_floor: 1,
                    dataset: String::new(),
                };
                let mut identity = Self {
                    fs,
                    path: path.to_owned(),
                    stored,
                    wal_id,
                };
                identity.replace(identity.stored.clone())?;
                Ok(identity)
            }
            Err(error) => Err(ReceiverError::disk(path)(error)),
        }
    }

    /// The receiver's id, part of object names.
    pub(crate) fn receiver(&self) -> &str {
        &self.stored.receiver
    }

    /// The id of the log.
    pub(crate) fn wal_id(&self) -> WalId {
        self.wal_id
    }

    /// No segment below this number may be made again.
    pub(crate) fn segment_floor(&self) -> u64 {
        self.stored.segment_floor
    }

    /// The archive's dataset id, empty until the store was reached once.
    pub(crate) fn dataset(&self) -> &str {
        &self.stored.dataset
    }

    /// Remembers the archive's dataset id.
    ///
    /// # Errors
    /// It was another one before: the store was exchanged under a data directory.
    pub(crate) fn join(&mut self, dataset: &str) -> Result<(), ReceiverError> {
        if self.stored.dataset.is_empty() {
            let dataset = dataset.to_owned();
            self.replace(Stored {
                dataset,
                ..self.stored.clone()
            })?;
        }
        if self.stored.dataset != dataset {
            let reason = format!(
                "it belongs to archive `{}`, but the store holds archive `{dataset}`: give the right store, or an empty data directory",
                self.stored.dataset
            );
            return Err(ReceiverError::Damaged {
                path: self.path.clone(),
                reason,
            });
        }
        Ok(())
    }

    /// Raises the floor durably; before segments are removed.
    pub(crate) fn raise_floor(&mut self, floor: u64) -> Result<(), ReceiverError> {
        if floor > self.stored.segment_floor {
            let segment_floor = floor;
            self.replace(Stored {
                segment_floor,
                ..self.stored.clone()
            })?;
        }
        Ok(())
    }

    /// Memory follows disk: what could not be written must be tried again.
    fn replace(&mut self, next: Stored) -> Result<(), ReceiverError> {
        let bytes = serde_json::to_vec_pretty(&next).expect("plain fields serialise");
        replace_durable(&*self.fs, &self.path, &bytes).map_err(ReceiverError::disk(&self.path))?;
        self.stored = next;
        Ok(())
    }
}
