//! Tests of the index: what is written is read back, with each postings list right.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use emberkeep_model::Labels;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::{ChunkMeta, TsdbError};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-c]{1,2}", 2 => "[a-z_]{1,8}", 1 => "\\PC{1,4}", 1 => Just("long".repeat(60))]
}

fn label_sets() -> impl Strategy<Value = BTreeSet<Labels>> {
    let set = vec((text(), text()), 1..6).prop_map(|pairs| {
        let unique: BTreeMap<String, String> = pairs.into_iter().collect();
        Labels::from_pairs(unique.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap()
    });
    btree_set(set, 0..120)
}

/// Chunks with gaps and lengths taken from a seed; every few series in a new segment.
fn chunks_of(position: usize, seed: i64) -> Vec<ChunkMeta> {
    let mut time = seed;
    (0..=position % 4)
        .map(|n| {
            let min_time = time + 1 + (seed & 0xff);
            let max_time = min_time + (position as i64 % 7) * 1_000_000;
            time = max_time;
            ChunkMeta {
                min_time,
                max_time,
                reference: ((position / 9) as u64) << 32 | (8 + position * 100 + n * 20) as u64,
            }
        })
        .collect()
}

fn written(sets: &BTreeSet<Labels>, seed: i64) -> (tempfile::TempDir, IndexReader) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let mut writer = IndexWriter::create(&path).unwrap();
    for (position, labels) in sets.iter().enumerate() {
        writer.push(labels, &chunks_of(position, seed)).unwrap();
    }
    writer.finish().unwrap();
    let reader = IndexReader::open(&path).unwrap();
    (directory, reader)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn series_and_postings_come_back(sets in label_sets(), seed in (i64::MIN / 2)..(i64::MAX / 2)) {
        let (directory, reader) = written(&sets, seed);
        prop_assert_eq!(reader.ids().len(), sets.len());
        let mut postings: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
        for (position, (labels, &id)) in sets.iter().zip(reader.ids()).enumerate() {
            let series = reader.series(id).unwrap();
            prop_assert_eq!(&series.labels, labels);
            prop_assert_eq!(series.chunks, chunks_of(position, seed));
            for pair in labels.iter() {
                postings.entry(pair).or_default().push(id);
            }
        }
        let pairs: Vec<_> = reader.pairs().collect();
        let wanted: Vec<_> = postings.keys().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        prop_assert_eq!(pairs, wanted);
        for ((name, value), ids) in &postings {
            prop_assert_eq!(&reader.postings(name, value).unwrap(), ids);
        }
        prop_assert!(reader.postings("a", "no such value").unwrap().is_empty());
        let files = std::fs::read_dir(directory.path()).unwrap().count();
        prop_assert_eq!(files, 1, "the spool is removed");
    }
}

#[test]
fn all_of_time_fits_one_series() {
    let labels = Labels::from_pairs([("a", "b")]).unwrap();
    let chunks = [
        ChunkMeta {
            min_time: i64::MIN,
            max_time: i64::MIN,
            reference: 8,
        },
        ChunkMeta {
            min_time: i64::MIN + 1,
            max_time: i64::MAX - 1,
            reference: u64::MAX >> 1,
        },
        ChunkMeta {
            min_time: i64::MAX,
            max_time: i64::MAX,
            reference: u64::MAX,
        },
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let mut writer = IndexWriter::create(&path).unwrap();
    writer.push(&labels, &chunks).unwrap();
    writer.finish().unwrap();
    let reader = IndexReader::open(&path).unwrap();
    assert_eq!(reader.series(reader.ids()[0]).unwrap().chunks, chunks);
    for id in [0, 1, reader.ids()[0] + 1, u32::MAX] {
        assert!(matches!(reader.series(id), Err(TsdbError::Corrupt { .. })), "{id}");
    }
}

#[test]
fn what_prometheus_would_refuse_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = IndexWriter::create(&directory.path().join("index")).unwrap();
    let set = |value| Labels::from_pairs([("a", value)]).unwrap();
    let chunk = |min_time, max_time, reference| ChunkMeta {
        min_time,
        max_time,
        reference,
    };
    writer.push(&set("b"), &[chunk(1, 2, 100)]).unwrap();
    let refused = |result| assert!(matches!(result, Err(TsdbError::Refused(_))), "{result:?}");
    refused(writer.push(&set("b"), &[chunk(1, 2, 200)]));
    refused(writer.push(&set("a"), &[chunk(1, 2, 200)]));
    refused(writer.push(&Labels::from_pairs([]).unwrap(), &[chunk(1, 2, 200)]));
    refused(writer.push(&set("c"), &[]));
    refused(writer.push(&set("c"), &[chunk(2, 1, 200)]));
    refused(writer.push(&set("c"), &[chunk(1, 2, 99)]));
    refused(writer.push(&set("c"), &[chunk(1, 2, 200), chunk(2, 3, 300)]));
    refused(writer.push(&set("c"), &[chunk(1, 2, 200), chunk(3, 3, 199)]));
    writer.push(&set("c"), &[chunk(1, 2, 200), chunk(3, 3, 300)]).unwrap();
    writer.finish().unwrap();
}

#[test]
fn the_order_of_symbols_and_series_is_bytewise() {
    // `a!` sorts before `a=` and `aa`, which text like `name=value,` would get wrong.
    let sets: BTreeSet<Labels> = [
        [("a", "b"), ("c", "d")],
        [("a!", "b"), ("c", "d")],
        [("a", "bb"), ("c", "")],
        [("aa", "Z"), ("b", "ü")],
    ]
    .iter()
    .map(|pairs| Labels::from_pairs(pairs.iter().copied()).unwrap())
    .collect();
    let (_directory, reader) = written(&sets, 0);
    let names: Vec<_> = reader
        .pairs()
        .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
        .collect();
    assert_eq!(names, ["a", "a", "a!", "aa", "b", "c"]);
}
