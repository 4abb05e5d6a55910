//! `compactor status`: what there is.

use std::io::{self, Write};

use clap::Args;
use emberkeep_service::problem::Outcome;

use super::delete::mask_line;
use super::keeping::{ArchiveFlags, FormFlag, bytes, moment};
use super::lock::lock_line;
use crate::status::{Amount, Status};

/// `compactor status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    #[command(flatten)]
    form: FormFlag,
}

/// Prints what there is.
///
/// # Errors
/// A store that fails.
pub(super) async fn run(args: StatusArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let status = Status::look(&kept.catalog, &kept.retention()?, kept.now_ms).await?;
    let live = kept.catalog.live().await?;
    args.form.print(&status, |out| {
        write_status(&status, out)?;
        for mask in &status.masks {
            let waiting = live.parts().filter(|part| mask.concerns(part)).count();
            writeln!(out, "mask       {}", mask_line(mask, waiting))?;
        }
        status
            .locks
            .iter()
            .try_for_each(|lock| writeln!(out, "lock       {}", lock_line(lock)))
    })?;
    Ok(Outcome::Done)
}

fn write_status(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    match (status.root_created_at, status.root_age_seconds) {
        (Some(at), Some(age)) => writeln!(out, "root       {} of {}, {age} s old", status.root, moment(at))?,
        _ => writeln!(out, "root       none yet")?,
    }
    if let Some(key) = &status.root_key {
        writeln!(out, "key        {key}")?;
    }
    for (level, amount) in &status.levels {
        writeln!(out, "level {level}    {}", amount_line(amount))?;
    }
    for (tenant, amount) in &status.tenants {
        writeln!(out, "tenant     {tenant}: {}", amount_line(amount))?;
    }
    for (receiver, at) in &status.receivers {
        let (folded, committed) = (at.folded, at.committed);
        writeln!(
            out,
            "receiver   {receiver}: folded to {folded}, committed to {committed}, epoch {} of {}",
            at.epoch, at.claimed
        )?;
    }
    writeln!(out, "unfolded   {} parts", status.unfolded_parts)?;
    for part in &status.quarantined {
        writeln!(
            out,
            "quarantine {} since {}: {}",
            part.part,
            moment(part.at),
            part.reason
        )?;
    }
    for list in &status.condemned {
        let (files, size, from) = (list.files, bytes(list.bytes), moment(list.deleted_from));
        writeln!(
            out,
            "condemned  {files} files, {size}, {} in root {}, deleted from {from}",
            list.why, list.root
        )?;
    }
    for pin in &status.pins {
        writeln!(
            out,
            "pin        root {} until {} by {}",
            pin.root,
            moment(pin.expires_at),
            pin.who
        )?;
    }
    match status.scrub.oldest_unverified {
        Some(at) => writeln!(
            out,
            "scrub      {} parts read again, the one that waits longest since {}",
            status.scrub.verified_parts,
            moment(at)
        ),
        None => writeln!(out, "scrub      nothing to read"),
    }
}

fn amount_line(amount: &Amount) -> String {
    let Amount {
        parts,
        series,
        samples,
        histograms,
        exemplars,
        ..
    } = amount;
    let size = bytes(amount.bytes);
    format!("{parts} parts, {size}, {series} series, {samples} samples, {histograms} histograms, {exemplars} exemplars")
}
