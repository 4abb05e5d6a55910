//! What Prometheus wrote is read, and what is written is what Prometheus would write. The files come from `testdata/generate`.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use emberkeep_model::{Labels, Run, SeriesRuns, TimeRange};
use emberkeep_tsdb::chunk::xor;
use emberkeep_tsdb::index::IndexWriter;
use emberkeep_tsdb::{BLOCK_DURATION_MS, BlockReader, BlockWriter, windows};
use serde::Deserialize;
use ulid::Ulid;

#[derive(Deserialize)]
struct XorCase {
    name: String,
    timestamps: Vec<i64>,
    values: Vec<String>,
    chunk: String,
}

#[derive(Deserialize)]
struct Series {
    labels: Vec<(String, String)>,
    timestamps: Vec<i64>,
    values: Vec<String>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden").join(name)
}

fn floats(bits: &[String]) -> Vec<f64> {
    bits.iter()
        .map(|bits| f64::from_bits(u64::from_str_radix(bits, 16).unwrap()))
        .collect()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn series() -> Vec<(Labels, Run)> {
    let all: Vec<Series> = serde_json::from_slice(&fs::read(golden("series.json")).unwrap()).unwrap();
    let run = |s: &Series| Run {
        timestamps: s.timestamps.clone(),
        values: floats(&s.values),
        ..Run::default()
    };
    all.iter()
        .map(|s| {
            (
                Labels::from_pairs(s.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap(),
                run(s),
            )
        })
        .collect()
}

/// The only block in a directory.
fn block(name: &str) -> PathBuf {
    let blocks: Vec<PathBuf> = fs::read_dir(golden(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(blocks.len(), 1, "{blocks:?}");
    blocks[0].clone()
}

#[test]
fn xor_chunks_are_the_bytes_of_prometheus() {
    let cases: Vec<XorCase> = serde_json::from_slice(&fs::read(golden("xor.json")).unwrap()).unwrap();
    assert!(cases.len() > 40);
    for case in cases {
        let values = floats(&case.values);
        let mut chunk = Vec::new();
        xor::encode(&case.timestamps, &values, &mut chunk);
        assert_eq!(hex(&chunk), case.chunk, "{}", case.name);
        assert_eq!(usize::from(xor::count(&chunk).unwrap()), values.len());
        let mut run = Run::default();
        xor::decode(&chunk, &mut run).unwrap();
        assert_eq!(run.timestamps, case.timestamps, "{}", case.name);
        assert_eq!(bits(&run.values), bits(&values), "{}", case.name);
    }
}

#[test]
fn a_block_out_of_prometheus_head_is_read() {
    let mut reader = BlockReader::open(&block("head")).unwrap();
    let expected = series();
    assert_eq!(reader.series_count(), expected.len());
    let mut runs = SeriesRuns::default();
    for (position, (labels, samples)) in expected.iter().enumerate() {
        let series = reader.series(position).unwrap();
        assert_eq!(&series.labels, labels);
        reader.samples(&series, &mut runs).unwrap();
        let run = &runs.samples;
        assert_eq!(run.timestamps, samples.timestamps, "{labels}");
        assert_eq!(bits(&run.values), bits(&samples.values), "{labels}");
    }
    let stats = reader.verify(|_, _| {}).unwrap();
    assert_eq!(stats.num_series, expected.len() as u64);
    let odd = reader.index().postings("parity", "odd").unwrap();
    assert_eq!(odd.len(), 35);
    for id in odd {
        assert_eq!(reader.index().series(id).unwrap().labels.value_of("parity"), "odd");
    }
}

#[test]
fn an_index_of_the_same_series_is_the_same_file() {
    for name in ["head", "exact"] {
        let reader = BlockReader::open(&block(name)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("index");
        let mut writer = IndexWriter::create(&path).unwrap();
        for position in 0..reader.series_count() {
            let series = reader.series(position).unwrap();
            writer.push(&series.labels, &series.chunks).unwrap();
        }
        writer.finish().unwrap();
        assert!(
            fs::read(&path).unwrap() == fs::read(block(name).join("index")).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_block_of_the_same_samples_is_the_same_in_every_file() {
    let prometheus = block("exact");
    let ulid = Ulid::from_string(prometheus.file_name().unwrap().to_str().unwrap()).unwrap();
    let all = series();
    let start = all[0].1.timestamps[0];
    let window = windows(TimeRange { start, end: start + 1 }, BLOCK_DURATION_MS)
        .next()
        .unwrap();
    let output = tempfile::tempdir().unwrap();
    let mut writer = BlockWriter::create(output.path(), ulid, window).unwrap();
    for (labels, samples) in &all {
        let runs = SeriesRuns {
            samples: samples.clone(),
            ..SeriesRuns::default()
        };
        writer.push(labels, &runs).unwrap();
    }
    let meta = writer.finish().unwrap().unwrap();
    let ours = output.path().join(ulid.to_string());
    for file in ["chunks/000001", "index", "tombstones", "meta.json"] {
        assert!(
            fs::read(ours.join(file)).unwrap() == fs::read(prometheus.join(file)).unwrap(),
            "{file}"
        );
    }
    let mut reader = BlockReader::open(&ours).unwrap();
    assert_eq!(reader.meta(), &meta);
    assert_eq!(reader.verify(|_, _| {}).unwrap(), meta.stats);
}
