//! The synthetic workload: series with ten labels, about 261 bytes each in a remote write 1.0 request, scraped each 15 seconds.
//!
//! Of each eight metrics four are busy counters (integers), two are gauges that walk in hundredths, one is a gauge that rarely
//! changes, and one is a sum of fractions with all 16-17 digits, as `_sum` of a histogram has: neither the easiest data for an
//! archive nor the hardest. Everything follows from seed, series and step alone. It must never use product code.

use crate::random::Random;

/// Metrics of one target.
const METRICS: usize = 100;

/// Scrape interval, milliseconds.
pub const INTERVAL_MS: i64 = 15_000;

/// A number of series and their samples.
#[derive(Debug, Clone)]
pub struct Workload {
    seed: u64,
    series: usize,
    start_ms: i64,
    /// Series of one target.
    metrics: usize,
}

impl Workload {
    /// `series` series whose first scrapes lie in the interval that begins at `start_ms`, milliseconds since 1970.
    #[must_use]
    pub fn new(seed: u64, series: usize, start_ms: i64) -> Self {
        Self {
            seed,
            series,
            start_ms,
            metrics: METRICS,
        }
    }

    /// The same with so many metrics of each target, at least one, instead of 100.
    #[must_use]
    pub fn with_metrics(self, metrics: usize) -> Self {
        Self {
            metrics: metrics.max(1),
            ..self
        }
    }

    /// Number of series.
    #[must_use]
    pub fn series(&self) -> usize {
        self.series
    }

    /// The labels of a series, sorted by name.
    #[must_use]
    pub fn labels(&self, series: usize) -> [(&'static str, String); 10] {
        let (target, metric) = (series / self.metrics, series % self.metrics);
        let mut random = Random::new(self.seed ^ (target as u64) << 20);
        let (replica_set, pod) = (random.next() & 0xff_ffff_ffff, random.next() & 0xf_ffff);
        [
            ("__name__", format!("bench_http_requests_total_{metric:03}")),
            ("cluster", "eu-west-1".to_owned()),
            ("container", "server".to_owned()),
            ("endpoint", format!("/orders/{:02}", metric % 20)),
            (
                "instance",
                format!("10.{}.{}.{}:9100", target >> 16 & 255, target >> 8 & 255, target & 255),
            ),
            ("job", "checkout".to_owned()),
            ("method", ["GET", "PUT", "POST", "DELETE"][metric % 4].to_owned()),
            ("namespace", format!("shop-{:02}", target % 16)),
            ("pod", format!("checkout-{replica_set:010x}-{pod:05x}")),
            ("status", ["200", "204", "404", "500", "503"][metric % 5].to_owned()),
        ]
    }

    /// When a series is scraped for the `step`-th time, milliseconds since 1970. Each target has its own moment in the interval.
    #[must_use]
    pub fn timestamp(&self, series: usize, step: u64) -> i64 {
        let offset = Random::new(!self.seed ^ (series / self.metrics) as u64).below(INTERVAL_MS as u64);
        self.start_ms + step as i64 * INTERVAL_MS + offset as i64
    }

    /// First moment after the first `steps` scrapes of all series.
    #[must_use]
    pub fn end_ms(&self, steps: u64) -> i64 {
        self.start_ms + steps as i64 * INTERVAL_MS
    }

    /// The values of a series from its first scrape on, without end.
    #[must_use]
    pub fn values(&self, series: usize) -> Values {
        let mut random = Random::new(self.seed.wrapping_mul(31) ^ (series as u64) << 1);
        let kind = match series % self.metrics % 8 {
            0..=3 => Kind::Counter {
                rate: 10_u64.pow(1 + (random.next() % 4) as u32),
            },
            4 | 5 => Kind::Gauge,
            6 => Kind::Slow,
            _ => Kind::Sum,
        };
        let integer = random.below(100_000) as i64;
        Values {
            sum: integer as f64 / 7.0,
            random,
            kind,
            integer,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter { rate: u64 },
    Gauge,
    Slow,
    Sum,
}

/// The values of one series.
#[derive(Debug, Clone)]
pub struct Values {
    random: Random,
    kind: Kind,
    integer: i64,
    sum: f64,
}

impl Values {
    /// The value of the next scrape.
    pub fn advance(&mut self) -> f64 {
        match self.kind {
            Kind::Counter { rate } => {
                self.integer += self.random.below(rate) as i64;
                self.integer as f64
            }
            Kind::Gauge => {
                self.integer += self.random.below(201) as i64 - 100;
                self.integer as f64 / 100.0
            }
            Kind::Slow => {
                if self.random.below(16) == 0 {
                    self.integer = self.random.below(1000) as i64;
                }
                self.integer as f64
            }
            Kind::Sum => {
                self.sum += self.random.below(1_000_000) as f64 / 999_983.0;
                self.sum
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_ten_sorted_labels_that_no_other_has() {
        let workload = Workload::new(1, 1000, 0);
        let mut all: Vec<_> = (0..workload.series()).map(|series| workload.labels(series)).collect();
        assert!(all.iter().all(|labels| labels.is_sorted_by(|a, b| a.0 < b.0)));
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn the_seed_decides_everything() {
        let shown = |seed| {
            let workload = Workload::new(seed, 200, 1_000_000);
            let mut values = workload.values(107);
            let values: Vec<u64> = (0..50).map(|_| values.advance().to_bits()).collect();
            (workload.labels(107), workload.timestamp(107, 9), values)
        };
        assert_eq!(shown(1), shown(1));
        assert_ne!(shown(1), shown(2));
    }

    #[test]
    fn scrapes_of_a_step_lie_in_its_interval() {
        let workload = Workload::new(7, 5000, 7_200_000);
        for series in 0..workload.series() {
            let timestamp = workload.timestamp(series, 3);
            assert!((workload.end_ms(3)..workload.end_ms(4)).contains(&timestamp));
        }
    }
}
