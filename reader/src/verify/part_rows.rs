//! Level `rows`: all rows of a part are read again and held against what the part and the catalog say of them.
//!
//! A merged part keeps digests that were taken over the rows before they were encoded, so equal digests prove that encoder, files and
//! decoder give back what was merged. A part of level 0 has none: of it the counts, the order and the times of its rows are proven,
//! and by its checksums that its bytes are those that were committed. What is wrong with one series does not hide the next.

use std::sync::Arc;

use emberkeep_archive::digest::{Digests, WindowSums};
use emberkeep_archive::{
    ArchiveError, ObjectStore, PartEntry, PartReader, PartScan, ScanKinds, ScanQuery, SeriesRows, TenantSummary,
};
use emberkeep_model::{SeriesRuns, TenantId, TimeRange};
use emberkeep_service::time_expr::format_rfc3339;

use super::finding::{Finding, FindingKind, Findings};
use crate::Selection;

/// Rows that are decoded at once.
const WINDOW_ROWS: usize = 64 << 10;

/// What to do about a part that is not what it was.
pub(super) const PART_ADVICE: &str = "bring its files back from a replica or a version of the bucket; `compactor scrub` sets the part \
     aside until then (`compactor status` lists it), and while the source still has the time, `compactor heal` fetches it again";

/// What was read of parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RowsRead {
    pub(super) series: u64,
    pub(super) rows: u64,
    /// Windows of two hours whose digest was compared.
    pub(super) windows: u64,
}

/// Whose rows are read.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// None for everybody's.
    pub(super) tenant: Option<TenantId>,
    pub(super) selection: Selection,
}

impl Wanted {
    pub(super) fn is_of(&self, tenant: &str) -> bool {
        self.tenant.as_ref().is_none_or(|wanted| wanted.as_str() == tenant)
    }

    fn is_every_series(&self) -> bool {
        self.selection.selectors().iter().any(|matchers| matchers.is_empty())
    }
}

/// Reads a part and tells what is wrong with it.
pub(super) async fn check_part(
    store: Arc<dyn ObjectStore>,
    part: Arc<PartEntry>,
    wanted: Wanted,
    mut findings: Findings,
) -> (Findings, RowsRead) {
    let mut read = RowsRead::default();
    let object = format!("part {} (`{}`)", part.ulid, first_path(&part));
    let mut check = PartCheck {
        part: &part,
        object: &object,
        wanted: &wanted,
        findings: &mut findings,
        read: &mut read,
    };
    if let Err(error) = check.run(store).await {
        let expected = format!("a part of level {} that can be read", part.level);
        findings.push(Finding::of_archive(&object, expected, &error, PART_ADVICE));
    }
    (findings, read)
}

fn first_path(part: &PartEntry) -> &str {
    part.files.first().map_or("", |file| &file.path)
}

struct PartCheck<'a> {
    part: &'a PartEntry,
    object: &'a str,
    wanted: &'a Wanted,
    findings: &'a mut Findings,
    read: &'a mut RowsRead,
}

impl PartCheck<'_> {
    async fn run(&mut self, store: Arc<dyn ObjectStore>) -> Result<(), ArchiveError> {
        let reader = PartReader::open(store, self.part).await?;
        if reader.info().ulid != self.part.ulid {
            let found = format!("its footer says {}", reader.info().ulid);
            self.tell(
                FindingKind::Different,
                &format!("part {}", self.part.ulid),
                &found,
                None,
            );
        }
        let part = self.part;
        for (name, held) in part.tenants.iter().filter(|(name, _)| self.wanted.is_of(name)) {
            let tenant = TenantId::parse(name).map_err(|error| ArchiveError::Corrupt {
                object: self.object.to_owned(),
                reason: format!("it has a tenant `{name}`: {error}"),
            })?;
            let query = ScanQuery {
                tenant: tenant.clone(),
                range: TimeRange::ALL,
                matchers: self.wanted.selection.common(),
                kinds: ScanKinds::AllWithDigests,
            };
            let found = self.tenant(reader.scan(query, WINDOW_ROWS)).await?;
            if !self.wanted.is_every_series() {
                continue;
            }
            let mut metadata = 0;
            let mut cursor = reader.metadata(&tenant, None);
            while let Some(batch) = cursor.next().await? {
                metadata += batch.len() as u64;
            }
            let found = TenantSummary { metadata, ..found };
            self.counts(name, held, &found);
        }
        Ok(())
    }

    /// Reads all series of a tenant; returns what there was.
    async fn tenant(&mut self, mut scan: PartScan) -> Result<TenantSummary, ArchiveError> {
        let mut found = TenantSummary::default();
        let (mut runs, mut digests) = (SeriesRuns::default(), Digests::default());
        while let Some(series) = scan.next().await? {
            if !self.wanted.selection.accepts(&series.labels) {
                continue;
            }
            runs.clear();
            scan.samples(series.samples.clone(), TimeRange::ALL, &mut runs.samples)
                .await?;
            scan.histograms(series.histograms.clone(), TimeRange::ALL, &mut runs.histograms)
                .await?;
            scan.exemplars(series.exemplars.clone(), TimeRange::ALL, &mut runs.exemplars)
                .await?;
            self.series(&series, &runs, &mut digests);
            found.series += 1;
            found.samples += runs.samples.len() as u64;
            found.histograms += runs.histograms.len() as u64;
            found.exemplars += runs.exemplars.len() as u64;
            self.read.rows += runs.len() as u64;
        }
        self.read.series += found.series;
        Ok(found)
    }

    fn series(&mut self, series: &SeriesRows, runs: &SeriesRuns, digests: &mut Digests) {
        if !runs.is_settled() {
            let expected = "one row for each timestamp, in order of time";
            self.tell(
                FindingKind::Different,
                expected,
                "rows out of order, or two of one time",
                Some(series),
            );
        }
        let ends = [&runs.samples.timestamps[..], runs.histograms.timestamps()];
        let ends = ends
            .into_iter()
            .filter_map(|times| Some((*times.first()?, *times.last()?)));
        if let Some((min, max)) = ends.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
            && (min, max) != (series.min_time, series.max_time)
        {
            let span = |min, max| format!("rows from {} to {}", format_rfc3339(min), format_rfc3339(max));
            let expected = span(series.min_time, series.max_time);
            self.tell(FindingKind::Different, &expected, &span(min, max), Some(series));
        }
        // A flush has none.
        if self.part.level == 0 {
            return;
        }
        digests.clear();
        digests.add(runs);
        for (kind, kept, found) in kinds(&series.digests, digests) {
            self.read.windows += kept.iter().count() as u64;
            for (window, kept, found) in unequal(kept, found) {
                let text = |digest: Option<u64>| digest.map_or("no rows".to_owned(), |it| format!("digest {it:016x}"));
                self.findings.push(
                    Finding {
                        kind: FindingKind::Different,
                        object: self.object.to_owned(),
                        series: None,
                        rows: Some(format!("{kind} of the window {}", format_rfc3339(window))),
                        expected: text(kept),
                        found: text(found),
                        advice: PART_ADVICE.to_owned(),
                    }
                    .of_series(&series.labels),
                );
            }
        }
    }

    fn counts(&mut self, tenant: &str, held: &TenantSummary, found: &TenantSummary) {
        let text = |of: &TenantSummary| {
            format!(
                "tenant `{tenant}` with {} series, {} samples, {} histograms, {} exemplars, {} variants of metadata",
                of.series, of.samples, of.histograms, of.exemplars, of.metadata
            )
        };
        let (expected, found) = (text(held), text(found));
        if expected != found {
            self.tell(FindingKind::Different, &expected, &found, None);
        }
    }

    fn tell(&mut self, kind: FindingKind, expected: &str, found: &str, series: Option<&SeriesRows>) {
        let finding = Finding {
            kind,
            object: self.object.to_owned(),
            series: None,
            rows: None,
            expected: expected.to_owned(),
            found: found.to_owned(),
            advice: PART_ADVICE.to_owned(),
        };
        self.findings.push(match series {
            Some(series) => finding.of_series(&series.labels),
            None => finding,
        });
    }
}

/// The sums of two sets of digests by kind, with the word for it.
pub(super) fn kinds<'a>(left: &'a Digests, right: &'a Digests) -> [(&'static str, &'a WindowSums, &'a WindowSums); 4] {
    [
        ("samples", &left.samples, &right.samples),
        ("histograms", &left.histograms, &right.histograms),
        ("exemplars", &left.exemplars, &right.exemplars),
        ("start timestamps", &left.start_timestamps, &right.start_timestamps),
    ]
}

/// The windows whose sums differ, with both; none where there are no rows.
pub(super) fn unequal(left: &WindowSums, right: &WindowSums) -> Vec<(i64, Option<u64>, Option<u64>)> {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let mut found = Vec::new();
    loop {
        let window = match (left.peek(), right.peek()) {
            (None, None) => return found,
            (Some(&(l, _)), Some(&(r, _))) => l.min(r),
            (Some(&(only, _)), None) | (None, Some(&(only, _))) => only,
        };
        let of = |sums: Option<(i64, u64)>| sums.map(|(_, sum)| sum);
        let (l, r) = (
            of(left.next_if(|&(at, _)| at == window)),
            of(right.next_if(|&(at, _)| at == window)),
        );
        if l != r {
            found.push((window, l, r));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_one_side_and_of_both_are_told() {
        let sums = |pairs: &[(i64, u64)]| {
            let mut sums = WindowSums::default();
            pairs.iter().for_each(|&(at, digest)| sums.add(at, digest));
            sums
        };
        let hour = 3_600_000;
        let left = sums(&[(0, 1), (2 * hour, 2), (4 * hour, 3)]);
        let right = sums(&[(2 * hour, 9), (4 * hour, 3), (8 * hour, 4)]);
        assert_eq!(
            unequal(&left, &right),
            [
                (0, Some(1), None),
                (2 * hour, Some(2), Some(9)),
                (8 * hour, None, Some(4))
            ]
        );
        assert!(unequal(&left, &left).is_empty());
    }
}
