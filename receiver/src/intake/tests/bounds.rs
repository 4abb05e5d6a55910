//! What a request may not do: expand without measure, hold what no engine can, contradict its verdict.

use super::*;

/// A few bytes of references stand for gigabytes of symbols: nothing beyond a limit may be copied, live or in replay.
#[test]
fn references_without_measure_expand_to_nothing() {
    let symbols = vec![
        String::new(),
        "__name__".to_owned(),
        "m".to_owned(),
        "v".repeat(1 << 20),
    ];
    let pairs = |n: usize| [1, 2].into_iter().chain([3; 2].repeat(n)).collect::<Vec<u32>>();
    let sample = v2::Sample {
        value: 1.0,
        timestamp: NOW,
        start_timestamp: 0,
    };
    let wide = v2::TimeSeries {
        labels_refs: [1, 2].into_iter().chain([2, 3].repeat(500_000)).collect(),
        samples: vec![sample],
        ..Default::default()
    };
    let traced = v2::TimeSeries {
        labels_refs: vec![1, 2],
        samples: vec![sample],
        exemplars: vec![v2::Exemplar {
            labels_refs: [2, 3].repeat(500_000),
            value: 1.0,
            timestamp: NOW,
        }],
        ..Default::default()
    };
    let body = v2::Request {
        symbols: symbols.clone(),
        timeseries: vec![wide.clone(), traced],
    }
    .encode_to_vec();
    // With all references expanded it would be 500 GB, twice.
    let live = judged(WriteProtocol::V2, &body).unwrap();
    let first = live.first_refusal.as_deref().unwrap();
    assert!(
        first.contains("has labels of more than 2097152 bytes") && first.contains("__name__=\"m\""),
        "{first}"
    );
    assert_eq!((live.batch.counts().samples, live.n_refused), (1, 2));
    let again = replay(WriteProtocol::V2, &body, &live.verdict).unwrap();
    assert_eq!(content(&again), content(&live));

    let long_name = v2::TimeSeries {
        labels_refs: pairs(1),
        samples: vec![sample],
        ..Default::default()
    };
    let many = |series: v2::TimeSeries| {
        let timeseries = vec![series; 100];
        let symbols = symbols.clone();
        v2::Request { symbols, timeseries }.encode_to_vec()
    };
    let limits = Limits::default();
    for refused in [wide, long_name] {
        let error = judge(WriteProtocol::V2, &many(refused), &rules(&limits, 16 << 20)).unwrap_err();
        assert!(
            matches!(error, IntakeError::TooLarge(_)),
            "work for refused series has a bound, too: {error}"
        );
    }
}

#[test]
fn a_text_of_metadata_has_a_bound() {
    let sent = |n: usize| Sent {
        help: Some("h".repeat(n)),
        ..floats(&[("__name__", "m")], &[(NOW, 0, 0)])
    };
    let limits = Limits {
        label_value_bytes: 10,
        ..Limits::default()
    };
    for protocol in [WriteProtocol::V1, WriteProtocol::V2] {
        let counts = |n| {
            let body = body(protocol, &[sent(n)]);
            let intake = judge(protocol, &body, &rules(&limits, usize::MAX)).unwrap();
            (
                intake.batch.counts().metadata,
                intake.batch.counts().samples,
                intake.n_refused,
            )
        };
        assert_eq!((counts(10), counts(11)), ((1, 1, 0), (0, 1, 1)));
    }
}

#[test]
fn an_invalid_histogram_is_told_with_its_fault() {
    let sent = Sent {
        histograms: vec![(NOW, 3, 2)],
        ..floats(&[("__name__", "h")], &[])
    };
    let body = body_v1(&[sent]);
    let intake = judged(WriteProtocol::V1, &body).unwrap();
    assert_eq!(
        intake.first_refusal.unwrap(),
        format!(
            r#"series {{__name__="h"}}: histogram at {NOW} is not valid: 2 observations in buckets, but the count is 3"#
        )
    );
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
        judge(WriteProtocol::V2, &body, &rules(&Limits::default(), 1 << 20)),
        Err(IntakeError::TooLarge(_))
    ));
    assert!(judge(WriteProtocol::V2, &body, &rules(&Limits::default(), 1 << 24)).is_ok());
}

#[test]
fn a_start_timestamp_that_no_engine_can_hold_is_refused() {
    let requested = [floats(
        &[("__name__", "m")],
        &[(NOW, 1, i64::MIN), (NOW, 2, NOW), (NOW, 3, i64::MAX)],
    )];
    let body = body_v2(&requested);
    let intake = judged(WriteProtocol::V2, &body).unwrap();
    assert_eq!((intake.batch.counts().samples, intake.n_refused), (1, 2));
}

#[test]
fn a_verdict_that_keeps_what_cannot_be_read_is_an_error() {
    let body = body_v1(&[floats(&[("job", "x")], &[(NOW, 0, 0)])]);
    let verdict = Verdict::new(VALIDATOR_VERSION);
    assert!(matches!(
        replay(WriteProtocol::V1, &body, &verdict),
        Err(IntakeError::Contradiction(_))
    ));
}

/// Version 2.0 wants to be told, whether the series is known or not; version 1.0 does not forbid it.
#[test]
fn an_entry_without_any_item_is_told_over_2_0() {
    let (tenant, table, limits) = (TenantId::default(), SeriesTable::new(), Limits::default());
    let full = body_v2(&[floats(&[("__name__", "m")], &[(NOW, 0, 0)])]);
    let empty = [floats(&[("__name__", "m")], &[])];
    let judged = |protocol, body: &[u8]| {
        let intake =
            crate::intake::judge(request(&tenant, protocol, body, &table), &rules(&limits, usize::MAX)).unwrap();
        table.append(&tenant, &intake.batch, &table, NOW);
        (intake.n_bad_series, intake.first_refusal)
    };
    let told = Some(r#"series {__name__="m"} has no sample, histogram or exemplar"#.to_owned());
    assert_eq!(judged(WriteProtocol::V2, &body_v2(&empty)), (1, told.clone()));
    assert_eq!(judged(WriteProtocol::V2, &full), (0, None));
    assert_eq!(judged(WriteProtocol::V2, &body_v2(&empty)), (1, told));
    assert_eq!(judged(WriteProtocol::V1, &body_v1(&empty)), (0, None));
}
