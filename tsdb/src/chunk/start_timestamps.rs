//! Start timestamps in histogram chunks, one after each sample (Prometheus: `tsdb/chunkenc/st.go`).
//!
//! Stored as the distance from the *previous* sample's timestamp, and only from the first change on:
//!
//! ```text
//! header u8: bit 7 the first sample has one | bits 0-6 the position of the first sample that differs from the one before, or 0
//! first sample: nothing, or varint t - st      from the first change on: varbit prev t - st, then varbit differences of that
//! ```
//!
//! The header cannot name a position beyond 127, so there the change is written even when there is none.

use crate::bits::{BitReader, BitWriter};
use crate::bytes::{unzigzag, zigzag};
use crate::error::Damage;

/// The last position that the header can name.
const LAST_POSITION: usize = 0x7f;
const FIRST_KNOWN: u8 = 0x80;

/// The state of both directions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StartTimestamps {
    last: i64,
    /// Previous timestamp less start timestamp, once that is stored.
    distance: i64,
    first_known: bool,
    /// Position of the first change; 0 = none so far.
    first_change: u8,
}

impl StartTimestamps {
    /// The state that a reader begins with.
    pub(super) fn of_header(header: u8) -> Self {
        Self {
            first_known: header & FIRST_KNOWN != 0,
            first_change: header & !FIRST_KNOWN,
            ..Self::default()
        }
    }

    /// The header for what was written.
    pub(super) fn header(&self) -> u8 {
        self.first_change | if self.first_known { FIRST_KNOWN } else { 0 }
    }

    /// Writes the start timestamp of the sample at `position`, counted from 0.
    pub(super) fn write(&mut self, bits: &mut BitWriter<'_>, position: usize, times: Times, start: i64) {
        if position == 0 {
            if start != 0 {
                bits.write_uvarint(zigzag(times.current.wrapping_sub(start)));
                self.first_known = true;
            }
        } else {
            let distance = times.previous.wrapping_sub(start);
            if self.first_change != 0 {
                bits.write_varbit_int(distance.wrapping_sub(self.distance));
                self.distance = distance;
            } else if start != self.last || position == LAST_POSITION {
                bits.write_varbit_int(distance);
                self.distance = distance;
                self.first_change = position.min(LAST_POSITION) as u8;
            }
        }
        self.last = start;
    }

    /// Takes the start timestamp of the sample at `position`.
    pub(super) fn read(&mut self, bits: &mut BitReader<'_>, position: usize, times: Times) -> Result<i64, Damage> {
        let first_change = usize::from(self.first_change);
        if position == 0 {
            if self.first_known {
                self.last = times.current.wrapping_sub(unzigzag(bits.take_uvarint()?));
            }
        } else if first_change != 0 && position >= first_change {
            let number = bits.take_varbit_int()?;
            self.distance = if position == first_change {
                number
            } else {
                self.distance.wrapping_add(number)
            };
            self.last = times.previous.wrapping_sub(self.distance);
        }
        Ok(self.last)
    }
}

/// Timestamps of a sample and of the one before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) previous: i64,
    pub(super) current: i64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(samples: &[(i64, i64)]) -> (u8, usize, Vec<i64>) {
        let times = |i: usize| Times {
            previous: if i == 0 { 0 } else { samples[i - 1].0 },
            current: samples[i].0,
        };
        let mut bytes = Vec::new();
        let mut bits = BitWriter::new(&mut bytes);
        let mut writer = StartTimestamps::default();
        for (i, &(_, start)) in samples.iter().enumerate() {
            writer.write(&mut bits, i, times(i), start);
        }
        bits.finish();
        let mut bits = BitReader::new(&bytes);
        let mut reader = StartTimestamps::of_header(writer.header());
        let read = (0..samples.len()).map(|i| reader.read(&mut bits, i, times(i)));
        let read = read.collect::<Result<_, _>>().expect("what was written can be read");
        (writer.header(), bytes.len(), read)
    }

    #[test]
    fn what_does_not_change_costs_nothing() {
        let unset: Vec<_> = (0..120).map(|n| (n * 1000, 0)).collect();
        assert_eq!((round_trip(&unset).0, round_trip(&unset).1), (0, 0));
        let same: Vec<_> = (0..120).map(|n| (n * 1000, -5)).collect();
        assert_eq!((round_trip(&same).0, round_trip(&same).1), (0x80, 1));
        let late: Vec<_> = (0..300).map(|n| (n * 1000, i64::from(n > 200))).collect();
        assert_eq!(round_trip(&late).0, 0x7f);
    }

    proptest! {
        #[test]
        fn all_start_timestamps_come_back(
            samples in proptest::collection::vec((any::<i64>(), prop_oneof![Just(0), Just(7), any::<i64>()]), 1..300),
        ) {
            let expected: Vec<i64> = samples.iter().map(|&(_, start)| start).collect();
            prop_assert_eq!(round_trip(&samples).2, expected);
        }
    }
}
