//! Builds remote write requests, 1.0 and 2.0, byte for byte (`prompb/remote.proto` and `io/prometheus/write/v2/types.proto` of
//! Prometheus), one sample per series entry, as a Prometheus queue sends them.
//!
//! As there, a value of +0 is left out, and in 2.0 each entry tells its metadata. Labels of a series are laid out once; a request
//! of 2.0 numbers its symbols anew. It must never use the product's codecs.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};

use anyhow::{Context, Result, ensure};

use crate::row::Value;
use crate::wire::{put_bytes, put_fixed, put_length, put_number, put_varint, varint_len};

/// Which version of remote write requests are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
pub(crate) enum Protocol {
    #[value(name = "1")]
    #[serde(rename = "1")]
    V1,
    #[value(name = "2")]
    #[serde(rename = "2")]
    V2,
}

impl Protocol {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The value of `X-Prometheus-Remote-Write-Version`.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

/// Type (as the messages number it), help and unit of a metric family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) kind: u64,
    pub(crate) help: String,
    pub(crate) unit: String,
}

/// Every text that requests of 2.0 may name, once.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    numbers: HashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
}

impl Symbols {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.into(), number);
        self.texts.push(text.into());
        number
    }
}

/// The labels of a series as requests have them.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The label fields of a 1.0 request.
    region: Box<[u8]>,
    /// Numbers of the label texts, and at the end of help and unit.
    symbols: Box<[u32]>,
    kind: u64,
    /// The last request that it is in, by the count of its builder.
    seen: Cell<u64>,
}

impl Entry {
    pub(crate) fn new(
        protocol: Protocol,
        labels: &[(String, String)],
        metadata: &Metadata,
        symbols: &mut Symbols,
    ) -> Self {
        let (mut region, mut numbers) = (Vec::new(), Vec::new());
        match protocol {
            Protocol::V1 => {
                let mut label = Vec::new();
                for (name, value) in labels {
                    label.clear();
                    put_bytes(1, name.as_bytes(), &mut label);
                    put_bytes(2, value.as_bytes(), &mut label);
                    put_bytes(1, &label, &mut region);
                }
            }
            Protocol::V2 => {
                let texts = labels.iter().flat_map(|(name, value)| [name, value]);
                numbers = texts
                    .chain([&metadata.help, &metadata.unit])
                    .map(|text| symbols.number(text))
                    .collect();
            }
        }
        Self {
            region: region.into(),
            symbols: numbers.into(),
            kind: metadata.kind,
            seen: Cell::new(0),
        }
    }
}

/// A whole request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// Compressed, as it is sent.
    pub(crate) body: Vec<u8>,
    pub(crate) raw_bytes: u32,
    pub(crate) samples: u32,
    pub(crate) series: u32,
    /// Newest timestamp: when a sender would have all of it.
    pub(crate) due_ms: i64,
    /// Which of its entries, counted from 0, repeat a sample that was sent before on the same connection.
    pub(crate) repeated: Vec<u32>,
}

/// Collects samples into requests of a fixed size.
#[derive(Debug)]
pub(crate) struct Builder {
    protocol: Protocol,
    per_request: u32,
    /// Requests begun so far.
    count: u64,
    open: Request,
    entries: Vec<u8>,
    table: Vec<u8>,
    /// For each symbol the last request that had it, and its reference there.
    references: Vec<(u64, u32)>,
    next_reference: u32,
    message: Vec<u8>,
    packed: Vec<u8>,
    done: VecDeque<Request>,
}

impl Builder {
    pub(crate) fn new(protocol: Protocol, per_request: u32) -> Self {
        let mut builder = Self {
            protocol,
            per_request,
            count: 0,
            open: Request::default(),
            entries: Vec::new(),
            table: Vec::new(),
            references: Vec::new(),
            next_reference: 0,
            message: Vec::new(),
            packed: Vec::new(),
            done: VecDeque::new(),
        };
        builder.begin();
        builder
    }

    fn begin(&mut self) {
        self.count += 1;
        self.open = Request {
            due_ms: i64::MIN,
            ..Request::default()
        };
        self.entries.clear();
        self.table.clear();
        if self.protocol == Protocol::V2 {
            // The first symbol is the empty one, always.
            put_bytes(4, b"", &mut self.table);
        }
        self.next_reference = 1;
    }

    /// Adds a sample of a series.
    pub(crate) fn push(
        &mut self,
        entry: &Entry,
        timestamp: i64,
        value: &Value,
        is_repeated: bool,
        symbols: &Symbols,
    ) -> Result<()> {
        self.message.clear();
        let histogram_field = match self.protocol {
            Protocol::V1 => 4,
            Protocol::V2 => 3,
        };
        let field = match value {
            Value::Float(bits) => {
                if *bits != 0 {
                    put_fixed(1, *bits, &mut self.message);
                }
                put_number(2, timestamp.cast_unsigned(), &mut self.message);
                2
            }
            Value::Histogram(histogram) => {
                histogram.put_message(timestamp, &mut self.message);
                histogram_field
            }
        };
        let sample_bytes = 1 + varint_len(self.message.len() as u64) + self.message.len();
        match self.protocol {
            Protocol::V1 => {
                put_length(1, entry.region.len() + sample_bytes, &mut self.entries);
                self.entries.extend_from_slice(&entry.region);
                put_bytes(field, &self.message, &mut self.entries);
            }
            Protocol::V2 => self.push_v2(entry, field, sample_bytes, symbols),
        }
        if is_repeated {
            self.open.repeated.push(self.open.samples);
        }
        if entry.seen.replace(self.count) != self.count {
            self.open.series += 1;
        }
        self.open.samples += 1;
        self.open.due_ms = self.open.due_ms.max(timestamp);
        if self.open.samples == self.per_request {
            self.finish()?;
        }
        Ok(())
    }

    fn push_v2(&mut self, entry: &Entry, field: u64, sample_bytes: usize, symbols: &Symbols) {
        self.packed.clear();
        let (labels, about) = entry.symbols.split_at(entry.symbols.len() - 2);
        for &symbol in labels {
            let reference = self.reference(symbol, symbols);
            put_varint(reference.into(), &mut self.packed);
        }
        let (help, unit) = (self.reference(about[0], symbols), self.reference(about[1], symbols));
        let mut metadata = [0; 24];
        let mut length = 0;
        for (key, number) in [(1_u8, entry.kind), (3, help.into()), (4, unit.into())] {
            if number != 0 {
                let mut rest = number;
                metadata[length] = key << 3;
                length += 1;
                while rest >= 0x80 {
                    metadata[length] = rest as u8 | 0x80;
                    rest >>= 7;
                    length += 1;
                }
                metadata[length] = rest as u8;
                length += 1;
            }
        }
        let labels_bytes = 1 + varint_len(self.packed.len() as u64) + self.packed.len();
        let metadata_bytes = if length == 0 { 0 } else { 2 + length };
        put_length(5, labels_bytes + sample_bytes + metadata_bytes, &mut self.entries);
        put_bytes(1, &self.packed, &mut self.entries);
        put_bytes(field, &self.message, &mut self.entries);
        if length > 0 {
            put_bytes(5, &metadata[..length], &mut self.entries);
        }
    }

    /// The reference of a symbol in the open request.
    fn reference(&mut self, symbol: u32, symbols: &Symbols) -> u32 {
        let at = symbol as usize;
        if at >= self.references.len() {
            self.references.resize(symbols.texts.len(), (0, 0));
        }
        let (seen, reference) = self.references[at];
        if seen == self.count {
            return reference;
        }
        let text = symbols.texts[at].as_bytes();
        let reference = if text.is_empty() {
            0
        } else {
            put_bytes(4, text, &mut self.table);
            self.next_reference += 1;
            self.next_reference - 1
        };
        self.references[at] = (self.count, reference);
        reference
    }

    /// Ends the open request, unless it is empty.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if self.open.samples == 0 {
            return Ok(());
        }
        self.table.extend_from_slice(&self.entries);
        self.open.raw_bytes = u32::try_from(self.table.len()).context("a request of more than 4 GiB")?;
        self.open.body = snap::raw::Encoder::new().compress_vec(&self.table)?;
        let request = std::mem::take(&mut self.open);
        self.done.push_back(request);
        self.begin();
        Ok(())
    }

    /// The next request that is whole.
    pub(crate) fn take(&mut self) -> Option<Request> {
        self.done.pop_front()
    }
}

/// Decompresses a body that this program wrote, or that was recorded: at most `raw_bytes_max` bytes.
pub(crate) fn decompress(body: &[u8], raw_bytes_max: usize) -> Result<Vec<u8>> {
    let length = snap::raw::decompress_len(body)?;
    ensure!(
        length <= raw_bytes_max,
        "a body of {length} bytes, more than {raw_bytes_max}"
    );
    let mut raw = vec![0; length];
    let written = snap::raw::Decoder::new().decompress(body, &mut raw)?;
    raw.truncate(written);
    Ok(raw)
}
