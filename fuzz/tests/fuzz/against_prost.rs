//! The borrowed decoders of remote write against the generated ones: what prost takes, they take, and find the same in it.
//!
//! The other way round does not hold: prost refuses texts that are not UTF-8, which are here the caller's to judge.

use emberkeep_fuzz::{Bound, Input, Target};
use emberkeep_proto::histogram::{Count, Histogram};
use emberkeep_proto::messages::prometheus as v1;
use emberkeep_proto::messages::write_v2 as v2;
use emberkeep_proto::{write_v1, write_v2};
use prost::Message;

use crate::material::{nothing, write_request_v1, write_request_v2};
use crate::writing::said;

/// The generated decoder makes some 200 bytes of an empty message, which takes two.
const BOUND: Bound = Bound {
    per_byte: 600,
    flat: 256 << 10,
};

/// Floats by their bits.
fn bits(values: impl IntoIterator<Item = f64>) -> Vec<u64> {
    values.into_iter().map(f64::to_bits).collect()
}

fn count_bits(count: Count) -> (bool, u64) {
    match count {
        Count::Integer(count) => (false, count),
        Count::Float(count) => (true, count.to_bits()),
    }
}

/// One histogram of the wire, in the generated type of version 2.0; start timestamps of 1.0 are an unknown field.
fn assert_histogram(ours: &Histogram<'_>, theirs: &v2::Histogram) {
    let expected = theirs.count.map_or((false, 0), |count| match count {
        v2::histogram::Count::CountInt(count) => (false, count),
        v2::histogram::Count::CountFloat(count) => (true, count.to_bits()),
    });
    assert_eq!(count_bits(ours.count()), expected);
    let expected = theirs.zero_count.map_or((expected.0, 0), |count| match count {
        v2::histogram::ZeroCount::ZeroCountInt(count) => (false, count),
        v2::histogram::ZeroCount::ZeroCountFloat(count) => (true, count.to_bits()),
    });
    assert_eq!(count_bits(ours.zero_count()), expected);
    assert_eq!(
        bits([ours.sum, ours.zero_threshold]),
        bits([theirs.sum, theirs.zero_threshold])
    );
    assert_eq!(
        (ours.schema, ours.reset_hint, ours.timestamp, ours.start_timestamp),
        (
            theirs.schema,
            theirs.reset_hint,
            theirs.timestamp,
            theirs.start_timestamp
        )
    );
    let spans = |spans: &[v2::BucketSpan]| spans.iter().map(|s| (s.offset, s.length)).collect::<Vec<_>>();
    assert_eq!(ours.positive_spans().collect::<Vec<_>>(), spans(&theirs.positive_spans));
    assert_eq!(ours.negative_spans().collect::<Vec<_>>(), spans(&theirs.negative_spans));
    assert_eq!(ours.positive_deltas().collect::<Vec<_>>(), theirs.positive_deltas);
    assert_eq!(ours.negative_deltas().collect::<Vec<_>>(), theirs.negative_deltas);
    assert_eq!(
        bits(ours.positive_counts()),
        bits(theirs.positive_counts.iter().copied())
    );
    assert_eq!(
        bits(ours.negative_counts()),
        bits(theirs.negative_counts.iter().copied())
    );
    assert_eq!(bits(ours.custom_values()), bits(theirs.custom_values.iter().copied()));
}

fn as_v2(histogram: &v1::Histogram) -> v2::Histogram {
    let spans = |spans: &[v1::BucketSpan]| {
        let span = |span: &v1::BucketSpan| v2::BucketSpan {
            offset: span.offset,
            length: span.length,
        };
        spans.iter().map(span).collect()
    };
    v2::Histogram {
        count: histogram.count.map(|count| match count {
            v1::histogram::Count::CountInt(count) => v2::histogram::Count::CountInt(count),
            v1::histogram::Count::CountFloat(count) => v2::histogram::Count::CountFloat(count),
        }),
        zero_count: histogram.zero_count.map(|count| match count {
            v1::histogram::ZeroCount::ZeroCountInt(count) => v2::histogram::ZeroCount::ZeroCountInt(count),
            v1::histogram::ZeroCount::ZeroCountFloat(count) => v2::histogram::ZeroCount::ZeroCountFloat(count),
        }),
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        negative_spans: spans(&histogram.negative_spans),
        negative_deltas: histogram.negative_deltas.clone(),
        negative_counts: histogram.negative_counts.clone(),
        positive_spans: spans(&histogram.positive_spans),
        positive_deltas: histogram.positive_deltas.clone(),
        positive_counts: histogram.positive_counts.clone(),
        reset_hint: histogram.reset_hint,
        timestamp: histogram.timestamp,
        custom_values: histogram.custom_values.clone(),
        start_timestamp: 0,
    }
}

fn compare_v1(body: &[u8]) -> String {
    let theirs = match v1::WriteRequest::decode(body) {
        Ok(request) => request,
        Err(_) => return said(write_v1::Request::parse(body).map(|_| "only ours".to_owned())),
    };
    let ours = write_v1::Request::parse(body).expect("what prost takes is taken");
    assert_eq!(ours.n_series(), theirs.timeseries.len());
    for (ours, theirs) in ours.series().zip(&theirs.timeseries) {
        let pair = |label: &v1::Label| (label.name.clone().into_bytes(), label.value.clone().into_bytes());
        let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
        let labels = |labels: &[v1::Label]| labels.iter().map(pair).collect::<Vec<_>>();
        assert_eq!(ours.labels().map(owned).collect::<Vec<_>>(), labels(&theirs.labels));
        let samples = ours.samples().map(|s| (s.value.to_bits(), s.timestamp));
        let expected = theirs.samples.iter().map(|s| (s.value.to_bits(), s.timestamp));
        assert!(samples.eq(expected), "samples differ");
        assert_eq!(ours.n_histograms(), theirs.histograms.len());
        for (ours, theirs) in ours.histograms().zip(&theirs.histograms) {
            assert_histogram(&ours, &as_v2(theirs));
        }
        assert_eq!(ours.n_exemplars(), theirs.exemplars.len());
        for (ours, theirs) in ours.exemplars().zip(&theirs.exemplars) {
            assert_eq!(ours.labels().map(owned).collect::<Vec<_>>(), labels(&theirs.labels));
            assert_eq!(
                (ours.value.to_bits(), ours.timestamp),
                (theirs.value.to_bits(), theirs.timestamp)
            );
        }
    }
    assert_eq!(ours.n_metadata(), theirs.metadata.len());
    for (ours, theirs) in ours.metadata().zip(&theirs.metadata) {
        assert_eq!(ours.metric_type, theirs.r#type);
        let expected = [&theirs.metric_family_name, &theirs.help, &theirs.unit].map(|text| text.as_bytes());
        assert_eq!([ours.family, ours.help, ours.unit], expected);
    }
    format!("{} series, {} metadata", ours.n_series(), ours.n_metadata())
}

fn compare_v2(body: &[u8]) -> String {
    let theirs = match v2::Request::decode(body) {
        Ok(request) => request,
        Err(_) => return said(write_v2::Request::parse(body).map(|_| "only ours".to_owned())),
    };
    if theirs.symbols.first().is_some_and(|first| !first.is_empty()) {
        return said(write_v2::Request::parse(body).map(|_| panic!("the first symbol is not empty")));
    }
    let ours = write_v2::Request::parse(body).expect("what prost takes is taken");
    let symbols = theirs.symbols.iter().map(String::as_bytes);
    assert!(ours.symbols().iter().eq(symbols), "symbols differ");
    assert_eq!(ours.n_series(), theirs.timeseries.len());
    let symbol = |reference: u32| theirs.symbols.get(reference as usize).map(String::as_bytes);
    let pairs = |refs: &[u32]| {
        let whole = refs.len().is_multiple_of(2);
        let pair = |pair: &[u32]| Some((symbol(pair[0])?, symbol(*pair.get(1)?)?));
        refs.chunks(2).map(pair).collect::<Option<Vec<_>>>().filter(|_| whole)
    };
    for (ours, theirs) in ours.series().zip(&theirs.timeseries) {
        assert_eq!(ours.refs().collect::<Vec<_>>(), theirs.labels_refs);
        assert_eq!(
            ours.labels().collect::<Result<Vec<_>, _>>().ok(),
            pairs(&theirs.labels_refs)
        );
        let sample = |value: f64, timestamp: i64, start: i64| (value.to_bits(), timestamp, start);
        let samples = ours.samples().map(|s| sample(s.value, s.timestamp, s.start_timestamp));
        let expected = theirs.samples.iter();
        let expected = expected.map(|s| sample(s.value, s.timestamp, s.start_timestamp));
        assert!(samples.eq(expected), "samples differ");
        assert_eq!(ours.n_histograms(), theirs.histograms.len());
        for (ours, theirs) in ours.histograms().zip(&theirs.histograms) {
            assert_histogram(&ours, theirs);
        }
        assert_eq!(ours.n_exemplars(), theirs.exemplars.len());
        for (ours, theirs) in ours.exemplars().zip(&theirs.exemplars) {
            assert_eq!(
                ours.labels().collect::<Result<Vec<_>, _>>().ok(),
                pairs(&theirs.labels_refs)
            );
            assert_eq!(
                (ours.value.to_bits(), ours.timestamp),
                (theirs.value.to_bits(), theirs.timestamp)
            );
        }
        let metadata = ours.metadata();
        assert_eq!(
            metadata.as_ref().map(|m| (m.metric_type, m.help_ref, m.unit_ref)),
            theirs.metadata.map(|m| (m.r#type, m.help_ref, m.unit_ref))
        );
        if let Some(metadata) = metadata {
            // No text at all is reference 0, also where there is no table.
            let text = |reference| symbol(reference).or((reference == 0).then_some(&[][..]));
            assert_eq!(metadata.help.ok(), text(metadata.help_ref));
            assert_eq!(metadata.unit.ok(), text(metadata.unit_ref));
        }
    }
    format!("{} series, {} symbols", ours.n_series(), ours.symbols().len())
}

fn target(name: &'static str) -> Target<'static> {
    Target {
        name,
        rounds: 25_000,
        max_bytes: 16 << 10,
        bound: BOUND,
        dictionary: &[],
        outcomes: 50,
    }
}

#[test]
fn prost_v1() {
    let seeds = vec![Input::of(write_request_v1().encode_to_vec())];
    target("prost_v1").run(seeds, nothing, |input| compare_v1(input.bytes()));
}

#[test]
fn prost_v2() {
    let seeds = vec![Input::of(write_request_v2().encode_to_vec())];
    target("prost_v2").run(seeds, nothing, |input| compare_v2(input.bytes()));
}
