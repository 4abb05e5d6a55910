//! What the block writer makes of series of all kinds, whole and in pieces; read with index and segments alone.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use emberkeep_model::histogram::{Counts, Histogram};
use emberkeep_model::{Exemplar, HistogramRun, Labels, Run, Sample, SeriesRuns, Span, TimeRange};
use emberkeep_tsdb::chunk::decode;
use emberkeep_tsdb::index::IndexReader;
use emberkeep_tsdb::segment::SegmentReader;
use emberkeep_tsdb::{BlockContent, BlockMeta, BlockWriter, Encoding, PrometheusVersion, TsdbError};
use tempfile::TempDir;
use ulid::Ulid;

const WINDOW: TimeRange = TimeRange {
    start: 0,
    end: 7_200_000,
};

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)]).unwrap()
}

fn writer(output: &Path) -> BlockWriter {
    BlockWriter::create(output, Ulid::from_parts(1, 2), WINDOW).unwrap()
}

fn histogram(count: u32, custom: bool) -> Histogram {
    Histogram {
        counts: Counts::Integer {
            count: count.into(),
            zero_count: 0,
            positive: vec![count.into()],
            negative: Vec::new(),
        },
        schema: if custom { -53 } else { 2 },
        positive_spans: vec![Span { offset: 0, length: 1 }],
        custom_values: if custom { vec![0.5] } else { Vec::new() },
        ..Histogram::default()
    }
}

/// Floats at each time that `floats` names, histograms at the others.
fn mixed(times: impl Iterator<Item = i64>, floats: impl Fn(i64) -> bool, start_timestamp: i64) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    for timestamp in times {
        if floats(timestamp) {
            runs.samples.push(Sample {
                timestamp,
                value: timestamp as f64,
                start_timestamp,
            });
        } else {
            let histogram = histogram(timestamp as u32, false);
            runs.histograms.push(timestamp, start_timestamp, &histogram);
        }
    }
    runs
}

/// Labels and content of each series, with the number of its chunks.
fn content(block: &Path) -> Vec<(Labels, SeriesRuns, usize)> {
    let index = IndexReader::open(&block.join("index")).unwrap();
    let mut segments = SegmentReader::open(&block.join("chunks")).unwrap();
    let mut all = Vec::new();
    for &id in index.ids() {
        let series = index.series(id).unwrap();
        let mut runs = SeriesRuns::default();
        for chunk in &series.chunks {
            let mut part = SeriesRuns::default();
            let (encoding, data) = segments.chunk(chunk.reference).unwrap();
            decode(encoding, data, &mut part.samples, &mut part.histograms).unwrap();
            assert_eq!(part.time_span(), Some((chunk.min_time, chunk.max_time)));
            runs.append(&part);
        }
        all.push((series.labels, runs, series.chunks.len()));
    }
    all
}

/// A block with what `fill` puts into it.
fn write(fill: impl FnOnce(&mut BlockWriter) -> Result<(), TsdbError>) -> (TempDir, BlockMeta, BlockContent) {
    finished(|block| block, fill)
}

fn finished(
    prepare: impl FnOnce(BlockWriter) -> BlockWriter,
    fill: impl FnOnce(&mut BlockWriter) -> Result<(), TsdbError>,
) -> (TempDir, BlockMeta, BlockContent) {
    let output = tempfile::tempdir().unwrap();
    let mut block = prepare(writer(output.path()));
    fill(&mut block).unwrap();
    let content = *block.content();
    let meta = block.finish().unwrap().unwrap();
    (output, meta, content)
}

#[test]
fn kinds_are_counted_and_come_back() {
    let runs = mixed(0..1000, |time| time % 300 < 150, 0);
    let (output, meta, kinds) = write(|block| {
        block.push(&labels("a"), &runs)?;
        block.push(&labels("b"), &mixed(10..20, |_| true, 0))
    });
    let stats = meta.stats;
    assert_eq!((stats.num_samples, stats.num_series), (1010, 2));
    let (floats, histograms) = (runs.samples.len() as u64 + 10, runs.histograms.len() as u64);
    assert_eq!(
        (stats.num_float_samples, stats.num_histogram_samples),
        (floats, histograms)
    );
    assert_eq!(
        stats.num_chunks,
        kinds.chunks(Encoding::Xor) + kinds.chunks(Encoding::Histogram)
    );
    assert_eq!((meta.min_time, meta.max_time), (0, 1000));
    assert_eq!(kinds.readable_since(), Some(PrometheusVersion(2, 40)));
    let read = content(&output.path().join(meta.ulid.to_string()));
    let chunks: usize = read.iter().map(|(_, _, chunks)| chunks).sum();
    assert_eq!(chunks as u64, stats.num_chunks);
    assert_eq!(read[0].1.samples, runs.samples);
    assert_eq!(read[0].1.histograms.timestamps(), runs.histograms.timestamps());
}

#[test]
fn pieces_make_the_same_block() {
    let runs = mixed(0..1000, |time| time % 300 < 150, 0);
    let chunks =
        |output: &Path, meta: &BlockMeta| std::fs::read(output.join(meta.ulid.to_string()).join("chunks/000001"));
    let (output, meta, _) = write(|block| block.push(&labels("a"), &runs));
    let whole = (chunks(output.path(), &meta).unwrap(), meta);
    let (output, meta, _) = write(|block| {
        let labels = labels("a");
        let mut series = block.series(&labels)?;
        for start in (0..1000).step_by(70) {
            let mut piece = runs.clone();
            piece.retain_range(TimeRange { start, end: start + 70 });
            series.push(&piece.samples, &piece.histograms)?;
            series.push(&Run::default(), &HistogramRun::default())?;
        }
        series.finish()
    });
    assert_eq!((chunks(output.path(), &meta).unwrap(), meta), whole);
}

#[test]
fn start_timestamps_are_kept_only_when_asked_for() {
    let runs = mixed(0..10, |time| time < 5, -7);
    let encodings = |starts: bool| {
        let prepare = |block: BlockWriter| if starts { block.with_start_timestamps() } else { block };
        let (output, meta, kinds) = finished(prepare, |block| block.push(&labels("a"), &runs));
        let read = content(&output.path().join(meta.ulid.to_string())).swap_remove(0).1;
        let start = read.histograms.row(4).start_timestamp;
        (
            kinds.encodings().collect::<Vec<_>>(),
            kinds.readable_since().unwrap(),
            start,
        )
    };
    let plain = vec![Encoding::Xor, Encoding::Histogram];
    assert_eq!(encodings(false), (plain, PrometheusVersion(2, 40), 0));
    let wide = vec![Encoding::Xor2, Encoding::HistogramSt];
    assert_eq!(encodings(true), (wide, PrometheusVersion(3, 14), -7));
}

#[test]
fn custom_buckets_need_a_newer_prometheus() {
    let mut runs = SeriesRuns::default();
    runs.histograms.push(5, 0, &histogram(3, true));
    let (_, _, kinds) = write(|block| block.push(&labels("a"), &runs));
    assert_eq!(
        (kinds.custom_bucket_chunks(), kinds.readable_since()),
        (1, Some(PrometheusVersion(2, 54)))
    );
}

#[test]
fn series_of_exemplars_alone_are_not_in_the_block() {
    let mut exemplars = SeriesRuns::default();
    exemplars.exemplars.push(Exemplar {
        timestamp: 5,
        value: 1.0,
        labels: labels("x"),
    });
    let (output, meta, _) = write(|block| {
        block.push(&labels("a"), &exemplars)?;
        block.push(&labels("b"), &mixed(1..2, |_| true, 0))?;
        block.push(&labels("c"), &SeriesRuns::default())
    });
    assert_eq!((meta.stats.num_series, meta.stats.num_samples), (1, 1));
    assert_eq!(content(&output.path().join(meta.ulid.to_string()))[0].0, labels("b"));
}

#[test]
fn a_refused_first_piece_costs_the_series_and_a_later_one_the_block() {
    let output = tempfile::tempdir().unwrap();
    let mut block = writer(output.path());
    let mut both = mixed(5..8, |_| true, 0);
    both.histograms.push(6, 0, &histogram(1, false));
    let outside = mixed(7_199_999..7_200_001, |_| false, 0);
    let mut unsettled = HistogramRun::default();
    unsettled.push(5, 0, &histogram(1, false));
    unsettled.push(5, 0, &histogram(2, false));
    for (samples, histograms) in [
        (&both.samples, &both.histograms),
        (&outside.samples, &outside.histograms),
        (&Run::default(), &unsettled),
    ] {
        let labels = labels("a");
        let mut series = block.series(&labels).unwrap();
        assert!(matches!(series.push(samples, histograms), Err(TsdbError::Refused(_))));
    }
    block.push(&labels("a"), &mixed(0..3, |time| time == 1, 0)).unwrap();
    let b = labels("b");
    let mut series = block.series(&b).unwrap();
    let piece = mixed(5..8, |time| time == 6, 0);
    series.push(&piece.samples, &piece.histograms).unwrap();
    let overlap = mixed(7..9, |_| true, 0);
    assert!(matches!(
        series.push(&overlap.samples, &overlap.histograms),
        Err(TsdbError::Refused(_))
    ));
    assert!(matches!(block.push(&labels("c"), &piece), Err(TsdbError::Refused(_))));
    assert!(matches!(block.finish(), Err(TsdbError::Refused(_))));
    assert_eq!(std::fs::read_dir(output.path()).unwrap().count(), 0);
}
