//! What goes in comes out, on the real file system too; skipped, foreign and newer segments.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use emberkeep_disk::{FileSystem, ForgetfulFs, RealFs, read_to_vec, replace_durable};
use emberkeep_wal::{
    AppendError, DamageKind, Options, RecoveryOptions, SegmentRange, Wal, WalError, WalId, recover, remove, usage,
};
use proptest::prelude::*;

use crate::rig::{self, ID, dir, files, number, read, record, small_segments, start};

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn records_come_back_from_the_real_disk(
        lens in prop::collection::vec(prop_oneof![0_usize..300, 30_000_usize..40_000], 1..40),
        segment_bytes in 100_u64..5000,
        restart_after in 0_usize..40,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/wal");
        let options = small_segments(segment_bytes);
        let records: Vec<_> = lens.iter().enumerate().map(|(number, len)| record(number as u32, *len)).collect();
        let mut first_segment = 0;
        for part in [&records[..restart_after.min(records.len())], &records[restart_after.min(records.len())..]] {
            let wal = Wal::start(Arc::new(RealFs), &path, ID, first_segment, options, Box::new(|_| {})).unwrap();
            let pending: Vec<_> = part.iter().map(|record| wal.append(record.clone())).collect();
            let positions: Vec<_> = pending.into_iter().map(|pending| pending.wait().unwrap()).collect();
            prop_assert!(positions.is_sorted());
            wal.close();
            let mut found = Vec::new();
            let recovery = recover(&RealFs, &path, ID, RecoveryOptions::default(), &mut |position, view| {
                found.push((position, view.to_record()));
                Ok(())
            }).unwrap();
            prop_assert!(recovery.damage.is_empty());
            first_segment = recovery.last_segment.map_or(0, |last| last + 1);
            let tail = found.len() - part.len();
            prop_assert_eq!(found[tail..].iter().map(|(position, _)| *position).collect::<Vec<_>>(), positions);
            prop_assert!(found.iter().map(|(_, record)| record).eq(&records[..found.len()]));
            prop_assert_eq!(recovery.records, found.len() as u64);
        }
        let range = SegmentRange { from: 0, to: first_segment };
        remove(&RealFs, &path, range).unwrap();
        prop_assert_eq!(usage(&RealFs, &path).unwrap().segments, 0);
    }
}

#[test]
fn answers_can_be_awaited() {
    let fs = ForgetfulFs::new();
    let wal = start(
        Arc::new(fs.clone()),
        7,
        Options {
            segment_bytes: 4096,
            ..Options::default()
        },
    )
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (position, range) =
        runtime.block_on(async { (wal.append(record(1, 10)).await.unwrap(), wal.rotate().await.unwrap()) });
    assert_eq!(position.segment, 7);
    assert_eq!(range, Some(SegmentRange { from: 7, to: 7 }));
    assert_eq!(wal.stats().records, 1);
    wal.close();
    assert_eq!(wal.append(record(2, 10)).wait(), Err(AppendError::Closed));
}

#[test]
fn a_recovery_reports_what_it_read() {
    let fs = ForgetfulFs::new();
    let (recovery, _) = read(&fs, &[]).unwrap();
    assert_eq!(recovery, emberkeep_wal::Recovery::default());
    // Each record gets a segment of its own.
    rig::write(&fs, 3, 41, &[record(1, 50), record(2, 60), record(3, 70)]);
    let (recovery, records) = read(&fs, &[]).unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(recovery.newest_arrival, Some(1_000_003));
    assert_eq!(recovery.segments, Some(SegmentRange { from: 3, to: 5 }));
    assert_eq!(recovery.last_segment, Some(5));
    let headers: u64 = 3 * 40;
    assert_eq!(recovery.bytes, usage(&fs, dir()).unwrap().bytes - headers);
}

#[test]
fn skipped_segments_are_not_read() {
    let fs = ForgetfulFs::new();
    rig::write(&fs, 0, 41, &[record(1, 50), record(2, 60), record(3, 70)]);
    let skip = [SegmentRange { from: 0, to: 1 }];
    let (recovery, records) = read(&fs, &skip).unwrap();
    assert_eq!(records.iter().map(number).collect::<Vec<_>>(), [3]);
    assert_eq!(recovery.segments, Some(SegmentRange { from: 2, to: 2 }));
    let (recovery, records) = read(&fs, &[SegmentRange { from: 0, to: 9 }]).unwrap();
    assert!(records.is_empty());
    assert_eq!((recovery.segments, recovery.last_segment), (None, Some(2)));
}

#[test]
fn segments_of_another_log_are_left_alone() {
    let fs = ForgetfulFs::new();
    let other = WalId::from_bytes([9; 16]);
    let wal = Wal::start(
        Arc::new(fs.clone()),
        dir(),
        other,
        0,
        small_segments(500),
        Box::new(|_| {}),
    )
    .unwrap();
    wal.append(record(1, 50)).wait().unwrap();
    wal.close();
    rig::write(&fs, 1, 500, &[record(2, 50)]);
    let before = files(&fs, dir());
    let (recovery, records) = read(&fs, &[]).unwrap();
    assert_eq!(records.iter().map(number).collect::<Vec<_>>(), [2]);
    assert_eq!(recovery.foreign, [dir().join("00000000000000000000.wal")]);
    assert!(recovery.damage.is_empty());
    assert_eq!(recovery.segments, Some(SegmentRange { from: 1, to: 1 }));
    assert_eq!(files(&fs, dir()), before);
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let fs = ForgetfulFs::new();
    rig::write(&fs, 0, 500, &[record(1, 50)]);
    let path = dir().join("00000000000000000000.wal");
    let mut bytes = read_to_vec(&fs, &path, 1 << 20).unwrap();
    bytes[8] = 3;
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&bytes[..36]);
    bytes[36..40].copy_from_slice(&(digest.finalize() as u32).to_le_bytes());
    replace_durable(&fs, &path, &bytes).unwrap();
    let error = read(&fs, &[]).unwrap_err();
    assert!(
        matches!(
            &error,
            WalError::TooNew {
                version: 3,
                known: 2,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("00000000000000000000.wal"), "{error}");
}

#[test]
fn new_segments_never_touch_old_ones() {
    let fs = ForgetfulFs::new();
    rig::write(&fs, 0, 41, &[record(1, 50), record(2, 50)]);
    let error = start(Arc::new(fs.clone()), 1, Options::default()).unwrap_err();
    assert!(matches!(error, WalError::SegmentExists { first: 1, .. }), "{error:?}");
    start(Arc::new(fs), 2, Options::default()).unwrap();
}

#[test]
fn a_stopped_recovery_says_so_and_blames_nobody() {
    let fs = ForgetfulFs::new();
    rig::write(&fs, 0, 500, &[record(1, 50)]);
    let stop = AtomicBool::new(true);
    for _ in 0..5 {
        let options = RecoveryOptions {
            stop: Some(&stop),
            ..RecoveryOptions::default()
        };
        let result = recover(&fs, dir(), ID, options, &mut |_, _| {
            unreachable!("it stops before the first record")
        });
        assert!(matches!(result, Err(WalError::Stopped { .. })));
    }
    let (_, records) = read(&fs, &[]).unwrap();
    assert_eq!(records.len(), 1);
    // A careful replay would have noted its position.
    let noted = Path::new("/wal/replay-attempts");
    assert!(fs.sync_log().iter().all(|(_, path)| path != noted));
}

#[test]
fn a_preallocated_segment_without_records_is_no_damage() {
    let fs = ForgetfulFs::new();
    emberkeep_disk::create_dir_all_durable(&fs, dir()).unwrap();
    for (name, len) in [("00000000000000000000.wal", 0), ("00000000000000000001.wal", 4096)] {
        fs.create_new(Path::new(&dir().join(name)))
            .unwrap()
            .allocate(len)
            .unwrap();
    }
    let (recovery, records) = read(&fs, &[]).unwrap();
    assert!(records.is_empty() && recovery.damage.is_empty());
    assert_eq!(recovery.last_segment, Some(1));
}

#[test]
fn records_larger_than_the_read_window_come_back() {
    let fs = ForgetfulFs::new();
    let records = [
        record(1, 3 << 20),
        record(2, 100),
        record(3, (1 << 20) - 100),
        record(4, 5),
    ];
    rig::write(&fs, 0, 8 << 20, &records);
    let (recovery, found) = read(&fs, &[]).unwrap();
    assert_eq!(found, records);
    assert!(recovery.damage.is_empty());
    // Damage longer than the window is copied whole.
    let path = dir().join("00000000000000000000.wal");
    fs.open(&path).unwrap().write_all_at(b"x", 100).unwrap();
    let (recovery, found) = read(&fs, &[]).unwrap();
    assert_eq!(found, records[1..]);
    let [damage] = &recovery.damage[..] else {
        panic!("{:?}", recovery.damage)
    };
    assert_eq!(damage.kind, DamageKind::Damaged);
    let copy = read_to_vec(&fs, &damage.set_aside, 1 << 30).unwrap();
    let segment = read_to_vec(&fs, &path, 1 << 30).unwrap();
    assert!(copy == segment[40..40 + copy.len()] && copy.len() as u64 == damage.length);
}
