//! Remote write 1.0.

use emberkeep_proto::SampleColumns;
use emberkeep_proto::messages::prometheus as messages;
use emberkeep_proto::write_v1::{Entries, Entry, Metadata, Request, Series};
use proptest::prelude::*;
use prost::Message;

use crate::histogram::{Facts, any_histogram};
use crate::spelling::{Bytes, any_damage, damaged, double, in_order, many, message, nested, text, varint};
use crate::{both, row};

/// Reads `body` with both decoders and compares what they found. Whether both took it.
pub(crate) fn agree(body: &[u8]) -> bool {
    crate::walk::agree_v1(body);
    let Some((expected, request)) = both::<messages::WriteRequest, _>(body, Request::parse(body)) else {
        return false;
    };
    assert_eq!(request.n_metadata(), expected.metadata.len());
    let metadata: Vec<_> = request.metadata().collect();
    let expected_metadata: Vec<_> = expected
        .metadata
        .iter()
        .map(|metadata| Metadata {
            metric_type: metadata.r#type,
            family: metadata.metric_family_name.as_bytes(),
            help: metadata.help.as_bytes(),
            unit: metadata.unit.as_bytes(),
        })
        .collect();
    assert_eq!(metadata, expected_metadata);
    assert_eq!(request.n_series(), expected.timeseries.len());
    let series: Vec<_> = request.series().collect();
    assert_eq!(series.len(), expected.timeseries.len());
    for (series, expected) in series.iter().zip(&expected.timeseries) {
        compare(series, expected);
    }
    true
}

fn compare(series: &Series<'_>, expected: &messages::TimeSeries) {
    let expected_labels = |labels: &[messages::Label]| -> Vec<_> {
        labels
            .iter()
            .map(|label| (label.name.clone().into_bytes(), label.value.clone().into_bytes()))
            .collect()
    };
    let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
    let labels: Vec<_> = series.labels().map(owned).collect();
    assert_eq!(labels, expected_labels(&expected.labels));
    let samples: Vec<_> = series.samples().map(row).collect();
    let expected_samples: Vec<_> = expected
        .samples
        .iter()
        .map(|s| (s.timestamp, s.value.to_bits(), 0))
        .collect();
    assert_eq!(samples, expected_samples);
    assert_eq!(series.n_samples(), expected.samples.len());
    assert_eq!(series.n_histograms(), expected.histograms.len());
    let histograms: Vec<Facts> = series.histograms().map(Facts::from).collect();
    assert_eq!(
        histograms,
        expected.histograms.iter().map(Facts::from).collect::<Vec<_>>()
    );
    assert_eq!(series.n_exemplars(), expected.exemplars.len());
    let exemplars: Vec<_> = series
        .exemplars()
        .map(|e| {
            (
                e.labels().map(owned).collect::<Vec<_>>(),
                e.value.to_bits(),
                e.timestamp,
            )
        })
        .collect();
    let expected_exemplars: Vec<_> = expected
        .exemplars
        .iter()
        .map(|e| (expected_labels(&e.labels), e.value.to_bits(), e.timestamp))
        .collect();
    assert_eq!(exemplars, expected_exemplars);
}

fn any_body() -> Bytes {
    let label = || prop_oneof![3 => in_order(vec![text(1), text(2)]), 1 => message(vec![text(1), text(2)])].boxed();
    let sample =
        || prop_oneof![3 => in_order(vec![double(1), varint(2)]), 1 => message(vec![double(1), varint(2)])].boxed();
    let exemplar = || {
        let usual = in_order(vec![many(nested(1, label()), 0..4), double(2), varint(3)]);
        let odd = message(vec![nested(1, label()), double(2), varint(3)]);
        prop_oneof![usual, odd].boxed()
    };
    let usual = in_order(vec![nested(1, label()), nested(1, label()), nested(2, sample())]);
    let native = in_order(vec![
        nested(1, label()),
        many(nested(3, exemplar()), 0..3),
        many(nested(4, any_histogram()), 0..3),
    ]);
    let odd = message(vec![
        nested(1, label()),
        nested(2, sample()),
        nested(3, exemplar()),
        nested(4, any_histogram()),
    ]);
    let series = nested(1, prop_oneof![usual, native, odd].boxed());
    let metadata = || vec![varint(1), text(2), text(4), text(5)];
    let metadata = nested(3, prop_oneof![in_order(metadata()), message(metadata())].boxed());
    message(vec![series.clone(), series, metadata])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_spelling_is_read_like_prost(body in any_body()) {
        prop_assert!(agree(&body), "nothing in it is refused");
        // And as prost itself writes it.
        let message = messages::WriteRequest::decode(body.as_slice()).expect("prost took it above");
        prop_assert!(agree(&message.encode_to_vec()));
    }

    #[test]
    fn damage_is_judged_like_prost(body in any_body(), damage in any_damage()) {
        agree(&damaged(body, &damage));
    }

    #[test]
    fn random_bytes_are_judged_like_prost(body in proptest::collection::vec(prop_oneof![any::<u8>(), 0..40u8], 0..80)) {
        agree(&body);
    }
}

/// Prefixes content, shorter than 128 bytes, with key and length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, content.len() as u8], content].concat()
}

#[test]
fn labels_and_then_samples_are_plain_and_anything_else_is_not() {
    let label = |name: &str| field(1, &field(1, name.as_bytes()));
    let sample = field(2, &[0x10, 7]);
    let unknown = [20 << 3, 1, 5];
    for (parts, plain) in [
        (vec![&label("a")[..], &label("b")], true),
        (vec![&label("a"), &sample, &sample], true),
        (vec![&sample, &label("a")], false),
        (vec![&label("a"), &sample, &label("b")], false),
        (vec![&label("a"), &unknown, &label("b")], false),
    ] {
        let body = field(1, &parts.concat());
        crate::walk::agree_v1(&body);
        let entry = Entries::new(&body).next_entry(&[], &mut SampleColumns::default());
        match entry.expect("well formed").expect("one series") {
            Entry::Plain { region } => assert!(plain && parts.concat().starts_with(region), "{parts:x?}"),
            _ => assert!(!plain, "{parts:x?}"),
        }
    }
}

#[test]
fn text_that_is_not_utf8_is_given_out_as_it_is() {
    let body = field(1, &field(1, &[field(1, b"\xff"), field(2, b"\xc3\x28")].concat()));
    let request = Request::parse(&body).expect("not judged here");
    assert_eq!(
        request.series().next().expect("one series").labels().next(),
        Some((&b"\xff"[..], &b"\xc3\x28"[..]))
    );
}

#[test]
fn an_error_names_the_place_in_the_whole_body() {
    let good = field(1, &field(1, &field(1, b"a")));
    // A label whose name claims nine bytes where one is left.
    let bad = field(1, &field(1, &[0x0a, 9, b'a']));
    let error = Request::parse(&[good.clone(), bad].concat()).expect_err("length reaches out");
    assert_eq!(
        error.to_string(),
        format!(
            "malformed at byte {}: length reaches past the end of its message",
            good.len() + 6
        )
    );
}
