//! Random parts of all kinds, with duplicates, conflicts and masks, against the model.

use emberkeep_archive::catalog::{Mask, MatcherText};
use emberkeep_model::{SeriesRuns, TenantId, TimeRange};
use proptest::prelude::*;

use super::content::{Content, content};
use super::{Bucket, HOUR_MS, by_window, job, run_async, windows};

const TENANTS: [&str; 2] = ["anonymous", "team(2)"];

fn mask(tenant: &str, hours: std::ops::Range<i64>) -> Mask {
    Mask {
        id: "m".to_owned(),
        number: 7,
        tenant: tenant.to_owned(),
        matchers: vec![MatcherText {
            name: "__name__".to_owned(),
            op: "=~".to_owned(),
            value: "u.".to_owned(),
        }],
        from: hours.start * HOUR_MS,
        to: hours.end * HOUR_MS,
        reason: String::new(),
        who: String::new(),
        created_at: 0,
    }
}

/// What a mask leaves.
fn masked(content: &Content, mask: &Mask) -> Content {
    let mut left = Content::default();
    for ((tenant, labels), runs) in &content.series {
        let hides = tenant.as_str() == mask.tenant && labels.metric_name() == "up";
        let (mut before, mut after) = (runs.clone(), runs.clone());
        if hides {
            before.retain_range(TimeRange {
                start: i64::MIN,
                end: mask.from,
            });
            after.retain_range(TimeRange {
                start: mask.to,
                end: i64::MAX,
            });
        } else {
            after = SeriesRuns::default();
        }
        before.append(&after);
        left.add_runs(tenant, labels, &before);
    }
    // The mask asks for names alone, so it hides what is said of families as well; all of the time in which it was said, or nothing.
    let hidden = |tenant: &TenantId, name: &str, (first, last): (i64, i64)| {
        name == "up" && tenant.as_str() == mask.tenant && mask.from <= first && last < mask.to
    };
    for (key, times) in &content.metadata {
        let ((tenant, family, series), _) = key;
        let name = series.as_ref().map_or(family.as_str(), |labels| labels.metric_name());
        if !hidden(tenant, name, *times) {
            left.metadata.insert(key.clone(), *times);
        }
    }
    left
}

/// The content of each window, from the parts themselves. Variants of different windows stay apart.
fn expected(parts: &[Content], tenant: &TenantId, range: TimeRange) -> Content {
    let mut expected = Content::default();
    for part in parts {
        expected.join(&part.inside(tenant, range));
    }
    expected.settle();
    expected
}

/// Rows alone.
fn without_metadata(content: &Content) -> Content {
    let mut rows = Content::default();
    for ((tenant, labels), runs) in content.series.iter().filter(|(_, runs)| !runs.is_empty()) {
        rows.add_runs(tenant, labels, runs);
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn it_is_the_union_of_all_parts(parts in prop::collection::vec(content(), 1..5), hours in prop::sample::select(vec![1_i64, 2, 4, 12]), mask_hours in (0_i64..12, 0_i64..6), has_mask: bool, in_rounds: bool) {
        run_async(async {
            let bucket = Bucket::new();
            let entries: Vec<_> = (1..).zip(&parts).map(|(number, part)| bucket.flush(number, part)).collect();
            let windows = windows(&TENANTS, hours, 12 / hours);
            let mut job = job(entries.clone(), windows.clone());
            if in_rounds {
                job.memory_bytes = 0;
            }
            let mut left = parts.clone();
            if has_mask {
                let mask = mask("team(2)", mask_hours.0..mask_hours.0 + mask_hours.1);
                left = left.iter().map(|part| masked(part, &mask)).collect();
                job.masks = vec![mask];
                job.masks_through = 9;
            }
            let outcome = bucket.merge(&job).await.unwrap();

            let by_window = by_window(&outcome.added, &windows);
            let (mut all, mut metadata) = (Content::default(), Content::default());
            for (number, window) in windows.iter().enumerate() {
                let found = bucket.read_all(by_window.get(&number).map_or(&[], Vec::as_slice)).await;
                let mut expected = expected(&left, &window.tenant, window.range);
                all.join(&found);
                if in_rounds {
                    // A round knows no windows: a variant that was seen in two of them is one, and lies where it was seen first.
                    prop_assert_eq!(without_metadata(&found), without_metadata(&expected), "{:?}", window);
                } else {
                    prop_assert_eq!(&found, &expected, "{:?}", window);
                }
                expected.series.clear();
                metadata.join(&expected);
            }
            if in_rounds && has_mask {
                // Masks come after the rounds: times that were joined by then are hidden together or not at all.
                let is_shown = |key| all.metadata.contains_key(key);
                prop_assert!(metadata.metadata.keys().all(is_shown), "{:?} of {:?}", all.metadata, metadata.metadata);
                let was_said = |key| parts.iter().any(|part| part.metadata.contains_key(key));
                prop_assert!(all.metadata.keys().all(was_said), "{:?}", all.metadata);
            } else {
                prop_assert_eq!(&all.metadata, &metadata.metadata);
            }
            for entry in &outcome.added {
                let said = (entry.level, entry.day, entry.receiver.as_deref(), entry.masks, entry.committed_at);
                prop_assert_eq!(said, (1, Some(0), None, job.masks_through, 1_000 + parts.len() as i64));
                prop_assert_eq!(entry.tenants.len(), 1);
            }
            let read: u64 = parts.iter().map(Content::rows).sum();
            prop_assert_eq!(outcome.rows_read, read);
            prop_assert_eq!(outcome.rows_written, all.rows());
            prop_assert_eq!(outcome.rows_written + outcome.duplicates + outcome.conflicts + outcome.masked, read);

            // Any of the inputs beside the outputs changes nothing.
            if !has_mask {
                let mut with_inputs = all.clone();
                for part in parts.iter().step_by(2) {
                    with_inputs.join(part);
                }
                with_inputs.settle();
                with_inputs.series.retain(|key, runs| !runs.is_empty() || all.series.contains_key(key));
                prop_assert_eq!(with_inputs.series.len(), all.series.len());
                with_inputs.metadata = all.metadata.clone();
                prop_assert_eq!(with_inputs, all);
            }
            Ok(())
        })?;
    }
}

/// Merging parts that were merged before gives what merging all at once gives.
#[test]
fn a_merge_of_merges_is_the_merge() {
    let parts = proptest::strategy::Strategy::prop_map(prop::collection::vec(content(), 4), |parts| parts);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..3 {
        let parts = proptest::strategy::ValueTree::current(&parts.new_tree(&mut runner).unwrap());
        run_async(async {
            let bucket = Bucket::new();
            let entries: Vec<_> = (1..)
                .zip(&parts)
                .map(|(number, part)| bucket.flush(number, part))
                .collect();
            let (hours, day) = (windows(&TENANTS, 2, 6), windows(&TENANTS, 12, 1));
            let at_once = bucket.merge(&job(entries.clone(), day.clone())).await.unwrap();
            let mut between = Vec::new();
            for pair in entries.chunks(2) {
                between.extend(bucket.merge(&job(pair.to_vec(), hours.clone())).await.unwrap().added);
            }
            let in_steps = bucket.merge(&job(between, day)).await.unwrap();
            assert_eq!(
                bucket.read_all(&in_steps.added).await,
                bucket.read_all(&at_once.added).await
            );
        });
    }
}
