//! Replay: the log of an earlier life becomes frozen generations, before writes are accepted.
//!
//! Segments that a staged part replaces are removed, not replayed. What is replayed is staged as soon as it fills a generation, so
//! memory stays within the bound of a running head. A record that cannot be replayed is set aside by the log, reported here, and
//! never tried for ever.

use std::sync::Arc;

use emberkeep_proto::content::WriteProtocol;
use emberkeep_proto::snappy;
use emberkeep_wal::{DamageKind, Position, Protocol, RecordView, Recovery, SegmentRange};

use crate::clock_rule::ClockRule;
use crate::error::ReceiverError;
use crate::flush::Flush;
use crate::generations::{Frozen, Generation};
use crate::intake;
use crate::metrics::{Metrics, ReasonLabels};
use crate::settings::Settings;
use crate::staging::StagedPart;

/// What a start found on local disk.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// Staged parts, in log order: resumed ones first, then those staged by the replay.
    pub(crate) staged: Vec<StagedPart>,
    /// The rest, still in memory.
    pub(crate) frozen: Option<Frozen>,
    /// The first segment number that was never used.
    pub(crate) next_segment: u64,
}

struct Replay<'a> {
    flush: &'a Flush,
    settings: &'a Settings,
    staged: Vec<StagedPart>,
    open: Arc<Generation>,
    /// Segments that `open` holds so far.
    segments: Option<SegmentRange>,
    decoded: Vec<u8>,
    failure: Option<ReceiverError>,
    /// Segments that were staged meanwhile. They go when recovery is done with them: it may still set bytes of them aside.
    replaced: Vec<SegmentRange>,
}

/// Replays the log of `flush`'s identity. Blocking.
pub(crate) fn replay(
    flush: &Flush,
    settings: &Settings,
    staged: Vec<StagedPart>,
    clock_rule: &ClockRule,
    metrics: &Metrics,
) -> Result<Replayed, ReceiverError> {
    let wal_id = flush.identity.lock().wal_id();
    let mut skip = Vec::new();
    for part in staged.iter().filter(|part| part.manifest.wal.id == wal_id.to_string()) {
        clock_rule.record(part.manifest.newest_arrival);
        skip.push(SegmentRange {
            from: part.manifest.wal.from,
            to: part.manifest.wal.to - 1,
        });
    }
    for &range in &skip {
        // A crash came between the staging of this part and the removal of its segments.
        flush.trim(range)?;
    }
    let mut replay = Replay {
        flush,
        settings,
        staged,
        open: Arc::new(Generation::new()),
        segments: None,
        decoded: Vec::new(),
        failure: None,
        replaced: Vec::new(),
    };
    let options = emberkeep_wal::RecoveryOptions {
        skip: &skip,
        stop: None,
    };
    let recovery = emberkeep_wal::recover(&*flush.fs, &flush.wal_path, wal_id, options, &mut |position, record| {
        replay.record(position, &record)
    })?;
    if let Some(failure) = replay.failure {
        return Err(failure);
    }
    for range in replay.replaced {
        flush.trim(range)?;
    }
    report(&recovery);
    metrics.replayed_records.inc_by(recovery.records);
    for damage in recovery.damage.iter().filter(|damage| !damage.seen_before) {
        metrics
            .replay_damage
            .get_or_create(&ReasonLabels {
                reason: kind(damage.kind),
            })
            .inc();
    }
    if recovery.records > 0 {
        tracing::info!(
            records = recovery.records,
            bytes = recovery.bytes,
            "write-ahead log replayed"
        );
    }
    if let Some(arrival) = recovery.newest_arrival {
        clock_rule.record(arrival);
    }
    let last = recovery.last_segment.unwrap_or(0);
    let next_segment = (last + 1).max(flush.identity.lock().segment_floor());
    // Empty and torn segments belong to the range, too: they go with it.
    let range = match (replay.segments, recovery.segments) {
        (Some(open), Some(all)) => Some(SegmentRange {
            from: open.from,
            to: all.to,
        }),
        (None, Some(all)) => Some(all),
        (open, None) => open,
    };
    let frozen = range.map(|segments| Frozen {
        generation: replay.open,
        segments: Some(segments),
    });
    Ok(Replayed {
        staged: replay.staged,
        frozen,
        next_segment,
    })
}

impl Replay<'_> {
    /// Takes one record in. An error text means that the record itself is bad and must be set aside.
    fn record(&mut self, position: Position, record: &RecordView<'_>) -> Result<(), String> {
        if self.failure.is_some() {
            return Ok(());
        }
        let at_new_segment = self.segments.is_some_and(|s| s.to != position.segment);
        if at_new_segment && self.open.table.bytes() >= self.settings.flush_bytes {
            self.stage(position.segment - 1);
        }
        // The limit of today does not bind what was acknowledged yesterday; the log bounds a record's size.
        let len = snappy::declared_len(record.body).map_err(|e| e.to_string())?;
        snappy::decompress_capped(record.body, len, &mut self.decoded).map_err(|e| e.to_string())?;
        let intake = intake::replay(wire_protocol(record.protocol), &self.decoded, &record.verdict)
            .map_err(|e| e.to_string())?;
        self.open.append(&record.tenant, &intake.batch, record.arrival);
        let from = self.segments.map_or(position.segment, |s| s.from);
        self.segments = Some(SegmentRange {
            from,
            to: position.segment,
        });
        Ok(())
    }

    /// Stages what is open; its range ends with the segment before the one that begins now.
    fn stage(&mut self, to: u64) {
        let Some(open) = self.segments.take() else { return };
        let segments = SegmentRange { from: open.from, to };
        let generation = std::mem::replace(&mut self.open, Arc::new(Generation::new()));
        match self.flush.stage(&generation, segments) {
            Ok(flushed) => {
                self.staged.extend(flushed.part);
                self.replaced.push(segments);
            }
            Err(error) => self.failure = Some(error),
        }
    }
}

/// The wire protocol of a record.
pub(crate) fn wire_protocol(protocol: Protocol) -> WriteProtocol {
    match protocol {
        Protocol::V1 => WriteProtocol::V1,
        Protocol::V2 => WriteProtocol::V2,
    }
}

/// Logs what could not be read.
pub(crate) fn report(recovery: &Recovery) {
    for damage in recovery.damage.iter().filter(|damage| !damage.seen_before) {
        tracing::warn!(
            kind = kind(damage.kind),
            segment = damage.segment,
            offset = damage.offset,
            bytes = damage.length,
            set_aside = %damage.set_aside.display(),
            "part of the write-ahead log could not be read"
        );
    }
}

fn kind(kind: DamageKind) -> &'static str {
    match kind {
        DamageKind::TornTail => "torn_tail",
        DamageKind::Damaged => "damaged",
        DamageKind::Poison => "poison",
    }
}
