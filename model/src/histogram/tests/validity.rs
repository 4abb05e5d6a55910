//! Validity, rule by rule on both sides of each, and against the rules of Prometheus written naively.

use super::*;

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

/// A valid integer histogram: 1 + 2 | 3 | 4 observations.
fn integer() -> Histogram {
    Histogram {
        counts: Counts::Integer {
            count: 10,
            zero_count: 3,
            positive: vec![1, 2],
            negative: vec![4],
        },
        sum: 1.0,
        positive_spans: vec![span(0, 1), span(2, 1)],
        negative_spans: vec![span(-5, 1)],
        ..Histogram::default()
    }
}

fn float() -> Histogram {
    Histogram {
        counts: Counts::Float {
            count: 10.0,
            zero_count: 3.0,
            positive: vec![1.0, 2.0],
            negative: vec![4.0],
        },
        ..integer()
    }
}

/// Three bounds, so four buckets, two of them in use.
fn custom() -> Histogram {
    Histogram {
        counts: Counts::Integer {
            count: 3,
            zero_count: 0,
            positive: vec![1, 2],
            negative: vec![],
        },
        sum: 1.0,
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans: vec![span(0, 1), span(2, 1)],
        custom_values: vec![f64::NEG_INFINITY, -0.5, f64::MAX],
        ..Histogram::default()
    }
}

fn custom_float() -> Histogram {
    Histogram {
        counts: Counts::Float {
            count: 3.0,
            zero_count: 0.0,
            positive: vec![1.0, 2.0],
            negative: vec![],
        },
        ..custom()
    }
}

#[track_caller]
fn valid(mut histogram: Histogram, change: impl FnOnce(&mut Histogram)) {
    change(&mut histogram);
    assert_eq!(histogram.validate(), Ok(()));
}

#[track_caller]
fn refused(mut histogram: Histogram, change: impl FnOnce(&mut Histogram), why: &str) {
    change(&mut histogram);
    assert_eq!(histogram.validate().expect_err(why).to_string(), why);
}

/// The integer counts of a histogram that has them.
fn whole(histogram: &mut Histogram) -> (&mut u64, &mut u64, &mut Vec<i64>, &mut Vec<i64>) {
    match &mut histogram.counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => (count, zero_count, positive, negative),
        Counts::Float { .. } => panic!("an integer histogram"),
    }
}

/// The float counts of a histogram that has them.
fn parts(histogram: &mut Histogram) -> (&mut f64, &mut f64, &mut Vec<f64>, &mut Vec<f64>) {
    match &mut histogram.counts {
        Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => (count, zero_count, positive, negative),
        Counts::Integer { .. } => panic!("a float histogram"),
    }
}

#[test]
fn schemas() {
    for schema in [-4, 0, 8, 9, 52] {
        valid(integer(), |h| h.schema = schema);
        valid(float(), |h| h.schema = schema);
    }
    valid(custom(), |_| {});
    for schema in [-5, -9, -52, -54, 53, i32::MIN, i32::MAX] {
        let why = format!("schema {schema} is neither one of -4 to 52 nor -53");
        refused(integer(), |h| h.schema = schema, &why);
    }
}

#[test]
fn spans_describe_as_many_buckets_as_there_are() {
    valid(integer(), |h| h.positive_spans = vec![span(-7, 2), span(0, 0)]);
    let why = "positive spans describe 3 buckets and there are 2";
    refused(integer(), |h| h.positive_spans[0].length = 2, why);
    refused(float(), |h| h.positive_spans[0].length = 2, why);
    refused(custom(), |h| h.positive_spans[0].length = 2, why);
    let why = "positive spans describe 1 buckets and there are 2";
    refused(integer(), |h| h.positive_spans.truncate(1), why);
    let why = "negative spans describe 0 buckets and there are 1";
    refused(integer(), |h| h.negative_spans.clear(), why);
    refused(float(), |h| h.negative_spans.clear(), why);
    // More than 32 bits hold; nothing is allocated for what spans claim.
    let why = "negative spans describe 8589934590 buckets and there are 1";
    refused(integer(), |h| h.negative_spans = vec![span(0, u32::MAX); 2], why);
}

#[test]
fn only_the_first_offset_may_be_negative() {
    for offset in [i32::MIN, -1, 0, i32::MAX] {
        valid(integer(), |h| h.positive_spans[0].offset = offset);
    }
    valid(integer(), |h| h.positive_spans[1].offset = 0);
    refused(
        integer(),
        |h| h.positive_spans[1].offset = -1,
        "positive span 2 has offset -1",
    );
    let spans = vec![span(3, 1), span(0, 0), span(-2, 0)];
    refused(float(), |h| h.negative_spans = spans, "negative span 3 has offset -2");
    valid(custom(), |h| h.positive_spans[0].offset = 0);
    refused(
        custom(),
        |h| h.positive_spans[0].offset = -1,
        "positive span 1 has offset -1",
    );
    refused(
        custom(),
        |h| h.positive_spans[1].offset = i32::MIN,
        "positive span 2 has offset -2147483648",
    );
}

#[test]
fn integer_counts_are_not_negative() {
    valid(integer(), |h| {
        let (count, zero_count, positive, negative) = whole(h);
        (*count, *zero_count) = (i64::MAX as u64, 0);
        (*positive, *negative) = (vec![0, i64::MAX], vec![0]);
    });
    refused(
        integer(),
        |h| whole(h).2[1] = -1,
        "a positive bucket has count -1, less than 0",
    );
    refused(
        integer(),
        |h| whole(h).3[0] = -7,
        "a negative bucket has count -7, less than 0",
    );
    refused(
        custom(),
        |h| whole(h).2[0] = -1,
        "a positive bucket has count -1, less than 0",
    );
}

#[test]
fn integer_counts_add_up() {
    for (count, buckets) in [(9, 10), (11, 10), (0, 10)] {
        let why = format!("{buckets} observations in buckets, but the count is {count}");
        refused(integer(), |h| *whole(h).0 = count, &why);
    }
    refused(
        custom(),
        |h| *whole(h).0 = 4,
        "3 observations in buckets, but the count is 4",
    );
    valid(Histogram::default(), |_| {});
    valid(Histogram::default(), |h| h.sum = f64::INFINITY);
    // The sum of the buckets is one of 64 bits, as Go's is.
    valid(integer(), |h| {
        let (count, zero_count, ..) = whole(h);
        (*zero_count, *count) = (u64::MAX, 6);
    });
}

#[test]
fn observations_of_nan_are_in_the_count_and_in_no_bucket() {
    for bits in [STALE_MARKER_BITS, 0x7ff8_0000_0000_0001, 0xfff8_0000_dead_beef] {
        for count in [10, 11, u64::MAX] {
            valid(integer(), |h| {
                h.sum = f64::from_bits(bits);
                *whole(h).0 = count;
            });
        }
        let too_few = |h: &mut Histogram| {
            h.sum = f64::from_bits(bits);
            *whole(h).0 = 9;
        };
        refused(integer(), too_few, "10 observations in buckets, but the count is 9");
    }
}

#[test]
fn float_counts_are_not_below_zero_and_need_not_add_up() {
    for count in [
        0.0,
        -0.0,
        0.5,
        1e300,
        f64::INFINITY,
        f64::NAN,
        f64::from_bits(STALE_MARKER_BITS),
    ] {
        valid(float(), |h| *parts(h).0 = count);
        valid(float(), |h| *parts(h).1 = count);
        valid(float(), |h| parts(h).2[0] = count);
        valid(float(), |h| parts(h).3[0] = count);
        valid(custom_float(), |h| parts(h).2[1] = count);
    }
    for count in [-0.5, f64::NEG_INFINITY, -f64::from_bits(1)] {
        let why = |place: &str| format!("{place} has count {count}, less than 0");
        refused(float(), |h| *parts(h).0 = count, &why("the histogram"));
        refused(float(), |h| *parts(h).1 = count, &why("the zero bucket"));
        refused(float(), |h| parts(h).2[1] = count, &why("a positive bucket"));
        refused(float(), |h| parts(h).3[0] = count, &why("a negative bucket"));
        refused(custom_float(), |h| *parts(h).0 = count, &why("the histogram"));
        refused(custom_float(), |h| parts(h).2[0] = count, &why("a positive bucket"));
    }
}

#[test]
fn exponential_schemas_have_no_bounds() {
    refused(
        integer(),
        |h| h.custom_values = vec![1.0],
        "schema 0 must have no custom bounds",
    );
    refused(
        float(),
        |h| h.custom_values = vec![f64::NAN],
        "schema 0 must have no custom bounds",
    );
}

#[test]
fn custom_buckets_have_no_zero_bucket_and_no_negative_side() {
    valid(custom(), |h| h.zero_threshold = -0.0);
    valid(custom_float(), |h| *parts(h).1 = -0.0);
    refused(custom(), |h| *whole(h).1 = 1, "schema -53 must have no zero count");
    refused(
        custom_float(),
        |h| *parts(h).1 = f64::NAN,
        "schema -53 must have no zero count",
    );
    refused(
        custom(),
        |h| h.zero_threshold = 1e-9,
        "schema -53 must have no zero threshold",
    );
    refused(
        custom(),
        |h| h.zero_threshold = f64::NAN,
        "schema -53 must have no zero threshold",
    );
    refused(
        custom(),
        |h| h.negative_spans = vec![span(0, 0)],
        "schema -53 must have no negative spans",
    );
    refused(
        custom(),
        |h| whole(h).3.push(0),
        "schema -53 must have no negative buckets",
    );
    refused(
        custom_float(),
        |h| parts(h).3.push(0.0),
        "schema -53 must have no negative buckets",
    );
}

#[test]
fn custom_bounds_rise_strictly_and_end_below_infinity() {
    let wrong = |number: usize, bound: f64| {
        format!("custom bound {number} is {bound}: bounds rise strictly, end below +Inf and are not NaN")
    };
    valid(custom(), |h| {
        h.custom_values = vec![f64::MIN, -f64::from_bits(1), 0.0, f64::from_bits(1)]
    });
    refused(custom(), |h| h.custom_values[1] = f64::NAN, &wrong(2, f64::NAN));
    refused(custom(), |h| h.custom_values[0] = f64::NAN, &wrong(1, f64::NAN));
    refused(
        custom(),
        |h| h.custom_values[1] = f64::NEG_INFINITY,
        &wrong(2, f64::NEG_INFINITY),
    );
    refused(custom(), |h| h.custom_values[2] = -0.75, &wrong(3, -0.75));
    refused(
        custom(),
        |h| h.custom_values[2] = f64::INFINITY,
        &wrong(3, f64::INFINITY),
    );
    refused(custom(), |h| h.custom_values = vec![-1.0, 0.0, -0.0], &wrong(3, -0.0));
}

#[test]
fn spans_stay_inside_the_buckets_that_the_bounds_make() {
    // The last of four buckets has no bound: it ends at +Inf.
    let why = "spans reach over 4 buckets, but 2 custom bounds make 3 at most";
    refused(custom(), |h| h.custom_values.truncate(2), why);
    let why = "spans reach over 5 buckets, but 3 custom bounds make 4 at most";
    refused(custom(), |h| h.positive_spans[0].offset = 1, why);
    // Gaps count, also those of empty spans.
    refused(custom(), |h| h.positive_spans.push(span(1, 0)), why);
    let why = "spans reach over 4294967298 buckets, but 3 custom bounds make 4 at most";
    refused(
        custom(),
        |h| h.positive_spans = vec![span(i32::MAX, 2), span(i32::MAX, 0), span(2, 0)],
        why,
    );
    valid(Histogram::default(), |h| h.schema = CUSTOM_BUCKETS_SCHEMA);
}

/// The rules as a list that all must hold, in wide numbers.
fn naive_is_valid(h: &Histogram) -> bool {
    let is_custom = h.schema == CUSTOM_BUCKETS_SCHEMA;
    let float = |count: &u64| *count as f64;
    let (counts, positive, negative): ([f64; 2], Vec<f64>, Vec<f64>) = match &h.counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => {
            let wide = |side: &[i64]| side.iter().map(|&bucket| bucket as f64).collect();
            ([float(count), float(zero_count)], wide(positive), wide(negative))
        }
        Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => ([*count, *zero_count], positive.clone(), negative.clone()),
    };
    let adds_up = match &h.counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => {
            let all: i128 = positive.iter().chain(negative).map(|&bucket| i128::from(bucket)).sum();
            let all = (all + i128::from(*zero_count)) & i128::from(u64::MAX);
            let count = i128::from(*count);
            if h.sum.is_nan() { all <= count } else { all == count }
        }
        Counts::Float { .. } => true,
    };
    let described = |spans: &[Span]| spans.iter().map(|s| u128::from(s.length)).sum::<u128>();
    let rising = |spans: &[Span]| spans.iter().skip(usize::from(!is_custom)).all(|s| s.offset >= 0);
    let sides = [(&h.positive_spans, &positive), (&h.negative_spans, &negative)];
    let sides = sides.iter().all(|(spans, buckets)| {
        rising(spans) && described(spans) == buckets.len() as u128 && !buckets.iter().any(|&b| b < 0.0)
    });
    let bounds = &h.custom_values;
    let layout = if is_custom {
        let reach: i128 = h
            .positive_spans
            .iter()
            .map(|s| i128::from(s.offset) + i128::from(s.length))
            .sum();
        counts[1] == 0.0
            && h.zero_threshold == 0.0
            && h.negative_spans.is_empty()
            && bounds.windows(2).all(|pair| pair[0] < pair[1])
            && !bounds.iter().any(|b| b.is_nan() || *b == f64::INFINITY)
            && reach <= bounds.len() as i128 + 1
    } else {
        (-4..=52).contains(&h.schema) && bounds.is_empty()
    };
    sides && layout && adds_up && !counts.iter().any(|&count| count < 0.0)
}

/// Small histograms that break a rule about as often as not.
fn any_histogram() -> impl Strategy<Value = Histogram> {
    let spans = || vec((-1_i32..3, 0_u32..3), 0..4);
    let spans = || spans().prop_map(|list| list.into_iter().map(|(offset, length)| span(offset, length)).collect());
    let schema = prop_oneof![3 => Just(CUSTOM_BUCKETS_SCHEMA), 3 => -6..=54_i32];
    let bound = prop_oneof![6 => (0..9_i32).prop_map(f64::from), 1 => any_float()];
    let zero = prop_oneof![4 => Just(0_u64), 1 => 0..3_u64];
    let layout = (
        schema,
        spans(),
        prop_oneof![Just(Vec::new()), spans()],
        vec(bound, 0..5),
        zero,
    );
    let counts = (
        vec(-1_i64..9, 0..6),
        vec(-1_i64..9, 0..3),
        any::<bool>(),
        any::<bool>(),
        0..4_u64,
    );
    let sums = prop_oneof![Just(1.0), any_float()];
    (layout, counts, sums, any::<bool>()).prop_map(|(layout, counts, sum, fix)| {
        let (schema, positive_spans, negative_spans, mut custom_values, zero_count): (i32, Vec<Span>, Vec<Span>, _, _) =
            layout;
        let (mut positive, mut negative, is_float, rises, more) = counts;
        if fix {
            positive.resize(described(&positive_spans), 1);
            negative.resize(described(&negative_spans), 1);
        }
        if rises {
            custom_values.sort_by(f64::total_cmp);
        }
        if schema != CUSTOM_BUCKETS_SCHEMA && fix {
            custom_values.clear();
        }
        let counts = if is_float {
            let floats = |side: &[i64]| side.iter().map(|&bucket| bucket as f64 / 2.0).collect();
            let (positive, negative) = (floats(&positive), floats(&negative));
            Counts::Float {
                count: more as f64 - 1.0,
                zero_count: zero_count as f64,
                positive,
                negative,
            }
        } else {
            let all: i64 = positive.iter().chain(&negative).sum();
            let count = (all + more.cast_signed() / 2).cast_unsigned().wrapping_add(zero_count);
            Counts::Integer {
                count,
                zero_count,
                positive,
                negative,
            }
        };
        Histogram {
            counts,
            sum,
            schema,
            positive_spans,
            negative_spans,
            custom_values,
            ..Histogram::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn validity_is_that_of_the_rules(histogram in any_histogram()) {
        prop_assert_eq!(histogram.validate().is_ok(), naive_is_valid(&histogram), "{:?}", histogram.validate());
    }
}
