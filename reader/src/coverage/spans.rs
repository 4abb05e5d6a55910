//! Sources without `up`: of which time parts have series of them, as series tables say. No row is read.
//!
//! As coarse as parts are: a hole inside a part is not seen, and of a merged day only that there is something of it. So this finds days
//! and flushes that are missing, and never proves that nothing is.

use std::collections::BTreeMap;
use std::sync::Arc;

use emberkeep_archive::{CompiledMask, PartReader, ScanKinds, ScanQuery};
use emberkeep_model::coverage::{CoverageState, Stretch, with_removed};
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Labels, TimeRange};

use super::{Account, Accounts, Coverage, SeenBy, key};
use crate::scan::prune;
use crate::{Query, ReaderError, Selection, Sources};

/// Rows that a scan may decode at once; none are.
const WINDOW_ROWS: usize = 8 << 10;

/// Between two stretches of a source that are nearer, nothing is missing: flushes follow one another at such distances.
const PATIENCE_MS: i64 = 600_000;

/// Accounts of the sources that have none yet.
pub(super) async fn read(
    coverage: &Coverage,
    sources: &Sources,
    names: &[String],
    known: &Accounts,
    masks: &[CompiledMask],
) -> Result<Accounts, ReaderError> {
    let query = Query {
        tenant: coverage.tenant.clone(),
        range: coverage.range,
        selection: Selection::all(),
    };
    let look = sources.look(&query, HeadKinds::Samples).await?;
    let mut found = Found {
        coverage,
        names,
        known,
        spans: BTreeMap::new(),
    };
    for part in prune(&look.view.parts, &query.tenant, query.range, HeadKinds::Samples) {
        let reader = PartReader::open(Arc::clone(sources.store()), &part).await?;
        let scan = ScanQuery {
            tenant: query.tenant.clone(),
            range: query.range,
            matchers: [].into(),
            kinds: ScanKinds::Samples,
        };
        let mut scan = reader.scan(scan, WINDOW_ROWS);
        while let Some(series) = scan.next().await? {
            found.add(&series.labels, series.min_time, series.max_time);
        }
    }
    for series in look.heads.iter().flat_map(|head| head.series.iter()) {
        if let Some((first, last)) = series.runs.time_span() {
            found.add(&series.labels, first, last);
        }
    }
    let accounts = found.spans.into_iter().map(|(values, (labels, spans))| {
        let stretches = stretches(spans, coverage.range);
        let account = Account {
            by: SeenBy::Series,
            stretches: with_removed(&stretches, &coverage.removed(masks, &labels)),
        };
        (values, account)
    });
    Ok(accounts.collect())
}

struct Found<'a> {
    coverage: &'a Coverage,
    names: &'a [String],
    known: &'a Accounts,
    /// By source, with one of its series, sorted and without overlaps.
    spans: BTreeMap<Vec<String>, (Labels, Vec<TimeRange>)>,
}

impl Found<'_> {
    fn add(&mut self, labels: &Labels, first: i64, last: i64) {
        let values = key(labels, self.names);
        if self.known.contains_key(&values) || !self.coverage.selection.selects(labels) {
            return;
        }
        let (_, spans) = self.spans.entry(values).or_insert_with(|| (labels.clone(), Vec::new()));
        insert(spans, TimeRange::from_inclusive(first, last));
    }
}

/// Adds a stretch, joined with those that it touches or nearly does.
fn insert(spans: &mut Vec<TimeRange>, new: TimeRange) {
    let from = spans.partition_point(|span| span.end.saturating_add(PATIENCE_MS) < new.start);
    let to = spans.partition_point(|span| span.start <= new.end.saturating_add(PATIENCE_MS));
    let joined = spans[from..to.max(from)].iter().fold(new, |all, span| TimeRange {
        start: all.start.min(span.start),
        end: all.end.max(span.end),
    });
    spans.splice(from..to.max(from), [joined]);
}

/// What is between two stretches is missing; before the first and behind the last nothing is expected.
fn stretches(spans: Vec<TimeRange>, range: TimeRange) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    let mut at = range.start;
    for span in spans
        .into_iter()
        .map(|span| span.intersect(range))
        .filter(|span| !span.is_empty())
    {
        let between = if found.is_empty() {
            CoverageState::Absent
        } else {
            CoverageState::Missing
        };
        found.push(Stretch {
            range: TimeRange {
                start: at,
                end: span.start,
            },
            state: between,
        });
        found.push(Stretch {
            range: span,
            state: CoverageState::Held,
        });
        at = span.end;
    }
    found.push(Stretch {
        range: TimeRange {
            start: at,
            end: range.end,
        },
        state: CoverageState::Absent,
    });
    found.retain(|stretch| !stretch.range.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_that_are_near_are_one() {
        let minutes = |start: i64, end: i64| TimeRange {
            start: start * 60_000,
            end: end * 60_000,
        };
        let mut spans = Vec::new();
        for (start, end) in [(100, 110), (0, 10), (15, 20), (50, 60), (105, 130), (18, 19)] {
            insert(&mut spans, minutes(start, end));
        }
        assert_eq!(spans, [minutes(0, 20), minutes(50, 60), minutes(100, 130)]);
        let states: Vec<_> = stretches(spans, minutes(5, 120))
            .iter()
            .map(|s| (s.range, s.state))
            .collect();
        assert_eq!(
            states,
            [
                (minutes(5, 20), CoverageState::Held),
                (minutes(20, 50), CoverageState::Missing),
                (minutes(50, 60), CoverageState::Held),
                (minutes(60, 100), CoverageState::Missing),
                (minutes(100, 120), CoverageState::Held),
            ]
        );
    }
}
