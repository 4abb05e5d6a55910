//! The profile `real`, with a recording that the test makes: series of known character, in both versions.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::encoded::manifest;
use super::messages::{Labels, all_sent, by_series};
use super::{encoded, plain, recipe};
use crate::encode::{Profile, Recipe, encode};
use crate::request::Protocol;
use crate::row::Value;

/// 120 scrapes of a few targets, five seconds apart, as the bodies that a receiver would have recorded.
fn recording(folder: &Path, profile: Profile, protocol: Protocol) -> PathBuf {
    let mut recipe = plain(profile, protocol);
    (recipe.series, recipe.connections) = (100, 1);
    (recipe.timeline.scrapes, recipe.timeline.interval_ms) = (120, 5_000);
    let (_, file) = encoded(&recipe, folder, "source");
    let mut bytes = Vec::new();
    for request in 0..file.slots.len() {
        let mut body = Vec::new();
        file.read_body(request, &mut body).unwrap();
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&body);
    }
    let path = folder.join(format!("recording-{protocol:?}"));
    std::fs::write(&path, bytes).unwrap();
    path
}

fn replay(corpus: PathBuf, protocol: Protocol) -> Recipe {
    let mut recipe = plain(Profile::Real, protocol);
    (recipe.corpus, recipe.series) = (Some(corpus), 200);
    // Five times as long as the recording.
    recipe.timeline.scrapes = 200;
    recipe
}

fn name(labels: &Labels) -> &str {
    labels
        .iter()
        .find(|(name, _)| name == "__name__")
        .map_or("", |(_, value)| value)
}

fn floats(rows: &BTreeMap<i64, Value>) -> Vec<f64> {
    let float = |value: &Value| match value {
        Value::Float(bits) => f64::from_bits(*bits),
        Value::Histogram(_) => panic!("a float was expected"),
    };
    rows.values().map(float).collect()
}

#[test]
fn instances_have_the_character_of_the_recording_and_values_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = recording(folder.path(), Profile::Node, Protocol::V2);
    let (_, file) = encoded(&replay(corpus, Protocol::V1), folder.path(), "replay");
    let series = by_series(&all_sent(&file));
    assert_eq!(series.len(), 200);
    let instances: HashSet<_> = series.keys().flatten().filter(|(name, _)| name == "instance").collect();
    assert_eq!(instances.len(), 2);
    let mut bodies = HashSet::new();
    for (labels, rows) in &series {
        assert_eq!(rows.len(), 200);
        let values = floats(rows);
        let changes = values.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let is_decimal = |digits: usize| {
            values
                .iter()
                .all(|value| format!("{value}").len() <= format!("{value:.digits$}").len())
        };
        match name(labels) {
            "node_cpu_seconds_total" => {
                assert!(values.is_sorted() && is_decimal(2), "{labels:?} {values:?}");
            }
            "node_network_receive_bytes_total" => {
                assert!(values.is_sorted() && is_decimal(0) && changes > 190, "{values:?}");
                assert!(bodies.insert(rows.values().map(|value| format!("{value:?}")).collect::<Vec<_>>()));
            }
            "node_memory_Slab_bytes" => {
                assert!(
                    values.iter().all(|value| value % 4_096.0 == 0.0 && *value >= 0.0),
                    "{values:?}"
                );
                assert!(!values.is_sorted() && changes > 150);
            }
            "node_memory_MemTotal_bytes" => assert_eq!(changes, 0),
            "node_exporter_scrape_seconds_sum" => assert!(values.is_sorted() && changes > 150),
            _ => {}
        }
    }
    // The buckets of a histogram stay in order, at each scrape of each instance.
    let mut buckets: BTreeMap<(&str, i64), Vec<(f64, f64)>> = BTreeMap::new();
    for (labels, rows) in series.iter().filter(|(labels, _)| name(labels).ends_with("_bucket")) {
        let label = |wanted: &str| {
            labels
                .iter()
                .find(|(name, _)| name == wanted)
                .map_or("", |(_, value)| value)
        };
        let bound = label("le").parse().unwrap_or(f64::INFINITY);
        for (timestamp, value) in rows.keys().zip(floats(rows)) {
            buckets
                .entry((label("instance"), *timestamp))
                .or_default()
                .push((bound, value));
        }
    }
    assert_eq!(buckets.len(), 400);
    for (place, mut row) in buckets {
        row.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(
            row.len() == 10 && row.is_sorted_by(|a, b| a.1 <= b.1),
            "{place:?} {row:?}"
        );
    }
}

#[test]
fn both_recordings_of_the_same_scrapes_replay_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Protocol::V1, Protocol::V2);
    let corpora = [one, two].map(|protocol| recording(folder.path(), Profile::Busy, protocol));
    let [first, second] = corpora;
    let (first, _) = encoded(&replay(first.clone(), two), folder.path(), "first");
    let (second, _) = encoded(&replay(second, two), folder.path(), "second");
    // Without metadata a counter is known by its rise.
    assert_eq!(manifest(&first), manifest(&second));
}

#[test]
fn recorded_histograms_go_on_growing() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = recording(folder.path(), Profile::Histograms, Protocol::V1);
    let (_, file) = encoded(&replay(corpus, Protocol::V2), folder.path(), "replay");
    assert_eq!(file.summary.totals.histograms, file.summary.totals.rows);
    let series = by_series(&all_sent(&file));
    let mut grown = 0;
    for rows in series.values() {
        let counts = rows.values().map(|value| match value {
            Value::Histogram(histogram) => {
                let buckets: u64 = histogram.positive.counts.iter().chain(&histogram.negative.counts).sum();
                assert_eq!(histogram.count, buckets + histogram.zero_count);
                histogram.count
            }
            Value::Float(_) => panic!("a histogram was expected"),
        });
        let counts: Vec<_> = counts.collect();
        assert!(counts.is_sorted());
        grown += u64::from(counts.last() > counts.first());
    }
    assert!(grown > 100, "{grown} of {} grew", series.len());
}

#[test]
fn everything_unusual_goes_with_a_recording_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut unusual = recipe(Profile::Real, Protocol::V2);
    unusual.corpus = Some(recording(folder.path(), Profile::Node, Protocol::V2));
    let (path, file) = encoded(&unusual, folder.path(), "replay");
    let series = by_series(&all_sent(&file));
    assert_eq!(manifest(&path).len(), series.len());
    assert!(series.len() > 600 && file.summary.totals.stale > 200);
}

#[test]
fn an_interval_between_the_recorded_scrapes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut odd = replay(recording(folder.path(), Profile::Busy, Protocol::V1), Protocol::V1);
    odd.timeline.interval_ms = 7_000;
    let error = encode(&odd, &folder.path().join("odd")).expect_err("7 is no multiple of 5");
    assert!(error.to_string().contains("5000 ms"), "{error:#}");
}
