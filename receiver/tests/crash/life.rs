//! One life of a receiver: a start on a file system, requests through its routes, and an end or a death.
//!
//! Each life has a runtime of one thread that runs only while the test waits in it, so the loops of the receiver move only then, and a
//! dropped life is a killed process: what its threads had begun on the disk ends at a call boundary, nothing else happens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::handler::Handler;
use axum::routing::{MethodRouter, any_service};
use emberkeep_archive::{DirectoryStore, Format, ObjectStore};
use emberkeep_disk::{FileSystem, ForgetfulFs};
use emberkeep_model::head::{HeadKinds, HeadQuery};
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_receiver::{Components, Pause, Receiver, Settings};
use emberkeep_service::clock::ManualClock;
use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;

use crate::ledger::Ledger;
use crate::request::{NOW, Request};

/// Under parents of their own, so that a sync for the one is no sync for the other.
pub(crate) const DATA: &str = "/node/data";
pub(crate) const ARCHIVE: &str = "/bucket/archive";
/// How long anything may take before the test gives it up as stuck.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_micros(300);

/// What a life runs on.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) fs: ForgetfulFs,
    /// The file system as the receiver sees it: the same, or a gate in front of it.
    pub(crate) local_fs: Arc<dyn FileSystem>,
    /// The file system that the store lies on, likewise.
    pub(crate) store_fs: Arc<dyn FileSystem>,
    pub(crate) data: PathBuf,
    /// Head bytes at which a generation is flushed, or cut when it is replayed.
    pub(crate) flush_bytes: usize,
    pub(crate) pause: Pause,
    pub(crate) ledger: Ledger,
}

impl Ground {
    pub(crate) fn new(fs: &ForgetfulFs, ledger: &Ledger) -> Self {
        Self {
            fs: fs.clone(),
            local_fs: Arc::new(fs.clone()),
            store_fs: Arc::new(fs.clone()),
            data: DATA.into(),
            flush_bytes: Settings::new(DATA.into()).flush_bytes,
            pause: Pause::default(),
            ledger: ledger.clone(),
        }
    }

    fn settings(&self) -> Settings {
        let never = Duration::from_secs(10 * 365 * 86_400);
        // Two requests fill a segment.
        Settings {
            segment_bytes: 1600,
            flush_bytes: self.flush_bytes,
            flush_interval: never,
            ..Settings::new(self.data.clone())
        }
    }
}

/// What a sender gets.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: bool,
    pub(crate) text: String,
}

/// One running receiver.
pub(crate) struct Life {
    // Dropped in this order: the tasks go before what they use.
    pub(crate) runtime: Runtime,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) ground: Ground,
    pub(crate) route: MethodRouter,
    metrics: Registry,
    fatal: Arc<AtomicUsize>,
}

impl Life {
    /// Starts; the text says why it cannot.
    pub(crate) fn start(ground: Ground) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut metrics = Registry::default();
        let fatal = Arc::new(AtomicUsize::new(0));
        let started = runtime.block_on(async {
            let store = DirectoryStore::open(ground.store_fs.clone(), ARCHIVE).map_err(|error| error.to_string())?;
            let store: Arc<dyn ObjectStore> = Arc::new(store);
            // Otherwise the receiver checks the store first: thousands of steps to crash at, none of them of interest here. When the disk
            // fails it does so all the same, and that is as good.
            let _ = Format::load_or_create(&*store, NOW).await;
            let called = fatal.clone();
            let components = Components {
                fs: ground.local_fs.clone(),
                store: store.clone(),
                clock: Arc::new(ManualClock::new(NOW)),
                on_fatal: Box::new(move |_| {
                    called.fetch_add(1, Ordering::SeqCst);
                }),
                pause: ground.pause.clone(),
                stop: Arc::default(),
            };
            let receiver = Receiver::start(components, ground.settings(), &mut metrics).await;
            receiver
                .map(|receiver| (receiver, store))
                .map_err(|error| error.to_string())
        });
        let (receiver, store) = started?;
        let route = any_service(receiver.router());
        Ok(Self {
            runtime,
            receiver,
            store,
            ground,
            route,
            metrics,
            fatal,
        })
    }

    /// How often the receiver said that its process must end.
    pub(crate) fn fatal_calls(&self) -> usize {
        self.fatal.load(Ordering::SeqCst)
    }

    /// How many flushes and commits failed, by the metrics.
    pub(crate) fn failures(&self) -> u64 {
        self.metric("_failures_total") as u64
    }

    /// The sum of the metrics whose names end like this.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.metrics).unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples
            .filter(|line| line.split([' ', '{']).next().unwrap().ends_with(name))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Sends a request and waits for the answer, which the ledger learns, too.
    pub(crate) fn post(&self, request: &Request) -> Answer {
        self.runtime.block_on(self.send(request))
    }

    /// The same as a future, for requests that are held on their way.
    pub(crate) fn send(&self, request: &Request) -> impl Future<Output = Answer> + Send + use<> {
        let http = axum::http::Request::post("/api/v1/write")
            .header("Content-Type", request.content_type())
            .header("Content-Encoding", "snappy")
            .header("X-Scope-OrgID", request.tenant)
            .body(Body::from(request.body()))
            .unwrap();
        let (route, ledger, request) = (self.route.clone(), self.ground.ledger.clone(), request.clone());
        ledger.send(&request);
        async move {
            let response = Handler::<(), ()>::call(route, http, ()).await;
            let status = response.status().as_u16();
            if response.status().is_success() {
                ledger.acknowledge(&request);
            }
            let retry_after = response.headers().contains_key("Retry-After");
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            Answer {
                status,
                retry_after,
                text: String::from_utf8(body.to_vec()).unwrap(),
            }
        }
    }

    /// Sends a request that must be accepted, unless the machine crashes.
    pub(crate) fn write(&self, request: &Request) -> Result<(), String> {
        let answer = self.post(request);
        if answer.status == 204 {
            Ok(())
        } else {
            Err(format!("{}: {}", answer.status, answer.text))
        }
    }

    /// Waits until the log of earlier lives is replayed, so that the head can be read.
    pub(crate) fn replayed(&self) -> Result<(), String> {
        self.unless_stuck(self.receiver.replayed())?
            .map_err(|error| error.to_string())
    }

    /// Waits until the receiver has replayed its log and claimed its epoch, so that its committer touches the disk no more until there is a part.
    pub(crate) fn claimed(&self) -> Result<(), String> {
        self.replayed()?;
        let epoch = || async {
            let head = self.receiver.head();
            let read =
                tokio::task::spawn_blocking(move || head.read(&everything_of("anonymous", HeadKinds::Samples))).await;
            read.unwrap()
                .map(|answer| answer.position.epoch)
                .map_err(|error| error.to_string())
        };
        let mut failure = None;
        self.unless_stuck(when(async || match epoch().await {
            Ok(epoch) => epoch > 0,
            Err(error) => {
                failure = Some(error);
                true
            }
        }))?;
        failure.map_or(Ok(()), Err)
    }

    /// Stages everything. An error when the machine crashed meanwhile.
    pub(crate) fn flush(&self) -> Result<(), String> {
        self.unless_stuck(self.receiver.flush())
    }

    /// Waits until everything staged is committed and gone from staging.
    pub(crate) fn settle(&self) -> Result<(), String> {
        self.until(|life| life.staged_parts().is_empty())
    }

    /// Refuses writes and waits until nothing is left local. On a machine without faults no flush and no commit fails meanwhile.
    pub(crate) fn drain(&self) -> Result<(), String> {
        let failed = when(async || self.failures() > 0);
        let drain = async {
            tokio::select! {
                drained = self.receiver.drain() => drained.map_err(|error| error.to_string()),
                () = failed => Err("a flush or a commit failed".to_owned()),
            }
        };
        self.unless_stuck(drain)??;
        match (self.staged_parts(), self.segments()) {
            (parts, segments) if parts.is_empty() && segments.is_empty() => Ok(()),
            left => Err(format!("drained, but {left:?} are left")),
        }
    }

    /// Runs the receiver until a condition holds; an error when it cannot any more, or does not.
    pub(crate) fn until(&self, mut holds: impl FnMut(&Self) -> bool) -> Result<(), String> {
        self.unless_stuck(when(async || holds(self)))
    }

    /// An orderly end.
    pub(crate) fn stop(self) {
        self.runtime.block_on(self.receiver.shutdown());
    }

    /// Names of the staged parts on disk, unfinished ones included; none when they cannot be listed.
    pub(crate) fn staged_parts(&self) -> Vec<String> {
        let staging = names(&self.ground.fs, &self.ground.data.join("staging"));
        staging.into_iter().filter(|name| !name.starts_with('.')).collect()
    }

    /// Names of the log's segments.
    pub(crate) fn segments(&self) -> Vec<String> {
        let log = names(&self.ground.fs, &self.ground.data.join("wal"));
        log.into_iter().filter(|name| name.ends_with(".wal")).collect()
    }

    fn unless_stuck<T>(&self, work: impl Future<Output = T>) -> Result<T, String> {
        let crashed = when(async || self.ground.fs.has_crashed());
        let either = async {
            tokio::select! {
                biased;
                () = crashed => Err("the machine crashed".to_owned()),
                done = work => Ok(done),
            }
        };
        let ended = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, either).await });
        ended.unwrap_or_else(|_| Err(format!("no end after {PATIENCE:?}")))
    }
}

/// Returns when a condition holds. Looked at, not told: a file system or a receiver that told its test would run in steps of its own.
async fn when(mut holds: impl AsyncFnMut() -> bool) {
    let mut glances = tokio::time::interval(GLANCE);
    glances.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !holds().await {
        glances.tick().await;
    }
}

/// What a directory lists; nothing when it cannot be read.
pub(crate) fn names(fs: &dyn FileSystem, directory: &Path) -> Vec<String> {
    let entries = fs.read_dir(directory).unwrap_or_default();
    entries
        .iter()
        .map(|entry| entry.name_str().unwrap().to_owned())
        .collect()
}

/// All of a tenant.
pub(crate) fn everything_of(tenant: &str, kinds: HeadKinds) -> HeadQuery {
    HeadQuery {
        tenant: TenantId::parse(tenant).unwrap(),
        range: TimeRange::ALL,
        matchers: Arc::from([]),
        kinds,
    }
}
