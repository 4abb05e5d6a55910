//! What is to be merged with what: jobs, planned from one root (DESIGN §6).
//!
//! Level 0 becomes windows of two hours, windows become days. A job says everything that whoever runs it has to know, so it can run
//! anywhere, twice, or not at all: only the root that commits its result counts. Planning must never depend on a job that ran before
//! but through what is live, and never take a part that cannot be read.

mod days;
mod level0;
mod rekey;
mod survey;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use emberkeep_archive::{ArchiveError, Live, Mask, ObjectStore, PartEntry, Ulid};
use serde::{Deserialize, Serialize};

use crate::locks::keeps;
use crate::retention::DueRule;

/// Milliseconds of a window, aligned to 1970.
pub(crate) const WINDOW_MS: i64 = 2 * 3_600_000;

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// When what is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanSettings {
    /// How long after its end a window of two hours is merged, so that the usual stragglers are in.
    pub window_grace: Duration,
    /// How long after the newest commit of a window that has ended it is merged: history that is being sent comes in many flushes.
    pub settle: Duration,
    /// Level-0 parts of a window that are merged without waiting.
    pub level0_batch: usize,
    /// Inputs of one merge of level 0, at most.
    pub level0_inputs: usize,
    /// How long after its end a day is merged.
    pub day_grace: Duration,
    /// Parts of an open day that are merged before it ends.
    pub day_batch: usize,
    /// Late parts of a merged day that are worth merging it again.
    pub late_parts: usize,
    /// Late bytes that are worth it, as one part in so many of the day's.
    pub late_share: u64,
    /// How long late parts wait at most.
    pub late_wait: Duration,
}

impl PlanSettings {
    /// Whether what comes of a day now is late.
    pub(crate) fn is_over(&self, day: i32, now_ms: i64) -> bool {
        let end = (i64::from(day) + 1).saturating_mul(DAY_MS);
        now_ms >= end.saturating_add(millis(self.day_grace))
    }

    /// For a command that is to leave nothing to do: what has ended is merged, however new it is.
    #[must_use]
    pub fn at_once(self) -> Self {
        Self {
            settle: Duration::ZERO,
            ..self
        }
    }
}

impl Default for PlanSettings {
    fn default() -> Self {
        Self {
            window_grace: Duration::from_secs(600),
            settle: Duration::from_secs(600),
            level0_batch: 48,
            level0_inputs: 64,
            day_grace: Duration::from_secs(3 * 3600),
            day_batch: 48,
            late_parts: 4,
            late_share: 10,
            late_wait: Duration::from_secs(86_400),
        }
    }
}

/// Why parts are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Level 0 into windows of two hours.
    Window,
    /// Windows into their day.
    Day,
    /// A merged day and what came late.
    Late,
    /// A day whose rows are deleted by a mask or by retention.
    Rewrite,
    /// A part whose files lie under a key that is written with no more.
    Rekey,
}

impl JobKind {
    /// The word for it, as in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Day => "day",
            Self::Late => "late",
            Self::Rewrite => "rewrite",
            Self::Rekey => "rekey",
        }
    }
}

/// One merge: all rows of the inputs go into the windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The root that it was planned from.
    pub root: u64,
    /// Why.
    pub kind: JobKind,
    /// What is merged. All of it is live in the root.
    pub inputs: Vec<PartEntry>,
    /// Where the rows go. Each row of the inputs is in one of them.
    pub windows: Vec<JobWindow>,
    /// Rows that are left out; nothing of a part that a lock keeps.
    pub masks: Vec<Mask>,
    /// The outputs are written under all masks up to this number.
    pub masks_through: u64,
    /// Rules of retention that are applied, by id; the rows that they delete are among [`Job::masks`], with the number 0.
    pub rules: Vec<String>,
    /// The merge that the outputs are parts of, together with those of other jobs ([`PartEntry::merge`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<String>,
}

/// Where rows of a job go: one output, or several when it is split by series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobWindow {
    /// Whose rows.
    pub tenant: String,
    /// Level of the output.
    pub level: u32,
    /// First timestamp inside, milliseconds since 1970.
    pub from: i64,
    /// First timestamp after it; in the same UTC day.
    pub to: i64,
}

impl Job {
    /// Bytes of its inputs.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.inputs.iter().map(PartEntry::bytes).fold(0, u64::saturating_add)
    }
}

/// All jobs that are due, the most urgent first. No part is in two of them.
///
/// # Errors
/// The store does not answer, or a part that must be looked into cannot be read.
pub(crate) async fn plan(
    store: &Arc<dyn ObjectStore>,
    live: &Live,
    settings: &PlanSettings,
    rules: &[DueRule],
    now_ms: i64,
) -> Result<Vec<Job>, ArchiveError> {
    let mut jobs = level0::jobs(store, live, settings, now_ms).await?;
    jobs.extend(days::jobs(live, settings, rules, now_ms));
    Ok(jobs)
}

/// The jobs that bring some parts under the key that is written with; parts that cannot be read are left out.
///
/// # Errors
/// As [`plan`].
pub(crate) async fn plan_rekey(
    store: &Arc<dyn ObjectStore>,
    live: &Live,
    settings: &PlanSettings,
    parts: &BTreeSet<Ulid>,
    now_ms: i64,
) -> Result<Vec<Job>, ArchiveError> {
    let mut jobs = rekey::jobs(live, parts);
    jobs.extend(level0::jobs_of(store, live, settings, parts, now_ms).await?);
    Ok(jobs)
}

/// The masks that a merge of parts applies, and the number up to which its outputs say so. While a lock keeps any of the parts none is
/// applied: readers apply them, and the rows stay until the lock is released.
fn masks_for<'a>(live: &Live, mut parts: impl Iterator<Item = &'a Arc<PartEntry>> + Clone) -> (Vec<Mask>, u64) {
    let least = parts.clone().map(|part| part.masks).min().unwrap_or(0);
    if parts.any(|part| keeps(live.locks(), part)) {
        return (Vec::new(), least);
    }
    let through = live.masks().iter().map(|mask| mask.number).max().unwrap_or(0);
    (live.masks().to_vec(), through)
}

/// Milliseconds of a duration.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The day in which a timestamp lies, in days since 1970; none for one that no calendar of ours has.
pub(crate) fn day_of(timestamp: i64) -> Option<i32> {
    i32::try_from(timestamp.div_euclid(DAY_MS)).ok()
}

#[cfg(test)]
mod tests;
