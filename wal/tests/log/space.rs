//! A full disk: what is whole stays, the rest is refused, and the log goes on when there is space.

use std::io;
use std::sync::Arc;

use emberkeep_disk::{CrashMode, ForgetfulFs};
use emberkeep_wal::{AppendError, SegmentRange, remove, usage};

use crate::rig::{dir, number, read, record, small_segments, start};
use crate::tight_disk::TightDisk;

#[test]
fn a_disk_without_room_for_a_segment_heals() {
    let fs = ForgetfulFs::new();
    fs.set_space(1500);
    let wal = start(Arc::new(fs.clone()), 0, small_segments(1000)).unwrap();
    let mut kept = Vec::new();
    while wal.append(record(kept.len() as u32, 100)).wait().is_ok() {
        kept.push(kept.len() as u32);
    }
    for _ in 0..3 {
        assert_eq!(wal.append(record(90, 100)).wait(), Err(AppendError::Full));
    }
    assert_eq!(
        usage(&fs, dir()).unwrap().segments,
        1,
        "what found no space is not left lying about"
    );
    let range = wal.rotate().wait().unwrap().unwrap();
    assert_eq!(range.from, 0);
    // Trimming makes the space.
    remove(&fs, dir(), range).unwrap();
    let position = wal.append(record(91, 100)).wait().unwrap();
    assert!(position.segment > range.to);
    wal.close();
    let (recovery, records) = read(&fs.crash(CrashMode::LoseAll), &[]).unwrap();
    assert_eq!(records.iter().map(number).collect::<Vec<_>>(), [91]);
    assert!(recovery.damage.is_empty());
    assert_eq!(kept.len(), 5);
}

#[test]
fn a_record_that_ran_out_of_space_in_the_middle_leaves_the_others_whole() {
    // From within the header to within a body that is written apart.
    for budget in [0, 10, 44, 60, 100, 30_000, 50_000] {
        let disk = TightDisk::new(io::ErrorKind::StorageFull);
        let wal = start(Arc::new(disk.clone()), 0, small_segments(1 << 20)).unwrap();
        wal.append(record(1, 100)).wait().unwrap();
        disk.set_budget(budget);
        let group = [wal.append(record(2, 60_000)), wal.append(record(3, 60_000))];
        for pending in group {
            assert_eq!(pending.wait(), Err(AppendError::Full));
        }
        disk.set_budget(u64::MAX);
        wal.append(record(4, 100)).wait().unwrap();
        let range = wal.rotate().wait().unwrap().unwrap();
        wal.close();
        let (recovery, records) = read(&disk.inner.crash(CrashMode::LoseAll), &[]).unwrap();
        assert_eq!(
            records.iter().map(number).collect::<Vec<_>>(),
            [1, 4],
            "budget {budget}"
        );
        assert!(recovery.damage.is_empty(), "the torn end was cut off");
        assert!(
            recovery
                .segments
                .is_some_and(|found| range.contains(found.from) && range.contains(found.to))
        );
    }
}

#[test]
fn without_a_single_record_there_is_nothing_to_rotate() {
    let fs = ForgetfulFs::new();
    fs.set_space(100);
    let wal = start(Arc::new(fs.clone()), 5, small_segments(1000)).unwrap();
    assert_eq!(wal.append(record(1, 100)).wait(), Err(AppendError::Full));
    assert_eq!(wal.rotate().wait(), Ok(None));
    fs.unlimited_space();
    let position = wal.append(record(2, 100)).wait().unwrap();
    let range = wal.rotate().wait().unwrap();
    assert_eq!(
        range,
        Some(SegmentRange {
            from: 5,
            to: position.segment
        })
    );
}

#[test]
fn any_other_write_error_ends_the_log() {
    let disk = TightDisk::new(io::ErrorKind::Other);
    let wal = start(Arc::new(disk.clone()), 0, small_segments(1 << 20)).unwrap();
    wal.append(record(1, 100)).wait().unwrap();
    disk.set_budget(10);
    assert_eq!(wal.append(record(2, 100)).wait(), Err(AppendError::Fatal));
    disk.set_budget(u64::MAX);
    assert_eq!(wal.append(record(3, 100)).wait(), Err(AppendError::Fatal));
    wal.close();
    let (recovery, records) = read(&disk.inner, &[]).unwrap();
    assert_eq!(records, [record(1, 100)]);
    assert_eq!(recovery.damage.len(), 1);
}

#[test]
fn a_full_disk_does_not_keep_a_sound_log_from_being_read() {
    let fs = ForgetfulFs::new();
    crate::rig::write(&fs, 0, 1000, &[record(1, 100)]);
    fs.set_space(0);
    let (recovery, records) = read(&fs, &[]).unwrap();
    assert_eq!(records, [record(1, 100)]);
    assert!(recovery.damage.is_empty());
}
