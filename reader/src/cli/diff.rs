//! `reader diff`: the archive against a Prometheus that runs.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use emberkeep_model::{TenantId, TimeRange, parse_selector};
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::problem::Outcome;
use emberkeep_service::{duration, time_expr};
use emberkeep_source::{RelabelRules, Source, SourceFlags};
use indicatif::ProgressBar;

use super::{ArchiveFlags, AsOfFlag, FormFlag, HeadFlags};
use crate::Sources;
use crate::diff::{Diff, DiffReport, Extra};

/// Flags of `diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffFlags {
    /// Where the archive is.
    #[command(flatten)]
    archive: ArchiveFlags,
    /// `--head-url`
    #[command(flatten)]
    heads: HeadFlags,
    /// Whose data.
    #[arg(long, default_value = TenantId::ANONYMOUS)]
    tenant: TenantId,
    /// Base URL of the Prometheus, as `http://prometheus:9090`.
    #[arg(long = "source", value_name = "URL")]
    url: String,
    /// `--source.*`
    #[command(flatten)]
    source: SourceFlags,
    /// First moment: RFC 3339, unix seconds, or relative (`-30d`).
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    /// First moment after the range [default: one minute ago with heads, fifteen without: what is newer may not be archived yet].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Selector of the series, as `up{job="x"}` [default: all series].
    #[arg(long = "match", value_name = "SELECTOR")]
    selector: Option<String>,
    /// Time that is compared at once. Memory grows with the series in it.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_nonzero, default_value = "2h")]
    slice: Duration,
    /// Label that is left out on both sides before series are compared; repeatable.
    #[arg(long = "ignore-label", value_name = "NAME")]
    ignored_labels: Vec<String>,
    /// File with the `write_relabel_configs` of the sender: what they drop is not missing.
    #[arg(long, value_name = "FILE")]
    dropped_by: Option<PathBuf>,
    /// Take the rules from this `remote_write` in the source's configuration, by name or URL.
    #[arg(long, value_name = "NAME", conflicts_with = "dropped_by")]
    remote_write: Option<String>,
    /// Rows that only the archive has are no difference: it keeps what the source deletes.
    #[arg(long)]
    ignore_extra: bool,
    /// Series that are listed, and those of a slice that are compared row by row.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_listed: usize,
    /// `--as-of`
    #[command(flatten)]
    as_of: AsOfFlag,
    /// `--output`
    #[command(flatten)]
    form: FormFlag,
}

/// Compares, and ends with code 2 when something differs.
///
/// # Errors
/// A side that cannot be read, and flags that cannot be.
pub(super) async fn run(flags: DiffFlags) -> anyhow::Result<Outcome> {
    let file = flags.archive.prepare()?;
    let now_ms = SystemClock.now_ms();
    let time = |flag: &'static str, text: &str| time_expr::parse(text, now_ms).context(flag);
    let margin = match flags.heads.urls.is_empty() && flags.heads.file.is_none() {
        true => 15 * 60_000,
        false => 60_000,
    };
    let range = TimeRange {
        start: time("--from", &flags.from)?,
        end: flags.to.as_deref().map_or(Ok(now_ms - margin), |to| time("--to", to))?,
    };
    anyhow::ensure!(!range.is_empty(), "the range is empty: `--to` must be after `--from`");
    let source = Source::new(flags.source.config(&flags.url)?)?;
    let diff = Diff {
        tenant: flags.tenant.clone(),
        range,
        matchers: match &flags.selector {
            Some(text) => parse_selector(text).context("--match")?,
            None => [].into(),
        },
        slice: flags.slice,
        ignored_labels: flags.ignored_labels.clone(),
        rules: flags.rules(&source).await?,
        most_listed: flags.max_listed,
        extra: match flags.ignore_extra {
            true => Extra::Expected,
            false => Extra::Difference,
        },
    };
    let sources = Sources::new(flags.archive.open(&file)?, flags.heads.roster()?).as_of(flags.as_of.resolve()?);
    sources.tell_moment().await?;
    let report = diff.run(&sources, &source, &ProgressBar::new(0)).await?;
    flags.form.print(&report, |out| text(&report, out))?;
    Ok(match report.equal {
        true => Outcome::Done,
        false => Outcome::DifferenceFound,
    })
}

impl DiffFlags {
    /// What the sender leaves out: from a file, from the section that is named, or from the only one that there is.
    async fn rules(&self, source: &Source) -> anyhow::Result<RelabelRules> {
        if let Some(path) = &self.dropped_by {
            let place = || format!("`{}`", path.display());
            let text = std::fs::read_to_string(path).with_context(place)?;
            return RelabelRules::parse(&text)
                .map_err(anyhow::Error::msg)
                .with_context(place);
        }
        let settings = match (source.settings().await, &self.remote_write) {
            (Ok(settings), _) => settings,
            // Some servers that answer remote read have no such page.
            (Err(_), None) => return Ok(RelabelRules::default()),
            (Err(error), Some(_)) => return Err(error.into()),
        };
        let section = match &self.remote_write {
            Some(wanted) => {
                let is_it = |url: &str, name: Option<&str>| url == wanted || name == Some(wanted);
                let found = settings
                    .remote_writes
                    .iter()
                    .find(|section| is_it(&section.url, section.name.as_deref()));
                Some(found.with_context(|| format!("the source has no `remote_write` named `{wanted}`"))?)
            }
            None => match settings.remote_writes.as_slice() {
                [one] => Some(one),
                _ => None,
            },
        };
        let configs = section.map_or(&[][..], |section| &section.relabel_configs);
        RelabelRules::of(configs).map_err(anyhow::Error::msg)
    }
}

fn text(report: &DiffReport, out: &mut dyn Write) -> io::Result<()> {
    let moment = time_expr::format_rfc3339;
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    if !report.windows.is_empty() {
        writeln!(
            out,
            "{:<24} {:>9} {:>12} {:>12} {:>12}",
            "FROM", "SERIES", "MISSING", "EXTRA", "UNEQUAL"
        )?;
    }
    for window in &report.windows {
        let rows = window.rows;
        writeln!(
            out,
            "{:<24} {:>9} {:>12} {:>12} {:>12}",
            moment(window.from),
            window.series,
            rows.missing,
            rows.extra,
            rows.unequal
        )?;
    }
    for series in &report.listed {
        let rows = series.rows;
        write!(
            out,
            "{} {}: {} missing, {} extra, {} unequal",
            moment(series.window),
            series.series,
            rows.missing,
            rows.extra,
            rows.unequal
        )?;
        if let Some(first) = series.first {
            let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
            write!(
                out,
                "; first at {}: source {}, archive {}",
                moment(first),
                side(&series.source),
                side(&series.archive)
            )?;
        }
        writeln!(out)?;
    }
    if report.not_listed > 0 {
        writeln!(out, "and {} more series (`--max-listed`)", report.not_listed)?;
    }
    let explained = report.explained;
    for (rows, why) in [
        (explained.left_out_by_sender, "rows are left out by the sender's rules"),
        (explained.deleted_in_archive, "rows are deleted in the archive"),
        (explained.kept_by_archive, "rows are only in the archive, as expected"),
    ] {
        if rows > 0 {
            writeln!(out, "{rows} {why}")?;
        }
    }
    let verdict = match report.equal {
        true => "equal",
        false => "DIFFERENT",
    };
    writeln!(
        out,
        "{verdict}: {} rows are the same; {} missing, {} extra (removed at the source?), {} unequal in {} series and slices, {} of these not compared row by row",
        report.equal_rows,
        report.rows.missing,
        report.rows.extra,
        report.rows.unequal,
        report.differing_series,
        report.not_compared
    )
}
