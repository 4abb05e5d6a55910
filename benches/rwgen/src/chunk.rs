//! Decodes the chunks of a streamed remote read into rows: floats (1), histograms with integers (2) and with floats (3).
//!
//! Written from the format (`tsdb/chunkenc/xor.go`, `histogram.go`, `float_histogram.go`, `histogram_meta.go` of Prometheus);
//! it must share nothing with the product's decoder, which it is there to check.

use anyhow::{Context, Result, bail, ensure};

use crate::bits::{Bits, Xor};
use crate::histogram::{BUCKETS_MAX, Histogram, STALE, Side, Span};
use crate::row::Value;

const XOR: u64 = 1;
const HISTOGRAM: u64 = 2;
const FLOAT_HISTOGRAM: u64 = 3;
/// `UnknownCounterReset` and so on, the top bits of the flags.
const GAUGE: u8 = 3;
const CUSTOM_BUCKETS: i64 = -53;

/// Calls `on_row` with each sample of a chunk.
pub(crate) fn decode(encoding: u64, chunk: &[u8], on_row: impl FnMut(i64, Value)) -> Result<()> {
    let (count, rest) = chunk.split_first_chunk::<2>().context("a chunk without its count")?;
    let count = u16::from_be_bytes(*count);
    match encoding {
        XOR => floats(count, rest, on_row),
        HISTOGRAM => histograms::<Integers>(count, rest, on_row),
        FLOAT_HISTOGRAM => histograms::<Floats>(count, rest, on_row),
        other => bail!("chunk encoding {other} is not known here"),
    }
}

fn floats(count: u16, bytes: &[u8], mut on_row: impl FnMut(i64, Value)) -> Result<()> {
    let mut bits = Bits::new(bytes);
    let (mut timestamp, mut delta, mut xor) = (0_i64, 0_i64, Xor::default());
    for number in 0..count {
        match number {
            0 => {
                timestamp = crate::wire::unzigzag(bits.uvarint()?);
                xor = Xor::new(bits.take(64)?);
            }
            1 => {
                delta = bits.uvarint()?.cast_signed();
                timestamp = timestamp.wrapping_add(delta);
                xor.next(&mut bits)?;
            }
            _ => {
                let change = match bits.ones(4)? {
                    0 => 0,
                    1 => bits.signed(14)?,
                    2 => bits.signed(17)?,
                    3 => bits.signed(20)?,
                    _ => bits.take(64)?.cast_signed(),
                };
                delta = delta.wrapping_add(change);
                timestamp = timestamp.wrapping_add(delta);
                xor.next(&mut bits)?;
            }
        }
        on_row(timestamp, Value::Float(xor.value));
    }
    Ok(())
}

/// What histograms of a chunk have in common.
#[derive(Debug)]
struct Layout {
    schema: i32,
    zero_threshold: u64,
    positive: Vec<Span>,
    negative: Vec<Span>,
    custom: Vec<u64>,
}

impl Layout {
    fn read(bits: &mut Bits<'_>) -> Result<Self> {
        let zero_threshold = match bits.take(8)? {
            0 => 0,
            255 => bits.take(64)?,
            // 0.5 times that power of two, put together from its exponent.
            exponent => (exponent + 1_023 - 243 - 1) << 52,
        };
        let schema = bits.varbit_int()?;
        let (positive, negative) = (spans(bits)?, spans(bits)?);
        let mut custom = Vec::new();
        if schema == CUSTOM_BUCKETS {
            let count = bits.varbit_uint()?;
            ensure!(count <= BUCKETS_MAX, "a chunk with {count} bounds");
            for _ in 0..count {
                custom.push(match bits.varbit_uint()? {
                    0 => bits.take(64)?,
                    thousandths => ((thousandths - 1) as f64 / 1_000.0).to_bits(),
                });
            }
        }
        Ok(Self {
            schema: i32::try_from(schema).context("a schema that is too large")?,
            zero_threshold,
            positive,
            negative,
            custom,
        })
    }
}

fn spans(bits: &mut Bits<'_>) -> Result<Vec<Span>> {
    let count = bits.varbit_uint()?;
    let (mut spans, mut buckets) = (Vec::new(), 0_u64);
    for _ in 0..count {
        let length = u32::try_from(bits.varbit_uint()?).context("a span that is too long")?;
        let offset = i32::try_from(bits.varbit_int()?).context("a span that lies too far away")?;
        buckets += u64::from(length);
        ensure!(buckets <= BUCKETS_MAX, "a chunk with more than {BUCKETS_MAX} buckets");
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

/// How the numbers of a sample are coded: count, zero count, and each bucket has one coder.
trait Numbers {
    const IS_FLOAT: bool;
    type Coder: Clone + Default;
    /// A number of the sample with that position in the chunk. A bucket differs from a count only in the first.
    fn next(coder: &mut Self::Coder, bits: &mut Bits<'_>, number: u16, is_bucket: bool) -> Result<u64>;
}

/// Delta of deltas; the buckets are deltas of each other already.
struct Integers;

impl Numbers for Integers {
    const IS_FLOAT: bool = false;
    /// Value and last delta.
    type Coder = (i64, i64);

    fn next((value, delta): &mut (i64, i64), bits: &mut Bits<'_>, number: u16, is_bucket: bool) -> Result<u64> {
        match number {
            0 if is_bucket => *value = bits.varbit_int()?,
            0 => *value = bits.varbit_uint()?.cast_signed(),
            _ => {
                *delta = delta.wrapping_add(bits.varbit_int()?);
                *value = value.wrapping_add(*delta);
            }
        }
        Ok(value.cast_unsigned())
    }
}

/// XOR.
struct Floats;

impl Numbers for Floats {
    const IS_FLOAT: bool = true;
    type Coder = Xor;

    fn next(coder: &mut Xor, bits: &mut Bits<'_>, number: u16, _: bool) -> Result<u64> {
        if number == 0 {
            *coder = Xor::new(bits.take(64)?);
            return Ok(coder.value);
        }
        coder.next(bits)
    }
}

fn histograms<N: Numbers>(count: u16, bytes: &[u8], mut on_row: impl FnMut(i64, Value)) -> Result<()> {
    let (&flags, rest) = bytes.split_first().context("a chunk without its flags")?;
    let mut bits = Bits::new(rest);
    let layout = Layout::read(&mut bits)?;
    let buckets = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum::<usize>();
    let mut positive = vec![N::Coder::default(); buckets(&layout.positive)];
    let mut negative = vec![N::Coder::default(); buckets(&layout.negative)];
    let (mut counts, mut sum) = (<[N::Coder; 2]>::default(), Xor::default());
    let (mut timestamp, mut delta) = (0_i64, 0_i64);
    for number in 0..count {
        match number {
            0 => timestamp = bits.varbit_int()?,
            _ => {
                // The first delta is one to a delta of nothing.
                delta = delta.wrapping_add(bits.varbit_int()?);
                timestamp = timestamp.wrapping_add(delta);
            }
        }
        let [count, zero_count] = &mut counts;
        let count = N::next(count, &mut bits, number, false)?;
        let zero_count = N::next(zero_count, &mut bits, number, false)?;
        match number {
            0 => sum = Xor::new(bits.take(64)?),
            _ => {
                sum.next(&mut bits)?;
            }
        }
        if sum.value == STALE {
            on_row(timestamp, Value::Histogram(Box::new(Histogram::stale())));
            continue;
        }
        let positive = side::<N>(&mut positive, &layout.positive, &mut bits, number)?;
        let negative = side::<N>(&mut negative, &layout.negative, &mut bits, number)?;
        let histogram = Histogram {
            is_float: N::IS_FLOAT,
            is_gauge: flags >> 6 == GAUGE,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            count,
            zero_count,
            sum: sum.value,
            positive,
            negative,
            custom: layout.custom.clone(),
        };
        on_row(timestamp, Value::Histogram(Box::new(histogram)));
    }
    Ok(())
}

fn side<N: Numbers>(coders: &mut [N::Coder], spans: &[Span], bits: &mut Bits<'_>, number: u16) -> Result<Side> {
    let mut side = Side {
        spans: spans.to_vec(),
        counts: Vec::with_capacity(coders.len()),
    };
    let mut last = 0_u64;
    for coder in coders {
        let value = N::next(coder, bits, number, true)?;
        last = if N::IS_FLOAT { value } else { last.wrapping_add(value) };
        side.counts.push(last);
    }
    Ok(side)
}
