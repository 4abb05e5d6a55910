//! Which time a part is looked at for: exemplars and metadata with times of their own must not make its samples look older.

use emberkeep_model::{Exemplar, Labels, Metadata, Run, Sample, SeenMetadata, SeriesRuns, TenantId, TimeRange};

use super::super::{PartReader, ScanKinds, ScanQuery, TimeSpan};
use super::{query, small, stored, writer};
use crate::{FileKind, PartEntry};

const HOUR: i64 = 3_600_000;
/// When the samples are.
const NOW: i64 = 1_700_000_000_000;

fn named(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)]).unwrap()
}

/// A float now, and an exemplar and metadata of other times.
async fn with_old_exemplar() -> (PartReader, PartEntry) {
    let mut runs = SeriesRuns::default();
    let sample = |timestamp| Sample {
        timestamp,
        value: 1.0,
        start_timestamp: 0,
    };
    runs.samples = [sample(NOW), sample(NOW + 15_000)].into_iter().collect();
    runs.exemplars.push(Exemplar {
        timestamp: 0,
        value: 2.0,
        labels: named("trace"),
    });
    let seen = SeenMetadata {
        metadata: Metadata::default(),
        first_seen: NOW + HOUR,
        last_seen: NOW + 2 * HOUR,
    };
    let only_exemplars = SeriesRuns {
        samples: Run::default(),
        ..runs.clone()
    };
    let mut writer = writer(small());
    let tenant = TenantId::default();
    writer
        .push(&tenant, &named("both"), &runs, std::slice::from_ref(&seen))
        .unwrap();
    writer
        .push(&tenant, &named("only_exemplars"), &only_exemplars, &[])
        .unwrap();
    writer
        .push(&tenant, &named("only_metadata"), &SeriesRuns::default(), &[seen])
        .unwrap();
    let (summary, files) = writer.finish().unwrap();
    let (store, entry) = stored(&summary, files.into_iter().collect()).await;
    (PartReader::open(store, &entry).await.unwrap(), entry)
}

fn at(timestamp: i64) -> TimeRange {
    TimeRange::from_inclusive(timestamp, timestamp)
}

#[tokio::test]
async fn each_kind_has_a_span_of_its_own() {
    let (_, entry) = with_old_exemplar().await;
    let held = entry.tenants["anonymous"];
    let span = |min_time, max_time| Some(TimeSpan { min_time, max_time });
    assert_eq!(held.sample_times(), span(NOW, NOW + 15_000));
    assert_eq!(held.exemplar_times, span(0, 0));
    assert_eq!(held.metadata_times, span(NOW + HOUR, NOW + 2 * HOUR));
    assert_eq!((entry.min_time, entry.max_time), (NOW, NOW + 15_000));
    let held_at = |timestamp| {
        let (tenant, range) = ("anonymous", at(timestamp));
        [
            entry.may_hold(tenant, range),
            entry.may_hold_exemplars(tenant, range),
            entry.may_hold_metadata(tenant, range),
        ]
    };
    assert_eq!(held_at(0), [false, true, false]);
    assert_eq!(held_at(NOW - HOUR), [false, false, false]);
    // Metadata that came together with samples of a time says something of that time.
    assert_eq!(held_at(NOW), [true, false, true]);
    assert_eq!(held_at(NOW + 2 * HOUR), [false, false, true]);
    let nothing = TimeRange { start: NOW, end: NOW };
    assert!(!entry.may_hold("anonymous", nothing));
    assert!(!entry.may_hold("nobody", TimeRange::ALL));
}

#[tokio::test]
async fn a_tenant_without_samples_has_no_time() {
    let mut writer = writer(small());
    let mut runs = SeriesRuns::default();
    runs.exemplars.push(Exemplar {
        timestamp: NOW,
        value: 2.0,
        labels: named("trace"),
    });
    writer.push(&TenantId::default(), &named("a"), &runs, &[]).unwrap();
    let (summary, files) = writer.finish().unwrap();
    let (_, entry) = stored(&summary, files.into_iter().collect()).await;
    for range in [TimeRange::ALL, at(NOW), at(0), at(i64::MAX - 1), at(i64::MIN)] {
        assert!(!entry.may_hold("anonymous", range), "{range:?}");
    }
    let text = serde_json::to_string(&entry).unwrap();
    assert_eq!(serde_json::from_str::<PartEntry>(&text).unwrap(), entry);
}

#[tokio::test]
async fn a_scan_gives_the_series_of_the_kinds_it_is_for() {
    let (part, _) = with_old_exemplar().await;
    let names = async |kinds, range| {
        let mut scan = part.scan(
            ScanQuery {
                kinds,
                ..query("anonymous", range, vec![])
            },
            1000,
        );
        let mut found = Vec::new();
        while let Some(series) = scan.next().await.unwrap() {
            let mut runs = SeriesRuns::default();
            scan.exemplars(series.exemplars, range, &mut runs.exemplars)
                .await
                .unwrap();
            found.push((series.labels.metric_name().to_owned(), runs.exemplars.len()));
        }
        found
    };
    let found = |all: &[(&str, usize)]| -> Vec<(String, usize)> {
        all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    assert_eq!(names(ScanKinds::Samples, at(0)).await, []);
    assert_eq!(names(ScanKinds::Samples, TimeRange::ALL).await, found(&[("both", 1)]));
    // The span of `both` is that of its samples, and its exemplar is found all the same.
    let with_exemplars = found(&[("both", 1), ("only_exemplars", 1)]);
    assert_eq!(names(ScanKinds::Exemplars, at(0)).await, with_exemplars);
    let all = found(&[("both", 1), ("only_exemplars", 1), ("only_metadata", 0)]);
    assert_eq!(names(ScanKinds::All, at(0)).await, all);
}

#[tokio::test]
async fn the_series_table_has_the_times_of_samples_first() {
    let (part, entry) = with_old_exemplar().await;
    assert_eq!(entry.file(FileKind::Series).unwrap().rows, 3);
    let mut scan = part.scan(super::everything("anonymous"), 1000);
    let mut times = Vec::new();
    while let Some(series) = scan.next().await.unwrap() {
        times.push((series.min_time, series.max_time));
    }
    assert_eq!(times, [(NOW, NOW + 15_000), (0, 0), (NOW + HOUR, NOW + 2 * HOUR)]);
}
