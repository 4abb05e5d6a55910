//! The outcome of a verification, for people and for programs.

use std::io::{self, Write};

use emberkeep_service::problem::Outcome;
use emberkeep_service::time_expr::format_rfc3339;
use serde::Serialize;

use super::finding::{Finding, FindingKind, Findings};
use super::level::Level;
use super::part_rows::RowsRead;

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that the level looks at is as it should be.
    Proven,
    /// Something is not.
    Different,
    /// Nothing is known to be wrong, but not all could be looked at.
    Unchecked,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Objects of the catalog.
    pub catalog_objects: u64,
    /// Live parts of the archive.
    pub parts: u64,
    /// Those of them that are of level 0 and keep no digests.
    pub parts_without_digests: u64,
    /// Files of parts.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Series of parts, each counted in every part.
    pub part_series: u64,
    /// Rows of parts.
    pub part_rows: u64,
    /// Windows of a series whose digest is that of its part.
    pub part_windows: u64,
    /// Blocks.
    pub blocks: u64,
    /// Their bytes.
    pub block_bytes: u64,
    /// Series that were compared with blocks, each counted in every block.
    pub compared_series: u64,
    /// Floats and histograms that were compared with blocks.
    pub compared_rows: u64,
    /// Windows of a series that were compared with blocks.
    pub compared_windows: u64,
}

impl Checked {
    pub(super) fn add_part_rows(&mut self, read: RowsRead) {
        self.part_series += read.series;
        self.part_rows += read.rows;
        self.part_windows += read.windows;
    }

    pub(super) fn add_compared(&mut self, read: RowsRead) {
        self.compared_series += read.series;
        self.compared_rows += read.rows;
        self.compared_windows += read.windows;
    }
}

/// The outcome of a verification.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// What came out.
    pub verdict: Verdict,
    /// How deep it looked.
    pub level: Level,
    /// The archive's root; 0 before the first, and when the archive was not looked at.
    pub root: u64,
    /// When that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_created_at: Option<String>,
    /// The exported directory, when one was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exported: Option<String>,
    /// How much was looked at.
    pub checked: Checked,
    /// How many things are wrong, listed or not.
    pub differences: u64,
    /// How many could not be checked, listed or not.
    pub unchecked: u64,
    /// The first of both.
    pub findings: Vec<Finding>,
    /// What this verification does not prove.
    pub not_proven: Vec<String>,
    /// How long it took, seconds.
    pub seconds: f64,
}

impl VerifyReport {
    pub(super) fn new(level: Level, checked: Checked, findings: &Findings) -> Self {
        let verdict = match (findings.differences(), findings.unchecked()) {
            (0, 0) => Verdict::Proven,
            (0, _) => Verdict::Unchecked,
            _ => Verdict::Different,
        };
        Self {
            verdict,
            level,
            root: 0,
            root_created_at: None,
            exported: None,
            not_proven: not_proven(level, &checked),
            checked,
            differences: findings.differences(),
            unchecked: findings.unchecked(),
            findings: findings.listed().to_vec(),
            seconds: 0.0,
        }
    }

    /// How the command ends; what could not be checked alone is an error.
    ///
    /// # Errors
    /// When nothing is known to be wrong, but not all could be looked at.
    pub fn outcome(&self) -> anyhow::Result<Outcome> {
        match self.verdict {
            Verdict::Proven => Ok(Outcome::Done),
            Verdict::Different => Ok(Outcome::DifferenceFound),
            Verdict::Unchecked => anyhow::bail!(
                "{} things could not be checked, the first: {}",
                self.unchecked,
                self.findings.first().map_or("", |finding| &finding.found)
            ),
        }
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(directory) = &self.exported {
            writeln!(out, "exported   {directory}")?;
        }
        if let Some(at) = &self.root_created_at {
            writeln!(out, "root       {} of {at}", self.root)?;
        }
        let of = &self.checked;
        if of.catalog_objects > 0 {
            writeln!(out, "catalog    {} objects", of.catalog_objects)?;
        }
        if of.parts > 0 {
            let (parts, flushes) = (of.parts, of.parts_without_digests);
            writeln!(
                out,
                "files      {} files of {parts} parts ({flushes} of level 0), {} bytes",
                of.files, of.file_bytes
            )?;
        }
        if of.part_rows > 0 {
            writeln!(
                out,
                "rows       {} rows of {} series, {} digests",
                of.part_rows, of.part_series, of.part_windows
            )?;
        }
        if of.blocks > 0 {
            writeln!(out, "blocks     {} blocks, {} bytes", of.blocks, of.block_bytes)?;
        }
        if of.compared_rows > 0 {
            writeln!(
                out,
                "restore    {} samples of {} series, {} digests",
                of.compared_rows, of.compared_series, of.compared_windows
            )?;
        }
        for finding in &self.findings {
            write_finding(finding, out)?;
        }
        let unlisted = (self.differences + self.unchecked).saturating_sub(self.findings.len() as u64);
        if unlisted > 0 {
            writeln!(out, "\nand {unlisted} more (--max-findings)")?;
        }
        for what in &self.not_proven {
            writeln!(out, "not proven {what}")?;
        }
        let (level, differences, unchecked) = (self.level.as_str(), self.differences, self.unchecked);
        match self.verdict {
            Verdict::Proven => writeln!(out, "proven     at level `{level}`, in {:.1} s", self.seconds),
            Verdict::Different => writeln!(out, "\nDIFFERENT  {differences} differences, {unchecked} not checked"),
            Verdict::Unchecked => writeln!(out, "\nUNCHECKED  no difference found, {unchecked} not checked"),
        }
    }
}

fn write_finding(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let kind = match finding.kind {
        FindingKind::Missing => "MISSING",
        FindingKind::Damaged => "DAMAGED",
        FindingKind::Different => "DIFFERENT",
        FindingKind::Extra => "EXTRA",
        FindingKind::Unchecked => "UNCHECKED",
    };
    writeln!(out, "\n{kind:<10} {}", finding.object)?;
    if let Some(series) = &finding.series {
        writeln!(out, "  series   {series}")?;
    }
    if let Some(rows) = &finding.rows {
        writeln!(out, "  rows     {rows}")?;
    }
    writeln!(out, "  expected {}", finding.expected)?;
    writeln!(out, "  found    {}", finding.found)?;
    writeln!(out, "  to do    {}", finding.advice)
}

/// What is left open, in words.
fn not_proven(level: Level, checked: &Checked) -> Vec<String> {
    let mut open = Vec::new();
    if level == Level::Files && checked.parts > 0 {
        open.push("that the rows can be decoded and are those that were merged: --level rows".to_owned());
    }
    if level >= Level::Rows && checked.parts_without_digests > 0 {
        open.push(format!(
            "{} parts of level 0 keep no digests until they are merged: of them the checksums, counts, order and times of rows",
            checked.parts_without_digests
        ));
    }
    if level < Level::Restore && checked.blocks > 0 {
        open.push("that the blocks hold what the archive holds: --level restore".to_owned());
    }
    open
}

pub(super) fn moment(at: Option<i64>) -> Option<String> {
    at.map(format_rfc3339)
}
