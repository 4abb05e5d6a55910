//! The counts behind the cardinality, in bounded memory.
//!
//! Every value of every label is counted while there is room. When there is no more, the label with the most text lets go of its
//! values: from then on it is known how many series have it and how many values it had by then, which is told in a warning. Who
//! looks for the label that is too much finds exactly that one. It must never answer with a count that is wrong and not named.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use emberkeep_model::Labels;

use super::Line;
use crate::ReaderError;

/// The label that holds a metric's name.
const METRIC_NAME: &str = "__name__";
/// Bytes of values that are held, with what holding them costs.
const BYTES_MAX: usize = 64 << 20;
/// What a value costs beside its text: its place in the table, which is at least half full, and the allocation.
const VALUE_BYTES: usize = 64;
/// What a label costs beside its text.
const LABEL_BYTES: usize = 256;

/// Counts of the series seen so far.
#[derive(Debug)]
pub(super) struct Tally {
    series: u64,
    labels: HashMap<Box<str>, LabelTally>,
    bytes: usize,
    bytes_max: usize,
}

/// Counts of one label.
#[derive(Debug, Default)]
struct LabelTally {
    /// Series by value; empty when it let go of them.
    values: HashMap<Box<str>, u64>,
    /// What the values cost.
    bytes: usize,
    /// How many values there were when it let go of them.
    let_go: Option<u64>,
    /// What Prometheus would spend on the label.
    memory: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self::with_room(BYTES_MAX)
    }
}

impl Tally {
    fn with_room(bytes_max: usize) -> Self {
        Self {
            series: 0,
            labels: HashMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Counts a series that was not counted before.
    ///
    /// # Errors
    /// When not even the names of the labels can be held.
    pub(super) fn add(&mut self, labels: &Labels) -> Result<(), ReaderError> {
        self.series += 1;
        for (name, value) in labels.iter() {
            let label = match self.labels.get_mut(name) {
                Some(label) => label,
                None => {
                    self.bytes += LABEL_BYTES + name.len();
                    self.labels.entry(name.into()).or_default()
                }
            };
            label.memory += encoded_bytes(name) + encoded_bytes(value);
            self.bytes += label.count(value);
        }
        while self.bytes > self.bytes_max {
            self.let_go_of_the_largest()?;
        }
        Ok(())
    }

    fn let_go_of_the_largest(&mut self) -> Result<(), ReaderError> {
        let labels = self.labels.iter_mut();
        let largest = labels.max_by(|(a, of_a), (b, of_b)| of_a.bytes.cmp(&of_b.bytes).then_with(|| b.cmp(a)));
        let Some((_, label)) = largest.filter(|(_, label)| label.bytes > 0) else {
            return Err(ReaderError::TooMuch(format!(
                "there are more than {} bytes of label names: narrow match[], start and end",
                self.bytes_max
            )));
        };
        self.bytes -= label.bytes;
        label.bytes = 0;
        label.let_go = Some(label.values.len() as u64);
        label.values = HashMap::new();
        Ok(())
    }

    pub(super) fn series(&self) -> u64 {
        self.series
    }

    pub(super) fn label_pairs(&self) -> u64 {
        self.labels.values().map(LabelTally::value_count).sum()
    }

    pub(super) fn series_by_metric_name(&self, limit: usize) -> Vec<Line> {
        let names = self.labels.get(METRIC_NAME).into_iter().flat_map(|label| &label.values);
        most(limit, names.map(|(name, &count)| (&**name, count)), |name| {
            name.to_owned()
        })
    }

    pub(super) fn values_by_label_name(&self, limit: usize) -> Vec<Line> {
        let counts = self.labels.iter().map(|(name, label)| (&**name, label.value_count()));
        most(limit, counts, |name| name.to_owned())
    }

    pub(super) fn memory_by_label_name(&self, limit: usize) -> Vec<Line> {
        let bytes = self.labels.iter().map(|(name, label)| (&**name, label.memory));
        most(limit, bytes, |name| name.to_owned())
    }

    pub(super) fn series_by_label_pair(&self, limit: usize) -> Vec<Line> {
        let pairs = self.labels.iter().flat_map(|(name, label)| {
            let values = label.values.iter();
            values.map(move |(value, &count)| ((&**name, &**value), count))
        });
        most(limit, pairs, |(name, value)| format!("{name}={value}"))
    }

    /// What of the lists is not the whole truth.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self
            .labels
            .iter()
            .filter_map(|(name, label)| {
                let at_least = label.let_go?;
                Some(format!(
                    "label `{name}` has at least {at_least} values, too many to list: \
                     it is counted with that number, and its pairs are left out; narrow match[], start and end"
                ))
            })
            .collect();
        warnings.sort_unstable();
        warnings
    }
}

impl LabelTally {
    /// Counts a value; returns what it costs when it is new.
    fn count(&mut self, value: &str) -> usize {
        if self.let_go.is_some() {
            return 0;
        }
        if let Some(count) = self.values.get_mut(value) {
            *count += 1;
            return 0;
        }
        self.values.insert(value.into(), 1);
        let cost = VALUE_BYTES + value.len();
        self.bytes += cost;
        cost
    }

    fn value_count(&self) -> u64 {
        self.let_go.unwrap_or(self.values.len() as u64)
    }
}

/// What Prometheus takes for a text of a label set: the text and its length, one byte or four.
fn encoded_bytes(text: &str) -> u64 {
    let length = text.len() as u64;
    length + if length < 255 { 1 } else { 4 }
}

/// The entries with the highest counts, the highest first, equal ones by name.
fn most<K: Ord>(limit: usize, entries: impl Iterator<Item = (K, u64)>, name_of: impl Fn(K) -> String) -> Vec<Line> {
    // The least of those kept lies on top.
    let mut kept = BinaryHeap::with_capacity(limit + 1);
    for (key, count) in entries {
        kept.push((Reverse(count), key));
        if kept.len() > limit {
            kept.pop();
        }
    }
    let lines = kept.into_sorted_vec().into_iter();
    lines
        .map(|(Reverse(value), key)| Line {
            name: name_of(key),
            value,
        })
        .collect()
}

#[cfg(test)]
mod tests;
