//! The tables on standard output: the blocks, with the columns of `promtool tsdb list`, and what they are made of.
//!
//! Lines are written as blocks are done, so widths are fixed. Nothing but the tables goes to standard output.

use std::io::{self, Write};
use std::time::Duration;

use emberkeep_service::duration;
use emberkeep_service::time_expr::format_rfc3339;
use emberkeep_tsdb::{BlockMeta, Encoding, PrometheusVersion};

use super::content::{Content, KINDS};
use super::plan::PlannedBlock;

/// One line of the table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) meta: BlockMeta,
    pub(super) bytes: u64,
}

pub(super) fn write_head(out: &mut dyn Write) -> io::Result<()> {
    let columns = [
        "BLOCK ULID",
        "MIN TIME",
        "MAX TIME",
        "DURATION",
        "NUM SAMPLES",
        "NUM CHUNKS",
        "NUM SERIES",
        "SIZE",
    ];
    write_columns(out, columns.map(str::to_owned))
}

/// `MAX TIME` is exclusive, as in the block.
pub(super) fn write_row(out: &mut dyn Write, row: &Row) -> io::Result<()> {
    let (meta, stats) = (&row.meta, &row.meta.stats);
    let length_ms = u64::try_from(meta.max_time.saturating_sub(meta.min_time)).unwrap_or(0);
    write_columns(
        out,
        [
            meta.ulid.to_string(),
            moment(meta.min_time),
            moment(meta.max_time),
            duration::format(Duration::from_millis(length_ms)),
            stats.num_samples.to_string(),
            stats.num_chunks.to_string(),
            stats.num_series.to_string(),
            size(row.bytes),
        ],
    )?;
    out.flush()
}

fn write_columns(out: &mut dyn Write, columns: [String; 8]) -> io::Result<()> {
    let [ulid, min, max, length, samples, chunks, series, size] = columns;
    writeln!(
        out,
        "{ulid:<26}  {min:<24}  {max:<24}  {length:<14}  {samples:<12}  {chunks:<10}  {series:<10}  {size}"
    )
}

/// The blocks that would be written: at most so many samples, and about so large.
pub(super) fn write_plan(out: &mut dyn Write, blocks: &[PlannedBlock]) -> io::Result<()> {
    let line = |out: &mut dyn Write, [min, max, windows, parts, samples, size]: [String; 6]| {
        writeln!(
            out,
            "{min:<24}  {max:<24}  {windows:<10}  {parts:<6}  {samples:<14}  {size}"
        )
    };
    let head = [
        "MIN TIME",
        "MAX TIME",
        "2H WINDOWS",
        "PARTS",
        "SAMPLES (MAX)",
        "SIZE (ABOUT)",
    ];
    line(out, head.map(str::to_owned))?;
    for block in blocks {
        line(
            out,
            [
                moment(block.window.start),
                moment(block.window.end),
                block.windows.to_string(),
                block.parts.to_string(),
                block.samples.to_string(),
                size(block.bytes()),
            ],
        )?;
    }
    out.flush()
}

/// The samples of all blocks by kind, and which Prometheus reads them.
pub(super) fn write_content(out: &mut dyn Write, content: &Content) -> io::Result<()> {
    let since = |version: PrometheusVersion| format!("Prometheus {version} and newer");
    writeln!(out)?;
    write_kind(out, "KIND", "NUM SAMPLES", "NUM CHUNKS", "ENCODINGS", "READ BY")?;
    for kind in KINDS.into_iter().filter(|&kind| content.samples(kind) > 0) {
        let (mut chunks, mut names, mut needed) = (0, Vec::new(), PrometheusVersion(0, 0));
        for (encoding, count) in content.chunks(kind) {
            chunks += count;
            names.push(name_of(encoding));
            needed = needed.max(encoding.readable_since());
        }
        let samples = content.samples(kind).to_string();
        write_kind(
            out,
            kind.name,
            &samples,
            &chunks.to_string(),
            &names.join(", "),
            &since(needed),
        )?;
    }
    let (samples, chunks) = content.custom_buckets();
    if samples > 0 {
        let needed = since(PrometheusVersion::CUSTOM_BUCKETS);
        write_kind(
            out,
            "of them custom buckets",
            &samples.to_string(),
            &chunks.to_string(),
            "",
            &needed,
        )?;
    }
    if let Some(needed) = content.readable_since() {
        write_kind(out, "all", "", "", "", &since(needed))?;
    }
    out.flush()
}

fn write_kind(
    out: &mut dyn Write,
    kind: &str,
    samples: &str,
    chunks: &str,
    encodings: &str,
    needed: &str,
) -> io::Result<()> {
    writeln!(
        out,
        "{kind:<24}  {samples:<14}  {chunks:<12}  {encodings:<36}  {needed}"
    )
}

/// An encoding as Prometheus calls it.
fn name_of(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Xor => "XOR",
        Encoding::Histogram => "histogram",
        Encoding::FloatHistogram => "floathistogram",
        Encoding::Xor2 => "XOR2",
        Encoding::HistogramSt => "histogramST",
        Encoding::FloatHistogramSt => "floathistogramST",
    }
}

/// RFC 3339 with milliseconds only where there are any.
pub(super) fn moment(ms: i64) -> String {
    let text = format_rfc3339(ms);
    match text.strip_suffix(".000Z") {
        Some(whole) => format!("{whole}Z"),
        None => text,
    }
}

/// Bytes in the largest unit of which there is at least one, by powers of 1024.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_moments_are_for_people() {
        assert_eq!(
            [0, 1023, 1024, 1536, 5 << 20, 3 << 40].map(size),
            ["0B", "1023B", "1.0KiB", "1.5KiB", "5.0MiB", "3.0TiB"]
        );
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(1), "1970-01-01T00:00:00.001Z");
    }
}
