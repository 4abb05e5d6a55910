//! Sums by window of two hours, and the bytes in which a part keeps those of a day.

use std::ops::Range;

use super::WINDOWS_A_DAY;

/// Length of a window, milliseconds. Windows begin at multiples of it since 1970, so a UTC day has twelve.
pub const WINDOW_MS: i64 = 2 * 3_600_000;

/// A sum for each window; 0 for a window without rows.
#[derive(Debug, Clone, Default)]
pub struct WindowSums {
    /// Number of a window and its sum, in order.
    sums: Vec<(i64, u64)>,
}

impl WindowSums {
    /// Adds to the window that holds the timestamp.
    pub fn add(&mut self, timestamp: i64, digest: u64) {
        let window = timestamp.div_euclid(WINDOW_MS);
        match self.sums.last_mut() {
            Some((last, sum)) if *last == window => *sum = sum.wrapping_add(digest),
            Some((last, _)) if *last < window => self.sums.push((window, digest)),
            None => self.sums.push((window, digest)),
            Some(_) => match self.sums.binary_search_by_key(&window, |(window, _)| *window) {
                Ok(at) => self.sums[at].1 = self.sums[at].1.wrapping_add(digest),
                Err(at) => self.sums.insert(at, (window, digest)),
            },
        }
    }

    /// Adds what another has.
    pub fn join(&mut self, other: &Self) {
        for &(window, sum) in &other.sums {
            self.add(window * WINDOW_MS, sum);
        }
    }

    /// Start of each window that has rows, milliseconds since 1970, and its sum; in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, u64)> {
        let windows = self.sums.iter().filter(|(_, sum)| *sum != 0);
        windows.map(|&(window, sum)| (window * WINDOW_MS, sum))
    }

    /// Forgets the sums, keeps the memory.
    pub fn clear(&mut self) {
        self.sums.clear();
    }

    /// Appends the sums of a day; nothing when there is none. False when there is one outside of the day.
    pub(crate) fn put(&self, day: i32, out: &mut Vec<u8>) -> bool {
        let first_of_day = i64::from(day) * WINDOWS_A_DAY;
        let is_inside = |&(window, _): &(i64, u64)| (0..WINDOWS_A_DAY).contains(&(window - first_of_day));
        if !self.sums.iter().all(is_inside) {
            return false;
        }
        let Some(&(first, _)) = self.sums.first() else {
            return true;
        };
        out.push(u8::try_from(first - first_of_day).expect("a day has twelve windows"));
        let mut next = first;
        for &(window, sum) in &self.sums {
            for _ in next..window {
                out.extend_from_slice(&[0; 8]);
            }
            out.extend_from_slice(&sum.to_le_bytes());
            next = window + 1;
        }
        true
    }

    /// Reads the sums of a day; none when the bytes cannot be that.
    pub(crate) fn read(&mut self, day: i32, bytes: &[u8]) -> Option<()> {
        self.sums.clear();
        let Some((&first, words)) = bytes.split_first() else {
            return Some(());
        };
        let (words, rest) = words.as_chunks::<8>();
        let first = i64::from(first);
        if !rest.is_empty() || first + words.len() as i64 > WINDOWS_A_DAY {
            return None;
        }
        let windows = i64::from(day) * WINDOWS_A_DAY + first..;
        self.sums
            .extend(windows.zip(words.iter().map(|word| u64::from_le_bytes(*word))));
        Some(())
    }
}

/// A window without rows and one whose sum is 0 are the same.
impl PartialEq for WindowSums {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for WindowSums {}

/// Rows of one window each, of times that do not fall.
pub(super) fn stretches(times: &[i64]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = *times.get(start)?;
        let end = first.div_euclid(WINDOW_MS).saturating_add(1).saturating_mul(WINDOW_MS);
        let rest = &times[start..];
        let count = match rest.last() {
            Some(&last) if last < end => rest.len(),
            // At least one, whatever the times are.
            _ => rest.partition_point(|&time| time < end).max(1),
        };
        start += count;
        Some(start - count..start)
    })
}
