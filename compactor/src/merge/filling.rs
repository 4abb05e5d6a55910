//! Parts of series that come from outside the archive: written, uploaded and read back as the outputs of a merge are.
//!
//! One window of one tenant. Series come in label order within a lane; whoever cannot keep one order uses several lanes. Nothing here
//! changes the catalog.

use std::path::Path;
use std::sync::Arc;

use emberkeep_archive::{ObjectStore, PartEntry, PartSettings};
use emberkeep_disk::FileSystem;
use emberkeep_model::{Labels, SeriesRuns};

use super::outputs::{Finished, Outputs, Target};
use super::pass::Sink;
use super::scratch::Scratch;
use super::windows::Windows;
use super::{MergeError, MergeJob, Window, deliver};

/// What all parts of one filling have in common.
#[derive(Debug)]
pub(crate) struct Filling {
    scratch: Scratch,
    job: MergeJob,
    window: Window,
    dataset: String,
    now_ms: i64,
}

/// Series in label order, and the parts made of them so far.
pub(crate) struct Lane<'a> {
    outputs: Outputs<'a>,
    window: &'a Window,
}

impl Filling {
    /// Parts of a window, for the archive with this data set id. Scratch files lie below `scratch` and go with this.
    ///
    /// # Errors
    /// [`MergeError::Job`] for a window that cannot be, [`MergeError::Disk`].
    pub(crate) fn new(
        fs: &Arc<dyn FileSystem>,
        scratch: &Path,
        window: Window,
        dataset: String,
        (settings, target_bytes): (PartSettings, u64),
        now_ms: i64,
    ) -> Result<Self, MergeError> {
        Windows::new(std::slice::from_ref(&window))?;
        let scratch = Scratch::create(Arc::clone(fs), scratch, &settings.keys, now_ms)?;
        let job = MergeJob {
            inputs: Vec::new(),
            windows: vec![window.clone()],
            // Whatever deletion is in force hides its rows when they are read, and takes them out when the part is merged.
            masks: Vec::new(),
            masks_through: 0,
            target_bytes,
            settings,
            memory_bytes: MergeJob::least_memory(),
            merge: None,
        };
        Ok(Self {
            scratch,
            job,
            window,
            dataset,
            now_ms,
        })
    }

    /// A lane with nothing in it.
    ///
    /// # Errors
    /// See [`MergeError`].
    pub(crate) fn lane(&self) -> Result<Lane<'_>, MergeError> {
        let target = Target {
            scratch: &self.scratch,
            job: &self.job,
            tenant: self.window.tenant.clone(),
            windows: std::slice::from_ref(&self.window),
            dataset: self.dataset.clone(),
            committed_at: self.now_ms,
            now_ms: self.now_ms,
        };
        Ok(Lane {
            outputs: Outputs::new(target)?,
            window: &self.window,
        })
    }

    /// Uploads the parts of ended lanes and reads them back.
    ///
    /// # Errors
    /// See [`MergeError`]; what was uploaded by then belongs to nobody.
    pub(crate) async fn deliver(
        &self,
        store: &Arc<dyn ObjectStore>,
        finished: Vec<Finished>,
    ) -> Result<Vec<PartEntry>, MergeError> {
        let mut entries = Vec::with_capacity(finished.len());
        for output in finished {
            deliver(store, &self.scratch, &output).await?;
            entries.push(output.entry);
        }
        Ok(entries)
    }
}

impl Lane<'_> {
    /// Adds the rows of a series; its labels come after those of the one before, and its rows are settled and inside the window.
    ///
    /// # Errors
    /// See [`MergeError`]; the filling is lost then.
    pub(crate) fn push(&mut self, labels: &Labels, runs: &mut SeriesRuns) -> Result<(), MergeError> {
        self.outputs.series(&self.window.tenant, labels, runs, &[])
    }

    /// Ends its parts.
    ///
    /// # Errors
    /// See [`MergeError`].
    pub(crate) fn end(mut self) -> Result<Vec<Finished>, MergeError> {
        self.outputs.end_pass()?;
        Ok(self.outputs.finished)
    }
}
