//! What is said at the end of an export: what the blocks cannot hold, and what the Prometheus that gets them must be told.
//!
//! Each line is a way in which a restore silently went wrong for somebody. It is for people and goes to standard error.

use std::io::{self, Write};

use super::exemplars::EXEMPLARS_FILE;
use super::metadata::METADATA_FILE;
use super::table::moment;
use super::{BlockFormat, Export, ExportSummary, Verification};
use crate::Query;

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// A head keeps up to three hours that are in no block yet.
const HEAD_MS: i64 = 3 * HOUR_MS;

pub(super) fn write(err: &mut dyn Write, export: &Export, query: &Query, summary: &ExportSummary) -> io::Result<()> {
    let output = export.output.display();
    let proof = match export.options.verification {
        Verification::Full => "each read back and compared",
        Verification::LeftOut => "not read back (--no-verify)",
    };
    let range = format!("[{}, {})", moment(query.range.start), moment(query.range.end));
    if summary.blocks.is_empty() {
        writeln!(
            err,
            "no samples of tenant {} in {range}: no block written to {output}",
            query.tenant
        )?;
    } else {
        let samples: u64 = summary.blocks.iter().map(|block| block.stats.num_samples).sum();
        let kept = match summary.kept {
            0 => String::new(),
            kept => format!(", {kept} of them from the interrupted run"),
        };
        let (blocks, samples) = (
            counted(summary.blocks.len() as u64, "block", "blocks"),
            counted(samples, "sample", "samples"),
        );
        writeln!(err, "{blocks}{kept} with {samples} of {range} in {output}, {proof}")?;
    }
    if export.target.into.is_none() {
        write_beside(err, export, summary)?;
    } else {
        writeln!(
            err,
            "exemplars and metadata, which TSDB blocks cannot hold, are not written into the data directory of a server: --output writes them"
        )?;
    }
    let (Some(first), Some(last)) = (summary.blocks.first(), summary.blocks.last()) else {
        return Ok(());
    };
    write_conflicts(err, summary)?;
    if export.target.into.is_some() || export.arguments.format != BlockFormat::Prometheus {
        // What the target must be told was told before anything was written.
        return Ok(());
    }
    let days = retention_days(first.min_time, last.max_time, export.now_ms);
    writeln!(
        err,
        "start Prometheus with --storage.tsdb.path={output} --storage.tsdb.retention.time={days}d (or more): \
         retention counts from the newest block, the default of 15d deletes what is older"
    )?;
    writeln!(
        err,
        "if that Prometheus also reads from Emberkeep, set `read_recent: true` in its remote_read: without it, Prometheus asks \
         remote storage only for times before its own oldest block"
    )?;
    if last.max_time > export.now_ms.saturating_sub(HEAD_MS) {
        writeln!(
            err,
            "warning: the newest sample is younger than 3h: a Prometheus that scrapes, or has a WAL, drops its own samples older \
             than the newest block; for such a server export up to 3h ago (`--to=-3h`)"
        )?;
    }
    Ok(())
}

/// What blocks have no place for, and where it is instead.
fn write_beside(err: &mut dyn Write, export: &Export, summary: &ExportSummary) -> io::Result<()> {
    let said = |count: u64, one: &str, many: &str, file: &str| match count {
        0 => format!("no {many}"),
        _ => format!(
            "{} in {}",
            counted(count, one, many),
            export.output.join(file).display()
        ),
    };
    writeln!(
        err,
        "beside the blocks, because TSDB blocks cannot hold them: {}, {}",
        said(summary.exemplars, "exemplar", "exemplars", EXEMPLARS_FILE),
        said(
            summary.families as u64,
            "family with metadata (type, unit, help)",
            "families with metadata (type, unit, help)",
            METADATA_FILE
        ),
    )?;
    if summary.start_timestamps > 0 {
        let samples = counted(summary.start_timestamps, "sample has", "samples have");
        if export.arguments.start_timestamps {
            writeln!(err, "{samples} a start timestamp, kept in the blocks")?;
        } else {
            writeln!(
                err,
                "{samples} a start timestamp, which the blocks leave out: with --start-timestamps they keep it, and need a \
                 newer Prometheus"
            )?;
        }
    }
    Ok(())
}

/// What is in no block although it was sent.
fn write_conflicts(err: &mut dyn Write, summary: &ExportSummary) -> io::Result<()> {
    if summary.conflicts == 0 {
        return writeln!(
            err,
            "no conflicts: no sample lost against a different one of the same series and time"
        );
    }
    let samples = counted(summary.conflicts, "sample", "samples");
    write!(
        err,
        "warning: {samples} lost against a different one of the same series and time and stayed out of the blocks"
    )?;
    match summary.content.conflict_example() {
        Some(series) => writeln!(err, ", for example of {series}"),
        None => writeln!(err),
    }
}

/// A number with the word in its form.
fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Days from the oldest sample to now, or to the newest sample when that is later, and one more.
fn retention_days(oldest: i64, newest: i64, now: i64) -> i64 {
    let span = newest.max(now).saturating_sub(oldest).max(0);
    span / DAY_MS + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_covers_everything_that_was_exported() {
        for (oldest, newest, now) in [
            (0, DAY_MS, 100 * DAY_MS),
            (0, 20 * DAY_MS, 5 * DAY_MS),
            (-62_135_596_800_000, 0, 0),
        ] {
            let days = retention_days(oldest, newest, now);
            assert!(days * DAY_MS > newest.max(now) - oldest, "{days}");
        }
    }
}
