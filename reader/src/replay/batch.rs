//! One request of remote write 1.0 in the making: series, each with some of its rows, in the order in which they are to be taken.

use emberkeep_model::{Histogram, Labels, SeriesRuns};
use emberkeep_proto::snappy;

use crate::remote_read::point::{HistogramPoints, sample};
use crate::remote_read::wire;

/// Samples of a request; what Prometheus' own sender takes by default.
const SAMPLES_MAX: usize = 2_000;
/// Bytes of a request before compression: a histogram is as large as hundreds of floats.
const BYTES_MAX: usize = 1 << 20;

/// The requests of one shard.
#[derive(Debug, Default)]
pub(super) struct Batch {
    request: Vec<u8>,
    series: Vec<u8>,
    samples: usize,
    histogram: Histogram,
    points: HistogramPoints,
}

/// One request, ready to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) body: Vec<u8>,
    pub(super) samples: u64,
}

impl Batch {
    /// Adds rows of a series, later than all of it before. Requests that become full meanwhile are given.
    pub(super) fn add(&mut self, labels: &Labels, rows: &SeriesRuns, full: &mut Vec<Request>) {
        let mut places: Vec<(i64, Option<usize>, usize)> = Vec::with_capacity(rows.len());
        let floats = rows.samples.timestamps.iter().enumerate();
        places.extend(floats.map(|(at, &time)| (time, None, at)));
        let histograms = rows.histograms.timestamps().iter().enumerate();
        places.extend(histograms.map(|(at, &time)| (time, Some(at), at)));
        // Floats and histograms are two lists on the wire; a request never holds a later row while an earlier one is to come.
        places.sort_unstable_by_key(|&(time, ..)| time);
        let mut rest = places.as_slice();
        while !rest.is_empty() {
            let mut taken = 0;
            self.series.clear();
            wire::labels(labels, &mut self.series);
            for &(time, histogram, at) in rest {
                if taken > 0 && (self.samples >= SAMPLES_MAX || self.request.len() + self.series.len() >= BYTES_MAX) {
                    break;
                }
                match histogram {
                    None => sample(time, rows.samples.values[at], &mut self.series),
                    Some(at) => {
                        rows.histograms.row(at).decode_into(&mut self.histogram);
                        self.histogram.reduce_to_stored();
                        self.points.write(time, &self.histogram, &mut self.series);
                    }
                }
                taken += 1;
                self.samples += 1;
            }
            rest = &rest[taken..];
            wire::bytes_field(1, &self.series, &mut self.request);
            if self.samples >= SAMPLES_MAX || self.request.len() >= BYTES_MAX {
                full.extend(self.finish());
            }
        }
    }

    /// What has gathered, unless it is nothing.
    pub(super) fn finish(&mut self) -> Option<Request> {
        let samples = std::mem::take(&mut self.samples);
        let body = (samples > 0).then(|| snappy::compress(&self.request));
        self.request.clear();
        body.map(|body| Request {
            body,
            samples: samples as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use emberkeep_model::Run;
    use emberkeep_proto::messages::prometheus as messages;
    use prost::Message;

    use super::*;

    #[test]
    fn every_sample_is_sent_once_and_in_order() {
        let labels = Labels::from_pairs([("__name__", "m"), ("a", "b")]).unwrap();
        let run: Run = (0..5_001)
            .map(|n| emberkeep_model::Sample {
                timestamp: n,
                value: -0.0 * n as f64,
                start_timestamp: 0,
            })
            .collect();
        let rows = SeriesRuns {
            samples: run,
            ..SeriesRuns::default()
        };
        let (mut batch, mut requests) = (Batch::default(), Vec::new());
        batch.add(&labels, &rows, &mut requests);
        requests.extend(batch.finish());
        assert!(batch.finish().is_none());
        let sizes: Vec<u64> = requests.iter().map(|request| request.samples).collect();
        assert_eq!(sizes, [2_000, 2_000, 1_001]);
        let mut times = Vec::new();
        for request in requests {
            let mut raw = Vec::new();
            snappy::decompress_capped(&request.body, 16 << 20, &mut raw).unwrap();
            let message = messages::WriteRequest::decode(raw.as_slice()).unwrap();
            for series in message.timeseries {
                assert_eq!(series.labels.len(), 2);
                assert!(
                    series
                        .samples
                        .iter()
                        .all(|sample| sample.value.to_bits() == (-0.0_f64).to_bits())
                );
                times.extend(series.samples.iter().map(|sample| sample.timestamp));
            }
        }
        assert!(times.into_iter().eq(0..5_001));
    }
}
