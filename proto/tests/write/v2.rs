//! Remote write 2.0.

use emberkeep_proto::messages::write_v2 as messages;
use emberkeep_proto::write_v2::{self, Entries, Entry, Metadata, Request, Series, SymbolError};
use emberkeep_proto::{SampleColumns, WireError};
use proptest::prelude::*;
use prost::Message;

use crate::histogram::{Facts, any_histogram};
use crate::spelling::{Bytes, any_damage, damaged, double, in_order, many, message, nested, text, varint, varints};
use crate::{both, row};

/// Reads `body` with both decoders and compares what they found. Whether both took it.
pub(crate) fn agree(body: &[u8]) -> bool {
    crate::walk::agree_v2(body);
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
    let symbols: Vec<_> = request.symbols().iter().collect();
    assert_eq!(
        symbols,
        expected
            .symbols
            .iter()
            .map(|symbol| symbol.as_bytes())
            .collect::<Vec<_>>()
    );
    assert_eq!(request.symbols().len(), symbols.len());
    assert_eq!(request.symbols().is_empty(), symbols.is_empty());
    for reference in 0..=symbols.len() {
        assert_eq!(request.symbols().get(reference as u32), symbols.get(reference).copied());
    }
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
    let histograms: Vec<Facts> = series.histograms().map(Facts::from).collect();
    assert_eq!(
        histograms,
        expected.histograms.iter().map(Facts::from).collect::<Vec<_>>()
    );
    assert_eq!(series.n_exemplars(), expected.exemplars.len());
    let exemplars: Vec<_> = series
        .exemplars()
        .map(|e| (e.labels().collect::<Vec<_>>(), e.value.to_bits(), e.timestamp))
        .collect();
    let expected_exemplars: Vec<_> = expected
        .exemplars
        .iter()
        .map(|e| (expected_labels(&e.labels_refs, symbols), e.value.to_bits(), e.timestamp))
        .collect();
    assert_eq!(exemplars, expected_exemplars);
    assert_eq!(series.has_metadata(), expected.metadata.is_some());
    // Reference 0 is what an absent one reads as, and the empty text even without a table.
    let text = |reference| match reference {
        0 => Ok(&b""[..]),
        _ => symbol(reference, symbols),
    };
    let expected_metadata = expected.metadata.map(|metadata| Metadata {
        metric_type: metadata.r#type,
        help_ref: metadata.help_ref,
        unit_ref: metadata.unit_ref,
        help: text(metadata.help_ref),
        unit: text(metadata.unit_ref),
    });
    assert_eq!(series.metadata(), expected_metadata);
}

type Label<'s> = (&'s [u8], &'s [u8]);

fn symbol(reference: u32, symbols: &[String]) -> Result<&[u8], SymbolError> {
    match symbols.get(reference as usize) {
        Some(symbol) => Ok(symbol.as_bytes()),
        None => Err(SymbolError::OutOfRange {
            reference,
            symbols: symbols.len(),
        }),
    }
}

fn expected_labels<'s>(refs: &[u32], symbols: &'s [String]) -> Vec<Result<Label<'s>, SymbolError>> {
    let symbol = |reference| symbol(reference, symbols);
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

/// The empty symbol, then symbols and series in any order; or series alone.
fn any_body() -> Bytes {
    let sample = || {
        let fields = || vec![double(1), varint(2), varint(3)];
        prop_oneof![3 => in_order(fields()), 1 => message(fields())].boxed()
    };
    let exemplar = || {
        let fields = || vec![varints(1), double(2), varint(3)];
        prop_oneof![in_order(fields()), message(fields())].boxed()
    };
    let metadata = || {
        let fields = || vec![varint(1), varint(3), varint(4)];
        prop_oneof![in_order(fields()), message(fields())].boxed()
    };
    let native = in_order(vec![
        varints(1),
        many(nested(3, any_histogram()), 0..3),
        many(nested(4, exemplar()), 0..3),
        many(nested(5, metadata()), 0..3),
    ]);
    let usual = in_order(vec![varints(1), nested(2, sample()), nested(5, metadata())]);
    let odd = message(vec![
        varints(1),
        nested(2, sample()),
        nested(3, any_histogram()),
        nested(4, exemplar()),
        nested(5, metadata()),
        // The start timestamp of drafts, which the compliance suite still sends.
        varint(6),
    ]);
    let series = nested(5, prop_oneof![usual, native, odd].boxed());
    let symbols = many(text(4), 0..40);
    let fields = message(vec![series.clone(), text(4)]);
    let with_table = (symbols, fields).prop_map(|(symbols, fields)| [&[0x22, 0], &symbols[..], &fields].concat());
    prop_oneof![9 => with_table, 1 => message(vec![series])].boxed()
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
fn a_bad_reference_of_an_exemplar_or_metadata_is_its_own_alone() {
    let mut message = request(&["", "a", "b"], &[&[1, 2]]);
    let exemplar = |refs: &[u32]| messages::Exemplar {
        labels_refs: refs.to_vec(),
        ..Default::default()
    };
    let series = &mut message.timeseries[0];
    series.exemplars = vec![exemplar(&[1, 2, 9]), exemplar(&[7, 1]), exemplar(&[2, 1])];
    series.metadata = Some(messages::Metadata {
        r#type: 3,
        help_ref: 2,
        unit_ref: 3,
    });
    let body = message.encode_to_vec();
    let request = Request::parse(&body).expect("well formed");
    let series = request.series().next().expect("one series");
    let out_of_range = |reference| SymbolError::OutOfRange { reference, symbols: 3 };
    let exemplars: Vec<Vec<_>> = series.exemplars().map(|e| e.labels().collect()).collect();
    let (a, b) = (&b"a"[..], &b"b"[..]);
    assert_eq!(
        exemplars,
        [
            vec![Ok((a, b)), Err(SymbolError::OddCount)],
            vec![Err(out_of_range(7))],
            vec![Ok((b, a))]
        ]
    );
    let metadata = series.metadata().expect("it was sent");
    assert_eq!((metadata.help, metadata.unit), (Ok(b), Err(out_of_range(3))));
    assert_eq!(series.labels().collect::<Vec<_>>(), [Ok((a, b))]);
}

#[test]
fn metadata_without_any_symbols_is_empty_and_several_are_merged() {
    let metadata = |parts: &[u8]| [&[0x2a, parts.len() as u8], parts].concat();
    for (parts, expected) in [
        (vec![], None),
        (vec![metadata(&[])], Some((0, 0, 0))),
        (
            vec![metadata(&[8, 2, 0x18, 5]), metadata(&[0x20, 6]), metadata(&[8, 1])],
            Some((1, 5, 6)),
        ),
    ] {
        let entry = parts.concat();
        let body = [&[0x2a, entry.len() as u8][..], &entry].concat();
        assert!(agree(&body));
        let request = Request::parse(&body).expect("well formed");
        let found = request.series().next().expect("one series").metadata();
        assert_eq!(found.map(|m| (m.metric_type, m.help_ref, m.unit_ref)), expected);
        if expected == Some((0, 0, 0)) {
            assert_eq!(found.map(|m| (m.help, m.unit)), Some((Ok(&b""[..]), Ok(&b""[..]))));
        }
    }
}

#[test]
fn a_symbol_of_any_length_is_found_again() {
    let texts: Vec<String> = [0, 127, 128, 16_383, 16_384, 0, 1].map(|len| "x".repeat(len)).into();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert!(agree(&request(&texts, &[&[1, 2, 3, 4, 5, 6]]).encode_to_vec()));
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
fn references_in_one_field_are_plain_and_anything_else_is_not() {
    for (series, plain) in [
        (vec![0x0a, 2, 1, 2], true),
        (vec![], false),
        (vec![0x0a, 2, 1, 2, 0x0a, 0], false),
        (vec![0x08, 1, 0x08, 2], false),
        (vec![0x0a, 1, 1, 0x08, 2], false),
        (vec![0x08, 1, 0x0a, 1, 2], false),
    ] {
        let body = [&[0x2a, series.len() as u8][..], &series].concat();
        crate::walk::agree_v2(&body);
        let symbols = write_v2::symbols(&body).expect("well formed");
        let entry = Entries::new(&body, &symbols).next_entry(&mut SampleColumns::default());
        match entry.expect("well formed").expect("one series") {
            Entry::Plain { refs, .. } => assert!(plain && refs == [1, 2], "{series:x?}"),
            Entry::Series(entry) => {
                assert!(!plain, "{series:x?}");
                let refs: Vec<_> = entry.refs().collect();
                assert_eq!(refs, if series.is_empty() { vec![] } else { vec![1, 2] }, "{series:x?}");
            }
        }
    }
}
