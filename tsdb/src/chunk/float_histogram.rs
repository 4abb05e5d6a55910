//! The fields of a histogram with float counts in a chunk (Prometheus: `tsdb/chunkenc/float_histogram.go`).
//!
//! ```text
//! first:  count | zero count | sum | each bucket: 64 bits each
//! later:  the xor of each, none of buckets with a stale sum
//! ```
//!
//! Each field and bucket is an XOR stream with a window of its own. Counts are bits and never computed with.

use emberkeep_model::histogram::{Counts, Histogram};
use emberkeep_model::is_stale_marker;

use super::histogram::Fields;
use super::xor::XorState;
use crate::bits::{BitReader, BitWriter};
use crate::error::Damage;

/// The fields of the sample that was written or read last.
#[derive(Debug, Default)]
pub(super) struct FloatFields {
    count: XorState,
    zero_count: XorState,
    sum: XorState,
    /// Positive buckets, then the negative.
    buckets: Vec<XorState>,
    positive: usize,
}

fn write_raw(bits: &mut BitWriter<'_>, number: f64) -> XorState {
    bits.write(number.to_bits(), 64);
    XorState::starting_at(number)
}

fn read_raw(bits: &mut BitReader<'_>) -> Result<XorState, Damage> {
    Ok(XorState::starting_at(f64::from_bits(bits.take_wide(64)?)))
}

fn floats(states: &[XorState], counts: &mut Vec<f64>) {
    counts.clear();
    counts.extend(states.iter().map(|state| f64::from_bits(state.last)));
}

impl Fields for FloatFields {
    const LEAST_BUCKET_BITS: u64 = 64;

    fn write_first(&mut self, bits: &mut BitWriter<'_>, histogram: &Histogram) {
        let Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } = &histogram.counts
        else {
            unreachable!("a chunk holds one flavour");
        };
        self.count = write_raw(bits, *count);
        self.zero_count = write_raw(bits, *zero_count);
        self.sum = write_raw(bits, histogram.sum);
        self.positive = positive.len();
        self.buckets.clear();
        let buckets = positive.iter().chain(negative);
        self.buckets.extend(buckets.map(|&bucket| write_raw(bits, bucket)));
    }

    fn write_next(&mut self, bits: &mut BitWriter<'_>, histogram: &Histogram) {
        let Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } = &histogram.counts
        else {
            unreachable!("a chunk holds one flavour");
        };
        self.count.write(bits, 0, 0, count.to_bits());
        self.zero_count.write(bits, 0, 0, zero_count.to_bits());
        self.sum.write(bits, 0, 0, histogram.sum.to_bits());
        // A stale marker comes without buckets.
        for (state, bucket) in self.buckets.iter_mut().zip(positive.iter().chain(negative)) {
            state.write(bits, 0, 0, bucket.to_bits());
        }
    }

    fn read_first(bits: &mut BitReader<'_>, positive: usize, negative: usize) -> Result<Self, Damage> {
        Ok(Self {
            count: read_raw(bits)?,
            zero_count: read_raw(bits)?,
            sum: read_raw(bits)?,
            buckets: (0..positive + negative)
                .map(|_| read_raw(bits))
                .collect::<Result<_, _>>()?,
            positive,
        })
    }

    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), Damage> {
        for field in [&mut self.count, &mut self.zero_count, &mut self.sum] {
            field.read(bits)?;
        }
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
            Counts::Float { positive, negative, .. } => (positive, negative),
            Counts::Integer { .. } => Default::default(),
        };
        let (positive_buckets, negative_buckets) = self.buckets.split_at(self.positive);
        floats(positive_buckets, &mut positive);
        floats(negative_buckets, &mut negative);
        *counts = Counts::Float {
            count: f64::from_bits(self.count.last),
            zero_count: f64::from_bits(self.zero_count.last),
            positive,
            negative,
        };
    }

    fn no_counts() -> Counts {
        Counts::Float {
            count: 0.0,
            zero_count: 0.0,
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}
