//! The metrics of the server about itself, from its `/metrics`: what its senders dropped, how far back it reaches.

use std::collections::BTreeMap;
use std::io;

use prometheus_parse::{Scrape, Value};

use crate::client::answer;
use crate::{Source, SourceError};

/// Labels and value of each series of a metric.
type SeriesOfMetric = Vec<(BTreeMap<String, String>, f64)>;

/// Counters, gauges and untyped samples of one scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OwnMetrics {
    samples: BTreeMap<String, SeriesOfMetric>,
}

impl OwnMetrics {
    /// Reads the text format.
    ///
    /// # Errors
    /// A text that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scrape = Scrape::parse(text.lines().map(|line| Ok::<_, io::Error>(line.to_owned())));
        let scrape = scrape.map_err(|error| error.to_string())?;
        let mut samples: BTreeMap<String, SeriesOfMetric> = BTreeMap::new();
        for sample in scrape.samples {
            let (Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value)) = sample.value else {
                continue;
            };
            let labels = sample.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
            samples
                .entry(sample.metric)
                .or_default()
                .push((labels.collect(), value));
        }
        Ok(Self { samples })
    }

    /// Labels and value of each series of a metric.
    pub fn of(&self, metric: &str) -> impl Iterator<Item = (&BTreeMap<String, String>, f64)> {
        let series = self.samples.get(metric).map_or(&[][..], Vec::as_slice);
        series.iter().map(|(labels, value)| (labels, *value))
    }

    /// The sum over all series of a metric; none when there is no such metric.
    #[must_use]
    pub fn sum(&self, metric: &str) -> Option<f64> {
        let series = self.samples.get(metric)?;
        Some(series.iter().map(|(_, value)| value).sum())
    }

    /// The oldest time that the server's TSDB holds, milliseconds since 1970.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        let seconds = self.sum("prometheus_tsdb_lowest_timestamp_seconds")?;
        // An empty TSDB says the greatest number there is.
        (seconds > 0.0 && seconds < 1e12).then_some((seconds * 1000.0) as i64)
    }
}

impl Source {
    /// Its own metrics.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn metrics(&self) -> Result<OwnMetrics, SourceError> {
        let url = self.endpoint("/metrics");
        let body = self.body(&url).await?;
        let text = String::from_utf8(body).map_err(|error| answer(&url, error.to_string()))?;
        OwnMetrics::parse(&text).map_err(|reason| answer(&url, reason))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn series_of_a_metric_are_found_and_summed() {
        let text = "# HELP a_total x\n# TYPE a_total counter\na_total{url=\"x\"} 2\na_total{url=\"y\"} 3\n# TYPE b gauge\nb 7\n# TYPE prometheus_tsdb_lowest_timestamp_seconds gauge\nprometheus_tsdb_lowest_timestamp_seconds 1.7e+09\n";
        let metrics = OwnMetrics::parse(text).unwrap();
        assert_eq!(metrics.sum("a_total"), Some(5.0));
        assert_eq!(metrics.sum("b"), Some(7.0));
        assert_eq!(metrics.sum("c"), None);
        let of_y = metrics.of("a_total").find(|(labels, _)| labels["url"] == "y").unwrap();
        assert_eq!(of_y.1.to_bits(), 3.0_f64.to_bits());
        assert_eq!(metrics.oldest_ms(), Some(1_700_000_000_000));
    }
}
