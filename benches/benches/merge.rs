//! A merge: parts of five minutes become one of two hours, read back included. Time for each sample.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emberkeep_archive::PartSettings;
use emberkeep_benches::Workload;
use emberkeep_benches::parts::Parts;
use emberkeep_compactor::merge::{self, MergeJob, Window};
use emberkeep_disk::{FileSystem, RealFs};
use emberkeep_model::{TenantId, TimeRange};

/// The start of a UTC day.
const START_MS: i64 = 1_699_920_000_000;

/// Scrapes of five minutes.
const STEPS: u64 = 20;

fn merge_parts(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("merge");
    group.sample_size(10);
    for (series, parts) in [(5_000, 24), (50_000, 6)] {
        let workload = Workload::new(1, series, START_MS);
        let slices: Vec<_> = (0..parts).map(|part| part * STEPS..(part + 1) * STEPS).collect();
        let parts = runtime.block_on(Parts::write(&workload, &slices)).expect("parts");
        let job = MergeJob {
            inputs: parts.entries().iter().map(|entry| (**entry).clone()).collect(),
            windows: vec![Window {
                tenant: TenantId::default(),
                level: 1,
                range: TimeRange {
                    start: START_MS,
                    end: START_MS + 7_200_000,
                },
            }],
            masks: Vec::new(),
            masks_through: 0,
            merge: None,
            target_bytes: 512 << 20,
            settings: PartSettings::compacted(),
            memory_bytes: 256 << 20,
        };
        let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
        let scratch = tempfile::tempdir().expect("a directory");
        group.throughput(Throughput::Elements(parts.samples()));
        group.bench_function(format!("{series} series, {} parts", slices.len()), |bencher| {
            bencher.iter(|| {
                let merged = merge::run(parts.store(), &fs, scratch.path(), &job, START_MS);
                runtime.block_on(merged).expect("a merge")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, merge_parts);
criterion_main!(benches);
