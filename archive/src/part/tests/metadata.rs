//! Metadata of families and of series: every variant once, in order, with the labels of its series.

use std::collections::BTreeMap;

use proptest::prelude::*;

use emberkeep_model::{Labels, Metadata, MetadataEntry, MetricType, SeenMetadata, SeriesRuns, TenantId};

use super::super::metadata_pass::{Asked, MetadataPass};
use super::super::series_labels::windows;
use super::super::{PartReader, PartWriter};
use super::kinds::{AllContent, fill_all};
use super::{Files, run_async, small, stored, writer};
use crate::{ArchiveError, FileKind};

/// Tenant, family, and the series when it is of one.
type What = (TenantId, String, Option<Labels>);

/// All variants, and when each was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct MetadataSet(BTreeMap<(What, Metadata), (i64, i64)>);

impl MetadataSet {
    pub(super) fn add(&mut self, tenant: &TenantId, family: &str, series: Option<&Labels>, seen: &SeenMetadata) {
        let what = (tenant.clone(), family.to_owned(), series.cloned());
        let times = (seen.first_seen, seen.last_seen);
        let (first, last) = self.0.entry((what, seen.metadata.clone())).or_insert(times);
        (*first, *last) = ((*first).min(times.0), (*last).max(times.1));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn tenants(&self) -> impl Iterator<Item = TenantId> {
        self.0.keys().map(|((tenant, ..), _)| tenant.clone())
    }

    pub(super) fn of_tenant(&self, tenant: &TenantId) -> Self {
        let of_tenant = self.0.iter().filter(|(((of, ..), _), _)| of == tenant);
        Self(of_tenant.map(|(key, times)| (key.clone(), *times)).collect())
    }

    pub(super) fn of_series(&self, tenant: &TenantId, labels: &Labels) -> Vec<SeenMetadata> {
        let all = self.0.iter();
        let of_series = all.filter(|(((of, _, series), _), _)| of == tenant && series.as_ref() == Some(labels));
        of_series
            .map(|((_, metadata), times)| seen_at(metadata, *times))
            .collect()
    }
}

fn seen_at(metadata: &Metadata, (first_seen, last_seen): (i64, i64)) -> SeenMetadata {
    SeenMetadata {
        metadata: metadata.clone(),
        first_seen,
        last_seen,
    }
}

/// Pushes what was said of families, the last one first: the writer takes any order.
pub(super) fn push_families(writer: &mut PartWriter<'_, Vec<u8>>, tenant: &TenantId, metadata: &MetadataSet) {
    for (((of, family, series), metadata), times) in metadata.0.iter().rev() {
        if of == tenant && series.is_none() {
            writer
                .push_family(tenant, family, &[seen_at(metadata, *times)])
                .unwrap();
        }
    }
}

/// All metadata that a part gives for a tenant. It must come once and in order.
pub(super) async fn drain_metadata(
    part: &PartReader,
    tenant: &TenantId,
    family: Option<&str>,
) -> Result<MetadataSet, ArchiveError> {
    let mut found = MetadataSet::default();
    let mut cursor = part.metadata(tenant, family);
    let mut last: Option<MetadataEntry> = None;
    while let Some(batch) = cursor.next().await? {
        assert!(!batch.is_empty());
        for entry in batch {
            let key = |entry: &MetadataEntry| {
                let MetadataEntry { family, series, seen } = entry.clone();
                (family, series, seen.metadata)
            };
            assert!(
                last.as_ref().is_none_or(|last| key(last) < key(&entry)),
                "{last:?} {entry:?}"
            );
            found.add(tenant, &entry.family, entry.series.as_ref(), &entry.seen);
            last = Some(entry);
        }
    }
    Ok(found)
}

pub(super) fn seen() -> impl Strategy<Value = SeenMetadata> {
    let help = prop_oneof![
        Just(String::new()),
        Just("a\nb \"c\" \\ \u{1F525}".to_owned()),
        ".{0,10}"
    ];
    (0_i32..8, "[a-z]{0,2}", help, any::<i64>(), any::<i64>()).prop_map(|(number, unit, help, a, b)| SeenMetadata {
        metadata: Metadata {
            metric_type: MetricType::from_number(number),
            unit,
            help,
        },
        first_seen: a.min(b),
        last_seen: a.max(b),
    })
}

/// Families with many series each; what the order of labels is not the order of names for.
fn many_families(families: usize, series: usize) -> AllContent {
    let mut content = AllContent::default();
    let tenant = TenantId::default();
    for i in 0..series {
        let family = format!("family_{:04}", i * 7919 % families);
        let labels = [("Zone", format!("{i:06}")), ("__name__", family.clone())];
        let labels = Labels::from_pairs(labels.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
        let seen = SeenMetadata {
            metadata: Metadata {
                metric_type: MetricType::Histogram,
                unit: String::new(),
                help: format!("Help of {family}, with words."),
            },
            first_seen: 0,
            last_seen: i as i64,
        };
        content.metadata.add(&tenant, &family, None, &seen);
        content.metadata.add(&tenant, &family, Some(&labels), &seen);
        content.series.insert((tenant.clone(), labels), SeriesRuns::default());
    }
    content
}

#[test]
fn one_family_or_all_come_with_the_labels_of_their_series() {
    let content = many_families(50, 6000);
    let (summary, files) = fill_all(writer(small()), &content);
    assert_eq!(summary.metadata, 6050);
    run_async(async {
        let (store, entry) = stored(&summary, files).await;
        let part = PartReader::open(store, &entry).await.unwrap();
        let tenant = TenantId::default();
        assert_eq!(drain_metadata(&part, &tenant, None).await.unwrap(), content.metadata);
        for family in ["family_0000", "family_0037", "family_9999", ""] {
            let found = drain_metadata(&part, &tenant, Some(family)).await.unwrap();
            let mut expected = content.metadata.clone();
            expected.0.retain(|((_, of, _), _), _| of == family);
            assert_eq!(found, expected, "{family}");
        }
        let other = TenantId::parse("nobody").unwrap();
        assert_eq!(drain_metadata(&part, &other, None).await.unwrap().len(), 0);
    });
}

#[tokio::test]
async fn a_tenant_with_families_alone_has_no_times_but_those_of_their_arrival() {
    let mut writer = writer(small());
    let (a, b) = (TenantId::parse("a").unwrap(), TenantId::parse("b").unwrap());
    let seen = |first_seen, last_seen| seen_at(&Metadata::default(), (first_seen, last_seen));
    writer
        .push_family(&a, "up", &[seen(3, 4), seen(5, 9), seen(1, 2)])
        .unwrap();
    writer.push_family(&b, "up", &[seen(7, 7)]).unwrap();
    assert!(matches!(
        writer.push_family(&a, "up", &[seen(1, 1)]),
        Err(ArchiveError::Invalid(_))
    ));
    let (summary, files) = writer.finish().unwrap();
    let of = |tenant: &str| {
        let held = summary.tenants[tenant];
        assert_eq!((held.sample_times(), held.exemplar_times), (None, None));
        let times = held.metadata_times.unwrap();
        (times.min_time, times.max_time, held.metadata, held.series)
    };
    assert_eq!((of("a"), of("b")), ((1, 9, 1, 0), (7, 7, 1, 0)));
    assert_eq!((summary.min_time, summary.max_time), (i64::MAX, i64::MIN));
    let (store, entry) = stored(&summary, files.into_iter().collect()).await;
    let part = PartReader::open(store, &entry).await.unwrap();
    let found = part.metadata(&a, Some("up")).next().await.unwrap().unwrap();
    assert_eq!(found.len(), 1, "equal variants are one: {found:?}");
    assert_eq!(found[0].seen, seen(1, 9));
}

/// What a cursor of families must give: all variants by family, with the times of all that said so.
type ByFamily = BTreeMap<(String, Metadata), (i64, i64)>;

fn by_family(content: &AllContent) -> ByFamily {
    let mut found = ByFamily::new();
    for (((_, family, _), metadata), times) in &content.metadata.0 {
        join(&mut found, (family.clone(), metadata.clone()), *times);
    }
    found
}

fn join(found: &mut ByFamily, key: (String, Metadata), times: (i64, i64)) {
    let (first, last) = found.entry(key).or_insert(times);
    (*first, *last) = ((*first).min(times.0), (*last).max(times.1));
}

async fn drain_families(part: &PartReader, family: Option<&str>) -> Result<ByFamily, ArchiveError> {
    let mut cursor = part.families(&TenantId::default(), family);
    let mut found = ByFamily::new();
    while let Some(batch) = cursor.next().await? {
        assert!(!batch.is_empty());
        for of_family in batch {
            let seen = of_family.seen;
            let times = (seen.first_seen, seen.last_seen);
            join(&mut found, (of_family.family, seen.metadata), times);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn families_are_read_without_the_series_table() {
    let content = many_families(50, 6000);
    let (summary, mut files) = fill_all(writer(small()), &content);
    // The pages of the series table are destroyed, its footer is whole.
    let series = files.get_mut(&FileKind::Series).unwrap();
    let half = series.len() / 2;
    series[8..half].fill(0xff);
    let (store, entry) = stored(&summary, files).await;
    let part = PartReader::open(store, &entry).await.unwrap();
    let expected = by_family(&content);
    assert_eq!(drain_families(&part, None).await.unwrap(), expected);
    let named = drain_families(&part, Some("family_0037")).await.unwrap();
    let of_name = expected.into_iter().filter(|((family, _), _)| family == "family_0037");
    assert_eq!(named, of_name.collect());
    assert!(drain_families(&part, Some("family_9999")).await.unwrap().is_empty());
    let with_labels = drain_metadata(&part, &TenantId::default(), None).await;
    assert!(
        matches!(with_labels, Err(ArchiveError::Corrupt { .. })),
        "{with_labels:?}"
    );
}

/// One family of so many series that its metadata comes in many batches: each series is looked up once, none in passing.
#[tokio::test]
async fn labels_are_read_of_the_series_that_have_metadata_and_no_others() {
    const SERIES: usize = 30_000;
    let tenant = TenantId::default();
    let mut writer = writer(small());
    let labels = |i: usize| Labels::from_pairs([("__name__", "up"), ("job", format!("{i:06}").as_str())]).unwrap();
    for i in 0..SERIES {
        let seen = seen_at(&Metadata::default(), (0, i as i64));
        writer
            .push(&tenant, &labels(i), &SeriesRuns::default(), &[seen])
            .unwrap();
    }
    let (summary, files) = writer.finish().unwrap();
    let (store, entry) = stored(&summary, files.into_iter().collect()).await;
    let part = PartReader::open(store, &entry).await.unwrap();
    let mut pass = MetadataPass::new(part.files.clone(), tenant.clone(), Asked::All);
    let (mut batches, mut looked_up) = (0, 0);
    while let Some(rows) = pass.next().await.unwrap() {
        let places: Vec<_> = rows.iter().filter_map(|row| row.series).collect();
        let windows = windows(&part.files.series, &places).unwrap();
        let ranges: Vec<_> = windows.iter().flat_map(|window| window.rows.clone()).collect();
        let count: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        assert_eq!(count, places.len());
        assert!(
            ranges.len() <= 100,
            "neighbours are read together: {} ranges",
            ranges.len()
        );
        (batches, looked_up) = (batches + 1, looked_up + count);
    }
    assert!(batches > 5);
    assert_eq!(looked_up, SERIES);
    let mut cursor = part.metadata(&tenant, None);
    let mut next = 0;
    while let Some(batch) = cursor.next().await.unwrap() {
        for entry in batch {
            assert_eq!((entry.series, entry.seen.last_seen), (Some(labels(next)), next as i64));
            next += 1;
        }
    }
    assert_eq!(next, SERIES);
}

/// Labels must never be those of another series, whatever a damaged part says.
#[tokio::test]
async fn metadata_with_the_series_table_of_another_part_is_corrupt() {
    let part_of = |families, series| fill_all(writer(small()), &many_families(families, series));
    let (few, many, shorter) = (part_of(5, 300), part_of(7, 300), part_of(5, 200));
    for (own, other) in [(&few, &many), (&many, &few), (&few, &shorter)] {
        let (mut summary, mut files): (_, Files) = own.clone();
        let is_series = |file: &&crate::FileSummary| file.kind == FileKind::Series;
        let series = other.0.files.iter().find(is_series).unwrap().clone();
        summary.files.retain(|file| file.kind != FileKind::Series);
        summary.files.push(series);
        files.insert(FileKind::Series, other.1[&FileKind::Series].clone());
        let (store, entry) = stored(&summary, files).await;
        let part = PartReader::open(store, &entry).await.unwrap();
        let found = drain_metadata(&part, &TenantId::default(), None).await;
        assert!(matches!(found, Err(ArchiveError::Corrupt { .. })), "{found:?}");
    }
}
