//! How deep a verification looks.

use clap::ValueEnum;
use serde::Serialize;

/// How deep a verification looks; each level includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every file is there, with the size and the checksum that it was written with.
    Files,
    /// Every row is read again; digests and counts are those that the archive keeps.
    Rows,
    /// Blocks are made of the archive, or were, and hold exactly its rows.
    Restore,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Rows => "rows",
            Self::Restore => "restore",
        }
    }
}
