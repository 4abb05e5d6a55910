//! Rows in the form in which a block can hold them, as digests: what is equal here is equal in a restored Prometheus.
//!
//! Floats are kept by a chunk bit for bit. Of a histogram a chunk is free to hold in another way: buckets without observations, the
//! layout of spans, hints about resets (which chunks say by where they begin), resolutions finer than Prometheus stores, and
//! everything but the sum of a stale marker. So digests of histograms are taken here over what is left of them; they are *not* those
//! that parts keep. Exemplars and metadata have no place in a block and none here.

use emberkeep_archive::RunSlice;
use emberkeep_archive::digest::Digests;
use emberkeep_model::histogram::bucket_indices;
use emberkeep_model::{Counts, Histogram, HistogramRun, ResetHint, SeriesRuns, Span, UNSET_START_TIMESTAMP};
use xxhash_rust::xxh3::xxh3_64;

/// Turns rows into digests; keeps memory from one series to the next.
#[derive(Debug, Default)]
pub struct StoredForm {
    bytes: Vec<u8>,
    histogram: Histogram,
}

impl StoredForm {
    /// Adds floats, histograms and their start timestamps, whose times do not fall.
    pub fn add(&mut self, runs: &SeriesRuns, digests: &mut Digests) {
        digests.add_samples(RunSlice::from(&runs.samples));
        self.add_histograms(&runs.histograms, digests);
    }

    fn add_histograms(&mut self, run: &HistogramRun, digests: &mut Digests) {
        for row in run.iter() {
            self.bytes.clear();
            self.bytes.extend_from_slice(&row.timestamp.to_le_bytes());
            row.decode_into(&mut self.histogram);
            self.histogram.reduce_to_stored();
            observations(&self.histogram, &mut self.bytes);
            digests.histograms.add(row.timestamp, xxh3_64(&self.bytes));
            if row.start_timestamp != UNSET_START_TIMESTAMP {
                let mut pair = [0; 16];
                pair[..8].copy_from_slice(&row.timestamp.to_le_bytes());
                pair[8..].copy_from_slice(&row.start_timestamp.to_le_bytes());
                digests.start_timestamps.add(row.timestamp, xxh3_64(&pair));
            }
        }
    }
}

/// Appends what a histogram says, in a form that does not depend on how its buckets are laid out.
pub(crate) fn observations(histogram: &Histogram, out: &mut Vec<u8>) {
    out.push(u8::from(histogram.is_float()));
    out.extend_from_slice(&histogram.sum.to_bits().to_le_bytes());
    if histogram.is_stale() {
        return;
    }
    out.push(u8::from(histogram.reset_hint == ResetHint::Gauge));
    out.extend_from_slice(&histogram.schema.to_le_bytes());
    out.extend_from_slice(&histogram.zero_threshold.to_bits().to_le_bytes());
    out.extend_from_slice(&(histogram.custom_values.len() as u64).to_le_bytes());
    for bound in &histogram.custom_values {
        out.extend_from_slice(&bound.to_bits().to_le_bytes());
    }
    let sides = [&histogram.positive_spans, &histogram.negative_spans];
    match &histogram.counts {
        Counts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => {
            out.extend_from_slice(&count.to_le_bytes());
            out.extend_from_slice(&zero_count.to_le_bytes());
            for (spans, counts) in sides.into_iter().zip([positive, negative]) {
                buckets(spans, counts.iter().map(|count| count.cast_unsigned()), out);
            }
        }
        Counts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => {
            out.extend_from_slice(&count.to_bits().to_le_bytes());
            out.extend_from_slice(&zero_count.to_bits().to_le_bytes());
            for (spans, counts) in sides.into_iter().zip([positive, negative]) {
                buckets(spans, counts.iter().map(|count| count.to_bits()), out);
            }
        }
    }
}

/// Index and count of each bucket that is not plainly zero; how many there were comes last.
fn buckets(spans: &[Span], counts: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
    let mut used = 0_u64;
    for (index, count) in bucket_indices(spans).zip(counts).filter(|&(_, count)| count != 0) {
        out.extend_from_slice(&index.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        used += 1;
    }
    out.extend_from_slice(&used.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(runs: &SeriesRuns) -> Digests {
        let mut digests = Digests::default();
        StoredForm::default().add(runs, &mut digests);
        digests
    }

    fn one(histogram: &Histogram, start: i64) -> SeriesRuns {
        let mut runs = SeriesRuns::default();
        runs.histograms.push(7, start, histogram);
        runs
    }

    #[test]
    fn the_layout_of_a_histogram_is_not_its_content() {
        let counts = |positive: Vec<i64>| Counts::Integer {
            count: 3,
            zero_count: 0,
            positive,
            negative: Vec::new(),
        };
        let plain = Histogram {
            counts: counts(vec![3]),
            positive_spans: vec![Span { offset: 2, length: 1 }],
            ..Histogram::default()
        };
        let padded = Histogram {
            counts: counts(vec![0, 3, 0]),
            positive_spans: vec![Span { offset: 1, length: 3 }],
            reset_hint: ResetHint::NotReset,
            ..Histogram::default()
        };
        assert_eq!(digests(&one(&plain, 0)), digests(&one(&padded, 0)));
        let more = Histogram {
            counts: counts(vec![0, 3, 1]),
            ..padded.clone()
        };
        assert_ne!(digests(&one(&plain, 0)), digests(&one(&more, 0)));
        let gauge = Histogram {
            reset_hint: ResetHint::Gauge,
            ..padded
        };
        assert_ne!(digests(&one(&plain, 0)), digests(&one(&gauge, 0)));
    }

    #[test]
    fn start_timestamps_have_the_digests_that_parts_keep() {
        let runs = one(&Histogram::default(), 5);
        let mut kept = Digests::default();
        kept.add(&runs);
        assert_eq!(digests(&runs).start_timestamps, kept.start_timestamps);
        assert_ne!(digests(&runs), digests(&one(&Histogram::default(), 6)));
    }
}
