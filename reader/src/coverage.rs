//! `reader coverage`: of which time each source is held, of which its target was down, and of which something is missing.
//!
//! The series `up` answers it cheaply: a handful of series whatever the size of the archive. Sources without it are found only when they
//! are asked for, by the times that series tables say, which is as coarse as parts are. What was removed on purpose, by masks and
//! retention, is no hole. The rule itself is [`emberkeep_model::coverage`]; nothing here may decide what a hole is.

mod report;
mod spans;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use emberkeep_archive::{ArchiveError, CompiledMask, TenantSummary};
use emberkeep_model::coverage::{Stretch, joined, stretches_of_up, with_removed};
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Labels, SeriesRuns, TenantId, TimeRange, parse_selector};

pub use self::report::{CoverageReport, Gap, Seconds, SeenBy, Source};
use crate::scan::{Ground, Opened};
use crate::{Look, Query, ReaderError, Selection, Sources};

/// How long before the range is looked for samples that say how it begins, milliseconds.
const LOOK_BACK_MS: i64 = 86_400_000;

/// Steps of a map when nothing else is said.
const STEPS: i64 = 120;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Coverage {
    /// Whose data.
    pub tenant: TenantId,
    /// Which time.
    pub range: TimeRange,
    /// What the end of the range means.
    pub end: RangeEnd,
    /// Of which `up` series.
    pub selection: Selection,
    /// Labels that make a source; none for `job`, `instance` and the labels that all `up` series have.
    pub source_labels: Vec<String>,
    /// Expected time between two scrapes, milliseconds; none to learn it from the samples.
    pub interval_ms: Option<i64>,
    /// Length of a step of the map, milliseconds; none for what fits.
    pub step_ms: Option<i64>,
    /// Shortest gap that is told, milliseconds.
    pub min_gap_ms: i64,
    /// Whether sources without `up` are looked for.
    pub others: OtherSources,
    /// How long the archive keeps what it has; older times are removed on purpose.
    pub keep: Option<Duration>,
    /// Now, milliseconds since 1970.
    pub now_ms: i64,
}

/// What the end of the range means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeEnd {
    /// That moment.
    Exact,
    /// That moment when heads are read, and the newest sample of the parts when not: what is not flushed yet is no hole.
    Now,
}

/// Whether sources without `up` are looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OtherSources {
    /// They are left out, and the report says so.
    #[default]
    LeftOut,
    /// They are found by the series tables of all parts of the range.
    BySeries,
}

/// What is known of a source while it is put together.
#[derive(Debug, Clone)]
struct Account {
    by: SeenBy,
    stretches: Vec<Stretch>,
}

/// Accounts by the values of the source labels.
type Accounts = BTreeMap<Vec<String>, Account>;

impl Coverage {
    /// Finds out.
    ///
    /// # Errors
    /// When heads or archive cannot be read, or more parts are needed than the limit.
    pub async fn run(mut self, sources: &Sources, part_limit: usize) -> Result<CoverageReport, ReaderError> {
        let query = Query {
            tenant: self.tenant.clone(),
            range: TimeRange {
                start: self.range.start.saturating_sub(LOOK_BACK_MS),
                end: self.range.end,
            },
            selection: self.up()?,
        };
        let look = sources.look(&query, HeadKinds::Samples).await?;
        self.shorten(&look);
        let masks = self.masks(&look)?;
        let series = self.up_series(sources, &look, &query, part_limit, &masks).await?;
        let names = self.names(series.iter().map(|(labels, _)| labels));
        let mut accounts = Accounts::new();
        for (labels, stretches) in series {
            let account = accounts.entry(key(&labels, &names)).or_insert_with(|| Account {
                by: SeenBy::Up,
                stretches: Vec::new(),
            });
            account.stretches = joined(&account.stretches, &stretches);
        }
        if self.others == OtherSources::BySeries {
            let spans = spans::read(&self, sources, &names, &accounts, &masks).await?;
            accounts.extend(spans);
        }
        let step_ms = self.step_ms.unwrap_or_else(|| fitting_step(self.range, STEPS)).max(1);
        let mut report = CoverageReport::new(&self, &names, step_ms);
        report.left_out = look.left_out;
        report.sources = accounts
            .into_iter()
            .map(|(values, account)| Source::new(&names, values, account.by, &account.stretches, &self, step_ms))
            .collect();
        report.count();
        Ok(report)
    }

    /// Ends the range where the parts end, when that is what its end means.
    fn shorten(&mut self, look: &Look) {
        if self.end == RangeEnd::Exact || !look.heads.is_empty() {
            return;
        }
        let held = look
            .view
            .parts
            .iter()
            .filter_map(|part| part.tenants.get(self.tenant.as_str()));
        let newest = held
            .filter_map(TenantSummary::sample_times)
            .map(|times| times.max_time)
            .max();
        if let Some(newest) = newest.filter(|newest| *newest >= self.range.start) {
            self.range.end = self.range.end.min(newest.saturating_add(1));
        }
    }

    /// The series `up` that are asked for.
    fn up(&self) -> Result<Selection, ReaderError> {
        let up = parse_selector("up").map_err(|error| ReaderError::Bad(error.to_string()))?;
        Ok(Selection::of(up))
    }

    async fn up_series(
        &self,
        sources: &Sources,
        look: &Look,
        query: &Query,
        part_limit: usize,
        masks: &[CompiledMask],
    ) -> Result<Vec<(Labels, Vec<Stretch>)>, ReaderError> {
        let ground = Ground::of(sources.store(), look);
        let opened = Opened::open(ground, query, HeadKinds::Samples, part_limit).await?;
        let mut scan = opened.scan().await?;
        let mut found = Vec::new();
        let (mut piece, mut samples) = (SeriesRuns::default(), Vec::new());
        while let Some(labels) = scan.next_series().await? {
            if !self.selection.selects(&labels) {
                continue;
            }
            samples.clear();
            while scan.next_piece(&mut piece).await? {
                samples.extend(piece.samples.iter().map(|sample| (sample.timestamp, sample.value)));
            }
            let stretches = stretches_of_up(&samples, self.interval_ms, self.range);
            let removed = self.removed(masks, &labels);
            found.push((labels, with_removed(&stretches, &removed)));
        }
        Ok(found)
    }

    fn masks(&self, look: &Look) -> Result<Vec<CompiledMask>, ReaderError> {
        let masks: Result<Vec<_>, ArchiveError> =
            look.view.masks.iter().map(emberkeep_archive::Mask::compile).collect();
        Ok(masks?)
    }

    /// What was removed of a series on purpose.
    fn removed(&self, masks: &[CompiledMask], labels: &Labels) -> Vec<TimeRange> {
        let hidden = masks.iter().filter(|mask| mask.hides_series(&self.tenant, labels));
        let mut removed: Vec<TimeRange> = hidden.map(CompiledMask::range).collect();
        removed.extend(self.expired());
        removed
    }

    /// What is older than the archive keeps.
    fn expired(&self) -> Option<TimeRange> {
        let keep = i64::try_from(self.keep?.as_millis()).unwrap_or(i64::MAX);
        Some(TimeRange {
            start: i64::MIN,
            end: self.now_ms.saturating_sub(keep),
        })
    }

    /// The labels that make a source: those that were asked for, or `job`, `instance`, and whatever all `up` series have, as the
    /// external labels of their senders.
    fn names<'a>(&self, series: impl Iterator<Item = &'a Labels>) -> Vec<String> {
        if !self.source_labels.is_empty() {
            return self.source_labels.clone();
        }
        let mut everywhere: Option<BTreeSet<&str>> = None;
        for labels in series {
            let names: BTreeSet<&str> = labels.iter().map(|(name, _)| name).collect();
            everywhere = Some(match everywhere {
                Some(all) => all.intersection(&names).copied().collect(),
                None => names,
            });
        }
        let usual = ["job", "instance"];
        let more = everywhere.unwrap_or_default().into_iter();
        let more = more.filter(|name| *name != Labels::METRIC_NAME && !usual.contains(name));
        usual.into_iter().chain(more).map(str::to_owned).collect()
    }
}

fn key(labels: &Labels, names: &[String]) -> Vec<String> {
    names.iter().map(|name| labels.value_of(name).to_owned()).collect()
}

/// A step that people like, of which at most so many make the range.
pub(crate) fn fitting_step(range: TimeRange, most: i64) -> i64 {
    const MINUTES: [i64; 15] = [
        1, 2, 5, 10, 15, 30, 60, 120, 240, 360, 720, 1_440, 2_880, 10_080, 43_200,
    ];
    let needed = range.end.saturating_sub(range.start) / most.max(1) + 1;
    let fits = MINUTES
        .into_iter()
        .map(|minutes| minutes * 60_000)
        .find(|&step| step >= needed);
    fits.unwrap_or(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_fit() {
        let hours = |n: i64| TimeRange {
            start: 0,
            end: n * 3_600_000,
        };
        assert_eq!(fitting_step(hours(1), 120), 60_000);
        assert_eq!(fitting_step(hours(24), 120), 15 * 60_000);
        assert_eq!(fitting_step(hours(24 * 365), 100), 7 * 86_400_000);
        assert!(fitting_step(TimeRange::ALL, 100) > 0);
    }
}
