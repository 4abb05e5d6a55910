//! The merge of parts: a streaming k-way merge, series by series in label order, in bounded memory (DESIGN §6).
//!
//! Inputs are brought to local disk whole and checked, merged into files there, uploaded, and read back before anything is said of them.
//! Nothing here changes the catalog: the outcome is a list of parts that belong to nobody until a root names them. A merge must never
//! change a row, and never lose one without counting it.

mod cursor;
mod error;
mod filling;
mod inputs;
mod order;
mod outputs;
mod pass;
mod scratch;
mod stretch;
mod verify;
mod windows;

use std::path::Path;
use std::sync::Arc;

use emberkeep_archive::catalog::Mask;
use emberkeep_archive::{Keys, ObjectStore, PartEntry, PartSettings};
use emberkeep_disk::FileSystem;
use emberkeep_model::{TenantId, TimeRange};

pub use error::MergeError;
pub(crate) use filling::{Filling, Lane};
pub(crate) use outputs::Finished;
pub(crate) use verify::read_rows;

use inputs::Inputs;
use outputs::{Outputs, Target};
use scratch::Scratch;
use windows::Windows;

/// Memory that a merge takes beside its inputs: encoders of up to [`MOST_OPEN`] outputs, which together hold a row group of
/// [`PartSettings::group_bytes`] of each of the four kinds of rows, and what is read and written at the moment.
const BASE_BYTES: usize = 96 << 20;

/// Memory of each input beside its window of rows: footers, a slice of its series table, metadata of some series.
const INPUT_BYTES: usize = 512 << 10;

/// Outputs that are written at a time. Rows of further windows wait for the next pass over the inputs.
const MOST_OPEN: usize = 4;

/// Bytes of a row of a window: decoded, and once more while it is.
const ROW_BYTES: usize = 48;

/// Rows of a window at least and at most. A page that is larger than the window is decoded several times.
const WINDOW_ROWS: [usize; 2] = [8 << 10, 128 << 10];

/// One merge.
#[derive(Debug, Clone)]
pub struct MergeJob {
    /// What is merged, of any levels. Every row must lie in one of the windows.
    pub inputs: Vec<PartEntry>,
    /// What the outputs are: one for each window that has rows, or several when they become too large. No two overlap.
    pub windows: Vec<Window>,
    /// The masks in force, of any number and tenant.
    pub masks: Vec<Mask>,
    /// The greatest number of any mask that was ever in force: what the outputs say of themselves.
    pub masks_through: u64,
    /// The name that the outputs share with those of other jobs, of which together they are one merge that was split by series.
    pub merge: Option<String>,
    /// An output ends with the series with which its files together exceed this, 256 to 512 MiB.
    pub target_bytes: u64,
    /// How the outputs are written; [`PartSettings::compacted`].
    pub settings: PartSettings,
    /// Memory that the merge may take, beside the rows of the one series that is being merged (three times 24 bytes a float): at least
    /// [`MergeJob::least_memory`]. With more inputs than fit, merges run over several rounds.
    pub memory_bytes: usize,
}

/// Which rows one output holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Whose rows.
    pub tenant: TenantId,
    /// Level of the output, from 1.
    pub level: u32,
    /// Times of floats, histograms and exemplars, and of when metadata was first seen; inside one UTC day.
    pub range: TimeRange,
}

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergeOutcome {
    /// The new parts: uploaded, read back, checked.
    pub added: Vec<PartEntry>,
    /// Floats, histograms and exemplars of all inputs.
    pub rows_read: u64,
    /// The same, of all outputs.
    pub rows_written: u64,
    /// Rows that were there more than once, beside the one that was kept.
    pub duplicates: u64,
    /// Rows that lost against a different one of the same series and time.
    pub conflicts: u64,
    /// Rows that a mask hides.
    pub masked: u64,
    /// Variants of metadata that a mask hides.
    pub metadata_masked: u64,
    /// Bytes of all files of the inputs.
    pub bytes_read: u64,
    /// Bytes of all files of the outputs.
    pub bytes_written: u64,
}

impl MergeJob {
    /// The least that [`MergeJob::memory_bytes`] can be.
    #[must_use]
    pub fn least_memory() -> usize {
        BASE_BYTES + 2 * (INPUT_BYTES + ROW_BYTES * WINDOW_ROWS[0])
    }

    /// How many inputs are merged at a time.
    fn most_inputs(&self) -> usize {
        let least = INPUT_BYTES + ROW_BYTES * WINDOW_ROWS[0];
        (self.memory_bytes.saturating_sub(BASE_BYTES) / least).max(2)
    }

    /// What a merge of so many inputs takes of `memory_bytes`, which is at least [`MergeJob::least_memory`].
    #[must_use]
    pub fn memory_of(inputs: usize, memory_bytes: usize) -> usize {
        let most = INPUT_BYTES + ROW_BYTES * WINDOW_ROWS[1];
        memory_bytes.min(inputs.saturating_mul(most).saturating_add(BASE_BYTES))
    }

    /// Rows of the window of each of so many inputs.
    fn window_rows(&self, inputs: usize) -> usize {
        let each = self.memory_bytes.saturating_sub(BASE_BYTES) / inputs.max(1);
        (each.saturating_sub(INPUT_BYTES) / ROW_BYTES).clamp(WINDOW_ROWS[0], WINDOW_ROWS[1])
    }
}

/// Runs a merge. Scratch files lie in a directory of their own below `scratch`, which goes when this returns; after a crash it may be
/// removed by anyone who knows that no merge runs.
///
/// # Errors
/// See [`MergeError`].
pub async fn run(
    store: &Arc<dyn ObjectStore>,
    fs: &Arc<dyn FileSystem>,
    scratch: &Path,
    job: &MergeJob,
    now_ms: i64,
) -> Result<MergeOutcome, MergeError> {
    let windows = Windows::new(&job.windows)?;
    let scratch = Scratch::create(Arc::clone(fs), scratch, &job.settings.keys, now_ms)?;
    let mut outcome = MergeOutcome::default();
    let inputs = Inputs::gather(store, &scratch, job, &mut outcome).await?;
    let mut finished = Vec::new();
    for tenant in inputs.tenants()? {
        let target = Target {
            scratch: &scratch,
            job,
            tenant: tenant.clone(),
            windows: windows.of(&tenant),
            dataset: inputs.dataset(),
            committed_at: inputs.committed_at(),
            now_ms,
        };
        let mut outputs = Outputs::new(target)?;
        loop {
            pass::run(&inputs, &tenant, &mut outputs).await?;
            if !outputs.end_pass()? {
                break;
            }
        }
        inputs.check(&tenant, &outputs.counts)?;
        outputs.counts.add_to(&mut outcome);
        finished.append(&mut outputs.finished);
    }
    drop(inputs);
    for output in finished {
        deliver(store, &scratch, &output).await?;
        outcome.bytes_written += output.entry.bytes();
        outcome.added.push(output.entry);
    }
    Ok(outcome)
}

/// Reads a part back as a merge does with its outputs: checksums of all files, number of rows, and from level 1 the digests of all rows.
///
/// # Errors
/// [`MergeError::BadOutput`] when it is not what it was; otherwise see [`MergeError`].
pub async fn check_part(
    store: &Arc<dyn ObjectStore>,
    fs: &Arc<dyn FileSystem>,
    scratch: &Path,
    entry: &PartEntry,
    now_ms: i64,
) -> Result<(), MergeError> {
    let scratch = Scratch::create(Arc::clone(fs), scratch, &Keys::of(&**store).await, now_ms)?;
    verify::verify(store, &scratch, entry).await
}

/// Uploads an output and reads it back.
async fn deliver(store: &Arc<dyn ObjectStore>, scratch: &Scratch, output: &Finished) -> Result<(), MergeError> {
    for file in &output.entry.files {
        let sent = scratch.send(&**store, file, &output.path(file.kind)).await;
        sent.map_err(|error| scratch.of_transfer(error))?;
        scratch.remove(&output.path(file.kind));
    }
    verify::verify(store, scratch, &output.entry).await
}

#[cfg(test)]
mod tests;
