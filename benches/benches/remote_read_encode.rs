//! Remote read from Parquet, in three steps: the scan alone, the XOR encoder alone, and the whole streamed answer over HTTP.
//!
//! 5,000 series of 240 samples in one part, and the same in four that follow one another. The client of the answer only counts bytes.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emberkeep_benches::{Connection, Parts, Server, Workload, parts};
use emberkeep_model::{Run, SeriesRuns, TenantId};
use emberkeep_proto::messages::prometheus::{
    LabelMatcher, Query as WireQuery, ReadRequest, label_matcher, read_request,
};
use emberkeep_proto::snappy;
use emberkeep_reader::{Query, Scan, Selection};
use emberkeep_tsdb::SAMPLES_PER_CHUNK;
use emberkeep_tsdb::chunk::xor;
use prost::Message;

const SERIES: usize = 5_000;
const STEPS: u64 = 240;
const SAMPLES: u64 = SERIES as u64 * STEPS;

/// Reads everything and counts it.
async fn scan(parts: &Parts) -> Result<u64> {
    let query = Query {
        tenant: TenantId::default(),
        range: parts.range(),
        selection: Selection::all(),
    };
    let mut scan = Scan::open(parts.store(), parts.entries(), &[], &query, 100).await?;
    let (mut piece, mut samples) = (SeriesRuns::default(), 0);
    while scan.next_series().await?.is_some() {
        while scan.next_piece(&mut piece).await? {
            samples += piece.samples.len() as u64;
        }
    }
    Ok(samples)
}

fn question(parts: &Parts) -> Vec<u8> {
    let matcher = LabelMatcher {
        r#type: label_matcher::Type::Eq.into(),
        name: "job".to_owned(),
        value: "checkout".to_owned(),
    };
    let query = WireQuery {
        start_timestamp_ms: parts.range().start,
        end_timestamp_ms: parts.range().end - 1,
        matchers: vec![matcher],
        hints: None,
    };
    let request = ReadRequest {
        queries: vec![query],
        accepted_response_types: vec![read_request::ResponseType::StreamedXorChunks.into()],
    };
    snappy::compress(&request.encode_to_vec())
}

fn remote_read_encode(criterion: &mut Criterion) {
    let workload = Workload::new(1, SERIES, 1_700_000_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("remote_read_encode");
    group.throughput(Throughput::Elements(SAMPLES));

    let runs: Vec<Run> = (0..SERIES)
        .map(|series| parts::run(&workload, series, 0..STEPS))
        .collect();
    let mut chunk = Vec::new();
    group.bench_function("xor_chunks", |bencher| {
        bencher.iter(|| {
            for run in &runs {
                let cuts = run
                    .timestamps
                    .chunks(SAMPLES_PER_CHUNK)
                    .zip(run.values.chunks(SAMPLES_PER_CHUNK));
                for (timestamps, values) in cuts {
                    chunk.clear();
                    xor::encode(timestamps, values, &mut chunk);
                    black_box(&chunk);
                }
            }
        });
    });
    for (name, slices) in [
        ("1_part", std::iter::once(0..240).collect()),
        ("4_parts", vec![0..60, 60..120, 120..180, 180..240]),
    ] {
        let parts = runtime.block_on(Parts::write(&workload, &slices)).expect("an archive");
        assert_eq!(runtime.block_on(scan(&parts)).expect("a scan"), SAMPLES);
        group.bench_function(format!("scan/{name}"), |bencher| {
            bencher.iter(|| runtime.block_on(scan(&parts)).expect("a scan"));
        });
        let server = Server::reader(parts.store().clone()).expect("a reader");
        let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n";
        let request = server.url("/api/v1/read").post(headers, &question(&parts));
        let mut connection = Connection::open(&server.url("")).expect("a connection");
        let mut answer = || -> Result<u64> {
            let mut bytes = 0;
            let status = connection.call(&request, |piece| {
                bytes += piece.len() as u64;
                Ok(())
            })?;
            ensure!(
                status == 200 && bytes > SAMPLES,
                "the reader answered {status} with {bytes} bytes"
            );
            Ok(bytes)
        };
        group.bench_function(format!("answer/{name}"), |bencher| {
            bencher.iter(|| answer().expect("an answer"))
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = remote_read_encode
}
criterion_main!(benches);
