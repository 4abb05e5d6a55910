//! A full disk: what is whole stays, the rest is refused, and the log goes on when there is space.

use std::io;
use std::sync::Arc;

use emberkeep_disk::{CrashMode, ForgetfulFs};
use emberkeep_wal::{AppendError, SegmentRange, remove, usage};

use crate::rig::{dir, number, read, record, small_segments, start};

/// A disk with too little space for segments of a mebibyte to be prepared ahead, which would use up a budget of writes.
fn without_preparing() -> ForgetfulFs {
    let fs = ForgetfulFs::new();
    fs.set_space(3 << 20);
    fs
}

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
    // From within the block of the record before, over the header, to within the second body; written in blocks and not.
    for (segment_bytes, budget) in [0, 10, 250, 300, 4096, 4106, 30_000, 61_000, 110_000]
        .into_iter()
        .flat_map(|budget| [(1 << 20, budget), (60_000, budget)])
    {
        let fs = without_preparing();
        let wal = start(Arc::new(fs.clone()), 0, small_segments(segment_bytes)).unwrap();
        wal.append(record(1, 100)).wait().unwrap();
        fs.limit_writes(budget, io::ErrorKind::StorageFull);
        let group = [wal.append(record(2, 60_000)), wal.append(record(3, 60_000))];
        let refused: Vec<u32> = (2..)
            .zip(group)
            .filter_map(|(number, pending)| match pending.wait() {
                Ok(_) => None,
                Err(error) => {
                    assert_eq!(error, AppendError::Full);
                    Some(number)
                }
            })
            .collect();
        assert!(refused.contains(&3), "budget {budget}");
        fs.unlimited_writes();
        wal.append(record(4, 100)).wait().unwrap();
        let range = wal.rotate().wait().unwrap().unwrap();
        assert_eq!(wal.stats().records + wal.stats().refused, 4);
        wal.close();
        let (recovery, records) = read(&fs.crash(CrashMode::LoseAll), &[]).unwrap();
        let expected: Vec<_> = (1..=4).filter(|number| !refused.contains(number)).collect();
        assert_eq!(
            records.iter().map(number).collect::<Vec<_>>(),
            expected,
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
    for segment_bytes in [1000, 1 << 20] {
        let fs = without_preparing();
        let wal = start(Arc::new(fs.clone()), 0, small_segments(segment_bytes)).unwrap();
        wal.append(record(1, 100)).wait().unwrap();
        fs.limit_writes(300, io::ErrorKind::Other);
        assert_eq!(wal.append(record(2, 400)).wait(), Err(AppendError::Fatal));
        fs.unlimited_writes();
        assert_eq!(wal.append(record(3, 100)).wait(), Err(AppendError::Fatal));
        wal.close();
        let (recovery, records) = read(&fs, &[]).unwrap();
        assert_eq!(records, [record(1, 100)]);
        assert_eq!(recovery.damage.len(), 1);
    }
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
