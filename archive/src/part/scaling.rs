//! The scale of one run and its integers, found together: nearly every run has an integer for each value, and then one look at each is enough.
//!
//! Must say what [`decimal::scale_of`] and [`decimal::split`] say one after the other; whatever is not plain is left to those.

use std::ops::Range;

use super::decimal::{self, BLOCK, MOST_IN_BLOCK};

/// What is stored of a run.
#[derive(Debug, Default)]
pub(super) struct Scaling {
    scale: u8,
    /// Of all values; none when some have no integer.
    integers: Vec<i64>,
    /// Whether there are values and none has an integer.
    is_raw: bool,
}

impl Scaling {
    /// Looks at a run; what it said of another is forgotten.
    pub(super) fn look(&mut self, values: &[f64]) {
        self.integers.clear();
        self.is_raw = false;
        self.scale = match self.take_all(values) {
            Some(scale) => scale,
            None => {
                self.integers.clear();
                let served = decimal::served_scale(values);
                self.is_raw = served.is_none();
                served.unwrap_or(0)
            }
        };
    }

    /// The scale of the run.
    pub(super) fn scale(&self) -> u8 {
        self.scale
    }

    /// As [`decimal::split`] of some of the values that were looked at.
    pub(super) fn split(
        &self,
        values: &[f64],
        rows: Range<usize>,
        integers: &mut Vec<i64>,
        mut place: impl FnMut(u32, &[f64]),
    ) {
        if self.is_raw {
            return place(0, &values[rows]);
        }
        match self.integers.get(rows.clone()).filter(|of_rows| !of_rows.is_empty()) {
            Some(of_rows) => {
                integers.extend_from_slice(of_rows);
                place(of_rows.len() as u32, &[]);
            }
            None => decimal::split(&values[rows], self.scale, integers, place),
        }
    }

    /// The scale, when each value has an integer at it and none is large.
    fn take_all(&mut self, values: &[f64]) -> Option<u8> {
        let mut scale = 0;
        for block in values.chunks(BLOCK) {
            let all = match decimal::all_unscaled(block, scale) {
                Some(all) => all,
                None => {
                    let before = scale;
                    for &value in block {
                        if decimal::unscaled(value, scale).is_none() {
                            scale = scale.max(decimal::smallest_scale(value)?);
                        }
                    }
                    self.add_digits(scale - before)?;
                    decimal::all_unscaled(block, scale)?
                }
            };
            self.integers.extend_from_slice(&all[..block.len()]);
        }
        Some(scale)
    }

    /// Gives the integers so many more digits. The quotients stay what they were, and so do the floats next to them; up to this size there is
    /// only one integer for each.
    fn add_digits(&mut self, digits: u8) -> Option<()> {
        if digits == 0 {
            return Some(());
        }
        let factor = 10_i64.pow(u32::from(digits));
        for integer in &mut self.integers {
            *integer = integer.checked_mul(factor)?;
            (integer.unsigned_abs() <= MOST_IN_BLOCK).then_some(())?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = f64> {
        let decimal = |(integer, digits): (i64, u32)| integer as f64 / 10_f64.powi(digits.cast_signed());
        prop_oneof![
            20 => (-9_999_i64..9_999, 0_u32..4).prop_map(decimal),
            5 => (any::<i64>().prop_map(|n| n >> 10), 0_u32..16).prop_map(decimal),
            1 => any::<u64>().prop_map(f64::from_bits),
        ]
    }

    /// Runs of values without a decimal, some with one among them.
    fn run() -> impl Strategy<Value = Vec<f64>> {
        let raw = (1_i64..100_000_000).prop_map(|n| n as f64 / 7.0);
        let nearly = prop_oneof![30 => raw.clone(), 1 => value()];
        prop_oneof![
            4 => prop::collection::vec(value(), 0..60),
            1 => prop::collection::vec(raw, 0..60),
            1 => prop::collection::vec(nearly, 0..60),
        ]
    }

    proptest! {
        #[test]
        fn it_says_what_two_looks_say(
            runs in prop::collection::vec(run(), 1..4),
            cut in 0_usize..60,
        ) {
            let mut scaling = Scaling::default();
            for values in runs {
                scaling.look(&values);
                prop_assert_eq!(scaling.scale(), decimal::scale_of(&values));
                let cut = cut.min(values.len());
                for rows in [0..cut, cut..values.len()] {
                    let (mut found, mut expected) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
                    let told = |told: &mut Vec<Option<u64>>, exact: u32, raw: &[f64]| {
                        told.extend(std::iter::repeat_n(None, exact as usize));
                        told.extend(raw.iter().map(|raw| Some(raw.to_bits())));
                    };
                    scaling.split(&values, rows.clone(), &mut found.0, |exact, raw| told(&mut found.1, exact, raw));
                    decimal::split(&values[rows], scaling.scale(), &mut expected.0, |exact, raw| {
                        told(&mut expected.1, exact, raw);
                    });
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn a_scale_that_rises_late_is_that_of_all() {
        let mut values = vec![3.0; 20];
        values.push(0.25);
        let (mut scaling, mut integers) = (Scaling::default(), Vec::new());
        scaling.look(&values);
        scaling.split(&values, 0..21, &mut integers, |exact, raw| {
            assert_eq!((exact, raw), (21, &[][..]));
        });
        assert_eq!((scaling.scale(), integers[0], integers[20]), (2, 300, 25));
    }
}
