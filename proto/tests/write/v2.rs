//! Remote write 2.0.

use emberkeep_proto::WireError;
use emberkeep_proto::messages::write_v2 as messages;
use emberkeep_proto::write_v2::{Request, Series, SymbolError};
use proptest::prelude::*;
use prost::Message;

use crate::spelling::{Bytes, any_damage, damaged, double, doubles, in_order, message, nested, text, varint, varints};
use crate::{both, row};

/// Reads `body` with both decoders and compares what they found. Whether both took it.
pub(crate) fn agree(body: &[u8]) -> bool {
    let ours = Request::parse(body);
    if let Err(WireError::FirstSymbol) = ours {
        if let Ok(message) = messages::Request::decode(body) {
            assert_ne!(message.symbols[0], "");
        }
        return false;
    }
    let Some((expected, request)) = both::<messages::Request, _>(body, ours) else {
        return false;
    };
    assert!(
        request
            .symbols()
            .iter()
            .copied()
            .eq(expected.symbols.iter().map(|symbol| symbol.as_bytes()))
    );
    assert!(expected.symbols.first().is_none_or(|symbol| symbol.is_empty()));
    assert_eq!(request.n_series(), expected.timeseries.len());
    let series: Vec<_> = request.series().collect();
    assert_eq!(series.len(), expected.timeseries.len());
    for (series, expected_series) in series.iter().zip(&expected.timeseries) {
        compare(series, expected_series, &expected.symbols);
    }
    true
}

fn compare(series: &Series<'_, '_>, expected: &messages::TimeSeries, symbols: &[String]) {
    assert!(series.refs().eq(expected.labels_refs.iter().copied()));
    let labels: Vec<_> = series.labels().collect();
    assert_eq!(labels, expected_labels(&expected.labels_refs, symbols));
    let samples: Vec<_> = series.samples().map(row).collect();
    let expected_samples: Vec<_> = expected
        .samples
        .iter()
        .map(|s| (s.timestamp, s.value.to_bits(), s.start_timestamp))
        .collect();
    assert_eq!(samples, expected_samples);
    assert_eq!(series.n_samples(), expected.samples.len());
    assert_eq!(series.n_histograms(), expected.histograms.len());
    assert_eq!(series.n_exemplars(), expected.exemplars.len());
    assert_eq!(series.has_metadata(), expected.metadata.is_some());
    if let Some(packed) = series.label_refs() {
        let field = [&[0x0a][..], &varint_of(packed.len()), packed].concat();
        let alone = messages::TimeSeries::decode(field.as_slice()).expect("it is a packed field");
        assert_eq!(alone.labels_refs, expected.labels_refs);
    }
}

fn varint_of(len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(len as u64, &mut out);
    out
}

type Label<'s> = (&'s [u8], &'s [u8]);

fn expected_labels<'s>(refs: &[u32], symbols: &'s [String]) -> Vec<Result<Label<'s>, SymbolError>> {
    let symbol = |reference: u32| match symbols.get(reference as usize) {
        Some(symbol) => Ok(symbol.as_bytes()),
        None => Err(SymbolError::OutOfRange {
            reference,
            symbols: symbols.len(),
        }),
    };
    let mut labels = Vec::new();
    for pair in refs.chunks(2) {
        labels.push(match pair {
            [name, value] => symbol(*name).and_then(|name| Ok((name, symbol(*value)?))),
            _ => Err(SymbolError::OddCount),
        });
        if labels.last().is_some_and(|last| last.is_err()) {
            break;
        }
    }
    labels
}

fn histogram() -> Bytes {
    let span = || message(vec![varint(1), varint(2)]);
    message(vec![
        prop_oneof![varint(1), double(2)].boxed(),
        double(3),
        varint(4),
        double(5),
        prop_oneof![varint(6), double(7)].boxed(),
        nested(8, span()),
        varints(9),
        doubles(10),
        nested(11, span()),
        varints(12),
        doubles(13),
        varint(14),
        varint(15),
        doubles(16),
        varint(17),
    ])
}

/// The empty symbol, then symbols and series in any order.
fn any_body() -> Bytes {
    let sample = || {
        let fields = || vec![double(1), varint(2), varint(3)];
        prop_oneof![3 => in_order(fields()), 1 => message(fields())].boxed()
    };
    let exemplar = message(vec![varints(1), double(2), varint(3)]);
    let metadata = || message(vec![varint(1), varint(3), varint(4)]);
    let usual = in_order(vec![varints(1), nested(2, sample()), nested(5, metadata())]);
    let odd = message(vec![
        varints(1),
        nested(2, sample()),
        nested(3, histogram()),
        nested(4, exemplar),
        nested(5, metadata()),
        // The start timestamp of drafts, which the compliance suite still sends.
        varint(6),
    ]);
    let fields = message(vec![nested(5, prop_oneof![usual, odd].boxed()), text(4)]);
    fields.prop_map(|fields| [&[0x22, 0][..], &fields].concat()).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_spelling_is_read_like_prost(body in any_body()) {
        prop_assert!(agree(&body), "nothing in it is refused");
        // And as prost itself writes it.
        let message = messages::Request::decode(body.as_slice()).expect("prost took it above");
        prop_assert!(agree(&message.encode_to_vec()));
    }

    #[test]
    fn damage_is_judged_like_prost(body in any_body(), damage in any_damage()) {
        agree(&damaged(body, &damage));
    }

    #[test]
    fn random_bytes_are_judged_like_prost(body in proptest::collection::vec(prop_oneof![any::<u8>(), 0..48u8], 0..80)) {
        agree(&body);
    }
}

fn request(symbols: &[&str], refs: &[&[u32]]) -> messages::Request {
    messages::Request {
        symbols: symbols.iter().map(|symbol| (*symbol).to_owned()).collect(),
        timeseries: refs
            .iter()
            .map(|refs| messages::TimeSeries {
                labels_refs: refs.to_vec(),
                ..Default::default()
            })
            .collect(),
    }
}

#[test]
fn bad_references_are_errors_of_their_series_alone() {
    let body = request(&["", "a", "b"], &[&[1, 2], &[1, 2, 1], &[1, 3, 1, 2], &[3, 1], &[2, 1]]).encode_to_vec();
    let request = Request::parse(&body).expect("well formed");
    let labels: Vec<Vec<_>> = request.series().map(|series| series.labels().collect()).collect();
    let (a, b) = (&b"a"[..], &b"b"[..]);
    let out_of_range = Err(SymbolError::OutOfRange {
        reference: 3,
        symbols: 3,
    });
    assert_eq!(
        labels,
        [
            vec![Ok((a, b))],
            vec![Ok((a, b)), Err(SymbolError::OddCount)],
            vec![out_of_range],
            vec![out_of_range],
            vec![Ok((b, a))]
        ]
    );
}

#[test]
fn the_first_symbol_must_be_empty() {
    let body = request(&["a", ""], &[]).encode_to_vec();
    assert!(matches!(Request::parse(&body), Err(WireError::FirstSymbol)));
    for symbols in [&[][..], &[""], &["", "", "a"]] {
        assert!(Request::parse(&request(symbols, &[&[]]).encode_to_vec()).is_ok());
    }
}

#[test]
fn symbols_may_come_last() {
    let series = request(&[], &[&[1, 2]]).encode_to_vec();
    let symbols = request(&["", "a", "b"], &[]).encode_to_vec();
    let body = [series, symbols].concat();
    let request = Request::parse(&body).expect("well formed");
    let labels: Vec<_> = request.series().next().expect("one series").labels().collect();
    assert_eq!(labels, [Ok((&b"a"[..], &b"b"[..]))]);
}

#[test]
fn references_in_several_fields_have_no_region() {
    for (series, region) in [
        (vec![], Some(&[][..])),
        (vec![0x0a, 2, 1, 2], Some(&[1, 2])),
        (vec![0x0a, 2, 1, 2, 0x0a, 0], None),
        (vec![0x08, 1, 0x08, 2], None),
        (vec![0x0a, 1, 1, 0x08, 2], None),
        (vec![0x08, 1, 0x0a, 1, 2], None),
    ] {
        let body = [&[0x2a, series.len() as u8][..], &series].concat();
        let request = Request::parse(&body).expect("well formed");
        let entry = request.series().next().expect("one series");
        assert_eq!(entry.label_refs(), region, "{series:x?}");
        let refs: Vec<_> = entry.refs().collect();
        assert_eq!(refs, if series.is_empty() { vec![] } else { vec![1, 2] }, "{series:x?}");
    }
}
