//! The flags of `export-tsdb`, and how they become an export.
//!
//! Which labels are stripped is decided here, because it rests on two things: what was asked for, and what the target adds itself.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::problem::Outcome;
use emberkeep_service::{size, time_expr};

use super::{ArchiveFlags, AsOfFlag, HeadFlags};
use crate::export::{
    BlockFormat, BlockLengths, CheckName, Console, Export, ExportArguments, ExportOptions, MEMORY_DEFAULT, MEMORY_MIN,
    Order, RunKind, Target, TargetFacts, Verification, progress,
};
use crate::{Selection, Sources};

/// Flags of `export-tsdb`.
#[derive(Debug, Clone, Args)]
pub struct ExportFlags {
    /// Where the archive is.
    #[command(flatten)]
    pub archive: ArchiveFlags,
    /// `--head-url`
    #[command(flatten)]
    pub heads: HeadFlags,
    /// `--as-of`
    #[command(flatten)]
    pub as_of: AsOfFlag,
    /// What is exported.
    #[command(flatten)]
    pub wanted: WantedFlags,
    /// Where to, and what for.
    #[command(flatten)]
    pub target: TargetFlags,
    /// How.
    #[command(flatten)]
    pub work: WorkFlags,
}

/// Which samples, for `export-tsdb` and `replay`.
#[derive(Debug, Clone, Args)]
pub struct WantedFlags {
    /// Whose data.
    #[arg(long, default_value = TenantId::ANONYMOUS)]
    pub tenant: TenantId,
    /// First moment: RFC 3339, unix seconds, or relative (`-30d`).
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: String,
    /// First moment after the range [default: now].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
    /// Selector of the series, as `up{job="x"}`; repeatable, a series of any of them is taken [default: all series].
    #[arg(long = "match", value_name = "SELECTOR")]
    pub matches: Vec<String>,
    /// Label that is taken off every series, or off those where it has this value; repeatable. Series that are equal then are an
    /// error that names two of them.
    #[arg(long = "strip-label", value_name = "NAME[=VALUE]")]
    pub strip: Vec<String>,
    /// External label of the target that stays on the series; repeatable. Without it, what the target adds itself is stripped
    /// (`--target`).
    #[arg(long = "keep", value_name = "NAME")]
    pub keep: Vec<String>,
    /// Series that are equal without the stripped labels become one with the samples of all.
    #[arg(long = "join-equal")]
    pub join_equal: bool,
}

/// Where blocks go.
#[derive(Debug, Clone, Args)]
pub struct TargetFlags {
    /// Data directory to write: empty, or of an interrupted run of the same export.
    #[arg(long, value_name = "DIR", required_unless_present = "into", conflicts_with = "into")]
    pub output: Option<PathBuf>,
    /// Data directory of a Prometheus, running or not, that gets the blocks one by one.
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// URL of the Prometheus that gets the blocks: asked for version, retention and external labels before anything is written.
    #[arg(long, value_name = "URL")]
    pub target: Option<String>,
    /// Check of the target that does not stop the export; repeatable.
    #[arg(long, value_name = "CHECK", value_parser = check)]
    pub ignore: Vec<CheckName>,
    /// Who reads the blocks: decides what their meta.json says, and how long they may be.
    #[arg(long, value_enum, default_value_t = FormatFlag::Prometheus)]
    pub format: FormatFlag,
    /// Longest block [default: a tenth of the range, 31d at most, as Prometheus makes them; 24h for Mimir].
    #[arg(long = "block-duration", value_name = "DURATION")]
    pub block_duration: Option<String>,
    /// Write start timestamps, too. Chunks that have any need Prometheus 3.11 (floats) or 3.14 (histograms).
    #[arg(long = "start-timestamps")]
    pub start_timestamps: bool,
}

/// How an export works.
#[derive(Debug, Clone, Args)]
pub struct WorkFlags {
    /// Memory for all blocks in work; what heads hold comes on top. Blocks are cut shorter to stay within it [default: 1GB].
    #[arg(long = "max-memory", value_name = "SIZE", value_parser = size::parse)]
    pub memory: Option<u64>,
    /// Blocks in work at the same time, as far as there is memory [default: number of cores].
    #[arg(long, value_name = "N")]
    pub parallel: Option<usize>,
    /// Bytes written in a second at most, as 50MB [default: no bound].
    #[arg(long = "max-bytes-per-second", value_name = "SIZE", value_parser = size::parse)]
    pub bytes_per_second: Option<u64>,
    /// Which blocks come first [default: oldest; newest with --into].
    #[arg(long, value_enum)]
    pub order: Option<OrderFlag>,
    /// Do not read the blocks back: faster, and not proven.
    #[arg(long = "no-verify")]
    pub no_verify: bool,
    /// Only say what would be written, how large and in what time, and check the target.
    #[arg(long = "dry-run")]
    pub dry_run: bool,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatFlag {
    /// A data directory.
    Prometheus,
    /// The bucket of Thanos: stripped labels become the external labels of the blocks.
    Thanos,
    /// The bucket of Mimir, or `mimirtool backfill`.
    Mimir,
}

/// `--order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OrderFlag {
    /// From the oldest block on.
    Oldest,
    /// From the newest block back: dashboards come back first.
    Newest,
}

fn check(text: &str) -> Result<CheckName, String> {
    let names = CheckName::ALL.map(|(_, name)| name);
    let found = CheckName::ALL.into_iter().find(|(_, name)| *name == text);
    found
        .map(|(check, _)| check)
        .ok_or_else(|| format!("it is one of {}", names.join(", ")))
}

impl From<FormatFlag> for BlockFormat {
    fn from(flag: FormatFlag) -> Self {
        match flag {
            FormatFlag::Prometheus => Self::Prometheus,
            FormatFlag::Thanos => Self::Thanos,
            FormatFlag::Mimir => Self::Mimir,
        }
    }
}

impl WantedFlags {
    /// The range, as the times mean it now.
    pub(super) fn range(&self, now_ms: i64) -> anyhow::Result<TimeRange> {
        let time = |flag: &str, text: &str| time_expr::parse(text, now_ms).with_context(|| flag.to_owned());
        let start = time("--from", &self.from)?;
        let end = self.to.as_deref().map_or(Ok(now_ms), |to| time("--to", to))?;
        let range = TimeRange { start, end };
        ensure!(
            !range.is_empty(),
            "--from `{}` is not before --to `{}`",
            self.from,
            self.to.as_deref().unwrap_or("now")
        );
        Ok(range)
    }

    /// The labels to strip: those that were named, and those that the target adds itself.
    pub(super) fn stripped(&self, facts: &TargetFacts) -> Vec<String> {
        let of_target = facts.external_labels().iter();
        let of_target = of_target.filter(|(name, _)| !self.keep.contains(name));
        let mut labels: Vec<String> = of_target.map(|(name, value)| format!("{name}={value}")).collect();
        labels.extend(self.strip.iter().cloned());
        labels.dedup();
        labels
    }
}

impl WorkFlags {
    fn options(&self, into: Option<&PathBuf>) -> anyhow::Result<ExportOptions> {
        let default = ExportOptions::default();
        let memory = self.memory.unwrap_or(MEMORY_DEFAULT);
        ensure!(
            memory >= MEMORY_MIN,
            "--max-memory: less than {}MB is not enough for any block",
            MEMORY_MIN >> 20
        );
        ensure!(self.parallel != Some(0), "--parallel: it takes at least one");
        Ok(ExportOptions {
            memory,
            parallel: self.parallel.unwrap_or(default.parallel),
            bytes_per_second: self.bytes_per_second,
            order: match (self.order, into) {
                (Some(OrderFlag::Oldest), _) | (None, None) => Order::Oldest,
                (Some(OrderFlag::Newest), _) | (None, Some(_)) => Order::Newest,
            },
            verification: if self.no_verify {
                Verification::LeftOut
            } else {
                Verification::Full
            },
            run: if self.dry_run { RunKind::Dry } else { RunKind::Real },
        })
    }
}

pub(super) async fn run(flags: ExportFlags) -> anyhow::Result<Outcome> {
    let file = flags.archive.prepare()?;
    let now_ms = SystemClock.now_ms();
    let range = flags.wanted.range(now_ms)?;
    if let Some(given) = &flags.target.block_duration {
        BlockLengths::parse(given)?;
    }
    let target = Target {
        into: flags.target.into,
        url: flags.target.target,
        ignored: flags.target.ignore,
    };
    let facts = target.facts().await?;
    let export = Export {
        selection: Selection::parse(&flags.wanted.matches).context("--match")?,
        range,
        now_ms,
        options: flags.work.options(target.into.as_ref())?,
        output: flags.target.output.or_else(|| target.into.clone()).unwrap_or_default(),
        arguments: ExportArguments {
            strip: flags.wanted.stripped(&facts),
            tenant: flags.wanted.tenant,
            from: flags.wanted.from,
            to: flags.wanted.to,
            matches: flags.wanted.matches,
            heads: flags.as_of.given(flags.heads.given()),
            start_timestamps: flags.target.start_timestamps,
            block_duration: flags.target.block_duration,
            join_equal: flags.wanted.join_equal,
            format: flags.target.format.into(),
        },
        target,
        facts,
    };
    let sources = Sources::new(flags.archive.open(&file)?, flags.heads.roster()?).as_of(flags.as_of.resolve()?);
    sources.tell_moment().await?;
    let mut console = Console {
        out: &mut io::stdout(),
        err: &mut io::stderr(),
        bar: progress(),
    };
    export.run(&sources, &mut console).await?;
    Ok(Outcome::Done)
}
