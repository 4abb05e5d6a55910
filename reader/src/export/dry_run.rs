//! What a run without writing says beside the plan: how much it would be, and how long it would take.
//!
//! Estimates from the catalog alone, so that they cost nothing: upper bounds of the samples, and what was measured of the speed of one
//! core. It is for people and goes to standard error.

use std::io::{self, Write};
use std::time::Duration;

use emberkeep_service::duration;

use super::table::{moment, size};
use super::{Export, PlannedBlock, Verification};

/// Samples that one core is taken to write in a second, and to write and read back: what was measured of merged parts, and a little less
/// (`benches/RESULTS.md`). Flushes that nobody has merged take three times as long.
const WRITTEN: u64 = 24_000_000;
const VERIFIED: u64 = 15_000_000;

pub(super) fn write(err: &mut dyn Write, export: &Export, blocks: &[PlannedBlock]) -> io::Result<()> {
    let (Some(first), Some(last)) = (
        blocks.iter().map(|block| block.window.start).min(),
        blocks.iter().map(|block| block.window.end).max(),
    ) else {
        return writeln!(err, "dry run: there is nothing to write");
    };
    let samples: u64 = blocks.iter().map(|block| block.samples).sum();
    let bytes: u64 = blocks.iter().map(PlannedBlock::bytes).sum();
    let largest = blocks.iter().map(PlannedBlock::bytes).max().unwrap_or(0);
    let speed = match export.options.verification {
        Verification::Full => VERIFIED,
        Verification::LeftOut => WRITTEN,
    };
    let workers = export.options.workers().min(blocks.len());
    let computing = samples / (speed * workers as u64);
    let writing = export.options.bytes_per_second.map_or(0, |rate| bytes / rate.max(1));
    let seconds = Duration::from_secs(computing.max(writing).max(1));
    writeln!(
        err,
        "dry run: {} blocks from {} to {}, at most {samples} samples, about {} on disk (the largest block {}), about {} with {workers} at a \
         time when the store is fast enough; nothing was written",
        blocks.len(),
        moment(first),
        moment(last),
        size(bytes),
        size(largest),
        duration::format(seconds),
    )?;
    if !export.arguments.matches.is_empty() {
        writeln!(
            err,
            "samples and sizes are those of all series: how few --match selects is known only when they are read"
        )?;
    }
    Ok(())
}
