//! Group commit, rotation, the bound of the queue, and the end after a failed sync.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use emberkeep_disk::{ForgetfulFs, SyncKind};
use emberkeep_wal::{AppendError, Options, Wal, recover};

use crate::rig::{ID, dir, number, read, record, small_segments, start};

/// Makes each data sync announce itself and wait for a permit.
fn hold_syncs(fs: &ForgetfulFs) -> (Receiver<()>, SyncSender<()>) {
    let (entered, announced) = sync_channel(100);
    let (permit, permits) = sync_channel(100);
    let permits = Mutex::new(permits);
    fs.ignore_sync(move |kind, _| {
        if kind == SyncKind::Data {
            // A test that ended early has dropped its ends.
            let _ = entered.send(());
            let _ = permits.lock().unwrap().recv();
        }
        false
    });
    (announced, permit)
}

fn data_syncs(fs: &ForgetfulFs) -> usize {
    fs.sync_log().iter().filter(|(kind, _)| *kind == SyncKind::Data).count()
}

#[test]
fn what_waited_during_a_sync_shares_the_next_one() {
    let fs = ForgetfulFs::new();
    let (announced, permit) = hold_syncs(&fs);
    let wal = start(Arc::new(fs.clone()), 0, small_segments(1 << 20)).unwrap();
    let first = wal.append(record(0, 10));
    announced.recv().unwrap();
    let group: Vec<_> = (1..=50).map(|number| wal.append(record(number, 10))).collect();
    permit.send(()).unwrap();
    first.wait().unwrap();
    announced.recv().unwrap();
    // All of the group is written by now and none of it answered: its one sync is held.
    permit.send(()).unwrap();
    group.into_iter().for_each(|pending| _ = pending.wait().unwrap());
    assert_eq!(data_syncs(&fs), 2);
    assert_eq!(wal.stats().syncs, 2);
}

#[test]
fn no_answer_comes_before_its_sync() {
    let fs = ForgetfulFs::new();
    let (announced, permit) = hold_syncs(&fs);
    let wal = start(Arc::new(fs.clone()), 0, small_segments(1 << 20)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut pending = std::pin::pin!(wal.append(record(0, 10)));
        announced.recv().unwrap();
        let poll = std::future::poll_fn(|context| std::task::Poll::Ready(pending.as_mut().poll(context))).await;
        assert!(poll.is_pending());
        permit.send(()).unwrap();
        pending.await.unwrap();
    });
}

#[test]
fn a_group_over_several_segments_syncs_each_once() {
    let fs = ForgetfulFs::new();
    let (announced, permit) = hold_syncs(&fs);
    let wal = start(Arc::new(fs.clone()), 0, small_segments(400)).unwrap();
    let first = wal.append(record(0, 10));
    announced.recv().unwrap();
    let group: Vec<_> = (1..=8).map(|number| wal.append(record(number, 100))).collect();
    for _ in 0..20 {
        permit.send(()).unwrap();
    }
    first.wait().unwrap();
    let segments: std::collections::BTreeSet<_> = group
        .into_iter()
        .map(|pending| pending.wait().unwrap().segment)
        .collect();
    assert!(segments.len() > 2);
    // The first segment once more for the first record.
    assert_eq!(data_syncs(&fs), segments.len() + 1);
}

#[test]
fn the_queue_is_bounded_in_bytes() {
    let fs = ForgetfulFs::new();
    let (announced, permit) = hold_syncs(&fs);
    let options = Options {
        segment_bytes: 1 << 20,
        queue_bytes: 5000,
    };
    let wal = start(Arc::new(fs.clone()), 0, options).unwrap();
    // Larger than the bound, but nothing waits.
    let first = wal.append(record(0, 6000));
    announced.recv().unwrap();
    assert_eq!(wal.append(record(1, 10)).wait(), Err(AppendError::Overloaded));
    permit.send(()).unwrap();
    first.wait().unwrap();
    let second = wal.append(record(2, 10));
    announced.recv().unwrap();
    let third = wal.append(record(3, 4000));
    assert_eq!(wal.append(record(4, 1000)).wait(), Err(AppendError::Overloaded));
    let rotation = wal.rotate();
    (0..3).for_each(|_| permit.send(()).unwrap());
    second.wait().unwrap();
    third.wait().unwrap();
    rotation.wait().unwrap();
    assert_eq!(wal.stats().queued_bytes, 0);
    wal.close();
    let (_, records) = read(&fs, &[]).unwrap();
    assert_eq!(records.iter().map(number).collect::<Vec<_>>(), [0, 2, 3]);
}

#[test]
fn a_rotation_closes_exactly_what_was_appended_before_it() {
    #[derive(Debug)]
    enum Call {
        Append(emberkeep_wal::PendingAppend),
        Rotate(emberkeep_wal::PendingRotation),
    }
    let fs = ForgetfulFs::new();
    let wal = start(Arc::new(fs.clone()), 0, small_segments(700)).unwrap();
    // The lock makes the order of the calls known.
    let calls = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (wal, calls) = (&wal, &calls);
            scope.spawn(move || {
                for index in 0..100 {
                    let mut calls = calls.lock().unwrap();
                    let record = record(thread * 1000 + index, (index % 90) as usize);
                    calls.push(Call::Append(wal.append(record)));
                    if index % 25 == thread {
                        calls.push(Call::Rotate(wal.rotate()));
                    }
                }
            });
        }
    });
    let mut open = Vec::new();
    let (mut next_from, mut rotations) = (0, 0);
    for call in calls.into_inner().unwrap() {
        match call {
            Call::Append(pending) => open.push(pending.wait().unwrap()),
            Call::Rotate(pending) => match pending.wait().unwrap() {
                None => assert!(open.is_empty()),
                Some(range) => {
                    assert_eq!(range.from, next_from, "ranges follow each other without a gap");
                    assert!(!open.is_empty() && open.iter().all(|position| range.contains(position.segment)));
                    next_from = range.to + 1;
                    rotations += 1;
                    open.clear();
                }
            },
        }
    }
    assert!(rotations > 4);
    assert!(open.iter().all(|position| position.segment >= next_from));
    assert_eq!(wal.rotate().wait().unwrap().is_some(), !open.is_empty());
    assert_eq!(wal.rotate().wait().unwrap(), None);
}

#[test]
fn closing_writes_what_waits() {
    let fs = ForgetfulFs::new();
    let wal = start(Arc::new(fs.clone()), 0, small_segments(1000)).unwrap();
    let pending: Vec<_> = (0..100).map(|number| wal.append(record(number, 20))).collect();
    drop(wal);
    pending.into_iter().for_each(|pending| _ = pending.wait().unwrap());
    assert_eq!(read(&fs, &[]).unwrap().1.len(), 100);
}

#[test]
fn a_failed_sync_ends_the_log() {
    // The first sync makes the log's directory, the second the segment's name, the third is the first group's.
    for failing in [2, 3, 4] {
        let fs = ForgetfulFs::new();
        fs.fail_sync(failing);
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let on_fatal = move |error: &io::Error| {
            assert!(error.to_string().contains("injected"), "{error}");
            counted.fetch_add(1, Ordering::SeqCst);
        };
        let wal = Wal::start(
            Arc::new(fs.clone()),
            dir(),
            ID,
            0,
            small_segments(1000),
            Box::new(on_fatal),
        )
        .unwrap();
        let mut durable = Vec::new();
        let error = loop {
            match wal.append(record(durable.len() as u32, 20)).wait() {
                Ok(_) => durable.push(record(durable.len() as u32, 20)),
                Err(error) => break error,
            }
        };
        assert_eq!(error, AppendError::Fatal);
        assert_eq!(durable.len() as u64, failing.saturating_sub(3));
        wal.close();
        assert_eq!(wal.append(record(9, 20)).wait(), Err(AppendError::Fatal));
        assert_eq!(wal.rotate().wait(), Err(AppendError::Fatal));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        let found = fs.crash(emberkeep_disk::CrashMode::LoseAll);
        assert!(read(&found, &[]).unwrap().1.starts_with(&durable));
    }
}

#[test]
fn a_panic_in_the_writer_leaves_nobody_waiting() {
    let fs = ForgetfulFs::new();
    fs.ignore_sync(|kind, _| {
        assert_ne!(kind, SyncKind::Data, "the file system breaks the thread");
        false
    });
    let wal = start(Arc::new(fs), 0, small_segments(1000)).unwrap();
    assert_eq!(wal.append(record(1, 20)).wait(), Err(AppendError::Fatal));
    wal.close();
    assert_eq!(wal.append(record(2, 20)).wait(), Err(AppendError::Fatal));
}

#[test]
fn a_missing_directory_is_an_empty_log() {
    let fs = ForgetfulFs::new();
    let missing = Path::new("/nowhere/wal");
    let recovery = recover(&fs, missing, ID, Default::default(), &mut |_, _| Ok(())).unwrap();
    assert_eq!(recovery.last_segment, None);
    assert_eq!(
        emberkeep_wal::usage(&fs, missing).unwrap(),
        emberkeep_wal::Usage::default()
    );
}
