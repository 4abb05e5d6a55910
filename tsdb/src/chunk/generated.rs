//! Series for tests: floats and histograms that change in every way that matters to chunks.
//!
//! Only the tests of this crate use it. It must not share code with what it tests, or both would be wrong alike.

use std::collections::BTreeMap;

use emberkeep_model::histogram::{Counts, Histogram, ResetHint};
use emberkeep_model::{STALE_MARKER_BITS, Sample, SeriesRuns, Span};
use proptest::prelude::*;

/// One sample, or a change before the next.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Grow(u8),
    Bucket { negative: bool, index: i16, count: u32 },
    Drop { negative: bool, nth: u8 },
    Fall(u8),
    Many(u16),
    Schema(i32),
    Threshold(u64),
    Bounds(Vec<u16>),
    Gauge(bool),
    FloatCounts(bool),
    Sum(u64),
    Stale { hint: i32 },
    Hint(i32),
    Spans(u8),
    Float(u64),
}

/// A step, the time before it and its start timestamp.
pub(super) type Timed = (Step, i64, i64);

fn odd_float() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just((-0.0f64).to_bits()),
        Just(0),
        Just(STALE_MARKER_BITS),
        Just(0x7ff8_0000_0000_0001),
        Just(0x7ff0_0000_0000_0001),
        Just(f64::INFINITY.to_bits()),
        Just(1),
        any::<u64>(),
        any::<f64>().prop_map(f64::to_bits),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => any::<u8>().prop_map(Step::Grow),
        10 => (any::<bool>(), -20i16..20, prop_oneof![Just(0u32), 0u32..1000])
            .prop_map(|(negative, index, count)| Step::Bucket { negative, index, count }),
        1 => (any::<bool>(), any::<i16>(), any::<u32>())
            .prop_map(|(negative, index, count)| Step::Bucket { negative, index, count }),
        3 => (any::<bool>(), any::<u8>()).prop_map(|(negative, nth)| Step::Drop { negative, nth }),
        2 => any::<u8>().prop_map(Step::Fall),
        1 => prop_oneof![9 => 0u16..100, 1 => 1000u16..3000].prop_map(Step::Many),
        2 => prop_oneof![-4i32..=8, 9i32..=52].prop_map(Step::Schema),
        2 => prop_oneof![Just(2f64.powi(-128).to_bits()), odd_float()].prop_map(Step::Threshold),
        1 => proptest::collection::vec(any::<u16>(), 0..6).prop_map(Step::Bounds),
        2 => any::<bool>().prop_map(Step::Gauge),
        2 => any::<bool>().prop_map(Step::FloatCounts),
        5 => odd_float().prop_map(Step::Sum),
        3 => (0i32..4).prop_map(|hint| Step::Stale { hint }),
        3 => (0i32..3).prop_map(Step::Hint),
        5 => any::<u8>().prop_map(Step::Spans),
        5 => odd_float().prop_map(Step::Float),
    ]
}

/// Up to `length` steps.
pub(super) fn steps(length: usize) -> impl Strategy<Value = Vec<Timed>> {
    let pause = prop_oneof![20 => Just(15_000i64), 5 => 1i64..100_000, 1 => 1i64..(1 << 55)];
    let start = prop_oneof![5 => Just(0i64), 5 => Just(-9_000), 2 => any::<i64>()];
    proptest::collection::vec((step(), pause, start), 0..length)
}

type Buckets = BTreeMap<i64, u64>;

struct State {
    sides: [Buckets; 2],
    schema: i32,
    threshold: f64,
    bounds: Vec<f64>,
    gauge: bool,
    is_float: bool,
    sum: f64,
    spans: u8,
}

/// The series that the steps make; `starts` says whether start timestamps are set at all.
pub(super) fn series(steps: &[Timed], starts: bool) -> SeriesRuns {
    let mut state = State {
        sides: [Buckets::from([(0, 3), (1, 1), (4, 2)]), Buckets::new()],
        schema: 3,
        threshold: 0.001,
        bounds: Vec::new(),
        gauge: false,
        is_float: false,
        sum: 1.5,
        spans: 0,
    };
    let mut runs = SeriesRuns::default();
    let mut time = -1_000_000_i64;
    for (step, pause, start) in steps {
        time = time.saturating_add(*pause);
        if time == i64::MAX {
            break;
        }
        let start = if starts { *start } else { 0 };
        let mut hint = ResetHint::Unknown;
        match step {
            Step::Float(bits) => {
                runs.samples.push(Sample {
                    timestamp: time,
                    value: f64::from_bits(*bits),
                    start_timestamp: start,
                });
                continue;
            }
            Step::Stale { hint } => {
                let mut stale = state.histogram(ResetHint::from_number(*hint));
                stale.sum = f64::from_bits(STALE_MARKER_BITS);
                runs.histograms.push(time, start, &stale);
                continue;
            }
            Step::Hint(number) => hint = ResetHint::from_number(*number),
            other => state.change(other),
        }
        let hint = if state.gauge { ResetHint::Gauge } else { hint };
        runs.histograms.push(time, start, &state.histogram(hint));
    }
    runs
}

impl State {
    fn change(&mut self, step: &Step) {
        match step {
            Step::Grow(by) => {
                let buckets = self.sides.iter_mut().flat_map(BTreeMap::values_mut);
                for (n, count) in buckets.enumerate() {
                    *count += u64::from(by.rotate_left(n as u32 % 8)) & 0x1f;
                }
            }
            Step::Bucket { negative, index, count } => {
                let index = i64::from(*index);
                if self.schema == -53 && (*negative || !(0..=self.bounds.len() as i64).contains(&index)) {
                    return;
                }
                self.sides[usize::from(*negative)].insert(index, u64::from(*count));
            }
            Step::Drop { negative, nth } => {
                let side = &mut self.sides[usize::from(*negative)];
                let nth = side.keys().nth(usize::from(*nth) % side.len().max(1)).copied();
                nth.map(|index| side.remove(&index));
            }
            Step::Fall(by) => {
                let used = self
                    .sides
                    .iter_mut()
                    .flat_map(BTreeMap::values_mut)
                    .find(|count| **count > 0);
                used.into_iter()
                    .for_each(|count| *count = count.saturating_sub(u64::from(*by)));
            }
            Step::Many(number) if self.schema != -53 => {
                self.sides[0].extend((100..100 + i64::from(*number)).map(|index| (index, (index * index) as u64)));
            }
            Step::Many(_) => {}
            Step::Schema(schema) => {
                self.bounds.clear();
                self.schema = *schema;
            }
            Step::Threshold(bits) if self.schema != -53 => self.threshold = f64::from_bits(*bits),
            Step::Threshold(_) => {}
            Step::Bounds(gaps) => {
                self.schema = -53;
                self.threshold = 0.0;
                let sums = gaps.iter().scan(-0.3, |sum, gap| {
                    *sum += f64::from(gap + 1) / 1000.0;
                    Some(*sum)
                });
                self.bounds = sums.take(gaps.len()).collect();
                self.sides = [
                    (0..=gaps.len() as i64).map(|index| (index, 1)).collect(),
                    Buckets::new(),
                ];
            }
            Step::Gauge(gauge) => self.gauge = *gauge,
            Step::FloatCounts(is_float) => self.is_float = *is_float,
            Step::Sum(bits) if *bits != STALE_MARKER_BITS => self.sum = f64::from_bits(*bits),
            Step::Spans(spans) => self.spans = *spans,
            Step::Sum(_) | Step::Stale { .. } | Step::Hint(_) | Step::Float(_) => {}
        }
    }

    fn histogram(&self, reset_hint: ResetHint) -> Histogram {
        let [positive, negative] = &self.sides;
        let count = positive.values().chain(negative.values()).sum::<u64>();
        let integers = |side: &Buckets| side.values().map(|&count| count as i64).collect::<Vec<_>>();
        let floats = |side: &Buckets| side.values().map(|&count| count as f64 / 4.0).collect::<Vec<_>>();
        let counts = if self.is_float {
            Counts::Float {
                count: count as f64 / 4.0,
                zero_count: 0.0,
                positive: floats(positive),
                negative: floats(negative),
            }
        } else {
            Counts::Integer {
                count,
                zero_count: 0,
                positive: integers(positive),
                negative: integers(negative),
            }
        };
        Histogram {
            counts,
            sum: self.sum,
            schema: self.schema,
            zero_threshold: self.threshold,
            reset_hint,
            positive_spans: self.spans_of(positive),
            negative_spans: self.spans_of(negative),
            custom_values: self.bounds.clone(),
        }
    }

    /// Spans in one of many forms: whole, cut in two, with empty ones.
    fn spans_of(&self, side: &Buckets) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut next = 0;
        for (n, &index) in side.keys().enumerate() {
            let offset = (index - next) as i32;
            let cut = self.spans.rotate_left(n as u32 % 8) & 3 == 1;
            match spans.last_mut() {
                Some(span) if offset == 0 && !cut => span.length += 1,
                _ => {
                    if cut && n > 0 {
                        spans.push(Span { offset, length: 0 });
                    }
                    let offset = if cut && n > 0 { 0 } else { offset };
                    spans.push(Span { offset, length: 1 });
                }
            }
            next = index + 1;
        }
        spans
    }
}
