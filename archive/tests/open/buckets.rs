//! Buckets with their bounds, as the model has them and as the view `histogram_buckets` gives them.

use std::collections::BTreeMap;

use emberkeep_model::histogram::bucket_indices;
use emberkeep_model::{Counts, Histogram, Labels, SeriesRuns};
use serde_json::{Value, json};

use crate::rows::labels_json;

/// Bound `i` of a schema by the definition; finer schemas are compared with a tolerance of a few units in the last place.
fn bound(schema: i32, i: i64) -> f64 {
    (i as f64 * f64::from(-schema).exp2()).exp2()
}

/// The buckets of a histogram: side, index, lower, upper, count.
fn buckets_of(histogram: &Histogram) -> Vec<(&'static str, Option<i64>, f64, f64, f64)> {
    if histogram.is_stale() {
        return Vec::new();
    }
    let (zero, positive, negative): (f64, Vec<f64>, Vec<f64>) = match &histogram.counts {
        Counts::Integer {
            zero_count,
            positive,
            negative,
            ..
        } => {
            let floats = |counts: &[i64]| counts.iter().map(|&count| count as f64).collect();
            (*zero_count as f64, floats(positive), floats(negative))
        }
        Counts::Float {
            zero_count,
            positive,
            negative,
            ..
        } => (*zero_count, positive.clone(), negative.clone()),
    };
    let (schema, custom) = (histogram.schema, &histogram.custom_values);
    let custom_bound = |i: i64| match usize::try_from(i) {
        Ok(i) => custom.get(i).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    };
    let mut buckets = Vec::new();
    for (i, count) in bucket_indices(&histogram.positive_spans).zip(positive) {
        let (lower, upper) = match histogram.has_custom_buckets() {
            true => (custom_bound(i - 1), custom_bound(i)),
            false => (bound(schema, i - 1), bound(schema, i)),
        };
        buckets.push(("positive", Some(i), lower, upper, count));
    }
    for (i, count) in bucket_indices(&histogram.negative_spans).zip(negative) {
        buckets.push(("negative", Some(i), -bound(schema, i), -bound(schema, i - 1), count));
    }
    if !histogram.has_custom_buckets() {
        let threshold = histogram.zero_threshold;
        buckets.push(("zero", None, -threshold, threshold, zero));
    }
    buckets
}

fn float(value: &Value) -> f64 {
    f64::from_bits(value.as_u64().unwrap())
}

/// Compares every bucket of every series.
pub(crate) fn compare<'a>(series: &BTreeMap<Labels, SeriesRuns>, rows: impl Iterator<Item = &'a Value>) {
    let key =
        |labels: &Value, timestamp: &Value, side: &str, bucket: &Value| format!("{labels} {timestamp} {side} {bucket}");
    // One histogram may have an index twice when a span goes back, so rows of one key are a list.
    let mut expected: BTreeMap<String, Vec<(f64, f64, u64)>> = BTreeMap::new();
    for (labels, runs) in series {
        for row in runs.histograms.iter() {
            for (side, bucket, lower, upper, count) in buckets_of(&row.histogram()) {
                let key = key(&labels_json(labels), &json!(row.timestamp), side, &json!(bucket));
                expected.entry(key).or_default().push((lower, upper, count.to_bits()));
            }
        }
    }
    let mut found: BTreeMap<String, Vec<(f64, f64, u64)>> = BTreeMap::new();
    for row in rows {
        let key = key(
            &row["labels"],
            &row["timestamp"],
            row["side"].as_str().unwrap(),
            &row["bucket"],
        );
        let bucket = (
            float(&row["lower"]),
            float(&row["upper"]),
            row["count"].as_u64().unwrap(),
        );
        if let Some(whole) = row["integer_count"].as_i64() {
            assert_eq!(float(&row["count"]), whole.cast_unsigned() as f64);
        }
        found.entry(key).or_default().push(bucket);
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    let near = |a: f64, b: f64| a == b || (a - b).abs() <= 4.0 * f64::EPSILON * a.abs().max(b.abs());
    for (key, mut expected) in expected {
        let found = found.get_mut(&key).unwrap();
        found.sort_by_key(|bucket| bucket.2);
        expected.sort_by_key(|bucket| bucket.2);
        assert_eq!(found.len(), expected.len(), "{key}");
        for (found, expected) in found.iter().zip(&expected) {
            let is_same = near(found.0, expected.0) && near(found.1, expected.1) && found.2 == expected.2;
            assert!(is_same, "{key}: {found:?} and not {expected:?}");
        }
    }
}
