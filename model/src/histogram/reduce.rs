//! Resolution made coarser, as Prometheus makes it of schemas finer than it stores (`reduceResolution` in `generic.go`).
//!
//! Only on the way out, into chunks and answers that a Prometheus must read; the archive keeps what was sent.

use super::{Counts, Histogram, STORED_SCHEMA_MAX, Span, bucket_indices};

impl Histogram {
    /// Merges buckets until the schema is one that Prometheus stores. Does nothing to all others, and nothing to a histogram that is not
    /// valid because its spans overlap.
    pub fn reduce_to_stored(&mut self) {
        let Ok(steps) = u32::try_from(self.schema.saturating_sub(STORED_SCHEMA_MAX)) else {
            return;
        };
        if steps == 0 || !rises(&self.positive_spans) || !rises(&self.negative_spans) {
            return;
        }
        match &mut self.counts {
            Counts::Integer { positive, negative, .. } => {
                reduce(&mut self.positive_spans, positive, steps, i64::wrapping_add);
                reduce(&mut self.negative_spans, negative, steps, i64::wrapping_add);
            }
            Counts::Float { positive, negative, .. } => {
                reduce(&mut self.positive_spans, positive, steps, |a, b| a + b);
                reduce(&mut self.negative_spans, negative, steps, |a, b| a + b);
            }
        }
        self.schema = STORED_SCHEMA_MAX;
    }
}

/// Whether no span begins before the end of the one before.
fn rises(spans: &[Span]) -> bool {
    spans.iter().skip(1).all(|span| span.offset >= 0)
}

fn reduce<C: Copy>(spans: &mut Vec<Span>, counts: &mut Vec<C>, steps: u32, add: impl Fn(C, C) -> C) {
    let mut merged: Vec<(i64, C)> = Vec::new();
    for (index, &count) in bucket_indices(spans).zip(counts.iter()) {
        // Bucket i reaches up to 2^(2^-schema * i), so bounds are halved rounding up; more than 63 steps would leave 0 and 1 all the same.
        let target = ((index - 1) >> steps.min(63)) + 1;
        match merged.last_mut() {
            Some((last, sum)) if *last == target => *sum = add(*sum, count),
            _ => merged.push((target, count)),
        }
    }
    spans.clear();
    counts.clear();
    let mut next = 0_i64;
    for (index, count) in merged {
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => {
                let mut gap = index - next;
                // Empty spans of the original may have added up to a gap that one offset cannot hold.
                while gap > i64::from(i32::MAX) {
                    spans.push(Span {
                        offset: i32::MAX,
                        length: 0,
                    });
                    gap -= i64::from(i32::MAX);
                }
                let offset =
                    i32::try_from(gap).expect("only the first offset is negative, and targets lie nearer to 0");
                spans.push(Span { offset, length: 1 });
            }
        }
        next = index + 1;
        counts.push(count);
    }
}
