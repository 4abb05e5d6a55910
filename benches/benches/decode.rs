//! Decoding of remote write: snappy block, borrowed decode and walk, per sample of a request of 2,000 series of ten labels.
//!
//! `prost` stands beside it as the yardstick. With the corpus beside the workspace (`../shared/corpus`), the bodies of a real
//! Prometheus, too.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Context, Result};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emberkeep_benches::{Protocol, Requests, Workload};
use emberkeep_proto::messages::{prometheus, write_v2 as messages_v2};
use emberkeep_proto::{SampleColumns, snappy, write_v1, write_v2};
use prost::Message;

const SAMPLES: usize = 2_000;
const LIMIT: usize = 256 << 20;
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus");

/// What a receiver reads of series that it knows: the place of their label bytes, and the samples. No label is parsed.
fn known_v1(message: &[u8], samples: &mut SampleColumns) -> usize {
    samples.truncate(0);
    let mut entries = write_v1::Entries::new(message);
    while let Some(entry) = entries.next_entry(&[], samples).expect("a well-formed request") {
        black_box(&entry);
    }
    samples.len()
}

/// The same of 2.0: the symbols once, then references and samples of each entry.
fn known_v2(message: &[u8], samples: &mut SampleColumns) -> usize {
    samples.truncate(0);
    let symbols = write_v2::symbols(message).expect("a well-formed request");
    let mut entries = write_v2::Entries::new(message, &symbols);
    while let Some(entry) = entries.next_entry(samples).expect("a well-formed request") {
        if let write_v2::Entry::Plain { refs, .. } = entry {
            for reference in write_v2::packed_refs(refs) {
                black_box(reference.expect("a varint"));
            }
        }
    }
    samples.len()
}

/// All of a request with each label parsed.
fn walk_v1_labels(message: &[u8]) -> u64 {
    let request = write_v1::Request::parse(message).expect("a well-formed request");
    let mut samples = 0;
    for series in request.series() {
        for label in series.labels() {
            black_box(label);
        }
        for sample in series.samples() {
            black_box(sample);
            samples += 1;
        }
    }
    samples
}

fn walk_v2_labels(message: &[u8]) -> u64 {
    let request = write_v2::Request::parse(message).expect("a well-formed request");
    let mut samples = 0;
    for series in request.series() {
        for label in series.labels() {
            let _ = black_box(label);
        }
        for sample in series.samples() {
            black_box(sample);
            samples += 1;
        }
    }
    samples
}

fn synthetic(criterion: &mut Criterion) {
    let workload = Workload::new(1, 10_000, 1_700_000_000_000);
    let message = |protocol| Requests::new(&workload, 0..SAMPLES, protocol).message(SAMPLES);
    let (v1, v2) = (message(Protocol::V1), message(Protocol::V2));
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    for (name, message) in [("1.0/snappy", &v1), ("2.0/snappy", &v2)] {
        let block = snappy::compress(message);
        let mut out = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| snappy::decompress_capped(black_box(&block), LIMIT, &mut out));
        });
    }
    let mut samples = SampleColumns::default();
    group.bench_function("1.0/known", |bencher| {
        bencher.iter(|| known_v1(black_box(&v1), &mut samples))
    });
    group.bench_function("2.0/known", |bencher| {
        bencher.iter(|| known_v2(black_box(&v2), &mut samples))
    });
    group.bench_function("1.0/labels", |bencher| bencher.iter(|| walk_v1_labels(black_box(&v1))));
    group.bench_function("2.0/labels", |bencher| bencher.iter(|| walk_v2_labels(black_box(&v2))));
    group.bench_function("1.0/prost", |bencher| {
        bencher.iter(|| prometheus::WriteRequest::decode(black_box(&v1[..])))
    });
    group.bench_function("2.0/prost", |bencher| {
        bencher.iter(|| messages_v2::Request::decode(black_box(&v2[..])))
    });
    group.finish();
}

fn recorded(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode_corpus");
    for (file, walk) in [
        ("prometheus-rw1.bin", walk_v1_labels as fn(&[u8]) -> u64),
        ("prometheus-rw2.bin", walk_v2_labels),
    ] {
        let path = Path::new(CORPUS).join(file);
        if !path.exists() {
            continue;
        }
        let bodies = bodies(&path).expect("the corpus is whole");
        let mut message = Vec::new();
        let mut all = || -> u64 {
            let each = bodies.iter().map(|body| {
                snappy::decompress_capped(body, LIMIT, &mut message).expect("a snappy block");
                walk(&message)
            });
            each.sum()
        };
        group.throughput(Throughput::Elements(all()));
        group.bench_function(file, |bencher| bencher.iter(&mut all));
    }
    group.finish();
}

/// Records of length (u32, little endian), four zeros, body.
fn bodies(path: &Path) -> Result<Vec<Vec<u8>>> {
    let file = std::fs::read(path)?;
    let mut rest = file.as_slice();
    let mut bodies = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let (body, tail) = tail.split_at_checked(length).context("a record is cut short")?;
        bodies.push(body.to_vec());
        rest = tail;
    }
    Ok(bodies)
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(std::time::Duration::from_millis(500)).measurement_time(std::time::Duration::from_secs(2));
    targets = synthetic, recorded
}
criterion_main!(benches);
