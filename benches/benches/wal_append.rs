//! Appending to the write-ahead log: records with the body of a request of 2,000 samples through group commit.
//!
//! `disk` is durable and shows the disk; `no_sync` leaves the syncs out and shows the CPU of the log and of its writes. With 4 and
//! 16 records in flight a group commit serves several.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emberkeep_benches::{NoSyncFs, Protocol, Requests, Workload};
use emberkeep_disk::{FileSystem, RealFs};
use emberkeep_model::TenantId;
use emberkeep_wal::{Options, Protocol as WalProtocol, Record, Verdict, Wal, WalId};
use tempfile::TempDir;

const SAMPLES: usize = 2_000;
/// Records after which a fresh log is begun, so that a run needs little disk.
const RECORDS_MAX: u64 = 2_000;

fn begin(fs: &Arc<dyn FileSystem>) -> Result<(Wal, TempDir)> {
    let directory = tempfile::tempdir()?;
    let fatal = Box::new(|error: &std::io::Error| panic!("the disk failed: {error}"));
    let wal = Wal::start(
        fs.clone(),
        directory.path(),
        WalId::from_bytes([7; 16]),
        1,
        Options::default(),
        fatal,
    )?;
    Ok((wal, directory))
}

/// Time for `records` appends with so many in flight.
fn append(fs: &Arc<dyn FileSystem>, record: &Record, in_flight: u64, records: u64) -> Duration {
    let mut time = Duration::ZERO;
    let mut left = records;
    while left > 0 {
        let here = left.min(RECORDS_MAX);
        let (wal, _directory) = begin(fs).expect("a temporary directory can be written");
        let begun = Instant::now();
        let mut appended = 0;
        while appended < here {
            let group = in_flight.min(here - appended);
            let pending: Vec<_> = (0..group).map(|_| wal.append(record.clone())).collect();
            for pending in pending {
                pending.wait().expect("there is space");
            }
            appended += group;
        }
        time += begun.elapsed();
        left -= here;
    }
    time
}

fn wal_append(criterion: &mut Criterion) {
    let workload = Workload::new(1, 10_000, 1_700_000_000_000);
    let record = Record {
        tenant: TenantId::default(),
        protocol: WalProtocol::V1,
        arrival: 1_700_000_000_000,
        verdict: Verdict::new(1),
        body: Bytes::from(Requests::new(&workload, 0..SAMPLES, Protocol::V1).body(SAMPLES)),
    };
    let systems: [(&str, Arc<dyn FileSystem>); 2] = [("disk", Arc::new(RealFs)), ("no_sync", Arc::new(NoSyncFs))];
    let mut group = criterion.benchmark_group("wal_append");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    for (name, fs) in systems {
        for in_flight in [1, 4, 16] {
            group.bench_function(format!("{name}/{in_flight}_in_flight"), |bencher| {
                bencher.iter_custom(|records| append(&fs, &record, in_flight, records));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = wal_append
}
criterion_main!(benches);
