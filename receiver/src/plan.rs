//! What a start does with the log that it finds: what staged parts have replaced, what is left to replay, where the new log begins.
//!
//! All that is done before writes are accepted, so it must never read the log as a whole.

use emberkeep_disk::is_out_of_space;
use emberkeep_wal::{Damage, DamageKind, SegmentRange, Survey};

use crate::clock_rule::ClockRule;
use crate::error::ReceiverError;
use crate::flush::Flush;
use crate::intake::{self, IntakeError};
use crate::log_keys::LogKeys;
use crate::metrics::{Metrics, ReasonLabels};
use crate::replay_state::ReplayState;
use crate::staging::StagedPart;

/// What a start learns of its log, and what is left to replay.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) survey: Survey,
    /// The first segment number that was never used.
    pub(crate) next_segment: u64,
}

impl Plan {
    /// Looks at the log of `flush`'s identity without reading it all. Segments that a staged part replaces are removed, not replayed.
    ///
    /// The clock rule learns the newest arrival of the staged parts and of the last segment. Arrivals are written in the order of the log,
    /// so an older segment holds a newer one only if the clock went back; that is learnt when it is replayed.
    pub(crate) fn make(
        flush: &Flush,
        staged: &[StagedPart],
        clock_rule: &ClockRule,
        metrics: &Metrics,
    ) -> Result<Self, ReceiverError> {
        let wal_id = flush.identity.lock().wal_id();
        let mut skip = Vec::new();
        for part in staged {
            clock_rule.record(part.manifest.newest_arrival);
            if part.manifest.wal.id == wal_id.to_string() {
                let replaced = SegmentRange {
                    from: part.manifest.wal.from,
                    to: part.manifest.wal.to - 1,
                };
                skip.push(replaced);
                // A crash came between the staging of this part and the removal of its segments.
                match flush.trim(replaced) {
                    // They are skipped below, and go when the part is committed.
                    Err(ReceiverError::Disk { source, .. }) if is_out_of_space(&source) => {}
                    trimmed => trimmed?,
                }
            }
        }
        let survey = emberkeep_wal::survey_sealed(
            &*flush.fs,
            &flush.wal_path,
            wal_id,
            &skip,
            Some(&LogKeys(flush.keys.clone())),
        )?;
        for damage in &survey.torn {
            report(damage, metrics);
        }
        // Most often a log that is too new is so at its end: then nothing is accepted that this program could not flush.
        if let Some(validator) = survey
            .newest_validator
            .filter(|newest| *newest > intake::VALIDATOR_VERSION)
        {
            let error = IntakeError::NewerValidator(validator);
            return Err(ReceiverError::Failed(format!("the end of the log: {error}")));
        }
        if let Some(arrival) = survey.newest_arrival {
            clock_rule.record(arrival);
        }
        let last = survey.last_segment.unwrap_or(0);
        let next_segment = (last + 1).max(flush.identity.lock().segment_floor());
        Ok(Self { survey, next_segment })
    }

    /// The state in which a receiver begins.
    pub(crate) fn state(&self) -> ReplayState {
        if self.survey.is_empty() {
            ReplayState::done()
        } else {
            ReplayState::running(self.survey.bytes())
        }
    }
}

/// Logs and counts what could not be read, once.
pub(crate) fn report(damage: &Damage, metrics: &Metrics) {
    if damage.seen_before {
        return;
    }
    let reason = kind(damage.kind);
    metrics.replay_damage.get_or_create(&ReasonLabels { reason }).inc();
    if damage.kind == DamageKind::Poison {
        // The log said so, with the reason.
        return;
    }
    tracing::warn!(
        kind = reason,
        segment = damage.segment,
        offset = damage.offset,
        bytes = damage.length,
        set_aside = %damage.set_aside.display(),
        "part of the write-ahead log could not be read"
    );
}

fn kind(kind: DamageKind) -> &'static str {
    match kind {
        DamageKind::TornTail => "torn_tail",
        DamageKind::Damaged => "damaged",
        DamageKind::Poison => "poison",
    }
}
