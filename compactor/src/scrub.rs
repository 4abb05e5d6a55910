//! The scrub: files are read again on a schedule, within a budget, so that damage is found while there is something to be done.
//!
//! The part that waits longest is read first. One that is not what it was is quarantined: nothing merges it, its readers fail and say
//! so, and `status` names it; the rest of the archive goes on. A store that does not answer proves nothing about a part.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use emberkeep_archive::{
    ArchiveError, Catalog, Change, FileKind, PartEntry, Quarantined, ScrubState, apply, check_file, file_stamp,
    fresh_nonce,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tracing::error;

use crate::guard::UpkeepError;
use crate::merge::read_rows;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Metrics of the scrub.
#[derive(Debug, Clone, Default)]
pub struct ScrubMetrics {
    parts: Counter,
    bytes: Counter,
    damaged: Counter,
    oldest: Gauge<f64, AtomicU64>,
    waiting: Gauge<i64, AtomicI64>,
}

impl ScrubMetrics {
    /// Shows them. The encoder adds `_total` to counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("scrub_parts", "Parts that were read again", self.parts.clone());
        registry.register("scrub_bytes", "Bytes that were read again", self.bytes.clone());
        registry.register(
            "scrub_damaged_parts",
            "Parts that were not what they were",
            self.damaged.clone(),
        );
        registry.register(
            "scrub_oldest_unverified_age_seconds",
            "Time since the live part that waits longest was read again, or was written",
            self.oldest.clone(),
        );
        registry.register(
            "scrub_unverified_parts",
            "Live parts that were never read again",
            self.waiting.clone(),
        );
    }
}

/// What a scrub did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Parts that were read.
    pub parts: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Parts that are damaged, and how.
    pub damaged: Vec<(String, String)>,
    /// Since when the part that waits longest does, milliseconds since 1970.
    pub oldest_unverified: Option<i64>,
}

impl Scrubbed {
    /// Adds what was read after it.
    pub fn add(&mut self, later: Self) {
        self.parts += later.parts;
        self.bytes = self.bytes.saturating_add(later.bytes);
        self.damaged.extend(later.damaged);
        self.oldest_unverified = later.oldest_unverified;
    }
}

/// A budget of bytes that grows with time and never beyond a day's.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    per_day: u64,
    left: u64,
    at: i64,
}

impl Budget {
    /// A budget of so many bytes per day, nothing of which is there yet.
    #[must_use]
    pub fn new(per_day: u64, now_ms: i64) -> Self {
        Self {
            per_day,
            left: 0,
            at: now_ms,
        }
    }

    /// What may be read now.
    pub fn left(&mut self, now_ms: i64) -> u64 {
        let passed = now_ms.saturating_sub(self.at).clamp(0, DAY_MS);
        let more = u128::from(self.per_day) * u128::from(passed.unsigned_abs()) / u128::from(DAY_MS.unsigned_abs());
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        // Fractions of a byte are not lost to frequent questions.
        if more > 0 || passed == 0 {
            self.left = self.left.saturating_add(more).min(self.per_day);
            self.at = now_ms;
        }
        self.left
    }

    /// What was read. A part is read whole: what is more than there was is taken from the next days.
    pub fn spend(&mut self, bytes: u64, now_ms: i64) {
        let short = bytes.saturating_sub(self.left);
        self.left = self.left.saturating_sub(bytes);
        if let Some(wait) =
            (u128::from(short) * u128::from(DAY_MS.unsigned_abs())).checked_div(u128::from(self.per_day))
        {
            self.at = now_ms.saturating_add(i64::try_from(wait).unwrap_or(i64::MAX));
        }
    }
}

/// Reads the parts that wait longest until so many bytes are read; at least one part when `bytes` is more than 0. What was found is kept
/// in the archive, so that the next one goes on from there.
///
/// # Errors
/// The store fails, or a key is missing: what was read until then is kept.
pub async fn scrub(
    catalog: &Catalog,
    bytes: u64,
    metrics: &ScrubMetrics,
    now_ms: i64,
) -> Result<Scrubbed, UpkeepError> {
    let live = catalog.live().await?;
    let quarantined = live.quarantined();
    let mut state = ScrubState::load(catalog).await?;
    let mut waiting: Vec<Arc<PartEntry>> = live
        .parts()
        .filter(|part| !quarantined.contains(&part.ulid.to_string()))
        .cloned()
        .collect();
    waiting.sort_by_key(|part| (state.waits_since(part), part.ulid));
    let mut scrubbed = Scrubbed::default();
    let mut failure = None;
    for part in &waiting {
        if scrubbed.bytes >= bytes {
            break;
        }
        // For all that is known it is as good as ever: it waits for its key, and the others are read.
        if let Some(error) = missing_key(catalog, part).await {
            failure = Some(error);
            continue;
        }
        match check_part(catalog, part).await {
            Ok(()) => {
                state.verified.insert(part.ulid.to_string(), now_ms);
            }
            Err(damage @ (ArchiveError::Corrupt { .. } | ArchiveError::NewerVersion { .. })) => {
                let reason = damage.to_string();
                if quarantine(catalog, part, &reason, now_ms).await? {
                    metrics.damaged.inc();
                    error!(part = %part.ulid, %reason, "a part is damaged and is quarantined: its readers fail, nothing merges it");
                    scrubbed.damaged.push((part.ulid.to_string(), reason));
                }
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
        scrubbed.parts += 1;
        scrubbed.bytes = scrubbed.bytes.saturating_add(part.bytes());
    }
    if scrubbed.parts > 0 {
        state.save(catalog, now_ms).await?;
    }
    let is_whole = |part: &Arc<PartEntry>| !scrubbed.damaged.iter().any(|(name, _)| *name == part.ulid.to_string());
    waiting.retain(is_whole);
    scrubbed.oldest_unverified = state.oldest_unverified(waiting.iter());
    metrics.parts.inc_by(scrubbed.parts);
    metrics.bytes.inc_by(scrubbed.bytes);
    know(metrics, &state, &waiting, now_ms);
    match failure {
        Some(error) => Err(error.into()),
        None => Ok(scrubbed),
    }
}

/// Shows how far the scrub is, without reading a part.
///
/// # Errors
/// As [`Catalog::refresh`].
pub async fn show(catalog: &Catalog, metrics: &ScrubMetrics, now_ms: i64) -> Result<(), UpkeepError> {
    let live = catalog.live().await?;
    let state = ScrubState::load(catalog).await?;
    let parts: Vec<Arc<PartEntry>> = live.parts().cloned().collect();
    know(metrics, &state, &parts, now_ms);
    Ok(())
}

fn know(metrics: &ScrubMetrics, state: &ScrubState, parts: &[Arc<PartEntry>], now_ms: i64) {
    let age = state
        .oldest_unverified(parts.iter())
        .map_or(0, |oldest| now_ms.saturating_sub(oldest).max(0));
    metrics.oldest.set(age as f64 / 1000.0);
    let never = parts.iter().filter(|part| state.verified_at(part).is_none()).count();
    metrics.waiting.set(i64::try_from(never).unwrap_or(i64::MAX));
}

/// Why a part cannot be read, when it is for its key alone. What else is wrong with it is found when it is read.
async fn missing_key(catalog: &Catalog, part: &PartEntry) -> Option<ArchiveError> {
    let table = part.find(FileKind::Series)?;
    match file_stamp(&**catalog.store(), &table.path).await {
        Err(error @ ArchiveError::Key { .. }) => Some(error),
        _ => None,
    }
}

/// Reads all files of a part: their bytes, then their rows, which must have the digests that were noted when they were merged.
async fn check_part(catalog: &Catalog, part: &PartEntry) -> Result<(), ArchiveError> {
    for file in &part.files {
        check_file(&**catalog.store(), file).await?;
    }
    let rows = read_rows(Arc::clone(catalog.store()), part).await?;
    rows.map_err(|reason| ArchiveError::Corrupt {
        object: format!("part {}", part.ulid),
        reason,
    })
}

/// Notes the damage in the next root; false when the part is live no more, or is known already.
async fn quarantine(catalog: &Catalog, part: &PartEntry, reason: &str, now_ms: i64) -> Result<bool, UpkeepError> {
    let name = part.ulid.to_string();
    let nonce = fresh_nonce();
    let root = apply(catalog, &nonce, now_ms, |live| {
        let is_live = live.parts().any(|live| live.ulid == part.ulid);
        let is_new = is_live && !live.quarantined().contains(&name);
        Ok::<_, UpkeepError>(is_new.then(|| Change {
            quarantined: vec![Quarantined {
                part: name.clone(),
                reason: reason.to_owned(),
                at: now_ms,
            }],
            ..Change::default()
        }))
    });
    Ok(root.await?.is_some())
}

#[cfg(test)]
mod tests;
