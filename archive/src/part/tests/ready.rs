//! Series that lie ready are those that come one by one, with the same rows, and are never said to be the same when they are not.

use emberkeep_model::{Labels, Run};
use proptest::prelude::*;

use super::super::{LabelTranslation, PartScan};
use super::raw::{content, long_labels};
use super::{Content, bits, everything, expected, opened, run_async, small};

/// Takes so many series that lie ready, and goes on; false at the end.
async fn take(scan: &mut PartScan, count: usize, found: &mut Vec<(Labels, Run)>) -> bool {
    let (mut rows, mut ends, mut start) = (Run::default(), Vec::new(), 0);
    scan.take_ready(count, &mut rows, &mut ends).await.unwrap();
    assert_eq!((ends.len(), ends.last()), (count, Some(&rows.len())));
    for (number, end) in ends.into_iter().enumerate() {
        scan.pass(number.min(1));
        let mut run = Run::default();
        run.append_rows(&rows, start..end);
        found.push((Labels::of_canonical(scan.labels()), run));
        start = end;
    }
    scan.advance().await.unwrap()
}

/// Takes one series as it is.
async fn take_one(scan: &mut PartScan, found: &mut Vec<(Labels, Run)>) -> bool {
    let mut runs = emberkeep_model::SeriesRuns::default();
    scan.take_rows(&mut runs).await.unwrap();
    found.push((Labels::of_canonical(scan.labels()), runs.samples));
    scan.advance().await.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn stretches_are_the_series_that_come_one_by_one(
        seed: u64, is_long: bool, every in prop_oneof![3 => 2_usize..90, 2 => Just(10_000)], most in 1_usize..70, most_rows in 1_u64..3000,
    ) {
        let all = if is_long { long_labels(content(seed)) } else { content(seed) };
        // Now and then a series is missing, unless both have the same; and some have no start timestamps, so that both kinds stand in one stretch.
        let part = |part: usize| -> Content {
            let kept = all.iter().enumerate().filter(|(i, _)| !(i + part + 1).is_multiple_of(every));
            kept.map(|(i, (key, run))| {
                let mut run = run.clone();
                if i % 3 > 0 {
                    run.start_timestamps.clear();
                }
                (key.clone(), run)
            }).collect()
        };
        let parts = [part(0), part(every / 2)];
        run_async(async {
            let readers = [opened(&parts[0], small()).await, opened(&parts[1], small()).await];
            let mut scans = readers.each_ref().map(|reader| reader.scan(everything("b"), 1000));
            let (mut found, mut goes_on) = ([Vec::new(), Vec::new()], [true; 2]);
            for scan in &mut scans {
                assert!(scan.advance().await.unwrap());
            }
            let (mut translation, mut stretches) = (LabelTranslation::default(), 0);
            while goes_on.contains(&true) {
                let [one, two] = &mut scans;
                let order = match goes_on {
                    [true, true] => emberkeep_model::canonical_order(one.labels(), two.labels()),
                    [true, false] => std::cmp::Ordering::Less,
                    _ => std::cmp::Ordering::Greater,
                };
                if order.is_ne() {
                    let i = usize::from(order.is_gt());
                    goes_on[i] = take_one(&mut scans[i], &mut found[i]).await;
                    continue;
                }
                let ready = two.ready(one.ready(most, most_rows), most_rows);
                let same = if ready > 0 { one.same_ready(two, &mut translation, ready) } else { 0 };
                stretches += usize::from(same > 1);
                for i in 0..2 {
                    goes_on[i] = match same {
                        0 => take_one(&mut scans[i], &mut found[i]).await,
                        _ => take(&mut scans[i], same, &mut found[i]).await,
                    };
                }
                let last = found.each_ref().map(|found| found.last().map(|(labels, _)| labels.clone()));
                assert_eq!(last[0], last[1], "after {same} series");
            }
            for (found, part) in found.iter().zip(&parts) {
                assert_eq!(bits(found), bits(&expected(part, &everything("b"))));
            }
            assert!(most < 3 || most_rows < 500 || every < 20 || stretches > 0);
        });
    }
}
