//! What a drill found, for people and for programs.

use std::io::{self, Write};

use emberkeep_archive::{DrillOutcome, DrillRecord};
use emberkeep_service::time_expr::format_rfc3339;
use serde::Serialize;

/// Less than this says nothing of how long a gigabyte takes.
const TELLING_BYTES: u64 = 16 << 20;

/// The result of a drill.
#[derive(Debug, Clone, Serialize)]
pub struct DrillReport {
    /// What came out.
    pub outcome: DrillOutcome,
    /// Why it was not proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the random choices were made with.
    pub seed: u64,
    /// The root that was restored from; 0 when it did not come so far.
    pub root: u64,
    /// The moment of that root, as given to `--as-of`.
    pub as_of: String,
    /// Whose data.
    pub tenant: String,
    /// First moment of the window, milliseconds since 1970.
    pub from: i64,
    /// First moment after it.
    pub to: i64,
    /// Which series, as a selector; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Bytes that were expected, rather too many.
    pub estimate_bytes: u64,
    /// Blocks that were written.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Series that were compared, each counted in every block.
    pub series: u64,
    /// Floats and histograms that were compared.
    pub rows: u64,
    /// How long it took until the blocks were there and read back, and the Prometheus answered from them if one was started, seconds.
    pub restore_seconds: f64,
    /// The same for a gigabyte (2^30 bytes) of blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_per_gigabyte: Option<f64>,
    /// The Prometheus that was started on the blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusProof>,
    /// The live source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceProof>,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// How long all of it took, seconds.
    pub seconds: f64,
    /// Where the scratch files of a drill that failed are, when they were to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// What a restored Prometheus answered.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PrometheusProof {
    /// Its version.
    pub version: String,
    /// Rows that it answered as the archive does.
    pub rows: u64,
}

/// What the live source answered.
#[derive(Debug, Clone, Serialize)]
pub struct SourceProof {
    /// Its URL.
    pub url: String,
    /// Rows that it answered as the archive does; none when it has nothing of that, or no more.
    pub rows: Option<u64>,
    /// From when on it was compared, milliseconds since 1970: it holds nothing older.
    pub from: i64,
}

/// Something that was run.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// What.
    pub what: String,
    /// How long it took, seconds.
    pub seconds: f64,
}

impl DrillReport {
    /// Of a drill that has not begun.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            outcome: DrillOutcome::Error,
            reason: None,
            seed,
            root: 0,
            as_of: String::new(),
            tenant: String::new(),
            from: 0,
            to: 0,
            selector: None,
            estimate_bytes: 0,
            blocks: 0,
            bytes: 0,
            series: 0,
            rows: 0,
            restore_seconds: 0.0,
            seconds_per_gigabyte: None,
            prometheus: None,
            source: None,
            steps: Vec::new(),
            seconds: 0.0,
            kept: None,
        }
    }

    /// What is remembered of it.
    pub(super) fn record(&self, at: i64) -> DrillRecord {
        DrillRecord {
            at,
            duration_ms: millis(self.seconds),
            outcome: self.outcome,
            reason: self.reason.clone().unwrap_or_default(),
            seed: self.seed,
            root: self.root,
            tenant: self.tenant.clone(),
            from: self.from,
            to: self.to,
            selector: self.selector.clone().unwrap_or_default(),
            rows: self.rows,
            bytes: self.bytes,
            restore_ms: millis(self.restore_seconds),
            prometheus: self
                .prometheus
                .as_ref()
                .map(|proof| proof.version.clone())
                .unwrap_or_default(),
            source_rows: self.source.as_ref().and_then(|proof| proof.rows),
        }
    }

    /// Writes it for people; `bytes` writes a size.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_text(&self, bytes: impl Fn(u64) -> String, out: &mut dyn Write) -> io::Result<()> {
        let verdict = match self.outcome {
            DrillOutcome::Proven => "proven",
            DrillOutcome::Different => "DIFFERENT",
            DrillOutcome::Error => "NOT PROVEN",
        };
        if self.root > 0 {
            writeln!(out, "root       {} of {}", self.root, self.as_of)?;
        }
        if !self.tenant.is_empty() {
            let (from, to) = (format_rfc3339(self.from), format_rfc3339(self.to));
            writeln!(out, "window     {from} to {to}")?;
            let which = self.selector.as_deref().unwrap_or("all series");
            writeln!(out, "series     {which} of tenant {}", self.tenant)?;
        }
        for step in &self.steps {
            writeln!(out, "{:>9.1} s  {}", step.seconds, step.what)?;
        }
        if self.blocks > 0 {
            let (series, rows, size) = (self.series, self.rows, bytes(self.bytes));
            let blocks = self.blocks;
            writeln!(
                out,
                "restored   {blocks} blocks with {size}, {series} series, {rows} rows compared"
            )?;
        }
        match self.seconds_per_gigabyte {
            Some(pace) if self.bytes >= TELLING_BYTES => {
                writeln!(
                    out,
                    "took       {:.1} s, {pace:.0} s for a gigabyte",
                    self.restore_seconds
                )?;
            }
            Some(_) => writeln!(out, "took       {:.1} s", self.restore_seconds)?,
            None => {}
        }
        if let Some(proof) = &self.prometheus {
            writeln!(
                out,
                "prometheus {} answered {} rows as the archive does",
                proof.version, proof.rows
            )?;
        }
        if let Some(proof) = &self.source {
            match proof.rows {
                Some(rows) => {
                    let from = format_rfc3339(proof.from);
                    writeln!(
                        out,
                        "source     {} has {rows} rows from {from} on, all are here",
                        proof.url
                    )?;
                }
                None => writeln!(out, "source     {} has nothing of that any more", proof.url)?,
            }
        }
        match &self.reason {
            Some(reason) => writeln!(out, "{verdict}: {reason}")?,
            None => writeln!(out, "{verdict}, in {:.1} s", self.seconds)?,
        }
        if let Some(kept) = &self.kept {
            writeln!(out, "kept       {kept}")?;
        }
        writeln!(out, "seed       {}", self.seed)
    }
}

fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).max(0.0) as u64
}
