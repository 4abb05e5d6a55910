//! `compactor drill`: a random piece of the archive, restored and compared, now.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use emberkeep_archive::DrillOutcome;
use emberkeep_model::{TenantId, TimeRange, parse_selector};
use emberkeep_service::clock::SystemClock;
use emberkeep_service::config::FileConfig;
use emberkeep_service::flags::{ConfigFileFlag, ObjstoreFlags, StorageFlags};
use emberkeep_service::problem::Outcome;
use emberkeep_service::shutdown::{Shutdown, Signals};
use emberkeep_service::{duration, size, time_expr};
use emberkeep_source::SourceFlags;

use super::CompactFlags;
use super::keeping::{ArchiveFlags, FormFlag, Kept, bytes};
use crate::drill::{Drill, DrillSettings, FailedFiles, LiveSource, Wish, archive_arguments};

/// `compactor drill`.
#[derive(Debug, Args)]
pub struct DrillArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Prometheus to start on the blocks; its answers are compared with the archive's.
    #[arg(long, value_name = "BINARY")]
    prometheus: Option<PathBuf>,
    /// Live Prometheus whose data is archived; compared while it still holds the window.
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    #[command(flatten)]
    source_flags: SourceFlags,
    /// Whose data [default: chosen by chance; with --from that of `anonymous`].
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// First moment: RFC 3339, unix seconds or `-2h` [default: chosen by chance].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, requires = "to")]
    from: Option<String>,
    /// First moment after it, in the same forms.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, requires = "from")]
    to: Option<String>,
    /// Which series, as `up{job="x"}` [default: chosen by chance; with --from all].
    #[arg(long = "match", value_name = "SELECTOR")]
    selector: Option<String>,
    /// Make the choices of another drill again: the same ones, as long as the archive is the same.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Most bytes of blocks, as 1GB: what is chosen is to stay below, and what grows beyond is ended [default: 1GB].
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_bytes: Option<u64>,
    /// Longest time of the whole drill [default: 1h].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_nonzero)]
    max_duration: Option<Duration>,
    /// Program with the reader's commands [default: this one, or `reader` beside it].
    #[arg(long, value_name = "BINARY")]
    reader: Option<PathBuf>,
    /// Directory to work in [default: `compactor/drill` in --storage.path].
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Keep the files of a drill that fails.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    form: FormFlag,
}

/// Runs a drill: code 0 proven, 2 something differs, 1 it could not be carried through.
///
/// # Errors
/// Whatever keeps it from being carried through.
pub(super) async fn run(args: DrillArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let wish = args.wish(kept.now_ms)?;
    let settings = args.settings(&kept)?;
    let drill = Drill::new(kept.catalog, settings, Arc::new(SystemClock));
    let shutdown = Shutdown::new();
    let signals = Signals::install().context("cannot install signal handlers")?;
    tokio::spawn(signals.serve(shutdown.clone(), || {}));
    let (report, _) = tokio::select! {
        biased;
        () = shutdown.triggered() => anyhow::bail!("ended by a signal, nothing is proven"),
        outcome = drill.run(&wish) => outcome?,
    };
    args.form.print(&report, |out| report.write_text(bytes, out))?;
    match report.outcome {
        DrillOutcome::Proven => Ok(Outcome::Done),
        DrillOutcome::Different => Ok(Outcome::DifferenceFound),
        DrillOutcome::Error => anyhow::bail!("nothing is proven: {}", report.reason.unwrap_or_default()),
    }
}

/// The drills of a server, as its configuration file says.
///
/// # Errors
/// Settings that cannot be.
pub(super) fn settings_of_server(
    file: &FileConfig,
    compact: &CompactFlags,
    (config, storage, objstore): (&ConfigFileFlag, &StorageFlags, &ObjstoreFlags),
) -> anyhow::Result<DrillSettings> {
    let scratch = compact.scratch(&storage.resolve(file)).join("drill");
    let archive = archive_arguments(config, storage, objstore);
    Ok(DrillSettings::from_config(&file.drill, scratch, archive)?)
}

impl DrillArgs {
    fn wish(&self, now_ms: i64) -> anyhow::Result<Wish> {
        let time = |flag: &'static str, text: &str| time_expr::parse(text, now_ms).context(flag);
        let range = match (&self.from, &self.to) {
            (Some(from), Some(to)) => Some(TimeRange {
                start: time("--from", from)?,
                end: time("--to", to)?,
            }),
            _ => None,
        };
        anyhow::ensure!(
            range.is_none_or(|range| !range.is_empty()),
            "the range is empty: `--to` must be after `--from`"
        );
        if let Some(selector) = &self.selector {
            parse_selector(selector).context("--match")?;
        }
        Ok(Wish {
            seed: self.seed,
            tenant: self.tenant.clone(),
            range,
            selector: self.selector.clone(),
            files: match self.keep {
                true => FailedFiles::Kept,
                false => FailedFiles::Removed,
            },
        })
    }

    /// What the configuration file says, and the flags, which win.
    fn settings(&self, kept: &Kept) -> anyhow::Result<DrillSettings> {
        let scratch = self.scratch.clone();
        let scratch = scratch.unwrap_or_else(|| kept.storage_path.join("compactor").join("drill"));
        let settings = DrillSettings::from_config(&kept.file.drill, scratch, self.archive.arguments())?;
        let source = self.source.as_ref().map(|url| LiveSource {
            url: url.clone(),
            arguments: self.source_flags.arguments(),
        });
        Ok(DrillSettings {
            max_bytes: self.max_bytes.unwrap_or(settings.max_bytes),
            max_duration: self.max_duration.unwrap_or(settings.max_duration),
            prometheus: self.prometheus.clone().or(settings.prometheus),
            reader: self.reader.clone().or(settings.reader),
            source: source.or(settings.source),
            ..settings
        })
    }
}
