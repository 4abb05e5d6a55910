//! The limits of remote read: each tells which it is, and an answer that passes one is never a shorter answer.

use std::time::Duration;

use emberkeep_model::{Run, TenantId};
use emberkeep_reader::ReaderSettings;
use reqwest::{Response, StatusCode};

use crate::answers::{SAMPLED, STREAMED, decode_sampled, decode_streamed, post, query};
use crate::histograms;
use crate::support::{Rows, TestArchive, float, floats, histogram, labels, sample, serve};

/// Reads to the end; whether it was a clean one.
async fn read_on(mut response: Response) -> (usize, bool) {
    let mut bytes = 0;
    loop {
        match response.chunk().await {
            Ok(Some(more)) => bytes += more.len(),
            Ok(None) => return (bytes, true),
            Err(_) => return (bytes, false),
        }
    }
}

/// 20 series: half with 10 floats, half with 10 histograms.
async fn small_archive() -> TestArchive {
    let mut archive = TestArchive::new();
    let mut rows = Rows::new();
    for series in 0..20 {
        let name = format!("m{series:02}");
        for i in 0..10 {
            let row = if series % 2 == 0 {
                sample(i * 1_000, i as f64)
            } else {
                histogram(i * 1_000, histograms::counter(i))
            };
            rows.push((TenantId::default(), labels(&[("__name__", name.as_str())]), row));
        }
    }
    archive.flush(&rows).await;
    archive
}

/// Hundreds of series without a pattern in their values: megabytes of answer.
async fn large_archive(series: u64, samples: u64) -> TestArchive {
    let mut archive = TestArchive::new();
    let runs = (0..series).map(|series| {
        let name = format!("m{series:04}");
        let wild = |i: u64| f64::from_bits((series * samples + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2);
        let run: Run = (0..samples).map(|i| float(i as i64 * 1_000, wild(i))).collect();
        (TenantId::default(), labels(&[("__name__", name.as_str())]), floats(run))
    });
    archive.flush_runs(runs.collect::<Vec<_>>()).await;
    archive
}

#[tokio::test]
async fn a_limit_that_is_passed_says_which_it_is() {
    let archive = small_archive().await;
    let all = || vec![query(0, 100_000, &[])];
    let default = ReaderSettings::default;
    for (settings, accepted, said) in [
        (
            ReaderSettings {
                sample_limit: 199,
                ..default()
            },
            SAMPLED,
            "--read.sample-limit",
        ),
        (
            ReaderSettings {
                series_limit: 19,
                ..default()
            },
            SAMPLED,
            "--read.series-limit",
        ),
        (
            ReaderSettings {
                series_limit: 19,
                ..default()
            },
            STREAMED,
            "--read.series-limit",
        ),
        (
            ReaderSettings {
                part_limit: 0,
                ..default()
            },
            STREAMED,
            "--read.part-limit",
        ),
        (
            ReaderSettings {
                streamed_bytes_max: 1_000,
                ..default()
            },
            STREAMED,
            "--read.streamed-size-limit",
        ),
    ] {
        let url = serve(archive.reader(Vec::new(), settings)).await;
        let response = post(&url, all(), &[accepted]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let text = response.text().await.unwrap();
        assert!(text.contains(said), "{text}");
    }
    // At the limit is not beyond it, and each query counts for itself.
    let exact = ReaderSettings {
        sample_limit: 200,
        series_limit: 20,
        part_limit: 1,
        ..default()
    };
    let url = serve(archive.reader(Vec::new(), exact)).await;
    let twice = || vec![query(0, 100_000, &[]), query(0, 100_000, &[])];
    let sampled = post(&url, twice(), &[SAMPLED]).await.bytes().await.unwrap();
    assert!(decode_sampled(&sampled).iter().all(|series| series.len() == 20));
    let streamed = post(&url, twice(), &[STREAMED]).await.bytes().await.unwrap();
    assert!(decode_streamed(&streamed, 2).iter().all(|series| series.len() == 20));
    // The samples of a streamed answer are not in memory together, and have no limit.
    let few = ReaderSettings {
        sample_limit: 1,
        ..default()
    };
    let url = serve(archive.reader(Vec::new(), few)).await;
    assert_eq!(post(&url, twice(), &[STREAMED]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_limit_that_is_passed_after_the_first_byte_aborts_the_answer() {
    let archive = large_archive(200, 1_000).await;
    let settings = ReaderSettings {
        streamed_bytes_max: 1_000_000,
        sampled_bytes_max: 1_000_000,
        ..ReaderSettings::default()
    };
    let url = serve(archive.reader(Vec::new(), settings)).await;
    let all = || vec![query(0, i64::MAX, &[])];
    let response = post(&url, all(), &[STREAMED]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let (bytes, is_whole) = read_on(response).await;
    assert!(!is_whole && bytes <= 1_000_000, "{bytes}");
    // A sampled answer is counted before it is sent.
    let response = post(&url, all(), &[SAMPLED]).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(response.text().await.unwrap().contains("--read.sampled-size-limit"));
}

#[tokio::test]
async fn a_query_without_time_is_unavailable() {
    let archive = small_archive().await;
    let settings = ReaderSettings {
        timeout: Duration::ZERO,
        ..ReaderSettings::default()
    };
    let url = serve(archive.reader(Vec::new(), settings)).await;
    for accepted in [STREAMED, SAMPLED] {
        let response = post(&url, vec![query(0, 100_000, &[])], &[accepted]).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let text = response.text().await.unwrap();
        assert!(text.contains("--read.timeout"), "{text}");
    }
}

/// A client that takes nothing holds its place until its time is over; then others get it, and its answer does not end cleanly.
#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off() {
    let archive = large_archive(600, 4_000).await;
    let settings = ReaderSettings {
        concurrency: 1,
        timeout: Duration::from_secs(2),
        ..ReaderSettings::default()
    };
    let url = serve(archive.reader(Vec::new(), settings)).await;
    let all = || vec![query(0, i64::MAX, &[])];
    let stuck = post(&url, all(), &[STREAMED]).await;
    assert_eq!(stuck.status(), StatusCode::OK);
    // This one waits for the place, so its answer comes after the time of the first was over.
    let none = vec![query(0, i64::MAX, &[(0, "__name__", "none")])];
    let waited = post(&url, none, &[STREAMED]).await;
    assert!([StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(&waited.status()));
    let (bytes, is_whole) = read_on(stuck).await;
    assert!(!is_whole, "a clean end would say that these {bytes} bytes are all");
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_place_back() {
    let archive = large_archive(300, 2_000).await;
    let settings = ReaderSettings {
        concurrency: 1,
        ..ReaderSettings::default()
    };
    let url = serve(archive.reader(Vec::new(), settings)).await;
    for _ in 0..3 {
        let mut left = post(&url, vec![query(0, i64::MAX, &[])], &[STREAMED]).await;
        assert!(left.chunk().await.unwrap().is_some());
        drop(left);
    }
    let whole = post(&url, vec![query(0, i64::MAX, &[])], &[STREAMED])
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(decode_streamed(&whole, 1)[0].len(), 300);
}
