//! The aligned windows of time that blocks cover (Prometheus: `tsdb/db.go`, `rangeForTimestamp`).
//!
//! An unaligned block is never compacted by Prometheus except through overlap, so a window always starts at a multiple of its duration.

use emberkeep_model::TimeRange;

/// Two hours, the duration of a block that comes fresh out of a head.
pub const BLOCK_DURATION_MS: i64 = 2 * 60 * 60 * 1000;

/// The aligned windows of `duration_ms` that overlap `range`, in rising order, whole: the first and last may reach beyond the range.
/// Windows at the ends of `i64` are cut there.
///
/// # Panics
/// When the duration is not positive.
pub fn windows(range: TimeRange, duration_ms: i64) -> impl Iterator<Item = TimeRange> {
    assert!(duration_ms > 0, "a window has a positive duration");
    let (first, last) = if range.is_empty() {
        (1, 0)
    } else {
        (
            range.start.div_euclid(duration_ms),
            (range.end - 1).div_euclid(duration_ms),
        )
    };
    (first..=last).map(move |n| TimeRange {
        start: n.saturating_mul(duration_ms),
        end: n.saturating_add(1).saturating_mul(duration_ms),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(start: i64, end: i64, duration: i64) -> Vec<(i64, i64)> {
        windows(TimeRange { start, end }, duration)
            .map(|w| (w.start, w.end))
            .collect()
    }

    #[test]
    fn windows_are_aligned_on_both_sides_of_1970() {
        assert_eq!(list(0, 10, 10), [(0, 10)]);
        assert_eq!(list(0, 11, 10), [(0, 10), (10, 20)]);
        assert_eq!(list(-1, 1, 10), [(-10, 0), (0, 10)]);
        assert_eq!(list(-10, 0, 10), [(-10, 0)]);
        assert_eq!(list(-11, -10, 10), [(-20, -10)]);
        assert_eq!(list(5, 5, 10), []);
        assert_eq!(list(6, 5, 10), []);
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let mut all = windows(TimeRange::ALL, BLOCK_DURATION_MS);
        let first = all.next().expect("all of time has a first window");
        assert_eq!(first.start, i64::MIN);
        assert_eq!(first.end % BLOCK_DURATION_MS, 0);
        assert_eq!(list(i64::MAX - 1, i64::MAX, 10).last().map(|w| w.1), Some(i64::MAX));
    }

    proptest! {
        #[test]
        fn windows_cover_the_range_without_gaps(start in -1_000_000i64..1_000_000, length in 1i64..100_000, duration in 1i64..50_000) {
            let all = list(start, start + length, duration);
            prop_assert!(all[0].0 <= start && start < all[0].1);
            let last = all[all.len() - 1];
            prop_assert!(last.0 < start + length && start + length <= last.1);
            prop_assert!(all.windows(2).all(|w| w[0].1 == w[1].0));
            prop_assert!(all.iter().all(|w| w.0.rem_euclid(duration) == 0 && w.1 - w.0 == duration));
        }
    }
}
