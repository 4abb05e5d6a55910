//! The command line of the receiver, shared by the binary `receiver` and by `emberkeep receiver`.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use emberkeep_archive::{ArchiveError, Catalog, CountingStore, Format, ObjectStore, StoreConfig, StoreTraffic};
use emberkeep_disk::RealFs;
use emberkeep_service::clock::SystemClock;
use emberkeep_service::config::FileConfig;
use emberkeep_service::flags::{ConfigFileFlag, FlushFlags, LogFlags, ObjstoreFlags, StorageFlags, WebFlags};
use emberkeep_service::lock::{DirectoryLock, LockError};
use emberkeep_service::metrics::Metrics;
use emberkeep_service::opening::Opening;
use emberkeep_service::problem::Outcome;
use emberkeep_service::shutdown::{Shutdown, Signals};
use emberkeep_service::{duration, logs, server, size};
use prometheus_client::registry::Registry;
use tokio::sync::Notify;

use crate::adopt::{self, AdoptFlags};
use crate::{Components, Limits, Pause, Receiver, Settings, key_config};

/// Where the receiver listens when nothing is said.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:9201";

/// How long a start waits for the store to say whether its keys are there: writes are to be taken within a second.
const KEY_CHECK: Duration = Duration::from_millis(500);

/// How often a drain looks whether a running server has let go of the data directory.
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(200);

/// Command line of the receiver.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ReceiverArgs {
    /// What to do; without it, serve.
    #[command(subcommand)]
    pub command: Option<ReceiverCommand>,
    /// Settings for serving.
    #[command(flatten)]
    pub serve: ReceiverFlags,
    /// Where to listen.
    #[command(flatten)]
    pub web: WebFlags,
}

/// Commands beside serving.
#[derive(Debug, Subcommand)]
pub enum ReceiverCommand {
    /// Take no more writes, commit everything, and exit 0 when nothing is left in the data directory. A server that is running on
    /// the directory is asked to do the same and to end.
    Drain(Box<ReceiverFlags>),
    /// Commit what a receiver that is fenced or gone left in its data directory, here or on any machine that has the directory. It can be
    /// repeated.
    Adopt(AdoptFlags),
}

/// Flags that serving and draining share.
#[derive(Debug, Default, Args)]
pub struct ReceiverFlags {
    /// Configuration file.
    #[command(flatten)]
    pub config_file: ConfigFileFlag,
    /// Logging.
    #[command(flatten)]
    pub log: LogFlags,
    /// Local storage.
    #[command(flatten)]
    pub storage: StorageFlags,
    /// Object store.
    #[command(flatten)]
    pub objstore: ObjstoreFlags,
    /// Flush.
    #[command(flatten)]
    pub flush: FlushFlags,
    /// Bounds.
    #[command(flatten)]
    pub bounds: BoundFlags,
}

/// Bounds of memory, local disk and requests. Above each, writes get 503 (bodies: 413).
#[derive(Debug, Default, Args)]
pub struct BoundFlags {
    /// Head size at which a flush starts early [default: 512MB].
    #[arg(id = "flush.size", long = "flush.size", value_name = "SIZE", value_parser = size::parse)]
    pub flush_size: Option<u64>,
    /// Most memory that samples may take before they are flushed [default: 2GB].
    #[arg(id = "head.size-limit", long = "head.size-limit", value_name = "SIZE", value_parser = size::parse)]
    pub head_limit: Option<u64>,
    /// Most local disk that flushed parts may take while the object store is away [default: 64GB].
    #[arg(id = "staging.size-limit", long = "staging.size-limit", value_name = "SIZE", value_parser = size::parse)]
    pub staging_limit: Option<u64>,
    /// Most memory that requests in flight may take: the body as sent, and four times the decoded one [default: 512MB].
    #[arg(id = "write.in-flight-limit", long = "write.in-flight-limit", value_name = "SIZE", value_parser = size::parse)]
    pub in_flight_limit: Option<u64>,
    /// Largest request body as sent [default: 64MB].
    #[arg(id = "write.body-limit", long = "write.body-limit", value_name = "SIZE", value_parser = size::parse)]
    pub body_limit: Option<u64>,
    /// Largest request body after decompression [default: 256MB].
    #[arg(id = "write.decoded-limit", long = "write.decoded-limit", value_name = "SIZE", value_parser = size::parse)]
    pub decoded_limit: Option<u64>,
    /// How long a request body may take to arrive [default: 1m].
    #[arg(id = "write.timeout", long = "write.timeout", value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// Most series entries of a request [default: 1000000].
    #[arg(id = "write.series-limit", long = "write.series-limit", value_name = "N")]
    pub series_limit: Option<usize>,
    /// Most float samples, histograms and exemplars of a request [default: 10000000].
    #[arg(id = "write.samples-limit", long = "write.samples-limit", value_name = "N")]
    pub samples_limit: Option<usize>,
    /// Most labels of a series; a series with more is left out [default: 1000].
    #[arg(id = "write.labels-limit", long = "write.labels-limit", value_name = "N")]
    pub labels_limit: Option<usize>,
    /// Longest label name; a series with a longer one is left out [default: 16KB].
    #[arg(id = "write.label-name-limit", long = "write.label-name-limit", value_name = "SIZE", value_parser = size::parse)]
    pub label_name_limit: Option<u64>,
    /// Longest label value; a series with a longer one is left out [default: 1MB].
    #[arg(id = "write.label-value-limit", long = "write.label-value-limit", value_name = "SIZE", value_parser = size::parse)]
    pub label_value_limit: Option<u64>,
    /// Most characters of all labels of an exemplar; one with more is left out [default: 128].
    #[arg(id = "write.exemplar-limit", long = "write.exemplar-limit", value_name = "N")]
    pub exemplar_limit: Option<usize>,
    /// Most buckets of a native histogram; one with more is left out [default: 65536].
    #[arg(id = "write.buckets-limit", long = "write.buckets-limit", value_name = "N")]
    pub buckets_limit: Option<usize>,
}

impl BoundFlags {
    fn limits(&self) -> Limits {
        let default = Limits::default();
        let bytes =
            |given: Option<u64>, default| given.map_or(default, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        Limits {
            series_per_request: self.series_limit.unwrap_or(default.series_per_request),
            samples_per_request: self.samples_limit.unwrap_or(default.samples_per_request),
            labels_per_series: self.labels_limit.unwrap_or(default.labels_per_series),
            label_name_bytes: bytes(self.label_name_limit, default.label_name_bytes),
            label_value_bytes: bytes(self.label_value_limit, default.label_value_bytes),
            exemplar_chars: self.exemplar_limit.unwrap_or(default.exemplar_chars),
            histogram_buckets: self.buckets_limit.unwrap_or(default.histogram_buckets),
        }
    }
}

impl ReceiverFlags {
    /// The settings that flags, file and defaults give together.
    ///
    /// # Errors
    /// A bound that contradicts another.
    pub fn settings(&self, file: &FileConfig) -> anyhow::Result<Settings> {
        let mut settings = Settings::new(self.storage.resolve(file));
        settings.flush_interval = self.flush.resolve(file);
        anyhow::ensure!(
            !settings.flush_interval.is_zero(),
            "`--flush.interval` must be more than 0"
        );
        let bounds = &self.bounds;
        let set = |target: &mut usize, given: Option<u64>| {
            if let Some(bytes) = given {
                *target = usize::try_from(bytes).unwrap_or(usize::MAX);
            }
        };
        set(&mut settings.flush_bytes, bounds.flush_size);
        set(&mut settings.head_bytes_max, bounds.head_limit);
        set(&mut settings.inflight_bytes_max, bounds.in_flight_limit);
        set(&mut settings.body_bytes_max, bounds.body_limit);
        set(&mut settings.decoded_bytes_max, bounds.decoded_limit);
        settings.limits = bounds.limits();
        settings.keys = key_config::read(&file.encryption)?;
        settings.body_timeout = bounds.timeout.unwrap_or(settings.body_timeout);
        settings.staging_bytes_max = bounds.staging_limit.unwrap_or(settings.staging_bytes_max);
        anyhow::ensure!(
            settings.flush_bytes < settings.head_bytes_max,
            "`--flush.size` must be less than `--head.size-limit`: a head at its limit could never be flushed in time"
        );
        Ok(settings)
    }

    /// The object store that flags and file name, by default the directory `archive` in the data directory; and what is counted of
    /// its use.
    ///
    /// # Errors
    /// A configuration that cannot be used.
    pub fn store(&self, file: &FileConfig) -> anyhow::Result<(Arc<dyn ObjectStore>, StoreTraffic)> {
        let config = match self.objstore.resolve(file)? {
            Some(given) => StoreConfig::parse(&given.yaml).with_context(|| given.place)?,
            None => StoreConfig::directory(self.storage.resolve(file).join("archive")),
        };
        let keys = key_config::read(&file.encryption)?;
        Ok(CountingStore::wrap(config.with_keys(keys).open()?))
    }

    /// The archive's directory, when no other store is configured.
    ///
    /// # Errors
    /// As [`Self::store`].
    pub fn archive_directory(&self, file: &FileConfig) -> anyhow::Result<Option<PathBuf>> {
        let is_default = self.objstore.resolve(file)?.is_none();
        Ok(is_default.then(|| self.storage.resolve(file).join("archive")))
    }
}

/// Starts a receiver on the real disk, in production. None when it was told to end meanwhile.
///
/// # Errors
/// As [`Receiver::start`].
pub async fn start(
    settings: Settings,
    store: Arc<dyn ObjectStore>,
    registry: &mut Registry,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<Arc<Receiver>>> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = {
        let (shutdown, stop) = (shutdown.clone(), stop.clone());
        tokio::spawn(async move {
            shutdown.triggered().await;
            stop.store(true, Ordering::Relaxed);
        })
    };
    check_keys(&store).await?;
    let components = Components {
        fs: Arc::new(RealFs),
        store,
        clock: Arc::new(SystemClock),
        // Not an orderly end: whatever is in the page cache can no longer be trusted.
        on_fatal: Box::new(|_| std::process::exit(1)),
        pause: Pause::default(),
        stop,
    };
    let started = Receiver::start(components, settings, registry).await;
    told.abort();
    match started {
        Ok(receiver) => Ok(Some(receiver)),
        Err(error) if shutdown.is_triggered() => {
            tracing::info!(%error, "told to end while starting");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// That an encrypted archive can be read with the keys that there are: whoever starts without them would put on the local disk, in clear, what
/// is to be encrypted.
async fn check_keys(store: &Arc<dyn ObjectStore>) -> anyhow::Result<()> {
    let look = async {
        match Format::load(&**store).await? {
            Some(format) if format.encryption.is_some() => Catalog::new(store.clone()).live().await.map(drop),
            _ => Ok(()),
        }
    };
    match tokio::time::timeout(KEY_CHECK, look).await {
        Ok(Err(error @ ArchiveError::Key { .. })) => Err(error.into()),
        // A store that is away does not keep writes from being taken; who commits looks again.
        _ => Ok(()),
    }
}

/// Runs what the command line says.
///
/// # Errors
/// Whatever keeps the receiver from starting or draining.
pub async fn run(args: ReceiverArgs) -> anyhow::Result<Outcome> {
    match args.command {
        None => serve(&args.serve, &args.web).await,
        Some(ReceiverCommand::Drain(flags)) => drain(&flags).await,
        Some(ReceiverCommand::Adopt(flags)) => adopt::run(&flags).await,
    }
}

async fn serve(flags: &ReceiverFlags, web: &WebFlags) -> anyhow::Result<Outcome> {
    let file = flags.config_file.load()?;
    let (level, format) = flags.log.resolve(&file);
    logs::init(level, format)?;
    let settings = flags.settings(&file)?;
    let _lock = DirectoryLock::acquire(&settings.storage_path)?;
    let (store, traffic) = flags.store(&file)?;
    let listener = server::bind(&web.resolve(&file, DEFAULT_ADDRESS)).await?;
    let address = listener.local_addr()?;

    let shutdown = Shutdown::new();
    let drain = Drain::default();
    tokio::spawn(Signals::install()?.serve(shutdown.clone(), drain.on_signal()));
    let opening = Opening::default();
    let serving = server::spawn(listener, opening.router(), &shutdown);
    let mut metrics = Metrics::new("receiver");
    traffic.register(metrics.registry());
    let Some(receiver) = start(settings, store, metrics.registry(), &shutdown).await? else {
        return Ok(Outcome::Done);
    };
    drain.watch(receiver.clone(), shutdown.clone());
    let asked = receiver.clone();
    opening.open(receiver.router().merge(server::admin_routes_with_trouble(
        move || asked.readiness(),
        Arc::new(metrics),
    )));
    tracing::info!(%address, "receiver accepts writes");

    let served = serving.await;
    end(&receiver, &shutdown).await;
    served??;
    drain.outcome()
}

/// Ends a receiver within what is left of the budget.
pub async fn end(receiver: &Receiver, shutdown: &Shutdown) {
    // A listener that broke ends the process as a signal does.
    shutdown.trigger();
    let left = shutdown.remaining().unwrap_or_default();
    if tokio::time::timeout(left, receiver.shutdown()).await.is_err() {
        tracing::warn!(
            "not everything ended in time; what was acknowledged is synced, the next start goes on from there"
        );
    }
}

/// What SIGUSR1 asks for: drain, then end. It may come before the receiver is there.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    asked: Arc<Notify>,
    failed: Arc<AtomicBool>,
}

impl Drain {
    /// For [`Signals::serve`].
    pub fn on_signal(&self) -> impl FnMut() + Send + use<> {
        let asked = self.asked.clone();
        move || asked.notify_one()
    }

    /// Drains this receiver when asked, and then tells the process to end.
    pub fn watch(&self, receiver: Arc<Receiver>, shutdown: Shutdown) {
        let drain = self.clone();
        tokio::spawn(async move {
            drain.asked.notified().await;
            tracing::info!("draining: no more writes are taken, everything is committed, then this process ends");
            if let Err(error) = receiver.drain().await {
                tracing::error!(%error, "drain failed; what is not committed stays in the data directory");
                drain.failed.store(true, Ordering::Relaxed);
            }
            shutdown.trigger();
        });
    }

    /// How the process ends.
    ///
    /// # Errors
    /// A drain was asked for and failed.
    pub fn outcome(&self) -> anyhow::Result<Outcome> {
        anyhow::ensure!(
            !self.failed.load(Ordering::Relaxed),
            "the drain failed; see the log lines before"
        );
        Ok(Outcome::Done)
    }
}

async fn drain(flags: &ReceiverFlags) -> anyhow::Result<Outcome> {
    let file = flags.config_file.load()?;
    let (level, format) = flags.log.resolve(&file);
    logs::init(level, format)?;
    let settings = flags.settings(&file)?;
    let _lock = take_over(&settings.storage_path).await?;
    let (store, _) = flags.store(&file)?;
    let shutdown = Shutdown::new();
    tokio::spawn(Signals::install()?.serve(shutdown.clone(), || {}));
    let Some(receiver) = start(settings.clone(), store, Metrics::new("receiver").registry(), &shutdown).await? else {
        anyhow::bail!("ended before it was drained");
    };
    let drained = tokio::select! {
        drained = receiver.drain() => drained.map_err(anyhow::Error::from),
        () = shutdown.triggered() => Err(anyhow::anyhow!("told to end; what is not committed stays in the data directory")),
    };
    end(&receiver, &shutdown).await;
    drained?;
    tracing::info!(storage = %settings.storage_path.display(), "nothing is left local");
    Ok(Outcome::Done)
}

/// Takes the lock of the data directory; a running server is asked to drain and to end first.
async fn take_over(directory: &Path) -> anyhow::Result<DirectoryLock> {
    let mut asked = None;
    loop {
        match DirectoryLock::acquire(directory) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { pid: Some(pid), .. }) => {
                if asked.replace(pid) != Some(pid) {
                    tracing::info!(pid, "asking the running server to drain");
                    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                    let pid = pid.context("the lock file holds no process id")?;
                    rustix::process::kill_process(pid, rustix::process::Signal::USR1)
                        .with_context(|| format!("cannot signal process {}", pid.as_raw_nonzero()))?;
                }
                tokio::time::sleep(LOCK_LOOK_EVERY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}
