//! The command `receiver adopt`: flags, lock, and what it says. What it did goes to standard output.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::Args;
use emberkeep_archive::{Keys, ObjectStore, StoreConfig};
use emberkeep_disk::RealFs;
use emberkeep_service::clock::SystemClock;
use emberkeep_service::config::FileConfig;
use emberkeep_service::flags::{ConfigFileFlag, LogFlags, ObjstoreFlags};
use emberkeep_service::lock::DirectoryLock;
use emberkeep_service::logs;
use emberkeep_service::problem::Outcome;
use emberkeep_service::shutdown::{Shutdown, Signals};

use super::{Adoption, adopt};
use crate::{Components, Pause, Settings, key_config};

/// Flags of `receiver adopt`.
#[derive(Debug, Default, Args)]
pub struct AdoptFlags {
    /// Data directory (`--storage.path`) of the receiver that is gone.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Configuration file.
    #[command(flatten)]
    pub config_file: ConfigFileFlag,
    /// Logging.
    #[command(flatten)]
    pub log: LogFlags,
    /// Object store.
    #[command(flatten)]
    pub objstore: ObjstoreFlags,
}

/// Runs the command.
pub(crate) async fn run(flags: &AdoptFlags) -> anyhow::Result<Outcome> {
    let file = flags.config_file.load()?;
    let (level, format) = flags.log.resolve(&file);
    logs::init(level, format)?;
    let mut settings = Settings::new(flags.directory.clone());
    settings.keys = key_config::read(&file.encryption)?;
    let identity = settings.identity_path();
    // The lock would make a directory where there is none.
    anyhow::ensure!(
        identity.is_file(),
        "`{}` is no data directory of a receiver: `{}` is missing",
        flags.directory.display(),
        identity.display()
    );
    let _lock = DirectoryLock::acquire(&flags.directory)?;
    let store = flags.store(&file, &settings.keys)?;
    let shutdown = Shutdown::new();
    tokio::spawn(Signals::install()?.serve(shutdown.clone(), || {}));
    let stop = Arc::new(AtomicBool::new(false));
    let components = Components {
        fs: Arc::new(RealFs),
        store,
        clock: Arc::new(SystemClock),
        // Not an orderly end: whatever is in the page cache can no longer be trusted.
        on_fatal: Box::new(|_| std::process::exit(1)),
        pause: Pause::default(),
        stop: stop.clone(),
    };
    let adoption = tokio::select! {
        adopted = adopt(components, settings) => adopted?,
        () = shutdown.triggered() => {
            stop.store(true, Ordering::Relaxed);
            anyhow::bail!("told to end; run the same command again to go on");
        }
    };
    let mut out = std::io::stdout().lock();
    out.write_all(told(flags, &adoption).as_bytes())
        .and_then(|()| out.flush())
        .context("standard output")?;
    Ok(Outcome::Done)
}

impl AdoptFlags {
    /// The configured store, or the archive inside the directory. An archive is never made here: it would be an empty one that
    /// nobody reads.
    fn store(&self, file: &FileConfig, keys: &Keys) -> anyhow::Result<Arc<dyn ObjectStore>> {
        let config = match self.objstore.resolve(file)? {
            Some(given) => StoreConfig::parse(&given.yaml).with_context(|| given.place)?,
            None => {
                let beside = self.directory.join("archive");
                anyhow::ensure!(
                    beside.is_dir(),
                    "which archive? Give `--objstore.config-file`; `{}` has none inside",
                    self.directory.display()
                );
                StoreConfig::directory(beside)
            }
        };
        Ok(config.with_keys(keys.clone()).open()?)
    }
}

/// What was done, for people.
fn told(flags: &AdoptFlags, adoption: &Adoption) -> String {
    let directory = flags.directory.display();
    let known = match adoption.known {
        0 => String::new(),
        known => format!(
            "{known} staged part(s) of receiver {} were in the archive already.\n",
            adoption.before
        ),
    };
    let done = match &adoption.receiver {
        None => format!("Nothing was left to commit in `{directory}`.\n"),
        Some(receiver) => format!(
            "Receiver {} left {} staged part(s) and {} log segment(s) in `{directory}`.\n\
             Committed as receiver {receiver}: {} commit(s), {} samples, {} histograms. Nothing is left there.\n",
            adoption.before,
            adoption.staged,
            adoption.segments,
            adoption.commits,
            adoption.samples,
            adoption.histograms
        ),
    };
    known + &done
}
