//! The requests that are counted: remote write 1.0 and 2.0 written byte by byte (`prompb/remote.proto` and
//! `io/prometheus/write/v2/types.proto` of Prometheus).
//!
//! Everything follows from the numbers of series and scrape, so that two runs send the same bytes. They are the guard's own: the
//! workloads of the benches may change, and what the baseline was counted on must not. It must never use the product's codecs.

use std::collections::HashMap;

use anyhow::{Context, Result};

/// Series of one scrape, which is one request.
pub(crate) const SERIES: u64 = 1_000;

/// When the first scrape was, milliseconds since 1970.
pub(crate) const START_MS: i64 = 1_750_000_000_000;

/// Milliseconds between scrapes.
pub(crate) const INTERVAL_MS: i64 = 15_000;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

/// Which protocol a request is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Remote write 1.0.
    V1,
    /// Remote write 2.0.
    V2,
}

impl Protocol {
    /// The `Content-Type` of its requests.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// One scrape of all series, compressed.
    pub(crate) fn scrape(self, scrape: u64) -> Result<Vec<u8>> {
        let message = match self {
            Self::V1 => scrape_v1(scrape),
            Self::V2 => scrape_v2(scrape),
        };
        let mut encoder = snap::raw::Encoder::new();
        encoder.compress_vec(&message).context("a request is far below 4 GiB")
    }
}

/// Ten labels in the order of their names, about 260 bytes on the wire.
fn labels(series: u64) -> [(&'static str, String); 10] {
    let (target, metric) = (series / 100, series % 100);
    // Digits that look drawn by lot, as the names of pods do.
    let drawn = series / 100 * 0x9e37_79b9_7f4a_7c15;
    [
        ("__name__", format!("guard_http_requests_total_{metric:03}")),
        ("cluster", "eu-west-1".to_owned()),
        ("container", "server".to_owned()),
        ("endpoint", format!("/orders/{:02}", metric % 20)),
        ("instance", format!("10.0.{target}.1:9100")),
        ("job", "checkout".to_owned()),
        (
            "method",
            ["GET", "PUT", "POST", "DELETE"][(metric % 4) as usize].to_owned(),
        ),
        ("namespace", format!("shop-{:02}", target % 16)),
        ("pod", format!("checkout-{:010x}-{:05x}", drawn >> 24, drawn & 0xf_ffff)),
        (
            "status",
            ["200", "204", "404", "500", "503"][(metric % 5) as usize].to_owned(),
        ),
    ]
}

/// A busy counter, a gauge in hundredths, a gauge that rests, and a sum with all its digits, in turn.
fn value(series: u64, scrape: u64) -> f64 {
    let drawn = (series << 20 | scrape).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    match series % 4 {
        0 => (series * 1_000 + scrape * 977 + drawn % 900) as f64,
        1 => (drawn % 20_000) as f64 / 100.0,
        2 => (series % 17) as f64,
        _ => (series + scrape) as f64 * 1_000.0 / 7.0,
    }
}

fn put_sample(series: u64, scrape: u64, out: &mut Vec<u8>) {
    let timestamp = START_MS + scrape as i64 * INTERVAL_MS + (series / 100) as i64;
    out.clear();
    key(1, FIXED64, out);
    out.extend_from_slice(&value(series, scrape).to_bits().to_le_bytes());
    key(2, VARINT, out);
    varint(timestamp.cast_unsigned(), out);
}

fn scrape_v1(scrape: u64) -> Vec<u8> {
    let (mut out, mut label, mut field) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..SERIES {
        let mut series = Vec::new();
        for (name, value) in labels(number) {
            label.clear();
            bytes(1, name.as_bytes(), &mut label);
            bytes(2, value.as_bytes(), &mut label);
            bytes(1, &label, &mut series);
        }
        put_sample(number, scrape, &mut field);
        bytes(2, &field, &mut series);
        bytes(1, &series, &mut out);
    }
    out
}

fn scrape_v2(scrape: u64) -> Vec<u8> {
    let (mut symbols, mut table, mut all) = (HashMap::new(), Vec::new(), Vec::new());
    let mut symbol = |text: String| {
        let fresh = symbols.len() as u64;
        *symbols.entry(text).or_insert_with_key(|text| {
            bytes(4, text.as_bytes(), &mut table);
            fresh
        })
    };
    // The first symbol is the empty one.
    symbol(String::new());
    let (mut refs, mut field) = (Vec::new(), Vec::new());
    for number in 0..SERIES {
        let mut series = Vec::new();
        refs.clear();
        for (name, value) in labels(number) {
            varint(symbol(name.to_owned()), &mut refs);
            varint(symbol(value), &mut refs);
        }
        bytes(1, &refs, &mut series);
        put_sample(number, scrape, &mut field);
        bytes(2, &field, &mut series);
        bytes(5, &series, &mut all);
    }
    table.extend_from_slice(&all);
    table
}

fn key(field: u64, wire_type: u64, out: &mut Vec<u8>) {
    varint(field << 3 | wire_type, out);
}

fn bytes(field: u64, content: &[u8], out: &mut Vec<u8>) {
    key(field, LENGTH, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
