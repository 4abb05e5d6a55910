//! The answer of servers that do not stream: all series with all samples in one message.

use emberkeep_model::{Counts, Histogram, Labels, ResetHint, Sample, SeriesRuns, Span};
use emberkeep_proto::messages::prometheus as wire;
use emberkeep_proto::messages::prometheus::histogram::{Count, ZeroCount};
use emberkeep_proto::snappy;
use prost::Message;

use crate::frames::labels;

/// The series of one answer.
#[derive(Debug)]
pub(crate) struct Sampled {
    series: std::vec::IntoIter<(Labels, wire::TimeSeries)>,
}

impl Sampled {
    /// Decodes a body of at most `limit` bytes when decompressed.
    pub(crate) fn decode(body: &[u8], limit: usize) -> Result<Self, String> {
        let mut message = Vec::new();
        snappy::decompress_capped(body, limit, &mut message).map_err(|error| error.to_string())?;
        let decoded = wire::ReadResponse::decode(message.as_slice()).map_err(|error| error.to_string())?;
        let mut results = decoded.results;
        match (results.pop(), results.is_empty()) {
            (Some(result), true) => {
                let named = |mut series: wire::TimeSeries| {
                    let labels = labels(&std::mem::take(&mut series.labels))?;
                    Ok((labels, series))
                };
                let series: Result<Vec<_>, String> = result.timeseries.into_iter().map(named).collect();
                let mut series = series?;
                // Some servers answer in no order; all of it is here anyway.
                series.sort_by(|(a, _), (b, _)| a.cmp(b));
                Ok(Self {
                    series: series.into_iter(),
                })
            }
            _ => Err("it has not one result for the one query".to_owned()),
        }
    }

    /// The next series; its samples are appended to `runs` as they are, not cut.
    pub(crate) fn next(&mut self, runs: &mut SeriesRuns) -> Result<Option<Labels>, String> {
        let Some((labels, series)) = self.series.next() else {
            return Ok(None);
        };
        for sample in &series.samples {
            runs.samples.push(Sample {
                timestamp: sample.timestamp,
                value: sample.value,
                start_timestamp: 0,
            });
        }
        for histogram in series.histograms {
            let timestamp = histogram.timestamp;
            let histogram = of_wire(histogram);
            // A stale marker is its sum and nothing else.
            if !histogram.is_stale() {
                let fault = histogram.validate();
                fault.map_err(|fault| format!("series {labels}: a histogram at {timestamp}: {fault}"))?;
            }
            runs.histograms.push(timestamp, 0, &histogram);
        }
        Ok(Some(labels))
    }
}

fn of_wire(wire: wire::Histogram) -> Histogram {
    let spans = |spans: Vec<wire::BucketSpan>| {
        let span = |span: wire::BucketSpan| Span {
            offset: span.offset,
            length: span.length,
        };
        spans.into_iter().map(span).collect()
    };
    let counts = match (wire.count, wire.zero_count) {
        (Some(Count::CountFloat(count)), zero) => Counts::Float {
            count,
            zero_count: match zero {
                Some(ZeroCount::ZeroCountFloat(zero)) => zero,
                _ => 0.0,
            },
            positive: wire.positive_counts,
            negative: wire.negative_counts,
        },
        (count, zero) => Counts::Integer {
            count: match count {
                Some(Count::CountInt(count)) => count,
                _ => 0,
            },
            zero_count: match zero {
                Some(ZeroCount::ZeroCountInt(zero)) => zero,
                _ => 0,
            },
            positive: absolute(wire.positive_deltas),
            negative: absolute(wire.negative_deltas),
        },
    };
    Histogram {
        counts,
        sum: wire.sum,
        schema: wire.schema,
        zero_threshold: wire.zero_threshold,
        positive_spans: spans(wire.positive_spans),
        negative_spans: spans(wire.negative_spans),
        custom_values: wire.custom_values,
        reset_hint: ResetHint::from_number(wire.reset_hint),
    }
}

/// Each delta is to the bucket before, the first to 0. Overflow wraps, as in Go, and is negative then: not valid.
fn absolute(deltas: Vec<i64>) -> Vec<i64> {
    let next = |count: &mut i64, delta: i64| {
        *count = count.wrapping_add(delta);
        Some(*count)
    };
    deltas.into_iter().scan(0_i64, next).collect()
}
