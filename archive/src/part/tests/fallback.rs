//! Dictionaries that grow too large are given up in the middle of a row group, and nothing else changes.

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::file::reader::{FileReader, SerializedFileReader};

use emberkeep_model::{Labels, Sample, TenantId, TimeRange};

use super::super::{PartSettings, RunSlice};
use super::{Content, bits, drain, expected, fill, opened, query, writer};
use crate::FileKind;

/// Each series has names, values and start timestamps that no other has.
fn distinct() -> Content {
    let series = |i: i64| {
        let name = format!("metric_{i:06}_{}", "x".repeat(60));
        let own = format!("label_{i:06}_{}", "y".repeat(90));
        let labels = Labels::from_pairs([("__name__", name.as_str()), (own.as_str(), own.as_str())]).unwrap();
        let sample = |step: i64| Sample {
            timestamp: step * 15_000,
            value: (i * step) as f64,
            start_timestamp: 1 + i * 4 + step,
        };
        ((TenantId::default(), labels), (0..4).map(sample).collect())
    };
    (0..12_000).map(series).collect()
}

#[tokio::test]
async fn what_has_no_room_in_a_dictionary_comes_back() {
    let content = distinct();
    let everything = query("anonymous", TimeRange::ALL, vec![]);
    let part = opened(&content, PartSettings::default()).await;
    let found = drain(part.scan(everything.clone(), 5000), TimeRange::ALL)
        .await
        .unwrap();
    assert_eq!(bits(&found), bits(&expected(&content, &everything)));
}

#[test]
fn a_dictionary_that_is_too_large_is_given_up() {
    let (_, files) = fill(writer(PartSettings::default()), &distinct());
    for (kind, columns) in [
        (FileKind::Samples, vec!["start_timestamp"]),
        (
            FileKind::Series,
            vec!["metric_name", "labels.key_value.key", "labels.key_value.value"],
        ),
    ] {
        let file = SerializedFileReader::new(Bytes::from(files[&kind].clone())).unwrap();
        for chunk in file.metadata().row_group(0).columns() {
            let path = chunk.column_path().string();
            if columns.contains(&path.as_str()) {
                let pages = chunk.page_encoding_stats_mask().unwrap();
                for encoding in [Encoding::RLE_DICTIONARY, Encoding::PLAIN] {
                    assert!(pages.is_set(encoding), "{path} has no page in {encoding}");
                }
            }
        }
    }
}

#[test]
fn slices_that_are_no_run_are_refused() {
    let labels = Labels::from_pairs([("__name__", "up")]).unwrap();
    let slice = |timestamps, values, start_timestamps| RunSlice {
        timestamps,
        values,
        start_timestamps,
    };
    for wrong in [
        slice(&[1, 1], &[0.0, 1.0], &[]),
        slice(&[2, 1], &[0.0, 1.0], &[]),
        slice(&[1, 2], &[0.0], &[]),
        slice(&[1, 2], &[0.0, 1.0], &[5]),
        slice(&[], &[], &[]),
    ] {
        let mut writer = writer(PartSettings::default());
        assert!(
            writer.push_slice(&TenantId::default(), &labels, wrong, &[]).is_err(),
            "{wrong:?}"
        );
    }
}
