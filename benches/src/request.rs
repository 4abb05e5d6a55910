//! Remote write requests of the workload, encoded here byte for byte (`prompb/remote.proto` and `io/prometheus/write/v2/types.proto`
//! of Prometheus).
//!
//! Samples come in the order of a Prometheus queue: all series of a scrape, then those of the next; a request ends where it is
//! full. It must never use the product's codecs.

use std::collections::HashMap;
use std::ops::Range;

use crate::workload::{Values, Workload};

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

/// Which protocol requests are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// Remote write 1.0.
    #[value(name = "1")]
    V1,
    /// Remote write 2.0.
    #[value(name = "2")]
    V2,
}

impl Protocol {
    /// The `Content-Type` of its requests.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The value of `X-Prometheus-Remote-Write-Version`.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

/// The endless requests of one queue, one sample per series entry.
#[derive(Debug)]
pub struct Requests {
    protocol: Protocol,
    series: Vec<Series>,
    step: u64,
    next: usize,
}

#[derive(Debug)]
struct Series {
    values: Values,
    /// Of the first scrape.
    timestamp: i64,
    labels: [(&'static str, String); 10],
    /// The label fields of a 1.0 request.
    region: Vec<u8>,
}

impl Requests {
    /// Requests with the samples of some series of a workload, at least one.
    #[must_use]
    pub fn new(workload: &Workload, series: Range<usize>, protocol: Protocol) -> Self {
        let series = series
            .map(|number| {
                let labels = workload.labels(number);
                let region = match protocol {
                    Protocol::V1 => label_region(&labels),
                    Protocol::V2 => Vec::new(),
                };
                Series {
                    values: workload.values(number),
                    timestamp: workload.timestamp(number, 0),
                    labels,
                    region,
                }
            })
            .collect();
        Self {
            protocol,
            series,
            step: 0,
            next: 0,
        }
    }

    /// The next request with so many samples, not compressed.
    pub fn message(&mut self, samples: usize) -> Vec<u8> {
        match self.protocol {
            Protocol::V1 => self.message_v1(samples),
            Protocol::V2 => self.message_v2(samples),
        }
    }

    /// The next request with so many samples, as it is sent.
    ///
    /// # Panics
    /// When it would be larger than 4 GiB.
    pub fn body(&mut self, samples: usize) -> Vec<u8> {
        let message = self.message(samples);
        snap::raw::Encoder::new()
            .compress_vec(&message)
            .expect("a request is far below 4 GiB")
    }

    /// Goes to the next series: its number, timestamp and value.
    fn advance(&mut self) -> (usize, i64, f64) {
        let number = self.next;
        let series = &mut self.series[number];
        let timestamp = series.timestamp + self.step as i64 * crate::workload::INTERVAL_MS;
        let value = series.values.advance();
        self.next += 1;
        if self.next == self.series.len() {
            self.next = 0;
            self.step += 1;
        }
        (number, timestamp, value)
    }

    fn message_v1(&mut self, samples: usize) -> Vec<u8> {
        let (mut out, mut sample) = (Vec::new(), Vec::new());
        for _ in 0..samples {
            let (number, timestamp, value) = self.advance();
            let region = &self.series[number].region;
            put_sample(&mut sample, timestamp, value);
            key(1, LENGTH, &mut out);
            varint((region.len() + 2 + sample.len()) as u64, &mut out);
            out.extend_from_slice(region);
            bytes(2, &sample, &mut out);
        }
        out
    }

    fn message_v2(&mut self, samples: usize) -> Vec<u8> {
        let entries: Vec<_> = (0..samples).map(|_| self.advance()).collect();
        let mut symbols: HashMap<&str, u64> = HashMap::from([("", 0)]);
        let (mut table, mut all) = (Vec::new(), Vec::new());
        bytes(4, b"", &mut table);
        let (mut refs, mut sample, mut entry) = (Vec::new(), Vec::new(), Vec::new());
        for (number, timestamp, value) in entries {
            refs.clear();
            for text in self.series[number]
                .labels
                .iter()
                .flat_map(|(name, value)| [*name, value])
            {
                let fresh = symbols.len() as u64;
                let reference = *symbols.entry(text).or_insert_with(|| {
                    bytes(4, text.as_bytes(), &mut table);
                    fresh
                });
                varint(reference, &mut refs);
            }
            put_sample(&mut sample, timestamp, value);
            entry.clear();
            bytes(1, &refs, &mut entry);
            bytes(2, &sample, &mut entry);
            bytes(5, &entry, &mut all);
        }
        table.extend_from_slice(&all);
        table
    }
}

fn label_region(labels: &[(&'static str, String)]) -> Vec<u8> {
    let (mut region, mut label) = (Vec::new(), Vec::new());
    for (name, value) in labels {
        label.clear();
        bytes(1, name.as_bytes(), &mut label);
        bytes(2, value.as_bytes(), &mut label);
        bytes(1, &label, &mut region);
    }
    region
}

/// A sample has the same fields in both protocols.
fn put_sample(out: &mut Vec<u8>, timestamp: i64, value: f64) {
    out.clear();
    key(1, FIXED64, out);
    out.extend_from_slice(&value.to_bits().to_le_bytes());
    key(2, VARINT, out);
    varint(timestamp.cast_unsigned(), out);
}

fn key(field: u64, wire_type: u64, out: &mut Vec<u8>) {
    varint(field << 3 | wire_type, out);
}

fn bytes(field: u64, content: &[u8], out: &mut Vec<u8>) {
    key(field, LENGTH, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use emberkeep_proto::messages::{prometheus, write_v2};
    use prost::Message;

    use super::*;

    type Entry = (Vec<(String, String)>, i64, u64);

    fn entries_v1(message: &[u8]) -> Vec<Entry> {
        let request = prometheus::WriteRequest::decode(message).expect("a whole message");
        let entries = request.timeseries.into_iter().map(|series| {
            assert_eq!(series.samples.len(), 1);
            let labels = series
                .labels
                .into_iter()
                .map(|label| (label.name, label.value))
                .collect();
            (labels, series.samples[0].timestamp, series.samples[0].value.to_bits())
        });
        entries.collect()
    }

    fn entries_v2(message: &[u8]) -> Vec<Entry> {
        let request = write_v2::Request::decode(message).expect("a whole message");
        let symbol = |reference: u32| request.symbols[reference as usize].clone();
        let entries = request.timeseries.iter().map(|series| {
            assert_eq!(series.samples.len(), 1);
            let labels = series
                .labels_refs
                .chunks(2)
                .map(|pair| (symbol(pair[0]), symbol(pair[1])))
                .collect();
            (labels, series.samples[0].timestamp, series.samples[0].value.to_bits())
        });
        entries.collect()
    }

    #[test]
    fn both_protocols_say_the_same_and_follow_the_workload() {
        let workload = Workload::new(3, 250, 1_700_000_000_000);
        let mut v1 = Requests::new(&workload, 50..250, Protocol::V1);
        let mut v2 = Requests::new(&workload, 50..250, Protocol::V2);
        let mut values: Vec<_> = (50..250).map(|series| workload.values(series)).collect();
        let mut at = 0;
        for samples in [130, 300, 1] {
            let sent = entries_v1(&v1.message(samples));
            assert_eq!(sent, entries_v2(&v2.message(samples)));
            assert_eq!(sent.len(), samples);
            for (labels, timestamp, value) in sent {
                let (series, step) = (at % 200, at as u64 / 200);
                let wanted: Vec<_> = workload
                    .labels(50 + series)
                    .map(|(name, value)| (name.to_owned(), value))
                    .into();
                assert_eq!(labels, wanted);
                assert_eq!(timestamp, workload.timestamp(50 + series, step));
                assert_eq!(value, values[series].advance().to_bits());
                at += 1;
            }
        }
    }

    #[test]
    fn an_entry_is_as_large_as_the_budget_says() {
        let workload = Workload::new(1, 10_000, 1_700_000_000_000);
        let message = Requests::new(&workload, 0..10_000, Protocol::V1).message(10_000);
        assert!(
            (259..=263).contains(&(message.len() / 10_000)),
            "{} bytes per entry",
            message.len() / 10_000
        );
    }
}
