//! All kinds together: random content with hostile values, every field back with its bits, whatever the window.

use std::collections::BTreeMap;

use proptest::prelude::*;

use emberkeep_model::{
    Exemplar, ExemplarRun, HistogramRun, Labels, Metadata, MetricType, Run, SeenMetadata, SeriesRuns, TenantId,
    TimeRange,
};

use super::super::{PartReader, PartSummary, PartWriter, ScanKinds, ScanQuery, SeriesRows};
use super::histograms::{histogram, histogram_run, many_histograms};
use super::metadata::{MetadataSet, drain_metadata, push_families, seen};
use super::round_trip::{labels, run, timestamp, value};
use super::{Files, everything, query, run_async, small, stored, writer};
use crate::ArchiveError;

/// Rows of a series as text-like columns that compare by bits.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Bits {
    pub(super) samples: Vec<(i64, u64, i64)>,
    pub(super) histograms: HistogramRun,
    pub(super) exemplars: ExemplarRun,
}

/// What a part holds.
#[derive(Debug, Clone, Default)]
pub(super) struct AllContent {
    pub(super) series: BTreeMap<(TenantId, Labels), SeriesRuns>,
    pub(super) metadata: MetadataSet,
}

impl PartialEq for AllContent {
    fn eq(&self, other: &Self) -> bool {
        let bits = |content: &Self| -> Vec<_> {
            let series = content.series.iter();
            series.map(|(key, runs)| (key.clone(), bits(runs))).collect()
        };
        bits(self) == bits(other) && self.metadata == other.metadata
    }
}

fn bits(runs: &SeriesRuns) -> Bits {
    let row = |sample: emberkeep_model::Sample| (sample.timestamp, sample.value.to_bits(), sample.start_timestamp);
    Bits {
        samples: runs.samples.iter().map(row).collect(),
        histograms: runs.histograms.clone(),
        exemplars: runs.exemplars.clone(),
    }
}

pub(super) fn exemplar() -> impl Strategy<Value = Exemplar> {
    let time = prop_oneof![3 => 0_i64..5, 1 => timestamp()];
    (time, value(), labels()).prop_map(|(timestamp, value, labels)| Exemplar {
        timestamp,
        value,
        labels,
    })
}

fn series_runs() -> impl Strategy<Value = SeriesRuns> {
    let samples = prop_oneof![1 => Just(Run::default()), 2 => run()];
    let exemplars = prop::collection::vec(exemplar(), 0..6);
    (samples, histogram_run(), exemplars).prop_map(|(samples, histograms, exemplars)| {
        let mut runs = SeriesRuns {
            samples,
            histograms,
            exemplars: exemplars.into_iter().collect(),
        };
        runs.settle();
        runs
    })
}

fn tenant() -> impl Strategy<Value = TenantId> {
    prop::sample::select(vec!["anonymous", "a", "team-2"]).prop_map(|id| TenantId::parse(id).unwrap())
}

fn content() -> impl Strategy<Value = AllContent> {
    let of_series = (series_runs(), prop::collection::vec(seen(), 0..3));
    let series = prop::collection::btree_map((tenant(), labels()), of_series, 0..25);
    let families = prop::collection::vec((tenant(), "[a-c_ä]{0,3}", seen()), 0..10);
    (series, families).prop_map(|(series, families)| {
        let mut content = AllContent::default();
        for (tenant, family, seen) in families {
            content.metadata.add(&tenant, &family, None, &seen);
        }
        for ((tenant, labels), (runs, metadata)) in series {
            if runs.is_empty() && metadata.is_empty() {
                continue;
            }
            for seen in metadata {
                content
                    .metadata
                    .add(&tenant, labels.metric_name(), Some(&labels), &seen);
            }
            content.series.insert((tenant, labels), runs);
        }
        content
    })
}

/// Writes the content; families before the series of their tenant or after them.
pub(super) fn fill_all(mut writer: PartWriter<'_, Vec<u8>>, content: &AllContent) -> (PartSummary, Files) {
    let mut tenants: Vec<TenantId> = content.series.keys().map(|(tenant, _)| tenant.clone()).collect();
    tenants.extend(content.metadata.tenants());
    tenants.sort();
    tenants.dedup();
    for (i, tenant) in tenants.iter().enumerate() {
        if i % 2 == 0 {
            push_families(&mut writer, tenant, &content.metadata);
        }
        for ((_, labels), runs) in content.series.iter().filter(|((of, _), _)| of == tenant) {
            let metadata = content.metadata.of_series(tenant, labels);
            writer.push(tenant, labels, runs, &metadata).unwrap();
        }
        if i % 2 == 1 {
            push_families(&mut writer, tenant, &content.metadata);
        }
    }
    let (summary, files) = writer.finish().unwrap();
    (summary, files.into_iter().collect())
}

/// All that a part gives for a query, and all metadata of its tenant.
pub(super) async fn read_back(
    part: &PartReader,
    query: &ScanQuery,
    window_rows: usize,
) -> Result<AllContent, ArchiveError> {
    let mut found = AllContent::default();
    let mut scan = part.scan(query.clone(), window_rows);
    while let Some(series) = scan.next().await? {
        let SeriesRows {
            samples,
            histograms,
            exemplars,
            ..
        } = series;
        let mut runs = SeriesRuns::default();
        scan.samples(samples, query.range, &mut runs.samples).await?;
        scan.histograms(histograms, query.range, &mut runs.histograms).await?;
        scan.exemplars(exemplars, query.range, &mut runs.exemplars).await?;
        found.series.insert((query.tenant.clone(), series.labels), runs);
    }
    found.metadata = drain_metadata(part, &query.tenant, None).await?;
    Ok(found)
}

/// What a scan must give, from the content itself.
fn expected(content: &AllContent, query: &ScanQuery) -> AllContent {
    let mut expected = AllContent {
        metadata: content.metadata.of_tenant(&query.tenant),
        ..AllContent::default()
    };
    for ((tenant, labels), runs) in &content.series {
        if *tenant == query.tenant && query.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
            let mut runs = runs.clone();
            runs.retain_range(query.range);
            expected.series.insert((tenant.clone(), labels.clone()), runs);
        }
    }
    expected
}

/// Series that have all kinds, with metadata.
pub(super) fn many_of_all_kinds(count: usize) -> AllContent {
    let mut content = AllContent::default();
    for ((tenant, labels), samples) in super::round_trip::many_series(count, |i| i % 40) {
        let i = content.series.len();
        let mut runs = SeriesRuns {
            samples,
            histograms: many_histograms(i as u64, 10),
            exemplars: (0..(i % 4) as i64)
                .map(|at| Exemplar {
                    timestamp: at,
                    value: at as f64,
                    labels: Labels::from_pairs([("trace_id", format!("{i:032x}").as_str())]).unwrap(),
                })
                .collect(),
        };
        runs.settle();
        let seen = SeenMetadata {
            metadata: Metadata {
                metric_type: MetricType::Counter,
                unit: "s".to_owned(),
                help: format!("Help of {}.", labels.metric_name()),
            },
            first_seen: 5,
            last_seen: 10 + i as i64,
        };
        content
            .metadata
            .add(&tenant, labels.metric_name(), Some(&labels), &seen);
        content.metadata.add(&tenant, labels.metric_name(), None, &seen);
        content.series.insert((tenant, labels), runs);
    }
    content
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_went_in_comes_out(
        content in content(),
        (start, end) in (timestamp(), timestamp()),
        all_time: bool,
        window_rows in prop::sample::select(vec![1_usize, 7, 1 << 20]),
    ) {
        let range = if all_time { TimeRange::ALL } else { TimeRange { start, end } };
        let (summary, files) = fill_all(writer(small()), &content);
        let rows = |count: fn(&SeriesRuns) -> usize| content.series.values().map(count).sum::<usize>() as u64;
        prop_assert_eq!(summary.rows, rows(|runs| runs.samples.len()));
        prop_assert_eq!(summary.histograms, rows(|runs| runs.histograms.len()));
        prop_assert_eq!(summary.exemplars, rows(|runs| runs.exemplars.len()));
        prop_assert_eq!(summary.metadata, content.metadata.len() as u64);
        prop_assert_eq!(summary.series, content.series.len() as u64);
        // Only what has rows has a file; the series table always has one.
        prop_assert_eq!(files.len(), 1 + [summary.rows, summary.histograms, summary.exemplars, summary.metadata]
            .iter().filter(|rows| **rows > 0).count());
        run_async(async {
            let (store, entry) = stored(&summary, files).await;
            let part = PartReader::open(store, &entry).await.unwrap();
            for tenant in ["anonymous", "a", "team-2", "nobody"] {
                let query = ScanQuery { kinds: ScanKinds::All, ..query(tenant, range, vec![]) };
                let mut found = read_back(&part, &query, window_rows).await.unwrap();
                let mut expected = expected(&content, &query);
                // A series may have no row inside the range.
                found.series.retain(|_, runs| !runs.is_empty());
                expected.series.retain(|_, runs| !runs.is_empty());
                assert_eq!(found, expected);
            }
        });
    }

    #[test]
    fn a_tenant_is_found_by_the_times_of_its_series(content in content()) {
        let (summary, _) = fill_all(writer(small()), &content);
        for (tenant, of_tenant) in &summary.tenants {
            let series = content.series.iter().filter(|((of, _), _)| of.as_str() == tenant);
            for (_, runs) in series {
                let floats = runs.samples.timestamps.iter();
                for &timestamp in floats.chain(runs.histograms.timestamps()) {
                    prop_assert!((of_tenant.min_time..=of_tenant.max_time).contains(&timestamp));
                    prop_assert!((summary.min_time..=summary.max_time).contains(&timestamp));
                }
                for exemplar in runs.exemplars.as_slice() {
                    let times = of_tenant.exemplar_times.unwrap();
                    prop_assert!((times.min_time..=times.max_time).contains(&exemplar.timestamp));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_series_with_metadata_alone_is_found_by_who_wants_all() {
    let mut content = AllContent::default();
    let key = (TenantId::default(), Labels::from_pairs([("__name__", "up")]).unwrap());
    let seen = SeenMetadata {
        metadata: Metadata::default(),
        first_seen: 100,
        last_seen: 200,
    };
    content.metadata.add(&key.0, "up", Some(&key.1), &seen);
    content.series.insert(key.clone(), SeriesRuns::default());
    let (summary, files) = fill_all(writer(small()), &content);
    assert_eq!((summary.min_time, summary.max_time), (i64::MAX, i64::MIN));
    let (store, entry) = stored(&summary, files).await;
    let part = PartReader::open(store, &entry).await.unwrap();
    for kinds in [ScanKinds::Samples, ScanKinds::Exemplars, ScanKinds::All] {
        let query = ScanQuery {
            kinds,
            ..everything("anonymous")
        };
        let found = part.scan(query, 1).next().await.unwrap();
        assert_eq!(found.is_some(), kinds == ScanKinds::All);
        if let Some(found) = found {
            assert_eq!((found.min_time, found.max_time), (100, 200));
            assert!(found.samples.is_empty() && found.histograms.is_empty() && found.exemplars.is_empty());
        }
    }
}

#[test]
fn a_file_that_cannot_be_made_is_an_error() {
    let open = |kind| match kind {
        crate::FileKind::Histograms => Err(ArchiveError::Write(std::io::Error::other("full"))),
        _ => Ok(Vec::new()),
    };
    let mut writer = PartWriter::create(open, super::info(), small()).unwrap();
    let mut runs = SeriesRuns::default();
    runs.histograms.push(1, 0, &histogram(1));
    writer
        .push(&TenantId::default(), &Labels::from_pairs([]).unwrap(), &runs, &[])
        .unwrap();
    assert!(matches!(writer.finish(), Err(ArchiveError::Write(_))));
}

/// Readers spawn scans onto other threads.
#[test]
fn reads_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let read = |part: PartReader| async move { read_back(&part, &query("a", TimeRange::ALL, vec![]), 1).await };
    let (summary, files) = fill_all(writer(small()), &AllContent::default());
    let part = run_async(async {
        let (store, entry) = stored(&summary, files).await;
        PartReader::open(store, &entry).await.unwrap()
    });
    let future = read(part);
    is_send(&future);
    assert_eq!(run_async(future).unwrap(), AllContent::default());
}
