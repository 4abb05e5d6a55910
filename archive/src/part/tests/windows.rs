//! What a scan holds of rows that may be of any size.

use std::sync::Arc;

use emberkeep_model::{Exemplar, HistogramRun, Labels, SeriesRuns, TenantId, TimeRange};

use super::super::row_kind::RowKind;
use super::super::row_window::{RowFile, RowWindow};
use super::super::{PartReader, PartSettings};
use super::histograms::{histogram, many_histograms};
use super::{stored, writer};

/// A part with one series for each run of histograms.
async fn part(runs: Vec<HistogramRun>) -> PartReader {
    let mut writer = writer(PartSettings::default());
    for (i, histograms) in runs.into_iter().enumerate() {
        let labels = Labels::from_pairs([("series", format!("{i:05}").as_str())]).unwrap();
        let exemplars = (0..50).map(|timestamp| Exemplar {
            timestamp,
            value: 1.0,
            labels: Labels::from_pairs([("trace_id", "x".repeat(120).as_str())]).unwrap(),
        });
        let runs = SeriesRuns {
            histograms,
            exemplars: exemplars.collect(),
            ..SeriesRuns::default()
        };
        writer.push(&TenantId::default(), &labels, &runs, &[]).unwrap();
    }
    let (summary, files) = writer.finish().unwrap();
    let (store, entry) = stored(&summary, files.into_iter().collect()).await;
    PartReader::open(store, &entry).await.unwrap()
}

/// Reads all rows in pieces of 10; the most that the window held.
async fn most_held<K: RowKind>(file: &RowFile, rows: u64, window_rows: usize) -> usize {
    let mut window = RowWindow::<K>::new(window_rows);
    let (mut most, mut read) = (0, 0);
    for start in (0..rows).step_by(10) {
        let mut out = K::default();
        let upcoming = (start + 10..rows)
            .step_by(10)
            .map(|start| start..(start + 10).min(rows));
        window
            .read(file, start..(start + 10).min(rows), upcoming, TimeRange::ALL, &mut out)
            .await
            .unwrap();
        most = most.max(window.held_bytes());
        read += out.count() as u64;
    }
    assert_eq!(read, rows);
    most
}

#[tokio::test]
async fn a_window_is_bounded_in_bytes_and_not_only_in_rows() {
    // A few thousand small histograms, then large ones: the average says little about either.
    let mut runs: Vec<HistogramRun> = (0..100).map(|i| many_histograms(i, 40)).collect();
    let mut large = HistogramRun::default();
    for at in 0..400 {
        large.push(at, 0, &histogram(3000));
    }
    runs.push(large);
    let part = part(runs).await;
    let files = Arc::clone(&part.files);
    let histograms = files.histograms.as_ref().unwrap();
    let all = most_held::<HistogramRun>(histograms, 4400, 1 << 20).await;
    assert!(all > 1 << 20, "{all}: the rows take more than the windows below may");
    // The memory of a vector may be twice what is in it.
    let held = most_held::<HistogramRun>(histograms, 4400, 1000).await;
    assert!(held < 400 << 10, "{held}");
    let exemplars = files.exemplars().await.unwrap().unwrap();
    let held = most_held::<emberkeep_model::ExemplarRun>(exemplars, 5050, 1000).await;
    assert!(held < 400 << 10, "{held}");
}
