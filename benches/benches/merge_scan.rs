//! The merge of parts: 2,000 series of 480 samples in one part, in eight that follow one another as flushes do, in two that are
//! equal as those of an HA pair under one name would be, and in four that overlap by half.
//!
//! Throughput counts the rows that are read, equal ones included.

use std::ops::Range;
use std::time::Duration;

use anyhow::Result;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emberkeep_benches::{Parts, Workload};
use emberkeep_model::{SeriesRuns, TenantId};
use emberkeep_reader::{Query, Scan, Selection};

const SERIES: usize = 2_000;
const STEPS: u64 = 480;

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

fn merge_scan(criterion: &mut Criterion) {
    let workload = Workload::new(1, SERIES, 1_700_000_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let in_turn = (0..8).map(|part| part * 60..(part + 1) * 60).collect();
    let overlapping = vec![0..192, 96..288, 192..384, 288..480];
    let shapes: [(&str, Vec<Range<u64>>); 4] = [
        ("1_part", std::iter::once(0..STEPS).collect()),
        ("8_in_turn", in_turn),
        ("2_equal", vec![0..STEPS, 0..STEPS]),
        ("4_overlapping", overlapping),
    ];
    let mut group = criterion.benchmark_group("merge_scan");
    for (name, slices) in shapes {
        let parts = runtime.block_on(Parts::write(&workload, &slices)).expect("an archive");
        assert_eq!(runtime.block_on(scan(&parts)).expect("a scan"), SERIES as u64 * STEPS);
        group.throughput(Throughput::Elements(parts.samples()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(scan(&parts)).expect("a scan"))
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = merge_scan
}
criterion_main!(benches);
