//! Level 0 into windows of two hours.
//!
//! A flush belongs to the window of its newest row. It holds rows of the window before, and now and then rows that are much older; each
//! row goes where its time says, in days that go on into windows, in days that have ended into one part for the day. So history that is
//! sent at once is merged once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use emberkeep_archive::{ArchiveError, Live, ObjectStore, PartEntry, TenantSummary, Ulid};

use super::survey::days_of;
use super::{DAY_MS, Job, JobKind, JobWindow, PlanSettings, WINDOW_MS, day_of, masks_for, millis};

/// Days between oldest and newest row of a tenant above which a part is looked into: it would have too many windows otherwise.
const SPAN_DAYS: i32 = 2;

/// A stretch of time, from its first moment on, and the parts whose newest rows lie in it.
type Homes<'a> = BTreeMap<(i64, i64), Vec<&'a Arc<PartEntry>>>;

/// The merges that are due.
pub(super) async fn jobs(
    store: &Arc<dyn ObjectStore>,
    live: &Live,
    settings: &PlanSettings,
    now_ms: i64,
) -> Result<Vec<Job>, ArchiveError> {
    let mut jobs = Vec::new();
    // The newest window first: it is what queries read most.
    for ((start, length), parts) in homes(live, settings, now_ms, |_| true).into_iter().rev() {
        let end = start.saturating_add(length);
        let newest_commit = parts
            .iter()
            .map(|part| part.known_committed_at())
            .max()
            .unwrap_or(i64::MIN);
        let is_closed = now_ms >= end.saturating_add(millis(settings.window_grace))
            && now_ms >= newest_commit.saturating_add(millis(settings.settle));
        for inputs in parts.chunks(settings.level0_inputs.max(1)) {
            if is_closed || inputs.len() >= settings.level0_batch {
                jobs.push(job(store, live, inputs, settings, now_ms).await?);
            }
        }
    }
    Ok(jobs)
}

/// Merges of some parts that do not wait for anything.
pub(super) async fn jobs_of(
    store: &Arc<dyn ObjectStore>,
    live: &Live,
    settings: &PlanSettings,
    wanted: &BTreeSet<Ulid>,
    now_ms: i64,
) -> Result<Vec<Job>, ArchiveError> {
    let mut jobs = Vec::new();
    for parts in homes(live, settings, now_ms, |part| wanted.contains(&part.ulid)).into_values() {
        for inputs in parts.chunks(settings.level0_inputs.max(1)) {
            jobs.push(job(store, live, inputs, settings, now_ms).await?);
        }
    }
    Ok(jobs)
}

/// Parts that can be read, by where they belong.
fn homes<'a>(
    live: &'a Live,
    settings: &PlanSettings,
    now_ms: i64,
    is_wanted: impl Fn(&PartEntry) -> bool,
) -> Homes<'a> {
    let quarantined = live.quarantined();
    let mut homes = Homes::new();
    let level0 = live.parts().filter(|part| part.day.is_none() && is_wanted(part));
    for part in level0.filter(|part| !quarantined.contains(&part.ulid.to_string())) {
        let start = home(part).saturating_mul(WINDOW_MS);
        let range = match day_of(start).filter(|day| settings.is_over(*day, now_ms)) {
            Some(day) => (i64::from(day) * DAY_MS, DAY_MS),
            None => (start, WINDOW_MS),
        };
        homes.entry(range).or_default().push(part);
    }
    homes
}

/// The window of two hours in which a part's newest row lies.
pub(super) fn home(part: &PartEntry) -> i64 {
    let newest = match part.max_time {
        i64::MIN => part.known_committed_at(),
        newest => newest,
    };
    newest.div_euclid(WINDOW_MS)
}

async fn job(
    store: &Arc<dyn ObjectStore>,
    live: &Live,
    inputs: &[&Arc<PartEntry>],
    settings: &PlanSettings,
    now_ms: i64,
) -> Result<Job, ArchiveError> {
    let is_over = |day: i32| settings.is_over(day, now_ms);
    let mut windows = BTreeSet::new();
    for part in inputs {
        for (tenant, held) in &part.tenants {
            let days = match near_days(held) {
                Some(days) => days,
                None => days_of(store, part, tenant).await?,
            };
            windows.extend(days.into_iter().flat_map(|day| windows_of(tenant, day, is_over)));
        }
    }
    let (masks, masks_through) = masks_for(live, inputs.iter().copied());
    Ok(Job {
        root: live.root_n(),
        kind: JobKind::Window,
        inputs: inputs.iter().map(|part| PartEntry::clone(part)).collect(),
        windows: windows.into_iter().collect(),
        masks,
        masks_through,
        rules: Vec::new(),
        merge: None,
    })
}

/// The days that a tenant's rows may lie in, when these are few.
fn near_days(held: &TenantSummary) -> Option<BTreeSet<i32>> {
    let mut days = BTreeSet::new();
    for span in [held.sample_times(), held.exemplar_times, held.metadata_times]
        .into_iter()
        .flatten()
    {
        let (first, last) = (day_of(span.min_time)?, day_of(span.max_time)?);
        if last.saturating_sub(first) >= SPAN_DAYS {
            return None;
        }
        days.extend(first..=last);
    }
    Some(days)
}

/// The windows of one day: of two hours while it goes on, else the day as a whole.
fn windows_of(tenant: &str, day: i32, is_over: impl Fn(i32) -> bool) -> Vec<JobWindow> {
    let start = i64::from(day) * DAY_MS;
    let window = |from: i64, to: i64| JobWindow {
        tenant: tenant.to_owned(),
        level: 1,
        from,
        to,
    };
    match is_over(day) {
        true => vec![window(start, start + DAY_MS)],
        false => (0..DAY_MS / WINDOW_MS)
            .map(|i| window(start + i * WINDOW_MS, start + (i + 1) * WINDOW_MS))
            .collect(),
    }
}
