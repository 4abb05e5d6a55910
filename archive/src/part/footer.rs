//! What every file of a part says of itself in its footer, so that a catalog can be rebuilt from files alone (DESIGN §5.8).
//!
//! One key/value pair: the key is [`KEY`], the value a JSON object with its version first. The sequence is not in it: that is
//! in the object's name, because it may change until the part is committed.

use serde::{Deserialize, Serialize};

use super::{PartInfo, part_number};
use crate::catalog::WalRange;
use crate::{ArchiveError, FileKind};

/// The key in the Parquet footer.
pub(super) const KEY: &str = "emberkeep";

/// The version that this program writes, and the newest that it reads.
const VERSION: u64 = 2;

/// The first version whose series table says where histograms and exemplars are.
pub(super) const ALL_KINDS: u64 = 2;

/// The JSON object.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Footer {
    pub(super) version: u64,
    pub(super) kind: FileKind,
    pub(super) dataset: String,
    pub(super) level: u32,
    pub(super) receiver: String,
    pub(super) wal: WalRange,
    pub(super) ulid: String,
    pub(super) part: i64,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
}

impl Footer {
    pub(super) fn new(info: &PartInfo, kind: FileKind, min_time: i64, max_time: i64) -> Self {
        Self {
            version: VERSION,
            kind,
            dataset: info.dataset.clone(),
            level: 0,
            receiver: info.receiver.clone(),
            wal: WalRange {
                id: info.wal_id.clone(),
                from: info.wal_from,
                to: info.wal_to,
            },
            ulid: info.ulid.to_string(),
            part: part_number(info.ulid),
            min_time,
            max_time,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of numbers and strings serializes")
    }

    /// Reads the version first: a newer one may have fields that this program does not know.
    pub(super) fn parse(object: &str, json: &str) -> Result<Self, ArchiveError> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let corrupt = |error| ArchiveError::corrupt(object, format!("its footer entry `{KEY}`: {error}"));
        let Version { version: found } = serde_json::from_str(json).map_err(corrupt)?;
        if found > VERSION {
            return Err(ArchiveError::NewerVersion {
                object: object.to_owned(),
                found,
                supported: VERSION,
            });
        }
        serde_json::from_str(json).map_err(corrupt)
    }
}
