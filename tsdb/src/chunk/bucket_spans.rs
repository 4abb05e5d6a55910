//! Compares the buckets of consecutive histograms and lays them out alike (Prometheus: `tsdb/chunkenc/histogram.go`,
//! `expandIntSpansAndBuckets`, and `expandSpansBothWays` in `histogram_meta.go`).
//!
//! Indices are 64 bits wide, because offsets add up beyond 32.

use emberkeep_model::Span;
use emberkeep_model::histogram::bucket_indices;

/// Whether the buckets of a histogram can follow those of the one before in the same chunk.
#[derive(Debug, PartialEq)]
pub(super) enum Fit {
    /// They cannot: the counter was reset, or the spans cannot be brought together.
    No,
    /// The layout has a place for every bucket.
    Within,
    /// With these spans instead, the samples before get zeros in the new places.
    Wider(Vec<Span>),
}

/// Spans and counts of one side of a histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a, C> {
    pub(super) spans: &'a [Span],
    pub(super) counts: &'a [C],
}

/// How the buckets of `next` fit those of `last`, which has the layout of the chunk. Those of a counter must not fall or vanish.
pub(super) fn fit<C: Copy + Default + PartialOrd>(last: Side<'_, C>, next: Side<'_, C>, counter: bool) -> Fit {
    if last.spans == next.spans {
        let falls = |(last, next): (&C, &C)| last > next;
        return if counter && last.counts.iter().zip(next.counts).any(falls) {
            Fit::No
        } else {
            Fit::Within
        };
    }
    if !rises(last.spans) || !rises(next.spans) {
        return Fit::No;
    }
    let mut left = bucket_indices(last.spans).zip(last.counts.iter().copied()).peekable();
    let mut right = bucket_indices(next.spans).zip(next.counts.iter().copied()).peekable();
    let mut union = Vec::new();
    let (mut only_left, mut only_right) = (false, false);
    loop {
        let index = match (left.peek(), right.peek()) {
            (Some(&(a, _)), Some(&(b, _))) => a.min(b),
            (Some(&(index, _)), None) | (None, Some(&(index, _))) => index,
            (None, None) => break,
        };
        union.push(index);
        let before = left.next_if(|&(a, _)| a == index).map(|(_, count)| count);
        let after = right.next_if(|&(b, _)| b == index).map(|(_, count)| count);
        only_left |= after.is_none();
        only_right |= before.is_none();
        let falls = match (before, after) {
            (Some(before), Some(after)) => before > after,
            // A bucket in use has vanished; NaN is in use, too.
            (Some(before), None) => before != C::default(),
            (None, _) => false,
        };
        if counter && falls {
            return Fit::No;
        }
    }
    match (only_left, only_right) {
        (_, false) => Fit::Within,
        (false, true) => Fit::Wider(next.spans.to_vec()),
        (true, true) => Fit::Wider(spans_of(union)),
    }
}

/// Lays counts out anew, with zeros where the old spans have no bucket. The new spans have them all.
pub(super) fn widen<C: Copy + Default>(counts: &mut Vec<C>, from: &[Span], to: &[Span]) {
    if from == to {
        return;
    }
    let mut old = bucket_indices(from).zip(counts.iter().copied()).peekable();
    let widened = bucket_indices(to)
        .map(|index| {
            old.next_if(|&(i, _)| i == index)
                .map_or_else(C::default, |(_, count)| count)
        })
        .collect();
    *counts = widened;
}

/// Whether the indices rise: any later negative offset goes back.
fn rises(spans: &[Span]) -> bool {
    spans.iter().skip(1).all(|span| span.offset >= 0)
}

/// The shortest spans of rising indices.
fn spans_of(indices: Vec<i64>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0;
    for index in indices {
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => {
                let mut gap = index - next;
                // Empty spans of the originals may have added up to a gap that one offset cannot hold.
                while gap > i64::from(i32::MAX) {
                    spans.push(Span {
                        offset: i32::MAX,
                        length: 0,
                    });
                    gap -= i64::from(i32::MAX);
                }
                let offset = i32::try_from(gap).expect("only the first offset is negative, and that was 32 bits wide");
                spans.push(Span { offset, length: 1 });
            }
        }
        next = index + 1;
    }
    spans
}

#[cfg(test)]
mod tests;
