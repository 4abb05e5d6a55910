//! Values of a page in DELTA_BINARY_PACKED, a few at a time.
//!
//! A page has the rows of many series, and whoever wants some of them wants them where they are used and not all of them first. So what is
//! unpacked here is never more than fits into the nearest cache of a processor. Must give what [`delta::take`] gives of the same bytes.

use super::delta;
use super::varint::{take_uvarint, take_zigzag};

/// Values that are unpacked together, about.
const MOST: usize = 256;

/// Where in a page the reading stands. The bytes are the caller's; they must be the same each time.
#[derive(Debug, Default)]
pub(super) struct DeltaValues {
    /// What of the bytes is read.
    at: usize,
    miniblocks: usize,
    /// Steps of a miniblock.
    steps: usize,
    /// Where the widths of the block stand, and which of its steps is next.
    widths_at: usize,
    step: usize,
    last: i64,
    least: i64,
    /// Values that are not unpacked yet.
    left: usize,
    unpacked: Vec<i64>,
    /// How many of those were given.
    given: usize,
}

impl DeltaValues {
    /// Stands before the first of `count` values. `None` when the page has not so many, or is of a form that nobody writes.
    pub(super) fn start(&mut self, bytes: &[u8], count: usize) -> Option<()> {
        let mut rest = bytes;
        let block = usize::try_from(take_uvarint(&mut rest)?).ok()?;
        let miniblocks = usize::try_from(take_uvarint(&mut rest)?).ok()?;
        let total = usize::try_from(take_uvarint(&mut rest)?).ok()?;
        let first = take_zigzag(&mut rest)?;
        (total == count).then_some(())?;
        let steps = delta::steps_of(block, miniblocks)?;
        self.unpacked.clear();
        self.unpacked.extend((count > 0).then_some(first));
        *self = Self {
            at: bytes.len() - rest.len(),
            miniblocks,
            steps,
            widths_at: 0,
            // As behind the last step of a block.
            step: miniblocks * steps,
            last: first,
            least: 0,
            left: count.saturating_sub(1),
            unpacked: std::mem::take(&mut self.unpacked),
            given: 0,
        };
        Some(())
    }

    /// The next values, at least one and at most so many. `None` when there are none, or not what the page says.
    #[inline]
    pub(super) fn next(&mut self, bytes: &[u8], most: usize) -> Option<&[i64]> {
        if self.given == self.unpacked.len() {
            self.unpack(bytes)?;
        }
        let from = self.given;
        self.given = self.unpacked.len().min(from.saturating_add(most));
        self.unpacked.get(from..self.given).filter(|values| !values.is_empty())
    }

    /// Passes over so many values.
    pub(super) fn skip(&mut self, bytes: &[u8], mut count: usize) -> Option<()> {
        while count > 0 {
            count -= self.next(bytes, count)?.len();
        }
        Some(())
    }

    fn unpack(&mut self, bytes: &[u8]) -> Option<()> {
        self.unpacked.clear();
        self.given = 0;
        while self.left > 0 && self.unpacked.len() + delta::STEP <= MOST {
            let mut rest = bytes.get(self.at..)?;
            if self.step == self.miniblocks * self.steps {
                let before = rest.len();
                self.least = take_zigzag(&mut rest)?;
                self.widths_at = self.at + before - rest.len();
                rest = rest.get(self.miniblocks..)?;
                self.step = 0;
            }
            let width = *bytes.get(self.widths_at + self.step / self.steps)?;
            let count = self.left.min(delta::STEP);
            let length = delta::step_bytes(rest, width, count)?;
            self.last = delta::take_step(rest, width, count, [self.last, self.least], &mut self.unpacked);
            self.at = bytes.len() - rest.len() + length;
            self.step += 1;
            self.left -= count;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// All values, in pieces of these sizes, which are gone over again and again.
    fn taken(bytes: &[u8], count: usize, pieces: &[usize]) -> Option<Vec<i64>> {
        let (mut values, mut all) = (DeltaValues::default(), Vec::new());
        values.start(bytes, count)?;
        let mut pieces = pieces.iter().cycle();
        while all.len() < count {
            let most = *pieces.next().unwrap();
            let some = values.next(bytes, most.min(count - all.len()))?;
            assert!(!some.is_empty() && some.len() <= most);
            all.extend_from_slice(some);
        }
        assert_eq!(values.next(bytes, 1), None);
        Some(all)
    }

    proptest! {
        #[test]
        fn pieces_are_those_of_the_whole(
            steps in prop::collection::vec(prop_oneof![3 => Just(15_000_i64), 2 => -300_i64..300, 1 => any::<i64>()], 0..900),
            pieces in prop::collection::vec(1_usize..400, 1..5),
            skipped: prop::sample::Index,
            cut: prop::sample::Index,
        ) {
            let values: Vec<i64> = steps
                .iter()
                .scan(7_i64, |last, &step| {
                    *last = last.wrapping_add(step);
                    Some(*last)
                })
                .collect();
            let mut bytes = Vec::new();
            delta::put(&mut bytes, &values);
            prop_assert_eq!(taken(&bytes, values.len(), &pieces), Some(values.clone()));
            prop_assert_eq!(taken(&bytes, values.len() + 1, &pieces), None);
            let mut whole = Vec::new();
            let cut = &bytes[..cut.index(bytes.len())];
            let found = delta::take(cut, values.len(), &mut whole).map(|()| whole);
            prop_assert_eq!(taken(cut, values.len(), &pieces), found);
            if !values.is_empty() {
                let (mut behind, skipped) = (DeltaValues::default(), skipped.index(values.len()));
                behind.start(&bytes, values.len()).unwrap();
                behind.skip(&bytes, skipped).unwrap();
                prop_assert_eq!(behind.next(&bytes, 1), Some(&values[skipped..=skipped]));
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0_usize..600) {
            let mut whole = Vec::new();
            let found = delta::take(&bytes, count, &mut whole).map(|()| whole);
            prop_assert_eq!(taken(&bytes, count, &[100]), found);
        }
    }
}
