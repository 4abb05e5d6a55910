//! The flush loop: by time, by size, or when asked, the open generation is rotated, staged, and its segments removed.
//!
//! One task, so parts are staged in log order. While the log of an earlier life is replayed, the generations of that come first and the
//! open one waits; should replay fail, it is never flushed, because its part would stand before what is older.
//!
//! A failure leaves generation and segments as they are and is tried again: the head grows to its bound, then writes get 503, and nothing
//! is lost. A record that makes the flush fail for its content is found by flushing the records one by one, and set aside.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::BackoffBuilder;
use emberkeep_model::TenantId;
use emberkeep_wal::SegmentRange;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::admission::Admission;
use crate::error::ReceiverError;
use crate::flush::{Conflicts, Flush};
use crate::generations::{Frozen, Generation, Generations};
use crate::metrics::{Metrics, TenantLabels};
use crate::poison::without_poison;
use crate::replay::Replayed;
use crate::replay_state::ReplayState;
use crate::settings::Settings;

/// How often sizes are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Tenants that the metric of conflicts tells apart: their names come from outside.
const CONFLICT_TENANTS_MAX: usize = 256;

/// All further ones; no tenant can have this name.
const OTHER_TENANTS: &str = "<others>";

/// Asks for a flush now; answered when everything acknowledged before is staged.
pub(crate) type FlushRequest = oneshot::Sender<()>;

/// The flush loop of one receiver.
#[derive(Debug)]
pub(crate) struct Flusher {
    pub(crate) flush: Arc<Flush>,
    pub(crate) settings: Settings,
    pub(crate) generations: Arc<Generations>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) admission: Admission,
    /// Generations as they are replayed; none when that is over.
    pub(crate) replayed: Option<mpsc::Receiver<Replayed>>,
    pub(crate) replay: Arc<ReplayState>,
    /// Frozen and not staged, oldest first.
    pub(crate) waiting: VecDeque<Waiting>,
    /// Tenants with a line in the metric of conflicts.
    pub(crate) conflict_tenants: BTreeSet<TenantId>,
    /// Flushes in a row that failed for what they hold.
    pub(crate) content_failures: u32,
}

/// A frozen generation that is not staged.
#[derive(Debug)]
pub(crate) struct Waiting {
    frozen: Frozen,
    /// Given back when it has left the memory, so that replay goes on.
    turn: Option<OwnedSemaphorePermit>,
}

impl Flusher {
    /// Runs until the stop signal; what is not staged then is in the log.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<FlushRequest>, mut stop: watch::Receiver<bool>) {
        let mut due = Instant::now() + self.settings.flush_interval;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut asked: Vec<FlushRequest> = Vec::new();
        let mut wants_rotation = false;
        let mut backoff = backoff();
        let mut not_before = Instant::now();
        while !*stop.borrow() {
            tokio::select! {
                Some(request) = requests.recv() => {
                    asked.push(request);
                    wants_rotation = true;
                }
                replayed = next(&mut self.replayed), if self.replayed.is_some() => self.take_replayed(replayed),
                _ = look.tick() => {}
                _ = stop.changed() => return,
            }
            self.observe();
            let now = Instant::now();
            let is_in_order = self.replayed.is_none() && self.replay.is_done();
            let is_due = wants_rotation || now >= due || self.generations.head_bytes().0 >= self.settings.flush_bytes;
            if is_in_order && is_due {
                due = now + self.settings.flush_interval;
                wants_rotation = false;
                match self.generations.rotate().await {
                    Ok(frozen) => self.waiting.push_back(Waiting { frozen, turn: None }),
                    Err(error) => tracing::warn!(%error, "the write-ahead log does not rotate"),
                }
            }
            if self.replayed.is_none() && !is_in_order {
                // Replay failed: nobody will be told that everything is staged.
                asked.clear();
            }
            if now < not_before || self.waiting.is_empty() {
                continue;
            }
            match self.stage_waiting(&stop).await {
                Ok(()) => {
                    backoff = self::backoff();
                    if !wants_rotation {
                        for request in asked.drain(..) {
                            // Whoever asked may have gone.
                            let _ = request.send(());
                        }
                    }
                }
                Err(error) => {
                    self.metrics.flush_failures.inc();
                    let wait = backoff.next().unwrap_or(Duration::from_secs(30));
                    tracing::warn!(%error, retry_in = ?wait, "flush failed; the data stays in the write-ahead log");
                    not_before = Instant::now() + wait;
                }
            }
        }
    }

    /// Takes the next generation that was replayed, or the end of them.
    fn take_replayed(&mut self, replayed: Option<Replayed>) {
        match replayed {
            Some(Replayed { frozen, turn }) => self.waiting.push_back(Waiting {
                frozen,
                turn: Some(turn),
            }),
            None => self.replayed = None,
        }
    }

    /// At most a few lines for each flush; the metric counts all.
    fn tell_conflicts(&mut self, conflicts: &Conflicts) {
        for (tenant, lost) in &conflicts.by_tenant {
            let is_known = self.conflict_tenants.contains(tenant);
            let tenant = if is_known || self.conflict_tenants.len() < CONFLICT_TENANTS_MAX {
                self.conflict_tenants.insert(tenant.clone());
                tenant.as_str().to_owned()
            } else {
                OTHER_TENANTS.to_owned()
            };
            let labels = TenantLabels { tenant };
            self.metrics.conflicts.get_or_create(&labels).inc_by(*lost);
        }
        for (tenant, series, lost) in &conflicts.told {
            tracing::warn!(
                %tenant,
                %series,
                lost,
                "different rows for one timestamp: two senders without a label that tells them apart, or one over both protocols?"
            );
        }
    }

    async fn stage_waiting(&mut self, stop: &watch::Receiver<bool>) -> Result<(), ReceiverError> {
        while let Some(frozen) = self.waiting.front().map(|waiting| waiting.frozen.clone()) {
            if *stop.borrow() {
                return Err(ReceiverError::Failed("stopped before everything was staged".to_owned()));
            }
            if let Some(segments) = frozen.segments {
                let (flush, generation) = (self.flush.clone(), frozen.generation.clone());
                let flushed = match blocking(move || flush.stage(&generation, segments)).await {
                    Err(error) if !error.is_local_trouble() => return self.content_failed(error, segments).await,
                    flushed => flushed?,
                };
                self.content_failures = 0;
                self.tell_conflicts(&flushed.conflicts);
                match flushed.part {
                    Some(part) => {
                        let (samples, bytes) = (part.manifest.part.samples(), part.bytes());
                        let conflicts = flushed.conflicts.total();
                        let histograms = part.manifest.part.histograms();
                        tracing::info!(samples, histograms, bytes, conflicts, "generation flushed");
                        self.metrics.flushes.inc();
                        self.generations.staged(&frozen.generation, part);
                    }
                    None => self.generations.forget(&frozen.generation),
                }
                self.leave(frozen.generation);
                // From here on the staged part stands for the segments: a failure to remove them is made good by the next start.
                let flush = self.flush.clone();
                if let Err(error) = blocking(move || flush.trim(segments)).await {
                    tracing::warn!(%error, "flushed segments could not be removed");
                }
            } else {
                self.generations.forget(&frozen.generation);
                self.leave(frozen.generation);
            }
        }
        Ok(())
    }

    /// The oldest generation is staged, or held nothing: its memory goes, and then its turn.
    fn leave(&mut self, generation: Arc<Generation>) {
        drop(generation);
        if let Some(Waiting { frozen, turn }) = self.waiting.pop_front() {
            drop(frozen);
            drop(turn);
        }
    }

    /// The flush failed for what the generation holds. The second time in a row its records are tried one by one.
    async fn content_failed(&mut self, error: ReceiverError, segments: SegmentRange) -> Result<(), ReceiverError> {
        self.content_failures += 1;
        if self.content_failures >= 2 {
            let (flush, metrics) = (self.flush.clone(), self.metrics.clone());
            let rest = blocking(move || without_poison(&flush, segments, &metrics)).await?;
            if let Some(front) = self.waiting.front_mut() {
                let spoiled = std::mem::replace(&mut front.frozen.generation, rest);
                self.generations.replace(&spoiled, &front.frozen.generation);
            }
            self.content_failures = 0;
        }
        Err(error)
    }

    fn observe(&self) {
        let (m, g) = (&self.metrics, &self.generations);
        m.head_bytes.set(to_gauge(g.head_bytes().1));
        m.head_series.set(i64::try_from(g.n_series()).unwrap_or(i64::MAX));
        let (bytes, parts) = g.staged_size();
        m.staging_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        m.staged_parts.set(to_gauge(parts));
        m.in_flight_bytes.set(to_gauge(self.admission.in_flight()));
        let log = g.wal().stats();
        m.wal_bytes.inner().store(log.body_bytes, Ordering::Relaxed);
        m.wal_syncs.inner().store(log.syncs, Ordering::Relaxed);
        m.wal_written_bytes.inner().store(log.written_bytes, Ordering::Relaxed);
        m.wal_groups.inner().store(log.groups, Ordering::Relaxed);
        m.wal_queue_bytes
            .set(i64::try_from(log.queued_bytes).unwrap_or(i64::MAX));
        m.wal_longest_sync_seconds.set(log.longest_sync.as_secs_f64());
        let seconds = m.wal_sync_seconds.inner();
        seconds.store(log.sync_time.as_secs_f64().to_bits(), Ordering::Relaxed);
    }
}

/// The next replayed generation; pends for ever when replay is over.
async fn next(replayed: &mut Option<mpsc::Receiver<Replayed>>) -> Option<Replayed> {
    match replayed {
        Some(replayed) => replayed.recv().await,
        None => std::future::pending().await,
    }
}

fn to_gauge(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReceiverError> + Send + 'static,
) -> Result<T, ReceiverError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failure) => Err(ReceiverError::Failed(failure.to_string())),
    }
}

fn backoff() -> backon::ExponentialBackoff {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(30))
        .with_jitter()
        .without_max_times()
        .build()
}
