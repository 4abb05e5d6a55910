//! The oracle for requests: derived protobuf messages, written from the schemas of Prometheus, and never the code under test.

use std::collections::BTreeMap;

use prost::Message;

use crate::file::RequestFile;
use crate::histogram::{Histogram, Side, Span};
use crate::request::Protocol;
use crate::row::Value;

#[derive(Clone, PartialEq, Message)]
struct RequestV1 {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<SeriesV1>,
}

#[derive(Clone, PartialEq, Message)]
struct SeriesV1 {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Float>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Native>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct RequestV2 {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<SeriesV2>,
}

#[derive(Clone, PartialEq, Message)]
struct SeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Float>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Native>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<Family>,
}

#[derive(Clone, PartialEq, Message)]
struct Family {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help_ref: u32,
    #[prost(uint32, tag = "4")]
    unit_ref: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Float {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Native {
    #[prost(uint64, optional, tag = "1")]
    count_int: Option<u64>,
    #[prost(double, optional, tag = "2")]
    count_float: Option<f64>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, optional, tag = "6")]
    zero_count_int: Option<u64>,
    #[prost(double, optional, tag = "7")]
    zero_count_float: Option<f64>,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<Stretch>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<Stretch>,
    #[prost(sint64, repeated, tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    custom_values: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Stretch {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// Labels of a series, as they are sent.
pub(super) type Labels = Vec<(String, String)>;

/// One sample as it is sent, in its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sent {
    pub(super) request: usize,
    pub(super) labels: Labels,
    pub(super) timestamp: i64,
    pub(super) value: Value,
    pub(super) tells_family: bool,
}

/// All samples of a file, in the order of its requests.
pub(super) fn all_sent(file: &RequestFile) -> Vec<Sent> {
    (0..file.slots.len())
        .flat_map(|request| sent_in(file, request))
        .collect()
}

/// The samples of one request. Each entry must have one sample.
pub(super) fn sent_in(file: &RequestFile, request: usize) -> Vec<Sent> {
    let mut body = Vec::new();
    file.read_body(request, &mut body).expect("the file is whole");
    #[expect(clippy::disallowed_methods, reason = "the body is our own")]
    let raw = snap::raw::Decoder::new().decompress_vec(&body).expect("a snappy block");
    assert_eq!(raw.len(), file.slots[request].raw_bytes as usize);
    let entries: Vec<(Labels, Vec<Float>, Vec<Native>, bool)> = match file.summary.protocol {
        Protocol::V1 => {
            let request = RequestV1::decode(raw.as_slice()).expect("a whole message");
            let own = |labels: Vec<Label>| labels.into_iter().map(|label| (label.name, label.value)).collect();
            request
                .timeseries
                .into_iter()
                .map(|entry| (own(entry.labels), entry.samples, entry.histograms, false))
                .collect()
        }
        Protocol::V2 => {
            let request = RequestV2::decode(raw.as_slice()).expect("a whole message");
            assert_eq!(request.symbols[0], "");
            let distinct: std::collections::HashSet<_> = request.symbols.iter().collect();
            assert_eq!(distinct.len(), request.symbols.len(), "a symbol is in the table twice");
            let symbol = |reference: u32| request.symbols[reference as usize].clone();
            let entries = request.timeseries.iter().map(|entry| {
                if let Some(family) = &entry.metadata {
                    assert!(family.kind > 0 && family.unit_ref == 0 && !symbol(family.help_ref).is_empty());
                }
                let labels = entry
                    .labels_refs
                    .chunks(2)
                    .map(|pair| (symbol(pair[0]), symbol(pair[1])))
                    .collect();
                (
                    labels,
                    entry.samples.clone(),
                    entry.histograms.clone(),
                    entry.metadata.is_some(),
                )
            });
            entries.collect()
        }
    };
    let sent = entries.into_iter().map(|(labels, floats, natives, tells_family)| {
        assert_eq!(floats.len() + natives.len(), 1, "one sample for each entry");
        assert!(
            labels.is_sorted() && labels.iter().all(|(_, value)| !value.is_empty()),
            "{labels:?}"
        );
        let (timestamp, value) = match (floats.first(), natives.first()) {
            (Some(float), _) => (float.timestamp, Value::Float(float.value.to_bits())),
            (None, Some(native)) => (native.timestamp, Value::Histogram(Box::new(native.histogram()))),
            (None, None) => unreachable!("counted above"),
        };
        Sent {
            request,
            labels,
            timestamp,
            value,
            tells_family,
        }
    });
    sent.collect()
}

/// The distinct samples of each series. A sample that is there twice must be the same both times.
pub(super) fn by_series(sent: &[Sent]) -> BTreeMap<Labels, BTreeMap<i64, Value>> {
    let mut all: BTreeMap<Labels, BTreeMap<i64, Value>> = BTreeMap::new();
    for sample in sent {
        let rows = all.entry(sample.labels.clone()).or_default();
        let before = rows.insert(sample.timestamp, sample.value.clone());
        assert!(
            before.is_none_or(|before| before == sample.value),
            "two values at one time in {:?}",
            sample.labels
        );
    }
    all
}

impl Native {
    fn histogram(&self) -> Histogram {
        let is_float = self.count_float.is_some();
        assert!(is_float != self.count_int.is_some(), "one kind of count");
        let spans = |stretches: &[Stretch]| {
            let span = |stretch: &Stretch| Span {
                offset: stretch.offset,
                length: stretch.length,
            };
            stretches.iter().map(span).collect()
        };
        let counts = |deltas: &[i64], floats: &[f64]| -> Vec<u64> {
            if is_float {
                return floats.iter().map(|count| count.to_bits()).collect();
            }
            let sums = deltas.iter().scan(0_i64, |sum, delta| {
                *sum += delta;
                Some(sum.cast_unsigned())
            });
            sums.collect()
        };
        let histogram = Histogram {
            is_float,
            is_gauge: self.reset_hint == 3,
            schema: self.schema,
            zero_threshold: self.zero_threshold.to_bits(),
            count: self
                .count_int
                .unwrap_or_else(|| self.count_float.unwrap_or_default().to_bits()),
            zero_count: self
                .zero_count_int
                .unwrap_or_else(|| self.zero_count_float.unwrap_or_default().to_bits()),
            sum: self.sum.to_bits(),
            positive: Side {
                spans: spans(&self.positive_spans),
                counts: counts(&self.positive_deltas, &self.positive_counts),
            },
            negative: Side {
                spans: spans(&self.negative_spans),
                counts: counts(&self.negative_deltas, &self.negative_counts),
            },
            custom: self.custom_values.iter().map(|bound| bound.to_bits()).collect(),
        };
        for side in [&histogram.positive, &histogram.negative] {
            assert_eq!(side.described(), side.counts.len() as u64, "spans and buckets differ");
        }
        histogram
    }
}
