//! Replay must give exactly what the live request gave, and the rules refuse exactly what they say.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_model::{Exemplar, Labels, MIN_TIMESTAMP, Sample};
use emberkeep_proto::messages::{prometheus as v1, write_v2 as v2};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::batch::Identity;
use crate::clock_rule::AHEAD_MS_MAX;
use crate::limits::Limits;
use crate::series_table::region;

mod bounds;
mod known;

const NOW: i64 = 1_800_000_000_000;

/// Names and values, as sent.
type Pairs = Vec<(String, String)>;

/// One series entry as it is sent; a histogram is told by its time, its count and the count of its one bucket.
#[derive(Debug, Clone, Default)]
struct Sent {
    labels: Pairs,
    samples: Vec<(i64, u64, i64)>,
    histograms: Vec<(i64, u64, u64)>,
    exemplars: Vec<(i64, u64, Pairs)>,
    help: Option<String>,
}

/// What must be kept of one series entry.
#[derive(Debug, Clone, PartialEq)]
struct Taken {
    labels: Labels,
    samples: Vec<Sample>,
    histograms: Vec<(i64, u64)>,
    exemplars: Vec<Exemplar>,
    help: Option<String>,
}

fn label_pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        3 => Just(vec![("__name__".to_owned(), "m".to_owned())]),
        1 => Just(vec![]),
        1 => Just(vec![("__name__".to_owned(), "m".to_owned()), ("__name__".to_owned(), "n".to_owned())]),
        1 => Just(vec![(String::new(), "x".to_owned()), ("__name__".to_owned(), "m".to_owned())]),
    ];
    let others = vec(("[a-c]", "[xy]{0,2}").prop_map(|(n, v)| (n, v)), 0..3);
    (name, others).prop_map(|(mut labels, others)| {
        labels.extend(others);
        labels
    })
}

fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => NOW - 1000..NOW + AHEAD_MS_MAX + 1,
        1 => Just(NOW + AHEAD_MS_MAX + 1),
        1 => Just(i64::MAX),
        1 => Just(MIN_TIMESTAMP),
        1 => Just(MIN_TIMESTAMP - 1),
        1 => Just(i64::MIN),
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let exemplar_labels = vec(("[a-c]", "[xy]{0,70}"), 0..3);
    (
        label_pairs(),
        vec((timestamp(), any::<u64>(), 0i64..3), 0..4),
        vec((timestamp(), 1u64..4, 1u64..4), 0..3),
        vec((timestamp(), any::<u64>(), exemplar_labels), 0..3),
        proptest::option::of("[a-z ]{0,5}"),
    )
        .prop_map(|(labels, samples, histograms, exemplars, help)| Sent {
            labels,
            samples,
            histograms,
            exemplars,
            help,
        })
}

fn rules(limits: &Limits, batch_bytes_max: usize) -> Rules<'_> {
    Rules {
        limits,
        now: NOW,
        batch_bytes_max,
    }
}

fn judged(protocol: WriteProtocol, body: &[u8]) -> Result<Intake<'_>, IntakeError> {
    judge(protocol, body, &rules(&Limits::default(), usize::MAX))
}

/// Against a table that knows nothing.
fn judge<'a>(protocol: WriteProtocol, body: &'a [u8], rules: &Rules<'_>) -> Result<Intake<'a>, IntakeError> {
    let (tenant, table) = (TenantId::default(), SeriesTable::new());
    super::judge(request(&tenant, protocol, body, &table), rules)
}

/// Against a table that knows nothing.
fn replay<'a>(protocol: WriteProtocol, body: &'a [u8], verdict: &Verdict) -> Result<Intake<'a>, IntakeError> {
    let (tenant, table) = (TenantId::default(), SeriesTable::new());
    super::replay(request(&tenant, protocol, body, &table), verdict)
}

fn request<'a, 't>(
    tenant: &'t TenantId,
    protocol: WriteProtocol,
    body: &'a [u8],
    table: &'t SeriesTable,
) -> Request<'a, 't> {
    Request {
        tenant,
        protocol,
        body,
        table,
    }
}

/// One bucket, valid when its count is the count of all.
macro_rules! wire_histogram {
    ($message:ident, $sent:expr) => {{
        let (timestamp, count, bucket) = $sent;
        $message::Histogram {
            count: Some($message::histogram::Count::CountInt(count)),
            sum: 1.5,
            schema: 3,
            positive_spans: vec![$message::BucketSpan { offset: -2, length: 1 }],
            positive_deltas: vec![i64::try_from(bucket).unwrap()],
            timestamp,
            ..Default::default()
        }
    }};
}

fn body_v1(requested: &[Sent]) -> Vec<u8> {
    let labels = |pairs: &[(String, String)]| -> Vec<v1::Label> {
        let label = |(name, value): &(String, String)| v1::Label {
            name: name.clone(),
            value: value.clone(),
        };
        pairs.iter().map(label).collect()
    };
    let timeseries = requested.iter().map(|sent| v1::TimeSeries {
        labels: labels(&sent.labels),
        samples: sent
            .samples
            .iter()
            .map(|&(timestamp, bits, _)| v1::Sample {
                value: f64::from_bits(bits),
                timestamp,
            })
            .collect(),
        histograms: sent.histograms.iter().map(|&h| wire_histogram!(v1, h)).collect(),
        exemplars: sent
            .exemplars
            .iter()
            .map(|(timestamp, bits, pairs)| v1::Exemplar {
                labels: labels(pairs),
                value: f64::from_bits(*bits),
                timestamp: *timestamp,
            })
            .collect(),
    });
    let metadata = requested.iter().filter_map(|sent| {
        Some(v1::MetricMetadata {
            r#type: 1,
            metric_family_name: "family".to_owned(),
            help: sent.help.clone()?,
            unit: String::new(),
        })
    });
    v1::WriteRequest {
        timeseries: timeseries.collect(),
        metadata: metadata.collect(),
    }
    .encode_to_vec()
}

fn body_v2(requested: &[Sent]) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut add = |text: &str| {
        symbols.push(text.to_owned());
        u32::try_from(symbols.len() - 1).unwrap()
    };
    let mut timeseries = Vec::new();
    for sent in requested {
        let mut refs =
            |pairs: &[(String, String)]| -> Vec<u32> { pairs.iter().flat_map(|(n, v)| [add(n), add(v)]).collect() };
        let samples = sent
            .samples
            .iter()
            .map(|&(timestamp, bits, start_timestamp)| v2::Sample {
                value: f64::from_bits(bits),
                timestamp,
                start_timestamp,
            });
        timeseries.push(v2::TimeSeries {
            labels_refs: refs(&sent.labels),
            samples: samples.collect(),
            histograms: sent.histograms.iter().map(|&h| wire_histogram!(v2, h)).collect(),
            exemplars: sent
                .exemplars
                .iter()
                .map(|(timestamp, bits, pairs)| v2::Exemplar {
                    labels_refs: refs(pairs),
                    value: f64::from_bits(*bits),
                    timestamp: *timestamp,
                })
                .collect(),
            metadata: sent.help.as_ref().map(|help| v2::Metadata {
                r#type: 1,
                help_ref: add(help),
                unit_ref: 0,
            }),
        });
    }
    v2::Request { symbols, timeseries }.encode_to_vec()
}

/// What was kept of a request none of whose series was known.
fn content(intake: &Intake<'_>) -> Vec<Taken> {
    let batch = &intake.batch;
    let kept = batch.series().iter().filter(|series| !series.is_empty());
    let series = kept.map(|series| {
        let Identity::Unknown(number) = series.identity else {
            panic!("the table knows no series")
        };
        let samples = batch.samples_of(series);
        let mut run = emberkeep_model::Run::default();
        samples.append_to(&mut run);
        let others = batch.others_of(series);
        let count_of = |canonical: emberkeep_model::HistogramRow<'_>| {
            let emberkeep_model::Counts::Integer { count, .. } = canonical.histogram().counts else {
                panic!("integer counts were sent")
            };
            (canonical.timestamp, count)
        };
        let histograms = others.map(|others| {
            others
                .histogram_range()
                .map(|i| count_of(others.histograms.row(i)))
                .collect()
        });
        Taken {
            labels: region::Region::of(batch.unknown(number).1).to_labels(&mut Vec::new()),
            samples: run.iter().collect(),
            histograms: histograms.unwrap_or_default(),
            exemplars: others.map(|others| others.exemplars.to_vec()).unwrap_or_default(),
            help: series.metadata().map(|number| {
                let metadata = batch.metadata().nth(number as usize).unwrap();
                metadata.help.to_owned()
            }),
        }
    });
    series.collect()
}

fn in_time(timestamp: i64) -> bool {
    (MIN_TIMESTAMP..=NOW + AHEAD_MS_MAX).contains(&timestamp)
}

/// What must be kept, by the rules as they are written down.
fn expected(requested: &[Sent], is_v2: bool) -> Vec<Taken> {
    let pairs = |labels: &[(String, String)]| {
        let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        Labels::from_pairs(pairs)
    };
    let mut kept = Vec::new();
    for sent in requested {
        let Ok(labels) = pairs(&sent.labels) else { continue };
        if labels.metric_name().is_empty() {
            continue;
        }
        let samples = sent.samples.iter().filter(|(t, ..)| in_time(*t));
        let histograms = sent
            .histograms
            .iter()
            .filter(|(t, count, bucket)| in_time(*t) && count == bucket);
        let exemplars = sent.exemplars.iter().filter_map(|(timestamp, bits, labels)| {
            let labels = pairs(labels).ok()?;
            let chars: usize = labels.iter().map(|(n, v)| n.len() + v.len()).sum();
            (in_time(*timestamp) && chars <= 128).then_some(Exemplar {
                timestamp: *timestamp,
                value: f64::from_bits(*bits),
                labels,
            })
        });
        let taken = Taken {
            labels,
            samples: samples
                .map(|&(timestamp, bits, start)| Sample {
                    timestamp,
                    value: f64::from_bits(bits),
                    start_timestamp: if is_v2 { start } else { 0 },
                })
                .collect(),
            histograms: histograms.map(|&(t, count, _)| (t, count)).collect(),
            exemplars: exemplars.collect(),
            help: sent.help.clone().filter(|_| is_v2),
        };
        if !(taken.samples.is_empty()
            && taken.histograms.is_empty()
            && taken.exemplars.is_empty()
            && taken.help.is_none())
        {
            kept.push(taken);
        }
    }
    kept
}

fn body(protocol: WriteProtocol, requested: &[Sent]) -> Vec<u8> {
    match protocol {
        WriteProtocol::V1 => body_v1(requested),
        WriteProtocol::V2 => body_v2(requested),
    }
}

fn protocol() -> impl Strategy<Value = WriteProtocol> {
    prop_oneof![Just(WriteProtocol::V1), Just(WriteProtocol::V2)]
}

proptest! {
    #[test]
    fn replay_decides_nothing_anew(requested in vec(sent(), 0..6), protocol in protocol()) {
        let body = body(protocol, &requested);
        let live = judged(protocol, &body).unwrap();
        prop_assert_eq!(content(&live), expected(&requested, protocol == WriteProtocol::V2));
        prop_assert_eq!(live.batch.counts().samples + live.batch.counts().histograms + live.batch.counts().exemplars
            + live.n_ahead + live.n_refused + live.batch.counts().metadata, live.sent.total());
        prop_assert_eq!(live.verdict.refused_count() as usize, live.n_ahead + live.n_refused);
        // Another clock or other limits at replay change nothing: they are not even asked.
        let again = replay(protocol, &body, &live.verdict).unwrap();
        prop_assert_eq!(content(&again), content(&live));
        let families = |intake: &Intake<'_>| intake.batch.families().map(|(f, m)| (f.to_owned(), m.help.to_owned())).collect::<Vec<_>>();
        prop_assert_eq!(families(&again), families(&live));
        if protocol == WriteProtocol::V1 {
            prop_assert_eq!(families(&live).len(), requested.iter().filter(|sent| sent.help.is_some()).count());
        }
    }

    #[test]
    fn records_of_the_first_validator_keep_floats_by_their_own_ordinals(requested in vec(sent(), 0..6), protocol in protocol(), refused in any::<u16>()) {
        let body = body(protocol, &requested);
        // Whatever the series, those that cannot be read were refused then, too.
        let (mut verdict, mut ordinal, mut kept) = (Verdict::new(FLOATS_ONLY), 0, Vec::new());
        for sent in &requested {
            let named = Labels::from_pairs(sent.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())))
                .is_ok_and(|labels| !labels.metric_name().is_empty());
            for &(timestamp, bits, _) in &sent.samples {
                if named && refused & (1 << (ordinal % 16)) == 0 {
                    kept.push((timestamp, bits));
                } else {
                    verdict.refuse(ordinal);
                }
                ordinal += 1;
            }
        }
        let taken = replay(protocol, &body, &verdict).unwrap();
        let found: Vec<_> = content(&taken).into_iter().flat_map(|series| series.samples).map(|s| (s.timestamp, s.value.to_bits())).collect();
        prop_assert_eq!(found, kept);
        prop_assert_eq!(taken.batch.counts().total(), taken.batch.counts().samples);
    }
}

#[test]
fn a_refusal_names_the_series_and_the_reason() {
    let requested = [floats(&[("job", "x")], &[(NOW, 0, 0)])];
    let body = body_v1(&requested);
    let intake = judged(WriteProtocol::V1, &body).unwrap();
    assert_eq!(
        intake.first_refusal.as_deref(),
        Some(r#"series {job="x"} has no metric name"#)
    );
    assert!(judged(WriteProtocol::V1, b"\xff").is_err());
}

fn floats(labels: &[(&str, &str)], samples: &[(i64, u64, i64)]) -> Sent {
    Sent {
        labels: labels.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect(),
        samples: samples.to_vec(),
        ..Sent::default()
    }
}

#[test]
fn each_limit_refuses_what_is_beyond_it_and_says_so() {
    let named = ("__name__", "m");
    let ok = Limits::default();
    let refused = |limits: Limits, sent: &Sent| {
        let body = body_v2(std::slice::from_ref(sent));
        assert_eq!(
            judged(WriteProtocol::V2, &body).unwrap().n_refusals(),
            0,
            "within the default"
        );
        let intake = judge(WriteProtocol::V2, &body, &rules(&limits, usize::MAX)).unwrap();
        assert!(
            replay(WriteProtocol::V2, &body, &intake.verdict).is_ok(),
            "a verdict outlives the limit"
        );
        intake.first_refusal.expect("something is refused")
    };
    let wide = floats(&[named, ("a", "1"), ("longer", "2345")], &[(NOW, 0, 0)]);
    let labels = Limits {
        labels_per_series: 2,
        ..ok.clone()
    };
    assert!(refused(labels, &wide).contains("has more than 2 labels"));
    let names = Limits {
        label_name_bytes: 7,
        ..ok.clone()
    };
    assert!(refused(names, &wide).contains("has a label name of 8 bytes, more than 7"));
    let values = Limits {
        label_value_bytes: 3,
        ..ok.clone()
    };
    assert!(refused(values, &wide).contains("has a label value of 4 bytes, more than 3"));
    let exemplar = Sent {
        exemplars: vec![(NOW, 0, vec![("é".to_owned(), "xyz".to_owned())])],
        ..floats(&[named], &[])
    };
    let chars = Limits {
        exemplar_chars: 3,
        ..ok.clone()
    };
    assert!(refused(chars, &exemplar).contains("has labels of 4 characters, more than 3"));
    let histogram = Sent {
        histograms: vec![(NOW, 1, 1)],
        ..floats(&[named], &[])
    };
    let buckets = Limits {
        histogram_buckets: 0,
        ..ok.clone()
    };
    assert!(refused(buckets, &histogram).contains("has more than 0 buckets, spans and custom bounds"));

    let body = body_v2(&[wide.clone(), wide]);
    for (limits, what) in [
        (
            Limits {
                series_per_request: 1,
                ..ok.clone()
            },
            "2 series, more than 1",
        ),
        (
            Limits {
                samples_per_request: 1,
                ..ok
            },
            "2 samples, histograms, exemplars and metadata, more than 1",
        ),
    ] {
        let error = judge(WriteProtocol::V2, &body, &rules(&limits, usize::MAX)).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}
