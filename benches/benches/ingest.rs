//! The whole way of a request: HTTP, snappy, decode, log, head append, answer; 2,000 samples of known series, one at a time.
//!
//! `disk` waits for an fdatasync each time; `no_sync` shows the CPU, client and loopback included. `new_series` sends each
//! request to a receiver that has seen none of its series.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emberkeep_benches::{Connection, NoSyncFs, Protocol, Requests, Server, Workload};
use emberkeep_disk::{FileSystem, RealFs};

const SAMPLES: usize = 2_000;
const SERIES: usize = 10_000;
/// Scrapes that are sent in turn.
const STEPS: usize = 40;

fn requests(server: &Server, protocol: Protocol, series: usize, count: usize) -> Vec<Vec<u8>> {
    let workload = Workload::new(1, series, 1_700_000_000_000);
    let mut requests = Requests::new(&workload, 0..series, protocol);
    let headers = format!(
        "Content-Type: {}\r\nContent-Encoding: snappy\r\n",
        protocol.content_type()
    );
    let url = server.url("/api/v1/write");
    (0..count)
        .map(|_| url.post(&headers, &requests.body(SAMPLES)))
        .collect()
}

fn send(connection: &mut Connection, request: &[u8]) -> Result<()> {
    let status = connection.call(request, |_| Ok(()))?;
    ensure!(status == 204, "the receiver answered {status}");
    Ok(())
}

fn known_series(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    let systems: [(&str, Arc<dyn FileSystem>); 2] = [("disk", Arc::new(RealFs)), ("no_sync", Arc::new(NoSyncFs))];
    for (name, fs) in systems {
        for (version, protocol) in [("1.0", Protocol::V1), ("2.0", Protocol::V2)] {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let server = Server::receiver(fs.clone(), directory.path()).expect("a receiver");
            let requests = requests(&server, protocol, SERIES, STEPS * SERIES / SAMPLES);
            let mut connection = Connection::open(&server.url("")).expect("a connection");
            let mut next = requests.iter().cycle();
            group.bench_function(format!("{version}/{name}"), |bencher| {
                bencher.iter(|| send(&mut connection, next.next().expect("endless")).expect("success"));
            });
        }
    }
    group.finish();
}

fn new_series(criterion: &mut Criterion) {
    const REQUESTS: usize = 50;
    let mut group = criterion.benchmark_group("ingest_new_series");
    group.throughput(Throughput::Elements((REQUESTS * SAMPLES) as u64));
    for (version, protocol) in [("1.0", Protocol::V1), ("2.0", Protocol::V2)] {
        group.bench_function(format!("{version}/no_sync"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut time = Duration::ZERO;
                for _ in 0..rounds {
                    let directory = tempfile::tempdir().expect("a temporary directory");
                    let server = Server::receiver(Arc::new(NoSyncFs), directory.path()).expect("a receiver");
                    let requests = requests(&server, protocol, REQUESTS * SAMPLES, REQUESTS);
                    let mut connection = Connection::open(&server.url("")).expect("a connection");
                    let begun = Instant::now();
                    for request in &requests {
                        send(&mut connection, request).expect("success");
                    }
                    time += begun.elapsed();
                }
                time
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    targets = known_series, new_series
}
criterion_main!(benches);
