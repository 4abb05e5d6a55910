//! What the files look like to other readers, and what reading costs.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Encoding;
use parquet::file::metadata::PageIndexPolicy;

use emberkeep_model::{MatchOp, Matcher, Run, Sample, TimeRange};

use super::super::needles::Needles;
use super::super::series_pages::windows;
use super::super::{PartSettings, decimal, part_number};
use super::kinds::{fill_all, many_of_all_kinds};
use super::round_trip::many_series;
use super::{Content, bits, drain, expected, fill, opened, query, small, writer};
use crate::{FileKind, Ulid, crc32c};

pub(super) fn builder(bytes: &[u8]) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ParquetRecordBatchReaderBuilder::try_new_with_options(Bytes::copy_from_slice(bytes), options).unwrap()
}

/// All values of an integer column.
fn numbers(bytes: &[u8], column: &str) -> Vec<Option<i64>> {
    let batches = builder(bytes).build().unwrap().map(Result::unwrap);
    let column = |batch: arrow::record_batch::RecordBatch| {
        batch
            .column_by_name(column)
            .unwrap()
            .as_primitive::<Int64Type>()
            .iter()
            .collect::<Vec<_>>()
    };
    batches.flat_map(column).collect()
}

#[test]
fn the_columns_are_those_of_the_format() {
    let (_, files) = fill(writer(PartSettings::default()), &many_series(2, |_| 3));
    let columns = |bytes: &[u8]| -> Vec<String> {
        let schema = builder(bytes).parquet_schema().clone();
        let column = |leaf: &parquet::schema::types::ColumnDescPtr| {
            let optional = if leaf.max_def_level() > leaf.max_rep_level() {
                "?"
            } else {
                ""
            };
            let logical = leaf
                .logical_type_ref()
                .map(|logical| format!("{logical:?}"))
                .unwrap_or_default();
            format!("{} {}{optional} {logical}", leaf.path().string(), leaf.physical_type())
        };
        schema.columns().iter().map(column).collect()
    };
    let time = "Timestamp(TimestampType { is_adjusted_to_u_t_c: true, unit: MILLIS })";
    let normal = |columns: Vec<String>| -> Vec<String> {
        columns
            .into_iter()
            .map(|column| column.split(' ').take(2).collect::<Vec<_>>().join(" "))
            .collect()
    };
    let samples = columns(&files[&FileKind::Samples]);
    assert!(
        samples[3].to_lowercase().contains("millis"),
        "{} is not like {time}",
        samples[3]
    );
    assert_eq!(
        normal(samples),
        [
            "tenant BYTE_ARRAY",
            "part INT64",
            "series_id INT64",
            "timestamp INT64",
            "unscaled INT64?",
            "scale INT32",
            "raw_value DOUBLE?",
            "start_timestamp INT64?",
        ]
    );
    assert_eq!(
        normal(columns(&files[&FileKind::Series])),
        [
            "tenant BYTE_ARRAY",
            "part INT64",
            "series_id INT64",
            "metric_name BYTE_ARRAY",
            "labels.key_value.key BYTE_ARRAY",
            "labels.key_value.value BYTE_ARRAY",
            "min_time INT64",
            "max_time INT64",
            "samples_row_start INT64",
            "samples_row_count INT64",
            "histograms_row_start INT64",
            "histograms_row_count INT64",
            "exemplars_row_start INT64",
            "exemplars_row_count INT64",
        ]
    );
    let (_, files) = fill_all(writer(PartSettings::default()), &many_of_all_kinds(20));
    assert_eq!(
        normal(columns(&files[&FileKind::Histograms])),
        [
            "tenant BYTE_ARRAY",
            "part INT64",
            "series_id INT64",
            "timestamp INT64",
            "start_timestamp INT64?",
            "reset_hint INT32",
            "schema INT32",
            "zero_threshold DOUBLE",
            "sum DOUBLE",
            "count INT64?",
            "zero_count INT64?",
            "float_count DOUBLE?",
            "float_zero_count DOUBLE?",
            "positive_span_offsets.list.element INT32",
            "positive_span_lengths.list.element INT64",
            "positive_buckets.list.element INT64",
            "float_positive_buckets.list.element DOUBLE",
            "negative_span_offsets.list.element INT32",
            "negative_span_lengths.list.element INT64",
            "negative_buckets.list.element INT64",
            "float_negative_buckets.list.element DOUBLE",
            "custom_values.list.element DOUBLE",
        ]
    );
    assert_eq!(
        normal(columns(&files[&FileKind::Exemplars])),
        [
            "tenant BYTE_ARRAY",
            "part INT64",
            "series_id INT64",
            "timestamp INT64",
            "value DOUBLE",
            "labels.key_value.key BYTE_ARRAY",
            "labels.key_value.value BYTE_ARRAY",
        ]
    );
    assert_eq!(
        normal(columns(&files[&FileKind::Metadata])),
        [
            "tenant BYTE_ARRAY",
            "part INT64",
            "family BYTE_ARRAY",
            "series_id INT64?",
            "series_row INT64?",
            "type BYTE_ARRAY",
            "unit BYTE_ARRAY",
            "help BYTE_ARRAY",
            "first_seen INT64",
            "last_seen INT64",
        ]
    );
}

/// What is wrong in statistics of doubles, and of no use in those of lists, is not there.
#[test]
fn doubles_lists_and_maps_have_no_statistics() {
    let (_, files) = fill_all(writer(PartSettings::default()), &many_of_all_kinds(20));
    for (kind, bytes) in &files {
        let metadata = builder(bytes).metadata().clone();
        let group = metadata.row_group(0);
        let index = metadata.page_index_for_row_group(0);
        for (leaf, chunk) in group.columns().iter().enumerate() {
            let path = chunk.column_path().string();
            let is_bare = chunk.column_type() == parquet::basic::Type::DOUBLE || path.contains('.');
            if is_bare {
                assert!(
                    chunk.statistics().is_none() && index.column_index(leaf).is_none(),
                    "{kind:?} {path}"
                );
            }
            assert!(index.offset_index(leaf).is_some(), "{kind:?} {path}");
            if path.contains("_buckets") || path.contains("custom_values") {
                assert!(chunk.encodings().any(|used| used == Encoding::PLAIN), "{path}");
                assert!(chunk.encodings().all(|used| used != Encoding::RLE_DICTIONARY), "{path}");
            }
        }
    }
}

#[test]
fn sizes_and_checksums_are_those_of_the_files() {
    let (summary, files) = fill(writer(PartSettings::default()), &many_series(50, |i| 1 + i % 3));
    for file in &summary.files {
        let bytes = &files[&file.kind];
        assert_eq!((file.bytes, file.crc32c), (bytes.len() as u64, crc32c(bytes)));
        assert_eq!(
            file.rows,
            u64::try_from(builder(bytes).metadata().file_metadata().num_rows()).unwrap()
        );
    }
    assert_eq!((summary.min_time, summary.max_time), (0, 30_000));
    assert_eq!(summary.tenants["anonymous"].samples, summary.rows);
}

#[test]
fn every_file_says_what_it_is() {
    let (_, files) = fill(writer(PartSettings::default()), &many_series(1, |_| 2));
    for (bytes, kind) in [
        (&files[&FileKind::Samples], "samples"),
        (&files[&FileKind::Series], "series"),
    ] {
        let metadata = builder(bytes).metadata().clone();
        let pairs = metadata.file_metadata().key_value_metadata().unwrap().clone();
        assert_eq!(pairs.len(), 1, "no Arrow schema: the file is plain Parquet");
        let expected = format!(
            "{{\"version\":3,\"kind\":\"{kind}\",\"dataset\":\"d\",\"level\":0,\"receiver\":\"r\",\
             \"wal\":{{\"id\":\"w\",\"from\":3,\"to\":9}},\"ulid\":\"{}\",\"part\":{},\"min_time\":0,\"max_time\":15000",
            Ulid(77),
            part_number(Ulid(77)),
        );
        let tenants = r#","tenants":{"anonymous":{"min_time":0,"max_time":15000,"series":1,"samples":2,"histograms":0,"exemplars":0,"metadata":0}}"#;
        let expected = expected + if kind == "series" { tenants } else { "" } + "}";
        assert_eq!(
            (pairs[0].key.as_str(), pairs[0].value.as_deref()),
            ("emberkeep", Some(expected.as_str()))
        );
    }
}

#[test]
fn encodings_and_statistics_are_those_of_the_format() {
    let mut content = many_series(200, |_| 100);
    for run in content.values_mut() {
        run.values[7] = f64::NAN;
    }
    let (_, files) = fill(writer(PartSettings::default()), &content);
    let metadata = builder(&files[&FileKind::Samples]).metadata().clone();
    let group = metadata.row_group(0);
    for (column, encoding) in [
        (0, Encoding::RLE_DICTIONARY),
        (1, Encoding::RLE_DICTIONARY),
        (2, Encoding::RLE_DICTIONARY),
        (3, Encoding::DELTA_BINARY_PACKED),
        (4, Encoding::DELTA_BINARY_PACKED),
        (5, Encoding::RLE_DICTIONARY),
    ] {
        let chunk = group.column(column);
        assert!(
            chunk.encodings().any(|used| used == encoding),
            "{}: {:?}",
            chunk.column_path(),
            chunk.encodings().collect::<Vec<_>>()
        );
    }
    let index = metadata.page_index_for_row_group(0);
    assert!(
        group.column(6).statistics().is_none() && index.column_index(6).is_none(),
        "no statistics of raw values"
    );
    assert!((0..8).all(|column| index.offset_index(column).is_some()));
}

#[test]
fn pages_end_with_series_in_every_column() {
    let rows = |i: usize| 100 + i * 7 % 400;
    let content = many_series(400, rows);
    let (_, files) = fill(writer(PartSettings::default()), &content);
    let mut ends = vec![0];
    for run in content.values() {
        ends.push(ends[ends.len() - 1] + i64::try_from(run.len()).unwrap());
    }
    let metadata = builder(&files[&FileKind::Samples]).metadata().clone();
    let index = metadata.page_index_for_row_group(0);
    let first_rows = |column| -> Vec<i64> {
        index
            .page_locations(column)
            .unwrap()
            .iter()
            .map(|page| page.first_row_index)
            .collect()
    };
    let cuts = first_rows(3);
    assert!(cuts.len() > 5, "{cuts:?}");
    assert!(cuts.iter().all(|cut| ends.contains(cut)), "{cuts:?}");
    assert!(
        cuts.windows(2)
            .all(|pair| (16_384..20_480).contains(&(pair[1] - pair[0]))),
        "{cuts:?}"
    );
    assert!(
        (0..8).all(|column| first_rows(column) == cuts),
        "every column is cut at the same rows"
    );
}

#[test]
fn rows_of_a_series_are_where_the_series_table_says() {
    let content = many_series(100, |i| 1 + i % 90);
    let (_, files) = fill(
        writer(small()).with_ids(|_, labels| i64::try_from(labels.len()).unwrap()),
        &content,
    );
    let ids = numbers(&files[&FileKind::Series], "series_id");
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), 100, "colliding ids are resolved");
    let starts = numbers(&files[&FileKind::Series], "samples_row_start");
    let counts = numbers(&files[&FileKind::Series], "samples_row_count");
    let rows = numbers(&files[&FileKind::Samples], "series_id");
    for ((id, start), count) in ids.into_iter().zip(starts).zip(counts) {
        let start = usize::try_from(start.unwrap()).unwrap();
        let end = start + usize::try_from(count.unwrap()).unwrap();
        assert!(rows[start..end].iter().all(|row| *row == id));
    }
}

#[test]
fn a_run_has_one_scale_and_only_what_needs_it_is_raw() {
    let values = [1.5, 2.25, f64::NAN, -0.0, 0.1 + 0.2, 3.0];
    let sample = |(i, value): (usize, &f64)| Sample {
        timestamp: i64::try_from(i).unwrap(),
        value: *value,
        start_timestamp: 0,
    };
    let run: Run = values.iter().enumerate().map(sample).collect();
    let content: Content = BTreeMap::from([(many_series(1, |_| 1).into_keys().next().unwrap(), run)]);
    let (_, files) = fill(writer(PartSettings::default()), &content);
    assert_eq!(decimal::scale_of(&values), 2);
    assert_eq!(
        numbers(&files[&FileKind::Samples], "unscaled"),
        [Some(150), Some(225), None, None, None, Some(300)]
    );
}

#[tokio::test]
async fn a_metric_name_or_a_time_skips_pages_of_the_series_table() {
    let mut content = many_series(4000, |_| 2);
    for run in content.values_mut().skip(3900) {
        run.timestamps = vec![1 << 40, (1 << 40) + 1];
    }
    let part = opened(&content, small()).await;
    let pages = |query: &super::ScanQuery| -> usize {
        windows(&part.files.series, query, 0, (&Needles::default(), None))
            .unwrap()
            .iter()
            .map(|window| window.rows.len())
            .sum()
    };
    let everything = query("anonymous", TimeRange::ALL, vec![]);
    let all = pages(&everything);
    assert!(all >= 15, "{all}");
    let named = |value: &str| vec![Matcher::new("__name__", MatchOp::Equal, value).unwrap()];
    let one = query("anonymous", TimeRange::ALL, named("metric_57"));
    assert!(pages(&one) <= 2, "{}", pages(&one));
    let late = query(
        "anonymous",
        TimeRange {
            start: 1 << 40,
            end: i64::MAX,
        },
        vec![],
    );
    assert!(pages(&late) <= 2, "{}", pages(&late));
    assert_eq!(pages(&query("nobody", TimeRange::ALL, vec![])), 0);
    assert_eq!(pages(&query("anonymous", TimeRange::ALL, named("a"))), 0);
    for query in [everything, one, late] {
        let found = drain(part.scan(query.clone(), 5000), query.range).await.unwrap();
        assert_eq!(bits(&found), bits(&expected(&content, &query)));
    }
}
