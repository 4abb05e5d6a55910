//! Upkeep: what is merged, expired and deleted, pass by pass (DESIGN §6).
//!
//! A pass merges what is due, job by job, then lets retention and collection do their part. It works on its own thread, which gives way
//! to whoever takes writes or answers queries in the same process. A job that fails never stops the others: an input that cannot be
//! read is quarantined, and a store or disk that fails is tried again later. It may be cancelled at any moment; what is not committed is
//! left to the collection of orphans.

use std::sync::Arc;
use std::time::{Duration, Instant};

use emberkeep_archive::{Catalog, Change, Live, ObjectStore, Quarantined, apply, fresh_nonce};
use emberkeep_service::clock::Clock;
use emberkeep_service::shutdown::Shutdown;
use tokio::sync::Mutex;
use tracing::{debug, error, info, warn};

use crate::CompactorError;
use crate::guard::Consent;
use crate::job_result::{JobResult, commit_results};
use crate::keeping::{Keeping, KeepingSettings};
use crate::merger::{JobError, Merger};
use crate::plan::{Job, PlanSettings, plan};
use crate::upkeep_metrics::UpkeepMetrics;

/// When what is done.
#[derive(Debug, Clone)]
pub struct UpkeepSettings {
    /// Pause between two passes.
    pub interval: Duration,
    /// When what is merged.
    pub plan: PlanSettings,
    /// What is removed and checked.
    pub keeping: KeepingSettings,
}

impl UpkeepSettings {
    /// For a command that is to leave nothing to do.
    #[must_use]
    pub fn at_once(self) -> Self {
        Self {
            plan: self.plan.at_once(),
            ..self
        }
    }
}

impl Default for UpkeepSettings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            plan: PlanSettings::default(),
            keeping: KeepingSettings::default(),
        }
    }
}

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Jobs whose results are live.
    pub merged: u64,
    /// Jobs that failed, or whose results came too late.
    pub failed: u64,
}

/// The upkeep of one archive.
#[derive(Debug)]
pub struct Upkeep {
    catalog: Catalog,
    merger: Merger,
    keeping: Mutex<Keeping>,
    settings: UpkeepSettings,
    clock: Arc<dyn Clock>,
    metrics: UpkeepMetrics,
}

impl Upkeep {
    /// Upkeep of the archive in a store. It does nothing before [`Upkeep::run`] or [`Upkeep::pass`].
    #[must_use]
    pub fn new(
        store: Arc<dyn ObjectStore>,
        merger: Merger,
        settings: UpkeepSettings,
        clock: Arc<dyn Clock>,
        metrics: UpkeepMetrics,
    ) -> Self {
        metrics.limit_memory(merger.memory_limit());
        let keeping = Keeping::new(settings.keeping.clone(), metrics.keeping.clone(), clock.now_ms());
        Self {
            keeping: Mutex::new(keeping),
            catalog: Catalog::new(store),
            merger,
            settings,
            clock,
            metrics,
        }
    }

    /// The jobs that are due now.
    ///
    /// # Errors
    /// The store fails, or something in the bucket cannot be used.
    pub async fn plan(&self) -> Result<Vec<Job>, CompactorError> {
        let live = self.catalog.live().await?;
        self.plan_of(&live, Consent::Missing).await
    }

    async fn plan_of(&self, live: &Live, consent: Consent) -> Result<Vec<Job>, CompactorError> {
        let now_ms = self.clock.now_ms();
        let rules = self
            .keeping
            .lock()
            .await
            .rules(&self.catalog, live, consent, now_ms)
            .await;
        Ok(plan(self.catalog.store(), live, &self.settings.plan, &rules, now_ms).await?)
    }

    /// Does all that is due, until nothing is left that can be done.
    ///
    /// # Errors
    /// The store fails, or something in the bucket cannot be used. What is done is done.
    pub async fn pass(&self) -> Result<Pass, CompactorError> {
        let pass = self.merge_all(Consent::Missing).await?;
        self.keeping.lock().await.pass(&self.catalog, self.clock.now_ms()).await;
        Ok(pass)
    }

    /// Merges all that is due. With consent, rules of retention may take as much as they say.
    ///
    /// # Errors
    /// As [`Upkeep::pass`].
    pub async fn merge_all(&self, consent: Consent) -> Result<Pass, CompactorError> {
        let mut pass = Pass::default();
        loop {
            let live = self.catalog.live().await?;
            self.metrics.know(&live);
            let jobs = self.plan_of(&live, consent).await?;
            self.metrics.due(jobs.len());
            if jobs.is_empty() {
                return Ok(pass);
            }
            let merged_before = pass.merged;
            for job in &jobs {
                match self.merge(job).await? {
                    Outcome::Landed => pass.merged += 1,
                    Outcome::Failed => pass.failed += 1,
                }
            }
            // Nothing could be done: the same jobs would fail again.
            if pass.merged == merged_before {
                return Ok(pass);
            }
        }
    }

    /// Runs one job and makes its result live.
    async fn merge(&self, job: &Job) -> Result<Outcome, CompactorError> {
        let started = Instant::now();
        self.metrics.take_memory(self.merger.memory_of(job));
        let result = self.merger.run(job).await;
        self.metrics.take_memory(0);
        let result = match result {
            Ok(result) => result,
            Err(failure) => return self.failed(job, failure).await,
        };
        let landed = commit_results(&self.catalog, std::slice::from_ref(&result), self.clock.now_ms()).await?;
        if let Some(reason) = landed.refused.first() {
            warn!(%reason, kind = job.kind.as_str(), "the catalog refuses a result; its inputs stay as they are");
            self.metrics.failed(job.kind);
            return Ok(Outcome::Failed);
        }
        if landed.landed == 0 {
            debug!(
                kind = job.kind.as_str(),
                "another compactor was faster, the result is dropped"
            );
            self.metrics.dropped(job.kind);
            return Ok(Outcome::Failed);
        }
        self.metrics.landed(job, &result, started);
        say(job, &result);
        Ok(Outcome::Landed)
    }

    async fn failed(&self, job: &Job, failure: JobError) -> Result<Outcome, CompactorError> {
        self.metrics.failed(job.kind);
        match failure {
            JobError::Input { part, reason } => {
                error!(%part, %reason, "a part cannot be read and is quarantined: it stays as it is, and is merged no more");
                let entry = Quarantined {
                    part: part.to_string(),
                    reason,
                    at: self.clock.now_ms(),
                };
                apply(&self.catalog, &fresh_nonce(), entry.at, |live| {
                    let is_new = !live.quarantined().contains(&entry.part);
                    Ok::<_, CompactorError>(is_new.then(|| Change {
                        quarantined: vec![entry.clone()],
                        ..Change::default()
                    }))
                })
                .await?;
                Ok(Outcome::Failed)
            }
            JobError::Key { .. } => {
                error!(error = %failure, kind = job.kind.as_str(), "cannot merge without the key; nothing is changed, the other jobs go on");
                Ok(Outcome::Failed)
            }
            JobError::Store(error) => Err(error.into()),
            JobError::Local(error) => {
                warn!(%error, kind = job.kind.as_str(), "cannot merge: the local disk does not take the output");
                Ok(Outcome::Failed)
            }
            JobError::Broken(reason) => {
                error!(%reason, kind = job.kind.as_str(), root = job.root, "a merge gave something else than it was given; nothing is changed");
                Ok(Outcome::Failed)
            }
        }
    }

    /// Passes until the process is told to end, the first one at once.
    pub async fn run(&self, shutdown: &Shutdown) {
        let mut failures = 0_u32;
        loop {
            let pass = async {
                match self.pass().await {
                    Ok(_) => {
                        if failures > 0 {
                            info!(failures, "upkeep works again");
                        }
                        failures = 0;
                    }
                    Err(error) => {
                        if failures == 0 {
                            warn!(%error, "upkeep cannot go on now, trying again later; writes and reads do not depend on it");
                        }
                        self.metrics.pass_failures.inc();
                        failures = failures.saturating_add(1);
                    }
                }
                let jitter = 0.9 + 0.2 * rand::random::<f64>();
                tokio::time::sleep(self.settings.interval.mul_f64(jitter)).await;
            };
            tokio::select! {
                biased;
                () = shutdown.triggered() => return,
                () = pass => {}
            }
        }
    }

    /// As [`Upkeep::run`], on a thread of its own that gives way to all others.
    ///
    /// # Errors
    /// The thread or its runtime cannot be made.
    pub fn spawn(self, shutdown: Shutdown) -> std::io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("upkeep".to_owned()).spawn(move || {
            give_way();
            runtime.block_on(self.run(&shutdown));
        })
    }
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Landed,
    Failed,
}

/// How far the thread steps back: a tenth of the share of one that does not, when both want the processor.
const NICE: i32 = 10;

/// Lowers the priority of this thread. A system that does not allow it runs it as any other.
pub(crate) fn give_way() {
    // On Linux a process id is that of a thread when it is given as one.
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        debug!(%error, "upkeep runs with the priority of the rest");
    }
}

fn say(job: &Job, result: &JobResult) {
    let bytes_out: u64 = result.outputs.iter().map(emberkeep_archive::PartEntry::bytes).sum();
    info!(
        kind = job.kind.as_str(),
        inputs = job.inputs.len(),
        outputs = result.outputs.len(),
        rows = result.rows_written,
        deleted = result.deleted,
        bytes_in = job.bytes(),
        bytes_out,
        "merged parts"
    );
}
