//! How far a replay came (`docs/formats/export-state.md`): written after each slice, so that the same command goes on behind it.
//!
//! Always whole and by rename. A slice that was interrupted is sent again; receivers take equal samples once.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use emberkeep_model::TimeRange;
use serde::{Deserialize, Serialize};

use crate::ReaderError;

const VERSION: u64 = 1;
/// Far above what arguments need.
const BYTES_MAX: u64 = 1 << 20;

/// The content of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    version: u64,
    /// The arguments as they were given, by which a replay is recognised.
    pub(super) arguments: Vec<String>,
    /// What they meant when the replay began, milliseconds since 1970, end exclusive.
    start_ms: i64,
    end_ms: i64,
    /// Everything before is sent.
    pub(super) done_ms: i64,
    pub(super) samples: u64,
}

impl Progress {
    pub(super) fn new(arguments: Vec<String>, range: TimeRange) -> Self {
        Self {
            version: VERSION,
            arguments,
            start_ms: range.start,
            end_ms: range.end,
            done_ms: range.start,
            samples: 0,
        }
    }

    /// What is left to be sent.
    pub(super) fn rest(&self) -> TimeRange {
        TimeRange {
            start: self.done_ms,
            end: self.end_ms,
        }
    }

    /// Reads the file; none when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is of another replay.
    pub(super) fn load(path: &Path, arguments: &[String]) -> Result<Option<Self>, ReaderError> {
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ReaderError::file(path)(error)),
            Ok(found) if found.len() > BYTES_MAX => {
                return Err(ReaderError::output(path, "it is not the state of a replay"));
            }
            Ok(_) => {}
        }
        let content = fs::read(path).map_err(ReaderError::file(path))?;
        let bad = |error| ReaderError::output(path, format!("it is not the state of a replay: {error}"));
        let progress: Self = serde_json::from_slice(&content).map_err(bad)?;
        if progress.version != VERSION {
            let why = format!(
                "a replay of version {} began here, this program continues version {VERSION}",
                progress.version
            );
            return Err(ReaderError::output(path, why));
        }
        if progress.arguments != arguments {
            return Err(ReaderError::output(
                path,
                format!(
                    "it is of another replay (`{}`): finish that one, or give another --state",
                    progress.arguments.join(" ")
                ),
            ));
        }
        Ok(Some(progress))
    }

    /// Writes the file durably in place of the one before.
    pub(super) fn save(&self, path: &Path) -> Result<(), ReaderError> {
        let temporary = path.with_extension("tmp");
        let json = serde_json::to_vec_pretty(self).expect("texts and numbers always become JSON");
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(&json)?;
            file.sync_all()
        });
        written.map_err(ReaderError::file(&temporary))?;
        fs::rename(&temporary, path).map_err(ReaderError::file(path))
    }

    /// Removes the file: everything is sent.
    pub(super) fn remove(path: &Path) -> Result<(), ReaderError> {
        fs::remove_file(path).map_err(ReaderError::file(path))
    }
}
