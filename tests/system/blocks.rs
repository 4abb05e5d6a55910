//! What Prometheus' own code reads from blocks, and the differences between two sets of blocks, each with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::{output, peer};
use crate::wire::LabelSet;

/// The bits of a stale marker as blockdump prints them.
const STALE: &str = "7ff0000000000002";

const ZERO: &str = "0000000000000000";
const NEGATIVE_ZERO: &str = "8000000000000000";

/// One sample as blockdump prints it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) kind: String,
    pub(crate) value: String,
    pub(crate) start: i64,
    hint: i64,
    /// First of its chunk: readers make the hint of such a one unknown.
    first: bool,
}

impl Sample {
    pub(crate) fn is_stale(&self) -> bool {
        self.kind == "stale" || (self.kind == "float" && self.value == STALE)
    }

    /// Schema of a histogram, from its text.
    pub(crate) fn schema(&self) -> Option<i32> {
        let rest = self.value.strip_prefix("schema ")?;
        rest.split(' ').next()?.parse().ok()
    }
}

/// Samples of blocks by series and time, and the chunk encodings used.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) series: BTreeMap<LabelSet, BTreeMap<i64, Sample>>,
    pub(crate) encodings: BTreeSet<i64>,
}

impl Blocks {
    /// Reads a block, or all blocks of a directory, with Prometheus' code.
    pub(crate) fn read(directory: &Path) -> Result<Self> {
        let dump = output(Command::new(peer("programs/blockdump")?).arg(directory))?;
        let mut blocks = Self::default();
        for line in dump.lines() {
            let chunk: Value = serde_json::from_str(line)?;
            blocks.encodings.insert(number(&chunk["encoding"])?);
            let pairs = chunk["labels"].as_array().context("labels")?.iter();
            let labels: Result<LabelSet> = pairs.map(|p| Ok((text(&p[0])?, text(&p[1])?))).collect();
            let labels = labels?;
            let by_time = blocks.series.entry(labels.clone()).or_default();
            for sample in chunk["samples"].as_array().context("samples")? {
                let timestamp = number(&sample["t"])?;
                let sample = Sample {
                    kind: text(&sample["kind"])?,
                    value: text(&sample["value"])?,
                    start: number(&sample["start"])?,
                    hint: number(&sample["hint"])?,
                    first: sample["first"] == true,
                };
                let before = by_time.insert(timestamp, sample);
                ensure!(
                    before.is_none(),
                    "two samples at {timestamp} of {labels:?} in {}",
                    directory.display()
                );
            }
        }
        Ok(blocks)
    }

    /// Only what lies in the range, both ends included, of the series that are wanted.
    pub(crate) fn within(mut self, start: i64, end: i64, wanted: impl Fn(&LabelSet) -> bool) -> Self {
        for by_time in self.series.values_mut() {
            by_time.retain(|t, _| (start..=end).contains(t));
        }
        self.series
            .retain(|labels, by_time| !by_time.is_empty() && wanted(labels));
        self
    }

    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.series.values().flat_map(BTreeMap::values)
    }
}

fn number(value: &Value) -> Result<i64> {
    value.as_i64().with_context(|| format!("{value} is no number"))
}

fn text(value: &Value) -> Result<String> {
    Ok(value
        .as_str()
        .with_context(|| format!("{value} is no text"))?
        .to_owned())
}

/// Why a restored sample is not what the source has. All of them are limits of the formats on the way, none is ours to choose.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Reason {
    /// The reset hint of a chunk's first sample is always read as unknown, and chunks are not cut at the same samples.
    FirstOfChunk,
    /// The sender leaves histograms with custom buckets out of remote write 1.0.
    CustomBucketsNotSent,
    /// The scrape ends a series of histograms with a stale float. Its own storage makes a histogram of it, and sends the float.
    StaleFlavour,
    /// Prometheus' encoder leaves out a value that equals zero, and -0 does: it arrives as 0, with both protocols.
    NegativeZeroNotSent,
    /// Remote write 1.0, or the chunk encodings that every Prometheus reads, cannot hold start timestamps.
    StartTimestampNotHeld,
}

/// What may differ on the way that the data took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) custom_buckets: bool,
    pub(crate) start_timestamps: bool,
}

/// Compares series by series and sample by sample. Gives the number of differences for each reason; one without a reason is an error.
pub(crate) fn compare(source: &Blocks, restored: &Blocks, way: Way) -> Result<BTreeMap<Reason, usize>> {
    let mut reasons = BTreeMap::new();
    let mut count = |reason| *reasons.entry(reason).or_insert(0) += 1;
    let nothing = BTreeMap::new();
    for (labels, expected) in &source.series {
        let found = restored.series.get(labels).unwrap_or(&nothing);
        for (timestamp, sample) in expected {
            let Some(other) = found.get(timestamp) else {
                let is_reason = !way.custom_buckets && sample.schema() == Some(-53);
                ensure!(is_reason, "{labels:?} at {timestamp}: {sample:?} is missing");
                count(Reason::CustomBucketsNotSent);
                continue;
            };
            if (sample.value.as_str(), other.value.as_str()) == (NEGATIVE_ZERO, ZERO) && sample.kind == other.kind {
                count(Reason::NegativeZeroNotSent);
                continue;
            }
            let both_stale = sample.is_stale() && other.is_stale();
            ensure!(
                both_stale || (&sample.kind, &sample.value) == (&other.kind, &other.value),
                "{labels:?} at {timestamp}:\nsource   {sample:?}\nrestored {other:?}"
            );
            if both_stale && sample.kind != other.kind {
                count(Reason::StaleFlavour);
                continue;
            }
            if sample.start != other.start {
                let is_reason = !way.start_timestamps && other.start == 0;
                ensure!(
                    is_reason,
                    "{labels:?} at {timestamp}: start {} became {}",
                    sample.start,
                    other.start
                );
                count(Reason::StartTimestampNotHeld);
            }
            if sample.hint != other.hint {
                let is_reason = sample.first || other.first;
                ensure!(
                    is_reason,
                    "{labels:?} at {timestamp}: hint {} became {}",
                    sample.hint,
                    other.hint
                );
                count(Reason::FirstOfChunk);
            }
        }
        let extra = found.keys().find(|t| !expected.contains_key(t));
        ensure!(
            extra.is_none(),
            "{labels:?}: a sample at {extra:?} that the source does not have"
        );
    }
    let extra = restored
        .series
        .keys()
        .find(|labels| !source.series.contains_key(*labels));
    ensure!(extra.is_none(), "a series that the source does not have: {extra:?}");
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Way = Way {
        custom_buckets: true,
        start_timestamps: true,
    };

    fn blocks(value: &str, start: i64, hint: i64, first: bool) -> Blocks {
        let kind = if value.starts_with("schema") {
            "integer"
        } else {
            "float"
        };
        let sample = Sample {
            kind: kind.to_owned(),
            value: value.to_owned(),
            start,
            hint,
            first,
        };
        let labels = vec![("__name__".to_owned(), "x".to_owned())];
        Blocks {
            series: BTreeMap::from([(labels, BTreeMap::from([(7, sample)]))]),
            ..Blocks::default()
        }
    }

    #[test]
    fn only_differences_with_a_reason_are_let_pass() {
        let one = || blocks("schema 3 sum 0", 5, 2, false);
        let reasons =
            |source: Blocks, restored: Blocks, way: Way| compare(&source, &restored, way).map_err(|e| e.to_string());
        assert_eq!(reasons(one(), one(), WAY), Ok(BTreeMap::new()));
        let first = blocks("schema 3 sum 0", 5, 0, true);
        assert_eq!(
            reasons(one(), first, WAY),
            Ok(BTreeMap::from([(Reason::FirstOfChunk, 1)]))
        );
        for other in [
            blocks("schema 3 sum 1", 5, 2, false),
            blocks("schema 3 sum 0", 0, 2, false),
            blocks("schema 3 sum 0", 5, 0, false),
            blocks(STALE, 5, 2, false),
            Blocks::default(),
        ] {
            assert!(reasons(one(), other, WAY).is_err(), "a difference was not seen");
        }
        assert!(
            reasons(Blocks::default(), one(), WAY).is_err(),
            "a series more was not seen"
        );
        let without = Way {
            start_timestamps: false,
            ..WAY
        };
        let lost = reasons(one(), blocks("schema 3 sum 0", 0, 2, false), without);
        assert_eq!(lost, Ok(BTreeMap::from([(Reason::StartTimestampNotHeld, 1)])));
        let lost = reasons(blocks(NEGATIVE_ZERO, 0, 0, true), blocks(ZERO, 0, 0, true), WAY);
        assert_eq!(lost, Ok(BTreeMap::from([(Reason::NegativeZeroNotSent, 1)])));
        assert!(reasons(blocks(ZERO, 0, 0, true), blocks(NEGATIVE_ZERO, 0, 0, true), WAY).is_err());
    }
}
