//! Chunks that Prometheus' appenders made, byte for byte.

use std::convert::Infallible;

use emberkeep_model::{Run, SeriesRuns};
use emberkeep_tsdb::chunk::{decode, histogram, xor2};
use emberkeep_tsdb::{EncodedChunk, Encoding, SAMPLES_PER_CHUNK, SeriesEncoder};
use serde::Deserialize;

use crate::rows::{Row, bytes, float, json, runs_of, seen};

#[derive(Deserialize)]
struct Xor2Case {
    name: String,
    timestamps: Vec<i64>,
    values: Vec<String>,
    starts: Vec<i64>,
    chunk: String,
}

#[test]
fn xor2_chunks_are_the_bytes_of_prometheus() {
    let cases: Vec<Xor2Case> = json("xor2.json");
    assert!(cases.len() > 150);
    for case in cases {
        let values: Vec<f64> = case.values.iter().map(|hex| float(hex)).collect();
        let mut chunk = Vec::new();
        xor2::encode(&case.timestamps, &values, &case.starts, &mut chunk);
        assert_eq!(chunk, bytes(&case.chunk), "{}", case.name);
        assert_eq!(usize::from(xor2::count(&chunk).unwrap()), values.len());
        let mut run = Run::default();
        xor2::decode(&chunk, &mut run).unwrap();
        assert_eq!(run.timestamps, case.timestamps, "{}", case.name);
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&run.values), bits(&values), "{}", case.name);
        let any = case.starts.iter().any(|&start| start != 0);
        assert_eq!(
            run.start_timestamps,
            if any { case.starts } else { Vec::new() },
            "{}",
            case.name
        );
    }
}

#[derive(Deserialize)]
struct HistogramCase {
    name: String,
    encoding: u8,
    sent: Vec<Row>,
    chunks: Vec<Chunk>,
}

#[derive(Deserialize)]
struct Chunk {
    data: String,
    #[serde(default)]
    read: Vec<Row>,
}

fn encoded(runs: &SeriesRuns) -> Vec<(Encoding, Vec<u8>)> {
    let mut chunks = Vec::new();
    let mut sink = |chunk: EncodedChunk<'_>| {
        chunks.push((chunk.encoding, chunk.data.to_vec()));
        Ok::<(), Infallible>(())
    };
    let mut encoder = SeriesEncoder::with_start_timestamps();
    encoder.push(&runs.samples, &runs.histograms, &mut sink).unwrap();
    encoder.finish(&mut sink).unwrap();
    chunks
}

/// A chunk of counters without what its header says of resets, which we leave to Prometheus to find out.
fn without_reset_bits(encoding: Encoding, mut data: Vec<u8>) -> Vec<u8> {
    let at = if encoding.has_start_timestamps() { 0 } else { 2 };
    if data[at] >> 6 != 0b11 {
        data[at] &= 0x3f;
    }
    data
}

#[test]
fn histogram_chunks_of_prometheus_are_read() {
    let cases: Vec<HistogramCase> = json("histograms.json");
    let mut encodings = Vec::new();
    for case in cases {
        let encoding = Encoding::from_byte(case.encoding).unwrap();
        encodings.push(case.encoding);
        let mut from = 0;
        for chunk in &case.chunks {
            let data = bytes(&chunk.data);
            let count = usize::from(histogram::count(encoding, &data).unwrap());
            let mut runs = SeriesRuns::default();
            decode(encoding, &data, &mut runs.samples, &mut runs.histograms).unwrap();
            let sent = &case.sent[from..from + count];
            from += count;
            if chunk.read.is_empty() {
                let times: Vec<_> = seen(&runs).into_iter().map(|(t, st, _)| (t, st)).collect();
                let expected: Vec<_> = sent.iter().map(|row| (row.t, row.st)).collect();
                assert_eq!(times, expected, "{}", case.name);
            } else {
                let expected: Vec<_> = chunk.read.iter().map(Row::seen).collect();
                assert_eq!(seen(&runs), expected, "{} in encoding {}", case.name, case.encoding);
            }
        }
        assert_eq!(from, case.sent.len());
    }
    encodings.sort_unstable();
    encodings.dedup();
    assert_eq!(encodings, [2, 3, 5, 6]);
}

#[test]
fn histogram_chunks_are_the_bytes_of_prometheus() {
    let cases: Vec<HistogramCase> = json("histograms.json");
    let mut compared = 0;
    for case in cases {
        let encoding = Encoding::from_byte(case.encoding).unwrap();
        let starts = case.sent.iter().any(|row| row.st != 0);
        if starts != encoding.has_start_timestamps() || case.sent.len() > SAMPLES_PER_CHUNK {
            continue;
        }
        let ours = encoded(&runs_of(&case.sent));
        let ours: Vec<_> = ours
            .into_iter()
            .map(|(encoding, data)| (encoding, without_reset_bits(encoding, data)))
            .collect();
        let theirs: Vec<_> = case
            .chunks
            .iter()
            .map(|chunk| (encoding, without_reset_bits(encoding, bytes(&chunk.data))))
            .collect();
        assert_eq!(ours, theirs, "{} in encoding {}", case.name, case.encoding);
        compared += 1;
    }
    assert!(compared > 80, "{compared} cases");
}
