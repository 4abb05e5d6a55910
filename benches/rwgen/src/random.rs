//! SplitMix64 (Steele, Lea and Flood, 2014): small, and the same on every machine and in every version of every library.
//!
//! Figures of different days can be compared only when the data is the same, so neither the generator nor the mixing may
//! ever change.

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A generator with 64 bits of state.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        finish(self.0)
    }

    /// A number below `bound`, which is at least 1. The tiny bias does not matter here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn finish(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One number out of several: what depends on a place and a time alone needs no state, and no order.
pub(crate) fn mix<const N: usize>(parts: [u64; N]) -> u64 {
    parts.into_iter().fold(STEP, |state, part| {
        finish(state.wrapping_add(STEP) ^ finish(part.wrapping_add(STEP)))
    })
}

/// A number in [0, 1) out of mixed bits.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::{Random, mix, unit};

    #[test]
    fn it_gives_the_published_numbers() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn mixed_numbers_are_spread_evenly() {
        let sum: f64 = (0..10_000).map(|n| unit(mix([7, n % 100, n / 100]))).sum();
        assert!((4_800.0..5_200.0).contains(&sum), "{sum}");
        assert_ne!(mix([1, 2]), mix([2, 1]));
    }
}
