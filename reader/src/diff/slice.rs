//! One slice of time on both sides.

use std::sync::Arc;

use emberkeep_archive::ObjectStore;
use emberkeep_archive::catalog::CompiledMask;
use emberkeep_archive::digest::Digests;
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Labels, Matcher, SeriesRuns, fingerprint};
use emberkeep_source::{Relabelled, Source};
use hashbrown::{HashMap, HashSet};

use super::compare::{Example, join};
use super::report::{Counts, DiffReport, Kind, WindowDiff};
use super::row::{Value, forget_what_is_not_sent, rows};
use super::{Diff, DiffError, Extra};
use crate::scan::{Ground, Opened, Scan, SomeSeries};
use crate::sources::Look;
use crate::verify::StoredForm;
use crate::{Query, ReaderError};

/// Everything that one slice is compared with.
pub(super) struct Slice<'a> {
    pub(super) diff: &'a Diff,
    pub(super) store: &'a Arc<dyn ObjectStore>,
    pub(super) look: &'a Look,
    pub(super) masks: &'a [CompiledMask],
    pub(super) query: Query,
    pub(super) source: &'a Source,
    pub(super) matchers: Vec<Matcher>,
}

/// Rows of one series on one side, as numbers that do not depend on their order or on how often a side was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    digest: u64,
    rows: u64,
}

impl Sum {
    fn add(&mut self, runs: &SeriesRuns, form: &mut StoredForm, digests: &mut Digests) {
        digests.clear();
        form.add(runs, digests);
        for (_, sum) in digests.samples.iter() {
            self.digest = self.digest.wrapping_add(sum);
        }
        // A float and a histogram are never the same row.
        for (_, sum) in digests.histograms.iter() {
            self.digest = self.digest.wrapping_add(sum.rotate_left(17));
        }
        self.rows += (runs.samples.len() + runs.histograms.len()) as u64;
    }
}

/// Both sides of one series. Its key is a hash of 128 bits: a collision could hide a difference, and will not happen by chance.
#[derive(Debug, Clone, Copy, Default)]
struct Sides {
    archive: Sum,
    source: Sum,
    /// The sender leaves it out now; it may have sent it before.
    is_left_out: bool,
}

/// Series whose rows are compared one by one, and those that only the archive has.
#[derive(Debug, Default)]
struct Wanted {
    different: HashSet<u128>,
    extra: HashSet<u128>,
    /// Of those that are compared: what is missing of them is missing on purpose.
    left_out: HashSet<u128>,
}

/// The archive's series that are read again.
struct Again {
    keys: Arc<HashSet<u128>>,
    tenant: emberkeep_model::TenantId,
    ignored: Vec<String>,
}

impl Slice<'_> {
    /// Compares, and adds to the report.
    pub(super) async fn compare(&self, report: &mut DiffReport) -> Result<(), DiffError> {
        let mut sides = self.archive().await?;
        let mut window = WindowDiff {
            from: self.query.range.start,
            to: self.query.range.end,
            ..WindowDiff::default()
        };
        let missing = self.source(&mut sides, &mut window, report).await?;
        report.series = report.series.max(sides.len() as u64 + missing);
        let mut wanted = Wanted::default();
        let mut left = 0;
        for (&key, sides) in &sides {
            if sides.archive == sides.source {
                report.equal_rows += sides.source.rows;
            } else if sides.source.rows == 0 {
                wanted.extra.insert(key);
            } else if wanted.different.len() < self.diff.most_listed {
                wanted.different.insert(key);
                if sides.is_left_out {
                    wanted.left_out.insert(key);
                }
            } else {
                left += 1;
            }
        }
        window.series += left;
        window.not_compared += left;
        report.not_listed += left;
        drop(sides);
        if !wanted.different.is_empty() || !wanted.extra.is_empty() {
            self.rows(wanted, &mut window, report).await?;
        }
        report.window(window);
        Ok(())
    }

    /// Compares by digests alone. When nothing is different that is added to the report, and nothing otherwise.
    pub(super) async fn is_equal(&self, report: &mut DiffReport) -> Result<bool, DiffError> {
        let mut sides = self.archive().await?;
        let (mut window, mut of_slice) = (WindowDiff::default(), DiffReport::new(self.query.range, 0));
        let missing = self.source(&mut sides, &mut window, &mut of_slice).await?;
        if missing > 0 || sides.values().any(|sides| sides.archive != sides.source) {
            return Ok(false);
        }
        report.series = report.series.max(sides.len() as u64);
        report.equal_rows += sides.values().map(|sides| sides.source.rows).sum::<u64>();
        report.explained.left_out_by_sender += of_slice.explained.left_out_by_sender;
        report.explained.deleted_in_archive += of_slice.explained.deleted_in_archive;
        Ok(true)
    }

    fn key(&self, labels: &Labels) -> u128 {
        fingerprint(&self.query.tenant, &self.diff.compared(labels))
    }

    async fn open(&self) -> Result<Opened, ReaderError> {
        let ground = Ground::of(self.store, self.look);
        Opened::open(ground, &self.query, HeadKinds::Samples, usize::MAX).await
    }

    /// Digests of all series of the archive.
    async fn archive(&self) -> Result<HashMap<u128, Sides>, DiffError> {
        let mut scan = self.open().await?.scan().await?;
        let (mut sides, mut form, mut digests): (HashMap<u128, Sides>, _, _) = Default::default();
        let mut piece = SeriesRuns::default();
        while let Some(labels) = scan.next_series().await? {
            let sides = sides.entry(self.key(&labels)).or_default();
            while scan.next_piece(&mut piece).await? {
                forget_what_is_not_sent(&mut piece);
                sides.archive.add(&piece, &mut form, &mut digests);
            }
        }
        Ok(sides)
    }

    /// Adds the source's side; series that the archive does not have are listed at once. Returns how many these are.
    async fn source(
        &self,
        sides: &mut HashMap<u128, Sides>,
        window: &mut WindowDiff,
        report: &mut DiffReport,
    ) -> Result<u64, DiffError> {
        let mut stream = self.source.read(&self.matchers, self.query.range).await?;
        let (mut form, mut digests, mut runs) = <(StoredForm, Digests, SeriesRuns)>::default();
        let mut missing = 0;
        while let Some(labels) = stream.next(&mut runs).await? {
            let (labels, is_left_out) = self.sent(labels);
            let key = self.key(&labels);
            if is_left_out && !sides.contains_key(&key) {
                report.explained.left_out_by_sender += runs.len() as u64;
                continue;
            }
            report.explained.deleted_in_archive += self.hide(&labels, &mut runs);
            if runs.is_empty() {
                continue;
            }
            forget_what_is_not_sent(&mut runs);
            match sides.get_mut(&key) {
                Some(sides) => {
                    sides.is_left_out = is_left_out;
                    sides.source.add(&runs, &mut form, &mut digests);
                }
                None => {
                    missing += 1;
                    let counts = Counts {
                        missing: runs.len() as u64,
                        ..Counts::default()
                    };
                    let first = report.has_room().then(|| rows(&runs).into_iter().next());
                    let example = first.flatten().map(|(time, value)| Example {
                        time,
                        source: Some(value.to_string()),
                        archive: None,
                    });
                    report.list(window, (&labels, Kind::Missing), counts, example);
                }
            }
        }
        Ok(missing)
    }

    /// The labels with which the sender sends a series, and whether it leaves it out.
    fn sent(&self, labels: Labels) -> (Labels, bool) {
        match self.diff.rules.apply(&labels) {
            Relabelled::Sent(sent) => (sent, false),
            Relabelled::LeftOut(_) => (labels, true),
        }
    }

    /// Takes out rows that are deleted in the archive; how many.
    fn hide(&self, labels: &Labels, runs: &mut SeriesRuns) -> u64 {
        let before = runs.len();
        let hiding = self
            .masks
            .iter()
            .filter(|mask| mask.hides_series(&self.query.tenant, labels));
        for range in hiding.map(CompiledMask::range) {
            runs.remove_range(range);
        }
        (before - runs.len()) as u64
    }

    /// Reads both sides again and compares rows.
    async fn rows(&self, wanted: Wanted, window: &mut WindowDiff, report: &mut DiffReport) -> Result<(), DiffError> {
        let keys = wanted.different.union(&wanted.extra).copied().collect();
        let again = Again {
            keys: Arc::new(keys),
            tenant: self.query.tenant.clone(),
            ignored: self.diff.ignored_labels.clone(),
        };
        let opened = self.open().await?;
        let mut scan: Scan = opened.scan_some(Arc::new(again), Vec::new(), opened.parts()).await?;
        let mut archive: HashMap<u128, (Labels, Vec<(i64, Value)>)> = HashMap::new();
        let mut piece = SeriesRuns::default();
        while let Some(labels) = scan.next_series().await? {
            let key = self.key(&labels);
            let (mut count, mut first) = (0, None);
            while scan.next_piece(&mut piece).await? {
                forget_what_is_not_sent(&mut piece);
                let rows = rows(&piece);
                count += rows.len() as u64;
                if wanted.different.contains(&key) {
                    archive
                        .entry(key)
                        .or_insert_with(|| (labels.clone(), Vec::new()))
                        .1
                        .extend(rows);
                } else {
                    first = first.or_else(|| rows.into_iter().next());
                }
            }
            if wanted.extra.contains(&key) {
                if self.diff.extra == Extra::Expected {
                    report.explained.kept_by_archive += count;
                    continue;
                }
                let counts = Counts {
                    extra: count,
                    ..Counts::default()
                };
                let example = first.map(|(time, value)| Example {
                    time,
                    source: None,
                    archive: Some(value.to_string()),
                });
                report.list(window, (&labels, Kind::Extra), counts, example);
            }
        }
        if wanted.different.is_empty() {
            return Ok(());
        }
        let mut source: HashMap<u128, Vec<(i64, Value)>> = HashMap::new();
        let mut stream = self.source.read(&self.matchers, self.query.range).await?;
        let mut runs = SeriesRuns::default();
        while let Some(labels) = stream.next(&mut runs).await? {
            let (labels, _) = self.sent(labels);
            let key = self.key(&labels);
            if wanted.different.contains(&key) {
                self.hide(&labels, &mut runs);
                forget_what_is_not_sent(&mut runs);
                source.entry(key).or_default().extend(rows(&runs));
            }
        }
        let mut compared: Vec<_> = archive.into_iter().collect();
        compared.sort_by(|(_, (a, _)), (_, (b, _))| a.cmp(b));
        for (key, (labels, mut of_archive)) in compared {
            let mut of_source = source.remove(&key).unwrap_or_default();
            of_source.sort_by_key(|(time, _)| *time);
            of_archive.sort_by_key(|(time, _)| *time);
            let (equal, mut counts, example) = join(&of_source, &of_archive);
            report.equal_rows += equal;
            if self.diff.extra == Extra::Expected {
                report.explained.kept_by_archive += std::mem::take(&mut counts.extra);
            }
            if wanted.left_out.contains(&key) {
                report.explained.left_out_by_sender += std::mem::take(&mut counts.missing);
            }
            // They may be equal now, when the source got rows while it was compared.
            if counts != Counts::default() {
                report.list(window, (&labels, Kind::Different), counts, example);
            }
        }
        Ok(())
    }
}

impl SomeSeries for Again {
    fn has(&self, labels: &Labels) -> bool {
        let kept = labels
            .iter()
            .filter(|(name, _)| !self.ignored.iter().any(|ignored| ignored == name));
        let compared = Labels::from_pairs(kept).expect("some labels of a label set are one");
        self.keys.contains(&fingerprint(&self.tenant, &compared))
    }
}
