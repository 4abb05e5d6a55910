//! Histograms back with every field as it was sent: gaps, empty spans, thousands of buckets, all bits of all floats.

use proptest::prelude::*;

use emberkeep_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use emberkeep_model::{
    Counts, Histogram, HistogramRun, Labels, ResetHint, STALE_MARKER_BITS, SeriesRuns, Span, TenantId, TimeRange,
};

use super::super::PartReader;
use super::round_trip::{timestamp, value};
use super::{query, run_async, small, stored, writer};
use crate::ArchiveError;

/// Spans with gaps, empty ones, and offsets that add up beyond 32 bits.
fn spans(buckets: std::ops::Range<u32>) -> impl Strategy<Value = Vec<Span>> {
    let offset = prop_oneof![3 => 0_i32..4, 1 => Just(i32::MAX), 1 => -5_i32..0, 1 => Just(i32::MIN)];
    let length = prop_oneof![1 => Just(0_u32), 4 => buckets];
    let span = (offset, length).prop_map(|(offset, length)| Span { offset, length });
    prop::collection::vec(span, 0..5)
}

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0_i64..1000, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(-1_i64)]
}

fn described(spans: &[Span]) -> usize {
    spans.iter().map(|span| span.length as usize).sum()
}

/// Any valid histogram, however odd: what was accepted once must be kept.
pub(super) fn any_histogram(buckets: std::ops::Range<u32>) -> impl Strategy<Value = Histogram> {
    let shape = (
        spans(buckets.clone()),
        spans(buckets),
        prop::collection::vec(value(), 0..4),
    );
    let scalars = (
        prop::sample::select(vec![-53, -4, 0, 3, 8, 9, 52]),
        value(),
        prop_oneof![3 => value(), 1 => Just(f64::from_bits(STALE_MARKER_BITS))],
        0_i32..4,
    );
    (shape, scalars, any::<bool>(), any::<u64>(), any::<u64>())
        .prop_flat_map(|(shape, scalars, is_float, count, zero_count)| {
            let (positive, negative) = (described(&shape.0), described(&shape.1));
            let whole = |n: usize| prop::collection::vec(number(), n);
            let float = |n: usize| prop::collection::vec(value(), n);
            let counts = if is_float {
                (float(positive), float(negative))
                    .prop_map(move |(positive, negative)| Counts::Float {
                        count: f64::from_bits(count),
                        zero_count: f64::from_bits(zero_count),
                        positive,
                        negative,
                    })
                    .boxed()
            } else {
                (whole(positive), whole(negative))
                    .prop_map(move |(positive, negative)| Counts::Integer {
                        count,
                        zero_count,
                        positive,
                        negative,
                    })
                    .boxed()
            };
            (Just(shape), Just(scalars), counts)
        })
        .prop_map(|(shape, (schema, zero_threshold, sum, hint), counts)| Histogram {
            counts,
            sum,
            schema,
            zero_threshold,
            reset_hint: ResetHint::from_number(hint),
            positive_spans: shape.0,
            negative_spans: shape.1,
            custom_values: shape.2,
        })
        .prop_map(made_valid)
}

/// The valid histogram that is most like it.
fn made_valid(mut histogram: Histogram) -> Histogram {
    let is_custom = histogram.has_custom_buckets();
    let most = if is_custom { 3 } else { i32::MAX };
    for spans in [&mut histogram.positive_spans, &mut histogram.negative_spans] {
        for span in spans.iter_mut().skip(usize::from(!is_custom)) {
            span.offset &= most;
        }
    }
    if is_custom {
        histogram.negative_spans.clear();
        histogram.zero_threshold = 0.0;
        let spans = histogram.positive_spans.iter();
        let reach = spans.map(|span| f64::from(span.offset) + f64::from(span.length));
        histogram.custom_values = (0..reach.sum::<f64>() as u32).map(|i| f64::from(i) - 2.5).collect();
    } else {
        histogram.custom_values.clear();
    }
    match &mut histogram.counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => {
            if is_custom {
                *zero_count = 0;
                negative.clear();
            }
            *count = *zero_count;
            for bucket in positive.iter_mut().chain(negative) {
                *bucket &= i64::MAX;
                *count = count.wrapping_add(bucket.unsigned_abs());
            }
        }
        Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => {
            if is_custom {
                *zero_count = 0.0;
                negative.clear();
            }
            for number in positive.iter_mut().chain(negative).chain([count, zero_count]) {
                *number = number.abs();
            }
        }
    }
    assert_eq!(histogram.validate(), Ok(()));
    histogram
}

pub(super) fn histogram_run() -> impl Strategy<Value = HistogramRun> {
    let start = prop_oneof![3 => Just(0_i64), 1 => any::<i64>()];
    prop::collection::vec((timestamp(), start, any_histogram(1..6)), 0..6).prop_map(|rows| {
        let mut run = HistogramRun::default();
        for (timestamp, start, histogram) in rows {
            run.push(timestamp, start, &histogram);
        }
        run.settle();
        run
    })
}

/// A histogram of `buckets` buckets, as a counter has them.
pub(super) fn histogram(buckets: u32) -> Histogram {
    Histogram {
        counts: Counts::Integer {
            count: u64::from(buckets),
            zero_count: 0,
            positive: vec![1; buckets as usize],
            negative: vec![],
        },
        sum: f64::from(buckets) * 1.5,
        schema: 3,
        zero_threshold: 1e-128,
        positive_spans: vec![Span {
            offset: -7,
            length: buckets,
        }],
        ..Histogram::default()
    }
}

/// Histograms of a counter whose buckets fill, of both flavours by turns, and with start timestamps.
pub(super) fn many_histograms(seed: u64, count: i64) -> HistogramRun {
    let mut run = HistogramRun::default();
    for at in 0..count {
        let mut histogram = histogram(20 + seed as u32 % 7);
        if let Counts::Integer { count, positive, .. } = &mut histogram.counts {
            for (i, bucket) in positive.iter_mut().enumerate() {
                *bucket += (at + 1) * (i as i64 % 5);
            }
            *count = positive.iter().sum::<i64>().unsigned_abs();
        }
        if seed.is_multiple_of(3) {
            histogram.counts = Counts::Float {
                count: 1.5,
                zero_count: 0.25,
                positive: vec![0.5; described(&histogram.positive_spans)],
                negative: vec![],
            };
        }
        run.push(at * 15_000 + 7, (seed % 2) as i64 * 1000, &histogram);
    }
    run
}

/// Writes runs of series and reads them back through windows of a size.
fn round_trip(runs: &[HistogramRun], window_rows: usize) -> Vec<HistogramRun> {
    read_through(runs, window_rows).unwrap()
}

fn read_through(runs: &[HistogramRun], window_rows: usize) -> Result<Vec<HistogramRun>, ArchiveError> {
    let mut writer = writer(small());
    for (i, histograms) in runs.iter().enumerate() {
        let labels = Labels::from_pairs([("series", format!("{i:05}").as_str())]).unwrap();
        let runs = SeriesRuns {
            histograms: histograms.clone(),
            ..SeriesRuns::default()
        };
        writer.push(&TenantId::default(), &labels, &runs, &[]).unwrap();
    }
    let (summary, files) = writer.finish().unwrap();
    run_async(async {
        let (store, entry) = stored(&summary, files.into_iter().collect()).await;
        let part = PartReader::open(store, &entry).await.unwrap();
        let mut scan = part.scan(query("anonymous", TimeRange::ALL, vec![]), window_rows);
        let mut found = Vec::new();
        while let Some(series) = scan.next().await? {
            let mut run = HistogramRun::default();
            scan.histograms(series.histograms, TimeRange::ALL, &mut run).await?;
            found.push(run);
        }
        Ok(found)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_field_comes_back(histograms in prop::collection::vec(any_histogram(1..40), 1..20)) {
        let mut run = HistogramRun::default();
        for (at, histogram) in histograms.iter().enumerate() {
            run.push(at as i64, 0, histogram);
        }
        let found = round_trip(std::slice::from_ref(&run), 100);
        prop_assert_eq!(&found, std::slice::from_ref(&run));
        for (row, histogram) in found[0].iter().zip(&histograms) {
            prop_assert_eq!(row.canonical, histogram.to_canonical());
        }
    }
}

#[test]
fn thousands_of_buckets_and_none_at_all() {
    let mut run = HistogramRun::default();
    for (at, buckets) in [0, 1, 20_000, 3, 0, 50_000, 7].into_iter().enumerate() {
        run.push(at as i64, 0, &histogram(buckets));
    }
    let stale = Histogram {
        sum: f64::from_bits(STALE_MARKER_BITS),
        ..Histogram::default()
    };
    run.push(100, 0, &stale);
    let custom = Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        custom_values: (0..5000).map(|i| f64::from(i) - 2500.0).collect(),
        ..Histogram::default()
    };
    run.push(101, 0, &custom);
    let runs = [run, many_histograms(1, 1), many_histograms(3, 3000)];
    for window_rows in [1, 100, 1 << 20] {
        assert_eq!(round_trip(&runs, window_rows), runs);
    }
}

#[test]
fn counts_beyond_63_bits_are_kept() {
    let mut large = histogram(1);
    large.counts = Counts::Integer {
        count: u64::MAX,
        zero_count: 1 << 63,
        positive: vec![i64::MAX],
        negative: vec![],
    };
    let mut run = HistogramRun::default();
    run.push(0, i64::MIN, &large);
    let found = round_trip(std::slice::from_ref(&run), 1);
    assert_eq!(found[0].row(0).histogram(), large);
    assert_eq!(found[0].row(0).start_timestamp, i64::MIN);
}

/// The receiver validates before it accepts, so an invalid histogram in a part is damage, and the row is named.
#[test]
fn an_invalid_histogram_is_refused_with_its_row() {
    let spans = |offset| {
        [(0, 1), (offset, 1)]
            .map(|(offset, length)| Span { offset, length })
            .to_vec()
    };
    let integer = |positive: Vec<i64>| Counts::Integer {
        count: 2,
        zero_count: 0,
        positive,
        negative: vec![],
    };
    let valid = Histogram {
        counts: integer(vec![1, 1]),
        positive_spans: spans(0),
        ..Histogram::default()
    };
    let bad = [
        Histogram {
            positive_spans: spans(-1),
            ..valid.clone()
        },
        Histogram {
            schema: 100,
            ..valid.clone()
        },
        Histogram {
            counts: integer(vec![3, -1]),
            ..valid.clone()
        },
        Histogram {
            counts: integer(vec![1, 2]),
            ..valid.clone()
        },
    ];
    for histogram in bad {
        let fault = histogram.validate().unwrap_err().to_string();
        // In the second series, so that the number of the row is not that in its run.
        let (first, mut second) = (many_histograms(1, 300), many_histograms(1, 40));
        second.push(i64::MAX - 1, 0, &histogram);
        for window_rows in [1, 100, 1 << 20] {
            let error = read_through(&[first.clone(), second.clone()], window_rows).unwrap_err();
            assert!(matches!(error, ArchiveError::Corrupt { .. }), "{error}");
            let text = error.to_string();
            assert!(
                text.contains("histogram in row 340: ") && text.contains(&fault),
                "{text}"
            );
        }
    }
}
