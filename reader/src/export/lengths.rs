//! How long blocks are: a ladder of durations, each a multiple of the one before, so that aligned windows nest.
//!
//! Blocks as long as the system that gets them would make them itself are not compacted by it again. The first rung is always two
//! hours, the duration in which samples are kept apart everywhere.

use emberkeep_model::TimeRange;
use emberkeep_service::duration;
use emberkeep_tsdb::BLOCK_DURATION_MS;

use super::BlockFormat;
use crate::ReaderError;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Prometheus' own bound of `--storage.tsdb.max-block-duration`, beside a tenth of the retention.
const LONGEST_MS: i64 = 31 * DAY_MS;
/// Each rung is three of the one before (`ExponentialBlockRanges` in Prometheus' `tsdb/compact.go`).
const STEP: i64 = 3;

/// The durations that blocks of an export may have, milliseconds, rising.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockLengths {
    ladder: Vec<i64>,
}

impl BlockLengths {
    /// The durations up to `longest_ms` that a system makes; two hours when that is less.
    #[must_use]
    pub fn up_to(longest_ms: i64, format: BlockFormat) -> Self {
        let all = match format {
            BlockFormat::Prometheus => (0..10).map(|n| BLOCK_DURATION_MS * STEP.pow(n)).collect(),
            // The compactors of both have these levels by default.
            BlockFormat::Thanos => vec![BLOCK_DURATION_MS, DAY_MS / 3, 2 * DAY_MS, 14 * DAY_MS],
            BlockFormat::Mimir => vec![BLOCK_DURATION_MS, DAY_MS / 2, DAY_MS],
        };
        let ladder = all
            .into_iter()
            .filter(|&length| length <= longest_ms || length == BLOCK_DURATION_MS);
        Self {
            ladder: ladder.collect(),
        }
    }

    /// The longest duration without `--block-duration`: a tenth of what is exported, as Prometheus takes a tenth of its retention.
    #[must_use]
    pub fn longest_of(span: TimeRange) -> i64 {
        (span.end.saturating_sub(span.start) / 10).clamp(BLOCK_DURATION_MS, LONGEST_MS)
    }

    /// `--block-duration`, in milliseconds.
    ///
    /// # Errors
    /// When it is no duration, or shorter than two hours.
    pub fn parse(text: &str) -> Result<i64, ReaderError> {
        let bad = |why: String| ReaderError::Bad(format!("--block-duration: {why}"));
        let length = duration::parse(text).map_err(|error| bad(error.to_string()))?;
        let length_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
        if length_ms < BLOCK_DURATION_MS {
            return Err(bad(format!("`{text}` is shorter than two hours, the shortest block")));
        }
        Ok(length_ms)
    }

    /// Number of rungs, at least one.
    pub(super) fn count(&self) -> usize {
        self.ladder.len()
    }

    /// Duration of a rung, from 0.
    pub(super) fn get(&self, rung: usize) -> i64 {
        self.ladder[rung]
    }

    /// The rung of a window of one of these durations; windows at the ends of time are cut short and belong to the first.
    pub(super) fn rung_of(&self, window: TimeRange) -> usize {
        let length = window.end.saturating_sub(window.start);
        self.ladder.iter().position(|&rung| rung == length).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_that_the_systems_make() {
        let hours = |longest_ms: i64, format| -> Vec<i64> {
            let lengths = BlockLengths::up_to(longest_ms, format);
            lengths.ladder.iter().map(|ms| ms / 3_600_000).collect()
        };
        assert_eq!(hours(LONGEST_MS, BlockFormat::Prometheus), [2, 6, 18, 54, 162, 486]);
        assert_eq!(hours(DAY_MS, BlockFormat::Prometheus), [2, 6, 18]);
        assert_eq!(hours(1, BlockFormat::Prometheus), [2]);
        assert_eq!(hours(LONGEST_MS, BlockFormat::Thanos), [2, 8, 48, 336]);
        assert_eq!(hours(LONGEST_MS, BlockFormat::Mimir), [2, 12, 24]);
        for format in [BlockFormat::Prometheus, BlockFormat::Thanos, BlockFormat::Mimir] {
            let ladder = BlockLengths::up_to(i64::MAX, format).ladder;
            assert!(ladder.windows(2).all(|two| two[1] % two[0] == 0), "{ladder:?} nests");
        }
    }

    #[test]
    fn a_tenth_of_the_range_is_the_bound_as_in_prometheus() {
        let longest = |days: i64| {
            BlockLengths::longest_of(TimeRange {
                start: 0,
                end: days * DAY_MS,
            })
        };
        assert_eq!(longest(0), BLOCK_DURATION_MS);
        assert_eq!(longest(15), 36 * 3_600_000);
        assert_eq!(longest(4_000), LONGEST_MS);
        assert_eq!(BlockLengths::longest_of(TimeRange::ALL), LONGEST_MS);
    }

    #[test]
    fn a_given_length_is_at_least_two_hours() {
        assert_eq!(BlockLengths::parse("1d").ok(), Some(DAY_MS));
        for wrong in ["1h", "x", "0"] {
            assert!(BlockLengths::parse(wrong).is_err(), "{wrong}");
        }
    }
}
