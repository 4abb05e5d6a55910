//! The command line of the compactor, for its own binary and for `emberkeep compactor`.

mod delete;
mod drill;
mod heal;
mod jobs;
mod keeping;
mod key_of;
mod lock;
mod orphans;
mod rebuild;
mod rekey;
mod retention;
mod rollback;
mod scrub;
mod seed;
mod status;
mod store_check;

pub use heal::{Ended, HealThreads};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use emberkeep_archive::{Catalog, CountingStore, ObjectStore, StoreConfig, StoreTraffic};
use emberkeep_service::clock::SystemClock;
use emberkeep_service::config::FileConfig;
use emberkeep_service::flags::{ConfigFileFlag, LogFlags, ObjstoreFlags, StorageFlags, WebFlags};
use emberkeep_service::lock::DirectoryLock;
use emberkeep_service::metrics::Metrics;
use emberkeep_service::problem::Outcome;
use emberkeep_service::server::{GRACE, admin_routes, bind, serve};
use emberkeep_service::shutdown::{Shutdown, Signals};
use emberkeep_service::{duration, logs, size};
use tracing::info;

use crate::drill::{Drill, DrillMetrics, Schedule};
use crate::merge::MergeJob;
use crate::{
    Compactor, KeepingSettings, Merger, MergerSettings, PlanSettings, Settings, Upkeep, UpkeepMetrics, UpkeepSettings,
    key_config,
};

/// Where the compactor listens when nothing is said.
const DEFAULT_LISTEN_ADDRESS: &str = "127.0.0.1:9202";

/// Keeps the archive: folds, merges, expires, deletes. Without a command it runs as a server, as `run` does.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CompactorArgs {
    #[command(subcommand)]
    command: Option<CompactorCommand>,
    #[command(flatten)]
    flags: Flags,
}

/// What the compactor is asked to do.
#[derive(Debug, Subcommand)]
pub enum CompactorCommand {
    /// Fold and merge, as a server or once.
    Run(RunArgs),
    /// Print the merges that are due.
    Plan(jobs::PlanArgs),
    /// Run one merge of a plan and print its result.
    Job(jobs::JobArgs),
    /// Make results of merges live, in one root.
    Commit(jobs::CommitArgs),
    /// Bring history into the archive: from blocks, a snapshot, or a Prometheus that runs.
    Seed(Box<seed::SeedArgs>),
    /// Find what the archive misses and pull it from the Prometheus that has it.
    Heal(Box<heal::HealArgs>),
    /// Upkeep by hand.
    #[command(flatten)]
    Keeping(keeping::KeepingCommand),
    /// Look at the object store itself.
    #[command(subcommand)]
    Store(store_check::StoreCommand),
}

/// `compactor run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    flags: Flags,
    /// Fold and merge until nothing is left to do, then exit 0.
    #[arg(long)]
    once: bool,
}

/// Flags of the compactor.
#[derive(Debug, Args)]
struct Flags {
    #[command(flatten)]
    config_file: ConfigFileFlag,
    #[command(flatten)]
    log: LogFlags,
    #[command(flatten)]
    storage: StorageFlags,
    #[command(flatten)]
    objstore: ObjstoreFlags,
    #[command(flatten)]
    web: WebFlags,
    #[command(flatten)]
    fold: FoldFlags,
    #[command(flatten)]
    compact: CompactFlags,
}

/// `--compact.*`, here and in the program that runs everything.
#[derive(Debug, Clone, Default, Args)]
pub struct CompactFlags {
    /// Pause between two looks at what is to be merged, expired and deleted [default: 1m].
    #[arg(id = "compact.interval", long = "compact.interval", value_name = "DURATION", value_parser = duration::parse)]
    interval: Option<Duration>,
    /// How long the parts of a window that has ended wait for more of it, after the newest commit [default: 10m].
    #[arg(id = "compact.settle", long = "compact.settle", value_name = "DURATION", value_parser = duration::parse)]
    settle: Option<Duration>,
    /// Memory of one merge, beside the rows of one series; merges run one after the other [default: 256MB].
    #[arg(id = "compact.max-memory", long = "compact.max-memory", value_name = "SIZE", value_parser = merge_memory)]
    max_memory: Option<usize>,
    /// Directory for what a merge writes before it is uploaded; emptied at the start [default: `compactor` in --storage.path].
    #[arg(id = "compact.scratch", long = "compact.scratch", value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// The memory of a merge; less than it needs for two inputs is no limit that it could keep.
fn merge_memory(text: &str) -> Result<usize, String> {
    let least = MergeJob::least_memory();
    let bytes = size::parse(text).map_err(|error| error.to_string())?;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes >= least => Ok(bytes),
        Ok(_) => Err(format!("a merge needs {}MB at least", least.div_ceil(1 << 20))),
        Err(_) => Err("more than this machine can address".to_owned()),
    }
}

impl CompactFlags {
    /// The settings of upkeep; `archive` is the archive's directory, when it is one.
    ///
    /// # Errors
    /// An interval of zero, and rules of retention that cannot be.
    pub fn resolve(&self, file: &FileConfig, archive: Option<PathBuf>) -> anyhow::Result<UpkeepSettings> {
        let defaults = UpkeepSettings::default();
        let interval = self.interval.unwrap_or(defaults.interval);
        anyhow::ensure!(!interval.is_zero(), "`--compact.interval` must be more than 0");
        let settle = self.settle.unwrap_or(defaults.plan.settle);
        Ok(UpkeepSettings {
            interval,
            plan: PlanSettings {
                settle,
                ..defaults.plan
            },
            keeping: KeepingSettings::from_config(file, archive)?,
        })
    }

    /// What merges parts for a server, which must hold the lock of [`CompactFlags::scratch`]. What an earlier one left there goes.
    #[must_use]
    pub fn merger(&self, store: Arc<dyn ObjectStore>, storage_path: &Path) -> Merger {
        let merger = Merger::new(store, self.merger_settings(storage_path, "merges"));
        merger.clear_scratch();
        merger
    }

    /// What merges parts for a command that ends, beside a server that may run.
    fn job_merger(&self, store: Arc<dyn ObjectStore>, storage_path: &Path) -> Merger {
        Merger::new(store, self.merger_settings(storage_path, "jobs"))
    }

    fn merger_settings(&self, storage_path: &Path, folder: &str) -> MergerSettings {
        let usual = MergerSettings::new(self.scratch(storage_path).join(folder));
        MergerSettings {
            memory_bytes: self.max_memory.unwrap_or(usual.memory_bytes),
            ..usual
        }
    }

    /// The drills of a server, as its configuration file says; `place` is where its archive is.
    ///
    /// # Errors
    /// Settings of drills that cannot be.
    pub fn drills(
        &self,
        store: Arc<dyn ObjectStore>,
        file: &FileConfig,
        place: (&ConfigFileFlag, &StorageFlags, &ObjstoreFlags),
        metrics: DrillMetrics,
    ) -> anyhow::Result<Schedule> {
        let settings = drill::settings_of_server(file, self, place)?;
        let drill = Drill::new(Catalog::new(store), settings, Arc::new(SystemClock));
        Ok(Schedule::new(drill, metrics))
    }

    /// The directory for what merges write before it is uploaded.
    #[must_use]
    pub fn scratch(&self, storage_path: &Path) -> PathBuf {
        self.scratch.clone().unwrap_or_else(|| storage_path.join("compactor"))
    }
}

/// What every command needs.
struct Opened {
    store: Arc<dyn ObjectStore>,
    storage_path: PathBuf,
    compact: CompactFlags,
    settings: UpkeepSettings,
}

impl Opened {
    /// Reads the configuration, sets logging up, and opens the store.
    fn open(flags: &Flags) -> anyhow::Result<Self> {
        let file = flags.config_file.load()?;
        let (level, format) = flags.log.resolve(&file);
        logs::init(level, format)?;
        Ok(Self {
            store: open_store(flags, &file)?,
            storage_path: flags.storage.resolve(&file),
            compact: flags.compact.clone(),
            settings: flags.compact.resolve(&file, archive_directory(flags, &file)?)?,
        })
    }

    fn merger(&self) -> Merger {
        self.compact.job_merger(Arc::clone(&self.store), &self.storage_path)
    }

    fn upkeep(&self) -> Upkeep {
        let (store, settings) = (Arc::clone(&self.store), self.settings.clone());
        Upkeep::new(
            store,
            self.merger(),
            settings,
            Arc::new(SystemClock),
            UpkeepMetrics::default(),
        )
    }
}

/// `--fold.interval`, here and in the program that runs everything.
#[derive(Debug, Clone, Default, Args)]
pub struct FoldFlags {
    /// How often commit records are folded into a root [default: 15s].
    #[arg(id = "fold.interval", long = "fold.interval", value_name = "DURATION", value_parser = duration::parse)]
    interval: Option<Duration>,
}

impl FoldFlags {
    /// The compactor's settings.
    ///
    /// # Errors
    /// An interval of zero, which would list the bucket without a pause.
    pub fn resolve(&self) -> anyhow::Result<Settings> {
        let defaults = Settings::default();
        let fold_interval = self.interval.unwrap_or(defaults.fold_interval);
        anyhow::ensure!(!fold_interval.is_zero(), "`--fold.interval` must be more than 0");
        Ok(Settings {
            fold_interval,
            ..defaults
        })
    }
}

/// Does what the command line says, until it is done or a signal ends it.
///
/// # Errors
/// A configuration that cannot be used, an address that is taken, and with `--once` a store that fails.
pub async fn run(args: CompactorArgs) -> anyhow::Result<Outcome> {
    let (flags, once) = match args.command {
        Some(CompactorCommand::Run(run)) => (run.flags, run.once),
        Some(CompactorCommand::Plan(args)) => return jobs::plan(args).await,
        Some(CompactorCommand::Job(args)) => return jobs::job(args).await,
        Some(CompactorCommand::Commit(args)) => return jobs::commit(args).await,
        Some(CompactorCommand::Seed(args)) => return seed::run(*args).await,
        Some(CompactorCommand::Heal(args)) => return heal::run(*args).await,
        Some(CompactorCommand::Keeping(command)) => return keeping::run(command).await,
        Some(CompactorCommand::Store(command)) => return store_check::run(&command).await,
        None => (args.flags, false),
    };
    let file = flags.config_file.load()?;
    let (level, format) = flags.log.resolve(&file);
    logs::init(level, format)?;
    let (store, traffic) = CountingStore::wrap(open_store(&flags, &file)?);
    let compactor = Compactor::new(Arc::clone(&store), flags.fold.resolve()?, Arc::new(SystemClock));
    let storage_path = flags.storage.resolve(&file);
    let settings = flags.compact.resolve(&file, archive_directory(&flags, &file)?)?;
    let metrics = UpkeepMetrics::default();
    let settings = match once {
        true => settings.at_once(),
        false => settings,
    };
    let upkeep = |merger| {
        Upkeep::new(
            Arc::clone(&store),
            merger,
            settings,
            Arc::new(SystemClock),
            metrics.clone(),
        )
    };
    if once {
        let merger = flags.compact.job_merger(Arc::clone(&store), &storage_path);
        all_there_is(&compactor, &upkeep(merger)).await
    } else {
        let _lock = DirectoryLock::acquire(&flags.compact.scratch(&storage_path))?;
        let merger = flags.compact.merger(Arc::clone(&store), &storage_path);
        let drill_metrics = DrillMetrics::default();
        let place = (&flags.config_file, &flags.storage, &flags.objstore);
        let drills = flags
            .compact
            .drills(Arc::clone(&store), &file, place, drill_metrics.clone())?;
        let more = (&metrics, &drill_metrics, &traffic);
        serve_until_told(compactor, (upkeep(merger), drills), more, &store, &flags, &file).await
    }
}

/// The archive's directory, when nothing else is configured.
fn archive_directory(flags: &Flags, file: &FileConfig) -> anyhow::Result<Option<PathBuf>> {
    let is_default = flags.objstore.resolve(file)?.is_none();
    Ok(is_default.then(|| flags.storage.resolve(file).join("archive")))
}

fn open_store(flags: &Flags, file: &FileConfig) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let config = match flags.objstore.resolve(file)? {
        Some(config) => StoreConfig::parse(&config.yaml).with_context(|| config.place)?,
        None => StoreConfig::directory(flags.storage.resolve(file).join("archive")),
    };
    Ok(config.with_keys(key_config::read(&file.encryption)?).open()?)
}

async fn all_there_is(compactor: &Compactor, upkeep: &Upkeep) -> anyhow::Result<Outcome> {
    let roots = compactor.fold_all().await?;
    info!(roots, "nothing is left to fold");
    let pass = upkeep.pass().await?;
    info!(merged = pass.merged, failed = pass.failed, "nothing is left to merge");
    Ok(Outcome::Done)
}

async fn serve_until_told(
    compactor: Compactor,
    (upkeep, drills): (Upkeep, Schedule),
    (upkeep_metrics, drill_metrics, traffic): (&UpkeepMetrics, &DrillMetrics, &StoreTraffic),
    store: &Arc<dyn ObjectStore>,
    flags: &Flags,
    file: &FileConfig,
) -> anyhow::Result<Outcome> {
    let shutdown = Shutdown::new();
    let signals = Signals::install().context("cannot install signal handlers")?;
    // There is nothing to drain: what a compactor knows is in the bucket.
    tokio::spawn(signals.serve(shutdown.clone(), || {}));
    let mut metrics = Metrics::new("compactor");
    compactor.register(metrics.registry());
    traffic.register(metrics.registry());
    upkeep_metrics.register(metrics.registry());
    drill_metrics.register(metrics.registry());
    let listener = bind(&flags.web.resolve(file, DEFAULT_LISTEN_ADDRESS)).await?;
    info!(address = %listener.local_addr()?, "listening");
    let scratch = flags.compact.scratch(&flags.storage.resolve(file));
    let healing = HealThreads::start(file, store, &scratch, &mut metrics, &shutdown)?;
    let compactor = Arc::new(compactor);
    let ready = {
        let compactor = Arc::clone(&compactor);
        move || compactor.ready()
    };
    let folding = {
        let shutdown = shutdown.clone();
        tokio::spawn(async move { compactor.run(&shutdown).await })
    };
    let upkeeping = upkeep
        .spawn(shutdown.clone())
        .context("cannot start the thread of upkeep")?;
    let drilling = drills
        .spawn(shutdown.clone())
        .context("cannot start the thread of drills")?;
    let served = serve(listener, admin_routes(ready, Arc::new(metrics)), &shutdown, GRACE).await;
    // A listener that broke ends the process as a signal does.
    shutdown.trigger();
    folding.await.context("the fold loop ended with a panic")?;
    tokio::task::spawn_blocking(|| upkeeping.join())
        .await?
        .map_err(|_| anyhow::anyhow!("upkeep ended with a panic"))?;
    let healed = tokio::task::spawn_blocking(|| healing.join()).await?;
    anyhow::ensure!(healed == Ended::Well, "healing ended with a panic");
    tokio::task::spawn_blocking(|| drilling.join())
        .await?
        .map_err(|_| anyhow::anyhow!("drills ended with a panic"))?;
    served?;
    info!("ended");
    Ok(Outcome::Done)
}
