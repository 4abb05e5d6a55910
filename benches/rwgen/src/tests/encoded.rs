//! What `encode` writes: the same bytes each time, what the manifest says, in the order of a queue, and as often out of it as
//! asked.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use clap::ValueEnum;

use super::messages::{Labels, all_sent, by_series};
use super::{encoded, plain, recipe};
use crate::check::Expectation;
use crate::encode::{Profile, Recipe};
use crate::journal::Fate;
use crate::manifest::{path_of, read_manifest};
use crate::request::Protocol;
use crate::row::{Digest, Value, identity};

const SYNTHETIC: [Profile; 4] = [Profile::Node, Profile::Busy, Profile::Kubernetes, Profile::Histograms];
const PROTOCOLS: [Protocol; 2] = [Protocol::V1, Protocol::V2];

/// Number and digest of each series, as the manifest has them.
pub(super) fn manifest(requests: &Path) -> BTreeMap<Labels, (u64, u64)> {
    let mut all = BTreeMap::new();
    read_manifest(&path_of(requests), |labels, digest| {
        let labels = labels
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        assert!(
            all.insert(labels, (digest.rows, digest.sum)).is_none(),
            "a series has two lines"
        );
        Ok(())
    })
    .unwrap();
    all
}

fn digests(series: &BTreeMap<Labels, BTreeMap<i64, Value>>) -> BTreeMap<Labels, (u64, u64)> {
    let digest = |rows: &BTreeMap<i64, Value>| {
        let mut digest = Digest::default();
        rows.iter()
            .for_each(|(timestamp, value)| digest.add(value.hash(*timestamp)));
        (digest.rows, digest.sum)
    };
    series
        .iter()
        .map(|(labels, rows)| (labels.clone(), digest(rows)))
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = |recipe: &Recipe, name: &str| {
        let (path, _) = encoded(recipe, folder.path(), name);
        (std::fs::read(&path).unwrap(), std::fs::read(path_of(&path)).unwrap())
    };
    for profile in SYNTHETIC {
        for protocol in PROTOCOLS {
            let first = bytes(&recipe(profile, protocol), "first");
            assert!(
                first == bytes(&recipe(profile, protocol), "second"),
                "{profile:?} {protocol:?}"
            );
            let mut other = recipe(profile, protocol);
            other.timeline.seed += 1;
            assert!(first != bytes(&other, "third"), "{profile:?} {protocol:?}");
        }
    }
}

#[test]
fn requests_hold_what_the_manifest_says() {
    let folder = tempfile::tempdir().unwrap();
    for profile in SYNTHETIC {
        for protocol in PROTOCOLS {
            let (path, file) = encoded(&recipe(profile, protocol), folder.path(), "requests");
            let sent = all_sent(&file);
            let series = by_series(&sent);
            assert_eq!(manifest(&path), digests(&series), "{profile:?} {protocol:?}");

            let totals = file.summary.totals;
            assert_eq!(totals.samples, sent.len() as u64);
            assert!(
                sent.iter()
                    .all(|sample| sample.tells_family == (protocol == Protocol::V2))
            );
            assert_eq!(totals.rows, series.values().map(|rows| rows.len() as u64).sum::<u64>());
            assert_eq!(totals.series, series.len() as u64);
            let times = || sent.iter().map(|sample| sample.timestamp);
            assert_eq!(
                (Some(totals.min_ms), Some(totals.max_ms)),
                (times().min(), times().max())
            );
            let natives = series.values().flat_map(BTreeMap::values);
            let natives = natives.filter(|value| matches!(value, Value::Histogram(_))).count() as u64;
            assert_eq!(totals.histograms, natives);
            assert_eq!(natives > 0, profile == Profile::Histograms);

            // What the checker reads from the requests is the same again.
            let mut scratch = Vec::new();
            let known = manifest(&path).into_iter().map(|(labels, digest)| {
                let pairs = labels.iter().map(|(name, value)| (&**name, &**value));
                (identity(pairs, &mut scratch), digest)
            });
            let known: BTreeMap<_, _> = known.collect();
            let read = Expectation::of_requests(&file, |_| Fate::Acknowledged).unwrap();
            assert_eq!(read.digests(), known);
            assert_eq!(Expectation::of_manifest(&path).unwrap().digests(), known);
        }
    }
}

#[test]
fn neither_the_protocol_nor_the_connections_change_the_data() {
    let folder = tempfile::tempdir().unwrap();
    for profile in SYNTHETIC {
        let one = recipe(profile, Protocol::V1);
        let other = Recipe {
            protocol: Protocol::V2,
            connections: 7,
            per_request: 2_000,
            ..one.clone()
        };
        let (one, _) = encoded(&one, folder.path(), "one");
        let (other, _) = encoded(&other, folder.path(), "other");
        assert_eq!(manifest(&one), manifest(&other), "{profile:?}");
    }
}

#[test]
fn the_index_tells_what_is_in_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let (_, file) = encoded(&recipe(Profile::Node, Protocol::V2), folder.path(), "requests");
    let sent = all_sent(&file);
    let mut seen: HashMap<(&Labels, i64), u32> = HashMap::new();
    for (request, slot) in file.slots.iter().enumerate() {
        let mine: Vec<_> = sent.iter().filter(|sample| sample.request == request).collect();
        assert_eq!(mine.len(), slot.samples as usize);
        let distinct: std::collections::HashSet<_> = mine.iter().map(|sample| &sample.labels).collect();
        assert_eq!(distinct.len(), slot.series as usize);
        assert_eq!(mine.iter().map(|sample| sample.timestamp).max(), Some(slot.due_ms));
        // Every repetition is marked, and nothing else.
        let mut repeated = Vec::new();
        for (ordinal, sample) in mine.iter().enumerate() {
            let before = seen.insert((&sample.labels, sample.timestamp), slot.connection);
            if let Some(connection) = before {
                assert_eq!(
                    connection, slot.connection,
                    "a repetition came first on another connection"
                );
                repeated.push(ordinal as u32);
            }
        }
        assert_eq!(file.repeated(request).unwrap(), repeated);
    }
}

#[test]
fn a_queue_sends_scrape_by_scrape_and_a_series_has_one_connection() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = plain(Profile::Kubernetes, Protocol::V1);
    let (_, file) = encoded(&recipe, folder.path(), "requests");
    let (mut connection_of, mut newest) = (HashMap::new(), vec![0; 3]);
    let mut last: HashMap<Labels, i64> = HashMap::new();
    for sample in all_sent(&file) {
        let connection = file.slots[sample.request].connection;
        assert_eq!(
            *connection_of.entry(sample.labels.clone()).or_insert(connection),
            connection
        );
        // Targets are scraped one after the other, so all of a queue rises; each series by its interval.
        assert!(sample.timestamp >= newest[connection as usize]);
        newest[connection as usize] = sample.timestamp;
        if let Some(before) = last.insert(sample.labels, sample.timestamp) {
            assert_eq!(sample.timestamp - before, recipe.timeline.interval_ms);
        }
    }
    // Full requests, but the last of each connection; and they lie nearly in the order in which they are due.
    let full = file
        .slots
        .iter()
        .filter(|slot| slot.samples == recipe.per_request)
        .count();
    assert!(full + 3 >= file.slots.len());
    let mut newest = 0;
    for slot in &file.slots {
        assert!(slot.due_ms > newest - 2 * recipe.timeline.interval_ms);
        newest = newest.max(slot.due_ms);
    }
}

#[test]
fn unusual_things_happen_as_often_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = recipe(Profile::Busy, Protocol::V1);
    (recipe.series, recipe.timeline.scrapes) = (2_000, 40);
    let (_, file) = encoded(&recipe, folder.path(), "requests");
    let sent = all_sent(&file);
    let (mut newest, mut late, mut repeated) = (HashMap::<&Labels, i64>::new(), 0, 0);
    let mut seen = std::collections::HashSet::new();
    for sample in &sent {
        let first = seen.insert((&sample.labels, sample.timestamp));
        let newest = newest.entry(&sample.labels).or_insert(i64::MIN);
        if !first {
            repeated += 1;
        } else if sample.timestamp < *newest {
            late += 1;
        }
        *newest = sample.timestamp.max(*newest);
    }
    let rows = file.summary.totals.rows as f64;
    let share = |count: u64| 100.0 * count as f64 / rows;
    assert!((4.2..5.3).contains(&share(late)), "{} % late", share(late));
    assert!((5.0..6.5).contains(&share(repeated)), "{} % repeated", share(repeated));
    assert_eq!(repeated, file.summary.totals.repeated);

    // Ten minutes, a fifth of 40 targets each minute.
    let series = by_series(&sent);
    let ended = series.len() - 2_000;
    assert!((3_600..=4_000).contains(&ended), "{ended} series ended");
    let last_is_marker = series
        .values()
        .filter(|rows| rows.last_key_value().is_some_and(|row| row.1.is_stale()))
        .count();
    assert!(last_is_marker >= ended, "{last_is_marker} end with a marker");
    let markers: usize = series
        .values()
        .flat_map(BTreeMap::values)
        .filter(|value| value.is_stale())
        .count();
    assert_eq!(markers as u64, file.summary.totals.stale);
    let failed = share((markers - ended) as u64);
    assert!((3.0..5.0).contains(&failed), "{failed} % of the scrapes failed");
    let pods: std::collections::HashSet<_> = series
        .keys()
        .flatten()
        .filter(|(name, _)| name == "pod")
        .map(|(_, value)| value)
        .collect();
    assert_eq!(pods.len() * 50, series.len(), "each incarnation has a pod of its own");
}

#[test]
fn entries_are_as_large_as_the_profiles_promise() {
    let folder = tempfile::tempdir().unwrap();
    for (profile, labels, bytes) in [
        (Profile::Node, 9..=10, 256..=266),
        (Profile::Busy, 10..=10, 256..=268),
        (Profile::Kubernetes, 15..=18, 340..=360),
    ] {
        let (_, file) = encoded(&plain(profile, Protocol::V1), folder.path(), "requests");
        let totals = file.summary.totals;
        let each = totals.raw_bytes / totals.samples;
        assert!(bytes.contains(&each), "{profile:?}: {each} bytes");
        let numbers: Vec<_> = by_series(&all_sent(&file)).keys().map(Vec::len).collect();
        assert!(
            numbers.iter().all(|number| labels.contains(number)),
            "{profile:?}: {numbers:?}"
        );
    }
}

#[test]
fn what_cannot_be_encoded_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("requests");
    let sound = || plain(Profile::Node, Protocol::V1);
    let wrong: [fn(&mut Recipe); 5] = [
        |recipe| recipe.series = 0,
        |recipe| recipe.connections = 431,
        |recipe| recipe.timeline.scrapes = 0,
        |recipe| recipe.per_request = 0,
        |recipe| recipe.profile = Profile::Real,
    ];
    for change in wrong {
        let mut recipe = sound();
        change(&mut recipe);
        assert!(crate::encode::encode(&recipe, &output).is_err(), "{recipe:?}");
    }
    assert_eq!(
        Profile::value_variants().len(),
        SYNTHETIC.len() + 1,
        "a profile that no test encodes"
    );
}
