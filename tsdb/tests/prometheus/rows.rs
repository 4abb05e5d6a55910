//! Samples in the JSON form that the Go programs of `testdata` read and write: floats by their bits, buckets absolute.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use emberkeep_model::{Counts, Histogram, Labels, ResetHint, STALE_MARKER_BITS, SeriesRuns, Span};
use serde::{Deserialize, Serialize};

/// One sample.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) t: i64,
    #[serde(default)]
    pub(crate) st: i64,
    #[serde(default)]
    pub(crate) bits: Option<String>,
    #[serde(default)]
    pub(crate) hist: Option<HistogramRow>,
}

/// A histogram; floats in hexadecimal, whole numbers decimal.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HistogramRow {
    float: bool,
    hint: i32,
    schema: i32,
    threshold: String,
    sum: String,
    count: String,
    zero: String,
    pspans: Vec<(i32, u32)>,
    nspans: Vec<(i32, u32)>,
    positive: Vec<String>,
    negative: Vec<String>,
    custom: Vec<String>,
}

/// A series, one line of a file.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeriesRows {
    labels: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
}

/// A sample as it is compared: timestamp, start timestamp, and what it is.
pub(crate) type Seen = (i64, i64, Value);

/// What a sample is. A stale marker has nothing but its flavour.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Float(u64),
    Stale { float: bool },
    Histogram(Canonical),
}

/// A histogram that is compared by its canonical bytes, because a NaN is equal to itself here.
#[derive(Clone, PartialEq)]
pub(crate) struct Canonical(Vec<u8>);

impl Canonical {
    pub(crate) fn histogram(&self) -> Histogram {
        Histogram::from_canonical(&self.0).unwrap()
    }
}

impl fmt::Debug for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.histogram().fmt(f)
    }
}

pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden").join(name)
}

/// What a file of JSON holds.
pub(crate) fn json<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

/// Lines of series.
pub(crate) fn series_lines(text: &str) -> Vec<SeriesRows> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn float(hex: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(hex, 16).unwrap())
}

pub(crate) fn hex_of(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

impl SeriesRows {
    pub(crate) fn labels(&self) -> Labels {
        Labels::from_pairs(self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.rows.iter().map(Row::seen).collect()
    }
}

impl Row {
    pub(crate) fn seen(&self) -> Seen {
        let value = match (&self.bits, &self.hist) {
            (Some(bits), None) => Value::Float(float(bits).to_bits()),
            (None, Some(histogram)) => value_of(&histogram.histogram()),
            both => panic!("a row is a float or a histogram, and this is {both:?}"),
        };
        (self.t, self.st, value)
    }
}

pub(crate) fn value_of(histogram: &Histogram) -> Value {
    if histogram.sum.to_bits() == STALE_MARKER_BITS {
        let float = histogram.is_float();
        return Value::Stale { float };
    }
    Value::Histogram(Canonical(histogram.to_canonical()))
}

impl HistogramRow {
    pub(crate) fn histogram(&self) -> Histogram {
        let spans = |spans: &[(i32, u32)]| spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
        let floats = |all: &[String]| all.iter().map(|hex| float(hex)).collect::<Vec<_>>();
        let whole = |all: &[String]| all.iter().map(|count| count.parse().unwrap()).collect::<Vec<_>>();
        let counts = if self.float {
            Counts::Float {
                count: float(&self.count),
                zero_count: float(&self.zero),
                positive: floats(&self.positive),
                negative: floats(&self.negative),
            }
        } else {
            Counts::Integer {
                count: self.count.parse().unwrap(),
                zero_count: self.zero.parse().unwrap(),
                positive: whole(&self.positive),
                negative: whole(&self.negative),
            }
        };
        Histogram {
            counts,
            sum: float(&self.sum),
            schema: self.schema,
            zero_threshold: float(&self.threshold),
            reset_hint: ResetHint::from_number(self.hint),
            positive_spans: spans(&self.pspans),
            negative_spans: spans(&self.nspans),
            custom_values: floats(&self.custom),
        }
    }

    pub(crate) fn of(histogram: &Histogram) -> Self {
        let spans = |spans: &[Span]| spans.iter().map(|span| (span.offset, span.length)).collect();
        let floats = |all: &[f64]| all.iter().map(|&value| hex_of(value)).collect::<Vec<_>>();
        let whole = |all: &[i64]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (count, zero, positive, negative) = match &histogram.counts {
            Counts::Integer {
                count,
                zero_count,
                positive,
                negative,
            } => (
                count.to_string(),
                zero_count.to_string(),
                whole(positive),
                whole(negative),
            ),
            Counts::Float {
                count,
                zero_count,
                positive,
                negative,
            } => (hex_of(*count), hex_of(*zero_count), floats(positive), floats(negative)),
        };
        Self {
            float: histogram.is_float(),
            hint: histogram.reset_hint as i32,
            schema: histogram.schema,
            threshold: hex_of(histogram.zero_threshold),
            sum: hex_of(histogram.sum),
            count,
            zero,
            pspans: spans(&histogram.positive_spans),
            nspans: spans(&histogram.negative_spans),
            positive,
            negative,
            custom: floats(&histogram.custom_values),
        }
    }
}

/// Runs of these rows.
pub(crate) fn runs_of(rows: &[Row]) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    for row in rows {
        match (&row.bits, &row.hist) {
            (Some(bits), _) => runs.samples.push(emberkeep_model::Sample {
                timestamp: row.t,
                value: float(bits),
                start_timestamp: row.st,
            }),
            (None, histogram) => {
                let histogram = histogram.as_ref().unwrap().histogram();
                runs.histograms.push(row.t, row.st, &histogram);
            }
        }
    }
    runs
}

/// What runs hold, in time order.
pub(crate) fn seen(runs: &SeriesRuns) -> Vec<Seen> {
    let floats = runs.samples.iter().map(|sample| {
        (
            sample.timestamp,
            sample.start_timestamp,
            Value::Float(sample.value.to_bits()),
        )
    });
    let histograms = runs
        .histograms
        .iter()
        .map(|row| (row.timestamp, row.start_timestamp, value_of(&row.histogram())));
    let mut all: Vec<Seen> = floats.chain(histograms).collect();
    all.sort_by_key(|(time, ..)| *time);
    all
}
