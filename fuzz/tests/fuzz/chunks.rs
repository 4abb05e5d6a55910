//! Chunks in all six encodings, as they lie in the blocks of others and in answers to remote reads.
//!
//! What is decoded is also encoded again and decoded once more: the second time must give the same rows, whatever the first bytes were.

use emberkeep_fuzz::{Bound, Input, Target};
use emberkeep_model::{HistogramRun, Run, SeriesRuns};
use emberkeep_tsdb::chunk::decode;
use emberkeep_tsdb::{Encoding, SeriesEncoder, TsdbError};

use crate::material::{nothing, runs, stale};
use crate::writing::said;

/// Encodes settled rows, every chunk as its encoding's byte and its data.
fn encoded(runs: &SeriesRuns, start_timestamps: bool) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let mut encoder = if start_timestamps {
        SeriesEncoder::with_start_timestamps()
    } else {
        SeriesEncoder::new()
    };
    let mut keep = |chunk: emberkeep_tsdb::EncodedChunk<'_>| -> Result<(), TsdbError> {
        let mut bytes = vec![chunk.encoding as u8];
        bytes.extend_from_slice(chunk.data);
        chunks.push(bytes);
        Ok(())
    };
    encoder.push(&runs.samples, &runs.histograms, &mut keep).unwrap();
    encoder.finish(&mut keep).unwrap();
    chunks
}

fn seeds(encoding: Encoding) -> Vec<Input> {
    let mut seeds = Vec::new();
    let mut without = runs(1_700_000_000_000, 30);
    without.samples.start_timestamps.clear();
    let with = runs(1_700_000_000_000, 7);
    let wide = runs(-62_135_596_800_000, 130);
    for runs in [&without, &with, &wide] {
        for start_timestamps in [false, true] {
            let chunks = encoded(runs, start_timestamps).into_iter();
            let of_kind = chunks.filter(|chunk| chunk[0] == encoding as u8);
            seeds.extend(of_kind.map(|chunk| Input::of(&chunk[1..])));
        }
    }
    assert!(!seeds.is_empty(), "no seed in {encoding:?}");
    seeds
}

/// Rows of both kinds without those that an encoder may not be given.
fn again(run: Run, histograms: HistogramRun) -> Option<String> {
    let mut runs = SeriesRuns {
        samples: run,
        histograms,
        ..SeriesRuns::default()
    };
    if !runs.is_settled() || runs.histograms.iter().any(|row| row.histogram().validate().is_err()) {
        return None;
    }
    for row in std::mem::take(&mut runs.histograms).iter() {
        let mut histogram = row.histogram();
        histogram.reduce_to_stored();
        runs.histograms.push(row.timestamp, row.start_timestamp, &histogram);
    }
    let chunks = encoded(&runs, true);
    let mut back = SeriesRuns::default();
    for chunk in &chunks {
        let encoding = Encoding::from_byte(chunk[0]).unwrap();
        decode(encoding, &chunk[1..], &mut back.samples, &mut back.histograms).expect("our own chunk");
    }
    assert!(
        back.samples.iter().eq(runs.samples.iter()),
        "floats differ after a second encoding"
    );
    assert_eq!(back.histograms.len(), runs.histograms.len());
    assert_eq!(back.histograms.timestamps(), runs.histograms.timestamps());
    Some(format!("{} chunks", chunks.len()))
}

/// What tells decoded rows apart, in words.
fn shape(run: &Run, histograms: &HistogramRun) -> String {
    let starts = run.start_timestamps.iter().filter(|start| **start != 0).count();
    let stale = run
        .values
        .iter()
        .filter(|value| value.to_bits() == stale().to_bits())
        .count();
    let settled = (run.is_settled(), histograms.is_settled());
    let first = (!histograms.is_empty()).then(|| histograms.row(0).histogram());
    let first = first.map(|h| {
        (
            h.schema,
            h.positive_spans.len(),
            h.negative_spans.len(),
            h.custom_values.len(),
            h.reset_hint,
        )
    });
    let rows = histograms.iter();
    let starts = starts + rows.filter(|row| row.start_timestamp != 0).count();
    format!(
        "{starts} starts, {stale} stale, {settled:?}, {first:?}, {} bytes",
        histograms.heap_bytes()
    )
}

/// `flat` and `per_byte` are what the decoders state for the rows of a chunk, with room for lists that grow.
fn run_target(name: &'static str, encoding: Encoding, bound: Bound, (rounds, outcomes): (u64, usize)) {
    let target = Target {
        name,
        rounds,
        max_bytes: 2 << 10,
        bound,
        dictionary: &[],
        outcomes,
    };
    target.run(seeds(encoding), nothing, |input| {
        let (mut run, mut histograms) = (Run::default(), HistogramRun::default());
        let decoded = decode(encoding, input.bytes(), &mut run, &mut histograms);
        if decoded.is_err() {
            assert!(run.is_empty() && histograms.is_empty(), "both runs are as before");
        }
        let count = run.len() + histograms.len();
        let shape = shape(&run, &histograms);
        let small = histograms.heap_bytes() < 256 << 10 && count < 2000;
        let more = if small { again(run, histograms) } else { None };
        said(decoded.map(|()| format!("{count} rows, {shape}, {more:?}")))
    });
}

/// 65,535 samples at most, 24 bytes each.
const FLOATS: Bound = Bound {
    per_byte: 2000,
    flat: 8 << 20,
};

/// 64 MiB of rows for any chunk, 256 bytes for each of its bytes; a list that grows has both its lengths at once.
const HISTOGRAMS: Bound = Bound {
    per_byte: 3 * 256,
    flat: 3 * (64 << 20),
};

#[test]
fn chunk_xor() {
    run_target("chunk_xor", Encoding::Xor, FLOATS, (40_000, 30));
}

#[test]
fn chunk_xor2() {
    run_target("chunk_xor2", Encoding::Xor2, FLOATS, (40_000, 100));
}

#[test]
fn chunk_histogram() {
    run_target("chunk_histogram", Encoding::Histogram, HISTOGRAMS, (20_000, 120));
}

#[test]
fn chunk_float_histogram() {
    run_target(
        "chunk_float_histogram",
        Encoding::FloatHistogram,
        HISTOGRAMS,
        (20_000, 120),
    );
}

#[test]
fn chunk_histogram_st() {
    run_target("chunk_histogram_st", Encoding::HistogramSt, HISTOGRAMS, (20_000, 120));
}

#[test]
fn chunk_float_histogram_st() {
    run_target(
        "chunk_float_histogram_st",
        Encoding::FloatHistogramSt,
        HISTOGRAMS,
        (20_000, 120),
    );
}
