//! `diff`: what the archive holds against what a live Prometheus answers, series by series and sample by sample.
//!
//! Slice by slice of time. The archive's digests of a slice are held, one small entry for each series, and the source's answer is checked off
//! against them as it streams: neither side has to be sorted, because a Prometheus with external labels does not answer in their order. Only
//! series whose digests differ are read again and compared row by row. What must differ (rows deleted in the archive, series that the sender
//! is told to leave out) is counted apart; everything else is a difference. It must never change either side.

mod compare;
mod error;
mod report;
mod row;
mod slice;

use std::sync::Arc;
use std::time::Duration;

use emberkeep_archive::catalog::CompiledMask;
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Labels, MatchOp, Matcher, TenantId, TimeRange};
use emberkeep_source::{RelabelRules, Source};
use indicatif::ProgressBar;

pub use self::error::DiffError;
pub use self::report::{Counts, DiffReport, Explained, Kind, ListedSeries, WindowDiff};
use self::slice::Slice;
use crate::{Look, Query, ReaderError, Selection, Sources};

/// Milliseconds of a day, UTC: what a merged part holds at most.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What is compared, and what is known about it.
#[derive(Debug)]
pub struct Diff {
    /// Whose data in the archive.
    pub tenant: TenantId,
    /// Which time.
    pub range: TimeRange,
    /// Which series: all matchers hold; empty for all.
    pub matchers: Arc<[Matcher]>,
    /// Time that is compared at once, a multiple of two hours or less than that.
    pub slice: Duration,
    /// Labels that are left out on both sides before series are compared.
    pub ignored_labels: Vec<String>,
    /// What the sender leaves out.
    pub rules: RelabelRules,
    /// Series that are listed, and series of a slice that are compared row by row, at most.
    pub most_listed: usize,
    /// Whether rows that only the archive has are a difference.
    pub extra: Extra,
}

/// What rows mean that only the archive has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Extra {
    /// They are a difference.
    #[default]
    Difference,
    /// They are expected: an archive keeps what the source has deleted.
    Expected,
}

impl Diff {
    /// Compares all of the range. Its notes say what was left out of the comparison and why.
    ///
    /// # Errors
    /// When either side cannot be read to the end: then nothing is said.
    pub async fn run(&self, sources: &Sources, source: &Source, bar: &ProgressBar) -> Result<DiffReport, DiffError> {
        let mut report = DiffReport::new(self.range, self.most_listed);
        for rule in self.rules.not_understood() {
            report.notes.push(format!(
                "a rule of the sender is not understood, what it changes shows as missing and extra: {rule}"
            ));
        }
        let mut range = self.range;
        let oldest = source.metrics().await.ok().and_then(|metrics| metrics.oldest_ms());
        if let Some(oldest) = oldest.filter(|&oldest| oldest > range.start) {
            report.notes.push(format!(
                "the source holds nothing before {}; that time is not compared",
                emberkeep_service::time_expr::format_rfc3339(oldest)
            ));
            range.start = oldest.min(range.end);
        }
        report.from = range.start;
        if range.is_empty() {
            return Ok(report);
        }
        let query = Query {
            tenant: self.tenant.clone(),
            range,
            selection: Selection::of(Arc::clone(&self.matchers)),
        };
        let who = format!("diff with `{}`", source.url());
        let pinned = sources.pinned_look(&query, HeadKinds::Samples, &who).await?;
        let done = self
            .run_on(sources, source, &pinned.look, &query, (&mut report, bar))
            .await;
        bar.finish_and_clear();
        pinned.release().await;
        done?;
        report.settle();
        Ok(report)
    }

    async fn run_on(
        &self,
        sources: &Sources,
        source: &Source,
        look: &Look,
        query: &Query,
        (report, bar): (&mut DiffReport, &ProgressBar),
    ) -> Result<(), DiffError> {
        if look.view.parts.is_empty() && look.view.committed.is_empty() && look.heads.is_empty() {
            return Err(ReaderError::nothing_committed().into());
        }
        let of_tenant = look
            .view
            .masks
            .iter()
            .filter(|mask| mask.tenant == self.tenant.as_str());
        let masks: Vec<CompiledMask> = of_tenant
            .map(|mask| mask.compile())
            .collect::<Result<_, _>>()
            .map_err(ReaderError::from)?;
        let slices = slices(query.range, self.slice);
        bar.set_length(slices.len() as u64);
        let slice = |range: TimeRange| -> Result<Slice<'_>, ReaderError> {
            Ok(Slice {
                diff: self,
                store: sources.store(),
                look,
                masks: &masks,
                query: Query { range, ..query.clone() },
                source,
                matchers: self.asked()?,
            })
        };
        // A day that is archived is one part, and a slice of it costs a walk through the whole day on both sides. So days are looked at
        // as a whole, until one differs: where one does, others probably do.
        let mut are_equal = true;
        for of_day in slices.chunk_by(|a, b| a.start.div_euclid(DAY_MS) == b.start.div_euclid(DAY_MS)) {
            if let (true, [first, .., last]) = (are_equal, of_day) {
                let day = TimeRange {
                    start: first.start,
                    end: last.end,
                };
                // A source may refuse so much at once; of slices it says what is the matter.
                are_equal = slice(day)?.is_equal(report).await.unwrap_or(false);
                if are_equal {
                    bar.inc(of_day.len() as u64);
                    continue;
                }
            }
            for range in of_day {
                slice(*range)?.compare(report).await?;
                bar.inc(1);
            }
        }
        Ok(())
    }

    /// What the source is asked for: a server may refuse a query without any matcher.
    fn asked(&self) -> Result<Vec<Matcher>, ReaderError> {
        let again = |matcher: &Matcher| Matcher::new(matcher.name(), matcher.op(), matcher.value());
        let mut asked: Vec<Matcher> = self
            .matchers
            .iter()
            .map(again)
            .collect::<Result<_, _>>()
            .map_err(|error| ReaderError::Bad(error.to_string()))?;
        if asked.is_empty() {
            let all = Matcher::new(Labels::METRIC_NAME, MatchOp::Regex, ".*");
            asked.push(all.map_err(|error| ReaderError::Bad(error.to_string()))?);
        }
        Ok(asked)
    }

    /// The labels by which both sides are compared.
    fn compared(&self, labels: &Labels) -> Labels {
        if self.ignored_labels.is_empty() {
            return labels.clone();
        }
        let kept = labels
            .iter()
            .filter(|(name, _)| !self.ignored_labels.iter().any(|ignored| ignored == name));
        Labels::from_pairs(kept).expect("some labels of a label set are one")
    }
}

/// The range in aligned slices.
fn slices(range: TimeRange, slice: Duration) -> Vec<TimeRange> {
    let length = i64::try_from(slice.as_millis()).unwrap_or(i64::MAX).max(1);
    let mut slices = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let end = (start.div_euclid(length) + 1).saturating_mul(length).min(range.end);
        slices.push(TimeRange { start, end });
        start = end;
    }
    slices
}

#[cfg(test)]
mod tests;
