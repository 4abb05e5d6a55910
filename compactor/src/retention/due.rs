//! What retention wants to remove, now and later: pure functions of the catalog, the rules and the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use emberkeep_archive::{Live, Lock, Mask, MatcherText, PartEntry, TenantSummary, Ulid};
use serde::Serialize;

use super::Retention;

/// Length of a UTC day.
const DAY_MS: i64 = 86_400_000;

/// A part that goes at a known time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExpiringPart {
    /// Its own name.
    pub part: String,
    /// 0 = a flush.
    pub level: u32,
    /// Whose rows it has.
    pub tenants: Vec<String>,
    /// The UTC day of its newest sample, in days since 1970.
    pub day: i64,
    /// Its newest sample or exemplar, milliseconds since 1970.
    pub newest: i64,
    /// Bytes of its files.
    pub bytes: u64,
    /// When it goes, milliseconds since 1970.
    pub at: i64,
    /// What keeps it all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_by: Option<WaitsFor>,
}

/// Why something that is old enough stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitsFor {
    /// A lock, by id.
    Lock(String),
}

impl ExpiringPart {
    /// Whether it goes now.
    #[must_use]
    pub fn is_due(&self, now_ms: i64) -> bool {
        self.at <= now_ms && self.kept_by.is_none()
    }
}

/// A rule for some series, and the parts whose rows it deletes now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRule {
    /// The rule's id, to be noted in the entries of the parts that are written under it.
    pub id: String,
    /// The rows that go, as a mask with the number 0. Its `tenant` is that of the parts.
    pub mask: Mask,
    /// The parts that it was not yet applied to, all of level 1 or above and of that tenant.
    pub parts: BTreeSet<Ulid>,
    /// Bytes of those parts, of which the rows that go are some.
    pub bytes: u64,
}

/// The newest float, histogram or exemplar of a tenant in a part; of a part with metadata alone, when that was last seen.
fn newest(held: &TenantSummary) -> i64 {
    let rows = [held.sample_times(), held.exemplar_times].into_iter().flatten();
    let newest = rows.map(|span| span.max_time).max();
    newest
        .or(held.metadata_times.map(|span| span.max_time))
        .unwrap_or(i64::MIN)
}

fn after(moment: i64, by: Duration) -> i64 {
    moment.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

/// When a part goes: when its newest row and its commit are older than the limits of all its tenants. `None` = never.
fn expires_at(part: &PartEntry, retention: &Retention) -> Option<i64> {
    let committed = part.known_committed_at();
    let moments = part.tenants.iter().map(|(tenant, held)| {
        let keep = retention.keep_of(tenant)?;
        Some(after(newest(held).max(committed), keep))
    });
    moments.collect::<Option<Vec<i64>>>()?.into_iter().max()
}

/// The lock that keeps a part.
fn keeper<'a>(part: &PartEntry, locks: &'a [Lock]) -> Option<&'a Lock> {
    locks.iter().find(|lock| lock.keeps_part(part))
}

/// All parts that go before a moment, the next ones first, those that a lock keeps included.
#[must_use]
pub fn expirations(live: &Live, retention: &Retention, until_ms: i64) -> Vec<ExpiringPart> {
    let mut expiring = Vec::new();
    for part in live.parts() {
        let Some(at) = expires_at(part, retention).filter(|at| *at <= until_ms) else {
            continue;
        };
        let newest = part.tenants.values().map(newest).max().unwrap_or(i64::MIN);
        expiring.push(ExpiringPart {
            part: part.ulid.to_string(),
            level: part.level,
            tenants: part.tenants.keys().cloned().collect(),
            day: part.day.map_or_else(|| newest.div_euclid(DAY_MS), i64::from),
            newest,
            bytes: part.bytes(),
            at,
            kept_by: keeper(part, live.locks()).map(|lock| WaitsFor::Lock(lock.id.clone())),
        });
    }
    expiring.sort_by(|a, b| (a.at, &a.part).cmp(&(b.at, &b.part)));
    expiring
}

/// The rules for some series that have parts to be rewritten now, one entry for each rule and tenant.
///
/// A part of a day is due when the whole day and the part's commit are older than the rule's limit, so that one rewrite is enough. Parts
/// that a lock keeps, that cannot be read, or that go as a whole anyway are left out; flushes wait for their merge.
#[must_use]
pub fn due_rules(live: &Live, retention: &Retention, now_ms: i64) -> Vec<DueRule> {
    let quarantined = live.quarantined();
    let mut due: BTreeMap<(String, String), DueRule> = BTreeMap::new();
    for part in live.parts() {
        let (Some(day), Some((tenant, held))) = (part.day, part.tenants.first_key_value()) else {
            continue;
        };
        let day_end = i64::from(day).saturating_add(1).saturating_mul(DAY_MS);
        let goes_whole = expires_at(part, retention).is_some_and(|at| at <= now_ms);
        let has_rows = held.sample_times().is_some() || held.exemplar_times.is_some();
        if goes_whole || !has_rows || quarantined.contains(&part.ulid.to_string()) {
            continue;
        }
        for (rule, keep) in retention.rules_of(tenant) {
            let is_old = after(day_end.max(part.known_committed_at()), keep) <= now_ms;
            if !is_old || part.rules.contains(&rule.id) || keeper(part, live.locks()).is_some() {
                continue;
            }
            let entry = due.entry((rule.id.clone(), tenant.clone())).or_insert_with(|| DueRule {
                id: rule.id.clone(),
                mask: Mask {
                    id: rule.id.clone(),
                    number: 0,
                    tenant: tenant.clone(),
                    matchers: rule.matchers.iter().map(MatcherText::from).collect(),
                    from: i64::MIN,
                    to: now_ms.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)),
                    reason: format!("retention of `{}`", rule.selector),
                    who: "retention".to_owned(),
                    created_at: now_ms,
                },
                parts: BTreeSet::new(),
                bytes: 0,
            });
            entry.parts.insert(part.ulid);
            entry.bytes = entry.bytes.saturating_add(part.bytes());
        }
    }
    due.into_values().collect()
}
