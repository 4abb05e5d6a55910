//! Receiver, compactor and reader in one process, behind one listener.
//!
//! The reader gets the receiver's head as a trait object; everything else the three know of each other lies in the bucket, as if
//! they ran apart. Ready means that writes are accepted durably, and nothing else: a store that is away must not take the
//! process out of service.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use emberkeep_compactor::cli::{CompactFlags, Ended, FoldFlags, HealThreads};
use emberkeep_compactor::drill::DrillMetrics;
use emberkeep_compactor::{Compactor, Upkeep, UpkeepMetrics};
use emberkeep_reader::cli::LimitFlags;
use emberkeep_reader::{HeadSource, Reader, ReaderMetrics};
use emberkeep_receiver::cli::{DEFAULT_ADDRESS, Drain, ReceiverFlags, end, start};
use emberkeep_service::clock::SystemClock;
use emberkeep_service::flags::WebFlags;
use emberkeep_service::lock::DirectoryLock;
use emberkeep_service::metrics::Metrics;
use emberkeep_service::opening::Opening;
use emberkeep_service::problem::Outcome;
use emberkeep_service::shutdown::{Shutdown, Signals};
use emberkeep_service::{logs, server};

use crate::snippet::snippet;

/// Flags of the process that runs everything.
#[derive(Debug, Args)]
pub(crate) struct EverythingFlags {
    #[command(flatten)]
    receiver: ReceiverFlags,
    #[command(flatten)]
    web: WebFlags,
    #[command(flatten)]
    fold: FoldFlags,
    #[command(flatten)]
    compact: CompactFlags,
    #[command(flatten)]
    limits: LimitFlags,
}

/// Runs until a signal ends it.
///
/// # Errors
/// Whatever keeps it from starting: the configuration, the data directory, the address.
pub(crate) async fn run(flags: &EverythingFlags) -> anyhow::Result<Outcome> {
    let file = flags.receiver.config_file.load()?;
    let (level, format) = flags.receiver.log.resolve(&file);
    logs::init(level, format)?;
    let settings = flags.receiver.settings(&file)?;
    let folding = flags.fold.resolve()?;
    let upkeep = flags.compact.resolve(&file, flags.receiver.archive_directory(&file)?)?;
    let _lock = DirectoryLock::acquire(&settings.storage_path)?;
    let storage_path = settings.storage_path.clone();
    let (store, traffic) = flags.receiver.store(&file)?;
    let drill_metrics = DrillMetrics::default();
    let place = &flags.receiver;
    let place = (&place.config_file, &place.storage, &place.objstore);
    let drills = flags
        .compact
        .drills(store.clone(), &file, place, drill_metrics.clone())?;
    // Before anything else: a port that is taken is told at once.
    let listener = server::bind(&flags.web.resolve(&file, DEFAULT_ADDRESS)).await?;
    let address = listener.local_addr().context("the listener has no address")?;

    let shutdown = Shutdown::new();
    let drain = Drain::default();
    let signals = Signals::install().context("cannot install signal handlers")?;
    tokio::spawn(signals.serve(shutdown.clone(), drain.on_signal()));
    let opening = Opening::default();
    let serving = server::spawn(listener, opening.router(), &shutdown);

    let mut metrics = Metrics::new("emberkeep");
    traffic.register(metrics.registry());
    let Some(receiver) = start(settings, store.clone(), metrics.registry(), &shutdown).await? else {
        return Ok(Outcome::Done);
    };
    drain.watch(receiver.clone(), shutdown.clone());
    let compactor = Compactor::new(store.clone(), folding, Arc::new(SystemClock));
    compactor.register(metrics.registry());
    let upkeep_metrics = UpkeepMetrics::default();
    upkeep_metrics.register(metrics.registry());
    let scratch = flags.compact.scratch(&storage_path);
    let healing = HealThreads::start(&file, &store, &scratch, &mut metrics, &shutdown)?;
    let merger = flags.compact.merger(store.clone(), &storage_path);
    let upkeep = Upkeep::new(store.clone(), merger, upkeep, Arc::new(SystemClock), upkeep_metrics);
    drill_metrics.register(metrics.registry());
    let heads = vec![HeadSource::Local(receiver.head())];
    let reader_metrics = ReaderMetrics::register(metrics.registry());
    let reader = Arc::new(Reader::new(store, heads, flags.limits.settings(), reader_metrics));
    let folding = {
        let shutdown = shutdown.clone();
        tokio::spawn(async move { compactor.run(&shutdown).await })
    };
    let upkeep = upkeep
        .spawn(shutdown.clone())
        .context("cannot start the thread of upkeep")?;
    let drills = drills
        .spawn(shutdown.clone())
        .context("cannot start the thread of drills")?;
    let asked = receiver.clone();
    let admin = server::admin_routes_with_trouble(move || asked.readiness(), Arc::new(metrics));
    opening.open(receiver.router().merge(reader.router()).merge(admin));
    tracing::info!(%address, "emberkeep accepts writes and reads");
    say(&snippet(address));

    let served = serving.await;
    end(&receiver, &shutdown).await;
    let left = shutdown.remaining().unwrap_or_default();
    match tokio::time::timeout(left, folding).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => tracing::error!(%failure, "the fold loop ended badly"),
        Err(_) => tracing::warn!("a fold was given up; the next one makes it good"),
    }
    // It ends at its next await; a merge that is given up is as if it had not been.
    if tokio::task::spawn_blocking(|| upkeep.join())
        .await
        .is_ok_and(|ended| ended.is_err())
    {
        tracing::error!("upkeep ended with a panic");
    }
    if tokio::task::spawn_blocking(|| healing.join()).await.ok() != Some(Ended::Well) {
        tracing::error!("healing ended with a panic");
    }
    if tokio::task::spawn_blocking(|| drills.join())
        .await
        .is_ok_and(|ended| ended.is_err())
    {
        tracing::error!("drills ended with a panic");
    }
    served??;
    tracing::info!("ended");
    drain.outcome()
}

/// Writes to standard output. When nobody reads it the process goes on: the archive matters more than the greeting.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
