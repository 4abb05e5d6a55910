//! When what happens: scrapes, the ends of pods, failed scrapes, samples that are late or sent twice.
//!
//! Everything follows from seed, place and step alone, so the data is the same whatever the number of connections and the
//! protocol. Nothing here knows a label or a value.

use crate::random::{mix, unit};

/// Longest delay of a late sample and of a repetition, in scrapes.
pub(crate) const LATE_MAX: u64 = 8;

/// The time of a run.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    pub(crate) seed: u64,
    /// First moment of the first interval.
    pub(crate) start_ms: i64,
    pub(crate) interval_ms: i64,
    pub(crate) scrapes: u64,
    /// Percent of the targets that are replaced in a minute.
    pub(crate) churn: f64,
    /// Percent of the scrapes that fail, and leave stale markers.
    pub(crate) stale: f64,
    /// Percent of the samples that come late.
    pub(crate) late: f64,
    /// Percent of the samples that are sent twice.
    pub(crate) repeated: f64,
}

const STALE: u64 = 1;
const LATE: u64 = 2;
const REPEATED: u64 = 3;
const OFFSET: u64 = 4;

impl Timeline {
    /// How many predecessors a target has had at a step. Ends are spread evenly over targets and time.
    pub(crate) fn incarnation(&self, target: u64, step: u64) -> u64 {
        if self.churn <= 0.0 {
            return 0;
        }
        let life = 60_000.0 / self.interval_ms as f64 * 100.0 / self.churn;
        // Multiples of the golden ratio leave no cluster and no gap.
        let phase = (target as f64 * 0.618_033_988_749_895).fract() * life;
        ((step as f64 + phase) / life) as u64
    }

    /// When a target is scraped; each has its own moment in the interval.
    pub(crate) fn timestamp(&self, target: u64, step: u64) -> i64 {
        self.start_ms + step as i64 * self.interval_ms + self.offset(target)
    }

    pub(crate) fn offset(&self, target: u64) -> i64 {
        (mix([self.seed, OFFSET, target]) % self.interval_ms.cast_unsigned()) as i64
    }

    fn happens(&self, percent: f64, what: u64, place: u64, step: u64) -> Option<u64> {
        if percent <= 0.0 {
            return None;
        }
        let bits = mix([self.seed, what, place, step]);
        (unit(bits) * 100.0 < percent).then_some(bits)
    }

    /// Whether the scrape of a target fails.
    pub(crate) fn fails(&self, target: u64, step: u64) -> bool {
        self.happens(self.stale, STALE, target, step).is_some()
    }

    /// The step at whose end the sample of a series is sent, when it is late.
    pub(crate) fn late_until(&self, series: u64, step: u64) -> Option<u64> {
        let bits = self.happens(self.late, LATE, series, step)?;
        Some(step + 1 + bits % LATE_MAX)
    }

    /// The step at whose end the sample of a series is sent again.
    pub(crate) fn repeated_at(&self, series: u64, step: u64) -> Option<u64> {
        let bits = self.happens(self.repeated, REPEATED, series, step)?;
        Some(step + 1 + bits % LATE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline() -> Timeline {
        Timeline {
            seed: 1,
            start_ms: 1_000_000,
            interval_ms: 15_000,
            scrapes: 240,
            churn: 10.0,
            stale: 0.5,
            late: 3.0,
            repeated: 0.0,
        }
    }

    #[test]
    fn a_tenth_of_the_targets_ends_each_minute() {
        let timeline = timeline();
        // An hour of 1,000 targets: 6,000 ends, evenly spread over the minutes.
        for minute in 0..59 {
            let (from, to) = (minute * 4, minute * 4 + 4);
            let ends: u64 = (0..1_000)
                .map(|target| timeline.incarnation(target, to) - timeline.incarnation(target, from))
                .sum();
            assert!((90..=110).contains(&ends), "{ends} in minute {minute}");
        }
        assert!((0..1_000).all(|target| timeline.incarnation(target, 0) == 0));
    }

    #[test]
    fn what_happens_by_chance_happens_as_often_as_asked() {
        let timeline = timeline();
        let places = || (0..500_u64).flat_map(|place| (0..240).map(move |step| (place, step)));
        let late = places()
            .filter(|&(place, step)| timeline.late_until(place, step).is_some())
            .count();
        assert!((3_400..3_800).contains(&late), "{late} of 120,000");
        let fails = places().filter(|&(place, step)| timeline.fails(place, step)).count();
        assert!((500..700).contains(&fails), "{fails} of 120,000");
        assert!(places().all(|(place, step)| timeline.repeated_at(place, step).is_none()));
    }
}
