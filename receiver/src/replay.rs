//! Replay: the log of an earlier life becomes frozen generations, before writes are accepted.
//!
//! Segments that a staged part replaces are removed, not replayed. What is left is at most what a running head may hold, because writes
//! are refused above that bound; it is cut into generations at segment borders, and the flush loop stages them. Nothing is staged here:
//! the log blames a death in the middle of a record on that record. A record that cannot be replayed is set aside by the log, reported
//! here, and never tried for ever.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use emberkeep_disk::is_out_of_space;
use emberkeep_proto::content::WriteProtocol;
use emberkeep_proto::snappy;
use emberkeep_wal::{DamageKind, Position, Protocol, RecordView, Recovery, RecoveryOptions, SegmentRange};

use crate::clock_rule::ClockRule;
use crate::error::ReceiverError;
use crate::flush::Flush;
use crate::generations::{Frozen, Generation};
use crate::intake::{self, IntakeError};
use crate::metrics::{Metrics, ReasonLabels};
use crate::staging::StagedPart;

/// What a start found in the log.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// What is not staged, oldest first.
    pub(crate) frozen: Vec<Frozen>,
    /// The first segment number that was never used.
    pub(crate) next_segment: u64,
}

struct Replay {
    /// Generations and the segment that each begins with.
    generations: Vec<(u64, Arc<Generation>)>,
    /// The segment of the record before.
    segment: u64,
    flush_bytes: usize,
    decoded: Vec<u8>,
    failure: Option<ReceiverError>,
}

/// Replays the log of `flush`'s identity. Blocking; ends early when `stop` becomes true.
pub(crate) fn replay(
    flush: &Flush,
    flush_bytes: usize,
    staged: &[StagedPart],
    clock_rule: &ClockRule,
    metrics: &Metrics,
    stop: &AtomicBool,
) -> Result<Replayed, ReceiverError> {
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
    let mut replay = Replay {
        generations: Vec::new(),
        segment: 0,
        flush_bytes,
        decoded: Vec::new(),
        failure: None,
    };
    let options = RecoveryOptions {
        skip: &skip,
        stop: Some(stop),
    };
    let recovery = emberkeep_wal::recover(&*flush.fs, &flush.wal_path, wal_id, options, &mut |position, record| {
        replay.record(position, &record)
    })?;
    if let Some(failure) = replay.failure {
        return Err(failure);
    }
    report(&recovery, metrics);
    metrics.replayed_records.inc_by(recovery.records);
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
    Ok(Replayed {
        frozen: freeze(replay.generations, recovery.segments),
        next_segment,
    })
}

/// Gives each generation the segments up to the next one. Empty and torn segments belong to a range, too: they go with it.
fn freeze(generations: Vec<(u64, Arc<Generation>)>, all: Option<SegmentRange>) -> Vec<Frozen> {
    let Some(all) = all else { return Vec::new() };
    let mut generations = generations;
    match generations.first_mut() {
        Some((from, _)) => *from = all.from,
        None => generations.push((all.from, Arc::new(Generation::new()))),
    }
    let ends: Vec<u64> = generations
        .iter()
        .skip(1)
        .map(|(from, _)| from - 1)
        .chain([all.to])
        .collect();
    let frozen = generations.into_iter().zip(ends);
    frozen
        .map(|((from, generation), to)| Frozen {
            generation,
            segments: Some(SegmentRange { from, to }),
        })
        .collect()
}

impl Replay {
    /// Takes one record in. An error text means that the record itself is bad and must be set aside.
    fn record(&mut self, position: Position, record: &RecordView<'_>) -> Result<(), String> {
        if self.failure.is_some() {
            return Ok(());
        }
        // The limit of today does not bind what was acknowledged yesterday; the log bounds a record's size.
        let len = snappy::declared_len(record.body).map_err(|e| e.to_string())?;
        snappy::decompress_capped(record.body, len, &mut self.decoded).map_err(|e| e.to_string())?;
        let starts_segment = position.segment != self.segment;
        self.segment = position.segment;
        let is_full = |(_, open): &(u64, Arc<Generation>)| open.table.bytes() >= self.flush_bytes;
        if self
            .generations
            .last()
            .is_none_or(|last| starts_segment && is_full(last))
        {
            self.generations.push((position.segment, Arc::new(Generation::new())));
        }
        let Some((_, open)) = self.generations.last() else { return Ok(()) };
        let request = intake::Request {
            tenant: &record.tenant,
            protocol: wire_protocol(record.protocol),
            body: &self.decoded,
            table: &open.table,
        };
        let intake = match intake::replay(request, &record.verdict) {
            Ok(intake) => intake,
            Err(error @ IntakeError::NewerValidator(_)) => {
                // Nothing is wrong with the record: this program is too old for it.
                self.failure = Some(ReceiverError::Failed(format!("log record at {position}: {error}")));
                return Ok(());
            }
            Err(error) => return Err(error.to_string()),
        };
        open.append(&record.tenant, &intake.batch, &open.table, record.arrival);
        Ok(())
    }
}

/// The wire protocol of a record.
pub(crate) fn wire_protocol(protocol: Protocol) -> WriteProtocol {
    match protocol {
        Protocol::V1 => WriteProtocol::V1,
        Protocol::V2 => WriteProtocol::V2,
    }
}

/// Logs and counts what could not be read.
pub(crate) fn report(recovery: &Recovery, metrics: &Metrics) {
    for damage in recovery.damage.iter().filter(|damage| !damage.seen_before) {
        let reason = kind(damage.kind);
        metrics.replay_damage.get_or_create(&ReasonLabels { reason }).inc();
        if damage.kind == DamageKind::Poison {
            // The log said so, with the reason.
            continue;
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
}

fn kind(kind: DamageKind) -> &'static str {
    match kind {
        DamageKind::TornTail => "torn_tail",
        DamageKind::Damaged => "damaged",
        DamageKind::Poison => "poison",
    }
}
