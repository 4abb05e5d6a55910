//! Export as `export-tsdb` does it: two windows of two hours into TSDB blocks on disk, index and syncs included, with and without
//! reading them back and comparing them; 2,000 series of 960 samples in one part, and in four.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emberkeep_benches::{Parts, Workload};
use emberkeep_reader::export::{
    Console, Export, ExportArguments, ExportOptions, Target, TargetFacts, Verification, progress,
};
use emberkeep_reader::{Selection, Sources};
use emberkeep_tsdb::BLOCK_DURATION_MS;

const SERIES: usize = 2_000;
const STEPS: u64 = 960;
const SAMPLES: u64 = SERIES as u64 * STEPS;

/// Exports everything in `parts`; the temporary directory that the blocks lie in goes with the return value.
async fn export(parts: &Parts, verification: Verification) -> Result<tempfile::TempDir> {
    let output = tempfile::tempdir()?;
    let export = Export {
        arguments: ExportArguments {
            from: "everything".to_owned(),
            block_duration: Some("2h".to_owned()),
            ..ExportArguments::default()
        },
        range: parts.range(),
        selection: Selection::all(),
        output: output.path().to_owned(),
        now_ms: 0,
        options: ExportOptions {
            parallel: 1,
            verification,
            ..ExportOptions::default()
        },
        target: Target::default(),
        facts: TargetFacts::default(),
    };
    let sources = Sources::new(Arc::clone(parts.store()), Vec::new());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        bar: progress(),
    };
    let summary = export.run(&sources, &mut console).await?;
    let samples: u64 = summary.blocks.iter().map(|block| block.stats.num_samples).sum();
    anyhow::ensure!(samples == SAMPLES, "{samples} samples were exported");
    Ok(output)
}

fn benches(criterion: &mut Criterion) {
    // A window begins at a multiple of its duration.
    let workload = Workload::new(1, SERIES, 236_000 * BLOCK_DURATION_MS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut group = criterion.benchmark_group("export");
    group.throughput(Throughput::Elements(SAMPLES));
    let one = 0..STEPS;
    let four = [0..240, 240..480, 480..720, 720..960];
    for (name, slices) in [("1_part", std::slice::from_ref(&one)), ("4_parts", &four[..])] {
        let parts = runtime.block_on(Parts::write(&workload, slices)).expect("an archive");
        for (how, verification) in [("written", Verification::LeftOut), ("verified", Verification::Full)] {
            group.bench_function(format!("{name}_{how}"), |bencher| {
                bencher.iter_with_large_drop(|| runtime.block_on(export(&parts, verification)).expect("blocks"));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = export_benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    targets = benches
}
criterion_main!(export_benches);
