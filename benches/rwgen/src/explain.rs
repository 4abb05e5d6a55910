//! Says what differs: for a few series, sample by sample.
//!
//! Only when a check has failed: it reads the file of requests once more, and each of the series from the server by itself.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use anyhow::Result;

use crate::check::{Question, each_distinct_sample};
use crate::journal::Fate;
use crate::remote_read::{Matcher, Rows, read_rows};
use crate::row::{Value, identity};

/// How a series differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) labels: Vec<(String, String)>,
    /// Distinct samples that had to be there, and those that were.
    pub(crate) sent: u64,
    pub(crate) found: u64,
    pub(crate) missing: u64,
    pub(crate) extra: u64,
    /// Another value at the same time.
    pub(crate) unequal: u64,
    /// Timestamp of the first that differs.
    pub(crate) first_ms: Option<i64>,
}

#[derive(Default)]
struct Sides {
    labels: Vec<(String, String)>,
    sent: BTreeMap<i64, u64>,
    doubtful: HashSet<(i64, u64)>,
    /// All rows, repeated ones too.
    found: BTreeMap<i64, Vec<u64>>,
}

/// The differences of those series.
pub(crate) fn explain(question: &Question<'_>, series: &[u128]) -> Result<Vec<Difference>> {
    let mut all: HashMap<u128, Sides> = series.iter().map(|series| (*series, Sides::default())).collect();
    for request in 0..question.file.slots.len() {
        let fate = question.fate(request);
        if fate == Fate::Unsent {
            continue;
        }
        each_distinct_sample(question.file, request, |series, sample| {
            if let Some(sides) = all.get_mut(&series) {
                own(sample.labels, &mut sides.labels);
                let hash = sample.value.hash(sample.timestamp);
                if fate == Fate::Acknowledged {
                    sides.sent.insert(sample.timestamp, hash);
                } else {
                    sides.doubtful.insert((sample.timestamp, hash));
                }
            }
            Ok(())
        })?;
    }
    let mut lookup = Lookup {
        sides: all,
        series: 0,
        only: None,
        scratch: Vec::new(),
    };
    // What nobody sent has no labels yet: it is looked for among everything.
    let has_strangers = lookup.sides.values().any(|sides| sides.labels.is_empty());
    for range in question.ranges() {
        if has_strangers {
            read_rows(
                &question.url,
                range,
                &[Matcher::Regex("__name__", &question.metrics)],
                &mut lookup,
            )?;
            continue;
        }
        for number in series {
            let labels = lookup.sides[number].labels.clone();
            let matchers: Vec<_> = labels.iter().map(|(name, value)| Matcher::Equal(name, value)).collect();
            // Others may have the same labels and more.
            lookup.only = Some(*number);
            read_rows(&question.url, range, &matchers, &mut lookup)?;
        }
    }
    Ok(series
        .iter()
        .filter_map(|number| lookup.sides.remove(number))
        .map(Sides::difference)
        .collect())
}

/// Reading back.
struct Lookup {
    sides: HashMap<u128, Sides>,
    /// The series that is being read.
    series: u128,
    /// The one that was asked for; `None` is all.
    only: Option<u128>,
    scratch: Vec<u8>,
}

impl Rows for Lookup {
    fn series(&mut self, labels: &[(&str, &str)]) {
        self.series = identity(labels.iter().copied(), &mut self.scratch);
        if let Some(sides) = self.sides.get_mut(&self.series) {
            own(labels, &mut sides.labels);
        }
    }

    fn row(&mut self, timestamp: i64, value: &Value) {
        if self.only.is_some_and(|only| only != self.series) {
            return;
        }
        if let Some(sides) = self.sides.get_mut(&self.series) {
            sides.found.entry(timestamp).or_default().push(value.hash(timestamp));
        }
    }
}

fn own(labels: &[(&str, &str)], into: &mut Vec<(String, String)>) {
    if into.is_empty() {
        *into = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
    }
}

impl Sides {
    fn difference(mut self) -> Difference {
        let mut difference = Difference {
            labels: self.labels,
            sent: self.sent.len() as u64,
            found: self.found.values().map(|rows| rows.len() as u64).sum(),
            ..Difference::default()
        };
        for (timestamp, rows) in &mut self.found {
            let sent = self.sent.remove(timestamp);
            let is_there = sent.is_some_and(|sent| {
                let at = rows.iter().position(|row| *row == sent);
                at.map(|at| rows.swap_remove(at)).is_some()
            });
            rows.retain(|row| !self.doubtful.remove(&(*timestamp, *row)));
            match (sent, is_there, rows.len() as u64) {
                (None, _, rows) | (Some(_), true, rows) => difference.extra += rows,
                (Some(_), false, 0) => difference.missing += 1,
                (Some(_), false, rows) => {
                    difference.unequal += 1;
                    difference.extra += rows - 1;
                }
            }
            if !rows.is_empty() || (sent.is_some() && !is_there) {
                difference.first_ms.get_or_insert(*timestamp);
            }
        }
        difference.missing += self.sent.len() as u64;
        if let Some((&timestamp, _)) = self.sent.first_key_value() {
            difference.first_ms = Some(difference.first_ms.map_or(timestamp, |first| first.min(timestamp)));
        }
        difference
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (at, (name, value)) in self.labels.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        write!(
            f,
            "}} sent={} found={} missing={} extra={} unequal={}",
            self.sent, self.found, self.missing, self.extra, self.unequal
        )?;
        self.first_ms.map_or(Ok(()), |first| write!(f, " first_ms={first}"))
    }
}
