//! `compactor delete`, `masks`, `undelete`: deletion by matcher and range, and taking it back.

use std::io::{self, Write};

use anyhow::Context;
use clap::Args;
use emberkeep_archive::{Catalog, DeletionRecord, HiddenRows, Mask};
use emberkeep_model::{TenantId, parse_selector};
use emberkeep_service::problem::Outcome;
use serde::Serialize;

use super::keeping::{ArchiveFlags, FormFlag, RangeFlags, ReasonFlags, bytes, moment, say};
use crate::deletion::{self, DeleteRequest, Extent};
use crate::guard::{Consent, is_too_much};

/// `compactor delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Whose rows [default: anonymous].
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// Which series, as a selector: `{job="debug"}`.
    #[arg(long = "match", value_name = "SELECTOR")]
    selector: String,
    #[command(flatten)]
    range: RangeFlags,
    #[command(flatten)]
    why: ReasonFlags,
    /// Print what would be deleted, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Delete even when it is much at once.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Do not read the deleted rows for the record of their number and digests.
    #[arg(long)]
    no_record: bool,
    #[command(flatten)]
    form: FormFlag,
}

/// `compactor masks`.
#[derive(Debug, Args)]
pub struct MasksArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Also print which rows each one hid when it was made, and read which of them still lie in files.
    #[arg(long)]
    records: bool,
    #[command(flatten)]
    form: FormFlag,
}

/// `compactor undelete`.
#[derive(Debug, Args)]
pub struct UndeleteArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// The deletion, as `masks` lists it.
    #[arg(value_name = "ID")]
    id: String,
}

/// What a deletion did, or would do.
#[derive(Debug, Serialize)]
struct Answer {
    /// None when it was only looked.
    mask: Option<Mask>,
    extent: Extent,
    needs_confirmation: bool,
    /// Which rows it hid, by part.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<DeletionRecord>,
}

/// What `masks --records` tells of one deletion.
#[derive(Debug, Serialize)]
struct Recorded {
    mask: Mask,
    /// When it was made; none when that was not recorded.
    before: Option<Vec<HiddenRows>>,
    /// In live files now.
    now: Vec<HiddenRows>,
}

/// Deletes, or prints what would be deleted.
///
/// # Errors
/// A selector or time that is none, a lock, the guard, and a store that fails.
pub(super) async fn run(args: DeleteArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let percent = kept.retention()?.most_at_once_percent;
    let request = DeleteRequest {
        tenant: args.tenant.unwrap_or_default(),
        matchers: parse_selector(&args.selector).context("--match")?,
        range: args.range.resolve(kept.now_ms)?,
        reason: args.why.reason.clone(),
        who: args.why.who(),
    };
    let answer = if args.dry_run {
        let extent = deletion::extent(&kept.catalog, &request).await?;
        Answer {
            mask: None,
            needs_confirmation: is_too_much(extent.bytes, extent.of, percent),
            extent,
            record: None,
        }
    } else {
        let consent = Consent::from(args.yes);
        let before = kept.catalog.refresh().await?;
        let (mask, extent) = deletion::delete(&kept.catalog, &request, percent, consent, kept.now_ms).await?;
        let record = match args.no_record {
            true => None,
            false => Some(deletion::record(&kept.catalog, &before, &mask).await.with_context(|| {
                format!(
                    "the deletion {} holds, but which rows it hides could not be recorded",
                    mask.id
                )
            })?),
        };
        Answer {
            mask: Some(mask),
            extent,
            needs_confirmation: false,
            record,
        }
    };
    args.form.print(&answer, |out| {
        let Extent {
            parts, series, rows, ..
        } = answer.extent;
        let (size, all) = (bytes(answer.extent.bytes), bytes(answer.extent.of));
        let verb = if answer.mask.is_some() {
            "deleted"
        } else {
            "would delete"
        };
        writeln!(
            out,
            "{verb} about {rows} rows of {series} series in {parts} parts, about {size} of {all}"
        )?;
        if answer.needs_confirmation {
            writeln!(out, "that is more than {percent} %: it needs `--yes`")?;
        }
        if let Some(record) = &answer.record {
            let rows: u64 = record.parts.iter().map(|part| part.rows).sum();
            writeln!(
                out,
                "{rows} rows in {} parts are recorded with their digests",
                record.parts.len()
            )?;
        }
        match &answer.mask {
            Some(mask) => writeln!(
                out,
                "readers show it no more from root {} on; `compactor undelete {}` takes it back",
                mask.number, mask.id
            ),
            None => Ok(()),
        }
    })?;
    Ok(Outcome::Done)
}

/// Lists deletions in force.
///
/// # Errors
/// A store that fails.
pub(super) async fn masks(args: MasksArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let live = kept.catalog.live().await?;
    if args.records {
        return records(&kept.catalog, live.masks(), &args.form).await;
    }
    args.form.print(&live.masks(), |out| {
        for mask in live.masks() {
            let waiting = live.parts().filter(|part| mask.concerns(part)).count();
            writeln!(out, "{}", mask_line(mask, waiting))?;
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}

/// Prints which rows deletions hid when they were made, and which of them still lie in files.
async fn records(catalog: &Catalog, masks: &[Mask], form: &FormFlag) -> anyhow::Result<Outcome> {
    let view = catalog.refresh().await?;
    let mut recorded = Vec::new();
    for mask in masks {
        let before = DeletionRecord::load(catalog, &mask.id).await?;
        recorded.push(Recorded {
            before: before.map(|record| record.parts),
            now: deletion::hidden_rows(catalog, &view, mask).await?,
            mask: mask.clone(),
        });
    }
    form.print(&recorded, |out| {
        for Recorded { mask, before, now } in &recorded {
            match before {
                Some(before) => write_rows(&mask.id, "hid", before, out)?,
                None => writeln!(out, "{}  what it hid was not recorded", mask.id)?,
            }
            write_rows(&mask.id, "hides in files", now, out)?;
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}

fn write_rows(id: &str, verb: &str, parts: &[HiddenRows], out: &mut dyn Write) -> io::Result<()> {
    let rows: u64 = parts.iter().map(|part| part.rows).sum();
    writeln!(out, "{id}  {verb} {rows} rows in {} parts", parts.len())?;
    for part in parts {
        let HiddenRows {
            part,
            rows,
            samples,
            histograms,
            exemplars,
        } = part;
        writeln!(
            out,
            "    {part}  {rows} rows, digests {samples} {histograms} {exemplars}"
        )?;
    }
    Ok(())
}

/// A deletion in one line.
pub(super) fn mask_line(mask: &Mask, waiting: usize) -> String {
    let matchers = mask.matchers.iter().map(|matcher| {
        let (name, op, value) = (&matcher.name, &matcher.op, &matcher.value);
        format!("{name}{op}{value:?}")
    });
    format!(
        "{}  {}  {{{}}}  from {} to {}  by {} at {}: {}  ({waiting} parts not yet rewritten)",
        mask.id,
        mask.tenant,
        matchers.collect::<Vec<_>>().join(","),
        moment(mask.from),
        moment(mask.to),
        mask.who,
        moment(mask.created_at),
        mask.reason,
    )
}

/// Takes a deletion back.
///
/// # Errors
/// An id that no deletion has, and a store that fails.
pub(super) async fn undelete(args: UndeleteArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let undeleted = deletion::undelete(&kept.catalog, &args.id, kept.now_ms).await?;
    let mut lines = vec![format!("the deletion {} holds no more", undeleted.mask.id)];
    if let Some(root) = undeleted.rewritten_since {
        lines.push(format!(
            "parts were rewritten since: rows that are gone from them come back with `compactor rollback --to-root {root}`, \
             which also takes back every other removal since, and only until the undelete window ends"
        ));
    }
    say(&lines)?;
    Ok(Outcome::Done)
}
