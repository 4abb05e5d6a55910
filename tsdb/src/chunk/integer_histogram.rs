//! The fields of a histogram with integer counts in a chunk (Prometheus: `tsdb/chunkenc/histogram.go`).
//!
//! ```text
//! first:  unsigned varbit count | unsigned varbit zero count | sum 64 bits | varbit of each bucket
//! later:  varbit dod of count | of zero count | xor of sum | varbit dod of each bucket, none with a stale sum
//! ```
//!
//! A bucket here is its difference to the bucket before. All differences wrap as Go's do.

use emberkeep_model::histogram::{Counts, Histogram};
use emberkeep_model::is_stale_marker;

use super::histogram::Fields;
use super::xor::XorState;
use crate::bits::{BitReader, BitWriter};
use crate::error::Damage;

/// A number that is stored as the difference of differences.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delta {
    pub(super) last: i64,
    delta: i64,
}

impl Delta {
    /// The state after a first number, which is written as it is.
    pub(super) fn starting_at(number: i64) -> Self {
        Self { last: number, delta: 0 }
    }

    #[inline]
    pub(super) fn write(&mut self, bits: &mut BitWriter<'_>, number: i64) {
        let delta = number.wrapping_sub(self.last);
        bits.write_varbit_int(delta.wrapping_sub(self.delta));
        self.last = number;
        self.delta = delta;
    }

    #[inline]
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>) -> Result<(), Damage> {
        self.delta = self.delta.wrapping_add(bits.take_varbit_int()?);
        self.last = self.last.wrapping_add(self.delta);
        Ok(())
    }
}

/// The fields of the sample that was written or read last.
#[derive(Debug, Default)]
pub(super) struct IntegerFields {
    count: Delta,
    zero_count: Delta,
    sum: XorState,
    /// Positive buckets, then the negative.
    buckets: Vec<Delta>,
    positive: usize,
}

/// Differences of consecutive counts.
fn differences(counts: &[i64]) -> impl Iterator<Item = i64> {
    let before = std::iter::once(0).chain(counts.iter().copied());
    counts
        .iter()
        .zip(before)
        .map(|(&count, before)| count.wrapping_sub(before))
}

/// Sums of consecutive differences.
fn sums(buckets: &[Delta], counts: &mut Vec<i64>) {
    counts.clear();
    counts.extend(buckets.iter().scan(0_i64, |sum, bucket| {
        *sum = sum.wrapping_add(bucket.last);
        Some(*sum)
    }));
}

impl Fields for IntegerFields {
    const LEAST_BUCKET_BITS: u64 = 1;

    fn write_first(&mut self, bits: &mut BitWriter<'_>, histogram: &Histogram) {
        let Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } = &histogram.counts
        else {
            unreachable!("a chunk holds one flavour");
        };
        bits.write_varbit_uint(*count);
        bits.write_varbit_uint(*zero_count);
        bits.write(histogram.sum.to_bits(), 64);
        self.count = Delta::starting_at(count.cast_signed());
        self.zero_count = Delta::starting_at(zero_count.cast_signed());
        self.sum = XorState::starting_at(histogram.sum);
        self.positive = positive.len();
        self.buckets.clear();
        for bucket in differences(positive).chain(differences(negative)) {
            bits.write_varbit_int(bucket);
            self.buckets.push(Delta::starting_at(bucket));
        }
    }

    fn write_next(&mut self, bits: &mut BitWriter<'_>, histogram: &Histogram) {
        let Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } = &histogram.counts
        else {
            unreachable!("a chunk holds one flavour");
        };
        if histogram.is_stale() {
            // Only stale samples may follow, so the state of the counts is not needed any more.
            bits.write(0, 2);
            return self.sum.write(bits, 0, 0, histogram.sum.to_bits());
        }
        self.count.write(bits, count.cast_signed());
        self.zero_count.write(bits, zero_count.cast_signed());
        self.sum.write(bits, 0, 0, histogram.sum.to_bits());
        let buckets = differences(positive).chain(differences(negative));
        for (state, bucket) in self.buckets.iter_mut().zip(buckets) {
            state.write(bits, bucket);
        }
    }

    fn read_first(bits: &mut BitReader<'_>, positive: usize, negative: usize) -> Result<Self, Damage> {
        let count = Delta::starting_at(bits.take_varbit_uint()?.cast_signed());
        let zero_count = Delta::starting_at(bits.take_varbit_uint()?.cast_signed());
        let sum = XorState::starting_at(f64::from_bits(bits.take_wide(64)?));
        let buckets = (0..positive + negative).map(|_| bits.take_varbit_int().map(Delta::starting_at));
        Ok(Self {
            count,
            zero_count,
            sum,
            buckets: buckets.collect::<Result<_, _>>()?,
            positive,
        })
    }

    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), Damage> {
        self.count.read(bits)?;
        self.zero_count.read(bits)?;
        self.sum.read(bits)?;
        if is_stale_marker(self.sum()) {
            return Ok(());
        }
        self.buckets.iter_mut().try_for_each(|bucket| bucket.read(bits))
    }

    fn sum(&self) -> f64 {
        f64::from_bits(self.sum.last)
    }

    fn fill(&self, counts: &mut Counts) {
        let (mut positive, mut negative) = match std::mem::take(counts) {
            Counts::Integer { positive, negative, .. } => (positive, negative),
            Counts::Float { .. } => Default::default(),
        };
        let (positive_buckets, negative_buckets) = self.buckets.split_at(self.positive);
        sums(positive_buckets, &mut positive);
        sums(negative_buckets, &mut negative);
        *counts = Counts::Integer {
            count: self.count.last.cast_unsigned(),
            zero_count: self.zero_count.last.cast_unsigned(),
            positive,
            negative,
        };
    }

    fn no_counts() -> Counts {
        Counts::default()
    }
}
