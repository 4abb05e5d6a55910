//! Replay must give exactly what the live request gave, and the rules refuse exactly what they say.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_proto::messages::{prometheus as v1, write_v2 as v2};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;

const NOW: i64 = 1_800_000_000_000;

/// Labels and samples (timestamp, value bits, start timestamp) of one series entry.
type Entry = (Vec<(String, String)>, Vec<(i64, u64, i64)>);
type Requested = Vec<Entry>;

fn series() -> impl Strategy<Value = Entry> {
    let name = prop_oneof![
        3 => Just(vec![("__name__".to_owned(), "m".to_owned())]),
        1 => Just(vec![]),
        1 => Just(vec![("__name__".to_owned(), "m".to_owned()), ("__name__".to_owned(), "n".to_owned())]),
        1 => Just(vec![(String::new(), "x".to_owned()), ("__name__".to_owned(), "m".to_owned())]),
    ];
    let others = vec(("[a-c]", "[xy]{0,2}").prop_map(|(n, v)| (n, v)), 0..3);
    let timestamp = prop_oneof![
        6 => NOW - 1000..NOW + AHEAD_MS_MAX + 1,
        1 => Just(NOW + AHEAD_MS_MAX + 1),
        1 => Just(i64::MAX),
        1 => Just(MIN_TIMESTAMP),
        1 => Just(MIN_TIMESTAMP - 1),
        1 => Just(i64::MIN),
    ];
    let labels = (name, others).prop_map(|(mut labels, others)| {
        labels.extend(others);
        labels
    });
    (labels, vec((timestamp, any::<u64>(), 0i64..3), 0..5))
}

fn body_v1(requested: &Requested) -> Vec<u8> {
    let timeseries = requested.iter().map(|(labels, samples)| v1::TimeSeries {
        labels: labels
            .iter()
            .map(|(n, v)| v1::Label {
                name: n.clone(),
                value: v.clone(),
            })
            .collect(),
        samples: samples
            .iter()
            .map(|&(timestamp, bits, _)| v1::Sample {
                value: f64::from_bits(bits),
                timestamp,
            })
            .collect(),
        ..Default::default()
    });
    v1::WriteRequest {
        timeseries: timeseries.collect(),
        ..Default::default()
    }
    .encode_to_vec()
}

fn body_v2(requested: &Requested) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut timeseries = Vec::new();
    for (labels, samples) in requested {
        let mut labels_refs = Vec::new();
        for text in labels.iter().flat_map(|(n, v)| [n, v]) {
            labels_refs.push(u32::try_from(symbols.len()).unwrap());
            symbols.push(text.clone());
        }
        let samples = samples.iter().map(|&(timestamp, bits, start_timestamp)| v2::Sample {
            value: f64::from_bits(bits),
            timestamp,
            start_timestamp,
        });
        timeseries.push(v2::TimeSeries {
            labels_refs,
            samples: samples.collect(),
            ..Default::default()
        });
    }
    v2::Request { symbols, timeseries }.encode_to_vec()
}

fn content(intake: &Intake) -> Vec<(Vec<u8>, Vec<Sample>)> {
    intake
        .batch
        .iter()
        .map(|(labels, samples)| (labels.to_vec(), samples.to_vec()))
        .collect()
}

/// What must be kept, by the rules as they are written down.
fn expected(requested: &Requested, with_starts: bool) -> Vec<(Vec<u8>, Vec<Sample>)> {
    let mut kept = Vec::new();
    for (labels, samples) in requested {
        let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let Ok(labels) = emberkeep_model::Labels::from_pairs(pairs) else {
            continue;
        };
        if labels.metric_name().is_empty() {
            continue;
        }
        let samples: Vec<Sample> = samples
            .iter()
            .filter(|(t, ..)| (MIN_TIMESTAMP..=NOW + AHEAD_MS_MAX).contains(t))
            .map(|&(timestamp, bits, start)| Sample {
                timestamp,
                value: f64::from_bits(bits),
                start_timestamp: if with_starts { start } else { 0 },
            })
            .collect();
        if !samples.is_empty() {
            kept.push((labels.as_bytes().to_vec(), samples));
        }
    }
    kept
}

proptest! {
    #[test]
    fn replay_decides_nothing_anew(requested in vec(series(), 0..8), is_v2 in any::<bool>()) {
        let (protocol, body) =
            if is_v2 { (WriteProtocol::V2, body_v2(&requested)) } else { (WriteProtocol::V1, body_v1(&requested)) };
        let live = judge(protocol, &body, NOW, usize::MAX).unwrap();
        prop_assert_eq!(content(&live), expected(&requested, is_v2));
        let total: usize = requested.iter().map(|(_, samples)| samples.len()).sum();
        prop_assert_eq!(live.n_samples, total);
        prop_assert_eq!(live.batch.n_samples() + live.n_ahead + live.n_refused, total);
        // Another clock at replay changes nothing: it is not even asked.
        let again = replay(protocol, &body, &live.verdict).unwrap();
        prop_assert_eq!(content(&again), content(&live));
    }
}

#[test]
fn a_refusal_names_the_series_and_the_reason() {
    let requested = vec![(vec![("job".to_owned(), "x".to_owned())], vec![(NOW, 0, 0)])];
    let intake = judge(WriteProtocol::V1, &body_v1(&requested), NOW, usize::MAX).unwrap();
    assert_eq!(
        intake.first_refusal.as_deref(),
        Some(r#"series {job="x"} has no metric name"#)
    );
    assert!(judge(WriteProtocol::V1, b"\xff", NOW, usize::MAX).is_err());
}

#[test]
fn a_verdict_of_a_newer_validator_is_refused() {
    let verdict = Verdict::new(VALIDATOR_VERSION + 1);
    assert!(matches!(
        replay(WriteProtocol::V1, &[], &verdict),
        Err(IntakeError::NewerValidator(_))
    ));
}

#[test]
fn a_small_body_that_expands_without_measure_is_refused() {
    let symbols = vec![String::new(), "__name__".to_owned(), "x".repeat(10_000)];
    let series = v2::TimeSeries {
        labels_refs: vec![1, 2],
        samples: vec![v2::Sample {
            value: 1.0,
            timestamp: NOW,
            start_timestamp: 0,
        }],
        ..Default::default()
    };
    let body = v2::Request {
        symbols,
        timeseries: vec![series; 1000],
    }
    .encode_to_vec();
    assert!(matches!(
        judge(WriteProtocol::V2, &body, NOW, 1 << 20),
        Err(IntakeError::TooLarge(_))
    ));
    assert!(judge(WriteProtocol::V2, &body, NOW, 1 << 24).is_ok());
}

#[test]
fn a_start_timestamp_that_no_engine_can_hold_is_refused() {
    let labels = vec![("__name__".to_owned(), "m".to_owned())];
    let requested = vec![(labels, vec![(NOW, 1, i64::MIN), (NOW, 2, NOW), (NOW, 3, i64::MAX)])];
    let intake = judge(WriteProtocol::V2, &body_v2(&requested), NOW, usize::MAX).unwrap();
    assert_eq!((intake.batch.n_samples(), intake.n_refused), (1, 2));
}

#[test]
fn a_verdict_that_keeps_what_cannot_be_read_is_an_error() {
    let body = body_v1(&vec![(vec![("job".to_owned(), "x".to_owned())], vec![(NOW, 0, 0)])]);
    let verdict = Verdict::new(VALIDATOR_VERSION);
    assert!(matches!(
        replay(WriteProtocol::V1, &body, &verdict),
        Err(IntakeError::Contradiction(_))
    ));
}
