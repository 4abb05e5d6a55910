//! One running receiver: its parts wired together, its start and its end.
//!
//! Start: identity, resumed staged parts, a look at the log, the new log, loops; only then routes. The old log is replayed behind that. End:
//! no more writes, replay and loops stop, the log is synced and closed. What is not staged then is in the log, what is not committed is in
//! staging: a start goes on from there.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use emberkeep_archive::{DirectoryStore, KeyedStore, ObjectStore};
use emberkeep_disk::{FileSystem, create_dir_all_durable};
use emberkeep_model::head::Head;
use emberkeep_service::clock::Clock;
use emberkeep_wal::{Options, Wal};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::admission::Admission;
use crate::buffers::Buffers;
use crate::clock_rule::ClockRule;
use crate::committer::Committer;
use crate::error::ReceiverError;
use crate::flush::Flush;
use crate::flusher::{FlushRequest, Flusher, blocking};
use crate::generations::Generations;
use crate::head_endpoint;
use crate::head_read::ReceiverHead;
use crate::http;
use crate::identity::Identity;
use crate::ingest::{Ingest, Pause};
use crate::log_keys::LogKeys;
use crate::metrics::Metrics;
use crate::plan::Plan;
use crate::replay::{Replay, TURNS};
use crate::replay_state::ReplayState;
use crate::settings::Settings;
use crate::sources::Sources;
use crate::staging::{self, StagedPart};
use crate::status::Status;

/// What a receiver runs on; all of it replaceable in tests.
pub struct Components {
    /// The local disk.
    pub fs: Arc<dyn FileSystem>,
    /// The bucket.
    pub store: Arc<dyn ObjectStore>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Called when a sync of the log failed. Must end the process: the page cache can no longer be trusted, replay recovers.
    pub on_fatal: Box<dyn Fn(&std::io::Error) + Send>,
    /// Open in production.
    pub pause: Pause,
    /// Becomes true when a replay must be given up; also set by [`Receiver::shutdown`].
    pub stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Components {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Components")
            .field("fs", &self.fs)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    flush: Arc<Flush>,
    ingest: Arc<Ingest>,
    head: Arc<ReceiverHead>,
    generations: Arc<Generations>,
    status: Arc<Status>,
    replay: Arc<ReplayState>,
    requests: mpsc::Sender<FlushRequest>,
    stop: watch::Sender<bool>,
    stop_replay: Arc<AtomicBool>,
    loops: Mutex<Vec<JoinHandle<()>>>,
}

impl Receiver {
    /// Opens the data directory and starts the loops; what is in the log is replayed behind, while writes are accepted. The caller holds
    /// the directory's lock.
    ///
    /// # Errors
    /// The directory cannot be used; nothing was lost by trying.
    pub async fn start(
        components: Components,
        settings: Settings,
        registry: &mut Registry,
    ) -> Result<Arc<Self>, ReceiverError> {
        let Components {
            fs,
            store,
            clock,
            on_fatal,
            pause,
            stop: stop_replay,
        } = components;
        let metrics = Arc::new(Metrics::default());
        metrics.register(registry);
        let status = Arc::new(Status::new());
        let clock_rule = Arc::new(ClockRule::new());

        let opened = {
            let (fs, settings) = (fs.clone(), settings.clone());
            let (clock_rule, metrics) = (clock_rule.clone(), metrics.clone());
            blocking(move || open(fs, &settings, &clock_rule, &metrics)).await?
        };
        let Opened { flush, staged, plan } = opened;
        let (receiver, wal_id) = {
            let identity = flush.identity.lock();
            (identity.receiver().to_owned(), identity.wal_id())
        };
        let options = Options {
            segment_bytes: settings.segment_bytes,
            queue_bytes: settings.inflight_bytes_max,
        };
        let died = status.clone();
        let on_fatal = Box::new(move |error: &std::io::Error| {
            died.die(format!("the write-ahead log failed: {error}"));
            tracing::error!(%error, "the write-ahead log cannot be synced; stopping, the next start replays it");
            on_fatal(error);
        });
        let wal = Wal::start_sealed(
            fs.clone(),
            &settings.wal_path(),
            wal_id,
            plan.next_segment,
            options,
            Some(Arc::new(LogKeys(settings.keys.clone()))),
            on_fatal,
        )?;
        let generations = Arc::new(Generations::new(wal, receiver.clone(), staged));
        let replay = Arc::new(plan.state());
        let (replayed, replays) = mpsc::channel(TURNS as usize);

        let (stop, stopped) = watch::channel(false);
        let (requests, requested) = mpsc::channel(8);
        let committer = Committer {
            flush: flush.clone(),
            store,
            receiver,
            generations: generations.clone(),
            clock: clock.clone(),
            clock_rule: clock_rule.clone(),
            metrics: metrics.clone(),
            status: status.clone(),
        };
        let admission = Admission::new(settings.inflight_bytes_max);
        let flusher = Flusher {
            flush: flush.clone(),
            settings: settings.clone(),
            generations: generations.clone(),
            metrics: metrics.clone(),
            admission: admission.clone(),
            replayed: Some(replays),
            replay: replay.clone(),
            waiting: VecDeque::new(),
            conflict_tenants: BTreeSet::new(),
            content_failures: 0,
        };
        let replaying = Replay {
            plan,
            flush: flush.clone(),
            settings: settings.clone(),
            generations: generations.clone(),
            clock_rule: clock_rule.clone(),
            metrics: metrics.clone(),
            state: replay.clone(),
            stop: stop_replay.clone(),
            replayed,
        };
        let loops = vec![
            supervised("commit", committer.run(stopped.clone()), &status),
            supervised("flush", flusher.run(requested, stopped), &status),
            supervised("replay", watched(replaying, replay.clone(), status.clone()), &status),
        ];
        metrics.bounds(&settings);
        let staging = DirectoryStore::open(fs, settings.staging_path())?;
        let staging = KeyedStore::wrap(Arc::new(staging), &settings.keys);
        let head = Arc::new(ReceiverHead {
            staging,
            generations: generations.clone(),
            status: status.clone(),
            replay: replay.clone(),
            samples_max: settings.head_read_samples_max,
            runtime: tokio::runtime::Handle::current(),
        });
        let ingest = Ingest {
            settings,
            admission,
            clock,
            clock_rule,
            generations: generations.clone(),
            metrics,
            status: status.clone(),
            sources: Sources::default(),
            buffers: Buffers::default(),
            pause,
        };
        let ingest = Arc::new(ingest);
        Ok(Arc::new(Self {
            flush,
            ingest,
            head,
            generations,
            status,
            replay,
            requests,
            stop,
            stop_replay,
            loops: Mutex::new(loops),
        }))
    }

    /// The routes of remote write and of the head.
    pub fn router(&self) -> Router {
        http::routes(self.ingest.clone()).merge(head_endpoint::routes(self.head.clone()))
    }

    /// The head, for a reader in the same process.
    #[must_use]
    pub fn head(&self) -> Arc<dyn Head> {
        self.head.clone()
    }

    /// Ok while writes are accepted durably.
    ///
    /// # Errors
    /// Why they are not, for `/-/ready`.
    pub fn ready(&self) -> Result<(), String> {
        self.status.ready()
    }

    /// As [`Receiver::ready`], with what is wrong all the same: that nothing gets into the archive at the moment.
    ///
    /// # Errors
    /// As [`Receiver::ready`].
    pub fn readiness(&self) -> Result<Option<String>, String> {
        self.ready().map(|()| self.status.trouble())
    }

    /// Returns when the log of earlier lives is replayed: from then on the head can be read.
    ///
    /// # Errors
    /// It cannot be replayed, and the head cannot be read in this life.
    pub async fn replayed(&self) -> Result<(), ReceiverError> {
        self.replay.over().await
    }

    /// Stages everything acknowledged so far; returns when it is staged, however long replay and the disk take.
    pub async fn flush(&self) {
        let (done, staged) = oneshot::channel();
        if self.requests.send(done).await.is_ok() {
            // The sender is dropped only when the loop ended, and then nobody waits for more.
            let _ = staged.await;
        }
    }

    /// Refuses writes, stages and commits everything, and returns when nothing is left local.
    ///
    /// # Errors
    /// Another incarnation commits in our place, or something is left that cannot be committed; the text names it.
    pub async fn drain(&self) -> Result<(), ReceiverError> {
        self.status.drain();
        while self.ingest.admission.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.replayed().await?;
        self.flush().await;
        while self.generations.staged_size().1 > 0 {
            let left = self.generations.staged_left.notified();
            if let Some(why) = self.status.failed() {
                return Err(ReceiverError::Failed(why));
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), left).await;
        }
        if self.generations.head_bytes().1 > 0 {
            return Err(ReceiverError::Failed(
                "the head could not be flushed; see the log lines before".to_owned(),
            ));
        }
        let flush = self.flush.clone();
        blocking(move || flush.check_empty()).await
    }

    /// Ends the loops and closes the log. Call it when no request is in flight any more.
    pub async fn shutdown(&self) {
        self.status.stop();
        self.stop_replay.store(true, Ordering::Relaxed);
        let _ = self.stop.send(true);
        let loops = std::mem::take(&mut *self.loops.lock());
        for task in loops {
            if let Err(failure) = task.await {
                tracing::error!(%failure, "a loop ended badly");
            }
        }
        let generations = self.generations.clone();
        let closed = tokio::task::spawn_blocking(move || generations.wal().close()).await;
        if let Err(failure) = closed {
            tracing::error!(%failure, "the write-ahead log was not closed");
        }
    }
}

/// A loop whose panic makes the receiver refuse writes: what is acknowledged must get into the archive.
fn supervised(
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
    status: &Arc<Status>,
) -> JoinHandle<()> {
    let (task, status) = (tokio::spawn(work), status.clone());
    tokio::spawn(async move {
        if let Err(failure) = task.await {
            tracing::error!(%failure, "the {name} loop ended badly; restart this process");
            status.die(format!("the {name} loop ended badly"));
        }
    })
}

/// Replays in a thread of its own. When that fails, the head stays incomplete: no read may be answered, and nothing new is taken that could
/// not be flushed in its turn.
async fn watched(replay: Replay, state: Arc<ReplayState>, status: Arc<Status>) {
    if let Err(error) = blocking(move || replay.run()).await {
        let why = format!("the write-ahead log cannot be replayed: {error}");
        tracing::error!(%error, "the write-ahead log cannot be replayed; nothing of it is lost, and no writes are taken");
        status.die(why.clone());
        state.fail(why);
    }
}

/// What a start finds in the data directory.
struct Opened {
    flush: Arc<Flush>,
    staged: Vec<StagedPart>,
    plan: Plan,
}

/// Everything of a start that blocks: identity, staged parts, a look at the log.
fn open(
    fs: Arc<dyn FileSystem>,
    settings: &Settings,
    clock_rule: &ClockRule,
    metrics: &Metrics,
) -> Result<Opened, ReceiverError> {
    for directory in [settings.storage_path.clone(), settings.wal_path()] {
        create_dir_all_durable(&*fs, &directory).map_err(ReceiverError::disk(directory))?;
    }
    let identity = Identity::open(fs.clone(), &settings.identity_path())?;
    let staged = staging::resume(&fs, &settings.staging_path(), &settings.keys)?;
    let flush = Flush {
        fs,
        staging: settings.staging_path(),
        wal_path: settings.wal_path(),
        identity: Arc::new(Mutex::new(identity)),
        keys: settings.keys.clone(),
    };
    let plan = Plan::make(&flush, &staged, clock_rule, metrics)?;
    Ok(Opened {
        flush: Arc::new(flush),
        staged,
        plan,
    })
}
