//! A native histogram: how it is written into a request, read from one, and what makes two of them equal.
//!
//! Numbers are kept as bits, so that equality is equality of bits. An archive may lay the same buckets out in other spans, and
//! may drop the hint about resets (a chunk keeps it for its first sample alone); so the canonical form has absolute counts of
//! the buckets that are not empty, and of the hint only whether it is a gauge.

use anyhow::{Context, Result, ensure};

use crate::wire::{Content, Fields, put_bytes, put_fixed, put_length, put_number, put_varint, unzigzag, zigzag};

/// Prometheus' stale marker, as bits: a signalling NaN.
pub(crate) const STALE: u64 = 0x7ff0_0000_0000_0002;
/// `ResetHint` of a gauge histogram.
const GAUGE: u64 = 3;
/// Most buckets of one side: what a length in a request or in an answer may claim.
pub(crate) const BUCKETS_MAX: u64 = 1 << 20;

/// A run of buckets: the distance to the last one, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: i32,
    pub(crate) length: u32,
}

/// The buckets of one sign: counts are numbers, or the bits of floats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) spans: Vec<Span>,
    pub(crate) counts: Vec<u64>,
}

/// One histogram sample without its timestamp.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    pub(crate) is_float: bool,
    pub(crate) is_gauge: bool,
    pub(crate) schema: i32,
    pub(crate) zero_threshold: u64,
    /// A number, or the bits of a float, as the counts of the buckets.
    pub(crate) count: u64,
    pub(crate) zero_count: u64,
    pub(crate) sum: u64,
    pub(crate) positive: Side,
    pub(crate) negative: Side,
    /// Bounds of custom buckets.
    pub(crate) custom: Vec<u64>,
}

impl Histogram {
    /// What a scrape leaves of a series of histograms that is gone.
    pub(crate) fn stale() -> Self {
        Self {
            sum: STALE,
            ..Self::default()
        }
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.sum == STALE
    }

    /// The bytes that equal histograms share, and no others.
    pub(crate) fn put_canonical(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_float) | u8::from(self.is_gauge) << 1);
        out.extend_from_slice(&self.schema.to_le_bytes());
        for number in [self.zero_threshold, self.count, self.zero_count, self.sum] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for side in [&self.positive, &self.negative] {
            side.each(|index, count| {
                out.extend_from_slice(&index.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            });
            out.extend_from_slice(&i64::MAX.to_le_bytes());
        }
        for bound in &self.custom {
            out.extend_from_slice(&bound.to_le_bytes());
        }
    }

    /// Appends the message as both versions of remote write have it.
    pub(crate) fn put_message(&self, timestamp: i64, out: &mut Vec<u8>) {
        let put_count = |integer: u64, float: u64, value: u64, out: &mut Vec<u8>| {
            if self.is_float {
                put_fixed(float, value, out);
            } else {
                put_number(integer, value, out);
            }
        };
        put_count(1, 2, self.count, out);
        if self.sum != 0 {
            put_fixed(3, self.sum, out);
        }
        if self.schema != 0 {
            put_number(4, zigzag(self.schema.into()), out);
        }
        if self.zero_threshold != 0 {
            put_fixed(5, self.zero_threshold, out);
        }
        put_count(6, 7, self.zero_count, out);
        self.negative.put(8, self.is_float, out);
        self.positive.put(11, self.is_float, out);
        if self.is_gauge {
            put_number(14, GAUGE, out);
        }
        put_number(15, timestamp.cast_unsigned(), out);
        if !self.custom.is_empty() {
            put_fixed_list(16, &self.custom, out);
        }
    }

    /// Reads such a message: the timestamp and the histogram.
    pub(crate) fn read(message: &[u8]) -> Result<(i64, Self)> {
        let (mut read, mut timestamp) = (Self::default(), 0);
        let mut fields = Fields(message);
        while let Some((field, content)) = fields.next()? {
            match field {
                1 => read.count = content.number()?,
                2 => (read.is_float, read.count) = (true, content.fixed()?),
                3 => read.sum = content.fixed()?,
                4 => read.schema = unzigzag(content.number()?) as i32,
                5 => read.zero_threshold = content.fixed()?,
                6 => read.zero_count = content.number()?,
                7 => (read.is_float, read.zero_count) = (true, content.fixed()?),
                8 => read.negative.spans.push(Span::read(content)?),
                9 => read.negative.push_deltas(content)?,
                10 => push_fixed(content, &mut read.negative.counts)?,
                11 => read.positive.spans.push(Span::read(content)?),
                12 => read.positive.push_deltas(content)?,
                13 => push_fixed(content, &mut read.positive.counts)?,
                14 => read.is_gauge = content.number()? == GAUGE,
                15 => timestamp = content.number()?.cast_signed(),
                16 => push_fixed(content, &mut read.custom)?,
                // The start timestamp of 2.0, which remote read cannot show.
                _ => {}
            }
        }
        for side in [&read.positive, &read.negative] {
            ensure!(
                side.described() == side.counts.len() as u64,
                "spans and buckets differ in number"
            );
        }
        Ok((timestamp, read))
    }
}

impl Side {
    /// Buckets that the spans describe.
    pub(crate) fn described(&self) -> u64 {
        self.spans.iter().map(|span| u64::from(span.length)).sum()
    }

    /// Index and count of each bucket that is not empty.
    pub(crate) fn each(&self, mut on_bucket: impl FnMut(i64, u64)) {
        let (mut index, mut counts) = (0_i64, self.counts.iter());
        for span in &self.spans {
            index += i64::from(span.offset);
            for &count in counts.by_ref().take(span.length as usize) {
                if count != 0 {
                    on_bucket(index, count);
                }
                index += 1;
            }
        }
    }

    fn put(&self, spans_field: u64, is_float: bool, out: &mut Vec<u8>) {
        let mut message = Vec::new();
        for span in &self.spans {
            message.clear();
            if span.offset != 0 {
                put_number(1, zigzag(span.offset.into()), &mut message);
            }
            if span.length != 0 {
                put_number(2, span.length.into(), &mut message);
            }
            put_bytes(spans_field, &message, out);
        }
        if self.counts.is_empty() {
            return;
        }
        if is_float {
            put_fixed_list(spans_field + 2, &self.counts, out);
            return;
        }
        message.clear();
        let mut last = 0_u64;
        for &count in &self.counts {
            put_varint(zigzag(count.wrapping_sub(last).cast_signed()), &mut message);
            last = count;
        }
        put_bytes(spans_field + 1, &message, out);
    }

    fn push_deltas(&mut self, content: Content<'_>) -> Result<()> {
        let mut last = self.counts.last().copied().unwrap_or_default();
        let mut push = |delta: u64| {
            last = last.wrapping_add(unzigzag(delta).cast_unsigned());
            self.counts.push(last);
        };
        match content {
            Content::Number(delta) => push(delta),
            packed => {
                let mut deltas = Fields(packed.bytes()?);
                while !deltas.0.is_empty() {
                    push(deltas.varint()?);
                }
            }
        }
        Ok(())
    }
}

impl Span {
    fn read(content: Content<'_>) -> Result<Self> {
        let (mut span, mut fields) = (Self { offset: 0, length: 0 }, Fields(content.bytes()?));
        while let Some((field, content)) = fields.next()? {
            match field {
                1 => span.offset = unzigzag(content.number()?) as i32,
                2 => span.length = u32::try_from(content.number()?).context("a span that is too long")?,
                _ => {}
            }
        }
        ensure!(
            u64::from(span.length) <= BUCKETS_MAX,
            "a span of {} buckets",
            span.length
        );
        Ok(span)
    }
}

fn put_fixed_list(field: u64, list: &[u64], out: &mut Vec<u8>) {
    put_length(field, list.len() * 8, out);
    out.extend(list.iter().flat_map(|bits| bits.to_le_bytes()));
}

fn push_fixed(content: Content<'_>, out: &mut Vec<u64>) -> Result<()> {
    if let Content::Fixed(bits) = content {
        out.push(bits);
        return Ok(());
    }
    let (values, rest) = content.bytes()?.as_chunks::<8>();
    ensure!(rest.is_empty(), "a list of doubles that ends inside one");
    out.extend(values.iter().map(|value| u64::from_le_bytes(*value)));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn sample() -> Histogram {
        Histogram {
            schema: -2,
            zero_threshold: 1e-128_f64.to_bits(),
            count: 12,
            zero_count: 2,
            sum: (-0.0_f64).to_bits(),
            positive: Side {
                spans: vec![Span { offset: -3, length: 2 }, Span { offset: 4, length: 1 }],
                counts: vec![5, 1, 3],
            },
            negative: Side {
                spans: vec![Span { offset: 0, length: 1 }],
                counts: vec![1],
            },
            ..Histogram::default()
        }
    }

    fn canonical(histogram: &Histogram) -> Vec<u8> {
        let mut out = Vec::new();
        histogram.put_canonical(&mut out);
        out
    }

    #[test]
    fn a_message_reads_as_it_was_put() {
        let float = Histogram {
            is_float: true,
            is_gauge: true,
            custom: vec![1.5_f64.to_bits()],
            ..sample()
        };
        for histogram in [sample(), float, Histogram::stale()] {
            let mut message = Vec::new();
            histogram.put_message(1_700_000_000_123, &mut message);
            assert_eq!(Histogram::read(&message).unwrap(), (1_700_000_000_123, histogram));
        }
    }

    #[test]
    fn only_the_layout_may_differ() {
        let mut other = sample();
        other.positive = Side {
            spans: vec![Span { offset: -4, length: 8 }],
            counts: vec![0, 5, 1, 0, 0, 0, 0, 3],
        };
        assert_eq!(canonical(&other), canonical(&sample()));
        other.positive.counts[7] = 4;
        assert_ne!(canonical(&other), canonical(&sample()));
        let moved = Histogram {
            positive: sample().negative,
            negative: sample().positive,
            ..sample()
        };
        assert_ne!(canonical(&moved), canonical(&sample()));
    }
}
