//! What the commands of upkeep share: which archive, whose data, when, and how an answer is printed.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use emberkeep_archive::{Catalog, StoreConfig};
use emberkeep_model::TimeRange;
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::config::FileConfig;
use emberkeep_service::flags::{ConfigFileFlag, LogFlags, ObjstoreFlags, StorageFlags};
use emberkeep_service::problem::Outcome;
use emberkeep_service::{logs, time_expr};
use serde::Serialize;

use super::{CompactFlags, delete, drill, key_of, lock, orphans, rebuild, rekey, retention, rollback, scrub, status};
use crate::drill::archive_arguments;
use crate::retention::Retention;
use crate::{Upkeep, UpkeepMetrics, key_config};

/// The commands of upkeep.
#[derive(Debug, Subcommand)]
pub enum KeepingCommand {
    /// Remove what is older than its retention, or print what would go and when.
    Retention(retention::RetentionArgs),
    /// Delete rows by matcher and range, at once for all readers.
    Delete(delete::DeleteArgs),
    /// List deletions in force.
    Masks(delete::MasksArgs),
    /// Take a deletion back.
    Undelete(delete::UndeleteArgs),
    /// Keep a range from every removal.
    Lock(lock::LockArgs),
    /// Release a lock.
    Unlock(lock::UnlockArgs),
    /// List locks.
    Locks(lock::LocksArgs),
    /// Take removals back: all since a root or a moment.
    Rollback(rollback::RollbackArgs),
    /// Delete what nobody can need any more, and find files that nothing names.
    Collect(orphans::CollectArgs),
    /// Read files again to find damage.
    Scrub(scrub::ScrubArgs),
    /// Make a lost catalog anew from the files of the archive.
    Rebuild(rebuild::RebuildArgs),
    /// Bring everything under the key that is written with, and print which old keys are still needed, and until when.
    Rekey(rekey::RekeyArgs),
    /// Restore a random piece of the archive, and prove that it is what the archive holds.
    Drill(Box<drill::DrillArgs>),
    /// Print the key of one encrypted file, for another program to read it with.
    KeyOf(key_of::KeyOfArgs),
    /// Print what there is.
    Status(status::StatusArgs),
}

/// Does what a command of upkeep says.
///
/// # Errors
/// What the command cannot do, in words for the operator.
pub(super) async fn run(command: KeepingCommand) -> anyhow::Result<Outcome> {
    match command {
        KeepingCommand::Retention(args) => retention::run(args).await,
        KeepingCommand::Delete(args) => delete::run(args).await,
        KeepingCommand::Masks(args) => delete::masks(args).await,
        KeepingCommand::Undelete(args) => delete::undelete(args).await,
        KeepingCommand::Lock(args) => lock::run(args).await,
        KeepingCommand::Unlock(args) => lock::unlock(args).await,
        KeepingCommand::Locks(args) => lock::locks(args).await,
        KeepingCommand::Rollback(args) => rollback::run(args).await,
        KeepingCommand::Collect(args) => orphans::run(args).await,
        KeepingCommand::Scrub(args) => scrub::run(args).await,
        KeepingCommand::Rebuild(args) => rebuild::run(args).await,
        KeepingCommand::Rekey(args) => rekey::run(&args).await,
        KeepingCommand::Drill(args) => drill::run(*args).await,
        KeepingCommand::KeyOf(args) => key_of::run(&args).await,
        KeepingCommand::Status(args) => status::run(args).await,
    }
}

/// Which archive.
#[derive(Debug, Args)]
pub(super) struct ArchiveFlags {
    #[command(flatten)]
    config_file: ConfigFileFlag,
    #[command(flatten)]
    log: LogFlags,
    #[command(flatten)]
    storage: StorageFlags,
    #[command(flatten)]
    objstore: ObjstoreFlags,
}

/// An archive that is open for a command.
pub(super) struct Kept {
    pub(super) catalog: Catalog,
    pub(super) file: FileConfig,
    pub(super) store: StoreConfig,
    pub(super) storage_path: PathBuf,
    pub(super) now_ms: i64,
}

impl ArchiveFlags {
    /// The flags by which a child opens the same archive.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        archive_arguments(&self.config_file, &self.storage, &self.objstore)
    }

    /// Reads the configuration, sets logging up, and opens the store.
    pub(super) fn open(&self) -> anyhow::Result<Kept> {
        let file = self.config_file.load()?;
        let (level, format) = self.log.resolve(&file);
        logs::init(level, format)?;
        let store = match self.objstore.resolve(&file)? {
            Some(config) => StoreConfig::parse(&config.yaml).with_context(|| config.place)?,
            None => StoreConfig::directory(self.storage.resolve(&file).join("archive")),
        };
        let store = store.with_keys(key_config::read(&file.encryption)?);
        Ok(Kept {
            catalog: Catalog::new(store.open()?),
            storage_path: self.storage.resolve(&file),
            file,
            store,
            now_ms: SystemClock.now_ms(),
        })
    }
}

impl Kept {
    /// Upkeep of the archive, for a command that ends.
    pub(super) fn upkeep(&self) -> anyhow::Result<Upkeep> {
        let compact = CompactFlags::default();
        let store = Arc::clone(self.catalog.store());
        let merger = compact.job_merger(Arc::clone(&store), &self.storage_path);
        let settings = compact.resolve(&self.file, None)?;
        Ok(Upkeep::new(
            store,
            merger,
            settings,
            Arc::new(SystemClock),
            UpkeepMetrics::default(),
        ))
    }

    /// The rules of retention of the configuration.
    pub(super) fn retention(&self) -> anyhow::Result<Retention> {
        Ok(Retention::from_config(&self.file.retention)?)
    }
}

/// Which time.
#[derive(Debug, Args)]
pub(super) struct RangeFlags {
    /// First moment: RFC 3339, unix seconds or `-2h` [default: the beginning of time].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// First moment after it, in the same forms [default: the end of time].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
}

impl RangeFlags {
    pub(super) fn resolve(&self, now_ms: i64) -> anyhow::Result<TimeRange> {
        let moment = |text: &Option<String>, flag: &'static str, default: i64| match text {
            Some(text) => time_expr::parse(text, now_ms).context(flag),
            None => Ok(default),
        };
        let range = TimeRange {
            start: moment(&self.from, "--from", i64::MIN)?,
            end: moment(&self.to, "--to", i64::MAX)?,
        };
        anyhow::ensure!(!range.is_empty(), "the range is empty: `--to` must be after `--from`");
        Ok(range)
    }
}

/// Why, and who asks for it.
#[derive(Debug, Args)]
pub(super) struct ReasonFlags {
    /// Why, in words; it is kept with the archive.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: String,
    /// Who asks for it [default: the user of this process].
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
}

impl ReasonFlags {
    pub(super) fn who(&self) -> String {
        let user = || std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        self.who
            .clone()
            .or_else(|| user().ok().filter(|user| !user.is_empty()))
            .unwrap_or_else(|| "unknown".to_owned())
    }
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// `--output`.
#[derive(Debug, Args)]
pub(super) struct FormFlag {
    /// How the answer is printed.
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORM",
        value_enum,
        default_value = "text"
    )]
    form: Form,
}

impl FormFlag {
    /// Prints an answer: as JSON, or as the lines that `text` writes.
    pub(super) fn print<T: Serialize>(
        &self,
        answer: &T,
        text: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        match self.form {
            Form::Text => text(&mut out)?,
            Form::Json => {
                serde_json::to_writer_pretty(&mut out, answer)?;
                writeln!(out)?;
            }
        }
        Ok(out.flush()?)
    }
}

/// Prints lines for people.
pub(super) fn say(lines: &[String]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// A moment in words; the ends of time have names.
pub(super) fn moment(ms: i64) -> String {
    match ms {
        i64::MIN => "the beginning".to_owned(),
        i64::MAX => "the end".to_owned(),
        ms => time_expr::format_rfc3339(ms),
    }
}

/// Bytes in words, powers of two as everywhere here.
pub(super) fn bytes(n: u64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB", "PB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{n} B")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_in_powers_of_two() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KB"),
            (3 << 30, "3.0 GB"),
            (u64::MAX, "16384.0 PB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn the_ends_of_time_have_names() {
        assert_eq!(moment(i64::MIN), "the beginning");
        assert_eq!(moment(i64::MAX), "the end");
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_range_may_be_open_and_is_never_empty() {
        let range = |from: Option<&str>, to: Option<&str>| {
            let flags = RangeFlags {
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
            };
            flags.resolve(10_000_000).ok()
        };
        assert_eq!(range(None, None), Some(TimeRange::ALL));
        let two_hours = TimeRange {
            start: 2_800_000,
            end: 10_000_000,
        };
        assert_eq!(range(Some("-2h"), Some("now")), Some(two_hours));
        assert_eq!(range(Some("now"), Some("-2h")), None);
        assert_eq!(range(Some("yesterday"), None), None);
    }
}
