//! What passes remember of a source: which time is compared, which is suspected, and the counters it showed (`docs/formats/heal.md`).
//!
//! Losing it loses no knowledge that cannot be found again: everything is compared anew. So a file that cannot be understood is an error
//! only when it is of a newer version.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use emberkeep_archive::{CatalogView, PartEntry};
use emberkeep_disk::{RealFs, create_dir_all_durable, read_to_vec, replace_durable};
use emberkeep_model::{TenantId, TimeRange};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::said::Said;
use super::{HealError, RangeSet, Span, Suspect, Why};

const VERSION: u64 = 1;

/// A file of more is none of ours.
const BYTES_MAX: u64 = 16 << 20;

/// A round over everything begins no sooner after the one before.
const ROUND_MS: i64 = 7 * 86_400_000;

/// How far a sender may be behind with what it counts, where it does not say what it has sent, milliseconds.
const BEHIND_MS: i64 = 7_200_000;

/// The state of one source. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealState {
    version: u64,
    /// The source, for people.
    pub source: String,
    /// When it was asked last.
    pub looked_at: Option<i64>,
    /// When its process was started.
    pub started: Option<i64>,
    /// What it had sent when it was asked last.
    pub sent_until: Option<i64>,
    /// How long it keeps what it has.
    pub retention: Option<i64>,
    /// Rows that it gave up, by metric and labels.
    pub lost_counts: BTreeMap<String, f64>,
    /// Time that is suspected and not compared since.
    pub waiting: RangeSet,
    /// Time that was compared in this round.
    pub checked: RangeSet,
    /// When this round over everything began.
    pub round_began: Option<i64>,
    /// Up to when holes in `up` were looked for in this round.
    pub covered_until: Option<i64>,
    /// Parts that were quarantined when it was looked last.
    pub quarantined: BTreeSet<String>,
    /// When a pass ended well.
    pub last_pass: Option<i64>,
}

impl HealState {
    /// Reads it; a new one when there is none.
    ///
    /// # Errors
    /// A file that cannot be read, or of a newer version.
    pub fn load(path: &Path, source: &str) -> Result<Self, HealError> {
        let fault = |source| HealError::State {
            path: path.to_owned(),
            source,
        };
        let new = || Self {
            version: VERSION,
            source: source.to_owned(),
            ..Self::default()
        };
        let bytes = match read_to_vec(&RealFs, path, BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(new()),
            Err(error) => return Err(fault(error)),
        };
        let version = serde_json::from_slice::<Version>(&bytes).ok().map(|of| of.version);
        if let Some(newer) = version.filter(|version| *version > VERSION) {
            return Err(fault(io::Error::other(format!(
                "it has version {newer}, this program knows {VERSION}"
            ))));
        }
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(state) if state.source == source => Ok(state),
            Ok(_) => Ok(new()),
            Err(error) => {
                warn!(path = %path.display(), %error, "the state of healing is damaged; everything is compared anew");
                Ok(new())
            }
        }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn save(&self, path: &Path) -> Result<(), HealError> {
        let write = || {
            if let Some(directory) = path.parent() {
                create_dir_all_durable(&RealFs, directory)?;
            }
            replace_durable(&RealFs, path, &serde_json::to_vec(self)?)
        };
        write().map_err(|source| HealError::State {
            path: path.to_owned(),
            source,
        })
    }

    /// When the source's retention begins to take what waits.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        Some(self.waiting.start()?.saturating_add(self.retention?))
    }

    /// What the source's own words make suspect since it was asked last, up to now; then they are remembered.
    pub(super) fn learn(&mut self, said: &Said, now_ms: i64) -> Vec<Suspect> {
        let mut suspects = Vec::new();
        // What was given up was not sent yet when it was asked last.
        let since = match (self.sent_until, self.looked_at) {
            (Some(sent), _) => Some(sent),
            (None, Some(looked)) => Some(looked.saturating_sub(BEHIND_MS)),
            // Asked for the first time: it counts since it was started.
            (None, None) => said.started_ms.map(|started| started.saturating_sub(BEHIND_MS)),
        };
        let before = |counter: &String| self.lost_counts.get(counter).copied().unwrap_or(0.0);
        // A counter that fell began anew.
        let has_lost = said
            .lost
            .iter()
            .any(|(counter, value)| *value != before(counter) && *value > 0.0);
        let mut suspect = |why| {
            let range = TimeRange {
                start: since.unwrap_or(i64::MIN),
                end: now_ms,
            };
            if !range.is_empty() {
                let span = Span::from(range);
                suspects.push(Suspect { span, why });
            }
        };
        if has_lost {
            suspect(Why::SenderLost);
        }
        if self.started.is_some() && said.started_ms.is_some() && self.started != said.started_ms {
            suspect(Why::SenderRestarted);
        }
        self.looked_at = Some(now_ms);
        self.started = said.started_ms.or(self.started);
        self.sent_until = said.sent_until_ms;
        self.retention = said.retention_ms.or(self.retention);
        self.lost_counts = said.lost.clone();
        suspects
    }

    /// Notes that a pass over what the source holds ended well. When all of it was compared and the round is old enough, another begins.
    pub(super) fn passed(&mut self, held: TimeRange, now_ms: i64) {
        self.last_pass = Some(now_ms);
        let began = *self.round_began.get_or_insert(now_ms);
        let left = RangeSet::of(held).without(&self.checked);
        if left.is_empty() && now_ms.saturating_sub(began) >= ROUND_MS {
            self.checked = RangeSet::default();
            self.covered_until = None;
            self.round_began = Some(now_ms);
        }
    }

    /// The time of parts that were set aside since the last look: nobody can read their rows, so they are missing.
    pub(super) fn learn_quarantined(
        &mut self,
        quarantined: &HashSet<String>,
        view: &CatalogView,
        tenant: &TenantId,
    ) -> Vec<Suspect> {
        let named = |part: &Arc<PartEntry>| part.ulid.to_string();
        let new = view.parts.iter().filter(|part| {
            let name = named(part);
            quarantined.contains(&name) && !self.quarantined.contains(&name)
        });
        let times = new.filter_map(|part| part.tenants.get(tenant.as_str())?.sample_times());
        let suspects = times.map(|times| Suspect {
            span: TimeRange::from_inclusive(times.min_time, times.max_time).into(),
            why: Why::Quarantined,
        });
        let suspects = suspects.collect();
        self.quarantined = quarantined.iter().cloned().collect();
        suspects
    }
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}
