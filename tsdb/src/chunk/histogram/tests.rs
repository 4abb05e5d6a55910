//! Damaged and hostile bytes; whole chunks are the business of the tests of the series encoder.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;

use emberkeep_model::Run;
use proptest::prelude::*;

use super::super::generated::{series, steps};
use super::*;
use crate::SeriesEncoder;

const ALL: [Encoding; 4] = [
    Encoding::Histogram,
    Encoding::FloatHistogram,
    Encoding::HistogramSt,
    Encoding::FloatHistogramSt,
];

/// The histogram chunks of a series.
fn chunks(histograms: &HistogramRun) -> Vec<(Encoding, Vec<u8>)> {
    let mut chunks = Vec::new();
    let mut encoder = SeriesEncoder::with_start_timestamps();
    let mut sink = |chunk: crate::EncodedChunk<'_>| {
        chunks.push((chunk.encoding, chunk.data.to_vec()));
        Ok::<(), Infallible>(())
    };
    encoder.push(&Run::default(), histograms, &mut sink).unwrap();
    encoder.finish(&mut sink).unwrap();
    chunks
}

fn one(schema: i32) -> HistogramRun {
    let mut run = HistogramRun::default();
    let histogram = Histogram {
        schema,
        ..Histogram::default()
    };
    run.push(5, 0, &histogram);
    run
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(encoding in 0usize..4, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut run = one(3);
        let before = run.clone();
        if decode(ALL[encoding], &bytes, &mut run).is_err() {
            prop_assert_eq!(run, before);
        } else {
            prop_assert_eq!(run.len(), 1 + usize::from(count(ALL[encoding], &bytes).unwrap()));
        }
    }

    #[test]
    fn damaged_chunks_are_read_or_refused(
        steps in steps(60), damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length: prop::sample::Index,
    ) {
        for (encoding, chunk) in chunks(&series(&steps, true).histograms) {
            let mut damaged = chunk.clone();
            for (at, byte) in &damage {
                let at = at.index(damaged.len());
                damaged[at] = *byte;
            }
            let mut run = one(3);
            let before = run.clone();
            if decode(encoding, &damaged, &mut run).is_err() {
                prop_assert_eq!(&run, &before);
            }
            // The end of a chunk is never padding of a whole byte, so what is shortened lacks something.
            run.clear();
            prop_assert!(decode(encoding, &chunk[..length.index(chunk.len())], &mut run).is_err() && run.is_empty());
        }
    }
}

#[test]
fn floats_are_not_histograms() {
    let mut run = HistogramRun::default();
    assert!(decode(Encoding::Xor, &[0, 1, 0], &mut run).is_err());
    assert!(decode(Encoding::Histogram, &[0, 0], &mut run).is_err());
    assert!(decode(Encoding::Histogram, &[0, 0, 0], &mut run).is_ok() && run.is_empty());
    assert_eq!(count(Encoding::HistogramSt, &[0xff, 0xff, 0]).unwrap(), 0x3fff);
    assert_eq!(count(Encoding::Histogram, &[0xff, 0xff, 0]).unwrap(), 0xffff);
}

/// A chunk of 65,535 samples that all repeat one layout.
fn hostile(write_layout: impl Fn(&mut BitWriter<'_>)) -> Vec<u8> {
    let mut chunk = vec![0xff, 0xff, 0];
    let mut bits = BitWriter::new(&mut chunk);
    bits.write(0, 8);
    write_layout(&mut bits);
    bits.finish();
    chunk.resize(chunk.len() + 60_000, 0);
    chunk
}

#[test]
fn a_small_chunk_does_not_become_gigabytes() {
    let spans = hostile(|bits| {
        bits.write_varbit_int(0);
        bits.write_varbit_uint(200_000);
        (0..200_000).for_each(|_| bits.write(0, 2));
    });
    let bounds = hostile(|bits| {
        bits.write_varbit_int(-53);
        bits.write(0, 2);
        bits.write_varbit_uint(50_000);
        (0..50_000).for_each(|_| bits.write_varbit_uint(1));
    });
    let buckets = hostile(|bits| {
        bits.write_varbit_int(0);
        bits.write_varbit_uint(1);
        bits.write_varbit_uint(u64::from(u32::MAX));
        bits.write(0, 2);
    });
    for chunk in [spans, bounds, buckets] {
        let mut run = HistogramRun::default();
        assert!(matches!(
            decode(Encoding::Histogram, &chunk, &mut run),
            Err(TsdbError::Corrupt { .. })
        ));
    }
}

#[test]
fn fine_schemas_are_read_as_they_are() {
    // Written by a newer Prometheus: here the encoder below the cutter, which would have reduced it.
    let mut chunk = vec![0, 1, 0];
    let mut bits = BitWriter::new(&mut chunk);
    bits.write(0, 8);
    bits.write_varbit_int(52);
    bits.write_varbit_uint(1);
    bits.write_varbit_uint(1);
    bits.write_varbit_int(1 << 30);
    bits.write(0, 1);
    bits.write_varbit_int(-77);
    bits.write_varbit_uint(4);
    bits.write(0, 1);
    bits.write(1f64.to_bits(), 64);
    bits.write_varbit_int(4);
    bits.finish();
    let mut run = HistogramRun::default();
    decode(Encoding::Histogram, &chunk, &mut run).unwrap();
    let read = run.row(0).histogram();
    assert_eq!(
        (run.timestamps(), read.schema, read.positive_spans[0].offset),
        (&[-77][..], 52, 1 << 30)
    );
}
