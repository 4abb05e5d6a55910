//! A recording of remote write, replayed over many instances and hours.
//!
//! It is 20 minutes of two targets. Each instance has its own start values, moments and rates, so that no compressor meets the same numbers
//! again that a real day would not bring again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use emberkeep_model::{Run, Sample};
use emberkeep_proto::{snappy, write_v1};

/// Between two scrapes of the recording, milliseconds.
pub(crate) const STEP_MS: i64 = 5_000;

/// One recorded series.
pub(crate) struct Recorded {
    pub(crate) labels: Vec<(String, String)>,
    values: Vec<f64>,
    /// How many digits stand behind the point; none when they are too many to count.
    digits: Option<i32>,
    is_counter: bool,
    /// How far each scrape of its target was from its moment.
    lateness: Vec<i64>,
}

impl Recorded {
    /// The recording over and over: each round it moves faster or slower than before, counters go on where they were, and of what goes up
    /// and down each instance begins elsewhere.
    pub(crate) fn replay(&self, number: usize, instance: usize, steps: Range<u64>) -> Run {
        let of_target = self
            .labels
            .iter()
            .find(|(name, _)| name == "job")
            .map_or(0, |(_, job)| job.len());
        let phase = i64::try_from(mix(&[of_target, instance]) % 5_000).unwrap_or(0);
        let length = self.values.len() as u64;
        let first = self.values[0];
        let moves = self.values.iter().any(|&value| value != first);
        let own = (mix(&[number, instance, 1]) % 1_000_000) as f64;
        let shift = if self.is_counter {
            0
        } else {
            mix(&[number, instance, 2]) % length
        };
        let power = 10_f64.powi(self.digits.unwrap_or(0));
        let units = |value: f64| {
            if self.digits.is_some() {
                (value * power).round()
            } else {
                value
            }
        };
        let (mut base, mut last, mut factor) = (if self.is_counter && moves { own } else { 0.0 }, 0.0, 1.0);
        let mut run = Run::default();
        for step in 0..steps.end {
            let place = step % length;
            if place == 0 {
                base += if self.is_counter { last } else { 0.0 };
                factor =
                    0.8 + (mix(&[number, instance, 3, usize::try_from(step).unwrap_or(0)]) % 4_000) as f64 / 10_000.0;
            }
            let value = self.values[usize::try_from((place + shift) % length).unwrap_or(0)];
            last = (units(value) - units(first)) * factor;
            if self.digits.is_some() {
                last = last.round();
            }
            if steps.contains(&step) {
                let late = (step * 7 + step / length * 31) as usize + instance * 11;
                run.push(Sample {
                    timestamp: 1_700_000_000_000
                        + phase
                        + step as i64 * STEP_MS
                        + self.lateness[late % self.lateness.len()],
                    value: (units(first) + base + last) / power,
                    start_timestamp: 0,
                });
            }
        }
        run
    }
}

/// A number that depends on all of these.
fn mix(of: &[usize]) -> u64 {
    of.iter().fold(0x9e37_79b9_7f4a_7c15, |hash, &number| {
        let product = u128::from(hash ^ number as u64) * 0xd6e8_feb8_6659_fd93_u128;
        (product >> 64) as u64 ^ product as u64
    })
}

/// All series of a recording that last.
pub(crate) fn load(path: &Path) -> Result<Vec<Recorded>> {
    let bytes = std::fs::read(path).with_context(|| format!("read `{}`", path.display()))?;
    let (mut rest, mut message) = (&bytes[..], Vec::new());
    let mut all: BTreeMap<Vec<(String, String)>, BTreeMap<i64, f64>> = BTreeMap::new();
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (body, tail) = tail.split_at_checked(length).context("the recording is cut off")?;
        rest = tail;
        snappy::decompress_capped(body, 64 << 20, &mut message)?;
        for series in write_v1::Request::parse(&message)?.series() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let labels = series.labels().map(|(name, value)| (text(name), text(value))).collect();
            let samples = series.samples().filter(|sample| !sample.value.is_nan());
            let of_series: &mut BTreeMap<i64, f64> = all.entry(labels).or_default();
            of_series.extend(samples.map(|sample| (sample.timestamp, sample.value)));
        }
    }
    // What came late or went early would leave gaps that real series do not have.
    all.retain(|_, samples| samples.len() > 150);
    Ok(all
        .into_iter()
        .map(|(labels, samples)| recorded(labels, &samples))
        .collect())
}

fn recorded(labels: Vec<(String, String)>, samples: &BTreeMap<i64, f64>) -> Recorded {
    let values: Vec<f64> = samples.values().copied().collect();
    let first = samples.keys().next().copied().unwrap_or(0);
    let half = STEP_MS / 2;
    let is_exact = |digits: i32, value: f64| {
        let power = 10_f64.powi(digits);
        (value * power).abs() < 9e15 && ((value * power).round() / power).to_bits() == value.to_bits()
    };
    let name = labels
        .iter()
        .find(|(name, _)| name == "__name__")
        .map_or("", |(_, name)| name);
    let counts = ["_total", "_count", "_sum", "_bucket"]
        .iter()
        .any(|end| name.ends_with(end));
    Recorded {
        digits: (0..=12).find(|&digits| values.iter().all(|&value| is_exact(digits, value))),
        is_counter: counts && values.is_sorted(),
        lateness: samples
            .keys()
            .map(|time| (time - first + half).rem_euclid(STEP_MS) - half)
            .collect(),
        labels,
        values,
    }
}
