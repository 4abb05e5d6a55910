//! A seed from blocks: one UTC day after the other, the oldest first.

use std::collections::{BTreeMap, BTreeSet};

use emberkeep_archive::Ulid;
use emberkeep_model::{MIN_TIMESTAMP, TimeRange};
use emberkeep_tsdb::BlockReader;

use super::block_rows::{self, BlockRows};
use super::{BlockFound, Found, SeedError, SeedReport, SeedTarget};

/// Length of a day.
const DAY_MS: i64 = 86_400_000;

/// Level of a part that holds all of a day that was there at the time.
const DAY_LEVEL: u32 = 2;

/// Brings all rows of the blocks into the archive. `tell` is called with the number of rows that were read since the last time.
///
/// Only the blocks of the day at work are open: their indices are in memory, and one series of one day.
///
/// # Errors
/// See [`SeedError`]. Blocks that cannot be read are no error: they are in the report.
pub async fn from_blocks(
    found: Found,
    target: &SeedTarget<'_>,
    mut tell: impl FnMut(u64),
) -> Result<SeedReport, SeedError> {
    let mut report = SeedReport {
        head_left: found.head_left,
        ..SeedReport::default()
    };
    let mut troubles = block_rows::Found {
        skipped: found.skipped,
        conflicts: 0,
    };
    for block in found.blocks.iter().filter(|block| block.meta.min_time < MIN_TIMESTAMP) {
        let what = "has samples from before the year 1, which no engine could read; they are left out";
        troubles.skipped.add(format!("block {}: {what}", block.meta.ulid));
    }
    let mut open: BTreeMap<(i64, Ulid), BlockReader> = BTreeMap::new();
    let mut bad: BTreeSet<Ulid> = BTreeSet::new();
    for day in days(&found.blocks, target.range) {
        let range = target.range.intersect(day);
        open.retain(|_, block| block.meta().max_time > day.start);
        for block in found.blocks.iter().filter(|block| is_of(block, range)) {
            let key = (block.meta.min_time, block.meta.ulid);
            if open.contains_key(&key) || bad.contains(&block.meta.ulid) {
                continue;
            }
            match BlockReader::open(&block.directory) {
                Ok(reader) => {
                    open.insert(key, reader);
                    report.blocks += 1;
                }
                Err(error) => {
                    bad.insert(block.meta.ulid);
                    troubles.skipped.add(format!("block {}: {error}", block.meta.ulid));
                }
            }
        }
        let of_day = open.values_mut().filter(|block| {
            let meta = block.meta();
            range.overlaps(meta.min_time, meta.max_time.saturating_sub(1))
        });
        let mut rows = BlockRows::new(of_day, range, &mut troubles);
        let window = target.fill((DAY_LEVEL, range), &mut rows, &mut tell).await?;
        if window.series > 0 {
            report.windows.push(window);
        }
    }
    report.skipped = troubles.skipped;
    report.conflicts = troubles.conflicts;
    Ok(report)
}

fn is_of(block: &BlockFound, range: TimeRange) -> bool {
    !range.is_empty() && range.overlaps(block.meta.min_time, block.meta.max_time.saturating_sub(1))
}

/// The days of which any block may have rows.
fn days(blocks: &[BlockFound], range: TimeRange) -> Vec<TimeRange> {
    let mut days = BTreeSet::new();
    for block in blocks.iter().filter(|block| is_of(block, range)) {
        let first = block.meta.min_time.max(range.start).div_euclid(DAY_MS);
        let last = (block.meta.max_time.min(range.end) - 1).div_euclid(DAY_MS);
        days.extend(first..=last);
    }
    let day = |day: i64| TimeRange {
        start: day * DAY_MS,
        end: (day + 1) * DAY_MS,
    };
    days.into_iter().map(day).collect()
}
