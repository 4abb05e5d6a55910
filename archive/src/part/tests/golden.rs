//! Parts as each version wrote them. A change that cannot read them loses archives, so they stay for ever.

use std::path::{Path, PathBuf};

use emberkeep_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use emberkeep_model::{
    Counts, Exemplar, Histogram, Labels, MIN_TIMESTAMP, Metadata, MetricType, ResetHint, STALE_MARKER_BITS, Sample,
    SeenMetadata, SeriesRuns, Span, TenantId, TimeRange,
};

use super::super::PartReader;
use super::compacted::one_day;
use super::histograms::{histogram, many_histograms};
use super::kinds::{AllContent, read_back};
use super::{Files, everything, run_async};
use crate::{FileKind, KeyedStore, Keys, PartEntry};

fn directory(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/part-v{version}"))
}

/// What version 1 could hold: floats.
fn floats() -> AllContent {
    let sample = |timestamp, value, start_timestamp| Sample {
        timestamp,
        value,
        start_timestamp,
    };
    let hostile = vec![
        sample(MIN_TIMESTAMP, f64::from_bits(0x7ff0_0000_0000_0002), 0),
        sample(0, -0.0, i64::MIN),
        sample(1, f64::from_bits(0xfff8_dead_beef_0001), 1),
        sample(2, 0.1 + 0.2, 7),
        sample(i64::MAX - 1, f64::NEG_INFINITY, i64::MAX),
    ];
    let long = (0..500).map(|i| sample(i * 15_000, (i % 7) as f64 / 4.0, 0)).collect();
    let mut content = AllContent::default();
    let rows = [
        ("anonymous", vec![("__name__", "up"), ("job", "a")], long),
        ("anonymous", vec![("__name__", "up"), ("job", "\u{1F525}")], hostile),
        ("team-2", vec![], vec![sample(-1, 1.5, 0)]),
        (
            "team-2",
            vec![("Zone", "x"), ("__name__", "no")],
            vec![sample(5, f64::MIN_POSITIVE / 4.0, 0)],
        ),
    ];
    for (tenant, pairs, samples) in rows {
        let key = (TenantId::parse(tenant).unwrap(), Labels::from_pairs(pairs).unwrap());
        let runs = SeriesRuns {
            samples: samples.into_iter().collect(),
            ..SeriesRuns::default()
        };
        content.series.insert(key, runs);
    }
    content
}

/// What version 2 can hold: all kinds.
fn all_kinds() -> AllContent {
    let mut content = floats();
    let tenant = TenantId::default();
    let up = |job| Labels::from_pairs([("__name__", "up"), ("job", job)]).unwrap();
    let mut runs = SeriesRuns {
        histograms: many_histograms(1, 20),
        ..SeriesRuns::default()
    };
    let custom = Histogram {
        counts: Counts::Integer {
            count: u64::MAX,
            zero_count: 0,
            positive: vec![i64::MAX, 3],
            negative: vec![],
        },
        sum: f64::from_bits(0xfff8_dead_beef_0001),
        schema: CUSTOM_BUCKETS_SCHEMA,
        reset_hint: ResetHint::Gauge,
        positive_spans: [(0, 1), (0, 0), (1, 1)]
            .map(|(offset, length)| Span { offset, length })
            .to_vec(),
        custom_values: vec![-1.5, -0.0, 1e300],
        ..Histogram::default()
    };
    runs.histograms.push(1 << 40, i64::MIN, &custom);
    let stale = Histogram {
        sum: f64::from_bits(STALE_MARKER_BITS),
        ..Histogram::default()
    };
    runs.histograms.push(i64::MAX - 1, 0, &stale);
    runs.exemplars.push(Exemplar {
        timestamp: 7,
        value: f64::from_bits(0x7ff8_0000_0000_0001),
        labels: Labels::from_pairs([("trace_id", "\u{1F525}")]).unwrap(),
    });
    runs.exemplars.push(Exemplar {
        timestamp: 8,
        value: -0.0,
        labels: Labels::from_pairs([]).unwrap(),
    });
    content.series.insert((tenant.clone(), up("h")), runs);
    let mut float = SeriesRuns {
        histograms: many_histograms(3, 5),
        ..SeriesRuns::default()
    };
    float.histograms.push(1 << 40, 5, &histogram(2000));
    content.series.insert((tenant.clone(), up("hf")), float);
    let seen = SeenMetadata {
        metadata: Metadata {
            metric_type: MetricType::GaugeHistogram,
            unit: "s".to_owned(),
            help: "Two\nlines.".to_owned(),
        },
        first_seen: 1_700_000_000_000,
        last_seen: 1_700_000_001_000,
    };
    content.metadata.add(&tenant, "up", None, &seen);
    content.metadata.add(&tenant, "up", Some(&up("h")), &seen);
    content
}

fn entry_of(version: u32) -> PartEntry {
    serde_json::from_slice(&std::fs::read(directory(version).join("entry.json")).unwrap()).unwrap()
}

/// Opens the files of a version and compares all of it.
fn check(version: u32, content: &AllContent) {
    check_in(&directory(version), &Keys::default(), content);
}

fn check_in(directory: &Path, keys: &Keys, content: &AllContent) {
    let entry: PartEntry = serde_json::from_slice(&std::fs::read(directory.join("entry.json")).unwrap()).unwrap();
    let read = |kind: FileKind| std::fs::read(directory.join(format!("{}.parquet", kind.as_str()))).unwrap();
    let files: Files = entry.files.iter().map(|file| (file.kind, read(file.kind))).collect();
    for file in &entry.files {
        assert_eq!(file.crc32c, crate::crc32c(&files[&file.kind]), "{:?}", file.kind);
    }
    run_async(async {
        let store = KeyedStore::wrap(super::store_of(&entry, files).await, keys);
        let part = PartReader::open(store, &entry).await.unwrap();
        let mut found = AllContent::default();
        for tenant in ["anonymous", "team-2"] {
            let of_tenant = read_back(&part, &everything(tenant), 1000).await.unwrap();
            found.series.extend(of_tenant.series);
            found.metadata.extend(of_tenant.metadata);
        }
        assert_eq!(found, *content);
    });
}

/// What version 3 added: one tenant and day, and digests, from level 1 on.
fn compacted() -> AllContent {
    let mut content = one_day(12, 19_675);
    let seen = SeenMetadata {
        metadata: Metadata {
            metric_type: MetricType::StateSet,
            unit: String::new(),
            help: "Seen.".to_owned(),
        },
        first_seen: 1_699_920_000_000,
        last_seen: 1_699_920_001_000,
    };
    let tenant = TenantId::default();
    let labels = content.series.keys().next_back().unwrap().1.clone();
    content.metadata.add(&tenant, "up", None, &seen);
    content
        .metadata
        .add(&tenant, labels.metric_name(), Some(&labels), &seen);
    content
}

/// Version 1 knew floats only, so its times are theirs.
#[test]
fn an_entry_of_version_1_says_when_its_samples_are() {
    let entry = entry_of(1);
    for (tenant, first) in [("anonymous", MIN_TIMESTAMP), ("team-2", -1)] {
        let at = |timestamp| TimeRange::from_inclusive(timestamp, timestamp);
        assert!(entry.may_hold(tenant, at(first)), "{tenant}");
        assert!(!entry.may_hold(tenant, at(first - 1)), "{tenant}");
        assert!(!entry.may_hold_exemplars(tenant, TimeRange::ALL));
        assert!(!entry.may_hold_metadata(tenant, TimeRange::ALL));
    }
}

#[test]
fn a_part_of_version_1_is_read() {
    check(1, &floats());
}

#[test]
fn a_part_of_version_2_is_read() {
    check(2, &all_kinds());
}

#[test]
fn a_part_of_version_3_is_read() {
    check(3, &compacted());
}

/// The same content as that of version 2, encrypted; the key is 32 times the byte 7.
#[test]
fn an_encrypted_part_of_version_3_is_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/part-v3-encrypted");
    check_in(&directory, &Keys::single("k-1", [7; 32]).unwrap(), &all_kinds());
}
