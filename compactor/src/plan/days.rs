//! Windows into days, days with what came late, and days of which something is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use emberkeep_archive::{Live, PartEntry};

use super::level0::home;
use super::{DAY_MS, Job, JobKind, JobWindow, PlanSettings, WINDOW_MS, masks_for, millis};
use crate::retention::DueRule;

/// The parts of one tenant and day.
struct Day<'a> {
    tenant: &'a str,
    day: i32,
    parts: Vec<&'a Arc<PartEntry>>,
}

pub(super) fn jobs(live: &Live, settings: &PlanSettings, rules: &[DueRule], now_ms: i64) -> Vec<Job> {
    let quarantined = live.quarantined();
    let mut days: BTreeMap<(i32, &str), Vec<&Arc<PartEntry>>> = BTreeMap::new();
    for part in live.parts() {
        if let (Some(day), Some(tenant)) = (part.day, part.tenants.keys().next())
            && !quarantined.contains(&part.ulid.to_string())
        {
            days.entry((day, tenant)).or_default().push(part);
        }
    }
    let level0: BTreeSet<(i32, &str)> = live
        .parts()
        .filter(|part| part.day.is_none())
        .flat_map(|part| {
            part.tenants
                .keys()
                .filter_map(|tenant| Some((home_day(part)?, tenant.as_str())))
        })
        .collect();
    let days = days
        .into_iter()
        .map(|((day, tenant), parts)| Day { tenant, day, parts });
    days.filter_map(|day| {
        let state = match level0.contains(&(day.day, day.tenant)) {
            true => State::Open,
            false if settings.is_over(day.day, now_ms) => State::Closed,
            false => State::Open,
        };
        let kind = day.kind(state, settings, now_ms);
        day.job(kind, state, live, rules)
    })
    .collect()
}

/// Whether more of a day is to be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It goes on, or flushes of it are not merged into windows yet.
    Open,
    /// What comes now is late.
    Closed,
}

/// The day to which a part of level 0 belongs.
fn home_day(part: &PartEntry) -> Option<i32> {
    i32::try_from(home(part).saturating_mul(WINDOW_MS).div_euclid(DAY_MS)).ok()
}

impl Day<'_> {
    fn start(&self) -> i64 {
        i64::from(self.day) * DAY_MS
    }

    /// Whether and why the day is merged, deletions aside.
    fn kind(&self, state: State, settings: &PlanSettings, now_ms: i64) -> Option<JobKind> {
        let mut merges = BTreeSet::new();
        for part in &self.parts {
            merges.insert(part.merge.clone().unwrap_or_else(|| part.ulid.to_string()));
        }
        let (merged, late): (Vec<&Arc<PartEntry>>, Vec<_>) = self.parts.iter().partition(|part| part.level >= 2);
        match state {
            _ if merges.len() < 2 => None,
            State::Open => (late.len() >= settings.day_batch).then_some(JobKind::Day),
            State::Closed if merged.is_empty() => Some(JobKind::Day),
            State::Closed => {
                let bytes = |parts: &[&Arc<PartEntry>]| parts.iter().map(|part| part.bytes()).sum::<u64>();
                let oldest = late
                    .iter()
                    .map(|part| part.known_committed_at())
                    .min()
                    .unwrap_or(i64::MAX);
                let is_worth_it = late.is_empty()
                    || late.len() >= settings.late_parts
                    || bytes(&late).saturating_mul(settings.late_share) >= bytes(&merged)
                    || oldest.saturating_add(millis(settings.late_wait)) <= now_ms;
                is_worth_it.then_some(JobKind::Late)
            }
        }
    }

    /// A rule is applied to a day at once, so not while some part of it is too young.
    fn is_due(&self, rule: &DueRule) -> bool {
        if rule.mask.tenant != self.tenant {
            return false;
        }
        let is_due = |part: &&Arc<PartEntry>| rule.parts.contains(&part.ulid);
        let is_done = |part: &&Arc<PartEntry>| part.rules.contains(&rule.id);
        self.parts.iter().any(is_due) && self.parts.iter().all(|part| is_due(part) || is_done(part))
    }

    fn job(&self, kind: Option<JobKind>, state: State, live: &Live, rules: &[DueRule]) -> Option<Job> {
        let due: Vec<&DueRule> = rules.iter().filter(|rule| self.is_due(rule)).collect();
        let (mut masks, masks_through) = masks_for(live, self.parts.iter().copied());
        let is_masked = masks
            .iter()
            .any(|mask| self.parts.iter().any(|part| mask.concerns(part)));
        let is_rewritten = state == State::Closed && (is_masked || !due.is_empty());
        let kind = kind.or(is_rewritten.then_some(JobKind::Rewrite))?;
        masks.extend(due.iter().map(|rule| rule.mask.clone()));
        let mut known: BTreeSet<String> = self.parts[0].rules.iter().cloned().collect();
        known.retain(|rule| self.parts.iter().all(|part| part.rules.contains(rule)));
        known.extend(due.iter().map(|rule| rule.id.clone()));
        Some(Job {
            root: live.root_n(),
            kind,
            inputs: self.parts.iter().map(|part| PartEntry::clone(part)).collect(),
            windows: vec![JobWindow {
                tenant: self.tenant.to_owned(),
                level: 2,
                from: self.start(),
                to: self.start() + DAY_MS,
            }],
            masks,
            masks_through,
            rules: known.into_iter().collect(),
            merge: None,
        })
    }
}
