//! One running receiver: its parts wired together, its start and its end.
//!
//! Start: identity, resumed staged parts, replay, log, loops; only then routes. End: no more writes, the loops stop, the log is synced
//! and closed. What is not staged then is in the log, what is not committed is in staging: a start goes on from there.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use emberkeep_archive::{DirectoryStore, ObjectStore};
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
use crate::metrics::Metrics;
use crate::replay::{Replayed, replay};
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
    /// Becomes true when a start that is still replaying must be given up.
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
    requests: mpsc::Sender<FlushRequest>,
    stop: watch::Sender<bool>,
    loops: Mutex<Vec<JoinHandle<()>>>,
}

impl Receiver {
    /// Opens the data directory, replays what is there, and starts the loops. The caller holds the directory's lock.
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
            stop,
        } = components;
        let metrics = Arc::new(Metrics::default());
        metrics.register(registry);
        let status = Arc::new(Status::new());
        let clock_rule = Arc::new(ClockRule::new());

        let opened = {
            let (fs, settings) = (fs.clone(), settings.clone());
            let (clock_rule, metrics) = (clock_rule.clone(), metrics.clone());
            blocking(move || open(fs, &settings, &clock_rule, &metrics, &stop)).await?
        };
        let Opened {
            flush,
            staged,
            replayed,
        } = opened;
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
        let wal = Wal::start(
            fs.clone(),
            &settings.wal_path(),
            wal_id,
            replayed.next_segment,
            options,
            on_fatal,
        )?;
        let generations = Arc::new(Generations::new(wal, receiver.clone(), staged));
        let waiting: VecDeque<_> = replayed.frozen.into_iter().collect();
        for frozen in &waiting {
            generations.adopt_replayed(frozen.generation.clone());
        }

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
            waiting,
            conflict_tenants: BTreeSet::new(),
            content_failures: 0,
        };
        let loops = vec![
            supervised("commit", committer.run(stopped.clone()), &status),
            supervised("flush", flusher.run(requested, stopped), &status),
        ];
        metrics.bounds(&settings);
        let staging: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(fs, settings.staging_path())?);
        let head = Arc::new(ReceiverHead {
            staging,
            generations: generations.clone(),
            status: status.clone(),
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
            requests,
            stop,
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

    /// Stages everything acknowledged so far; returns when it is staged, however long the disk takes.
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

/// What a start finds in the data directory.
struct Opened {
    flush: Arc<Flush>,
    staged: Vec<StagedPart>,
    replayed: Replayed,
}

/// Everything of a start that blocks: identity, staged parts, replay.
fn open(
    fs: Arc<dyn FileSystem>,
    settings: &Settings,
    clock_rule: &ClockRule,
    metrics: &Metrics,
    stop: &AtomicBool,
) -> Result<Opened, ReceiverError> {
    for directory in [settings.storage_path.clone(), settings.wal_path()] {
        create_dir_all_durable(&*fs, &directory).map_err(ReceiverError::disk(directory))?;
    }
    let identity = Identity::open(fs.clone(), &settings.identity_path())?;
    let staged = staging::resume(&fs, &settings.staging_path())?;
    let flush = Flush {
        fs,
        staging: settings.staging_path(),
        wal_path: settings.wal_path(),
        identity: Arc::new(Mutex::new(identity)),
    };
    let replayed = replay(&flush, settings.flush_bytes, &staged, clock_rule, metrics, stop)?;
    Ok(Opened {
        flush: Arc::new(flush),
        staged,
        replayed,
    })
}
