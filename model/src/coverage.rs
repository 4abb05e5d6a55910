//! Coverage: of which time a source is held, of which its target was down, and of which something is missing.
//!
//! Pure. The signal is the series `up` of a target: a sample for each scrape, 1 or 0, and a stale marker when the target went away on
//! purpose. Between two samples no more than an expected interval apart nothing was lost. A longer silence is a hole, unless a stale marker
//! or a failed scrape before it says why. Whoever heals and whoever shows must come to the same holes, so the rule stands here alone.

use crate::{TimeRange, is_stale_marker};

/// What is known of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CoverageState {
    /// Nothing was expected: before the source was first seen, or after it went away in good order.
    Absent,
    /// Samples are held.
    Held,
    /// Scrapes failed: the target was down, and there is nothing to hold but that.
    Down,
    /// Removed on purpose: by a mask, or by retention.
    Removed,
    /// Samples were expected and are not held.
    Missing,
}

impl CoverageState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Held => "held",
            Self::Down => "down",
            Self::Removed => "removed",
            Self::Missing => "missing",
        }
    }
}

/// A stretch of time in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Which time, half open.
    pub range: TimeRange,
    /// What is known of it.
    pub state: CoverageState,
}

/// By how much the time between two scrapes may exceed the expected interval before something is missing: a scrape that is late, or one
/// that is lost by a timeout of its own, is no hole.
const PATIENCE: i64 = 2;

/// Steps on each side of a silence from which the expected interval is taken.
const NEIGHBOURS: usize = 8;

/// The interval that is expected where nothing can be learned from samples, milliseconds: Prometheus' default.
const INTERVAL_UNKNOWN: i64 = 60_000;

/// The interval at which a source is scraped, as steps between its samples show it, milliseconds: the one that a quarter of them do not
/// exceed, so that neither holes nor single samples in between count. None without a step.
#[must_use]
pub fn usual_interval(steps: impl Iterator<Item = i64>) -> Option<i64> {
    let mut steps: Vec<i64> = steps.filter(|&step| step > 0).collect();
    if steps.is_empty() {
        return None;
    }
    let quarter = steps.len() / 4;
    Some(*steps.select_nth_unstable(quarter).1)
}

/// What samples of `up`, whose times rise, say of a range: stretches that follow one another without a gap, neighbours of different
/// states. Samples from before the range say how it begins.
///
/// `interval` is the expected time between two scrapes, milliseconds, at least 1. Without it the samples around each silence tell, so that
/// a source whose interval was changed has no holes on that account; where many single samples are lost, only a given interval shows
/// them. After the last sample the source is expected to go on until the end of the range, unless it ended with a stale marker; before
/// the first nothing is expected, since it may not have been there.
#[must_use]
pub fn stretches_of_up(samples: &[(i64, f64)], interval: Option<i64>, range: TimeRange) -> Vec<Stretch> {
    let samples = &samples[..samples.partition_point(|(at, _)| *at < range.end)];
    let mut line = Line::new(range);
    line.until(samples.first().map_or(range.end, |(at, _)| *at), CoverageState::Absent);
    for (n, &(at, value)) in samples.iter().enumerate() {
        let next = samples.get(n + 1).map_or(range.end, |(next, _)| *next);
        if next > line.at {
            let expected = interval.unwrap_or_else(|| interval_around(samples, n)).max(1);
            line.silence(at, next, state_after(value), expected);
        }
    }
    line.stretches
}

/// The interval that is expected between a sample and the next: the longer one of those before and behind.
fn interval_around(samples: &[(i64, f64)], n: usize) -> i64 {
    let step = |pair: &[(i64, f64)]| pair[1].0.saturating_sub(pair[0].0);
    let before = samples[n.saturating_sub(NEIGHBOURS)..=n].windows(2).map(step);
    let behind = samples[n + 1..].windows(2).take(NEIGHBOURS).map(step);
    let longer = usual_interval(before).max(usual_interval(behind));
    longer.unwrap_or(INTERVAL_UNKNOWN)
}

/// What holds from a sample of `up` on.
fn state_after(value: f64) -> CoverageState {
    if is_stale_marker(value) {
        CoverageState::Absent
    } else if value == 0.0 {
        CoverageState::Down
    } else {
        CoverageState::Held
    }
}

/// Stretches that grow towards the end of the range.
struct Line {
    at: i64,
    stretches: Vec<Stretch>,
}

impl Line {
    fn new(range: TimeRange) -> Self {
        Self {
            at: range.start,
            stretches: Vec::new(),
        }
    }

    fn until(&mut self, end: i64, state: CoverageState) {
        if end <= self.at {
            return;
        }
        match self.stretches.last_mut() {
            Some(last) if last.state == state => last.range.end = end,
            _ => self.stretches.push(Stretch {
                range: TimeRange { start: self.at, end },
                state,
            }),
        }
        self.at = end;
    }

    /// From a sample to the next one, or to the end.
    fn silence(&mut self, last: i64, next: i64, state: CoverageState, interval: i64) {
        let patience = interval.saturating_mul(PATIENCE);
        if state == CoverageState::Absent || next.saturating_sub(last) <= patience {
            self.until(next, state);
        } else {
            self.until(last.saturating_add(interval), state);
            self.until(next, CoverageState::Missing);
        }
    }
}

/// The same time, where what is missing or absent in a range that was removed on purpose is marked so. Ranges come in any order and may
/// overlap.
#[must_use]
pub fn with_removed(stretches: &[Stretch], removed: &[TimeRange]) -> Vec<Stretch> {
    let mut removed: Vec<TimeRange> = removed.iter().copied().filter(|range| !range.is_empty()).collect();
    removed.sort_by_key(|range| range.start);
    let Some(first) = stretches.first() else {
        return Vec::new();
    };
    let mut line = Line::new(first.range);
    for stretch in stretches {
        if matches!(stretch.state, CoverageState::Missing | CoverageState::Absent) {
            let inside = removed.iter().map(|gone| gone.intersect(stretch.range));
            for gone in inside.filter(|gone| !gone.is_empty()) {
                line.until(gone.start, stretch.state);
                line.until(gone.end, CoverageState::Removed);
            }
        }
        line.until(stretch.range.end, stretch.state);
    }
    line.stretches
}

/// Two accounts of the same range as one, for a source that has several series: at each moment the better of both, where held is best,
/// then down, missing, removed, absent.
#[must_use]
pub fn joined(left: &[Stretch], right: &[Stretch]) -> Vec<Stretch> {
    let Some(first) = left.first() else {
        return right.to_vec();
    };
    let mut line = Line::new(first.range);
    let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(a), Some(b)) = (l.peek(), r.peek()) {
        let rank = |state: CoverageState| match state {
            CoverageState::Held => 0,
            CoverageState::Down => 1,
            CoverageState::Missing => 2,
            CoverageState::Removed => 3,
            CoverageState::Absent => 4,
        };
        let end = a.range.end.min(b.range.end);
        let better = if rank(a.state) <= rank(b.state) {
            a.state
        } else {
            b.state
        };
        let (a_ends, b_ends) = (a.range.end == end, b.range.end == end);
        line.until(end, better);
        if a_ends {
            l.next();
        }
        if b_ends {
            r.next();
        }
    }
    line.stretches
}

/// The stretches that are missing and at least so long, milliseconds.
#[must_use]
pub fn gaps(stretches: &[Stretch], min_gap: i64) -> Vec<TimeRange> {
    stretches
        .iter()
        .filter(|stretch| stretch.state == CoverageState::Missing)
        .map(|stretch| stretch.range)
        .filter(|range| range.end.saturating_sub(range.start) >= min_gap)
        .collect()
}

/// One state for each step of the range: the worst of which there is any, where the worst is what is missing.
///
/// # Panics
/// When the step is not positive.
#[must_use]
pub fn steps(stretches: &[Stretch], range: TimeRange, step: i64) -> Vec<CoverageState> {
    assert!(step > 0, "a step has a positive length");
    if range.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let (mut start, mut first) = (range.start, 0);
    while start < range.end {
        let end = start.saturating_add(step).min(range.end);
        while stretches.get(first).is_some_and(|stretch| stretch.range.end <= start) {
            first += 1;
        }
        let inside = stretches[first..]
            .iter()
            .take_while(|stretch| stretch.range.start < end);
        found.push(
            inside
                .map(|stretch| stretch.state)
                .max()
                .unwrap_or(CoverageState::Absent),
        );
        start = end;
    }
    found
}

#[cfg(test)]
mod tests;
