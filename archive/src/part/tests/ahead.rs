//! Reading ahead: the same rows, fewer waits, and never more under way than was allowed.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::poll;
use proptest::prelude::*;

use emberkeep_model::{HistogramRun, Labels, MatchOp, Matcher, Run, Sample, SeriesRuns, TenantId, TimeRange};

use super::super::{AheadBytes, PartReader, PartScan, PartSettings};
use super::far_store::{FarStore, Traffic};
use super::histograms::many_histograms;
use super::{Content, bits, drain, expected, fill, query, run_async, small, stored, writer};

/// Enough for everything.
const PLENTY: AheadBytes = AheadBytes {
    rows: 64 << 20,
    series: 64 << 20,
};

/// Series with rows whose values are hard to compress.
fn content(series: usize, rows: i64) -> Content {
    let one = |number: usize| {
        let labels = [
            ("__name__", format!("metric_{}", number / 1000)),
            ("instance", format!("{:04}", number % 1000)),
        ];
        let labels = Labels::from_pairs(labels.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
        let seed = number as u64;
        let sample = |step: i64| Sample {
            timestamp: step * 15_000,
            value: f64::from_bits((seed * 7919 + step.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12),
            start_timestamp: if number.is_multiple_of(3) { 1 + step } else { 0 },
        };
        ((TenantId::default(), labels), (0..rows).map(sample).collect())
    };
    (0..series).map(one).collect()
}

async fn far(content: &Content, settings: PartSettings) -> (Arc<FarStore>, PartReader) {
    let (summary, files) = fill(writer(settings), content);
    let (store, entry) = stored(&summary, files).await;
    let far = FarStore::new(store);
    let part = PartReader::open(Arc::<FarStore>::clone(&far), &entry).await.unwrap();
    far.traffic();
    (far, part)
}

fn all() -> super::ScanQuery {
    query("anonymous", TimeRange::ALL, vec![])
}

fn ahead(part: &PartReader, window_rows: usize, most: AheadBytes) -> PartScan {
    let mut scan = part.scan(all(), window_rows).with_read_ahead(most);
    scan.expect_rows();
    scan
}

async fn traffic_of(far: &FarStore, scan: PartScan, content: &Content) -> Traffic {
    let found = drain(scan, TimeRange::ALL).await.unwrap();
    assert_eq!(bits(&found), bits(&expected(content, &all())));
    far.traffic()
}

#[tokio::test]
async fn what_comes_next_is_under_way_while_rows_are_read() {
    let content = content(3000, 40);
    let (far, part) = far(&content, small()).await;
    let before = traffic_of(&far, part.scan(all(), 4096), &content).await;
    let after = traffic_of(&far, ahead(&part, 4096, PLENTY), &content).await;
    assert!(before.most_under_way <= 4, "{before:?}");
    assert!(after.most_under_way > before.most_under_way, "{after:?}");
    // Without it each window is waited for; with it the first look at the table, at rows, and where nothing was known yet.
    assert!(after.rounds * 3 < before.rounds, "{before:?} {after:?}");
    assert!(after.requests < 2 * before.requests, "{before:?} {after:?}");
    assert!(4 * after.bytes < 5 * before.bytes, "{before:?} {after:?}");
}

#[tokio::test]
async fn no_more_is_under_way_than_was_allowed() {
    let content = content(3000, 40);
    let (far, part) = far(&content, small()).await;
    for rows in [128 << 10, 256 << 10, 1 << 20] {
        let most = AheadBytes { rows, series: 32 << 10 };
        let traffic = traffic_of(&far, ahead(&part, 1024, most), &content).await;
        // A window of the table that is one page is fetched whatever it has, with one behind it.
        assert!(
            traffic.most_bytes_under_way <= rows + (128 << 10),
            "{rows}: {traffic:?}"
        );
        assert!(traffic.most_under_way > 1, "{rows}: {traffic:?}");
    }
}

/// Does something, and counts it when it has to wait.
async fn noting_waits<T>(work: impl Future<Output = T>, waits: &mut usize) -> T {
    let mut work = pin!(work);
    match poll!(work.as_mut()) {
        Poll::Ready(done) => done,
        Poll::Pending => {
            *waits += 1;
            work.await
        }
    }
}

/// A flush of five minutes among many, which has the least share of what may be fetched ahead.
#[tokio::test]
async fn a_flush_with_a_small_share_is_waited_for_seldom() {
    let mut content = content(10_000, 20);
    let mut number = 1_u64;
    for run in content.values_mut() {
        for (at, value) in run.values.iter_mut().enumerate() {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Two bytes of most, and eight of some, which lie in a column of their own.
            *value = if at % 16 == 3 {
                f64::from_bits(number >> 3)
            } else {
                (number >> 48) as f64
            };
        }
        // Series do not begin at the same time, so what lies between two of them is no small step.
        let offset = (number >> 50).cast_signed();
        run.timestamps.iter_mut().for_each(|time| *time += offset);
        run.start_timestamps.clear();
    }
    let (far, part) = far(&content, PartSettings::default()).await;
    let most = AheadBytes {
        rows: 160 << 10,
        series: 64 << 10,
    };
    let mut scan = ahead(&part, 8192, most);
    let mut waits = 0;
    while let Some(series) = noting_waits(scan.next(), &mut waits).await.unwrap() {
        let mut run = Run::default();
        let rows = scan.samples(series.samples, TimeRange::ALL, &mut run);
        noting_waits(rows, &mut waits).await.unwrap();
        assert_eq!(run.len(), 20);
        // The other flushes have their turn.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
    let traffic = far.traffic();
    // The first look at the table and at rows; nothing after it.
    assert!(waits <= 2, "{waits}: {traffic:?}");
}

#[tokio::test]
async fn who_asks_for_series_alone_fetches_no_rows() {
    let content = content(2000, 40);
    let (far, part) = far(&content, small()).await;
    let mut scan = part.scan(all(), 4096).with_read_ahead(PLENTY);
    while scan.next().await.unwrap().is_some() {}
    let table = far.traffic();
    traffic_of(&far, ahead(&part, 4096, PLENTY), &content).await;
    let mut scan = part.scan(all(), 4096);
    while scan.next().await.unwrap().is_some() {}
    assert!(table.bytes <= far.traffic().bytes, "{table:?}");
}

#[tokio::test]
async fn a_few_series_cost_their_pages() {
    let content = content(3000, 40);
    // All rows in one group, in which the pages of three series lie apart.
    let settings = PartSettings {
        sample_group_rows: 1 << 20,
        ..small()
    };
    let (far, part) = far(&content, settings).await;
    let whole = traffic_of(&far, ahead(&part, 4096, PLENTY), &content).await;
    let matcher = || Matcher::new("instance", MatchOp::Equal, "0007").unwrap();
    let few = query("anonymous", TimeRange::ALL, vec![matcher()]);
    let mut scan = part.scan(few.clone(), 4096).with_read_ahead(PLENTY);
    scan.expect_rows();
    let found = drain(scan, TimeRange::ALL).await.unwrap();
    assert_eq!(bits(&found), bits(&expected(&content, &few)));
    let ahead = far.traffic();
    let found = drain(part.scan(few.clone(), 1 << 20), TimeRange::ALL).await.unwrap();
    assert_eq!(bits(&found), bits(&expected(&content, &few)));
    let asked = far.traffic();
    assert!(ahead.bytes * 2 < whole.bytes, "{ahead:?} {whole:?}");
    // Pages between those of two series are not fetched.
    assert!(asked.bytes * 2 < whole.bytes, "{asked:?} {whole:?}");
}

#[tokio::test]
async fn a_scan_that_is_left_off_ends_what_is_under_way() {
    let content = content(3000, 40);
    let (far, part) = far(&content, small()).await;
    let mut scan = ahead(&part, 4096, PLENTY);
    scan.next().await.unwrap().unwrap();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(far.traffic().under_way > 0, "something comes that was not asked for");
    drop(scan);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(far.traffic().under_way, 0);
}

#[tokio::test]
async fn what_fails_on_the_way_is_told_by_who_needs_it() {
    let content = content(3000, 40);
    let (far, part) = far(&content, small()).await;
    let mut scan = ahead(&part, 4096, PLENTY);
    let series = scan.next().await.unwrap().unwrap();
    far.fail();
    let error = scan.samples(series.samples, TimeRange::ALL, &mut Run::default()).await;
    assert!(matches!(error, Err(crate::ArchiveError::Store { .. })), "{error:?}");
}

#[tokio::test]
async fn histograms_come_ahead_as_well() {
    let mut writer = writer(PartSettings::default());
    let runs = |i: u64| SeriesRuns {
        histograms: many_histograms(i, 40),
        ..SeriesRuns::default()
    };
    for i in 0..300 {
        let labels = Labels::from_pairs([("series", format!("{i:05}").as_str())]).unwrap();
        writer.push(&TenantId::default(), &labels, &runs(i), &[]).unwrap();
    }
    let (summary, files) = writer.finish().unwrap();
    let (store, entry) = stored(&summary, files.into_iter().collect()).await;
    let far = FarStore::new(store);
    let part = PartReader::open(Arc::<FarStore>::clone(&far), &entry).await.unwrap();
    far.traffic();
    let mut rounds = Vec::new();
    for mut scan in [part.scan(all(), 256), ahead(&part, 256, PLENTY)] {
        scan.expect_rows();
        let mut i = 0;
        while let Some(series) = scan.next().await.unwrap() {
            let mut found = HistogramRun::default();
            scan.histograms(series.histograms, TimeRange::ALL, &mut found)
                .await
                .unwrap();
            assert_eq!(found, runs(i).histograms, "{i}");
            i += 1;
        }
        assert_eq!(i, 300);
        rounds.push(far.traffic().rounds);
    }
    assert!(rounds[1] * 2 < rounds[0], "{rounds:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is fetched ahead, and whichever series and pieces of them are read: the same rows.
    #[test]
    fn the_same_rows_come_with_it(
        series in 1_usize..900,
        rows in 1_i64..60,
        window_rows in prop::sample::select(vec![256_usize, 1000, 4096, 65536]),
        bytes in prop::sample::select(vec![0_u64, 1, 20 << 10, 60 << 10, 300 << 10, 8 << 20]),
        every in 1_usize..40,
        matched in prop::option::of(0_usize..200),
    ) {
        run_async(async {
            let content = content(series, rows);
            let (_far, part) = far(&content, small()).await;
            let matcher = |number| Matcher::new("instance", MatchOp::Equal, format!("{number:04}")).unwrap();
            let query = query("anonymous", TimeRange::ALL, matched.map(matcher).into_iter().collect());
            let mut scan = part.scan(query.clone(), window_rows).with_read_ahead(AheadBytes { rows: bytes, series: bytes });
            scan.expect_rows();
            let mut found = Vec::new();
            let mut number = 0_usize;
            while let Some(series) = scan.next().await.unwrap() {
                let mut run = Run::default();
                if number.is_multiple_of(every) {
                    let middle = series.samples.start + (series.samples.end - series.samples.start) / 2;
                    scan.samples(series.samples.start..middle, TimeRange::ALL, &mut run).await.unwrap();
                    scan.samples(middle..series.samples.end, TimeRange::ALL, &mut run).await.unwrap();
                    found.push((series.labels, run));
                }
                number += 1;
            }
            let expected: Vec<_> = expected(&content, &query).into_iter().step_by(every).collect();
            assert_eq!(bits(&found), bits(&expected));
        });
    }
}
