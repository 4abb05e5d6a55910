//! Many series that most inputs have, so that they are taken in stretches, against the model.

use emberkeep_model::{Histogram, Labels, Metadata, MetricType, Sample, SeenMetadata, SeriesRuns, TenantId};
use proptest::prelude::*;

use super::content::Content;
use super::{Bucket, HOUR_MS, job, run_async, windows};

/// What makes a part different from the others.
#[derive(Debug, Clone)]
struct Flush {
    /// Minutes from which its rows are; those of two may overlap.
    start: i64,
    /// Series that it does not have.
    missing: Vec<usize>,
    /// Series with a histogram, with metadata, with start timestamps, with very many rows.
    odd: [Vec<usize>; 4],
}

fn flush(series: usize) -> impl Strategy<Value = Flush> {
    let some = |most| prop::collection::vec(0..series, 0..most);
    let odd = [some(2), some(3), some(20), some(2)];
    (0_i64..100, some(5), odd).prop_map(|(start, missing, odd)| Flush { start, missing, odd })
}

impl Flush {
    fn content(&self, series: usize) -> Content {
        let (tenant, mut content) = (TenantId::default(), Content::default());
        for number in (0..series).filter(|number| !self.missing.contains(number)) {
            let labels = [
                ("__name__", format!("m{:03}", number / 9)),
                ("pod", format!("{number}")),
            ];
            let labels = Labels::from_pairs(labels.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
            let is = |kind: usize| self.odd[kind].contains(&number);
            let rows = if is(3) { 1500 } else { number as i64 % 7 };
            let start = self.start * 60_000;
            let samples = (0..rows).map(|row| Sample {
                timestamp: start + row * 600 + i64::from(self.start % 2 == 0),
                value: (row * 10 + self.start % 3) as f64 / if number % 5 == 0 { 7.0 } else { 10.0 },
                start_timestamp: if is(2) { 1 + start } else { 0 },
            });
            let mut runs = SeriesRuns {
                samples: samples.collect(),
                ..SeriesRuns::default()
            };
            if is(0) {
                runs.histograms.push(start, 0, &Histogram::default());
            }
            runs.settle();
            content.add_runs(&tenant, &labels, &runs);
            if is(1) || runs.is_empty() {
                let metadata = Metadata {
                    metric_type: MetricType::Gauge,
                    unit: String::new(),
                    help: format!("help {}", self.start % 2),
                };
                let seen = SeenMetadata {
                    metadata,
                    first_seen: start,
                    last_seen: start,
                };
                content.add_metadata(&tenant, labels.metric_name(), Some(&labels), &seen);
            }
        }
        content
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn series_that_all_inputs_have_are_merged_as_any_others(
        flushes in prop::collection::vec(flush(150), 2..6), hours in prop::sample::select(vec![1_i64, 2]),
    ) {
        run_async(async {
            let (bucket, mut expected) = (Bucket::new(), Content::default());
            let contents: Vec<Content> = flushes.iter().map(|flush| flush.content(150)).collect();
            let entries: Vec<_> = (1..).zip(&contents).map(|(number, content)| bucket.flush(number, content)).collect();
            let windows = windows(&["anonymous"], hours, 2 / hours);
            assert!(windows.iter().all(|window| window.range.end <= 2 * HOUR_MS));
            for window in &windows {
                // Variants of different windows stay apart.
                let mut of_window = Content::default();
                for content in &contents {
                    of_window.join(&content.inside(&window.tenant, window.range));
                }
                of_window.settle();
                expected.join(&of_window);
            }
            let outcome = bucket.merge(&job(entries, windows)).await.unwrap();
            let read: u64 = contents.iter().map(Content::rows).sum();
            prop_assert_eq!(bucket.read_all(&outcome.added).await, expected);
            prop_assert_eq!(outcome.rows_read, read);
            prop_assert_eq!(outcome.rows_written + outcome.duplicates + outcome.conflicts, read);
            Ok(())
        })?;
    }
}
