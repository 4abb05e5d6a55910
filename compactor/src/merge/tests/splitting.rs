//! Outputs that become too large are ended at a series, and many windows take several passes.

use emberkeep_archive::FileKind;
use emberkeep_model::{Labels, Sample, SeriesRuns, TenantId};

use super::content::Content;
use super::{Bucket, HOUR_MS, job, run_async, windows};

/// Series of incompressible floats.
fn noise(series: usize, samples: i64, start: i64, step: i64) -> Content {
    let mut content = Content::default();
    let mut random = 7_u64;
    for number in 0..series {
        let labels = Labels::from_pairs([("__name__", "noise"), ("n", format!("{number:05}").as_str())]).unwrap();
        let mut runs = SeriesRuns::default();
        for i in 0..samples {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            runs.samples.push(Sample {
                timestamp: start + i * step,
                value: f64::from_bits(random >> 2),
                start_timestamp: 0,
            });
        }
        content.add_runs(&TenantId::default(), &labels, &runs);
    }
    content
}

#[test]
fn an_output_is_split_by_series_at_its_target() {
    let bucket = Bucket::new();
    let content = noise(200, 500, 0, 1000);
    let entry = bucket.flush(1, &content);
    let mut job = job(vec![entry], windows(&["anonymous"], 2, 1));
    job.settings.sample_page_rows = 4096;
    job.settings.sample_group_rows = 8192;
    job.target_bytes = 200 << 10;
    run_async(async {
        let outcome = bucket.merge(&job).await.unwrap();
        assert!((4..=6).contains(&outcome.added.len()), "{}", outcome.added.len());
        let merge = outcome.added[0].merge.clone();
        assert!(merge.is_some());
        for entry in &outcome.added {
            assert!(entry.bytes() < job.target_bytes + (120 << 10), "{}", entry.bytes());
            assert_eq!(entry.merge, merge, "parts of one merge say so");
        }
        let series: u64 = outcome
            .added
            .iter()
            .map(|entry| entry.file(FileKind::Series).unwrap().rows)
            .sum();
        assert_eq!(series, 200, "no series is in two of them");
        assert_eq!(bucket.read_all(&outcome.added).await, content);
    });
}

#[test]
fn late_data_of_many_windows_takes_several_passes() {
    let bucket = Bucket::new();
    // One sample an hour: every window of every series.
    let content = noise(20, 24, 0, HOUR_MS);
    let entry = bucket.flush(1, &content);
    let job = job(vec![entry], windows(&["anonymous"], 2, 12));
    run_async(async {
        let outcome = bucket.merge(&job).await.unwrap();
        assert_eq!(outcome.added.len(), 12);
        assert!(
            outcome
                .added
                .iter()
                .all(|entry| entry.merge.is_none() && entry.samples() == 40)
        );
        assert_eq!((outcome.rows_read, outcome.rows_written), (480, 480));
        assert_eq!(bucket.read_all(&outcome.added).await, content);
    });
}
