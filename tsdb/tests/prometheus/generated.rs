//! Series and histograms from a fixed seed, so that a failure repeats.

use std::collections::BTreeMap;

use emberkeep_model::{Counts, Histogram, ResetHint, STALE_MARKER_BITS, Sample, SeriesRuns, Span};

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.bits() >> 11) % bound
    }

    pub(crate) fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Any float, often an odd one.
    pub(crate) fn float(&mut self) -> f64 {
        let bits = match self.below(3) {
            0 => self.one_of(&[
                0,
                (-0.0_f64).to_bits(),
                STALE_MARKER_BITS,
                f64::NAN.to_bits(),
                0x7ff8_0000_0000_0001,
                0xfff0_0000_0000_0001,
                f64::INFINITY.to_bits(),
                f64::NEG_INFINITY.to_bits(),
                1,
            ]),
            1 => self.bits(),
            _ => (self.below(10_000) as f64 / 8.0).to_bits(),
        };
        f64::from_bits(bits)
    }
}

type Buckets = BTreeMap<i64, u64>;

/// A distribution that grows and changes as those of programs do, and as they should not.
pub(crate) struct Distribution {
    sides: [Buckets; 2],
    zero: u64,
    schema: i32,
    threshold: f64,
    bounds: Vec<f64>,
    gauge: bool,
    float: bool,
    sum: f64,
}

impl Distribution {
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut new = Self {
            sides: Default::default(),
            zero: 0,
            schema: 0,
            threshold: 0.001,
            bounds: Vec::new(),
            gauge: random.one_in(4),
            float: random.one_in(3),
            sum: 0.0,
        };
        new.set_schema(random);
        new
    }

    fn set_schema(&mut self, random: &mut Random) {
        self.sides = Default::default();
        if random.one_in(4) {
            self.schema = -53;
            (self.zero, self.threshold) = (0, 0.0);
            let mut bound = -0.5;
            self.bounds = (0..random.below(12))
                .map(|_| {
                    bound += random.one_of(&[0.001, 0.25, 0.1, 1.0, 1e6]);
                    bound
                })
                .collect();
        } else {
            self.schema = random.below(13) as i32 - 4;
            self.threshold = random.one_of(&[0.0, 0.001, 2.0_f64.powi(-128), 1.0]);
            self.bounds.clear();
        }
    }

    pub(crate) fn change(&mut self, random: &mut Random) {
        for count in self.sides.iter_mut().flat_map(BTreeMap::values_mut) {
            *count += random.one_of(&[0, 0, 0, 1, 1, 7, 1000]);
        }
        if random.one_in(3) {
            let negative = self.schema != -53 && random.one_in(3);
            let index = if self.schema == -53 {
                random.below(self.bounds.len() as u64 + 1) as i64
            } else {
                random.below(30) as i64 - 15
            };
            let count = random.one_of(&[0, 1, 5]);
            *self.sides[usize::from(negative)].entry(index).or_default() += count;
        }
        if self.schema != -53 {
            self.zero += random.below(3);
        }
        let side = usize::from(random.one_in(2));
        match random.below(40) {
            0 => self.sides[side].values_mut().for_each(|count| *count /= 2),
            1 => drop(self.sides[side].pop_first()),
            2 => self.zero /= 2,
            3 => self.set_schema(random),
            4 if self.schema != -53 => self.threshold *= 2.0,
            5 => self.gauge = !self.gauge,
            6 => self.float = !self.float,
            _ => {}
        }
        self.sum = random.float();
    }

    pub(crate) fn histogram(&self, random: &mut Random) -> Histogram {
        let [positive, negative] = &self.sides;
        let count = self.zero + positive.values().chain(negative.values()).sum::<u64>();
        let whole = |side: &Buckets| side.values().map(|&count| count as i64).collect::<Vec<_>>();
        let parts = |side: &Buckets| side.values().map(|&count| count as f64 / 8.0).collect::<Vec<_>>();
        let counts = if self.float {
            Counts::Float {
                count: count as f64 / 8.0,
                zero_count: self.zero as f64 / 8.0,
                positive: parts(positive),
                negative: parts(negative),
            }
        } else {
            Counts::Integer {
                count,
                zero_count: self.zero,
                positive: whole(positive),
                negative: whole(negative),
            }
        };
        Histogram {
            counts,
            sum: self.sum,
            schema: self.schema,
            zero_threshold: self.threshold,
            reset_hint: if self.gauge {
                ResetHint::Gauge
            } else {
                random.one_of(&[
                    ResetHint::Unknown,
                    ResetHint::NotReset,
                    ResetHint::Unknown,
                    ResetHint::Reset,
                ])
            },
            positive_spans: spans(positive, random),
            negative_spans: spans(negative, random),
            custom_values: self.bounds.clone(),
        }
    }
}

/// Spans in one of many forms: cut in two, with empty ones between.
fn spans(side: &Buckets, random: &mut Random) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for &index in side.keys() {
        let offset = (index - next) as i32;
        match spans.last_mut() {
            Some(span) if offset == 0 && !random.one_in(9) => span.length += 1,
            Some(_) if random.one_in(9) => {
                spans.push(Span { offset, length: 0 });
                spans.push(Span { offset: 0, length: 1 });
            }
            _ => spans.push(Span { offset, length: 1 }),
        }
        next = index + 1;
    }
    spans
}

/// A series in `[start, end)`: floats, histograms and stale markers in turns; with start timestamps when `starts`.
pub(crate) fn series(random: &mut Random, start: i64, end: i64, starts: bool) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    let mut distribution = Distribution::new(random);
    let mut floats = random.one_in(2);
    let mut begun = 0;
    let mut time = start + random.below(100_000) as i64;
    for _ in 0..random.one_of(&[1, 2, 20, 60, 130, 260]) {
        if starts && random.one_in(10) {
            begun = random.one_of(&[0, start, time, time - 1, time - 1_000_000, 1]);
        }
        floats ^= random.one_in(40);
        if floats {
            runs.samples.push(Sample {
                timestamp: time,
                value: random.float(),
                start_timestamp: begun,
            });
        } else {
            distribution.change(random);
            let mut histogram = distribution.histogram(random);
            if random.one_in(30) {
                histogram.sum = f64::from_bits(STALE_MARKER_BITS);
            }
            runs.histograms.push(time, begun, &histogram);
        }
        time += random.one_of(&[1, 1000, 15_000, 15_000, 15_000, 14_999, 60_000]);
        if time >= end {
            break;
        }
    }
    runs
}
