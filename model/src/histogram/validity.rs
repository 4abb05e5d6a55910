//! What makes a histogram valid, by the rules of Prometheus (`model/histogram/histogram.go`, `float_histogram.go`, `generic.go`).
//!
//! No stricter, or samples would be lost that Prometheus keeps; no laxer, or blocks would hold what it refuses.

use super::{CUSTOM_BUCKETS_SCHEMA, Counts, FINEST_SCHEMA, Histogram, Span};

/// The coarsest resolution.
const COARSEST_SCHEMA: i32 = -4;

/// Why a histogram is not valid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HistogramFault {
    /// No known resolution.
    #[error("schema {0} is neither one of -4 to 52 nor -53")]
    Schema(i32),
    /// The spans speak of another number of buckets.
    #[error("{side} spans describe {described} buckets and there are {present}")]
    BucketNumber {
        /// Positive or negative.
        side: &'static str,
        /// By the spans.
        described: u64,
        /// By the counts.
        present: usize,
    },
    /// A span that begins before the end of the one before.
    #[error("{side} span {number} has offset {offset}")]
    SpanOffset {
        /// Positive or negative.
        side: &'static str,
        /// From 1.
        number: usize,
        /// As sent.
        offset: i32,
    },
    /// A count below 0.
    #[error("{place} has count {count}, less than 0")]
    NegativeCount {
        /// Where.
        place: &'static str,
        /// As sent.
        count: f64,
    },
    /// The counts do not add up.
    #[error("{buckets} observations in buckets, but the count is {count}")]
    CountMismatch {
        /// In all buckets, zero bucket included.
        buckets: u64,
        /// The count.
        count: u64,
    },
    /// Something that the schema has no place for.
    #[error("schema {schema} must have no {what}")]
    Superfluous {
        /// As sent.
        schema: i32,
        /// What it has.
        what: &'static str,
    },
    /// Custom bounds that are no bounds.
    #[error("custom bound {number} is {bound}: bounds rise strictly, end below +Inf and are not NaN")]
    CustomBound {
        /// From 1.
        number: usize,
        /// As sent.
        bound: f64,
    },
    /// Buckets beyond the custom bounds.
    #[error("spans reach over {reach} buckets, but {bounds} custom bounds make {} at most", bounds + 1)]
    BeyondBounds {
        /// By the spans.
        reach: u64,
        /// Number of bounds.
        bounds: usize,
    },
}

impl Histogram {
    /// Checks what Prometheus checks. Time and memory are linear in what is there, whatever the spans claim.
    ///
    /// # Errors
    /// The first fault.
    pub fn validate(&self) -> Result<(), HistogramFault> {
        let (positive, negative) = self.counts.bucket_numbers();
        match self.schema {
            CUSTOM_BUCKETS_SCHEMA => self.check_custom(positive, negative)?,
            COARSEST_SCHEMA..=FINEST_SCHEMA => {
                check_spans("positive", &self.positive_spans, positive)?;
                check_spans("negative", &self.negative_spans, negative)?;
                if !self.custom_values.is_empty() {
                    return Err(self.superfluous("custom bounds"));
                }
            }
            other => return Err(HistogramFault::Schema(other)),
        }
        self.check_counts()
    }

    fn check_custom(&self, positive: usize, negative: usize) -> Result<(), HistogramFault> {
        let zero_count = match self.counts {
            Counts::Integer { zero_count, .. } => zero_count != 0,
            Counts::Float { zero_count, .. } => zero_count != 0.0,
        };
        if zero_count {
            return Err(self.superfluous("zero count"));
        }
        if self.zero_threshold != 0.0 {
            return Err(self.superfluous("zero threshold"));
        }
        if !self.negative_spans.is_empty() {
            return Err(self.superfluous("negative spans"));
        }
        if negative > 0 {
            return Err(self.superfluous("negative buckets"));
        }
        let mut last = f64::NEG_INFINITY;
        for (i, &bound) in self.custom_values.iter().enumerate() {
            if bound.is_nan() || (i > 0 && bound <= last) || bound == f64::INFINITY {
                return Err(HistogramFault::CustomBound { number: i + 1, bound });
            }
            last = bound;
        }
        let mut reach = 0_u64;
        for (i, span) in self.positive_spans.iter().enumerate() {
            let Ok(offset) = u64::try_from(span.offset) else {
                return Err(offset_fault("positive", i, span));
            };
            reach += offset + u64::from(span.length);
        }
        check_spans("positive", &self.positive_spans, positive)?;
        let bounds = self.custom_values.len();
        if bounds as u64 + 1 < reach {
            return Err(HistogramFault::BeyondBounds { reach, bounds });
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), HistogramFault> {
        match &self.counts {
            Counts::Integer {
                count,
                zero_count,
                positive,
                negative,
            } => {
                let mut buckets = *zero_count;
                for (place, side) in [("a negative bucket", negative), ("a positive bucket", positive)] {
                    for &bucket in side {
                        let Ok(bucket) = u64::try_from(bucket) else {
                            let count = bucket as f64;
                            return Err(HistogramFault::NegativeCount { place, count });
                        };
                        buckets = buckets.wrapping_add(bucket);
                    }
                }
                // Observations of NaN are counted and lie in no bucket.
                let adds_up = if self.sum.is_nan() {
                    buckets <= *count
                } else {
                    buckets == *count
                };
                let count = *count;
                if adds_up {
                    Ok(())
                } else {
                    Err(HistogramFault::CountMismatch { buckets, count })
                }
            }
            Counts::Float {
                count,
                zero_count,
                positive,
                negative,
            } => {
                let all = [
                    ("a negative bucket", negative.as_slice()),
                    ("a positive bucket", positive),
                    ("the zero bucket", std::slice::from_ref(zero_count)),
                    ("the histogram", std::slice::from_ref(count)),
                ];
                for (place, counts) in all {
                    if let Some(&count) = counts.iter().find(|&&count| count < 0.0) {
                        return Err(HistogramFault::NegativeCount { place, count });
                    }
                }
                Ok(())
            }
        }
    }

    fn superfluous(&self, what: &'static str) -> HistogramFault {
        HistogramFault::Superfluous {
            schema: self.schema,
            what,
        }
    }
}

fn check_spans(side: &'static str, spans: &[Span], present: usize) -> Result<(), HistogramFault> {
    let mut described = 0_u64;
    for (i, span) in spans.iter().enumerate() {
        if i > 0 && span.offset < 0 {
            return Err(offset_fault(side, i, span));
        }
        described += u64::from(span.length);
    }
    if described == present as u64 {
        return Ok(());
    }
    Err(HistogramFault::BucketNumber {
        side,
        described,
        present,
    })
}

fn offset_fault(side: &'static str, i: usize, span: &Span) -> HistogramFault {
    HistogramFault::SpanOffset {
        side,
        number: i + 1,
        offset: span.offset,
    }
}
