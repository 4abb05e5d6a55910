//! The answers by the definition (DESIGN §4), as naively as can be: all rows, and of each series and timestamp the greatest.
//!
//! The order is written down here once more, in other words than in the model crate, so that the two check each other.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use emberkeep_model::{Exemplar, Labels, Matcher, STALE_MARKER_BITS, SeriesRuns, TenantId, TimeRange, matches_all};

use crate::support::{Row, Rows, Series};

/// Floats and histograms of the series that match.
pub(crate) fn naive(rows: &Rows, tenant: &TenantId, range: TimeRange, matchers: &[Matcher]) -> Series {
    let mut best: BTreeMap<Labels, BTreeMap<i64, &Row>> = BTreeMap::new();
    for (labels, row) in selected(rows, tenant, matchers) {
        let timestamp = match row {
            Row::Float(sample) => sample.timestamp,
            Row::Histogram(timestamp, ..) => *timestamp,
            _ => continue,
        };
        if range.contains(timestamp) {
            let kept = best.entry(labels.clone()).or_default().entry(timestamp).or_insert(row);
            if compare(row, kept).is_gt() {
                *kept = row;
            }
        }
    }
    let runs_of = |rows: BTreeMap<i64, &Row>| {
        let mut runs = SeriesRuns::default();
        for row in rows.into_values() {
            match row {
                Row::Float(sample) => runs.samples.push(*sample),
                Row::Histogram(timestamp, start, histogram) => runs.histograms.push(*timestamp, *start, histogram),
                _ => unreachable!("only samples were collected"),
            }
        }
        runs
    };
    best.into_iter().map(|(labels, rows)| (labels, runs_of(rows))).collect()
}

/// Exemplars of the series that match: a set.
pub(crate) fn naive_exemplars(rows: &Rows, tenant: &TenantId, range: TimeRange, matchers: &[Matcher]) -> Series {
    let mut found: BTreeMap<Labels, BTreeSet<Exemplar>> = BTreeMap::new();
    for (labels, row) in selected(rows, tenant, matchers) {
        if let Row::Exemplar(exemplar) = row
            && range.contains(exemplar.timestamp)
        {
            found.entry(labels.clone()).or_default().insert(exemplar.clone());
        }
    }
    let runs_of = |set: BTreeSet<Exemplar>| SeriesRuns {
        exemplars: set.into_iter().collect(),
        ..SeriesRuns::default()
    };
    found.into_iter().map(|(labels, set)| (labels, runs_of(set))).collect()
}

fn selected<'a>(
    rows: &'a Rows,
    tenant: &'a TenantId,
    matchers: &'a [Matcher],
) -> impl Iterator<Item = (&'a Labels, &'a Row)> {
    rows.iter()
        .filter(move |(owner, labels, _)| owner == tenant && matches_all(matchers, labels))
        .map(|(_, labels, row)| (labels, row))
}

/// Which of two rows of one series and timestamp is kept: no stale marker, then the float, then the larger bytes, then the
/// larger start.
fn compare(a: &Row, b: &Row) -> Ordering {
    let key = |row: &Row| match row {
        Row::Float(sample) => (
            sample.value.to_bits() != STALE_MARKER_BITS,
            true,
            sample.value.to_bits().to_be_bytes().to_vec(),
            sample.start_timestamp,
        ),
        Row::Histogram(_, start, histogram) => (
            histogram.sum.to_bits() != STALE_MARKER_BITS,
            false,
            histogram.to_canonical(),
            *start,
        ),
        _ => unreachable!("only samples share a time line"),
    };
    key(a).cmp(&key(b))
}
