//! Synthetic values: one small state for each series, advanced once for each scrape.
//!
//! Everything is counted in whole units of a power of ten, as exporters print short decimals; only sums and durations have all
//! digits. It must never use anything whose result depends on the machine.

use crate::random::{Random, mix};

/// Powers of ten, as exact doubles.
pub(crate) const TENS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// How a series behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Rises by less than `most` units each scrape.
    Counter { decimals: u8, most: u64 },
    /// Rises by less than `most` units, once in `one_in` scrapes.
    Rare { one_in: u64, most: u64 },
    /// Walks by at most `swing` units, never below 0.
    Gauge { decimals: u8, from: u64, swing: u64 },
    /// Walks in pages of 4,096 bytes.
    Bytes { pages: u64, swing: u64 },
    /// Never changes.
    Constant(f64),
    /// The duration of each scrape, with nine decimals.
    Duration,
    /// One bucket of a classic histogram, or its count at 1,000: that share of the observations of its `group`.
    Bucket { group: u64, permille: u64, most: u64 },
    /// The sum of the observations of its `group`.
    BucketSum { group: u64, most: u64 },
}

/// The values of one series.
#[derive(Debug, Clone)]
pub(crate) struct Values {
    kind: Kind,
    random: Random,
    units: u64,
    sum: f64,
}

impl Values {
    /// `group` seeds what series of one histogram share, `seed` the rest.
    pub(crate) fn new(kind: Kind, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let units = match kind {
            Kind::Counter { most, .. } => random.below(100_000) * (1 + most / 4),
            Kind::Rare { .. } => random.below(1_000),
            Kind::Gauge { from, .. } => from / 2 + random.below(from + 1),
            Kind::Bytes { pages, .. } => pages / 2 + random.below(pages + 1),
            _ => 0,
        };
        Self {
            kind,
            random,
            units,
            sum: 0.0,
        }
    }

    /// The value of the next scrape. `shared` is the same for all series of the target.
    pub(crate) fn advance(&mut self, shared: u64, step: u64) -> f64 {
        let walk =
            |units: u64, swing: u64, random: &mut Random| (units + random.below(2 * swing + 1)).saturating_sub(swing);
        match self.kind {
            Kind::Counter { decimals, most } => {
                self.units += self.random.below(most);
                self.units as f64 / TENS[decimals as usize]
            }
            Kind::Rare { one_in, most } => {
                if self.random.below(one_in) == 0 {
                    self.units += self.random.below(most);
                }
                self.units as f64
            }
            Kind::Gauge { decimals, swing, .. } => {
                self.units = walk(self.units, swing, &mut self.random);
                self.units as f64 / TENS[decimals as usize]
            }
            Kind::Bytes { swing, .. } => {
                self.units = walk(self.units, swing, &mut self.random);
                (self.units * 4_096) as f64
            }
            Kind::Constant(value) => value,
            Kind::Duration => (2_000_000 + self.random.below(30_000_000)) as f64 / 1e9,
            Kind::Bucket { group, permille, most } => {
                self.units += observations(shared, group, step, most) * permille / 1_000;
                self.units as f64
            }
            Kind::BucketSum { group, most } => {
                let each = self.random.below(1_000_000) as f64 / 999_983.0;
                self.sum += observations(shared, group, step, most) as f64 * each;
                self.sum
            }
        }
    }
}

/// Observations of a classic histogram between two scrapes: all its buckets see the same.
fn observations(shared: u64, group: u64, step: u64, most: u64) -> u64 {
    mix([shared, group, step]) % most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_of_a_histogram_rise_together() {
        let mut all: Vec<_> = [100, 500, 1_000]
            .map(|permille| {
                let kind = Kind::Bucket {
                    group: 3,
                    permille,
                    most: 50,
                };
                Values::new(kind, permille)
            })
            .into();
        for step in 0..100 {
            let values: Vec<_> = all.iter_mut().map(|values| values.advance(9, step)).collect();
            assert!(values.is_sorted(), "{values:?}");
        }
    }

    #[test]
    fn values_have_the_decimals_of_their_kind() {
        let kind = Kind::Gauge {
            decimals: 2,
            from: 500,
            swing: 30,
        };
        let mut values = Values::new(kind, 1);
        let seen: Vec<f64> = (0..200).map(|step| values.advance(0, step)).collect();
        assert!(
            seen.iter()
                .all(|value| format!("{value}").len() <= format!("{value:.2}").len() && *value >= 0.0)
        );
        assert!(seen.windows(2).filter(|pair| pair[0] != pair[1]).count() > 150);
    }
}
