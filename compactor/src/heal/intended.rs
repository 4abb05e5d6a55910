//! What the archive does not hold on purpose: healing must not bring it back.

use std::sync::atomic::{AtomicU64, Ordering};

use emberkeep_archive::CompiledMask;
use emberkeep_model::{Labels, SeriesRuns, TenantId, TimeRange, matches_all};
use emberkeep_source::{RelabelRules, Relabelled};

use crate::retention::Retention;
use crate::seed::Sieve;

/// The sender's rules, masks and retention, and how many rows of the source they account for.
#[derive(Debug)]
pub(super) struct Intended<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) rules: &'a RelabelRules,
    pub(super) masks: &'a [CompiledMask],
    pub(super) retention: &'a Retention,
    pub(super) now_ms: i64,
    pub(super) counts: Counts,
}

/// Rows that stay out.
#[derive(Debug, Default)]
pub(super) struct Counts {
    left_out: AtomicU64,
    deleted: AtomicU64,
    expired: AtomicU64,
}

impl Counts {
    /// Left out by the sender, deleted, expired; since it was asked last.
    pub(super) fn take(&self) -> [u64; 3] {
        [&self.left_out, &self.deleted, &self.expired].map(|count| count.swap(0, Ordering::Relaxed))
    }
}

impl Intended<'_> {
    /// What was removed of a series, under the labels that the archive has: by masks, and by retention.
    pub(super) fn removed(&self, labels: &Labels) -> Vec<TimeRange> {
        let mut removed = self.masked(labels);
        removed.extend(self.expired(labels));
        removed
    }

    fn masked(&self, labels: &Labels) -> Vec<TimeRange> {
        let hiding = self.masks.iter().filter(|mask| mask.hides_series(self.tenant, labels));
        hiding.map(CompiledMask::range).collect()
    }

    fn expired(&self, labels: &Labels) -> Option<TimeRange> {
        let tenant = self.tenant.as_str();
        let of_rules = self.retention.rules_of(tenant);
        let of_series = of_rules.filter(|(rule, _)| matches_all(&rule.matchers, labels));
        let keep = of_series
            .map(|(_, keep)| keep)
            .chain(self.retention.keep_of(tenant))
            .min()?;
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        Some(TimeRange {
            start: i64::MIN,
            end: self.now_ms.saturating_sub(keep),
        })
    }
}

impl Sieve for Intended<'_> {
    fn pass(&self, labels: Labels, runs: &mut SeriesRuns) -> Option<Labels> {
        let labels = match self.rules.apply(&labels) {
            Relabelled::Sent(labels) => labels,
            Relabelled::LeftOut(_) => {
                self.counts.left_out.fetch_add(runs.len() as u64, Ordering::Relaxed);
                return None;
            }
        };
        let mut without = |ranges: &[TimeRange], count: &AtomicU64| {
            let before = runs.len();
            ranges.iter().for_each(|range| runs.remove_range(*range));
            count.fetch_add((before - runs.len()) as u64, Ordering::Relaxed);
        };
        without(&self.masked(&labels), &self.counts.deleted);
        without(self.expired(&labels).as_slice(), &self.counts.expired);
        Some(labels)
    }
}
