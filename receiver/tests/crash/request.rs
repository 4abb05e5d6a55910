//! Remote-write requests of both protocols with every kind of item, built by prost and known item by item.

use emberkeep_model::{Counts, Exemplar, Histogram, Labels, MetadataEntry, ResetHint, Sample, SeriesRuns, Span};
use emberkeep_proto::messages::{prometheus, write_v2};
use emberkeep_proto::snappy;
use prost::Message;

/// The time at which all of this happens, milliseconds since 1970.
pub(crate) const NOW: i64 = 1_795_000_000_000;

/// One item as a whole: tenant, series and row. What is compared is this.
pub(crate) type Key = (String, Labels, Row);

/// What an item says, bit for bit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    /// Time, bits of the value, start time.
    Sample(i64, u64, i64),
    /// Time, start time, canonical bytes.
    Histogram(i64, i64, Vec<u8>),
    /// Time, bits of the value, labels.
    Exemplar(i64, u64, Labels),
    /// The help. When it was seen is not the sender's to say.
    Metadata(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    V1,
    V2,
}

/// One series entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) samples: Vec<Sample>,
    /// Whole observations in the one bucket of a histogram, at the time of the first sample but one.
    pub(crate) observations: Option<u64>,
    /// A trace id, at the time of the first sample.
    pub(crate) trace: Option<String>,
    /// Metadata: of the series over 2.0, of a family of its name over 1.0.
    pub(crate) help: Option<String>,
}

/// One request of a sender.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) tenant: &'static str,
    pub(crate) wire: Wire,
    pub(crate) series: Vec<Entry>,
}

impl Request {
    /// A request that no other number gives: new times, some series of its own, some that all have, and every kind of value.
    pub(crate) fn numbered(number: usize) -> Self {
        let wire = if number.is_multiple_of(2) { Wire::V1 } else { Wire::V2 };
        let tenant = if number % 3 == 2 { "tenant-2" } else { "anonymous" };
        let mut series = Vec::new();
        for s in 0..4 {
            let name = if s == 3 {
                format!("own_{number}")
            } else {
                format!("shared_{s}_total")
            };
            // Not in the order of names, which 1.0 senders do not owe us.
            let labels = [
                ("job", "crash".to_owned()),
                ("__name__", name),
                ("instance", format!("host-{s}:9100")),
            ];
            let labels = labels
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            let samples = (0..5).map(|i| sample(wire, number, s * 5 + i)).collect();
            let mut entry = Entry {
                labels,
                samples,
                observations: None,
                trace: (s == 2).then(|| format!("trace-{number}")),
                help: (s == 1).then(|| format!("Help of {}.", number % 4)),
            };
            if s == 0 {
                // A series may mix kinds: this one has a histogram where a float would stand.
                entry.samples.remove(1);
                entry.observations = Some(number as u64 + 1);
            }
            series.push(entry);
        }
        Self { tenant, wire, series }
    }

    /// All of its items.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        for entry in &self.series {
            let labels = Labels::from_pairs(entry.labels.iter().map(|(name, value)| (&**name, &**value))).unwrap();
            keys.extend(rows(self.tenant, &labels, &entry.runs()));
            if let Some(help) = &entry.help {
                let of = match self.wire {
                    Wire::V1 => of_family(labels.metric_name()),
                    Wire::V2 => labels,
                };
                keys.push((self.tenant.to_owned(), of, Row::Metadata(help.clone())));
            }
        }
        keys
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self.wire {
            Wire::V1 => "application/x-protobuf",
            Wire::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The compressed body.
    pub(crate) fn body(&self) -> Vec<u8> {
        snappy::compress(&match self.wire {
            Wire::V1 => self.v1().encode_to_vec(),
            Wire::V2 => self.v2().encode_to_vec(),
        })
    }

    fn v1(&self) -> prometheus::WriteRequest {
        let label = |(name, value): &(String, String)| prometheus::Label {
            name: name.clone(),
            value: value.clone(),
        };
        let timeseries = self.series.iter().map(|entry| prometheus::TimeSeries {
            labels: entry.labels.iter().map(label).collect(),
            samples: entry
                .samples
                .iter()
                .map(|sample| prometheus::Sample {
                    value: sample.value,
                    timestamp: sample.timestamp,
                })
                .collect(),
            histograms: entry
                .observations
                .map(|count| prometheus::Histogram {
                    count: Some(prometheus::histogram::Count::CountInt(count)),
                    sum: SUM,
                    schema: SCHEMA,
                    positive_spans: vec![prometheus::BucketSpan {
                        offset: OFFSET,
                        length: 1,
                    }],
                    positive_deltas: vec![i64::try_from(count).unwrap()],
                    reset_hint: 3,
                    timestamp: entry.at(1),
                    ..Default::default()
                })
                .into_iter()
                .collect(),
            exemplars: entry
                .trace
                .iter()
                .map(|trace| prometheus::Exemplar {
                    labels: vec![label(&("trace_id".to_owned(), trace.clone()))],
                    value: SUM,
                    timestamp: entry.at(0),
                })
                .collect(),
        });
        let metadata = self.series.iter().filter_map(|entry| {
            Some(prometheus::MetricMetadata {
                r#type: 1,
                metric_family_name: entry.labels[1].1.clone(),
                help: entry.help.clone()?,
                unit: String::new(),
            })
        });
        prometheus::WriteRequest {
            timeseries: timeseries.collect(),
            metadata: metadata.collect(),
        }
    }

    fn v2(&self) -> write_v2::Request {
        let mut symbols = vec![String::new()];
        let mut symbol = |text: &str| {
            let known = symbols.iter().position(|symbol| symbol == text);
            let position = known.unwrap_or_else(|| {
                symbols.push(text.to_owned());
                symbols.len() - 1
            });
            u32::try_from(position).unwrap()
        };
        let timeseries = self.series.iter().map(|entry| write_v2::TimeSeries {
            labels_refs: entry
                .labels
                .iter()
                .flat_map(|(name, value)| [symbol(name), symbol(value)])
                .collect(),
            samples: entry
                .samples
                .iter()
                .map(|sample| write_v2::Sample {
                    value: sample.value,
                    timestamp: sample.timestamp,
                    start_timestamp: sample.start_timestamp,
                })
                .collect(),
            histograms: entry
                .observations
                .map(|count| write_v2::Histogram {
                    count: Some(write_v2::histogram::Count::CountInt(count)),
                    sum: SUM,
                    schema: SCHEMA,
                    positive_spans: vec![write_v2::BucketSpan {
                        offset: OFFSET,
                        length: 1,
                    }],
                    positive_deltas: vec![i64::try_from(count).unwrap()],
                    reset_hint: 3,
                    timestamp: entry.at(1),
                    ..Default::default()
                })
                .into_iter()
                .collect(),
            exemplars: entry
                .trace
                .iter()
                .map(|trace| write_v2::Exemplar {
                    labels_refs: vec![symbol("trace_id"), symbol(trace)],
                    value: SUM,
                    timestamp: entry.at(0),
                })
                .collect(),
            metadata: entry.help.as_ref().map(|help| write_v2::Metadata {
                r#type: 1,
                help_ref: symbol(help),
                unit_ref: 0,
            }),
        });
        let timeseries = timeseries.collect();
        write_v2::Request { symbols, timeseries }
    }
}

const SUM: f64 = 0.75;
const SCHEMA: i32 = 40;
const OFFSET: i32 = -7;

impl Entry {
    /// The time of the sample that was made as number `i`, whether it is still there or not.
    fn at(&self, i: i64) -> i64 {
        self.samples[0].timestamp + i
    }

    fn runs(&self) -> SeriesRuns {
        let mut runs = SeriesRuns {
            samples: self.samples.iter().copied().collect(),
            ..SeriesRuns::default()
        };
        if let Some(count) = self.observations {
            let histogram = Histogram {
                counts: Counts::Integer {
                    count,
                    zero_count: 0,
                    positive: vec![i64::try_from(count).unwrap()],
                    negative: Vec::new(),
                },
                sum: SUM,
                schema: SCHEMA,
                reset_hint: ResetHint::Gauge,
                positive_spans: vec![Span {
                    offset: OFFSET,
                    length: 1,
                }],
                ..Histogram::default()
            };
            runs.histograms.push(self.at(1), 0, &histogram);
        }
        if let Some(trace) = &self.trace {
            runs.exemplars.push(Exemplar {
                timestamp: self.at(0),
                value: SUM,
                labels: Labels::from_pairs([("trace_id", trace.as_str())]).unwrap(),
            });
        }
        runs
    }
}

/// The keys of a series' rows.
pub(crate) fn rows(tenant: &str, labels: &Labels, runs: &SeriesRuns) -> Vec<Key> {
    let samples = runs
        .samples
        .iter()
        .map(|sample| Row::Sample(sample.timestamp, sample.value.to_bits(), sample.start_timestamp));
    let histograms = runs
        .histograms
        .iter()
        .map(|row| Row::Histogram(row.timestamp, row.start_timestamp, row.canonical.to_vec()));
    let exemplars = runs
        .exemplars
        .as_slice()
        .iter()
        .map(|exemplar| Row::Exemplar(exemplar.timestamp, exemplar.value.to_bits(), exemplar.labels.clone()));
    let rows = samples.chain(histograms).chain(exemplars);
    rows.map(|row| (tenant.to_owned(), labels.clone(), row)).collect()
}

/// The key of one variant of metadata.
pub(crate) fn metadata_key(tenant: &str, entry: &MetadataEntry) -> Key {
    let of = entry.series.clone().unwrap_or_else(|| of_family(&entry.family));
    let help = entry.seen.metadata.help.clone();
    (tenant.to_owned(), of, Row::Metadata(help))
}

/// Labels that no series has.
fn of_family(family: &str) -> Labels {
    Labels::from_pairs([("family", family)]).unwrap()
}

/// Values that a careless path would change, then plain ones; some samples of each request are years old.
fn sample(wire: Wire, number: usize, i: usize) -> Sample {
    let bits = match i {
        0 => emberkeep_model::STALE_MARKER_BITS,
        1 => 0x7ff8_dead_beef_0001,
        // No minus zero: prost takes it for the default and leaves it off.
        2 => f64::MAX.to_bits(),
        3 => f64::NEG_INFINITY.to_bits(),
        4 => 1,
        5 => (number as f64 / 3.0).to_bits(),
        _ => ((number * 100 + i) as f64 / 100.0).to_bits(),
    };
    let (number, i) = (i64::try_from(number).unwrap(), i64::try_from(i).unwrap());
    let age = if i == 7 { 800 * 86_400_000 } else { 0 };
    let timestamp = NOW - 3_600_000 + number * 15_000 + i - age;
    let start_timestamp = if wire == Wire::V2 && i % 2 == 0 {
        timestamp - 60_000
    } else {
        0
    };
    Sample {
        timestamp,
        value: f64::from_bits(bits),
        start_timestamp,
    }
}
