//! Series with their rows, packed: how a head holds an answer in memory until it is read.
//!
//! A head is asked for millions of series at once, and the answer stays as long as its reader needs. As a list it would take several times
//! what the head itself takes; packed it takes some 40 bytes for a series whose neighbour in label order differs in one label, and about 5
//! for a sample of a usual series (at most 20). A series is told as what it differs in from the one before: which labels, how far on
//! in time, which bytes of the value.
//!
//! It is never written or sent, so its form may change at any time, and reading it back never fails.

use super::HeadSeries;
use crate::{Exemplar, ExemplarRun, HistogramRow, HistogramRun, Labels, Run, SeriesRuns};

/// A block is not begun anew before it has so many bytes. Blocks never grow beyond, but for a series that does not fit.
const BLOCK_BYTES: usize = 256 << 10;
/// Room that is left when a block is thought to be full.
const BLOCK_RESERVE: usize = 8 << 10;

const FLOATS: u8 = 1;
const FLOAT_STARTS: u8 = 2;
const HISTOGRAMS: u8 = 4;
const EXEMPLARS: u8 = 8;

/// Many series, in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub struct PackedSeries {
    blocks: Vec<Vec<u8>>,
    len: usize,
    before: Before,
}

/// Where somebody stands who reads a [`PackedSeries`].
#[derive(Debug, Clone, Default)]
pub struct PackedCursor {
    block: usize,
    offset: usize,
    before: Before,
}

/// What is kept of the series before.
#[derive(Debug, Clone, Default)]
struct Before {
    /// Canonical bytes.
    labels: Vec<u8>,
    /// Its first timestamp.
    first: i64,
}

impl PackedSeries {
    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum::<usize>() + self.before.labels.capacity()
    }

    /// Adds a series at the end.
    pub fn push(&mut self, labels: &Labels, runs: &SeriesRuns) {
        if self
            .blocks
            .last()
            .is_none_or(|block| block.len() + BLOCK_RESERVE > BLOCK_BYTES)
        {
            self.blocks.push(Vec::with_capacity(BLOCK_BYTES));
        }
        let out = self.blocks.last_mut().expect("a block was just added");
        put_labels(labels.as_bytes(), &mut self.before.labels, out);
        put_runs(runs, &mut self.before.first, out);
        self.len += 1;
    }

    /// A place before the first series.
    #[must_use]
    pub fn cursor(&self) -> PackedCursor {
        PackedCursor::default()
    }

    /// All series in order.
    pub fn iter(&self) -> impl Iterator<Item = HeadSeries> {
        let mut cursor = self.cursor();
        std::iter::from_fn(move || cursor.next(self))
    }
}

impl FromIterator<HeadSeries> for PackedSeries {
    fn from_iter<I: IntoIterator<Item = HeadSeries>>(series: I) -> Self {
        let mut packed = Self::default();
        for HeadSeries { labels, runs } in series {
            packed.push(&labels, &runs);
        }
        packed
    }
}

impl PackedCursor {
    /// The next series of the list that this is a cursor of.
    pub fn next(&mut self, packed: &PackedSeries) -> Option<HeadSeries> {
        let mut block = packed.blocks.get(self.block)?;
        if self.offset == block.len() {
            (self.block, self.offset) = (self.block + 1, 0);
            block = packed.blocks.get(self.block)?;
        }
        let mut bytes = Bytes(&block[self.offset..]);
        bytes.labels(&mut self.before.labels);
        let runs = bytes.runs(&mut self.before.first);
        self.offset = block.len() - bytes.0.len();
        Some(HeadSeries {
            labels: Labels::of_canonical(&self.before.labels),
            runs,
        })
    }
}

/// The number of labels, a bit for each that the series before has at the same place, and the others.
fn put_labels(labels: &[u8], before: &mut Vec<u8>, out: &mut Vec<u8>) {
    let pairs = || Pairs(labels);
    put_uvarint(pairs().count() as u64, out);
    let mut of_before = Pairs(before);
    let mut bits = 0_u8;
    let bits_at = out.len();
    for (i, pair) in pairs().enumerate() {
        bits |= u8::from(of_before.next() == Some(pair)) << (i % 8);
        if i % 8 == 7 {
            out.push(std::mem::take(&mut bits));
        }
    }
    if pairs().count() % 8 > 0 {
        out.push(bits);
    }
    let bits = bits_at..out.len();
    for (i, pair) in pairs().enumerate() {
        if out[bits.start + i / 8] >> (i % 8) & 1 == 0 {
            out.extend_from_slice(pair);
        }
    }
    before.clear();
    before.extend_from_slice(labels);
}

fn put_runs(runs: &SeriesRuns, first: &mut i64, out: &mut Vec<u8>) {
    let floats = &runs.samples;
    let kinds = [
        (!floats.is_empty(), FLOATS),
        (!floats.start_timestamps.is_empty(), FLOAT_STARTS),
        (!runs.histograms.is_empty(), HISTOGRAMS),
        (!runs.exemplars.is_empty(), EXEMPLARS),
    ];
    out.push(kinds.iter().filter(|(has, _)| *has).map(|(_, kind)| kind).sum());
    if !floats.is_empty() {
        put_uvarint(floats.len() as u64, out);
        put_times(&floats.timestamps, first, out);
        let mut before = 0;
        for value in &floats.values {
            put_changed_bytes(value.to_bits() ^ before, out);
            before = value.to_bits();
        }
        if !floats.start_timestamps.is_empty() {
            put_times(&floats.start_timestamps, &mut 0, out);
        }
    }
    if !runs.histograms.is_empty() {
        put_uvarint(runs.histograms.len() as u64, out);
        put_times(runs.histograms.timestamps(), first, out);
        let mut start = 0_i64;
        for row in runs.histograms.iter() {
            put_varint(row.start_timestamp.wrapping_sub(start), out);
            start = row.start_timestamp;
            put_uvarint(row.canonical.len() as u64, out);
            out.extend_from_slice(row.canonical);
        }
    }
    if !runs.exemplars.is_empty() {
        put_uvarint(runs.exemplars.len() as u64, out);
        for exemplar in runs.exemplars.as_slice() {
            put_varint(exemplar.timestamp.wrapping_sub(*first), out);
            *first = exemplar.timestamp;
            out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
            put_uvarint(exemplar.labels.as_bytes().len() as u64, out);
            out.extend_from_slice(exemplar.labels.as_bytes());
        }
    }
}

/// The first time by its distance from `first`, the others by how much their distance differs from the one before.
fn put_times(times: &[i64], first: &mut i64, out: &mut Vec<u8>) {
    let (mut before, mut step) = (*first, 0_i64);
    for (i, &time) in times.iter().enumerate() {
        let now = time.wrapping_sub(before);
        put_varint(now.wrapping_sub(step), out);
        // The way from one series to the next says nothing of the way between its samples.
        step = if i == 0 { 0 } else { now };
        before = time;
    }
    *first = times.first().copied().unwrap_or(*first);
}

/// The bytes between the zeros at both ends, after a byte that says where they lie.
fn put_changed_bytes(bits: u64, out: &mut Vec<u8>) {
    if bits == 0 {
        out.push(0);
        return;
    }
    let (above, below) = (bits.leading_zeros() / 8, bits.trailing_zeros() / 8);
    out.push((1 + above * 8 + below) as u8);
    out.extend_from_slice(&bits.to_le_bytes()[below as usize..8 - above as usize]);
}

fn put_varint(value: i64, out: &mut Vec<u8>) {
    put_uvarint(((value << 1) ^ (value >> 63)) as u64, out);
}

fn put_uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Labels of canonical bytes, each as its bytes.
struct Pairs<'a>(&'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let mut rest = Bytes(self.0);
        for _ in 0..2 {
            rest.string();
        }
        let (pair, rest) = self.0.split_at(self.0.len() - rest.0.len());
        self.0 = rest;
        Some(pair)
    }
}

/// What is still to be read. It was written by this module, so it is never too short.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn uvarint(&mut self) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    fn varint(&mut self) -> i64 {
        let value = self.uvarint();
        (value >> 1) as i64 ^ -((value & 1) as i64)
    }

    fn len(&mut self) -> usize {
        self.uvarint() as usize
    }

    fn string(&mut self) -> &'a [u8] {
        let len = self.len();
        self.take(len)
    }

    fn labels(&mut self, before: &mut Vec<u8>) {
        let len = self.len();
        let bits = self.take(len.div_ceil(8));
        let mut labels = Vec::with_capacity(before.len());
        let mut of_before = Pairs(before);
        for i in 0..len {
            let there = of_before.next();
            if bits[i / 8] >> (i % 8) & 1 == 1 {
                labels.extend_from_slice(there.unwrap_or_default());
            } else {
                let mut pairs = Pairs(self.0);
                labels.extend_from_slice(pairs.next().unwrap_or_default());
                self.0 = pairs.0;
            }
        }
        *before = labels;
    }

    fn runs(&mut self, first: &mut i64) -> SeriesRuns {
        let kinds = self.byte();
        let mut runs = SeriesRuns::default();
        if kinds & FLOATS > 0 {
            let len = self.len();
            let timestamps = self.times(len, first);
            let mut bits = 0;
            let value = || {
                bits ^= self.changed_bytes();
                f64::from_bits(bits)
            };
            let values = std::iter::repeat_with(value).take(len).collect();
            let start_timestamps = if kinds & FLOAT_STARTS > 0 {
                self.times(len, &mut 0)
            } else {
                Vec::new()
            };
            runs.samples = Run {
                timestamps,
                values,
                start_timestamps,
            };
        }
        if kinds & HISTOGRAMS > 0 {
            runs.histograms = self.histograms(first);
        }
        if kinds & EXEMPLARS > 0 {
            runs.exemplars = self.exemplars(first);
        }
        runs
    }

    fn histograms(&mut self, first: &mut i64) -> HistogramRun {
        let mut histograms = HistogramRun::default();
        let len = self.len();
        let mut start_timestamp = 0_i64;
        for timestamp in self.times(len, first) {
            start_timestamp = start_timestamp.wrapping_add(self.varint());
            histograms.push_row(HistogramRow {
                timestamp,
                start_timestamp,
                canonical: self.string(),
            });
        }
        histograms
    }

    fn exemplars(&mut self, first: &mut i64) -> ExemplarRun {
        let len = self.len();
        let exemplar = |_| {
            *first = first.wrapping_add(self.varint());
            let bits = self.take(8).try_into().expect("eight bytes were taken");
            Exemplar {
                timestamp: *first,
                value: f64::from_bits(u64::from_le_bytes(bits)),
                labels: Labels::of_canonical(self.string()),
            }
        };
        (0..len).map(exemplar).collect()
    }

    fn times(&mut self, len: usize, first: &mut i64) -> Vec<i64> {
        let (mut time, mut step) = (*first, 0_i64);
        let times: Vec<i64> = (0..len)
            .map(|i| {
                let now = step.wrapping_add(self.varint());
                step = if i == 0 { 0 } else { now };
                time = time.wrapping_add(now);
                time
            })
            .collect();
        *first = times.first().copied().unwrap_or(*first);
        times
    }

    fn changed_bytes(&mut self) -> u64 {
        let Some(place) = self.byte().checked_sub(1) else {
            return 0;
        };
        let (above, below) = (usize::from(place / 8), usize::from(place % 8));
        let mut bytes = [0; 8];
        bytes[below..8 - above].copy_from_slice(self.take(8 - above - below));
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests;
