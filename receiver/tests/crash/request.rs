//! Remote-write requests of both protocols, built by prost and known sample by sample.

use emberkeep_model::{Labels, Sample};
use emberkeep_proto::messages::{prometheus, write_v2};
use emberkeep_proto::snappy;
use prost::Message;

/// The time at which all of this happens, milliseconds since 1970.
pub(crate) const NOW: i64 = 1_795_000_000_000;

/// One sample as a whole: tenant, series, time, bits of the value, start time. What is compared is this.
pub(crate) type Key = (String, Labels, i64, u64, i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    V1,
    V2,
}

/// Labels and samples of one series entry.
pub(crate) type Entry = (Vec<(String, String)>, Vec<Sample>);

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
            series.push((labels, samples));
        }
        Self { tenant, wire, series }
    }

    /// All of its samples.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let keys = self.series.iter().flat_map(|(labels, samples)| {
            let labels = Labels::from_pairs(labels.iter().map(|(name, value)| (&**name, &**value))).unwrap();
            samples.iter().map(move |sample| key(self.tenant, &labels, *sample))
        });
        keys.collect()
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
        let timeseries = self.series.iter().map(|(labels, samples)| prometheus::TimeSeries {
            labels: labels
                .iter()
                .map(|(name, value)| prometheus::Label {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            samples: samples
                .iter()
                .map(|sample| prometheus::Sample {
                    value: sample.value,
                    timestamp: sample.timestamp,
                })
                .collect(),
            ..Default::default()
        });
        prometheus::WriteRequest {
            timeseries: timeseries.collect(),
            ..Default::default()
        }
    }

    fn v2(&self) -> write_v2::Request {
        let mut symbols = vec![String::new()];
        let mut symbol = |text: &String| {
            let known = symbols.iter().position(|symbol| symbol == text);
            let position = known.unwrap_or_else(|| {
                symbols.push(text.clone());
                symbols.len() - 1
            });
            u32::try_from(position).unwrap()
        };
        let timeseries = self.series.iter().map(|(labels, samples)| write_v2::TimeSeries {
            labels_refs: labels
                .iter()
                .flat_map(|(name, value)| [symbol(name), symbol(value)])
                .collect(),
            samples: samples
                .iter()
                .map(|sample| write_v2::Sample {
                    value: sample.value,
                    timestamp: sample.timestamp,
                    start_timestamp: sample.start_timestamp,
                })
                .collect(),
            ..Default::default()
        });
        let timeseries = timeseries.collect();
        write_v2::Request { symbols, timeseries }
    }
}

pub(crate) fn key(tenant: &str, labels: &Labels, sample: Sample) -> Key {
    (
        tenant.to_owned(),
        labels.clone(),
        sample.timestamp,
        sample.value.to_bits(),
        sample.start_timestamp,
    )
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
