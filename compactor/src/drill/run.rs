//! One drill from its start to the note of what came out.
//!
//! It may be cancelled at any await: children end with the future, files with the scratch directory, the pin by itself.

use std::sync::Arc;
use std::time::Instant;

use emberkeep_archive::{Catalog, DrillOutcome, DrillState};
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_service::clock::Clock;
use emberkeep_service::problem::chain;
use emberkeep_service::time_expr::format_rfc3339;
use tracing::{error, info};

use super::child::Deadline;
use super::error::Stop;
use super::program::ReaderProgram;
use super::report::DrillReport;
use super::scratch::Scratch;
use super::steps::Running;
use super::{DrillError, DrillSettings};

/// What is left to chance, and what is not.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// What the random choices are made with; none = something new.
    pub seed: Option<u64>,
    /// Whose data.
    pub tenant: Option<TenantId>,
    /// Which window.
    pub range: Option<TimeRange>,
    /// Which series.
    pub selector: Option<String>,
    /// What becomes of the files of a drill that fails.
    pub files: FailedFiles,
}

/// What becomes of the files of a drill that fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailedFiles {
    /// They are removed.
    #[default]
    Removed,
    /// They are put aside.
    Kept,
}

/// Drills on one archive.
#[derive(Debug)]
pub struct Drill {
    catalog: Catalog,
    settings: DrillSettings,
    clock: Arc<dyn Clock>,
}

impl Drill {
    /// Nothing is done before [`Drill::run`].
    #[must_use]
    pub fn new(catalog: Catalog, settings: DrillSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            catalog,
            settings,
            clock,
        }
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(super) fn settings(&self) -> &DrillSettings {
        &self.settings
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Runs one, and writes its result into the archive. A drill that is not proven is a result, too.
    ///
    /// # Errors
    /// [`DrillError::Busy`], [`DrillError::Nothing`], [`DrillError::Invalid`]: no drill was run, and none is written down. An error of the
    /// store: the result could not be written down.
    pub async fn run(&self, wish: &Wish) -> Result<(DrillReport, DrillState), DrillError> {
        let program = ReaderProgram::find(self.settings.reader.as_deref())?;
        let scratch = Scratch::acquire(&self.settings.scratch)?;
        let started = Instant::now();
        let mut report = DrillReport::new(wish.seed.unwrap_or_else(|| rand::random::<u32>().into()));
        let running = Running {
            catalog: &self.catalog,
            settings: &self.settings,
            program,
            scratch: &scratch,
            deadline: Deadline {
                at: started + self.settings.max_duration,
                limit: self.settings.max_duration,
            },
            now_ms: self.clock.now_ms(),
        };
        let outcome = running.carry_through(wish, &mut report).await;
        (report.outcome, report.reason) = match outcome {
            Ok(()) => (DrillOutcome::Proven, None),
            Err(Stop::Failed(error @ (DrillError::Nothing(_) | DrillError::Invalid(_)))) => return Err(error),
            Err(Stop::Failed(error)) => (DrillOutcome::Error, Some(chain(&error))),
            Err(Stop::Different(what)) => (DrillOutcome::Different, Some(what)),
            Err(Stop::Empty) => return Err(DrillError::Nothing("what was chosen holds no sample".to_owned())),
        };
        report.seconds = started.elapsed().as_secs_f64();
        tell(&report);
        if report.outcome != DrillOutcome::Proven && wish.files == FailedFiles::Kept {
            let name = format!("failed-{}", self.clock.now_ms());
            report.kept = Some(scratch.keep(&name)?.display().to_string());
        }
        let now_ms = self.clock.now_ms();
        let state = DrillState::record(&self.catalog, report.record(now_ms), now_ms).await?;
        Ok((report, state))
    }
}

fn tell(report: &DrillReport) {
    let (tenant, seed, seconds) = (&report.tenant, report.seed, report.seconds);
    let (from, to) = (format_rfc3339(report.from), format_rfc3339(report.to));
    let selector = report.selector.as_deref().unwrap_or("all series");
    match &report.reason {
        None => {
            info!(%tenant, %from, %to, selector, rows = report.rows, bytes = report.bytes, seconds, "a drill has proven that this can be restored")
        }
        Some(reason) => {
            error!(%tenant, %from, %to, selector, seed, %reason, "A DRILL HAS FAILED: it is not proven that this can be restored; `compactor drill --keep --seed` repeats it");
        }
    }
}
