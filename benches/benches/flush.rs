//! Writing a level-0 part: 10,000 series of 40 samples, and the other way around 400 series of 1,000, and 100,000 of 4.
//!
//! Scale, columns, Parquet, ZSTD and checksum, into nothing: a disk is not measured here.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emberkeep_archive::{PartSettings, PartWriter, RunSlice, Ulid};
use emberkeep_benches::{Workload, parts};
use emberkeep_model::TenantId;

fn flush(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("flush");
    for (series, steps) in [(10_000, 40), (400, 1_000), (100_000, 4)] {
        let workload = Workload::new(1, series, 1_700_000_000_000);
        let sorted = parts::sorted(&workload).expect("valid labels");
        let all: Vec<_> = sorted
            .into_iter()
            .map(|(labels, number)| (labels, parts::run(&workload, number, 0..steps)))
            .collect();
        let tenant = TenantId::default();
        group.throughput(Throughput::Elements(series as u64 * steps));
        group.bench_function(format!("{series}_series_of_{steps}"), |bencher| {
            bencher.iter(|| {
                let info = parts::part_info("bench".to_owned(), Ulid(1));
                let writer = PartWriter::create(|_| Ok(std::io::sink()), info, PartSettings::default());
                let mut writer = writer.expect("valid settings");
                for (labels, run) in &all {
                    let pushed = writer.push_slice(&tenant, labels, RunSlice::from(run), &[]);
                    pushed.expect("series in order");
                }
                black_box(writer.finish().expect("a sink takes everything").0)
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = flush
}
criterion_main!(benches);
