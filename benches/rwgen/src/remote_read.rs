//! Asks for series by streamed remote read, and gives their rows one by one.
//!
//! Memory is that of one frame. Each frame is checked (CRC-32C) before it is read; an answer that breaks off is an error,
//! because HTTP says so. It must never use the product's codecs.

use anyhow::{Context, Result, ensure};

use crate::chunk;
use crate::http::{Connection, Url};
use crate::request_reader::labels_v1;
use crate::row::Value;
use crate::wire::{Fields, put_bytes, put_number, put_varint};

/// Prometheus' own bound (`chunked_read_limit`).
const FRAME_BYTES_MAX: u64 = 50_000_000;
/// What one read of the connection asks for.
const READ_BYTES: usize = 256 << 10;
/// Bytes of a refusal that are shown.
const SHOWN_BYTES: usize = 1_000;
const STREAMED_XOR_CHUNKS: u64 = 1;
const HEADERS: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                       X-Prometheus-Remote-Read-Version: 0.1.0\r\nUser-Agent: emberkeep-rwgen\r\n";

/// How a label must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Matcher<'a> {
    Equal(&'a str, &'a str),
    Regex(&'a str, &'a str),
}

/// Takes what comes back.
pub(crate) trait Rows {
    /// The rows that follow are of this series. A series may come in several frames.
    fn series(&mut self, labels: &[(&str, &str)]);
    fn row(&mut self, timestamp: i64, value: &Value);
}

/// Gives all rows between two moments, both inclusive, of the series that match.
pub(crate) fn read_rows(url: &Url, range: (i64, i64), matchers: &[Matcher<'_>], rows: &mut impl Rows) -> Result<()> {
    let body = snap::raw::Encoder::new().compress_vec(&question(range.0, range.1, matchers))?;
    let (mut waiting, mut refusal) = (Vec::new(), Vec::new());
    let answer = Connection::open(url, READ_BYTES)?.call(&url.post(HEADERS, &body), |status, piece| {
        if status != 200 {
            refusal.extend_from_slice(&piece[..piece.len().min(SHOWN_BYTES - refusal.len())]);
            return Ok(());
        }
        waiting.extend_from_slice(piece);
        let mut used = 0;
        while let Some((payload, frame)) = split_frame(&waiting[used..])? {
            read_frame(payload, range, rows)?;
            used += frame;
        }
        waiting.drain(..used);
        Ok(())
    })?;
    let text = String::from_utf8_lossy(&refusal);
    ensure!(
        answer.status == 200,
        "the server answered {} to a remote read: {}",
        answer.status,
        text.trim()
    );
    ensure!(waiting.is_empty(), "the answer ends inside a frame");
    Ok(())
}

fn question(from: i64, to: i64, matchers: &[Matcher<'_>]) -> Vec<u8> {
    let (mut query, mut request) = (Vec::new(), Vec::new());
    put_number(1, from.cast_unsigned(), &mut query);
    put_number(2, to.cast_unsigned(), &mut query);
    for matcher in matchers {
        let (kind, name, value) = match *matcher {
            Matcher::Equal(name, value) => (0, name, value),
            Matcher::Regex(name, value) => (2, name, value),
        };
        let mut message = Vec::new();
        put_number(1, kind, &mut message);
        put_bytes(2, name.as_bytes(), &mut message);
        put_bytes(3, value.as_bytes(), &mut message);
        put_bytes(3, &message, &mut query);
    }
    put_bytes(1, &query, &mut request);
    let mut kinds = Vec::new();
    put_varint(STREAMED_XOR_CHUNKS, &mut kinds);
    put_bytes(2, &kinds, &mut request);
    request
}

/// Takes a frame off the beginning: its payload, and its length in all. `None` when more bytes are needed.
fn split_frame(bytes: &[u8]) -> Result<Option<(&[u8], usize)>> {
    let mut rest = Fields(bytes);
    let length = match rest.varint() {
        Ok(length) => length,
        Err(_) if bytes.len() < 10 => return Ok(None),
        Err(error) => return Err(error.context("the answer is no stream of frames")),
    };
    ensure!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
    let Some((checksum, content)) = rest.0.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let Some(payload) = content.get(..length as usize) else {
        return Ok(None);
    };
    ensure!(
        u32::from_be_bytes(*checksum) == crc32c(payload),
        "a frame whose checksum is wrong"
    );
    Ok(Some((payload, bytes.len() - content.len() + payload.len())))
}

fn read_frame(payload: &[u8], (from, to): (i64, i64), rows: &mut impl Rows) -> Result<()> {
    let (mut frame, mut labels) = (Fields(payload), Vec::new());
    while let Some((field, content)) = frame.next()? {
        if field != 1 {
            continue;
        }
        let series = content.bytes()?;
        labels_v1(series, &mut labels)?;
        rows.series(&labels);
        let mut fields = Fields(series);
        while let Some((field, content)) = fields.next()? {
            if field != 2 {
                continue;
            }
            let (mut encoding, mut data, mut chunk) = (0, &[][..], Fields(content.bytes()?));
            while let Some((field, content)) = chunk.next()? {
                match field {
                    3 => encoding = content.number()?,
                    4 => data = content.bytes()?,
                    _ => {}
                }
            }
            let decoded = chunk::decode(encoding, data, |timestamp, value| {
                // Some servers give whole chunks.
                if (from..=to).contains(&timestamp) {
                    rows.row(timestamp, &value);
                }
            });
            decoded.with_context(|| format!("in a chunk of {labels:?}"))?;
        }
    }
    Ok(())
}

/// CRC-32C (Castagnoli), eight bytes at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLES: [[u32; 256]; 8] = crc_tables();
    let (eights, rest) = bytes.as_chunks::<8>();
    let mut crc = u32::MAX;
    for eight in eights {
        let whole = u64::from_le_bytes(*eight) ^ u64::from(crc);
        crc = (0..8).fold(0, |sum, at| sum ^ TABLES[7 - at][(whole >> (8 * at) & 0xff) as usize]);
    }
    for byte in rest {
        crc = crc >> 8 ^ TABLES[0][((crc ^ u32::from(*byte)) & 0xff) as usize];
    }
    !crc
}

const fn crc_tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let last = tables[table - 1][byte];
            tables[table][byte] = last >> 8 ^ tables[0][(last & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn the_checksum_has_its_published_value() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }
}
