//! Export: a scan of one window of two hours into a TSDB block on disk, index and syncs included; 2,000 series of 480 samples.
//!
//! Reading the block back and comparing it, as `export-tsdb` does, is in its own bench.

use std::time::Duration;

use anyhow::{Context, Result};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emberkeep_archive::Ulid;
use emberkeep_benches::{Parts, Workload};
use emberkeep_model::TenantId;
use emberkeep_reader::{Query, Scan, Selection};
use emberkeep_tsdb::{BLOCK_DURATION_MS, BlockReader, BlockWriter};

const SERIES: usize = 2_000;
const STEPS: u64 = 480;
const SAMPLES: u64 = SERIES as u64 * STEPS;

/// Writes the block of everything in `parts`; the temporary directory that it lies in goes with the return value.
async fn export(parts: &Parts) -> Result<tempfile::TempDir> {
    let output = tempfile::tempdir()?;
    let query = Query {
        tenant: TenantId::default(),
        range: parts.range(),
        selection: Selection::all(),
    };
    let mut scan = Scan::open(parts.store(), parts.entries(), &[], &query, 100).await?;
    let mut block = BlockWriter::create(output.path(), Ulid(1), parts.range())?;
    while let Some(series) = scan.next().await? {
        block.push(&series.labels, &series.runs)?;
    }
    let meta = block.finish()?.context("there are samples")?;
    anyhow::ensure!(
        meta.stats.num_samples == SAMPLES,
        "{} samples were exported",
        meta.stats.num_samples
    );
    Ok(output)
}

/// Reads the block back, every chunk and every sum.
fn verify(output: &tempfile::TempDir) -> Result<u64> {
    let mut block = BlockReader::open(&output.path().join(Ulid(1).to_string()))?;
    Ok(block.verify(|_labels, _run| {})?.num_samples)
}

fn benches(criterion: &mut Criterion) {
    // A window begins at a multiple of its duration.
    let workload = Workload::new(1, SERIES, 236_000 * BLOCK_DURATION_MS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let parts = runtime
        .block_on(Parts::write(&workload, &[0..240, 240..480]))
        .expect("an archive");
    let mut group = criterion.benchmark_group("export");
    group.throughput(Throughput::Elements(SAMPLES));
    group.bench_function("write_block", |bencher| {
        bencher.iter_with_large_drop(|| runtime.block_on(export(&parts)).expect("a block"));
    });
    let output = runtime.block_on(export(&parts)).expect("a block");
    group.bench_function("verify_block", |bencher| {
        bencher.iter(|| assert_eq!(verify(&output).expect("a whole block"), SAMPLES));
    });
    group.finish();
}

criterion_group! {
    name = export_benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = benches
}
criterion_main!(export_benches);
