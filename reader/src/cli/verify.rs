//! `reader verify`: its flags, and how its outcome is told.

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::thread;

use anyhow::Context;
use clap::Args;
use emberkeep_model::TenantId;
use emberkeep_service::problem::Outcome;

use super::moments::{AsOfFlag, RangeFlags};
use super::{ArchiveFlags, FormFlag, HeadFlags};
use crate::verify::{CompareStarts, Level, Verify, progress};
use crate::{ReplicaLabels, Selection, Sources};

/// Flags of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyFlags {
    /// Where the archive is.
    #[command(flatten)]
    pub archive: ArchiveFlags,
    /// `--head-url`, for --exported.
    #[command(flatten)]
    pub heads: HeadFlags,
    /// `--as-of`
    #[command(flatten)]
    pub as_of: AsOfFlag,
    /// `--from`, `--to`
    #[command(flatten)]
    pub range: RangeFlags,
    /// How deep; each level includes the ones before [default: rows; restore with --exported].
    #[arg(long, value_enum)]
    pub level: Option<Level>,
    /// Check the blocks in this directory instead, by themselves or against the archive.
    #[arg(long, value_name = "DIR")]
    pub exported: Option<PathBuf>,
    /// Whose data [default: everybody's; with --exported that of `anonymous`].
    #[arg(long)]
    pub tenant: Option<TenantId>,
    /// Selector of the series whose rows are read and compared; repeatable, a series of any of them is taken [default: all series].
    #[arg(long = "match", value_name = "SELECTOR")]
    pub matches: Vec<String>,
    /// A label that was stripped when the blocks were exported; repeatable.
    #[arg(long = "strip-label", value_name = "NAME")]
    pub strip: Vec<String>,
    /// The blocks were exported with start timestamps, so all of them must be there.
    #[arg(long = "start-timestamps")]
    pub start_timestamps: bool,
    /// Parts or blocks that are checked at the same time [default: one for each CPU, at most 4].
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Findings that are listed; all are counted.
    #[arg(long = "max-findings", value_name = "N", default_value_t = 100)]
    pub max_findings: usize,
    /// Where level `restore` makes blocks on trial [default: the directory for temporary files].
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// `--output`
    #[command(flatten)]
    pub form: FormFlag,
}

/// Verifies, and tells what came out: 0 proven, 2 a difference was found, 1 it could not be checked.
pub(super) async fn run(flags: VerifyFlags) -> anyhow::Result<Outcome> {
    let file = flags.archive.prepare()?;
    let cpus = || thread::available_parallelism().map_or(1, usize::from).min(4);
    let level = if flags.exported.is_some() {
        Level::Restore
    } else {
        Level::Rows
    };
    let verify = Verify {
        level: flags.level.unwrap_or(level),
        tenant: flags.tenant,
        range: flags.range.resolve()?,
        selection: Selection::parse(&flags.matches).context("--match")?,
        strip: ReplicaLabels::new(flags.strip).context("--strip-label")?,
        starts: if flags.start_timestamps {
            CompareStarts::Always
        } else {
            CompareStarts::WherePresent
        },
        jobs: flags.jobs.unwrap_or_else(cpus).max(1),
        most_findings: flags.max_findings,
        scratch: flags.scratch.unwrap_or_else(env::temp_dir),
    };
    let as_of = flags.as_of.resolve()?;
    let sources = Sources::new(flags.archive.open(&file)?, flags.heads.roster()?).as_of(as_of);
    let bar = progress();
    let report = match &flags.exported {
        Some(directory) => verify.exported(&sources, directory, &bar).await?,
        None => verify.archive(&sources, &bar).await?,
    };
    flags
        .form
        .print(&report, |out: &mut dyn Write| report.write_text(out))?;
    report.outcome()
}
