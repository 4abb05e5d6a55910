//! `readback`: reads a range of time back through streamed remote read, and counts.
//!
//! Each frame is checked (CRC-32C) and taken apart, and the samples are counted by what each chunk says of itself; values are not
//! decoded, so that the client stays faster than any server. With `--expect` another number of samples is an error: a figure of
//! an incomplete answer would be none.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use emberkeep_benches::{Connection, Url};
use emberkeep_proto::frame::split_frame;
use emberkeep_proto::messages::prometheus::{
    ChunkedReadResponse, LabelMatcher, Query, ReadRequest, label_matcher, read_request,
};
use prost::Message;

/// Prometheus' own bound (`chunked_read_limit`).
const FRAME_BYTES_MAX: usize = 50_000_000;

/// Reads everything of a range back, and prints the rate.
#[derive(Debug, Parser)]
struct Flags {
    /// Where to read: `http://host:port/path`.
    #[arg(long, default_value = "http://127.0.0.1:9201/api/v1/read")]
    url: Url,
    /// First moment, milliseconds since 1970.
    #[arg(long)]
    start: i64,
    /// Last moment, inclusive.
    #[arg(long)]
    end: i64,
    /// Regular expression of the metric names.
    #[arg(long, default_value = ".+")]
    metrics: String,
    /// Number of samples that there must be.
    #[arg(long)]
    expect: Option<u64>,
}

#[derive(Debug, Default)]
struct Count {
    /// Bytes of a frame that is not whole yet.
    waiting: Vec<u8>,
    offset: usize,
    bytes: u64,
    series: u64,
    chunks: u64,
    samples: u64,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                   X-Prometheus-Remote-Read-Version: 0.1.0\r\nUser-Agent: emberkeep-readback\r\n";
    let body = snap::raw::Encoder::new().compress_vec(&question(&flags).encode_to_vec())?;
    let mut connection = Connection::open(&flags.url)?;
    let mut count = Count::default();
    let (mut first, mut error) = (None, Vec::new());
    let begun = Instant::now();
    let status = connection.call(&flags.url.post(headers, &body), |piece| {
        first.get_or_insert_with(|| begun.elapsed());
        error.extend_from_slice(&piece[..piece.len().min(1000_usize.saturating_sub(error.len()))]);
        count.take(piece)
    });
    let seconds = begun.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&error);
    let status = status.with_context(|| format!("the answer begins with {text:?}"))?;
    ensure!(status == 200, "the server answered {status}: {}", text.trim());
    ensure!(count.waiting.is_empty(), "the answer ends inside a frame");
    if let Some(expected) = flags.expect {
        ensure!(
            count.samples == expected,
            "{} samples came back, not {expected}",
            count.samples
        );
    }
    writeln!(
        std::io::stdout(),
        "samples={} series={} chunks={} bytes={} seconds={seconds:.3} samples_per_second={:.0} first_byte_ms={:.1}",
        count.samples,
        count.series,
        count.chunks,
        count.bytes,
        count.samples as f64 / seconds,
        first.unwrap_or_default().as_secs_f64() * 1000.0,
    )?;
    Ok(())
}

fn question(flags: &Flags) -> ReadRequest {
    let matcher = LabelMatcher {
        r#type: label_matcher::Type::Re.into(),
        name: "__name__".to_owned(),
        value: flags.metrics.clone(),
    };
    let query = Query {
        start_timestamp_ms: flags.start,
        end_timestamp_ms: flags.end,
        matchers: vec![matcher],
        hints: None,
    };
    ReadRequest {
        queries: vec![query],
        accepted_response_types: vec![read_request::ResponseType::StreamedXorChunks.into()],
    }
}

impl Count {
    fn take(&mut self, piece: &[u8]) -> Result<()> {
        self.bytes += piece.len() as u64;
        self.waiting.extend_from_slice(piece);
        let mut used = 0;
        while let Some((payload, frame)) = split_frame(&self.waiting[used..], self.offset, FRAME_BYTES_MAX)? {
            let response = ChunkedReadResponse::decode(payload)?;
            for series in response.chunked_series {
                self.series += 1;
                self.chunks += series.chunks.len() as u64;
                for chunk in series.chunks {
                    let count = chunk.data.first_chunk::<2>().context("a chunk has no count")?;
                    self.samples += u64::from(u16::from_be_bytes(*count));
                }
            }
            used += frame;
            self.offset += frame;
        }
        self.waiting.drain(..used);
        Ok(())
    }
}
