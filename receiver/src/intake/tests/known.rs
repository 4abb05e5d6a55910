//! Series that are known, against a model that parses every label of every request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use emberkeep_model::head::{HeadKinds, HeadQuery};
use emberkeep_model::{
    ExemplarRun, Histogram, HistogramRun, MatchOp, Matcher, Run, SeriesRuns, TimeRange, matches_all,
};
use emberkeep_proto::write_v1;

use super::*;
use crate::intake;
use crate::series_table::TableCursor;

/// Rows and help texts by series.
type Held = BTreeMap<Labels, (SeriesRuns, BTreeSet<String>)>;

fn held(table: &SeriesTable) -> Held {
    let mut held = Held::new();
    let visited = table.freeze().visit(|_, labels, series| {
        let helps = series.metadata.iter().map(|seen| seen.metadata.help.clone()).collect();
        assert!(
            held.insert(labels.clone(), (series.runs.clone(), helps)).is_none(),
            "{labels} comes twice"
        );
        Ok::<(), ()>(())
    });
    visited.unwrap();
    held
}

fn hold(naive: &mut Held, taken: &[Taken]) {
    for series in taken {
        let (runs, helps) = naive.entry(series.labels.clone()).or_default();
        helps.extend(series.help.clone());
        for &sample in &series.samples {
            runs.samples.push(sample);
        }
        for exemplar in &series.exemplars {
            runs.exemplars.push(exemplar.clone());
        }
        for &(timestamp, count) in &series.histograms {
            let mut histogram = Histogram::default();
            let body = body_v1(&[Sent {
                histograms: vec![(timestamp, count, count)],
                ..floats(&[("__name__", "h")], &[])
            }]);
            let request = write_v1::Request::parse(&body).unwrap();
            let wire = request.series().next().unwrap().histograms().next().unwrap();
            histogram::fill(&mut histogram, &wire);
            runs.histograms.push(timestamp, 0, &histogram);
        }
    }
}

proptest! {
    /// Whatever came before, through which protocol, and whether the generation was rotated between recognition and append: a table holds
    /// what a model holds that parses every label of every request.
    #[test]
    fn a_series_that_is_known_is_the_one_that_was_sent(
        requests in vec((vec(sent(), 0..4), protocol(), 0_usize..3), 1..8),
    ) {
        let tenant = TenantId::default();
        let tables = [SeriesTable::new(), SeriesTable::new()];
        let mut naive = [Held::new(), Held::new()];
        for (requested, protocol, rotation) in &requests {
            let body = body(*protocol, requested);
            let (recognised_by, appended_to) = [(0, 0), (1, 1), (0, 1)][*rotation];
            let limits = Limits::default();
            let live = intake::judge(request(&tenant, *protocol, &body, &tables[recognised_by]), &rules(&limits, usize::MAX)).unwrap();
            let expected = expected(requested, *protocol == WriteProtocol::V2);
            prop_assert_eq!(live.verdict.refused_count() as usize, live.n_ahead + live.n_refused);
            hold(&mut naive[appended_to], &expected);
            tables[appended_to].append(&tenant, &live.batch, &tables[recognised_by], NOW);
            let again = intake::replay(request(&tenant, *protocol, &body, &tables[recognised_by]), &live.verdict).unwrap();
            prop_assert_eq!(again.batch.counts(), live.batch.counts());
        }
        for (table, mut naive) in tables.iter().zip(naive) {
            for (runs, _) in naive.values_mut() {
                runs.settle();
            }
            // Open and frozen, whole and in slices; who began before the freeze goes on after it.
            let wanted = wanted(&naive);
            let asked: Vec<_> = wanted.iter().map(|(query, _)| query).collect();
            let mut begun: Vec<_> = asked.iter().map(|query| table.cursor_in_slices(query, 1)).collect();
            let open: Vec<_> = asked.iter().map(|query| read(table.cursor(query))).collect();
            let found = held(table);
            prop_assert_eq!(bits(&found), bits(&naive));
            let frozen: Vec<_> = asked.iter().map(|query| read(table.cursor_in_slices(query, 2))).collect();
            for (i, (query, expected)) in wanted.iter().enumerate() {
                prop_assert_eq!(&open[i], expected, "open, {:?}", query);
                prop_assert_eq!(&frozen[i], expected, "frozen, {:?}", query);
                prop_assert_eq!(&read(begun.remove(0)), expected, "begun before, {:?}", query);
            }
        }
    }
}

/// What a cursor gives, in its order.
fn read(mut cursor: TableCursor<'_>) -> Vec<String> {
    let rows = std::iter::from_fn(|| cursor.next());
    rows.map(|(labels, runs)| shown(&labels, &runs)).collect()
}

/// Queries, and what the model answers.
fn wanted(naive: &Held) -> Vec<(HeadQuery, Vec<String>)> {
    let middle = TimeRange {
        start: NOW - 500,
        end: NOW + AHEAD_MS_MAX / 2,
    };
    let name = |op, value| Arc::from([Matcher::new("__name__", op, value).unwrap()]);
    let all: Arc<[Matcher]> = Arc::from([]);
    let mut wanted = Vec::new();
    for (range, matchers) in [
        (TimeRange::ALL, all.clone()),
        (middle, all),
        (TimeRange::ALL, name(MatchOp::NotEqual, "a")),
    ] {
        for kinds in [HeadKinds::Samples, HeadKinds::Exemplars] {
            let query = HeadQuery {
                tenant: TenantId::default(),
                range,
                matchers: Arc::clone(&matchers),
                kinds,
            };
            let answer = naive.iter().filter_map(|(labels, (runs, _))| {
                let mut runs = runs.clone();
                match kinds {
                    HeadKinds::Exemplars => (runs.samples, runs.histograms) = (Run::default(), HistogramRun::default()),
                    HeadKinds::Samples | HeadKinds::Metadata => runs.exemplars = ExemplarRun::default(),
                }
                runs.retain_range(range);
                (!runs.is_empty() && matches_all(&matchers, labels)).then(|| shown(labels, &runs))
            });
            let answer = answer.collect();
            wanted.push((query, answer));
        }
    }
    wanted
}

fn shown(labels: &Labels, runs: &SeriesRuns) -> String {
    let one = Held::from([(labels.clone(), (runs.clone(), BTreeSet::new()))]);
    bits(&one)
}

/// NaN equals itself only by its bits.
fn bits(held: &Held) -> String {
    let run = |(runs, helps): &(SeriesRuns, BTreeSet<String>)| {
        let samples: Vec<_> = runs
            .samples
            .iter()
            .map(|s| (s.timestamp, s.value.to_bits(), s.start_timestamp))
            .collect();
        let histograms: Vec<_> = runs
            .histograms
            .iter()
            .map(|row| (row.timestamp, row.canonical.to_vec()))
            .collect();
        let exemplars: Vec<_> = runs
            .exemplars
            .as_slice()
            .iter()
            .map(|e| (e.timestamp, e.value.to_bits(), e.labels.clone()))
            .collect();
        format!("{samples:?} {histograms:?} {exemplars:?} {helps:?}")
    };
    let lines: Vec<String> = held
        .iter()
        .map(|(labels, runs)| format!("{labels} {}", run(runs)))
        .collect();
    lines.join("\n")
}
