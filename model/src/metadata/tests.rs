//! The numbers and spellings of metric types, which are on the wire, in files and in answers.

use super::*;

#[test]
fn types_have_their_numbers_and_spellings() {
    // Both protocols count so; the spellings are those of Prometheus' API.
    let spellings = [
        "unknown",
        "counter",
        "gauge",
        "histogram",
        "gaugehistogram",
        "summary",
        "info",
        "stateset",
    ];
    for (number, spelling) in (0..).zip(spellings) {
        let metric_type = MetricType::from_number(number);
        assert_eq!(metric_type as i32, number);
        assert_eq!(metric_type.as_str(), spelling);
        assert_eq!(MetricType::parse(spelling), Some(metric_type));
    }
    for number in [-1, 8, i32::MIN, i32::MAX] {
        assert_eq!(MetricType::from_number(number), MetricType::Unknown);
    }
    for text in ["", "Counter", "gauge_histogram", "unknown "] {
        assert_eq!(MetricType::parse(text), None);
    }
}

#[test]
fn metadata_is_empty_when_it_says_nothing() {
    assert!(Metadata::default().is_empty());
    let said = [
        Metadata {
            metric_type: MetricType::Counter,
            ..Metadata::default()
        },
        Metadata {
            unit: "s".to_owned(),
            ..Metadata::default()
        },
        Metadata {
            help: "h".to_owned(),
            ..Metadata::default()
        },
    ];
    assert!(said.iter().all(|metadata| !metadata.is_empty()));
}
