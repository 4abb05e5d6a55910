//! Runs jobs: a plan's job becomes a merge, and what the merge made becomes a result.
//!
//! It must never change the catalog: a result that nobody commits is as if it had not been.

use std::path::PathBuf;
use std::sync::Arc;

use emberkeep_archive::{ArchiveError, Keys, ObjectStore, PartEntry, PartSettings, Ulid};
use emberkeep_disk::{FileSystem, RealFs, remove_dir_all};
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_service::clock::{Clock, SystemClock};

use crate::job_result::JobResult;
use crate::merge::{self, MergeError, MergeJob, Window};
use crate::plan::{Job, JobKind, JobWindow};

/// Memory of one merge, unless it is told otherwise.
const MEMORY_BYTES: usize = 256 << 20;

/// Bytes of the files of an output with which it ends, unless it is told otherwise.
const TARGET_BYTES: u64 = 384 << 20;

/// What a merge may take, and how its outputs are written.
#[derive(Debug, Clone)]
pub struct MergerSettings {
    /// Directory for files that only one merge needs.
    pub scratch: PathBuf,
    /// Memory of one merge.
    pub memory_bytes: usize,
    /// An output ends with the series with which its files together exceed this.
    pub target_bytes: u64,
}

impl MergerSettings {
    /// The usual, with scratch files in a directory.
    #[must_use]
    pub fn new(scratch: PathBuf) -> Self {
        Self {
            scratch,
            memory_bytes: MEMORY_BYTES,
            target_bytes: TARGET_BYTES,
        }
    }
}

/// Why a job gave no result, by what can be done.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A part cannot be read: set it aside.
    #[error("part {part} cannot be read: {reason}")]
    Input {
        /// The part.
        part: Ulid,
        /// Which file, and what is wrong with it.
        reason: String,
    },
    /// A part is encrypted, and its key is missing or wrong: nothing is wrong with the part, configure the key.
    #[error("part {part} cannot be merged: {source}")]
    Key {
        /// The part.
        part: Ulid,
        /// Which file and which key.
        source: ArchiveError,
    },
    /// The store fails: try again later.
    #[error(transparent)]
    Store(ArchiveError),
    /// The local disk fails or is full: make room.
    #[error("{0}")]
    Local(String),
    /// The job cannot be, or its output is not what was written: nothing is changed, and somebody should look.
    #[error("{0}")]
    Broken(String),
}

impl From<MergeError> for JobError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::BadInput { part, file, reason } => Self::Input {
                part,
                reason: format!("`{file}`: {reason}"),
            },
            MergeError::Key { part, source } => Self::Key { part, source },
            MergeError::Store(error) => Self::Store(error),
            MergeError::Disk { .. } => Self::Local(error.to_string()),
            MergeError::BadOutput { .. } | MergeError::Job(_) => Self::Broken(error.to_string()),
        }
    }
}

/// Runs jobs on the archive in one store.
#[derive(Debug)]
pub struct Merger {
    store: Arc<dyn ObjectStore>,
    fs: Arc<dyn FileSystem>,
    settings: MergerSettings,
}

impl Merger {
    /// A merger that writes below the scratch directory, which nothing else may use.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, settings: MergerSettings) -> Self {
        Self {
            store,
            fs: Arc::new(RealFs),
            settings,
        }
    }

    /// Removes what an earlier process left in the scratch directory. No merge may be running there.
    pub fn clear_scratch(&self) {
        // What cannot be removed takes space and nothing else; a full disk fails the merge itself, and says so.
        let _ = remove_dir_all(&*self.fs, &self.settings.scratch);
    }

    /// Memory of one merge, bytes.
    pub(crate) fn memory_limit(&self) -> usize {
        self.settings.memory_bytes
    }

    /// What it takes of it for a job.
    pub(crate) fn memory_of(&self, job: &Job) -> usize {
        MergeJob::memory_of(job.inputs.len(), self.settings.memory_bytes)
    }

    /// An output that is only written under another key has a few bytes more or less than before, and is not to be split for that.
    fn target_bytes(&self, kind: JobKind) -> u64 {
        match kind {
            JobKind::Rekey => self.settings.target_bytes.saturating_mul(2),
            JobKind::Window | JobKind::Day | JobKind::Late | JobKind::Rewrite => self.settings.target_bytes,
        }
    }

    /// Runs a job. Its outputs are in the store, and belong to nobody.
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn run(&self, job: &Job) -> Result<JobResult, JobError> {
        let now_ms = SystemClock.now_ms();
        let merge = MergeJob {
            inputs: job.inputs.clone(),
            windows: job.windows.iter().map(window).collect::<Result<_, _>>()?,
            masks: job.masks.clone(),
            masks_through: job.masks_through,
            merge: job.merge.clone(),
            target_bytes: self.target_bytes(job.kind),
            settings: PartSettings {
                keys: Keys::of(&*self.store).await,
                ..PartSettings::compacted()
            },
            memory_bytes: self.settings.memory_bytes,
        };
        let outcome = merge::run(&self.store, &self.fs, &self.settings.scratch, &merge, now_ms).await?;
        let with_rules = |part: PartEntry| PartEntry {
            rules: job.rules.clone(),
            ..part
        };
        Ok(JobResult {
            kind: job.kind,
            inputs: job.inputs.iter().map(|part| part.ulid).collect(),
            outputs: outcome.added.into_iter().map(with_rules).collect(),
            rows_read: outcome.rows_read,
            rows_written: outcome.rows_written,
            duplicates: outcome.duplicates,
            conflicts: outcome.conflicts,
            deleted: outcome.masked + outcome.metadata_masked,
            masks: job
                .masks
                .iter()
                .filter(|mask| mask.number > 0)
                .map(|mask| mask.id.clone())
                .collect(),
        })
    }
}

fn window(window: &JobWindow) -> Result<Window, JobError> {
    let tenant = TenantId::parse(&window.tenant).map_err(|error| JobError::Broken(error.to_string()))?;
    Ok(Window {
        tenant,
        level: window.level,
        range: TimeRange {
            start: window.from,
            end: window.to,
        },
    })
}
