//! Seeds into real archives: what comes out is what the blocks hold, once, whatever was there before and however often it is run.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use emberkeep_archive::{PartReader, ScanKinds, ScanQuery, Ulid};
use emberkeep_model::{Labels, Sample, SeriesRuns, TenantId, TimeRange};
use emberkeep_tsdb::BlockWriter;
use proptest::prelude::*;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::rows::Rows;
use super::*;
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};

type Content = BTreeMap<Labels, SeriesRuns>;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn runs(samples: impl IntoIterator<Item = (i64, f64)>) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    for (timestamp, value) in samples {
        runs.samples.push(Sample {
            timestamp,
            value,
            start_timestamp: 0,
        });
    }
    runs.settle();
    runs
}

/// Writes a block whose range holds all rows.
fn block(directory: &Path, number: u128, content: &Content) -> PathBuf {
    let ulid = Ulid::from_parts(1_000, number);
    let all = TimeRange {
        start: 0,
        end: NOW_MS + 10 * DAY_MS,
    };
    let mut writer = BlockWriter::create(directory, ulid, all).unwrap();
    for (labels, runs) in content {
        writer.push(labels, runs).unwrap();
    }
    writer.finish().unwrap();
    directory.join(ulid.to_string())
}

/// Everything that the archive answers for the tenant, and how many rows its parts have in all.
async fn held(archive: &Archive) -> (Content, u64) {
    let view = archive.catalog.refresh().await.unwrap();
    let (mut content, mut rows) = (Content::new(), 0);
    for part in &view.parts {
        let store = archive.catalog.store().clone();
        let reader = PartReader::open(store, part).await.unwrap();
        let query = ScanQuery {
            tenant: TenantId::default(),
            range: TimeRange::ALL,
            matchers: [].into(),
            kinds: ScanKinds::All,
        };
        let mut scan = reader.scan(query, 1 << 10);
        while let Some(next) = scan.next().await.unwrap() {
            let runs = content.entry(next.labels).or_default();
            rows += next.samples.end - next.samples.start;
            scan.samples(next.samples, TimeRange::ALL, &mut runs.samples)
                .await
                .unwrap();
        }
    }
    for runs in content.values_mut() {
        runs.settle();
    }
    (content, rows)
}

fn target<'a>(archive: &'a Archive, external: &[(&str, &str)]) -> SeedTarget<'a> {
    SeedTarget {
        catalog: &archive.catalog,
        tenant: TenantId::default(),
        external: ExternalLabels::new(external.iter().copied()).unwrap(),
        range: TimeRange::ALL,
        fills: Fills::Changes,
        scratch: archive.path().parent().unwrap().join("scratch"),
    }
}

async fn seed(archive: &Archive, directory: &Path, external: &[(&str, &str)]) -> SeedReport {
    let found = find_blocks(&[directory.to_owned()]).unwrap();
    from_blocks(found, &target(archive, external), |_| {}).await.unwrap()
}

/// Some series over three days, of a few values so that blocks agree and disagree.
fn contents() -> impl Strategy<Value = Vec<Content>> {
    let series = prop::sample::subsequence(vec!["a", "b", "m", "z"], 0..=4).prop_map(|names| {
        let pairs: Vec<_> = names
            .iter()
            .map(|name| (*name, "1"))
            .chain([("__name__", "up")])
            .collect();
        labels(&pairs)
    });
    let rows = prop::collection::vec((0..200_i64, 0..3_u8), 1..40);
    let rows = rows.prop_map(|rows| {
        let start = i64::from(TODAY - 3) * DAY_MS;
        runs(
            rows.into_iter()
                .map(|(step, value)| (start + step * DAY_MS / 70, f64::from(value))),
        )
    });
    prop::collection::vec(prop::collection::btree_map(series, rows, 1..6), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_in_the_blocks_is_in_the_archive_once(blocks in contents(), before in 0..3_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let archive = Archive::new();
            let external = [("m", "x"), ("zone", "eu")];
            let added = ExternalLabels::new(external).unwrap();
            let mut expected = Content::new();
            for (labels, runs) in blocks.iter().flatten() {
                expected.entry(added.add_to(labels)).or_default().append(runs);
            }
            for runs in expected.values_mut() {
                runs.settle();
            }
            let directory = TempDir::new().unwrap();
            for (number, content) in blocks.iter().enumerate() {
                block(directory.path(), number as u128, content);
            }
            // Some of the days are there from an earlier run that did not end.
            for day in 0..before {
                let mut first = target(&archive, &external);
                first.range.end = i64::from(TODAY - 2 + day as i32) * DAY_MS - DAY_MS / 3;
                let found = find_blocks(&[directory.path().to_owned()]).unwrap();
                from_blocks(found, &first, |_| {}).await.unwrap();
            }
            let report = seed(&archive, directory.path(), &external).await;
            let (content, rows) = held(&archive).await;
            assert_eq!(content, expected);
            let total = report.total();
            assert_eq!(total.held + total.written, total.samples);
            let again = seed(&archive, directory.path(), &external).await.total();
            assert_eq!((again.written, again.parts, again.held), (0, 0, again.samples));
            assert_eq!(held(&archive).await.1, rows);
        });
    }
}

#[tokio::test]
async fn only_rows_that_change_an_answer_are_written() {
    let archive = Archive::new();
    let there = times(TODAY - 3, 300);
    archive
        .flush(&[("anonymous", "x", there.clone())], NOW_MS - DAY_MS)
        .await;
    archive
        .merged("anonymous", TODAY - 2, &[("x", times(TODAY - 2, 50))], &[], NOW_MS)
        .await;
    let (x, y) = (
        labels(&[("__name__", "up"), ("job", "x")]),
        labels(&[("__name__", "up"), ("job", "y")]),
    );
    // Of `x` the archive has every second row of this day with value 1; smaller values lose against it and greater ones win.
    let mut of_x: Vec<(i64, f64)> = there.iter().take(100).map(|&time| (time, 1.0)).collect();
    of_x.extend([(there[100], 0.5), (there[101], 2.0), (there[0] + 1, 7.0)]);
    of_x.extend(times(TODAY - 2, 50).into_iter().map(|time| (time, 1.0)));
    let of_y = [(there[0], 1.0), (there[1], -0.0)];
    let directory = TempDir::new().unwrap();
    block(
        directory.path(),
        1,
        &Content::from([(x.clone(), runs(of_x)), (y.clone(), runs(of_y))]),
    );
    let report = seed(&archive, directory.path(), &[]).await;
    let windows: Vec<_> = report
        .windows
        .iter()
        .map(|window| (window.held, window.written))
        .collect();
    assert_eq!(windows, [(101, 4), (50, 0)]);
    let (content, rows) = held(&archive).await;
    assert_eq!(rows, 350 + 4);
    let value = |labels: &Labels, time: i64| {
        let run = &content[labels].samples;
        let at = run.timestamps.iter().position(|&t| t == time).unwrap();
        run.values[at].to_bits()
    };
    assert_eq!(value(&x, there[100]), 1.0_f64.to_bits());
    assert_eq!(value(&x, there[101]), 2.0_f64.to_bits());
    assert_eq!(value(&y, there[1]), (-0.0_f64).to_bits());
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_the_rest_is_seeded() {
    let directory = TempDir::new().unwrap();
    let start = i64::from(TODAY - 3) * DAY_MS;
    let content = |job: &str| {
        let rows = (0..1000).map(|i| (start + i * 15_000, i as f64));
        Content::from([(labels(&[("__name__", "up"), ("job", job)]), runs(rows))])
    };
    block(directory.path(), 1, &content("good"));
    let bad_chunk = block(directory.path(), 2, &content("chunk"));
    let bad_index = block(directory.path(), 3, &content("index"));
    let bad_meta = block(directory.path(), 4, &content("meta"));
    let flip = |path: PathBuf, at: usize| {
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 0x10;
        fs::write(path, bytes).unwrap();
    };
    flip(bad_chunk.join("chunks/000001"), 600);
    flip(bad_index.join("index"), 0);
    fs::write(bad_meta.join("meta.json"), "{").unwrap();
    let archive = Archive::new();
    let report = seed(&archive, directory.path(), &[]).await;
    assert_eq!(report.skipped.count, 3, "{:?}", report.skipped);
    let listed = report.skipped.listed.concat();
    for name in [&bad_chunk, &bad_index, &bad_meta] {
        assert!(listed.contains(name.file_name().unwrap().to_str().unwrap()), "{listed}");
    }
    let (content, _) = held(&archive).await;
    let rows = |job: &str| {
        content
            .get(&labels(&[("__name__", "up"), ("job", job)]))
            .map_or(0, SeriesRuns::len)
    };
    assert_eq!((rows("good"), rows("index"), rows("meta")), (1000, 0, 0));
    assert_eq!(rows("chunk"), 1000 - 120, "one chunk is lost and no more");
}

#[test]
fn a_directory_that_a_server_uses_is_refused_and_a_log_is_told() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_owned();
    let start = i64::from(TODAY - 3) * DAY_MS;
    let content = Content::from([(labels(&[("__name__", "up")]), runs([(start, 1.0)]))]);
    assert!(matches!(
        find_blocks(std::slice::from_ref(&path)),
        Err(SeedError::Input(_))
    ));
    let single = block(&path, 1, &content);
    assert_eq!(find_blocks(std::slice::from_ref(&path)).unwrap().head_left, None);

    let lock = fs::File::create(path.join("lock")).unwrap();
    fs::create_dir(path.join("wal")).unwrap();
    fs::write(path.join("wal/00000000"), [1; 70]).unwrap();
    let found = find_blocks(&[path.clone(), single.clone()]).unwrap();
    assert_eq!(found.blocks.len(), 1, "a block that is named twice is one");
    let left = found.head_left.unwrap();
    assert_eq!((left.bytes, left.since), (70, Some(found.blocks[0].meta.max_time)));

    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let error = find_blocks(std::slice::from_ref(&path)).unwrap_err().to_string();
    assert!(error.contains("snapshot"), "{error}");
    assert_eq!(find_blocks(&[single]).unwrap().blocks.len(), 1);
    drop(lock);
    // Without a lock file, a log that was just written is a sign of life.
    fs::remove_file(path.join("lock")).unwrap();
    assert!(find_blocks(&[path]).is_err());
}

/// Series in whatever order.
struct Given(std::vec::IntoIter<(Labels, SeriesRuns)>);

impl Rows for Given {
    async fn next(&mut self, runs: &mut SeriesRuns) -> Result<Option<Labels>, SeedError> {
        let Some((labels, next)) = self.0.next() else {
            return Ok(None);
        };
        *runs = next;
        Ok(Some(labels))
    }
}

#[tokio::test]
async fn a_source_in_no_order_loses_nothing() {
    let archive = Archive::new();
    let start = i64::from(TODAY - 3) * DAY_MS;
    let range = TimeRange {
        start,
        end: start + DAY_MS,
    };
    let mut expected = Content::new();
    let mut given = Vec::new();
    // Falls and rises by steps that no few lanes can follow, and gives one series twice.
    for i in 0..40_i64 {
        let labels = labels(&[("__name__", "up"), ("n", &((i * 7919) % 39).to_string())]);
        let runs = runs([(start + i, i as f64)]);
        expected.entry(labels.clone()).or_default().append(&runs);
        given.push((labels, runs));
    }
    for runs in expected.values_mut() {
        runs.settle();
    }
    let mut rows = Given(given.clone().into_iter());
    let report = target(&archive, &[])
        .fill((1, range), &mut rows, &mut |_| {})
        .await
        .unwrap();
    assert_eq!(report.written, 40);
    assert_eq!(held(&archive).await.0, expected);
    let mut rows = Given(given.into_iter());
    let again = target(&archive, &[])
        .fill((1, range), &mut rows, &mut |_| {})
        .await
        .unwrap();
    assert_eq!((again.written, again.root), (0, None));
}

#[tokio::test]
async fn where_only_missing_times_are_filled_no_held_row_is_judged() {
    let archive = Archive::new();
    let there = times(TODAY - 3, 10);
    archive
        .flush(&[("anonymous", "x", there.clone())], NOW_MS - DAY_MS)
        .await;
    let x = labels(&[("__name__", "up"), ("job", "x")]);
    // Two held times with values that would win, and two times that are not held.
    let of_x = [
        (there[0], 9.0),
        (there[1] + 1, 5.0),
        (there[2], 8.0),
        (there[9] + 1, 6.0),
    ];
    let mut target = target(&archive, &[]);
    target.fills = Fills::MissingTimes;
    let range = TimeRange {
        start: there[0],
        end: there[0] + DAY_MS / 2,
    };
    for (written, held) in [(2, 2), (0, 4)] {
        let mut rows = Given(vec![(x.clone(), runs(of_x))].into_iter());
        let report = target.fill((1, range), &mut rows, &mut |_| {}).await.unwrap();
        assert_eq!((report.written, report.held), (written, held));
    }
    let (content, rows) = held(&archive).await;
    assert_eq!(rows, 12);
    let value = |time: i64| {
        let run = &content[&x].samples;
        run.values[run.timestamps.binary_search(&time).unwrap()].to_bits()
    };
    assert_eq!(value(there[0]), 1.0_f64.to_bits());
    assert_eq!(value(there[1] + 1), 5.0_f64.to_bits());
}
