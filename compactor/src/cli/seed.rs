//! `compactor seed`: history that exists already, into the archive.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use emberkeep_disk::{RealFs, remove_dir_all};
use emberkeep_model::{MIN_TIMESTAMP, MatchOp, Matcher, TenantId, TimeRange, parse_selector};
use emberkeep_service::lock::DirectoryLock;
use emberkeep_service::problem::Outcome;
use emberkeep_service::{duration, time_expr};
use emberkeep_source::{Source, SourceFlags, SourceSettings};
use indicatif::{ProgressBar, ProgressStyle};

use super::keeping::{ArchiveFlags, FormFlag, Kept, bytes, moment};
use crate::seed::{
    ExternalLabels, Fills, Found, SeedReport, SeedTarget, SourceSeed, find_blocks, from_blocks, from_source,
};

/// `compactor seed`.
#[derive(Debug, Args)]
pub struct SeedArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Directory with blocks: a block, a snapshot, or the data directory of a Prometheus that does not run; repeatable.
    #[arg(long, value_name = "DIR", required_unless_present = "from_url")]
    from: Vec<PathBuf>,
    /// A Prometheus that runs, read slice by slice through `/api/v1/read`.
    #[arg(long, value_name = "URL", conflicts_with = "from")]
    from_url: Option<String>,
    #[command(flatten)]
    source: SourceFlags,
    /// With --from-url: which series [default: all].
    #[arg(long = "match", value_name = "SELECTOR", requires = "from_url")]
    selector: Option<String>,
    /// With --from-url: time that is asked for at once.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_nonzero, default_value = "2h")]
    slice: Duration,
    /// With --from-url: read no more samples each second.
    #[arg(long, value_name = "N", requires = "from_url")]
    samples_per_second: Option<u64>,
    /// Whose rows they become [default: anonymous].
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// Label added to every series that does not have it, as `replica=1`: what `external_labels` of the sender say; repeatable.
    #[arg(long = "external-label", value_name = "NAME=VALUE")]
    external_labels: Vec<String>,
    /// Configuration file of the Prometheus: its `external_labels` are added.
    #[arg(long, value_name = "FILE", conflicts_with = "external_labels")]
    prometheus_config: Option<PathBuf>,
    /// First moment that is taken: RFC 3339, unix seconds or `-2h` [default: the oldest there is].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    min_time: Option<String>,
    /// First moment after what is taken, in the same forms [default: the newest there is].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    max_time: Option<String>,
    /// Print which blocks there are, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    form: FormFlag,
}

/// Seeds the archive. What could not be read ends it with code 1, after all that could be.
///
/// # Errors
/// A directory that must not be read, a source or a store that fails.
pub(super) async fn run(args: SeedArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let scratch = kept.storage_path.join("compactor").join("seed");
    // Held by the one seed that may run beside a server; what a killed one left behind goes.
    let _lock = match args.dry_run {
        true => None,
        false => Some(DirectoryLock::acquire(&scratch)?),
    };
    let scratch = scratch.join("work");
    let _ = remove_dir_all(&RealFs, &scratch);
    let target = SeedTarget {
        catalog: &kept.catalog,
        tenant: args.tenant.clone().unwrap_or_default(),
        external: args.external()?,
        range: args.range(kept.now_ms)?,
        fills: Fills::Changes,
        scratch,
    };
    let report = match &args.from_url {
        None => {
            let found = find_blocks(&args.from)?;
            if args.dry_run {
                return args.show(&found);
            }
            let rows = found.blocks.iter().map(|block| block.meta.stats.num_samples).sum();
            let bar = progress(rows);
            let report = from_blocks(found, &target, |count| bar.inc(count)).await;
            bar.finish_and_clear();
            report?
        }
        Some(url) => args.seed_from(url, &kept, target).await?,
    };
    args.form.print(&report, |out| {
        for window in &report.windows {
            writeln!(
                out,
                "{}  {:>9} series  {:>12} samples  {:>10} histograms  {:>12} held already  {:>12} written  {:>9}",
                moment(window.from),
                window.series,
                window.samples,
                window.histograms,
                window.held,
                window.written,
                bytes(window.bytes),
            )?;
        }
        lines(&report).iter().try_for_each(|line| writeln!(out, "{line}"))
    })?;
    anyhow::ensure!(
        report.skipped.count == 0,
        "{} blocks, series or chunks could not be read and are not in the archive; everything else is",
        report.skipped.count
    );
    Ok(Outcome::Done)
}

impl SeedArgs {
    async fn seed_from(&self, url: &str, kept: &Kept, mut target: SeedTarget<'_>) -> anyhow::Result<SeedReport> {
        let source = Source::new(self.source.config(url)?)?;
        if self.min_time.is_none() {
            let oldest = source.metrics().await.ok().and_then(|metrics| metrics.oldest_ms());
            target.range.start = oldest.context(
                "the source does not say how far back it reaches (`prometheus_tsdb_lowest_timestamp_seconds`): give `--min-time`",
            )?;
        }
        if self.max_time.is_none() {
            target.range.end = kept.now_ms;
        }
        anyhow::ensure!(
            !target.range.is_empty(),
            "the source has nothing in the range that is asked for"
        );
        let matchers = match &self.selector {
            Some(text) => parse_selector(text).context("--match")?,
            // Also series without a name.
            None => [Matcher::new("__name__", MatchOp::Regex, ".*")?].into(),
        };
        if self.dry_run {
            let stats = source.tsdb_status().await?;
            tracing::info!(
                series = stats.num_series,
                from = target.range.start,
                to = target.range.end,
                "would be read"
            );
            return Ok(SeedReport::default());
        }
        let seed = SourceSeed {
            source: &source,
            matchers: &matchers,
            slice: self.slice,
            samples_per_second: self.samples_per_second,
            sieve: None,
        };
        let bar = progress(0);
        let report = from_source(&seed, &target, |count| bar.inc(count)).await;
        bar.finish_and_clear();
        Ok(report?)
    }

    fn external(&self) -> anyhow::Result<ExternalLabels> {
        let mut pairs = Vec::new();
        for text in &self.external_labels {
            let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
            let (name, value) = pair.with_context(|| format!("`--external-label {text}`: it is `NAME=VALUE`"))?;
            pairs.push((name.to_owned(), value.trim_matches('"').to_owned()));
        }
        if let Some(path) = &self.prometheus_config {
            let place = || format!("`{}`", path.display());
            let text = std::fs::read_to_string(path).with_context(place)?;
            let settings = SourceSettings::parse(&text)
                .map_err(anyhow::Error::msg)
                .with_context(place)?;
            pairs.extend(settings.external_labels);
        }
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        ExternalLabels::new(pairs).context("external labels")
    }

    fn range(&self, now_ms: i64) -> anyhow::Result<TimeRange> {
        let moment = |text: &Option<String>, flag: &'static str, default: i64| match text {
            Some(text) => time_expr::parse(text, now_ms).context(flag),
            None => Ok(default),
        };
        let range = TimeRange {
            start: moment(&self.min_time, "--min-time", MIN_TIMESTAMP)?.max(MIN_TIMESTAMP),
            end: moment(&self.max_time, "--max-time", i64::MAX)?,
        };
        anyhow::ensure!(
            !range.is_empty(),
            "the range is empty: `--max-time` must be after `--min-time`"
        );
        Ok(range)
    }

    /// What would be read.
    fn show(&self, found: &Found) -> anyhow::Result<Outcome> {
        let metas: Vec<_> = found.blocks.iter().map(|block| &block.meta).collect();
        self.form.print(&metas, |out| {
            for meta in &metas {
                writeln!(
                    out,
                    "{}  {} to {}  {:>9} series  {:>12} samples",
                    meta.ulid,
                    moment(meta.min_time),
                    moment(meta.max_time),
                    meta.stats.num_series,
                    meta.stats.num_samples
                )?;
            }
            let report = SeedReport {
                skipped: found.skipped.clone(),
                head_left: found.head_left.clone(),
                ..SeedReport::default()
            };
            warnings(&report).iter().try_for_each(|line| writeln!(out, "{line}"))
        })?;
        Ok(Outcome::Done)
    }
}

/// The end of a report.
fn lines(report: &SeedReport) -> Vec<String> {
    let total = report.total();
    let mut lines = vec![format!(
        "read {} samples and {} histograms of {} blocks; {} were in the archive already, {} are new, in {} parts with {}",
        total.samples,
        total.histograms,
        report.blocks,
        total.held,
        total.written,
        total.parts,
        bytes(total.bytes)
    )];
    if report.conflicts > 0 {
        lines.push(format!(
            "{} rows of overlapping blocks lost against another value of the same series and time",
            report.conflicts
        ));
    }
    lines.extend(warnings(report));
    lines
}

fn warnings(report: &SeedReport) -> Vec<String> {
    let mut lines = Vec::new();
    for what in &report.skipped.listed {
        lines.push(format!("NOT READ: {what}"));
    }
    let more = report.skipped.count - report.skipped.listed.len() as u64;
    if more > 0 {
        lines.push(format!("NOT READ: {more} more"));
    }
    if let Some(left) = &report.head_left {
        let since = left.since.map_or_else(
            || "all of it".to_owned(),
            |at| format!("everything since {}", moment(at)),
        );
        lines.push(format!(
            "NOT SEEDED: what is in no block yet, {since}, lies in `{}` ({} of write-ahead log). To bring it too, start the Prometheus, take a              snapshot (`POST /api/v1/admin/tsdb/snapshot`, which includes the head unless `skip_head=true`) and seed from that, or use `--from-url`",
            left.directory.join("wal").display(),
            bytes(left.bytes)
        ));
    }
    lines
}

/// Rows that were read, on standard error.
pub(super) fn progress(rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows);
    let template = match rows {
        0 => "{elapsed_precise} {human_pos} samples, {per_sec}",
        _ => "{elapsed_precise} {wide_bar} {human_pos}/{human_len} samples, {per_sec}, {eta}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
