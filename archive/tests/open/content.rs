//! What the parts hold: rows made up from a number, so that parts overlap, contradict and repeat each other.

use std::collections::BTreeMap;

use emberkeep_model::histogram::CUSTOM_BUCKETS_SCHEMA;
use emberkeep_model::{
    Counts, Exemplar, Histogram, Labels, Metadata, MetricType, ResetHint, STALE_MARKER_BITS, Sample, SeenMetadata,
    SeriesRuns, Span,
};

/// The series of one part, unsettled, with what was said of each.
pub(crate) type Part = BTreeMap<Labels, (SeriesRuns, Vec<SeenMetadata>)>;

/// A stream of numbers without a pattern that matters (SplitMix64).
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("a small number")]
    }

    fn float(&mut self) -> f64 {
        let bits = self.next();
        let small = self.below(1000) as f64 / 8.0;
        self.pick(&[
            small,
            small,
            f64::from_bits(STALE_MARKER_BITS),
            f64::from_bits(0x7ff8_0000_0000_0001),
            -0.0,
            f64::INFINITY,
            f64::from_bits(bits),
        ])
    }

    fn spans(&mut self) -> Vec<Span> {
        let count = self.below(4);
        let span = |_| Span {
            offset: i32::try_from(self.below(9)).expect("a small number") - 4,
            length: u32::try_from(self.below(4)).expect("a small number"),
        };
        (0..count).map(span).collect()
    }

    fn wholes(&mut self, spans: &[Span]) -> Vec<i64> {
        let count = spans.iter().map(|span| span.length).sum::<u32>();
        let whole = |_| match self.below(4) {
            0 => i64::MAX - 5,
            _ => i64::try_from(self.below(300)).expect("a small number"),
        };
        (0..count).map(whole).collect()
    }

    fn floats(&mut self, spans: &[Span]) -> Vec<f64> {
        let count = spans.iter().map(|span| span.length).sum::<u32>();
        (0..count).map(|_| self.float()).collect()
    }

    fn histogram(&mut self) -> Histogram {
        let schema = self.pick(&[-4, 0, 3, 8, 20, CUSTOM_BUCKETS_SCHEMA]);
        let is_custom = schema == CUSTOM_BUCKETS_SCHEMA;
        let (mut positive_spans, mut negative_spans) = (self.spans(), self.spans());
        let mut custom_values = Vec::new();
        if is_custom {
            negative_spans.clear();
            for span in &mut positive_spans {
                span.offset = span.offset.abs();
            }
            let reach: i64 = positive_spans
                .iter()
                .map(|span| i64::from(span.offset) + i64::from(span.length))
                .sum();
            // One bound less than buckets: the last one is open.
            custom_values = (1..reach).map(|i| i as f64 * 0.5 - 3.0).collect();
        }
        let counts = if self.below(2) == 0 {
            Counts::Integer {
                count: self.pick(&[0, 7, u64::MAX]),
                zero_count: if is_custom {
                    0
                } else {
                    self.pick(&[0, 300, u64::MAX - 1])
                },
                positive: self.wholes(&positive_spans),
                negative: self.wholes(&negative_spans),
            }
        } else {
            Counts::Float {
                count: self.float(),
                zero_count: self.float(),
                positive: self.floats(&positive_spans),
                negative: self.floats(&negative_spans),
            }
        };
        Histogram {
            counts,
            sum: self.float(),
            schema,
            zero_threshold: self.pick(&[0.0, 1e-128, 0.5]),
            reset_hint: self.pick(&[
                ResetHint::Unknown,
                ResetHint::Reset,
                ResetHint::NotReset,
                ResetHint::Gauge,
            ]),
            positive_spans,
            negative_spans,
            custom_values,
        }
    }

    fn seen(&mut self) -> SeenMetadata {
        let first_seen = i64::try_from(self.below(1000)).expect("a small number");
        SeenMetadata {
            metadata: Metadata {
                metric_type: self.pick(&[MetricType::Counter, MetricType::Histogram]),
                unit: self.pick(&["", "s"]).to_owned(),
                help: self.pick(&["", "two\nlines \u{1F525} 'quoted'"]).to_owned(),
            },
            first_seen,
            last_seen: first_seen + 5,
        }
    }

    /// Times are few, so that rows meet: within a part, between parts, and between kinds.
    fn time(&mut self) -> i64 {
        i64::try_from(self.below(40)).expect("a small number") * 1000 - 2000
    }

    /// One part. `pool` are histograms that other parts have as well.
    pub(crate) fn part(&mut self, pool: &[Histogram]) -> Part {
        let mut part = Part::new();
        // Some have floats alone, some histograms alone, some both.
        for (name, floats, histograms) in [
            ("a", 0, 12),
            ("b", 1, 12),
            ("c", 6, 0),
            ("d", 4, 8),
            ("\u{1F525}", 3, 3),
        ] {
            let labels = Labels::from_pairs([("__name__", name), ("job", "x'y")]).expect("labels");
            let (runs, metadata) = part.entry(labels).or_default();
            for _ in 0..floats {
                let sample = Sample {
                    timestamp: self.time(),
                    value: self.float(),
                    start_timestamp: self.pick(&[0, 0, 5]),
                };
                runs.samples.push(sample);
            }
            for _ in 0..histograms {
                let fresh = self.histogram();
                let known = &pool[usize::try_from(self.below(pool.len() as u64)).expect("a small number")];
                let histogram = if self.below(2) == 0 { known } else { &fresh };
                runs.histograms.push(self.time(), self.pick(&[0, 0, 5]), histogram);
            }
            for _ in 0..self.below(4) {
                let exemplar = Exemplar {
                    timestamp: self.time(),
                    value: self.pick(&[0.0, -0.0, 1.5, f64::from_bits(0x7ff8_0000_0000_0001)]),
                    labels: Labels::from_pairs(self.pick(&[&[][..], &[("trace_id", "1")]]).iter().copied())
                        .expect("labels"),
                };
                runs.exemplars.push(exemplar);
            }
            for _ in 0..self.below(3) {
                metadata.push(self.seen());
            }
        }
        part.retain(|_, (runs, metadata)| !runs.is_empty() || !metadata.is_empty());
        part
    }

    pub(crate) fn histograms(&mut self, count: usize) -> Vec<Histogram> {
        (0..count).map(|_| self.histogram()).collect()
    }

    /// What is said of families in a part.
    pub(crate) fn families(&mut self) -> Vec<(&'static str, SeenMetadata)> {
        (0..self.below(4))
            .map(|_| (self.pick(&["a", "other"]), self.seen()))
            .collect()
    }
}
