//! Faults planted in exported blocks: damage of every file, and rows that are not those of the archive.

use std::fs;
use std::path::{Path, PathBuf};

use emberkeep_model::{Labels, Sample, SeriesRuns, TimeRange};
use emberkeep_reader::verify::{BlockDigests, FindingKind, Level, Verdict};
use emberkeep_tsdb::{BLOCK_DURATION_MS, BlockReader, BlockWriter};

use super::{archive, assert_proven, export, files, flip, found, of_blocks, rows};
use crate::support::{TestArchive, labels};

async fn exported() -> (TestArchive, tempfile::TempDir) {
    let mut archive = archive().await;
    archive.flush(&rows()).await;
    let output = export(&archive).await;
    (archive, output)
}

fn blocks(output: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(output)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort_by_key(|path| BlockReader::open(path).unwrap().meta().min_time);
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beside_the_blocks() {
    let (archive, output) = exported().await;
    let beside = output.path().join("exemplars.json");
    fs::write(&beside, "[\n{\"seriesLabels\":{},\"exemplars\":[]}\n]\n").unwrap();
    assert_proven(&of_blocks(&archive, output.path(), Level::Restore).await);
    fs::write(&beside, "[\n{\"seriesLabels\":{},\"exemplars\":[]}\n").unwrap();
    let report = of_blocks(&archive, output.path(), Level::Files).await;
    assert_eq!(found(&report), [FindingKind::Damaged]);
    fs::remove_file(&beside).unwrap();
    fs::create_dir(output.path().join("01J0000000000000000000000A.tmp-for-creation")).unwrap();
    assert_eq!(
        found(&of_blocks(&archive, output.path(), Level::Files).await),
        [FindingKind::Extra]
    );
}

/// Writes a block anew with its series changed.
fn rewrite(path: &Path, change: impl Fn(&Labels, &mut SeriesRuns)) {
    let mut reader = BlockReader::open(path).unwrap();
    let meta = reader.meta().clone();
    let mut all = Vec::new();
    reader
        .verify(|labels, runs| all.push((labels.clone(), runs.clone())))
        .unwrap();
    fs::remove_dir_all(path).unwrap();
    let start = meta.min_time.div_euclid(BLOCK_DURATION_MS) * BLOCK_DURATION_MS;
    let window = TimeRange {
        start,
        end: start + BLOCK_DURATION_MS,
    };
    let mut writer = BlockWriter::create(path.parent().unwrap(), meta.ulid, window).unwrap();
    for (labels, mut runs) in all {
        change(&labels, &mut runs);
        writer.push(&labels, &runs).unwrap();
    }
    writer.finish().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_every_file_of_a_block() {
    let (archive, output) = exported().await;
    for level in [Level::Rows, Level::Restore] {
        assert_proven(&of_blocks(&archive, output.path(), level).await);
    }
    let block = &blocks(output.path())[0];
    for path in files(block) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let length = fs::metadata(&path).unwrap().len() as usize;
        // Behind the header of a segment, three bytes of which mean nothing.
        let first = if name == "000001" { 8 } else { 0 };
        let step = ((length - first) / 40).max(1);
        for at in (first..length).step_by(step) {
            let before = flip(&path, at, 2);
            let report = of_blocks(&archive, output.path(), Level::Restore).await;
            let alone = of_blocks(&archive, output.path(), Level::Files).await;
            // Zeros that fill up to a boundary, and white space of JSON, say nothing.
            let means_nothing = before == 0 || (name == "meta.json" && before.is_ascii_whitespace());
            let is_found = [report, alone]
                .iter()
                .all(|report| report.verdict == Verdict::Different);
            assert!(is_found || means_nothing, "{name} at {at}");
            flip(&path, at, 2);
        }
    }
    assert_proven(&of_blocks(&archive, output.path(), Level::Restore).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_or_a_block_that_is_missing() {
    let (archive, output) = exported().await;
    let all = blocks(output.path());
    for path in files(&all[0]).into_iter().filter(|path| !path.ends_with("tombstones")) {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let report = of_blocks(&archive, output.path(), Level::Restore).await;
        assert_eq!(report.verdict, Verdict::Different, "{path:?}");
        fs::write(&path, bytes).unwrap();
    }
    // The first block: only who says what was exported knows that it is not there.
    let away = tempfile::tempdir().unwrap();
    let moved = away.path().join(all[0].file_name().unwrap());
    fs::rename(&all[0], &moved).unwrap();
    assert_proven(&of_blocks(&archive, output.path(), Level::Restore).await);
    let sources = emberkeep_reader::Sources::new(archive.store.clone(), Vec::new());
    let verify = emberkeep_reader::verify::Verify {
        range: TimeRange {
            start: 0,
            end: i64::MAX,
        },
        ..super::verify(Level::Restore)
    };
    let bar = indicatif::ProgressBar::hidden();
    let report = verify.exported(&sources, output.path(), &bar).await.unwrap();
    assert_eq!(report.differences, 10, "each series of the window: {report:?}");
    assert!(found(&report).iter().all(|kind| *kind == FindingKind::Missing));
    fs::rename(&moved, &all[0]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_value_one_series_one_sample() {
    let (archive, output) = exported().await;
    let block = &blocks(output.path())[1];
    let target = labels(&[("__name__", "m"), ("series", "5")]);
    let is_target = |labels: &Labels| *labels == target;

    rewrite(block, |labels, runs| {
        if is_target(labels) {
            runs.samples.values[7] += 1.0;
        }
    });
    let report = of_blocks(&archive, output.path(), Level::Restore).await;
    assert_eq!(found(&report), [FindingKind::Different]);
    assert_eq!(report.findings[0].series, Some(target.to_string()));
    assert_eq!(
        report.findings[0].rows.as_deref(),
        Some("samples of the window 1970-01-01T02:00:00.000Z")
    );
    assert_proven(&of_blocks(&archive, output.path(), Level::Rows).await);

    rewrite(block, |labels, runs| {
        if is_target(labels) {
            runs.samples.values[7] -= 1.0;
            runs.samples.push(Sample {
                timestamp: 2 * BLOCK_DURATION_MS - 1,
                value: 0.0,
                start_timestamp: 0,
            });
        }
    });
    let report = of_blocks(&archive, output.path(), Level::Restore).await;
    assert_eq!(found(&report), [FindingKind::Different]);

    rewrite(block, |labels, runs| {
        if is_target(labels) {
            runs.clear();
        }
    });
    let report = of_blocks(&archive, output.path(), Level::Restore).await;
    assert_eq!(found(&report), [FindingKind::Missing]);
    assert_eq!(report.findings[0].series, Some(target.to_string()));

    let histograms = labels(&[("__name__", "m"), ("series", "1")]);
    rewrite(&blocks(output.path())[0], |labels, runs| {
        if *labels == histograms {
            let mut kept = emberkeep_model::HistogramRun::default();
            kept.append(&runs.histograms, 0..60);
            runs.histograms = kept;
        }
    });
    let report = of_blocks(&archive, output.path(), Level::Restore).await;
    // Blocks are compared at the same time, and told as they are done.
    let both = found(&report);
    assert!(
        both.len() == 2 && both.contains(&FindingKind::Different) && both.contains(&FindingKind::Missing),
        "{both:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_overlap_are_read_as_one() {
    let (archive, output) = exported().await;
    let expected = digests(output.path());
    assert_eq!(expected.len(), 10);
    // The same rows again, and half of them again.
    let again = export(&archive).await;
    for (n, path) in blocks(again.path()).iter().enumerate() {
        if n == 0 {
            rewrite(path, |_, runs| {
                runs.retain_range(TimeRange {
                    start: 0,
                    end: BLOCK_DURATION_MS / 2,
                });
            });
        }
        fs::rename(path, output.path().join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(digests(output.path()), expected);
    assert_proven(&of_blocks(&archive, output.path(), Level::Restore).await);
}

fn digests(output: &Path) -> Vec<(Labels, emberkeep_archive::digest::Digests)> {
    let mut walk = BlockDigests::open(output).unwrap();
    let mut found = Vec::new();
    while let Some(series) = walk.next_series().unwrap() {
        assert!(series.damage.is_none());
        found.push((series.labels, series.digests));
    }
    found
}
