//! Segments that are prepared ahead: ready when they are needed, never in anybody's way, nothing when the log rests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use emberkeep_disk::{CrashMode, FileSystem, ForgetfulFs, SyncKind};
use emberkeep_wal::{AppendError, SegmentRange, Usage, Wal, remove, usage};

use crate::rig::{dir, files, number, read, record, small_segments, start};

/// The smallest segments that are prepared.
const SEGMENT: u64 = 64 << 10;

/// Announces each sync of the log's directory before it is made.
fn announce_names(fs: &ForgetfulFs) -> Receiver<()> {
    let (named, names) = sync_channel(100);
    fs.ignore_sync(move |kind, path| {
        if kind == SyncKind::Directory && path == dir() {
            // A test that ended early has dropped its end.
            let _ = named.send(());
        }
        false
    });
    names
}

/// A log whose first segment is more than half full and whose second is there already.
fn with_a_prepared_segment(fs: &ForgetfulFs) -> (Wal, Receiver<()>) {
    let names = announce_names(fs);
    let wal = start(Arc::new(fs.clone()), 0, small_segments(SEGMENT)).unwrap();
    wal.append(record(1, 40_000)).wait().unwrap();
    // The first segment's name, then that of the one after it.
    names.recv().unwrap();
    names.recv().unwrap();
    (wal, names)
}

fn names_in_the_log(fs: &ForgetfulFs) -> Vec<String> {
    let entries = fs.read_dir(dir()).unwrap();
    entries
        .into_iter()
        .map(|entry| entry.name.into_string().unwrap())
        .collect()
}

#[test]
fn the_next_segment_is_named_before_it_is_needed() {
    let fs = ForgetfulFs::new();
    let (wal, names) = with_a_prepared_segment(&fs);
    let position = wal.append(record(2, 40_000)).wait().unwrap();
    assert_eq!(position.segment, 1);
    assert_eq!(wal.stats().prepared_segments, 1);
    // The third segment may be on its way already, but nothing waited for the second.
    assert!(names.try_iter().count() <= 1);
    wal.close();
    let (recovery, records) = read(&fs.crash(CrashMode::LoseAll), &[]).unwrap();
    assert_eq!(records.iter().map(number).collect::<Vec<_>>(), [1, 2]);
    assert!(recovery.damage.is_empty());
}

#[test]
fn a_log_at_rest_has_no_segment_without_records() {
    let fs = ForgetfulFs::new();
    let (wal, _names) = with_a_prepared_segment(&fs);
    let range = wal.rotate().wait().unwrap().unwrap();
    assert_eq!(range, SegmentRange { from: 0, to: 0 });
    assert_eq!(usage(&fs, dir()).unwrap().segments, 1);
    remove(&fs, dir(), range).unwrap();
    assert_eq!(usage(&fs, dir()).unwrap(), Usage::default());
    // What was prepared is used all the same, and no number is left out.
    assert_eq!(wal.append(record(2, 100)).wait().unwrap().segment, 1);
    assert_eq!(wal.stats().prepared_segments, 1);
    let range = wal.rotate().wait().unwrap().unwrap();
    assert_eq!(range, SegmentRange { from: 1, to: 1 });
}

#[test]
fn a_crash_leaves_a_prepared_segment_that_holds_nothing() {
    let fs = ForgetfulFs::new();
    let (wal, _names) = with_a_prepared_segment(&fs);
    let before = fs.restart();
    wal.rotate().wait().unwrap();
    for seed in 0..20 {
        for machine in [&before, &fs] {
            let found = machine.crash(CrashMode::Torn(seed));
            let (recovery, records) = read(&found, &[]).unwrap();
            assert_eq!(records.iter().map(number).collect::<Vec<_>>(), [1]);
            assert!(recovery.damage.is_empty());
            // A new life goes on above it, whatever name it has now.
            let first = recovery.last_segment.unwrap() + 1;
            let wal = start(Arc::new(found.clone()), first, small_segments(SEGMENT)).unwrap();
            assert_eq!(wal.append(record(2, 100)).wait().unwrap().segment, first);
            wal.close();
            assert_eq!(read(&found.crash(CrashMode::LoseAll), &[]).unwrap().1.len(), 2);
        }
    }
}

#[test]
fn nothing_prepared_outlives_the_log() {
    let fs = ForgetfulFs::new();
    let (wal, _names) = with_a_prepared_segment(&fs);
    wal.close();
    assert_eq!(names_in_the_log(&fs), ["00000000000000000000.wal"]);
    // A killed process cannot clean up; the next one does.
    let (killed, _names) = {
        let fs = ForgetfulFs::new();
        let (wal, names) = with_a_prepared_segment(&fs);
        wal.rotate().wait().unwrap();
        (fs.restart(), names)
    };
    assert!(names_in_the_log(&killed).contains(&"next-segment".to_owned()));
    let wal = start(Arc::new(killed.clone()), 5, small_segments(1000)).unwrap();
    assert_eq!(names_in_the_log(&killed), ["00000000000000000000.wal"]);
    drop(wal);
}

#[test]
fn a_record_larger_than_a_segment_takes_the_prepared_one_if_it_can() {
    let fs = ForgetfulFs::new();
    let (wal, _names) = with_a_prepared_segment(&fs);
    fs.set_space(fs.used_space() + 1000);
    assert_eq!(wal.append(record(2, 200_000)).wait(), Err(AppendError::Full));
    // What is reserved already is still of use to a smaller one.
    assert_eq!(wal.append(record(3, 30_000)).wait().unwrap().segment, 1);
    fs.unlimited_space();
    let large = wal.append(record(4, 200_000)).wait().unwrap();
    assert_eq!(large.segment, 2);
    wal.append(record(5, 10)).wait().unwrap();
    wal.close();
    let (recovery, records) = read(&fs.crash(CrashMode::LoseAll), &[]).unwrap();
    assert_eq!(records.iter().map(number).collect::<Vec<_>>(), [1, 3, 4, 5]);
    assert!(recovery.damage.is_empty());
}

#[test]
fn a_nearly_full_disk_is_used_to_its_end() {
    let fs = ForgetfulFs::new();
    fs.set_space(10 * SEGMENT);
    let wal = start(Arc::new(fs.clone()), 0, small_segments(SEGMENT)).unwrap();
    let mut kept = 0;
    while wal.append(record(kept, 10_000)).wait().is_ok() {
        kept += 1;
    }
    // Six such records fit into a segment; leaving a segment gives its unused end back.
    assert!(kept >= 60, "{kept}");
    fs.unlimited_space();
    wal.append(record(kept, 10_000)).wait().unwrap();
    wal.close();
    assert_eq!(
        read(&fs.crash(CrashMode::LoseAll), &[]).unwrap().1.len(),
        kept as usize + 1
    );
}

#[test]
fn nothing_is_prepared_when_space_is_scarce() {
    let fs = ForgetfulFs::new();
    fs.set_space(4 * SEGMENT);
    let wal = start(Arc::new(fs.clone()), 0, small_segments(SEGMENT)).unwrap();
    for number in 0..3 {
        wal.append(record(number, 50_000)).wait().unwrap();
    }
    assert_eq!((wal.stats().segments, wal.stats().prepared_segments), (3, 0));
}

#[test]
fn a_directory_that_cannot_be_synced_ends_the_log() {
    let fs = ForgetfulFs::new();
    let (failing, (named, names)) = (fs.clone(), sync_channel(100));
    let seen = AtomicUsize::new(0);
    fs.ignore_sync(move |kind, path| {
        if kind == SyncKind::Directory && path == dir() {
            if seen.fetch_add(1, Ordering::SeqCst) == 1 {
                // The writer rests, so this one is the next.
                failing.fail_sync(1);
            }
            let _ = named.send(());
        }
        false
    });
    let wal = start(Arc::new(fs.clone()), 0, small_segments(SEGMENT)).unwrap();
    wal.append(record(1, 40_000)).wait().unwrap();
    names.recv().unwrap();
    names.recv().unwrap();
    assert_eq!(wal.append(record(2, 40_000)).wait(), Err(AppendError::Fatal));
    assert_eq!(wal.append(record(3, 10)).wait(), Err(AppendError::Fatal));
    wal.close();
    assert_eq!(read(&fs.crash(CrashMode::LoseAll), &[]).unwrap().1.len(), 1);
}

#[test]
fn a_preparation_that_fails_is_only_slower() {
    // Each call that the preparation makes: removing what is left over, creating, allocating, writing zeros, renaming.
    for call in 1..=6 {
        let fs = ForgetfulFs::new();
        let names = announce_names(&fs);
        let wal = start(Arc::new(fs.clone()), 0, small_segments(SEGMENT)).unwrap();
        // The calls of the first append: create, allocate, sync of the directory, write, sync.
        fs.fail_call(5 + call, io::ErrorKind::StorageFull);
        wal.append(record(1, 40_000)).wait().unwrap();
        names.recv().unwrap();
        let answers: Vec<_> = (2..6)
            .map(|number| (number, wal.append(record(number, 40_000)).wait()))
            .collect();
        // The call may turn out to be one of the writer: then one record was refused, or the log has ended.
        let refused = answers.iter().filter(|(_, answer)| *answer == Err(AppendError::Full));
        assert!(refused.count() <= 1, "{answers:?}");
        wal.close();
        let found = read(&fs.crash(CrashMode::LoseAll), &[]).unwrap().1;
        let found: Vec<_> = found.iter().map(number).collect();
        for (number, answer) in answers {
            assert!(answer.is_err() || found.contains(&number), "{number} of {found:?}");
        }
        assert!(
            files(&fs, dir())
                .iter()
                .all(|(name, _)| name.ends_with(".wal") || name == "next-segment")
        );
    }
}
