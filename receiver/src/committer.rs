//! The commit of staged parts: upload, then the numbered record by which a part is in the archive (DESIGN §5.1-2).
//!
//! One part at a time, in log order. The store may be down for as long as it likes: staging grows, writes go on, and each failure is
//! tried again with backoff and jitter. A record that may or may not have been created is recognised by its nonce, also by the next
//! incarnation. It must never remove a staged part whose record it has not seen in the store.

use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use emberkeep_archive::{
    CommitRecord, Committed, Format, ObjectStore, PartEntry, StoreCheckError, check_store, claim_epoch, commit,
    fresh_nonce, names, next_sequence, upload,
};
use emberkeep_service::clock::Clock;
use tokio::sync::watch;

use crate::clock_rule::ClockRule;
use crate::error::ReceiverError;
use crate::flush::Flush;
use crate::flusher::blocking;
use crate::generations::Generations;
use crate::metrics::Metrics;
use crate::staging::StagedPart;
use crate::status::Status;

/// Commits the staged parts of one receiver.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) flush: Arc<Flush>,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) receiver: String,
    pub(crate) generations: Arc<Generations>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) clock_rule: Arc<ClockRule>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) status: Arc<Status>,
}

/// What this incarnation knows of its own log in the store. All but the epoch is looked up again after a failure: what was believed may
/// be what is wrong.
#[derive(Debug, Default)]
struct Session {
    /// Claimed once in the life of the process: a second claim would outrank a rightful successor.
    epoch: Option<u64>,
    log_end: Option<LogEnd>,
    /// Committed, and not yet removed from local disk. Nothing else is committed before it is gone, so at most one staged part can
    /// be found committed by a later start, and then by the newest record.
    retired: Option<Arc<StagedPart>>,
}

#[derive(Debug)]
struct LogEnd {
    next: u64,
    newest: Option<CommitRecord>,
}

/// What a step achieved.
enum Step {
    Advanced,
    NothingToDo,
}

impl Committer {
    /// Runs until the stop signal; a part that is half committed then is finished by the next start.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut session = Session::default();
        let mut backoff = backoff();
        let mut failing = false;
        while !*stop.borrow() {
            let outcome = tokio::select! {
                outcome = self.step(&mut session) => outcome,
                _ = stop.changed() => return,
            };
            let wait = match outcome {
                Ok(step) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the object store works again");
                        self.metrics.commit_failing.set(0);
                        self.status.set_trouble(None);
                    }
                    backoff = self::backoff();
                    match step {
                        Step::Advanced => continue,
                        Step::NothingToDo => None,
                    }
                }
                Err(error @ ReceiverError::Fenced { .. }) => {
                    tracing::error!(%error, "commits stop");
                    self.metrics.fenced.set(1);
                    self.status.fence(error.to_string());
                    return;
                }
                // Nothing that is taken from now on could ever get into the archive.
                Err(error @ ReceiverError::StoreCheck(StoreCheckError::Unfit(_))) => {
                    tracing::error!(%error, "no more writes are taken");
                    self.status.die(error.to_string());
                    return;
                }
                Err(error) => {
                    self.metrics.commit_failures.inc();
                    self.metrics.commit_failing.set(1);
                    let trouble = format!("nothing is committed to the archive, writes stay on local disk: {error}");
                    self.status.set_trouble(Some(trouble.replace('\n', " ")));
                    match std::mem::replace(&mut failing, true) {
                        true => {}
                        false if matches!(error, ReceiverError::Damaged { .. }) => {
                            tracing::error!(%error, "nothing can be committed; staging grows until this is mended");
                        }
                        false => tracing::warn!(%error, "commit failed; staging grows until the store answers"),
                    }
                    session.log_end = None;
                    Some(backoff.next().unwrap_or(BACKOFF_MAX))
                }
            };
            tokio::select! {
                () = self.generations.staged_arrived.notified(), if wait.is_none() => {}
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// Takes the oldest staged part one whole step further: into the catalog, and out of staging.
    async fn step(&self, session: &mut Session) -> Result<Step, ReceiverError> {
        if let Some(part) = &session.retired {
            self.remove_local(part).await?;
            session.retired = None;
        }
        let epoch = match session.epoch {
            Some(epoch) => epoch,
            None => *session.epoch.insert(self.claim().await?),
        };
        let end = match &mut session.log_end {
            Some(end) => end,
            found => found.insert(self.find_log_end(epoch).await?),
        };
        let Some(part) = self.generations.oldest_staged() else {
            return Ok(Step::NothingToDo);
        };
        // Only the nonce proves it: a range of segments may come again on a copy of the data directory.
        let newest = end.newest.as_ref().filter(|newest| newest.nonce == part.manifest.nonce);
        let sequence = match newest {
            Some(newest) => newest.seq,
            None => {
                let record = self.record(epoch, end.next, &part);
                self.upload(&part, &record).await?;
                match commit(&*self.store, &record).await? {
                    Committed::Done => {
                        end.next = record.seq + 1;
                        record.seq
                    }
                    Committed::AdoptedEarlier(earlier) => {
                        end.next = earlier.seq + 1;
                        end.newest = Some(*earlier);
                        return Ok(Step::Advanced);
                    }
                    Committed::Outrun { watermark } => {
                        end.next = watermark + 1;
                        return Ok(Step::Advanced);
                    }
                    Committed::Fenced { epoch } => return Err(self.fenced(epoch)),
                }
            }
        };
        // Readers are told first; the local copy goes after, before anything else is committed.
        self.generations.committed(&part, epoch, sequence);
        self.metrics.commits.inc();
        self.metrics
            .last_commit_timestamp
            .set(self.clock.now_ms() as f64 / 1000.0);
        let (samples, histograms) = (part.manifest.part.samples(), part.manifest.part.histograms());
        tracing::info!(sequence, samples, histograms, "part committed");
        session.retired = Some(part);
        Ok(Step::Advanced)
    }

    /// A store is checked once, before it becomes an archive; that it is one says that it was checked.
    async fn archive(&self) -> Result<Format, ReceiverError> {
        if let Some(format) = Format::load(&*self.store).await? {
            return Ok(format);
        }
        check_store(&self.store, |_| {}).await?;
        tracing::info!(store = %self.store, "the object store was checked and becomes an archive");
        Ok(Format::load_or_create(&*self.store, self.clock.now_ms()).await?)
    }

    async fn claim(&self) -> Result<u64, ReceiverError> {
        let format = self.archive().await?;
        let identity = self.flush.identity.clone();
        blocking(move || identity.lock().join(&format.dataset)).await?;
        let epoch = claim_epoch(&*self.store, &self.receiver, &fresh_nonce()).await?;
        tracing::info!(receiver = %self.receiver, epoch, "claimed an epoch");
        Ok(epoch)
    }

    async fn find_log_end(&self, epoch: u64) -> Result<LogEnd, ReceiverError> {
        let next = next_sequence(&*self.store, &self.receiver).await?;
        if let Some(created) = next.root_created_at {
            self.clock_rule.record(created);
        }
        if let Some(newer) = next.newest_record.as_ref().filter(|record| record.epoch > epoch) {
            return Err(self.fenced(newer.epoch));
        }
        self.generations.claimed(epoch, next.seq - 1);
        Ok(LogEnd {
            next: next.seq,
            newest: next.newest_record,
        })
    }

    async fn upload(&self, part: &StagedPart, record: &CommitRecord) -> Result<(), ReceiverError> {
        for (file, object) in part.manifest.part.files.iter().zip(&record.parts[0].files) {
            let path = part.directory.join(&file.path);
            let local = self.flush.fs.open(&path).map_err(ReceiverError::disk(path))?;
            upload(&*self.store, object, Arc::from(local)).await?;
        }
        Ok(())
    }

    fn fenced(&self, epoch: u64) -> ReceiverError {
        ReceiverError::Fenced {
            receiver: self.receiver.clone(),
            epoch,
        }
    }

    /// The segments must be gone, durably, before the part that replaced them is: otherwise a start would replay them.
    async fn remove_local(&self, part: &Arc<StagedPart>) -> Result<(), ReceiverError> {
        let (flush, leaving) = (self.flush.clone(), part.clone());
        blocking(move || {
            flush.trim_replaced(&leaving)?;
            leaving.remove(&*flush.fs)
        })
        .await?;
        self.generations.removed(part);
        Ok(())
    }

    fn record(&self, epoch: u64, seq: u64, part: &StagedPart) -> CommitRecord {
        let manifest = &part.manifest;
        let mut entry: PartEntry = manifest.part.clone();
        for file in &mut entry.files {
            file.path = names::level0(&self.receiver, seq, entry.ulid, file.kind).to_string();
        }
        CommitRecord {
            nonce: manifest.nonce.clone(),
            receiver: self.receiver.clone(),
            epoch,
            seq,
            wal: manifest.wal.clone(),
            committed_at: self.clock.now_ms(),
            newest_arrival: manifest.newest_arrival,
            parts: vec![entry],
        }
    }
}

const BACKOFF_MAX: Duration = Duration::from_secs(30);

fn backoff() -> backon::ExponentialBackoff {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(BACKOFF_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}
