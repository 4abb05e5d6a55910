//! Which stretch of the archive each block of a directory stands for, and which no block does. Pure.

use std::path::PathBuf;

use emberkeep_model::TimeRange;
use emberkeep_service::time_expr::format_rfc3339;
use emberkeep_tsdb::{BLOCK_DURATION_MS, BlockMeta};

/// A block as it lies on disk.
pub(super) struct Block {
    pub(super) path: PathBuf,
    pub(super) meta: BlockMeta,
}

/// Blocks that overlap in time, with the time of the archive that they stand for.
pub(super) struct Group {
    pub(super) range: TimeRange,
    pub(super) paths: Vec<PathBuf>,
}

/// Blocks that overlap together, by time, each with its stretch of the range: whole windows as far as nobody else has them.
pub(super) fn groups(mut blocks: Vec<Block>, range: TimeRange) -> Vec<Group> {
    blocks.sort_by_key(|block| block.meta.min_time);
    let mut groups: Vec<(i64, i64, Vec<PathBuf>)> = Vec::new();
    for Block { path, meta } in blocks {
        match groups.last_mut() {
            Some((_, end, paths)) if meta.min_time < *end => {
                *end = meta.max_time.max(*end);
                paths.push(path);
            }
            _ => groups.push((meta.min_time, meta.max_time, vec![path])),
        }
    }
    let floor = |at: i64| at.div_euclid(BLOCK_DURATION_MS).saturating_mul(BLOCK_DURATION_MS);
    let nexts: Vec<i64> = groups.iter().skip(1).map(|group| group.0).chain([i64::MAX]).collect();
    let mut before = i64::MIN;
    let stretch = |((first, end, paths), next): ((i64, i64, Vec<PathBuf>), i64)| {
        let start = floor(first).max(before);
        let end = floor(end.saturating_sub(1)).saturating_add(BLOCK_DURATION_MS).min(next);
        before = end;
        let range = TimeRange { start, end }.intersect(range);
        Group { range, paths }
    };
    let all = groups.into_iter().zip(nexts).map(stretch);
    all.filter(|group| !group.range.is_empty()).collect()
}

/// What no group stands for.
pub(super) fn gaps(groups: &[Group], range: TimeRange) -> Vec<TimeRange> {
    let mut gaps = Vec::new();
    let mut start = range.start;
    for group in groups {
        gaps.push(TimeRange {
            start,
            end: group.range.start,
        });
        start = group.range.end;
    }
    gaps.push(TimeRange { start, end: range.end });
    gaps.retain(|gap| !gap.is_empty());
    gaps
}

/// A range for people.
pub(super) fn shown(range: TimeRange) -> String {
    format!("{} to {}", format_rfc3339(range.start), format_rfc3339(range.end))
}

#[cfg(test)]
mod tests {
    use emberkeep_tsdb::Compaction;
    use proptest::prelude::*;

    use super::*;

    fn block((min_time, length): (i64, i64)) -> Block {
        Block {
            path: PathBuf::from(min_time.to_string()),
            meta: BlockMeta {
                ulid: ulid::Ulid::nil(),
                min_time,
                max_time: min_time + length,
                stats: Default::default(),
                compaction: Compaction::default(),
                version: 1,
            },
        }
    }

    proptest! {
        #[test]
        fn every_moment_of_the_range_is_of_one_group_or_of_one_gap(
            spans in prop::collection::vec((-3 * BLOCK_DURATION_MS..30 * BLOCK_DURATION_MS, 1..3 * BLOCK_DURATION_MS), 0..8),
            start in -2 * BLOCK_DURATION_MS..10 * BLOCK_DURATION_MS,
            length in 1..30 * BLOCK_DURATION_MS,
        ) {
            let range = TimeRange { start, end: start + length };
            let groups = groups(spans.iter().copied().map(block).collect(), range);
            let gaps = gaps(&groups, range);
            let mut all: Vec<TimeRange> = groups.iter().map(|group| group.range).chain(gaps.iter().copied()).collect();
            all.sort_by_key(|stretch| stretch.start);
            prop_assert_eq!(all.first().map(|stretch| stretch.start), Some(range.start));
            prop_assert_eq!(all.last().map(|stretch| stretch.end), Some(range.end));
            prop_assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start));
            // Each block is in the one group that holds all of it that is in the range.
            for &(first, length) in &spans {
                let inside = TimeRange { start: first, end: first + length }.intersect(range);
                let name = PathBuf::from(first.to_string());
                let of: Vec<_> = groups.iter().filter(|group| group.paths.contains(&name)).collect();
                if !inside.is_empty() {
                    prop_assert_eq!(of.len(), 1);
                    prop_assert_eq!(of[0].range.intersect(inside), inside);
                }
            }
        }
    }
}
