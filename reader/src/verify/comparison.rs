//! The series of the archive and those of blocks side by side, each as digests: what is missing, what is too much, what is unequal.
//!
//! Both come in label order, so the comparison holds one series of each side. The archive is what is right: it is read as an export reads
//! it, with masks applied and settled by the total order.

use std::cmp::Ordering;

use emberkeep_archive::digest::Digests;
use emberkeep_model::{Labels, SeriesRuns};
use emberkeep_service::time_expr::format_rfc3339;
use emberkeep_tsdb::TsdbError;

use super::finding::{Finding, FindingKind, Findings};
use super::part_rows::{RowsRead, kinds, unequal};
use super::{BlockDigests, SeriesDigests, StoredForm};
use crate::{ReaderError, SeriesReader};

/// What to do about a block that is not what the archive holds.
pub(super) const BLOCK_ADVICE: &str = "remove the block and export its time again; if the archive has changed since the export, compare with \
     --as-of the time of the export";

/// When start timestamps are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CompareStarts {
    /// Of series that have some in the blocks: blocks are written without them unless that is asked for.
    #[default]
    WherePresent,
    /// Always.
    Always,
}

/// The two sides of a comparison.
pub(super) struct Comparison<'a> {
    /// What is right; none where it is known to hold nothing.
    pub(super) archive: &'a mut SeriesReader,
    pub(super) blocks: &'a mut BlockDigests,
    /// The block or directory, as it is told.
    pub(super) object: &'a str,
    pub(super) starts: CompareStarts,
    pub(super) findings: &'a mut Findings,
}

/// A series of the archive.
struct Expected {
    labels: Labels,
    digests: Digests,
    rows: u64,
}

impl Comparison<'_> {
    /// Goes through both sides; returns what was compared.
    ///
    /// # Errors
    /// When the archive cannot be read: the rest is not known then.
    pub(super) async fn run(mut self) -> Result<RowsRead, ReaderError> {
        let (mut form, mut piece) = (StoredForm::default(), SeriesRuns::default());
        let mut read = RowsRead::default();
        let mut expected = self.expected(&mut form, &mut piece).await?;
        let Some(mut found) = self.found() else {
            return Ok(read);
        };
        loop {
            let order = match (&expected, &found) {
                (None, None) => return Ok(read),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => left.labels.cmp(&right.labels),
            };
            if let Some(of_archive) = expected.as_ref().filter(|_| order.is_le()) {
                read.series += 1;
                read.rows += of_archive.rows;
                read.windows += windows(&of_archive.digests);
                match &found {
                    Some(of_blocks) if order.is_eq() => self.both(of_archive, of_blocks),
                    _ => self.missing(of_archive),
                }
            } else if let Some(of_blocks) = &found {
                self.extra(of_blocks);
            }
            if order.is_le() {
                expected = self.expected(&mut form, &mut piece).await?;
            }
            if order.is_ge() {
                found = match self.found() {
                    Some(found) => found,
                    None => return Ok(read),
                };
            }
        }
    }

    async fn expected(
        &mut self,
        form: &mut StoredForm,
        piece: &mut SeriesRuns,
    ) -> Result<Option<Expected>, ReaderError> {
        let Some(labels) = self.archive.next_series().await? else {
            return Ok(None);
        };
        let (mut digests, mut rows) = (Digests::default(), 0);
        while self.archive.next_piece(piece).await? {
            form.add(piece, &mut digests);
            rows += piece.len() as u64;
        }
        Ok(Some(Expected { labels, digests, rows }))
    }

    /// The next series of the blocks, which may be none; nothing at all when they cannot be read any further.
    fn found(&mut self) -> Option<Option<SeriesDigests>> {
        loop {
            match self.blocks.next_series() {
                Ok(found) => return Some(found),
                Err(error @ TsdbError::Io { .. }) => {
                    self.findings.push(Finding::unchecked(self.object, &error));
                    return None;
                }
                Err(error) => self.findings.push(of_block(self.object, &error)),
            }
        }
    }

    fn both(&mut self, archive: &Expected, blocks: &SeriesDigests) {
        if let Some(damage) = &blocks.damage {
            let finding = of_block(self.object, damage).of_series(&archive.labels);
            self.findings.push(finding);
            return;
        }
        let has_starts = blocks.digests.start_timestamps.iter().next().is_some();
        for (kind, expected, found) in kinds(&archive.digests, &blocks.digests) {
            if kind == "start timestamps" && self.starts == CompareStarts::WherePresent && !has_starts {
                continue;
            }
            for (window, expected, found) in unequal(expected, found) {
                let text = |digest: Option<u64>| digest.map_or("no rows".to_owned(), |it| format!("digest {it:016x}"));
                let trouble = match (expected, found) {
                    (Some(_), None) => FindingKind::Missing,
                    (None, _) => FindingKind::Extra,
                    _ => FindingKind::Different,
                };
                let finding = Finding {
                    kind: trouble,
                    object: self.object.to_owned(),
                    series: None,
                    rows: Some(format!("{kind} of the window {}", format_rfc3339(window))),
                    expected: text(expected),
                    found: text(found),
                    advice: BLOCK_ADVICE.to_owned(),
                };
                self.findings.push(finding.of_series(&archive.labels));
            }
        }
    }

    fn missing(&mut self, archive: &Expected) {
        let finding = self.series(
            FindingKind::Missing,
            format!("{} rows", archive.rows),
            "no such series".to_owned(),
        );
        self.findings.push(finding.of_series(&archive.labels));
    }

    fn extra(&mut self, blocks: &SeriesDigests) {
        let finding = match &blocks.damage {
            Some(damage) => of_block(self.object, damage),
            None => self.series(
                FindingKind::Extra,
                "no such series in the archive".to_owned(),
                format!("{} rows", blocks.rows),
            ),
        };
        self.findings.push(finding.of_series(&blocks.labels));
    }

    fn series(&self, kind: FindingKind, expected: String, found: String) -> Finding {
        Finding {
            kind,
            object: self.object.to_owned(),
            series: None,
            rows: None,
            expected,
            found,
            advice: BLOCK_ADVICE.to_owned(),
        }
    }
}

/// What an error of a block says.
pub(super) fn of_block(object: &str, error: &TsdbError) -> Finding {
    match error {
        TsdbError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Finding {
            kind: FindingKind::Missing,
            ..damaged(object, error)
        },
        TsdbError::Io { .. } => Finding::unchecked(object, error),
        _ => damaged(object, error),
    }
}

fn damaged(object: &str, error: &TsdbError) -> Finding {
    Finding {
        kind: FindingKind::Damaged,
        object: object.to_owned(),
        series: None,
        rows: None,
        expected: "a whole block".to_owned(),
        found: error.to_string(),
        advice: BLOCK_ADVICE.to_owned(),
    }
}

fn windows(digests: &Digests) -> u64 {
    [&digests.samples, &digests.histograms]
        .iter()
        .map(|sums| sums.iter().count() as u64)
        .sum()
}
