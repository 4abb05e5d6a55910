//! Parts of level 1: one tenant without a column, digests of each series, and the same answers as ever.

use proptest::prelude::*;
use ulid::Ulid;

use emberkeep_model::{Counts, Histogram, Labels, Run, Sample, SeriesRuns, Span, TenantId, TimeRange};

use super::super::{Compaction, DescribedFile, PartInfo, PartOrigin, PartReader, PartSettings, PartWriter, ScanKinds};
use super::kinds::{AllContent, fill_all, many_of_all_kinds, read_back};
use super::layout::builder;
use super::{everything, query, run_async, runs, store_of};
use crate::digest::Digests;
use crate::{FileKind, PartEntry};

const DAY_MS: i64 = 86_400_000;

pub(super) fn compaction(tenant: &str, day: i32) -> Compaction {
    Compaction {
        level: 2,
        tenant: TenantId::parse(tenant).unwrap(),
        day,
        sources: vec![Ulid(1), Ulid(2)],
        masks: 3,
        committed_at: 1_700_000_000_000,
        merge: None,
    }
}

pub(super) fn compacted_writer(of: Compaction) -> PartWriter<'static, Vec<u8>> {
    let info = PartInfo {
        dataset: "d".to_owned(),
        ulid: Ulid(78),
        origin: PartOrigin::Compacted(of),
    };
    PartWriter::create(|_| Ok(Vec::new()), info, PartSettings::compacted()).unwrap()
}

/// All kinds, of one tenant and inside one day.
pub(super) fn one_day(count: usize, day: i32) -> AllContent {
    let start = i64::from(day) * DAY_MS;
    let mut content = AllContent::default();
    for ((_, labels), runs) in many_of_all_kinds(count).series {
        let mut moved = SeriesRuns::default();
        for sample in runs.samples.iter() {
            moved.samples.push(Sample {
                timestamp: start + sample.timestamp.rem_euclid(DAY_MS),
                ..sample
            });
        }
        for row in runs.histograms.iter() {
            moved.histograms.push_row(emberkeep_model::HistogramRow {
                timestamp: start + row.timestamp.rem_euclid(DAY_MS),
                ..row
            });
        }
        for exemplar in runs.exemplars.as_slice() {
            let mut exemplar = exemplar.clone();
            exemplar.timestamp = start + exemplar.timestamp.rem_euclid(DAY_MS);
            moved.exemplars.push(exemplar);
        }
        moved.settle();
        content.series.insert((TenantId::default(), labels), moved);
    }
    content
}

async fn opened(content: &AllContent, of: Compaction) -> (PartReader, PartEntry) {
    let (summary, files) = fill_all(compacted_writer(of.clone()), content);
    let entry = PartEntry::compacted(Ulid(78), &of, &summary);
    let store = store_of(&entry, files).await;
    (PartReader::open(store, &entry).await.unwrap(), entry)
}

#[test]
fn they_give_back_what_went_in_and_nothing_of_another_tenant() {
    run_async(async {
        let mut content = one_day(60, 19_000);
        let metadata = many_of_all_kinds(60).metadata;
        let tenant = TenantId::default();
        for (_, labels) in content.series.keys() {
            for seen in metadata.of_series(&tenant, labels) {
                content.metadata.add(&tenant, labels.metric_name(), Some(labels), &seen);
            }
        }
        let (part, entry) = opened(&content, compaction("anonymous", 19_000)).await;
        assert_eq!(read_back(&part, &everything("anonymous"), 1000).await.unwrap(), content);
        assert_eq!(
            read_back(&part, &everything("other"), 1000).await.unwrap(),
            AllContent::default()
        );
        let said = (entry.level, entry.day, entry.masks, entry.receiver);
        assert_eq!(said, (2, Some(19_000), 3, None));
    });
}

#[test]
fn digests_are_those_of_the_rows() {
    run_async(async {
        let content = one_day(60, -3);
        let (part, _) = opened(&content, compaction("anonymous", -3)).await;
        let mut query = everything("anonymous");
        query.kinds = ScanKinds::AllWithDigests;
        let mut scan = part.scan(query, 1000);
        for runs in content.series.values() {
            let found = scan.next().await.unwrap().unwrap();
            let mut digests = Digests::default();
            digests.add(runs);
            assert_eq!(found.digests, digests, "{}", found.labels);
        }
        // Without being asked for, they are not read.
        let mut scan = part.scan(everything("anonymous"), 1000);
        assert_eq!(scan.next().await.unwrap().unwrap().digests, Digests::default());
    });
}

#[test]
fn rows_of_another_day_or_tenant_are_refused() {
    let labels = Labels::from_pairs([("__name__", "up")]).unwrap();
    let at = |timestamp| {
        runs(&Run::from_iter([Sample {
            timestamp,
            value: 1.0,
            start_timestamp: 0,
        }]))
    };
    for (tenant, timestamp, fits) in [
        ("anonymous", 0, true),
        ("anonymous", DAY_MS - 1, true),
        ("anonymous", DAY_MS, false),
        ("anonymous", -1, false),
        ("other", 0, false),
    ] {
        let tenant = TenantId::parse(tenant).unwrap();
        let pushed = compacted_writer(compaction("anonymous", 0)).push(&tenant, &labels, &at(timestamp), &[]);
        assert_eq!(pushed.is_ok(), fits, "{tenant} {timestamp}");
    }
}

#[test]
fn every_file_says_where_it_comes_from() {
    run_async(async {
        let of = Compaction {
            merge: Some("m".to_owned()),
            ..compaction("team(2)", 7)
        };
        let mut writer = compacted_writer(compaction("team(2)", 7));
        writer.set_merge("m");
        let content = one_day(20, 7);
        for ((_, labels), runs) in &content.series {
            writer.push(&of.tenant, labels, runs, &[]).unwrap();
        }
        let (summary, files) = writer.finish().unwrap();
        let entry = PartEntry::compacted(Ulid(78), &of, &summary);
        let store = store_of(&entry, files.into_iter().collect()).await;
        for file in &entry.files {
            let location = file.location().unwrap();
            let described = DescribedFile::read(&*store, &location, file.bytes).await.unwrap();
            assert_eq!((described.kind, described.rows), (file.kind, file.rows));
            assert_eq!(
                (described.min_time, described.max_time),
                (entry.min_time, entry.max_time)
            );
            assert_eq!(described.info.origin, PartOrigin::Compacted(of.clone()));
            let tenants = (file.kind == FileKind::Series).then(|| entry.tenants.clone());
            assert_eq!(described.tenants, tenants);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn metadata_of_series_is_found_by_row(asked in prop::collection::btree_set(0_u64..70, 0..70), hours in 0_i64..3) {
        run_async(async {
            let mut content = one_day(60, 0);
            let all = many_of_all_kinds(60).metadata;
            let tenant = TenantId::default();
            let keys: Vec<Labels> = content.series.keys().map(|(_, labels)| labels.clone()).collect();
            for (number, labels) in keys.iter().enumerate() {
                for mut seen in all.of_series(&tenant, labels) {
                    seen.first_seen += hours * 3_600_000;
                    if number % 3 > 0 {
                        content.metadata.add(&tenant, labels.metric_name(), Some(labels), &seen);
                    }
                }
            }
            let (part, _) = opened(&content, compaction("anonymous", 0)).await;
            let mut cursor = part.series_metadata(&tenant);
            for row in asked {
                let mut found = Vec::new();
                cursor.at(row, &mut found).await.unwrap();
                let labels = usize::try_from(row).ok().and_then(|row| keys.get(row));
                let expected = labels.map(|labels| content.metadata.of_series(&tenant, labels));
                prop_assert_eq!(found, expected.unwrap_or_default());
            }
            Ok(())
        })?;
    }

    #[test]
    fn a_range_and_matchers_are_honoured(start in 0_i64..600_000, length in 0_i64..600_000) {
        run_async(async {
            let content = one_day(60, 0);
            let (part, _) = opened(&content, compaction("anonymous", 0)).await;
            let range = TimeRange { start, end: start + length };
            let query = super::super::ScanQuery { kinds: ScanKinds::All, ..query("anonymous", range, vec![]) };
            let found = read_back(&part, &query, 300).await.unwrap();
            for (key, runs) in &found.series {
                let mut expected = content.series[key].clone();
                expected.retain_range(range);
                prop_assert_eq!(&expected, runs);
            }
            Ok(())
        })?;
    }
}

/// Histograms of 40 buckets, of which each row has a few observations more than the one before.
fn growing(series: usize, rows: usize) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    let mut positive = vec![0_i64; 40];
    let mut sum = 0.0;
    for row in 0..rows {
        for observation in 0..3 {
            let bucket = (row * row + 7 * series + 11 * observation) % 40;
            positive[bucket] += 1;
            sum += (bucket as f64).sqrt();
        }
        let histogram = Histogram {
            counts: Counts::Integer {
                count: positive.iter().sum::<i64>().unsigned_abs(),
                zero_count: 0,
                positive: positive.clone(),
                negative: Vec::new(),
            },
            sum,
            positive_spans: vec![Span { offset: -3, length: 40 }],
            ..Histogram::default()
        };
        runs.histograms.push(10 * DAY_MS + 15_000 * row as i64, 0, &histogram);
    }
    runs
}

#[test]
fn histograms_have_longer_pages_of_what_never_changes() {
    let mut content = AllContent::default();
    for series in 0..8 {
        let labels = Labels::from_pairs([("series", format!("{series}").as_str())]).unwrap();
        let key = (TenantId::default(), labels);
        content.series.insert(key, growing(series, 2500));
    }
    let (summary, files) = fill_all(compacted_writer(compaction("anonymous", 10)), &content);
    let metadata = builder(&files[&FileKind::Histograms]).metadata().clone();
    let (mut of_sums, mut of_schemas) = (0, 0);
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let index = metadata.page_index_for_row_group(number);
        for (i, column) in group.columns().iter().enumerate() {
            let pages = index.page_locations(i).unwrap().len();
            match column.column_path().string().as_str() {
                "sum" => of_sums += pages,
                "schema" => of_schemas += pages,
                _ => {}
            }
        }
    }
    assert!((8..=12).contains(&of_sums), "{of_sums} pages of 2,048 rows");
    assert!(of_schemas <= 3, "{of_schemas} pages of one value");
    let bytes = summary
        .files
        .iter()
        .find(|file| file.kind == FileKind::Histograms)
        .unwrap()
        .bytes;
    let of_each = bytes as f64 / summary.histograms as f64;
    assert!(of_each < 16.0, "{of_each} B of each histogram, of which a sum is 7");
    run_async(async {
        let (part, _) = opened(&content, compaction("anonymous", 10)).await;
        assert_eq!(read_back(&part, &everything("anonymous"), 700).await.unwrap(), content);
    });
}
