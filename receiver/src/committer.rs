//! The commit of staged parts: upload, then the numbered record by which a part is in the archive (DESIGN §5.1-2).
//!
//! One part at a time, in log order. The store may be down for as long as it likes: staging grows, writes go on, and each failure is
//! tried again with backoff and jitter. A record that may or may not have been created is recognised by its nonce, also by the next
//! incarnation. It must never remove a staged part whose record it has not seen in the store.

use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use emberkeep_archive::{
    CommitRecord, Committed, Format, ObjectStore, PartEntry, claim_epoch, commit, fresh_nonce, names, next_sequence,
    upload,
};
use emberkeep_service::clock::Clock;
use tokio::sync::watch;

use crate::clock_rule::ClockRule;
use crate::error::ReceiverError;
use crate::flush::Flush;
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

/// What a claimed incarnation knows of its own log.
#[derive(Debug)]
struct Session {
    epoch: u64,
    next: u64,
    /// The newest record of an earlier incarnation; it may hold our oldest staged part.
    newest: Option<CommitRecord>,
}

impl Committer {
    /// Runs until the stop signal; a part that is half committed then is finished by the next start.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut session = None;
        let mut backoff = backoff();
        let mut failing = false;
        while !*stop.borrow() {
            let step = async {
                match self.generations.oldest_staged() {
                    Some(part) => self.advance(&mut session, &part).await.map(|()| true),
                    None => Ok(false),
                }
            };
            let outcome = tokio::select! {
                outcome = step => outcome,
                _ = stop.changed() => return,
            };
            let wait = match outcome {
                Ok(true) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("commits to the store work again");
                    }
                    backoff = self::backoff();
                    continue;
                }
                Ok(false) => None,
                Err(ReceiverError::Fenced { receiver, epoch }) => {
                    let error = ReceiverError::Fenced { receiver, epoch };
                    tracing::error!(%error, "commits stop");
                    self.metrics.fenced.set(1);
                    self.status.fence(error.to_string());
                    return;
                }
                Err(error) => {
                    self.metrics.commit_failures.inc();
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "commit failed; staging grows until the store answers");
                    }
                    // What the session believes may be what is wrong.
                    session = None;
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
    async fn advance(&self, session: &mut Option<Session>, part: &Arc<StagedPart>) -> Result<(), ReceiverError> {
        let session = match session {
            Some(session) => session,
            None => session.insert(self.claim().await?),
        };
        if let Some(newest) = session.newest.as_ref().filter(|newest| holds(newest, part)) {
            return self.settle(part, session.epoch, newest.seq);
        }
        let record = self.record(session, part);
        for (file, object) in part.manifest.part.files.iter().zip(&record.parts[0].files) {
            let local = self
                .flush
                .fs
                .open(&part.directory.join(&file.path))
                .map_err(ReceiverError::disk(&part.directory))?;
            upload(&*self.store, &object.location()?, Arc::from(local), file.bytes).await?;
        }
        match commit(&*self.store, &record).await? {
            Committed::Done => {
                session.next += 1;
                self.settle(part, record.epoch, record.seq)
            }
            Committed::AdoptedEarlier(earlier) => {
                session.next = earlier.seq + 1;
                session.newest = Some(*earlier);
                Ok(())
            }
            Committed::Outrun { watermark } => {
                session.next = watermark + 1;
                Ok(())
            }
            Committed::Fenced { epoch } => Err(ReceiverError::Fenced {
                receiver: self.receiver.clone(),
                epoch,
            }),
        }
    }

    async fn claim(&self) -> Result<Session, ReceiverError> {
        let format = Format::load_or_create(&*self.store, self.clock.now_ms()).await?;
        self.flush.identity.lock().join(&format.dataset)?;
        let epoch = claim_epoch(&*self.store, &self.receiver, &fresh_nonce()).await?;
        let next = next_sequence(&*self.store, &self.receiver).await?;
        if let Some(created) = next.root_created_at {
            self.clock_rule.record(created);
        }
        self.generations.claimed(epoch, next.seq - 1);
        tracing::info!(receiver = %self.receiver, epoch, next_sequence = next.seq, "claimed an epoch");
        Ok(Session {
            epoch,
            next: next.seq,
            newest: next.newest_record,
        })
    }

    fn record(&self, session: &Session, part: &StagedPart) -> CommitRecord {
        let manifest = &part.manifest;
        let mut entry: PartEntry = manifest.part.clone();
        for file in &mut entry.files {
            file.path = names::level0(&self.receiver, session.next, entry.ulid, file.kind).to_string();
        }
        CommitRecord {
            nonce: manifest.nonce.clone(),
            receiver: self.receiver.clone(),
            epoch: session.epoch,
            seq: session.next,
            wal: manifest.wal.clone(),
            committed_at: self.clock.now_ms(),
            newest_arrival: manifest.newest_arrival,
            parts: vec![entry],
        }
    }

    /// The part is in the catalog: readers are told first, the local copy goes after.
    fn settle(&self, part: &Arc<StagedPart>, epoch: u64, sequence: u64) -> Result<(), ReceiverError> {
        self.generations.committed(part, epoch, sequence);
        self.metrics.commits.inc();
        self.metrics
            .last_commit_timestamp
            .set(self.clock.now_ms() as f64 / 1000.0);
        tracing::info!(sequence, samples = part.manifest.part.samples(), "part committed");
        // The segments must be gone, durably, before the part that replaced them is: otherwise a start would replay them.
        self.flush.trim_replaced(part)?;
        part.remove(&*self.flush.fs)
    }
}

/// Whether a staged part is in the archive already. Parts are committed in log order, so a record of the same log that ends at or
/// after the part's last segment says so: the local copy only outlived a crash or a failed removal.
fn holds(record: &CommitRecord, part: &StagedPart) -> bool {
    let (theirs, ours) = (&record.wal, &part.manifest.wal);
    record.nonce == part.manifest.nonce || (theirs.id == ours.id && ours.to <= theirs.to)
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
