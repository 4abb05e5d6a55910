//! Remote write, both versions: the block around a body, and the borrowed decoders with everything that they give out.

use emberkeep_fuzz::{Bound, Input, Target};
use emberkeep_proto::{WireError, histogram, snappy, write_v1, write_v2};
use prost::Message;

use crate::material::{compressed, nothing, write_request_v1, write_request_v2};

/// The text of an outcome.
const TEXT: usize = 4 << 10;

/// A body may be this large when decompressed; smaller than the 22-fold that a block can grow by.
const LIMIT: usize = 1 << 20;

/// Everything of a histogram, folded into one number so that nothing is held.
pub(crate) fn walk_histogram(histogram: &histogram::Histogram<'_>) -> u64 {
    let spans = histogram.positive_spans().chain(histogram.negative_spans());
    let spans = spans.fold(0_u64, |sum, (offset, length)| {
        sum.wrapping_add(u64::from(offset.unsigned_abs()) + u64::from(length))
    });
    let deltas = histogram.positive_deltas().chain(histogram.negative_deltas());
    let deltas = deltas.fold(0_u64, |sum, delta| sum.wrapping_add(delta.cast_unsigned()));
    let floats = histogram.positive_counts().chain(histogram.negative_counts());
    let floats = floats.chain(histogram.custom_values());
    let floats = floats.fold(0_u64, |sum, value| sum.wrapping_add(value.to_bits()));
    spans ^ deltas ^ floats
}

pub(crate) fn walk_v1(body: &[u8]) -> Result<String, WireError> {
    let request = write_v1::Request::parse(body)?;
    let mut counts = [0_usize; 8];
    for series in request.series() {
        counts[0] += 1;
        counts[1] += series.labels().count();
        let (samples, histograms) = (series.samples().count(), series.histograms().count());
        assert_eq!(
            samples,
            series.n_samples(),
            "the number of samples is that of the samples"
        );
        assert_eq!(
            histograms,
            series.n_histograms(),
            "the number of histograms is that of the histograms"
        );
        assert_eq!(series.exemplars().count(), series.n_exemplars());
        (counts[3], counts[4]) = (counts[3] + samples, counts[4] + histograms);
        for histogram in series.histograms() {
            counts[5] ^= usize::from(histogram.is_float());
            std::hint::black_box(walk_histogram(&histogram));
        }
        for exemplar in series.exemplars() {
            counts[6] += 1 + exemplar.labels().count();
        }
    }
    assert_eq!(counts[0], request.n_series());
    for metadata in request.metadata() {
        counts[7] += metadata.family.len() + metadata.help.len() + metadata.unit.len();
    }
    assert_eq!(request.metadata().count(), request.n_metadata());
    Ok(format!("{counts:?}"))
}

pub(crate) fn walk_v2(body: &[u8]) -> Result<String, WireError> {
    let request = write_v2::Request::parse(body)?;
    let mut counts = [0_usize; 8];
    let mut error = None;
    assert_eq!(request.symbols().iter().count(), request.symbols().len());
    for series in request.series() {
        counts[0] += 1;
        for pair in series.labels() {
            match pair {
                Ok((name, value)) => counts[1] += 1 + name.len() + value.len(),
                Err(found) => error = Some(found),
            }
        }
        let (samples, histograms) = (series.samples().count(), series.histograms().count());
        assert_eq!(
            samples,
            series.n_samples(),
            "the number of samples is that of the samples"
        );
        assert_eq!(
            histograms,
            series.n_histograms(),
            "the number of histograms is that of the histograms"
        );
        assert_eq!(series.exemplars().count(), series.n_exemplars());
        assert_eq!(series.metadata().is_some(), series.has_metadata());
        (counts[3], counts[4]) = (counts[3] + samples, counts[4] + histograms);
        for histogram in series.histograms() {
            counts[5] ^= usize::from(histogram.is_float());
            std::hint::black_box(walk_histogram(&histogram));
        }
        for exemplar in series.exemplars() {
            counts[6] += 1 + exemplar.labels().filter(Result::is_ok).count();
        }
        if let Some(metadata) = series.metadata() {
            counts[7] += metadata.help.map_or(0, <[u8]>::len) + metadata.unit.map_or(0, <[u8]>::len);
        }
    }
    assert_eq!(counts[0], request.n_series());
    Ok(format!("{counts:?} {error:?}"))
}

/// What a decoder said, in words.
pub(crate) fn said(result: Result<String, impl std::fmt::Display>) -> String {
    result.unwrap_or_else(|error| error.to_string())
}

#[test]
fn write_v1() {
    let target = Target {
        name: "write_v1",
        rounds: 60_000,
        max_bytes: 16 << 10,
        bound: Bound {
            per_byte: 0,
            flat: TEXT,
        },
        dictionary: &[],
        outcomes: 50,
    };
    let seeds = vec![Input::of(write_request_v1().encode_to_vec())];
    target.run(seeds, nothing, |input| said(walk_v1(input.bytes())));
}

/// Four bytes are kept for each symbol, and a symbol takes two or more on the wire; a list that grows has both its lengths at once.
#[test]
fn write_v2() {
    let target = Target {
        name: "write_v2",
        rounds: 60_000,
        max_bytes: 16 << 10,
        bound: Bound {
            per_byte: 6,
            flat: TEXT,
        },
        dictionary: &[],
        outcomes: 60,
    };
    let seeds = vec![Input::of(write_request_v2().encode_to_vec())];
    target.run(seeds, nothing, |input| said(walk_v2(input.bytes())));
}

/// A block may grow 22-fold, and then the symbols as above.
#[test]
fn write_block() {
    let target = Target {
        name: "write_block",
        rounds: 60_000,
        max_bytes: 16 << 10,
        bound: Bound {
            per_byte: 22 * 7,
            flat: TEXT + (64 << 10),
        },
        dictionary: &[],
        outcomes: 200,
    };
    let seeds = vec![
        compressed(&write_request_v1().encode_to_vec()),
        compressed(&write_request_v2().encode_to_vec()),
        compressed(&[0x2a; 5000]),
    ];
    target.run(seeds, nothing, |input| {
        let mut body = Vec::new();
        match snappy::decompress_capped(input.bytes(), LIMIT, &mut body) {
            Err(error) => {
                assert!(body.is_empty(), "nothing is given out of a bad block");
                error.to_string()
            }
            Ok(()) => {
                assert!(body.len() <= LIMIT, "the limit holds");
                format!("{} / {}", said(walk_v1(&body)), said(walk_v2(&body)))
            }
        }
    });
}
