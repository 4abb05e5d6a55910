//! Native histograms that grow: buckets with counts, and the synthetic observations that fill them.
//!
//! Only arithmetic that is the same on every machine: no powers, no logarithms. So the sum of a histogram follows from its
//! observations, but not from its bounds.

use crate::histogram::{Histogram, Side, Span};
use crate::random::Random;

/// Empty buckets that a span rather holds than ends at (as Prometheus does).
const GAP: usize = 2;
/// Widest distance of a bucket from the middle.
const SPREAD: i32 = 60;

/// Counts of neighbouring buckets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buckets {
    /// Index of the first.
    first: i32,
    counts: Vec<u64>,
}

impl Buckets {
    pub(crate) fn add(&mut self, index: i32, observations: u64) {
        if self.counts.is_empty() {
            self.first = index;
        } else if index < self.first {
            let fresh = (self.first - index) as usize;
            self.counts.splice(..0, std::iter::repeat_n(0, fresh));
            self.first = index;
        }
        let at = (index - self.first) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += observations;
    }

    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The buckets as spans; `number` says how a count is written.
    pub(crate) fn side(&self, number: impl Fn(u64) -> u64) -> Side {
        let mut side = Side::default();
        // Index after the last span.
        let mut end = 0;
        let mut at = 0;
        while let Some(skipped) = self.counts[at..].iter().position(|&count| count > 0) {
            at += skipped;
            let from = at;
            while let Some(gap) = self.counts[at..].iter().position(|&count| count > 0) {
                if gap > GAP {
                    break;
                }
                at += gap + 1;
            }
            side.counts
                .extend(self.counts[from..at].iter().map(|&count| number(count)));
            let begin = self.first + from as i32;
            side.spans.push(Span {
                offset: begin - end,
                length: (at - from) as u32,
            });
            end = begin + (at - from) as i32;
        }
        side
    }
}

/// What is the same for all samples of a series of histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) is_float: bool,
    pub(crate) is_gauge: bool,
    pub(crate) has_negative: bool,
    pub(crate) schema: i32,
}

/// One synthetic series of histograms.
#[derive(Debug, Clone)]
pub(crate) struct Native {
    form: Form,
    random: Random,
    middle: i32,
    /// Most observations between two scrapes.
    busy: u64,
    positive: Buckets,
    negative: Buckets,
    zero: u64,
    sum: f64,
}

impl Native {
    pub(crate) fn new(form: Form, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            form,
            middle: random.below(80) as i32 - 40,
            busy: 1 + random.below(24),
            random,
            positive: Buckets::default(),
            negative: Buckets::default(),
            zero: 0,
            sum: 0.0,
        }
    }

    /// The sample of the next scrape.
    pub(crate) fn advance(&mut self) -> Histogram {
        if self.form.is_gauge {
            // A gauge forgets.
            for count in self.positive.counts.iter_mut().chain(&mut self.negative.counts) {
                *count -= *count / 4;
            }
            self.zero -= self.zero / 4;
        }
        for _ in 0..self.random.below(self.busy) {
            let bits = self.random.next();
            if bits.is_multiple_of(50) {
                self.zero += 1;
                continue;
            }
            // The sum of four even numbers: most observations lie near the middle.
            let near: i32 = (0..4).map(|part| (bits >> (8 + 8 * part) & 0x1f) as i32).sum::<i32>() - 62;
            let index = self.middle + near.clamp(-SPREAD, SPREAD);
            let observed = (bits >> 40) as f64 / 999_983.0;
            if self.form.has_negative && bits & 1 << 6 != 0 {
                self.negative.add(index, 1);
                self.sum -= observed;
            } else {
                self.positive.add(index, 1);
                self.sum += observed;
            }
        }
        assemble(self.form, &self.positive, &self.negative, self.zero, self.sum)
    }
}

/// A sample of such buckets.
pub(crate) fn assemble(form: Form, positive: &Buckets, negative: &Buckets, zero: u64, sum: f64) -> Histogram {
    // A float histogram comes from a recording rule: rates, which are no whole numbers.
    let number = |count: u64| {
        if form.is_float {
            (count as f64 / 7.0).to_bits()
        } else {
            count
        }
    };
    Histogram {
        is_float: form.is_float,
        is_gauge: form.is_gauge,
        schema: form.schema,
        zero_threshold: 2.938_735_877_055_719e-39_f64.to_bits(),
        count: number(positive.total() + negative.total() + zero),
        zero_count: number(zero),
        sum: sum.to_bits(),
        positive: positive.side(number),
        negative: negative.side(number),
        custom: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_hold_every_count_where_it_was_added() {
        let mut buckets = Buckets::default();
        for (index, count) in [(5, 1), (-3, 2), (-2, 7), (9, 4), (6, 1)] {
            buckets.add(index, count);
        }
        let side = buckets.side(|count| count);
        let mut seen = Vec::new();
        side.each(|index, count| seen.push((index, count)));
        assert_eq!(seen, [(-3, 2), (-2, 7), (5, 1), (6, 1), (9, 4)]);
        let spans: Vec<_> = side.spans.iter().map(|span| (span.offset, span.length)).collect();
        assert_eq!(spans, [(-3, 2), (6, 5)]);
    }

    #[test]
    fn a_counter_never_falls_and_counts_what_its_buckets_hold() {
        let form = Form {
            is_float: false,
            is_gauge: false,
            has_negative: true,
            schema: 3,
        };
        let (mut native, mut last) = (Native::new(form, 5), 0);
        for _ in 0..200 {
            let sample = native.advance();
            let buckets: u64 = sample.positive.counts.iter().chain(&sample.negative.counts).sum();
            assert_eq!(sample.count, buckets + sample.zero_count);
            assert!(sample.count >= last);
            last = sample.count;
        }
        assert!(last > 100, "{last}");
    }
}
