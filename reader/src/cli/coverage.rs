//! `reader coverage`: its flags, and how its answer is told.

use std::env;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::config::FileConfig;
use emberkeep_service::duration;
use emberkeep_service::problem::Outcome;

use super::moments::{AsOfFlag, RangeFlags};
use super::{ArchiveFlags, FormFlag, HeadFlags};
use crate::coverage::{Coverage, OtherSources, RangeEnd, fitting_step};
use crate::{Selection, Sources};

/// Columns of the map when the terminal does not say how wide it is, and what names and a margin take of it.
const COLUMNS: i64 = 120;
const NAME_COLUMNS: i64 = 52;

/// Flags of `coverage`.
#[derive(Debug, Clone, Args)]
pub struct CoverageFlags {
    /// Where the archive is.
    #[command(flatten)]
    pub archive: ArchiveFlags,
    /// `--head-url`
    #[command(flatten)]
    pub heads: HeadFlags,
    /// `--as-of`
    #[command(flatten)]
    pub as_of: AsOfFlag,
    /// `--from`, `--to`; the last day unless told otherwise.
    #[command(flatten)]
    pub range: RangeFlags,
    /// Whose data.
    #[arg(long, default_value = TenantId::ANONYMOUS)]
    pub tenant: TenantId,
    /// Selector of the `up` series, as `{job="node"}`; repeatable, a series of any of them is taken [default: all].
    #[arg(long = "match", value_name = "SELECTOR")]
    pub matches: Vec<String>,
    /// A label that makes a source; repeatable [default: job, instance, and the labels that all `up` series have].
    #[arg(long = "source-label", value_name = "NAME")]
    pub source_labels: Vec<String>,
    /// Shortest gap that is told.
    #[arg(long = "min-gap", value_name = "DURATION", value_parser = duration::parse, default_value = "1m")]
    pub min_gap: Duration,
    /// Expected time between two scrapes [default: learned from the samples around each silence].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub interval: Option<Duration>,
    /// Length of a step of the map [default: what fits into the width of the terminal].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub step: Option<Duration>,
    /// Look for sources without `up`, too: reads the series tables of all parts of the range.
    #[arg(long)]
    pub series: bool,
    /// `--output`
    #[command(flatten)]
    pub form: FormFlag,
}

/// Tells what is held: 0 no gap, 2 there are gaps, 1 it could not be found out.
pub(super) async fn run(flags: CoverageFlags) -> anyhow::Result<Outcome> {
    let file = flags.archive.prepare()?;
    let now_ms = SystemClock.now_ms();
    let given = flags.range.resolve()?;
    let end = given.end.min(now_ms);
    let day = end.saturating_sub(86_400_000);
    let range = TimeRange {
        start: if given.start == i64::MIN { day } else { given.start },
        end,
    };
    anyhow::ensure!(!range.is_empty(), "the range is empty: it ends now at the latest");
    let columns = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let steps = (columns.unwrap_or(COLUMNS) - NAME_COLUMNS).max(24);
    let coverage = Coverage {
        keep: kept(&file, &flags.tenant),
        tenant: flags.tenant,
        range,
        end: if given.end > now_ms {
            RangeEnd::Now
        } else {
            RangeEnd::Exact
        },
        selection: Selection::parse(&flags.matches).context("--match")?,
        source_labels: flags.source_labels,
        interval_ms: flags.interval.map(milliseconds),
        step_ms: Some(flags.step.map_or_else(|| fitting_step(range, steps), milliseconds)),
        min_gap_ms: milliseconds(flags.min_gap),
        others: if flags.series {
            OtherSources::BySeries
        } else {
            OtherSources::LeftOut
        },
        now_ms,
    };
    let sources = Sources::new(flags.archive.open(&file)?, flags.heads.roster()?).as_of(flags.as_of.resolve()?);
    sources.tell_moment().await?;
    let report = coverage.run(&sources, usize::MAX).await?;
    if report.sources.is_empty() {
        // No source has no gap either.
        sources.must_hold_something().await?;
    }
    flags.form.print(&report, |out| report.write_text(out))?;
    Ok(report.outcome())
}

/// How long the data of a tenant is kept by the configuration, when that is given: rules for single series aside.
fn kept(file: &FileConfig, tenant: &TenantId) -> Option<Duration> {
    let of_tenant = file
        .retention
        .rules
        .iter()
        .find(|rule| rule.selector.is_none() && rule.tenant.as_deref().is_none_or(|name| name == tenant.as_str()));
    of_tenant.map(|rule| rule.keep).or(file.retention.keep)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
