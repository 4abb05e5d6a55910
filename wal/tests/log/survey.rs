//! What a start learns before it reads the log, and a log that is read while a new one is written beside it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use emberkeep_disk::{CrashMode, FileSystem, ForgetfulFs};
use emberkeep_wal::{
    Damage, DamageKind, NextSegment, Position, RecordView, RecoveryOptions, Refusal, SegmentRange, Visit, WalError,
    replay, survey,
};

use crate::rig::{ID, dir, disk_with, files, number, read, record, small_segments, start, write};

/// A log of eight records, two in each segment.
fn log() -> Vec<(String, Vec<u8>)> {
    let fs = ForgetfulFs::new();
    let records: Vec<_> = (1..=8).map(|number| record(number, 50)).collect();
    write(&fs, 0, 300, &records);
    let log = files(&fs, dir());
    assert_eq!(log.len(), 4);
    log
}

/// The offset after the last byte of a file that is not zero.
fn end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

/// Takes numbers, and stops before a segment.
#[derive(Default)]
struct Takes {
    found: Vec<u32>,
    segments: Vec<NextSegment>,
    damage: Vec<Damage>,
    stops_before: Option<u64>,
}

impl Visit for Takes {
    fn segment(&mut self, next: NextSegment) -> ControlFlow<()> {
        self.segments.push(next);
        if self.stops_before == Some(next.number) {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn record(&mut self, _: Position, record: RecordView<'_>) -> Result<(), Refusal> {
        self.found.push(number(&record.to_record()));
        Ok(())
    }

    fn damage(&mut self, damage: &Damage) {
        self.damage.push(damage.clone());
    }
}

#[test]
fn it_knows_the_end_without_reading_the_middle() {
    let mut log = log();
    // Damage in the middle is not looked for yet.
    log[1].1[60] ^= 1;
    let fs = disk_with(&log);
    let found = survey(&fs, dir(), ID, &[]).unwrap();
    assert_eq!((found.last_segment, found.is_empty()), (Some(3), false));
    assert_eq!(
        found.bytes(),
        log.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
    );
    assert_eq!(
        (found.newest_arrival, found.newest_validator),
        (Some(1_000_008), Some(1))
    );
    assert!(found.torn.is_empty() && fs.read_dir(&dir().join("set-aside")).is_err());

    let without_last = [SegmentRange { from: 3, to: 9 }];
    let found = survey(&fs, dir(), ID, &without_last).unwrap();
    assert_eq!((found.last_segment, found.newest_arrival), (Some(3), Some(1_000_006)));
}

#[test]
fn nothing_is_no_log() {
    let fs = ForgetfulFs::new();
    let found = survey(&fs, dir(), ID, &[]).unwrap();
    assert!(found.is_empty() && found.last_segment.is_none() && fs.steps() == 0);
    let mut visit = Takes::default();
    replay(&fs, dir(), ID, &found, RecoveryOptions::default(), &mut visit).unwrap();
    assert!(visit.segments.is_empty() && fs.steps() == 0);
}

#[test]
fn a_newer_segment_is_refused_before_anything_is_handed_over() {
    let mut log = log();
    log[2].1[8] = 9;
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &log[2].1[..36]) as u32;
    log[2].1[36..40].copy_from_slice(&crc.to_le_bytes());
    let refused = survey(&disk_with(&log), dir(), ID, &[]).unwrap_err();
    assert!(matches!(&refused, WalError::TooNew { version: 9, .. }), "{refused}");
}

#[test]
fn a_torn_end_stays_one_when_a_new_log_begins_before_it_is_read() {
    // The end may lie in several segments: a torn record, and a file that has nothing but garbage behind its header.
    let mut log = log();
    let torn = end(&log[2].1) - 1;
    log[2].1[torn] ^= 2;
    log[3].1.truncate(40);
    log[3].1.extend([7; 30]);
    let fs = disk_with(&log);
    let kinds = |damage: &[Damage]| -> Vec<_> {
        let kind = |damage: &Damage| (damage.segment, damage.kind, damage.seen_before);
        damage.iter().map(kind).collect()
    };
    let found = survey(&fs, dir(), ID, &[]).unwrap();
    assert_eq!(
        kinds(&found.torn),
        [(2, DamageKind::TornTail, false), (3, DamageKind::TornTail, false)]
    );
    write(&fs, 4, 400, &[record(9, 50)]);
    // Killed in the middle of the first try, and the second has both logs to read.
    let mut visit = Takes {
        stops_before: Some(1),
        ..Takes::default()
    };
    let stopped = replay(&fs, dir(), ID, &found, RecoveryOptions::default(), &mut visit).unwrap_err();
    assert!(matches!(stopped, WalError::Stopped { .. }));
    assert_eq!(visit.found, [1, 2]);
    let fs = fs.crash(CrashMode::LoseAll);
    let (recovery, records) = read(&fs, &[]).unwrap();
    assert_eq!(records.iter().map(number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 9]);
    assert_eq!(
        kinds(&recovery.damage),
        [(2, DamageKind::TornTail, true), (3, DamageKind::TornTail, true)]
    );
}

#[test]
fn segments_made_since_are_not_read() {
    let mut log = log();
    log[1].1[60] ^= 1;
    let fs = disk_with(&log);
    let found = survey(&fs, dir(), ID, &[]).unwrap();
    write(&fs, 4, 400, &[record(9, 50), record(10, 50)]);
    let mut visit = Takes::default();
    let recovery = replay(&fs, dir(), ID, &found, RecoveryOptions::default(), &mut visit).unwrap();
    assert_eq!(visit.found, [1, 2, 4, 5, 6, 7, 8]);
    assert_eq!(recovery.segments, Some(SegmentRange { from: 0, to: 3 }));
    assert_eq!(recovery.damage, visit.damage, "told as it was found");
    assert_eq!(visit.damage.len(), 1);
    let sizes: Vec<_> = log.iter().map(|(_, bytes)| bytes.len() as u64).collect();
    let before: Vec<_> = visit.segments.iter().map(|next| next.bytes_before).collect();
    assert_eq!(
        before,
        [0, sizes[0], sizes[0] + sizes[1], sizes[0] + sizes[1] + sizes[2]]
    );
    assert!(visit.segments.iter().all(|next| !next.is_careful));
}

/// The survey reads the zeros behind the last record, and nobody reads them again. What became of the records meanwhile is seen.
#[test]
fn the_end_of_the_last_segment_is_looked_for_once() {
    let mut log = log();
    log[3].1.resize(4 << 20, 0);
    let found = survey(&disk_with(&log), dir(), ID, &[]).unwrap();
    let replay = |log: &[(String, Vec<u8>)]| {
        let mut visit = Takes::default();
        replay(
            &disk_with(log),
            dir(),
            ID,
            &found,
            RecoveryOptions::default(),
            &mut visit,
        )
        .unwrap();
        (visit.found, visit.damage.len())
    };
    assert_eq!(replay(&log), (vec![1, 2, 3, 4, 5, 6, 7, 8], 0));
    // Nobody writes there: it only shows who looks.
    log[3].1[3 << 20] = 1;
    assert_eq!(replay(&log), (vec![1, 2, 3, 4, 5, 6, 7, 8], 0));
    log[3].1[60] ^= 1;
    assert_eq!(replay(&log), (vec![1, 2, 3, 4, 5, 6, 8], 1));
    // The last record: nothing valid follows it, and still it is not taken for zeros.
    let last = end(&log[3].1[..3 << 20]) - 1;
    log[3].1[last] ^= 1;
    assert_eq!(replay(&log).1, 1);
}

/// Recovery syncs only where the log ended, because of this.
#[test]
fn a_record_goes_to_a_segment_only_when_the_one_before_is_synced() {
    let segments = |fs: &ForgetfulFs| -> Vec<(String, Vec<u8>)> {
        let mut segments = files(fs, dir());
        segments.retain(|(name, _)| Path::new(name).extension().is_some_and(|extension| extension == "wal"));
        for (_, bytes) in &mut segments {
            bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        }
        segments
    };
    // Segments that go through the page cache, and segments that are written past it and prepared ahead.
    for (segment_bytes, body_bytes, records) in [(700, 100, 30), (64 << 10, 20_000, 10)] {
        for step in 1.. {
            let fs = ForgetfulFs::new();
            fs.crash_at(step);
            let Ok(wal) = start(Arc::new(fs.clone()), 0, small_segments(segment_bytes)) else {
                continue;
            };
            // Groups that fill several segments, and one that ends in the middle of one.
            let pending: Vec<_> = (0..records)
                .map(|number| wal.append(record(number, body_bytes)))
                .collect();
            drop(pending);
            wal.close();
            let (written, durable) = (segments(&fs.restart()), segments(&fs.crash(CrashMode::LoseAll)));
            let with_records = written.iter().rposition(|(_, bytes)| bytes.len() > 40).unwrap_or(0);
            for (name, bytes) in &written[..with_records] {
                let kept = durable.iter().find(|(durable, _)| durable == name);
                assert!(kept.is_some_and(|(_, kept)| kept == bytes), "step {step}: {name}");
            }
            if !fs.has_crashed() {
                break;
            }
        }
    }
}
