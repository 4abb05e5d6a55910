//! The search for a record that makes its generation's flush fail for what it holds.
//!
//! Each record of the generation's segments is flushed alone, in memory; the log sets the failing ones aside and reports them, and
//! the rest becomes a new generation. Without this one record would keep all later data out of the archive for ever.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use emberkeep_archive::{ArchiveError, PartInfo, PartOrigin, PartSettings, PartWriter, Ulid, WalRange};
use emberkeep_proto::snappy;
use emberkeep_wal::{Purpose, RecordView, RecoveryOptions, SegmentRange};

use crate::error::ReceiverError;
use crate::flush::{Flush, write_rows};
use crate::generations::Generation;
use crate::intake;
use crate::log_keys::LogKeys;
use crate::metrics::Metrics;
use crate::plan::report;
use crate::replay::wire_protocol;

/// Rebuilds a generation from its segments without the records that cannot be flushed. Blocking.
pub(crate) fn without_poison(
    flush: &Flush,
    segments: SegmentRange,
    metrics: &Metrics,
) -> Result<Arc<Generation>, ReceiverError> {
    let rest = Arc::new(Generation::new());
    let wal_id = flush.identity.lock().wal_id();
    let others = [
        SegmentRange {
            from: 0,
            to: segments.from.saturating_sub(1),
        },
        SegmentRange {
            from: segments.to + 1,
            to: u64::MAX,
        },
    ];
    let keys = LogKeys(flush.keys.clone());
    let options = RecoveryOptions {
        sealing: Some(&keys),
        skip: &others,
        stop: None,
        purpose: Purpose::Search,
    };
    let recovery = emberkeep_wal::recover(&*flush.fs, &flush.wal_path, wal_id, options, &mut |_, record| {
        let tried = catch_unwind(AssertUnwindSafe(|| flush_alone(&record, &rest)));
        tried.unwrap_or_else(|_| Err("its flush panics".to_owned()))
    })?;
    for damage in &recovery.damage {
        report(damage, metrics);
    }
    Ok(rest)
}

/// Encodes one record as a part of its own, thrown away, and on success adds it to the rest.
fn flush_alone(record: &RecordView<'_>, rest: &Generation) -> Result<(), String> {
    let mut decoded = Vec::new();
    let len = snappy::declared_len(record.body).map_err(|e| e.to_string())?;
    snappy::decompress_capped(record.body, len, &mut decoded).map_err(|e| e.to_string())?;
    let request = intake::Request {
        tenant: &record.tenant,
        protocol: wire_protocol(record.protocol),
        body: &decoded,
        table: &rest.table,
    };
    let intake = intake::replay(request, &record.verdict).map_err(|e| e.to_string())?;
    let alone = Generation::new();
    alone.append(&record.tenant, &intake.batch, &rest.table, record.arrival);
    let info = PartInfo {
        dataset: String::new(),
        ulid: Ulid::from_bytes([0; 16]),
        origin: PartOrigin::Flush {
            receiver: "trial".to_owned(),
            wal: WalRange {
                id: String::new(),
                from: 0,
                to: 0,
            },
        },
    };
    let write = || {
        let mut writer = PartWriter::create(|_| Ok(std::io::sink()), info, PartSettings::default())?;
        write_rows(&mut writer, &alone.table.freeze())?;
        writer.finish().map(drop)
    };
    write().map_err(|e: ArchiveError| e.to_string())?;
    rest.append(&record.tenant, &intake.batch, &rest.table, record.arrival);
    Ok(())
}
