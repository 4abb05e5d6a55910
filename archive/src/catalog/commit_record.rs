//! The commit record: the object by which one flush becomes part of the archive.

use serde::{Deserialize, Serialize};

use super::PartEntry;
use crate::envelope::CatalogObject;
use crate::{ArchiveError, names};

/// `_archive/log/<receiver>.<seq>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitRecord {
    /// Random text of this attempt, by which its maker knows the record as its own.
    pub nonce: String,
    /// The receiver's id.
    pub receiver: String,
    /// The incarnation that made it.
    pub epoch: u64,
    /// Its number, from 1 without gaps.
    pub seq: u64,
    /// The part of the write-ahead log that it replaces.
    pub wal: WalRange,
    /// When it was made, milliseconds since 1970.
    pub committed_at: i64,
    /// The newest arrival of a request in it, milliseconds since 1970.
    pub newest_arrival: i64,
    /// What it adds; may be empty when all of the range was refused.
    pub parts: Vec<PartEntry>,
}

/// A range of one write-ahead log. It trims only the log with that id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalRange {
    /// The random name of the log.
    pub id: String,
    /// First position inside.
    pub from: u64,
    /// First position after.
    pub to: u64,
}

impl CatalogObject for CommitRecord {
    const VERSION: u64 = 3;
}

impl CommitRecord {
    /// Refuses a record that would break the catalog's own rules: its files must lie under its own receiver and sequence, or
    /// the collection of orphans would take them for leftovers.
    pub(crate) fn check(&self) -> Result<(), ArchiveError> {
        let object = names::log_record(&self.receiver, self.seq);
        if !names::is_receiver_id(&self.receiver) || self.seq == 0 {
            return Err(ArchiveError::Invalid(format!(
                "`{object}` is no record name: bad receiver id or sequence 0"
            )));
        }
        for file in self.parts.iter().flat_map(|part| &part.files) {
            let parsed = names::parse_level0(&file.location()?);
            if parsed.is_none_or(|(receiver, seq, ..)| receiver != self.receiver || seq != self.seq) {
                return Err(ArchiveError::Invalid(format!(
                    "`{object}` names `{}`, which is not under its number",
                    file.path
                )));
            }
        }
        Ok(())
    }
}
