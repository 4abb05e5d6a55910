//! The quota: what lies in the store, live and condemned, must not grow beyond a size (off unless asked for).
//!
//! What is removed still takes space until the undelete window is over, so the quota looks ahead by that window: it removes now what
//! would be too much then. The oldest data goes first, whole parts, never what a lock keeps or what is younger than the minimum age of
//! retention. It has the same guard as retention: a quota that is set too small must not eat an archive.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use emberkeep_archive::{Catalog, Change, Live, PartEntry, Removal, apply, fresh_nonce};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tracing::warn;

use crate::guard::{Consent, Removing, UpkeepError};
use crate::locks;
use crate::retention::Retention;

/// What the quota looks at, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Files of live parts.
    pub live: u64,
    /// Files that are live no more and not yet deleted.
    pub condemned: u64,
    /// Live and condemned files when the undelete window is over, if it goes on as in the last one and nothing is removed now.
    pub ahead: u64,
    /// What is too much then.
    pub excess: u64,
}

/// What the quota removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    /// Number of parts.
    pub parts: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Bytes that are too much and that may not be removed: they are locked or too young.
    pub short: u64,
    /// The root that removed them; none when there was nothing to remove.
    pub root: Option<u64>,
}

/// Metrics of the quota.
#[derive(Debug, Clone, Default)]
pub struct QuotaMetrics {
    limit: Gauge<i64, AtomicI64>,
    used: Gauge<i64, AtomicI64>,
    ahead: Gauge<i64, AtomicI64>,
    short: Gauge<i64, AtomicI64>,
    refused: Gauge<i64, AtomicI64>,
    freed: Counter,
}

impl QuotaMetrics {
    /// Shows them. The encoder adds `_total` to counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "quota_limit_bytes",
            "The quota; 0 when there is none",
            self.limit.clone(),
        );
        registry.register(
            "quota_used_bytes",
            "Bytes of live and condemned files",
            self.used.clone(),
        );
        registry.register(
            "quota_ahead_bytes",
            "Bytes of live and condemned files to be expected when the undelete window is over",
            self.ahead.clone(),
        );
        registry.register(
            "quota_short_bytes",
            "Bytes over the quota that may not be removed because they are locked or too young",
            self.short.clone(),
        );
        registry.register(
            "quota_refused_bytes",
            "Bytes that the quota would remove but that are too much at once; `compactor retention --yes` confirms",
            self.refused.clone(),
        );
        registry.register("quota_removed_bytes", "Bytes removed by the quota", self.freed.clone());
    }

    fn know(&self, quota: u64, forecast: &Forecast) {
        self.limit.set(signed(quota));
        self.used.set(signed(forecast.live.saturating_add(forecast.condemned)));
        self.ahead.set(signed(forecast.ahead));
    }
}

/// What there is and what is to be expected.
#[must_use]
pub fn forecast(live: &Live, quota: u64, retention: &Retention, now_ms: i64) -> Forecast {
    let window_ms = i64::try_from(retention.undelete_window.as_millis()).unwrap_or(i64::MAX);
    let since = now_ms.saturating_sub(window_ms);
    let sum = |bytes: &mut dyn Iterator<Item = u64>| bytes.fold(0, u64::saturating_add);
    let live_bytes = live.bytes();
    let condemned = sum(&mut live.condemned().iter().map(|list| list.bytes));
    // What came in the last window, and what merges left behind in it: about that much will come in the next one.
    let grown = sum(&mut live
        .parts()
        .filter(|part| newest(part) > since)
        .map(|part| part.bytes()));
    let churn = live
        .condemned()
        .iter()
        .filter(|list| list.at > since && matches!(list.why, Removal::Compacted | Removal::Rewritten));
    let churn = sum(&mut churn.map(|list| list.bytes));
    let ahead = live_bytes.saturating_add(grown).saturating_add(churn);
    Forecast {
        live: live_bytes,
        condemned,
        ahead,
        excess: ahead.saturating_sub(quota),
    }
}

fn newest(part: &PartEntry) -> i64 {
    let exemplars = part.tenants.values().filter_map(|held| held.exemplar_times);
    exemplars.map(|span| span.max_time).fold(part.max_time, i64::max)
}

/// Removes the oldest parts until the quota will hold, all at once. They can be brought back during the undelete window.
///
/// # Errors
/// [`UpkeepError::TooMuch`] when it is more than the guard lets pass without a confirmation: nothing is removed; otherwise as
/// [`apply`].
pub async fn enforce(
    catalog: &Catalog,
    quota: u64,
    retention: &Retention,
    metrics: &QuotaMetrics,
    consent: Consent,
    now_ms: i64,
) -> Result<Freed, UpkeepError> {
    let mut freed = Freed::default();
    let nonce = fresh_nonce();
    let root = apply(catalog, &nonce, now_ms, |live| {
        let forecast = forecast(live, quota, retention, now_ms);
        metrics.know(quota, &forecast);
        let (change, chosen) = choose(live, forecast.excess, retention, now_ms);
        freed = chosen;
        let removing = Removing {
            what: "the quota",
            look: "compactor retention --dry-run",
            confirm: "compactor retention --yes",
            percent: retention.most_at_once_percent,
        };
        removing.check(live, freed.bytes, consent)?;
        Ok::<_, UpkeepError>((!change.is_empty()).then_some(change))
    });
    let root = match root.await {
        Ok(root) => root,
        Err(error) => {
            if let UpkeepError::TooMuch { bytes, .. } = &error {
                metrics.refused.set(signed(*bytes));
            }
            return Err(error);
        }
    };
    metrics.refused.set(0);
    metrics.short.set(signed(freed.short));
    if let Some(root) = &root {
        freed.root = Some(root.n);
        metrics.freed.inc_by(freed.bytes);
        warn!(
            parts = freed.parts,
            bytes = freed.bytes,
            quota,
            root = root.n,
            "the quota removed the oldest data; `compactor rollback` brings it back during the undelete window"
        );
    }
    Ok(freed)
}

/// The parts that the quota would remove now, the oldest first.
#[must_use]
pub fn candidates(live: &Live, excess: u64, retention: &Retention, now_ms: i64) -> Vec<Arc<PartEntry>> {
    let youngest = now_ms.saturating_sub(i64::try_from(retention.minimum_age().as_millis()).unwrap_or(i64::MAX));
    let mut parts: Vec<_> = live
        .parts()
        .filter(|part| newest(part).max(part.known_committed_at()) <= youngest && !locks::keeps(live.locks(), part))
        .cloned()
        .collect();
    parts.sort_by_key(|part| (newest(part), part.ulid));
    let mut bytes = 0_u64;
    let is_needed = |part: &Arc<PartEntry>| {
        let is_short = bytes < excess;
        bytes = bytes.saturating_add(part.bytes());
        is_short
    };
    parts.into_iter().take_while(is_needed).collect()
}

fn choose(live: &Live, excess: u64, retention: &Retention, now_ms: i64) -> (Change, Freed) {
    let (mut change, mut freed) = (Change::default(), Freed::default());
    for part in candidates(live, excess, retention, now_ms) {
        change.removing(Removal::Quota, part.ulid);
        freed.parts += 1;
        freed.bytes = freed.bytes.saturating_add(part.bytes());
    }
    freed.short = excess.saturating_sub(freed.bytes);
    (change, freed)
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
