//! Blocks as a caller meets them: what is refused, what stays on disk, what damage does.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use emberkeep_model::{Labels, Run, Sample, SeriesRuns, TimeRange};
use emberkeep_tsdb::{BlockReader, BlockWriter, TEMPORARY_SUFFIX, TsdbError};
use ulid::Ulid;

const WINDOW: TimeRange = TimeRange {
    start: -7_200_000,
    end: 0,
};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn run(timestamps: impl IntoIterator<Item = i64>) -> SeriesRuns {
    let mut run = Run::default();
    for timestamp in timestamps {
        run.push(Sample {
            timestamp,
            value: timestamp as f64 / 10.0,
            start_timestamp: 0,
        });
    }
    SeriesRuns {
        samples: run,
        ..SeriesRuns::default()
    }
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A block of five series and 137 samples.
fn small_block(output: &Path) -> PathBuf {
    let ulid = Ulid::from_parts(1, 2);
    let mut writer = BlockWriter::create(output, ulid, WINDOW).unwrap();
    writer
        .push(
            &labels(&[("__name__", "a"), ("job", "x")]),
            &run((0..130).map(|n| -7_200_000 + n * 15_000)),
        )
        .unwrap();
    for value in ["x", "y", "z", "ü"] {
        writer
            .push(&labels(&[("__name__", "b"), ("job", value)]), &run([-1000, -1]))
            .unwrap();
    }
    let meta = writer.finish().unwrap().unwrap();
    assert_eq!((meta.min_time, meta.max_time), (-7_200_000, 0));
    assert_eq!(
        (meta.stats.num_samples, meta.stats.num_series, meta.stats.num_chunks),
        (138, 5, 6)
    );
    assert_eq!((meta.compaction.level, &meta.compaction.sources[..]), (1, &[ulid][..]));
    output.join(ulid.to_string())
}

/// Timestamps and the bits of values.
type Bits = Vec<(i64, u64)>;

/// All that a block holds, or the error that says why not.
fn content(block: &Path) -> Result<Vec<(Labels, Bits)>, TsdbError> {
    let mut reader = BlockReader::open(block)?;
    let mut all = Vec::new();
    reader.verify(|labels, runs| {
        all.push((
            labels.clone(),
            runs.samples.iter().map(|s| (s.timestamp, s.value.to_bits())).collect(),
        ));
    })?;
    Ok(all)
}

#[test]
fn samples_come_back_and_nothing_else_is_left() {
    let output = tempfile::tempdir().unwrap();
    let block = small_block(output.path());
    let all = content(&block).unwrap();
    assert_eq!(all.len(), 5);
    assert_eq!(all[0].1.len(), 130);
    assert_eq!(all[4].0, labels(&[("__name__", "b"), ("job", "ü")]));
    assert_eq!(names(output.path()).len(), 1);
    let mut files = names(&block);
    files.sort();
    assert_eq!(files, ["chunks", "index", "meta.json", "tombstones"]);
    let mut sizes: u64 = ["index", "meta.json", "tombstones"]
        .iter()
        .map(|f| fs::metadata(block.join(f)).unwrap().len())
        .sum();
    sizes += fs::metadata(block.join("chunks/000001")).unwrap().len();
    assert_eq!(BlockReader::open(&block).unwrap().bytes(), sizes);
}

#[test]
fn a_block_without_series_leaves_nothing() {
    let output = tempfile::tempdir().unwrap();
    let writer = BlockWriter::create(output.path(), Ulid::generate(), WINDOW).unwrap();
    assert_eq!(names(output.path()).len(), 1);
    assert!(writer.finish().unwrap().is_none());
    assert_eq!(names(output.path()), [""; 0]);
}

#[test]
fn a_block_given_up_leaves_nothing() {
    let output = tempfile::tempdir().unwrap();
    let ulid = Ulid::generate();
    let mut writer = BlockWriter::create(output.path(), ulid, WINDOW).unwrap();
    writer.push(&labels(&[("a", "b")]), &run([-5])).unwrap();
    assert_eq!(names(output.path()), [format!("{ulid}{TEMPORARY_SUFFIX}")]);
    assert!(matches!(
        BlockWriter::create(output.path(), ulid, WINDOW),
        Err(TsdbError::Exists(_))
    ));
    drop(writer);
    assert_eq!(names(output.path()), [""; 0]);
}

#[test]
fn a_block_is_never_overwritten() {
    let output = tempfile::tempdir().unwrap();
    small_block(output.path());
    assert!(matches!(
        BlockWriter::create(output.path(), Ulid::from_parts(1, 2), WINDOW),
        Err(TsdbError::Exists(_))
    ));
}

#[test]
fn wrong_series_are_refused_and_the_block_goes_on() {
    let output = tempfile::tempdir().unwrap();
    let ulid = Ulid::generate();
    let mut writer = BlockWriter::create(output.path(), ulid, WINDOW).unwrap();
    let (b, c) = (labels(&[("a", "b")]), labels(&[("a", "c")]));
    writer.push(&b, &run([-10])).unwrap();
    for (series, samples) in [
        (&b, run([-9])),
        (&labels(&[("a", "a")]), run([-9])),
        (&labels(&[]), run([-9])),
        (&c, run([-9, -9])),
        (&c, run([-8, -9])),
        (&c, run([-9, 0])),
        (&c, run([-7_200_001])),
    ] {
        assert!(
            matches!(writer.push(series, &samples), Err(TsdbError::Refused(_))),
            "{series} {samples:?}"
        );
    }
    writer.push(&c, &run([-7_200_000, -1])).unwrap();
    let meta = writer.finish().unwrap().unwrap();
    assert_eq!((meta.stats.num_series, meta.stats.num_samples), (2, 3));
    let read: Vec<_> = content(&output.path().join(ulid.to_string()))
        .unwrap()
        .into_iter()
        .map(|(labels, _)| labels)
        .collect();
    assert_eq!(read, [b, c]);
}

#[test]
fn a_flipped_bit_in_any_byte_is_an_error_or_harmless() {
    let output = tempfile::tempdir().unwrap();
    let block = small_block(output.path());
    let original = content(&block).unwrap();
    let mut harmless = 0;
    for file in ["index", "chunks/000001", "tombstones"] {
        let path = block.join(file);
        let bytes = fs::read(&path).unwrap();
        for place in 0..bytes.len() {
            let bit = place * 8 + place % 8;
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << (bit % 8);
            fs::write(&path, flipped).unwrap();
            match content(&block) {
                Err(TsdbError::Corrupt { .. } | TsdbError::Unsupported { .. }) => {}
                Err(error) => panic!("bit {bit} of {file}: {error}"),
                // Padding, and offsets of sections that nobody reads.
                Ok(read) => {
                    assert_eq!(read, original, "bit {bit} of {file}");
                    harmless += 1;
                }
            }
        }
        fs::write(&path, bytes).unwrap();
    }
    assert!(harmless < 100, "{harmless} flipped bits went unnoticed");
    assert_eq!(content(&block).unwrap(), original);
}

#[test]
fn every_cut_is_an_error() {
    let output = tempfile::tempdir().unwrap();
    let block = small_block(output.path());
    for file in ["index", "chunks/000001", "tombstones", "meta.json"] {
        let path = block.join(file);
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let result = content(&block);
            assert!(
                matches!(result, Err(TsdbError::Corrupt { .. } | TsdbError::Unsupported { .. })),
                "{file} cut at {length}: {result:?}"
            );
        }
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn a_meta_file_that_lies_is_noticed() {
    let output = tempfile::tempdir().unwrap();
    let block = small_block(output.path());
    let path = block.join("meta.json");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"numSamples\": 138", "\"numSamples\": 137"),
        ("\"numSeries\": 5", "\"numSeries\": 6"),
        ("\"numChunks\": 6", "\"numChunks\": 5"),
        ("\"minTime\": -7200000", "\"minTime\": -7199999"),
        ("\"maxTime\": 0", "\"maxTime\": -1"),
        ("\"ulid\": \"00000000010", "\"ulid\": \"00000000020"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        fs::write(&path, text.replace(from, to)).unwrap();
        assert!(matches!(content(&block), Err(TsdbError::Corrupt { .. })), "{to}");
    }
}

#[test]
fn a_tombstone_file_that_is_not_whole_is_refused_and_its_absence_is_fine() {
    let output = tempfile::tempdir().unwrap();
    let block = small_block(output.path());
    let path = block.join("tombstones");
    fs::write(&path, [0x01, 0x30, 0xBA, 0x30, 1, 1, 2, 4, 0, 0, 0, 0]).unwrap();
    assert!(matches!(content(&block), Err(TsdbError::Corrupt { .. })));
    fs::remove_file(&path).unwrap();
    assert!(content(&block).is_ok());
}
