//! The command line of the compactor, for its own binary and for `emberkeep compactor`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use emberkeep_archive::{ObjectStore, StoreConfig};
use emberkeep_service::clock::SystemClock;
use emberkeep_service::config::FileConfig;
use emberkeep_service::flags::{ConfigFileFlag, LogFlags, ObjstoreFlags, StorageFlags, WebFlags};
use emberkeep_service::metrics::Metrics;
use emberkeep_service::problem::Outcome;
use emberkeep_service::server::{GRACE, admin_routes, bind, serve};
use emberkeep_service::shutdown::{Shutdown, Signals};
use emberkeep_service::{duration, logs};
use tracing::info;

use crate::{Compactor, Settings};

/// Where the compactor listens when nothing is said.
const DEFAULT_LISTEN_ADDRESS: &str = "127.0.0.1:9202";

/// Folds commit records into roots. Without a command it runs as a server, as `run` does.
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
    /// Fold, as a server or once.
    Run(RunArgs),
}

/// `compactor run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    flags: Flags,
    /// Fold until nothing is left, then exit 0.
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
        None => (args.flags, false),
    };
    let file = flags.config_file.load()?;
    let (level, format) = flags.log.resolve(&file);
    logs::init(level, format)?;
    let store = open_store(&flags, &file)?;
    let compactor = Compactor::new(store, flags.fold.resolve()?, Arc::new(SystemClock));
    if once {
        fold_all(&compactor).await
    } else {
        serve_until_told(compactor, &flags, &file).await
    }
}

fn open_store(flags: &Flags, file: &FileConfig) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let config = match flags.objstore.resolve(file)? {
        Some(config) => StoreConfig::parse(&config.yaml).with_context(|| config.place)?,
        None => StoreConfig::directory(flags.storage.resolve(file).join("archive")),
    };
    Ok(config.open()?)
}

async fn fold_all(compactor: &Compactor) -> anyhow::Result<Outcome> {
    let roots = compactor.fold_all().await?;
    info!(roots, "nothing is left to fold");
    Ok(Outcome::Done)
}

async fn serve_until_told(compactor: Compactor, flags: &Flags, file: &FileConfig) -> anyhow::Result<Outcome> {
    let shutdown = Shutdown::new();
    let signals = Signals::install().context("cannot install signal handlers")?;
    // There is nothing to drain: what a compactor knows is in the bucket.
    tokio::spawn(signals.serve(shutdown.clone(), || {}));
    let mut metrics = Metrics::new("compactor");
    compactor.register(metrics.registry());
    let listener = bind(&flags.web.resolve(file, DEFAULT_LISTEN_ADDRESS)).await?;
    info!(address = %listener.local_addr()?, "listening");
    let compactor = Arc::new(compactor);
    let ready = {
        let compactor = Arc::clone(&compactor);
        move || compactor.ready()
    };
    let folding = {
        let shutdown = shutdown.clone();
        tokio::spawn(async move { compactor.run(&shutdown).await })
    };
    let served = serve(listener, admin_routes(ready, Arc::new(metrics)), &shutdown, GRACE).await;
    // A listener that broke ends the process as a signal does.
    shutdown.trigger();
    folding.await.context("the fold loop ended with a panic")?;
    served?;
    info!("ended");
    Ok(Outcome::Done)
}
