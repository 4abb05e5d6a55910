//! Recorded bodies, read into series: what each is like over the time of the recording.
//!
//! The file is a list of bodies as a receiver got them: `u32 length` (little endian), `u32 zero`, `length` bytes of snappy. Both
//! versions of remote write are read.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};

use crate::histogram::Histogram;
use crate::recording::Recorded;
use crate::request::{Metadata, Protocol, decompress};
use crate::request_reader::{protocol_of, read_metadata_v1, read_samples};
use crate::row::Value;
use crate::values::TENS;

/// Most bytes of a recorded body, uncompressed.
const RAW_BYTES_MAX: usize = 256 << 20;
/// `COUNTER`, `HISTOGRAM` and `SUMMARY` of the metadata.
const RISING: [u64; 3] = [1, 3, 6];

/// How a recorded series behaves.
#[derive(Debug, PartialEq)]
pub(crate) enum Shape {
    Constant(u64),
    /// Short decimals: counted in units of a power of ten; all changes are multiples of `grain`.
    Decimal {
        decimals: u8,
        grain: i64,
        units: Vec<i64>,
        rises: bool,
    },
    /// Floats with all their digits.
    Full {
        values: Vec<f64>,
        rises: bool,
    },
    /// Anything with a NaN or an infinity in it.
    Bits(Vec<u64>),
    Native(Vec<Histogram>),
}

#[derive(Default)]
struct Seen {
    floats: BTreeMap<i64, u64>,
    histograms: BTreeMap<i64, Histogram>,
    metadata: Metadata,
}

/// All series in the order of their first appearance, and the recorded interval in milliseconds.
pub(crate) fn read_bodies(mut bytes: &[u8]) -> Result<(Vec<Recorded>, i64)> {
    let (mut numbers, mut all) = (HashMap::new(), Vec::<(Vec<(String, String)>, Seen)>::new());
    let mut families = HashMap::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = rest.get(..length).context("a body is longer than the file")?;
        bytes = &rest[length..];
        let raw = decompress(body, RAW_BYTES_MAX)?;
        let Some(protocol) = protocol_of(&raw)? else { continue };
        if protocol == Protocol::V1 {
            read_metadata_v1(&raw, |family, metadata| {
                families.insert(family.to_owned(), metadata);
            })?;
        }
        read_samples(protocol, &raw, |sample| {
            let own = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
            let labels: Vec<_> = sample.labels.iter().map(own).collect();
            let at = *numbers.entry(labels).or_insert_with_key(|labels| {
                all.push((labels.clone(), Seen::default()));
                all.len() - 1
            });
            let seen: &mut Seen = &mut all[at].1;
            if let Some(metadata) = sample.metadata {
                seen.metadata = metadata;
            }
            // Markers of a recorded restart are no behaviour.
            if sample.value.is_stale() {
                return Ok(());
            }
            match sample.value {
                Value::Float(bits) => {
                    seen.floats.insert(sample.timestamp, bits);
                }
                Value::Histogram(histogram) => {
                    seen.histograms.insert(sample.timestamp, *histogram);
                }
            }
            Ok(())
        })?;
    }
    ensure!(bytes.is_empty(), "it ends inside the head of a body");
    let interval = interval_of(all.iter().map(|(_, seen)| seen));
    let slots = all.into_iter().filter_map(|(labels, seen)| {
        let first = seen.floats.keys().chain(seen.histograms.keys()).min()?;
        let metadata = if seen.metadata.kind == 0 {
            family(&labels, &families)
        } else {
            seen.metadata.clone()
        };
        Some(Recorded {
            offset_ms: first.rem_euclid(interval),
            shape: shape_of(&seen, &metadata, &labels)?,
            labels,
            metadata,
        })
    });
    Ok((slots.collect(), interval))
}

/// The commonest distance of neighbouring samples.
fn interval_of<'a>(all: impl Iterator<Item = &'a Seen>) -> i64 {
    let mut distances = BTreeMap::<i64, usize>::new();
    for seen in all {
        let times: Vec<_> = seen.floats.keys().collect();
        for pair in times.windows(2) {
            *distances.entry(pair[1] - pair[0]).or_default() += 1;
        }
    }
    distances
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or(15_000, |(distance, _)| distance.max(1))
}

fn name_of(labels: &[(String, String)]) -> &str {
    labels
        .iter()
        .find(|(name, _)| name == "__name__")
        .map_or("", |(_, value)| value)
}

/// The metadata of a 1.0 recording, which knows families alone.
fn family(labels: &[(String, String)], families: &HashMap<String, Metadata>) -> Metadata {
    let name = name_of(labels);
    let endings = ["", "_total", "_bucket", "_sum", "_count"];
    let found = endings
        .iter()
        .find_map(|ending| families.get(name.strip_suffix(ending)?));
    found.cloned().unwrap_or_default()
}

fn shape_of(seen: &Seen, metadata: &Metadata, labels: &[(String, String)]) -> Option<Shape> {
    if !seen.histograms.is_empty() {
        let schema = seen.histograms.values().next()?.schema;
        let rows = seen
            .histograms
            .values()
            .filter(|row| row.schema == schema && !row.is_float && row.custom.is_empty());
        let rows: Vec<_> = rows.cloned().collect();
        return (!rows.is_empty()).then_some(Shape::Native(rows));
    }
    let bits: Vec<u64> = seen.floats.values().copied().collect();
    let first = *bits.first()?;
    if bits.iter().all(|other| *other == first) {
        return Some(Shape::Constant(first));
    }
    let values: Vec<f64> = bits.iter().map(|bits| f64::from_bits(*bits)).collect();
    if !values.iter().all(|value| value.is_finite()) {
        return Some(Shape::Bits(bits));
    }
    // A summary's quantiles are gauges.
    let is_quantile = labels.iter().any(|(name, _)| name == "quantile");
    let rises = (RISING.contains(&metadata.kind) && !is_quantile) || values.is_sorted();
    for decimals in 0..TENS.len() as u8 {
        if let Some(units) = in_units(&values, decimals) {
            let grain = units
                .windows(2)
                .fold(0, |grain, pair| divisor(grain, (pair[1] - pair[0]).abs()));
            return Some(Shape::Decimal {
                decimals,
                grain: grain.max(1),
                units,
                rises,
            });
        }
    }
    Some(Shape::Full { values, rises })
}

/// All values as whole numbers of that power of ten, when that is exact.
fn in_units(values: &[f64], decimals: u8) -> Option<Vec<i64>> {
    let ten = TENS[decimals as usize];
    let unit = |value: &f64| {
        let units = (value * ten).round();
        // -0 has no whole number.
        let whole = units as i64;
        (units.abs() < 9e15 && (whole as f64 / ten).to_bits() == value.to_bits()).then_some(whole)
    };
    values.iter().map(unit).collect()
}

/// Greatest common divisor; of 0 and a number that number.
fn divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(values: &[f64], kind: u64) -> Option<Shape> {
        let floats = values
            .iter()
            .enumerate()
            .map(|(at, value)| (at as i64, value.to_bits()))
            .collect();
        let metadata = Metadata {
            kind,
            ..Metadata::default()
        };
        let seen = Seen {
            floats,
            ..Seen::default()
        };
        shape_of(&seen, &metadata, &[])
    }

    #[test]
    fn shapes_keep_decimals_and_granularity() {
        let gauge = shape(&[8_192.0, 4_096.0, 20_480.0], 2);
        let wanted = Shape::Decimal {
            decimals: 0,
            grain: 4_096,
            units: vec![8_192, 4_096, 20_480],
            rises: false,
        };
        assert_eq!(gauge, Some(wanted));
        assert!(matches!(
            shape(&[0.5, 0.25, 0.5], 1),
            Some(Shape::Decimal {
                decimals: 2,
                grain: 25,
                rises: true,
                ..
            })
        ));
        assert!(matches!(
            shape(&[0.1 + 0.2, 7.0], 2),
            Some(Shape::Full { rises: true, .. })
        ));
        assert!(matches!(
            shape(&[-0.0, 0.0, -1.0], 2),
            Some(Shape::Full { rises: false, .. })
        ));
        assert!(matches!(shape(&[f64::NAN, 1.0], 2), Some(Shape::Bits(_))));
        assert_eq!(
            shape(&[f64::NAN, f64::NAN], 2),
            Some(Shape::Constant(f64::NAN.to_bits()))
        );
    }
}
