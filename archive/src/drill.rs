//! What drills have proven, kept with the archive (`docs/formats/drills.md`).
//!
//! Whoever asks when a restore was last proven must get the answer after a restart, on another machine, and when the drill was run by
//! hand. Losing the object costs the history and starts the wait for the next drill anew, and nothing else.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::catalog::Catalog;
use crate::envelope::CatalogObject;
use crate::newest::{load_newest, save_newest};
use crate::{ArchiveError, fresh_nonce, names};

/// Drills that are remembered one by one.
const KEPT_DRILLS: usize = 32;

/// Longest reason that is kept, in characters.
const REASON_CHARS: usize = 1000;

/// `_archive/drills/<ULID>`: the last drills.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillState {
    /// Random text of the attempt that created it.
    pub nonce: String,
    /// When it was made, milliseconds since 1970.
    pub created_at: i64,
    /// When the last drill that proved a restore had ended, milliseconds since 1970; none before the first.
    pub last_proven: Option<i64>,
    /// Drills that proved a restore, ever.
    pub proven: u64,
    /// Drills that did not, ever.
    pub failed: u64,
    /// The last drills, the oldest first.
    pub drills: Vec<DrillRecord>,
}

impl CatalogObject for DrillState {
    const VERSION: u64 = 1;
}

/// One drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillRecord {
    /// When it had ended, milliseconds since 1970.
    pub at: i64,
    /// How long it took, milliseconds.
    pub duration_ms: u64,
    /// What came out.
    pub outcome: DrillOutcome,
    /// Why it was not proven, in words; empty when it was.
    pub reason: String,
    /// What the random choices were made with.
    pub seed: u64,
    /// The root that was restored from; 0 when it did not come so far.
    pub root: u64,
    /// Whose data; empty when it did not come so far.
    pub tenant: String,
    /// First moment of the window, milliseconds since 1970.
    pub from: i64,
    /// First moment after it.
    pub to: i64,
    /// Which series, as a selector; empty = all.
    pub selector: String,
    /// Floats and histograms that were compared.
    pub rows: u64,
    /// Bytes of the blocks.
    pub bytes: u64,
    /// How long it took until they were there and, when one was started, a Prometheus answered from them, milliseconds.
    pub restore_ms: u64,
    /// Version of the Prometheus that was started; empty = none was.
    pub prometheus: String,
    /// Rows that the live source had as well; none when it was not asked, or holds that time no more.
    pub source_rows: Option<u64>,
}

/// What came out of a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrillOutcome {
    /// The window was restored, and all that was compared is equal.
    Proven,
    /// Something differs.
    Different,
    /// It could not be carried through, so nothing is proven.
    Error,
}

impl DrillState {
    /// The newest state; of no drill when there is none, or none that can be read.
    ///
    /// # Errors
    /// As [`Catalog::refresh`]; a damaged state is none.
    pub async fn load(catalog: &Catalog) -> Result<Self, ArchiveError> {
        let newest = load_newest(catalog, &names::drill_states()).await?;
        Ok(newest.unwrap_or_default())
    }

    /// Adds a drill to the newest state, and writes that. Of two that end in the same moment one may be forgotten.
    ///
    /// # Errors
    /// As [`DrillState::load`].
    pub async fn record(catalog: &Catalog, drill: DrillRecord, now_ms: i64) -> Result<Self, ArchiveError> {
        let mut state = Self::load(catalog).await?;
        state.add(drill);
        (state.nonce, state.created_at) = (fresh_nonce(), now_ms);
        let path = names::drill_state(&Ulid::generate().to_string());
        save_newest(catalog, (&names::drill_states(), &path), &state, &state.nonce).await?;
        Ok(state)
    }

    fn add(&mut self, mut drill: DrillRecord) {
        if drill.reason.chars().count() > REASON_CHARS {
            drill.reason = drill.reason.chars().take(REASON_CHARS).collect();
        }
        match drill.outcome {
            DrillOutcome::Proven => {
                self.proven = self.proven.saturating_add(1);
                self.last_proven = Some(self.last_proven.map_or(drill.at, |before| before.max(drill.at)));
            }
            DrillOutcome::Different | DrillOutcome::Error => self.failed = self.failed.saturating_add(1),
        }
        self.drills.push(drill);
        let surplus = self.drills.len().saturating_sub(KEPT_DRILLS);
        self.drills.drain(..surplus);
    }

    /// The last drill, whatever came out.
    #[must_use]
    pub fn last(&self) -> Option<&DrillRecord> {
        self.drills.last()
    }

    /// Time that the remembered drills took to restore a gigabyte (2^30 bytes) of blocks, seconds; none before the first that proved
    /// something. What takes the same time however much there is would drown everything else in small drills, so only those count that
    /// are at least a quarter as large as the largest.
    #[must_use]
    pub fn seconds_per_gigabyte(&self) -> Option<f64> {
        let proven = || self.drills.iter().filter(|drill| drill.outcome == DrillOutcome::Proven);
        let largest = proven().map(|drill| drill.bytes).max()?;
        let large = proven().filter(|drill| drill.bytes >= largest / 4);
        let (ms, bytes) = large.fold((0_u64, 0_u64), |(ms, bytes), drill| {
            (ms.saturating_add(drill.restore_ms), bytes.saturating_add(drill.bytes))
        });
        (bytes > 0).then(|| ms as f64 / 1000.0 * (1_u64 << 30) as f64 / bytes as f64)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::StoreConfig;

    fn drill(at: i64, outcome: DrillOutcome) -> DrillRecord {
        DrillRecord {
            at,
            duration_ms: 5000,
            outcome,
            reason: "x".repeat(5000),
            seed: 7,
            root: 3,
            tenant: "anonymous".to_owned(),
            from: 0,
            to: 7_200_000,
            selector: String::new(),
            rows: 10,
            bytes: 1 << 20,
            restore_ms: 500,
            prometheus: String::new(),
            source_rows: None,
        }
    }

    #[tokio::test]
    async fn what_was_proven_stays_known_whatever_fails_after_it() {
        let scratch = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(StoreConfig::directory(scratch.path()).open().unwrap());
        assert_eq!(DrillState::load(&catalog).await.unwrap(), DrillState::default());
        for at in 1..=40 {
            let outcome = match at {
                5 => DrillOutcome::Proven,
                _ => DrillOutcome::Different,
            };
            DrillState::record(&catalog, drill(at, outcome), at).await.unwrap();
        }
        let state = DrillState::load(&catalog).await.unwrap();
        assert_eq!((state.last_proven, state.proven, state.failed), (Some(5), 1, 39));
        assert_eq!(state.drills.len(), KEPT_DRILLS);
        assert_eq!(state.last().unwrap().at, 40);
        assert_eq!(state.last().unwrap().reason.len(), REASON_CHARS);
        let kept = std::fs::read_dir(scratch.path().join("_archive/drills")).unwrap();
        assert_eq!(kept.count(), 2);
    }

    #[test]
    fn the_pace_is_that_of_drills_that_proved_something() {
        let mut state = DrillState::default();
        assert_eq!(state.seconds_per_gigabyte(), None);
        state.add(drill(1, DrillOutcome::Error));
        assert_eq!(state.seconds_per_gigabyte(), None);
        state.add(drill(2, DrillOutcome::Proven));
        // Half a second for a megabyte.
        assert_eq!(state.seconds_per_gigabyte(), Some(512.0));
        // A small one that took as long says nothing.
        let small = drill(3, DrillOutcome::Proven);
        state.add(DrillRecord { bytes: 10, ..small });
        assert_eq!(state.seconds_per_gigabyte(), Some(512.0));
    }
}
