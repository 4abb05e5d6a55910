//! The rule of coverage against its own words, moment by moment.

use proptest::prelude::*;

use super::*;
use crate::STALE_MARKER_BITS;

const RANGE: TimeRange = TimeRange { start: 0, end: 1_000 };

fn of(samples: &[(i64, f64)]) -> Vec<(i64, i64, CoverageState)> {
    let stretches = stretches_of_up(samples, Some(10), RANGE);
    stretches
        .iter()
        .map(|stretch| (stretch.range.start, stretch.range.end, stretch.state))
        .collect()
}

fn every_ten(from: i64, to: i64, value: f64) -> impl Iterator<Item = (i64, f64)> {
    (from..to).step_by(10).map(move |at| (at, value))
}

#[test]
fn a_silence_is_a_hole_a_failed_scrape_is_not() {
    use CoverageState::{Absent, Down, Held, Missing};
    let stale = f64::from_bits(STALE_MARKER_BITS);
    let samples: Vec<_> = every_ten(100, 200, 1.0)
        .chain(every_ten(200, 300, 0.0))
        .chain(every_ten(300, 400, 1.0))
        .chain(every_ten(500, 600, 1.0))
        .chain([(600, stale)])
        .chain(every_ten(900, 960, 1.0))
        .collect();
    assert_eq!(
        of(&samples),
        [
            (0, 100, Absent),
            (100, 200, Held),
            (200, 300, Down),
            (300, 400, Held),
            (400, 500, Missing),
            (500, 600, Held),
            (600, 900, Absent),
            (900, 960, Held),
            (960, 1_000, Missing),
        ]
    );
    let stretches = stretches_of_up(&samples, Some(10), RANGE);
    assert_eq!(gaps(&stretches, 50), [TimeRange { start: 400, end: 500 }]);
    let removed = with_removed(&stretches, &[TimeRange { start: 380, end: 450 }]);
    assert_eq!(gaps(&removed, 50), [TimeRange { start: 450, end: 500 }]);
    assert_eq!(
        steps(&stretches, RANGE, 250),
        [Down, Missing, Held, Missing],
        "the worst of each step"
    );
    assert_eq!(of(&[]), [(0, 1_000, Absent)]);
}

#[test]
fn one_late_scrape_is_no_hole() {
    assert_eq!(of(&[(-5, 1.0), (0, 1.0), (20, 1.0)])[0], (0, 30, CoverageState::Held));
    assert_eq!(of(&[(0, 1.0), (21, 1.0)])[0], (0, 10, CoverageState::Held));
    assert_eq!(usual_interval([10, 10, 480, 10].into_iter()), Some(10));
    assert_eq!(usual_interval([].into_iter()), None);
}

#[test]
fn the_samples_around_a_silence_say_what_was_expected() {
    let range = TimeRange { start: 500, end: 5_000 };
    let every = |from: i64, to: i64, step: usize| (from..to).step_by(step).map(|at| (at, 1.0));
    // Seen before the range, every 10; a hole; then every 40 without another hole, up to the end.
    let samples: Vec<_> = every(0, 300, 10)
        .chain(every(900, 2_000, 10))
        .chain(every(2_000, 5_000, 40))
        .collect();
    let stretches = stretches_of_up(&samples, None, range);
    assert_eq!(gaps(&stretches, 1), [TimeRange { start: 500, end: 900 }]);
    assert_eq!(stretches.len(), 2, "{stretches:?}");
    assert!(gaps(&stretches_of_up(&samples, Some(10), range), 1).len() > 50);
}

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let value = prop_oneof![5 => Just(1.0), 2 => Just(0.0), 1 => Just(f64::from_bits(STALE_MARKER_BITS))];
    prop::collection::btree_map(-50i64..1_100, value, 0..60).prop_map(|samples| samples.into_iter().collect())
}

proptest! {
    #[test]
    fn every_moment_has_the_state_that_its_samples_say(samples in samples(), interval in 1i64..60) {
        let stretches = stretches_of_up(&samples, Some(interval), RANGE);
        prop_assert_eq!(stretches.first().map(|s| s.range.start), Some(RANGE.start));
        prop_assert_eq!(stretches.last().map(|s| s.range.end), Some(RANGE.end));
        for pair in stretches.windows(2) {
            prop_assert_eq!(pair[0].range.end, pair[1].range.start);
            prop_assert_ne!(pair[0].state, pair[1].state);
        }
        for moment in RANGE.start..RANGE.end {
            let inside: Vec<_> = samples.iter().filter(|(at, _)| *at < RANGE.end).collect();
            let last = inside.iter().rfind(|(at, _)| *at <= moment);
            let next = inside.iter().find(|(at, _)| *at > moment).map_or(RANGE.end, |(at, _)| *at);
            let expected = match last {
                None => CoverageState::Absent,
                Some((_, value)) if is_stale_marker(*value) => CoverageState::Absent,
                Some((at, _)) if next - at > 2 * interval && moment - at >= interval => CoverageState::Missing,
                Some((_, value)) if *value == 0.0 => CoverageState::Down,
                Some(_) => CoverageState::Held,
            };
            let found = stretches.iter().find(|s| s.range.contains(moment)).map(|s| s.state);
            prop_assert_eq!(found, Some(expected), "at {}", moment);
        }
    }

    #[test]
    fn of_two_series_the_better_counts(left in samples(), right in samples()) {
        let (left, right) = (stretches_of_up(&left, Some(20), RANGE), stretches_of_up(&right, Some(20), RANGE));
        let both = joined(&left, &right);
        prop_assert_eq!(&both, &joined(&right, &left));
        let at = |stretches: &[Stretch], moment| stretches.iter().find(|s| s.range.contains(moment)).map(|s| s.state);
        let best = [CoverageState::Held, CoverageState::Down, CoverageState::Missing, CoverageState::Removed, CoverageState::Absent];
        for moment in RANGE.start..RANGE.end {
            let states = [at(&left, moment), at(&right, moment)];
            let expected = best.into_iter().find(|state| states.contains(&Some(*state)));
            prop_assert_eq!(at(&both, moment), expected, "at {}", moment);
        }
    }

    #[test]
    fn what_is_removed_is_no_gap_and_nothing_else_changes(
        samples in samples(),
        removed in prop::collection::vec((-50i64..1_050, 0i64..300), 0..5),
    ) {
        let stretches = stretches_of_up(&samples, Some(20), RANGE);
        let removed: Vec<_> = removed.into_iter().map(|(start, length)| TimeRange { start, end: start + length }).collect();
        let marked = with_removed(&stretches, &removed);
        let at = |stretches: &[Stretch], moment| stretches.iter().find(|s| s.range.contains(moment)).map(|s| s.state);
        for moment in RANGE.start..RANGE.end {
            let is_removed = removed.iter().any(|range| range.contains(moment));
            let expected = match at(&stretches, moment) {
                Some(CoverageState::Missing | CoverageState::Absent) if is_removed => Some(CoverageState::Removed),
                state => state,
            };
            prop_assert_eq!(at(&marked, moment), expected, "at {}", moment);
        }
        for gap in gaps(&marked, 1) {
            prop_assert!(removed.iter().all(|range| range.intersect(gap).is_empty()));
        }
        for (n, state) in steps(&marked, RANGE, 70).into_iter().enumerate() {
            let step = TimeRange { start: n as i64 * 70, end: (n as i64 + 1) * 70 }.intersect(RANGE);
            let worst = (step.start..step.end).filter_map(|moment| at(&marked, moment)).max();
            prop_assert_eq!(Some(state), worst);
        }
    }
}
