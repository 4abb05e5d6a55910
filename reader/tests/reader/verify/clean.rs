//! What is whole is proven: random archives, merged and not, and what is exported from them.

use std::sync::Arc;

use emberkeep_model::{STALE_MARKER_BITS, Sample, TenantId};
use emberkeep_reader::verify::Level;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{archive, assert_proven, export, merge, of_archive, of_blocks, rows};
use crate::histograms::{self, SORTS};
use crate::support::{Row, Rows, exemplar, labels, runtime};

/// Few times and values, so that duplicates and conflicts are common, over three windows.
fn some_rows() -> impl Strategy<Value = Rows> {
    let values = [
        0,
        1 << 63,
        0x3ff0_0000_0000_0000,
        STALE_MARKER_BITS,
        0x7ff8_0000_0000_0001,
    ];
    let time = || (0..18i64).prop_map(|n| n * 1_200_000);
    let start = || prop_oneof![4 => Just(0i64), 1 => 1..3i64];
    let row = prop_oneof![
        3 => (time(), prop::sample::select(values.to_vec()), start()).prop_map(|(timestamp, bits, start_timestamp)| {
            Row::Float(Sample { timestamp, value: f64::from_bits(bits), start_timestamp })
        }),
        2 => (time(), 0..SORTS, start()).prop_map(|(time, sort, start)| {
            Row::Histogram(time, start, Arc::new(histograms::sort(sort)))
        }),
        1 => time().prop_map(|time| exemplar(time, 1.0, &[("id", "x")])),
    ];
    prop::collection::vec((0..6usize, 0..5usize, row), 1..80).prop_map(|rows| {
        let made = rows.into_iter().map(|(tenant, series, row)| {
            let tenant = TenantId::parse(if tenant == 0 { "other" } else { "anonymous" }).unwrap();
            let number = series.to_string();
            (tenant, labels(&[("__name__", "m"), ("series", &number)]), row)
        });
        made.collect()
    })
}

#[test]
fn no_false_alarm_in_a_hundred_random_archives() {
    let runtime = runtime();
    let config = Config {
        cases: 100,
        failure_persistence: None,
        ..Config::default()
    };
    let batches = (
        prop::collection::vec(some_rows(), 0..3),
        prop::collection::vec(some_rows(), 0..3),
    );
    TestRunner::new(config)
        .run(&batches, |(merged, after)| {
            runtime.block_on(async {
                let mut archive = archive().await;
                for rows in &merged {
                    archive.flush(rows).await;
                }
                if !merged.is_empty() {
                    merge(&archive, &merged.concat()).await;
                }
                for rows in &after {
                    archive.flush(rows).await;
                }
                if archive.committed() == 0 {
                    return Ok(());
                }
                assert_proven(&of_archive(&archive, Level::Restore).await);
                let output = export(&archive).await;
                if output.path().read_dir().unwrap().next().is_some() {
                    assert_proven(&of_blocks(&archive, output.path(), Level::Rows).await);
                    assert_proven(&of_blocks(&archive, output.path(), Level::Restore).await);
                }
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_says_how_much_was_proven_and_what_was_not() {
    let mut archive = archive().await;
    archive.flush(&rows()).await;
    let report = of_archive(&archive, Level::Restore).await;
    assert_proven(&report);
    let of = report.checked;
    assert_eq!((of.parts, of.parts_without_digests, of.files), (1, 1, 5));
    assert_eq!((of.part_series, of.part_rows, of.part_windows), (10, 2_410, 0));
    assert_eq!((of.blocks, of.compared_series, of.compared_rows), (2, 20, 2_400));
    assert_eq!(
        report.not_proven.len(),
        1,
        "a flush keeps no digests: {:?}",
        report.not_proven
    );
    merge(&archive, &rows()).await;
    let report = of_archive(&archive, Level::Rows).await;
    assert_proven(&report);
    let of = report.checked;
    assert_eq!((of.parts, of.parts_without_digests, of.part_rows), (1, 0, 2_410));
    // Two windows of each series, and one of its exemplars.
    assert_eq!(of.part_windows, 30);
    assert!(report.not_proven.is_empty());
    let mut text = Vec::new();
    report.write_text(&mut text).unwrap();
    assert!(String::from_utf8(text).unwrap().contains("proven     at level `rows`"));
}

#[tokio::test]
async fn nothing_is_no_proof() {
    let archive = archive().await;
    let sources = emberkeep_reader::Sources::new(Arc::clone(&archive.store), Vec::new());
    let bar = indicatif::ProgressBar::hidden();
    assert!(super::verify(Level::Files).archive(&sources, &bar).await.is_err());
    let empty = tempfile::tempdir().unwrap();
    let checked = super::verify(Level::Rows).exported(&sources, empty.path(), &bar).await;
    assert!(checked.is_err());
}
