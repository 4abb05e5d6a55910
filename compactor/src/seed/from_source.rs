//! A seed from a Prometheus that runs: slice by slice through its remote read, no faster than it is told.

use std::fmt::Debug;
use std::time::Duration;

use emberkeep_model::{Labels, Matcher, SeriesRuns, TimeRange};
use emberkeep_source::{SeriesStream, Source, Throttle};
use tracing::warn;

use super::rows::Rows;
use super::{SeedError, SeedReport, SeedTarget, WindowReport};

/// Level of a part that holds a piece of a day.
const SLICE_LEVEL: u32 = 1;

/// A slice is not cut further when a server says that it is too much.
const LEAST_SLICE_MS: i64 = 60_000;

/// How often in a row a source may fail for a while.
const MOST_FAILURES: u32 = 6;

/// Half of the pause after the first failure; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Length of a day.
const DAY_MS: i64 = 86_400_000;

/// How a source is asked.
#[derive(Debug)]
pub struct SourceSeed<'a> {
    /// The server.
    pub source: &'a Source,
    /// Which series.
    pub matchers: &'a [Matcher],
    /// Time that is asked for at once, and becomes live at once.
    pub slice: Duration,
    /// Bound on samples each second.
    pub samples_per_second: Option<u64>,
    /// What is taken of what the source answers; everything without one.
    pub sieve: Option<&'a dyn Sieve>,
}

/// Chooses among the rows of a source.
pub trait Sieve: Debug {
    /// Under which labels the rows of a series go into the archive, after taking out of them what is not wanted; none for none of them.
    fn pass(&self, labels: Labels, runs: &mut SeriesRuns) -> Option<Labels>;
}

/// Brings all rows of a source in the target's range into the archive. The source adds its external labels itself.
///
/// # Errors
/// See [`SeedError`]. Slices that were finished stay.
pub async fn from_source(
    seed: &SourceSeed<'_>,
    target: &SeedTarget<'_>,
    mut tell: impl FnMut(u64),
) -> Result<SeedReport, SeedError> {
    let mut report = SeedReport::default();
    let mut throttle = Throttle::new(seed.samples_per_second);
    let mut failures = 0;
    let mut waiting = vec![target.range];
    while let Some(range) = waiting.pop() {
        let slice = first_slice(range, seed.slice);
        if slice.end < range.end {
            waiting.push(TimeRange {
                start: slice.end,
                end: range.end,
            });
        }
        let window = match fill(seed, target, slice, &mut throttle, &mut tell).await {
            Err(SeedError::Source(error)) if error.is_too_much() && slice.end - slice.start >= 2 * LEAST_SLICE_MS => {
                let middle = slice.start + (slice.end - slice.start) / 2;
                let half = |start, end| TimeRange { start, end };
                waiting.extend([half(middle, slice.end), half(slice.start, middle)]);
                continue;
            }
            // Nothing of the slice is live yet, so it can be read again as a whole.
            Err(SeedError::Source(error)) if error.is_temporary() && failures < MOST_FAILURES => {
                failures += 1;
                warn!(%error, failures, "the source does not answer; the slice is read again");
                tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(failures)).await;
                waiting.push(slice);
                continue;
            }
            filled => filled?,
        };
        failures = 0;
        if window.series > 0 {
            report.windows.push(window);
        }
    }
    Ok(report)
}

async fn fill(
    seed: &SourceSeed<'_>,
    target: &SeedTarget<'_>,
    slice: TimeRange,
    throttle: &mut Throttle,
    tell: &mut impl FnMut(u64),
) -> Result<WindowReport, SeedError> {
    let stream = seed.source.read(seed.matchers, slice).await?;
    let sieve = seed.sieve;
    let mut rows = SourceRows {
        stream,
        throttle,
        sieve,
    };
    target.fill((SLICE_LEVEL, slice), &mut rows, tell).await
}

/// The beginning of a range: to the next multiple of the slice, and never into the next day.
pub(crate) fn first_slice(range: TimeRange, slice: Duration) -> TimeRange {
    let slice = i64::try_from(slice.as_millis())
        .unwrap_or(DAY_MS)
        .clamp(LEAST_SLICE_MS, DAY_MS);
    let end_of = |length: i64| (range.start.div_euclid(length) + 1).saturating_mul(length);
    TimeRange {
        start: range.start,
        end: range.end.min(end_of(slice)).min(end_of(DAY_MS)),
    }
}

struct SourceRows<'a> {
    stream: SeriesStream,
    throttle: &'a mut Throttle,
    sieve: Option<&'a dyn Sieve>,
}

impl Rows for SourceRows<'_> {
    async fn next(&mut self, runs: &mut SeriesRuns) -> Result<Option<Labels>, SeedError> {
        while let Some(labels) = self.stream.next(runs).await? {
            self.throttle.took(runs.len() as u64).await;
            let Some(sieve) = self.sieve else {
                return Ok(Some(labels));
            };
            if let Some(labels) = sieve.pass(labels, runs)
                && !runs.is_empty()
            {
                return Ok(Some(labels));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_aligned_and_stay_in_their_day() {
        let slice = |start, end, hours: u64| {
            let slice = first_slice(TimeRange { start, end }, Duration::from_secs(hours * 3600));
            (slice.start, slice.end)
        };
        let hour = 3_600_000;
        assert_eq!(slice(hour / 2, 9 * hour, 2), (hour / 2, 2 * hour));
        assert_eq!(slice(2 * hour, 9 * hour, 2), (2 * hour, 4 * hour));
        assert_eq!(slice(2 * hour, 3 * hour, 2), (2 * hour, 3 * hour));
        assert_eq!(slice(20 * hour, 90 * hour, 7), (20 * hour, 21 * hour));
        assert_eq!(slice(21 * hour, 90 * hour, 7), (21 * hour, 24 * hour));
        assert_eq!(slice(-hour, hour, 2), (-hour, 0));
    }
}
