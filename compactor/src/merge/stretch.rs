//! Series that all inputs have, one behind the other: their rows are taken input by input, many series at a time.
//!
//! Flush after flush holds the same series with a few rows of each, so what is done once for each series and input costs more than the rows.
//! Here it is done once for a stretch of series and input, and while it is, all that is touched belongs to one input. Must give what going
//! from series to series gives; nothing but floats is taken so, and only as many rows as the caches of a processor hold.

use emberkeep_model::{Run, SeenMetadata};

use super::MergeError;
use super::cursor::Cursor;

/// Series of a stretch, at most.
const MOST_SERIES: usize = 64;

/// Fewer are not worth the copy of their rows.
const LEAST_SERIES: usize = 8;

/// Rows of all inputs together, about.
const ALL_ROWS: u64 = 32 << 10;

/// Rows of one input: at least, whatever the number of inputs, and at most.
const INPUT_ROWS: [u64; 2] = [256, 2048];

/// Rows of a stretch, by input.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    held: Vec<Held>,
    /// Series until it is tried again.
    pause: usize,
}

/// Rows of one input.
#[derive(Debug, Default)]
struct Held {
    rows: Run,
    /// Rows up to the end of each series.
    ends: Vec<usize>,
    /// Row of the first series in the series table.
    first: u64,
    is_silent: bool,
}

impl Stretch {
    /// Takes the floats of series that all cursors of a group have, from the one on at which they stand: how many series; none when one by one
    /// is better. There must be no cursor beside these.
    pub(super) async fn take(&mut self, cursors: &mut [Cursor<'_>], group: &[usize]) -> Result<usize, MergeError> {
        self.pause = self.pause.saturating_sub(1);
        if self.pause > 0 || group.len() < 2 {
            return Ok(0);
        }
        let count = common(cursors, group);
        if count < LEAST_SERIES {
            self.pause = count;
            return Ok(0);
        }
        self.held.resize_with(group.len().max(self.held.len()), Held::default);
        for (held, &i) in self.held.iter_mut().zip(group) {
            held.rows.clear();
            held.ends.clear();
            held.first = cursors[i].row();
            held.is_silent = cursors[i].is_silent(held.first..held.first + count as u64);
            cursors[i].take_ready(count, &mut held.rows, &mut held.ends).await?;
        }
        Ok(count)
    }

    /// Appends what was taken of a series, the first of which is 0, and what was said of it.
    pub(super) async fn append(
        &self,
        number: usize,
        (cursors, group): (&mut [Cursor<'_>], &[usize]),
        run: &mut Run,
        seen: &mut Vec<SeenMetadata>,
    ) -> Result<(), MergeError> {
        for (held, &i) in self.held.iter().zip(group) {
            let start = number.checked_sub(1).map_or(0, |before| held.ends[before]);
            run.append_rows(&held.rows, start..held.ends[number]);
            if !held.is_silent {
                cursors[i].metadata_at(held.first + number as u64, seen).await?;
            }
        }
        Ok(())
    }
}

/// How many series all of a group have from the one on at which they stand.
fn common(cursors: &mut [Cursor<'_>], group: &[usize]) -> usize {
    let most_rows = (ALL_ROWS / group.len() as u64).clamp(INPUT_ROWS[0], INPUT_ROWS[1]);
    let ready = |count: usize, &i: &usize| cursors[i].ready(count, most_rows);
    let mut count = group.iter().fold(MOST_SERIES, ready);
    for &i in &group[1..] {
        if count < LEAST_SERIES {
            break;
        }
        if let Ok([leader, other]) = cursors.get_disjoint_mut([group[0], i]) {
            count = other.same_ready(leader, count);
        }
    }
    count
}
