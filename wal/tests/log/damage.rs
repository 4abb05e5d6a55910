//! Truncation and a flipped bit at every offset of a small log, and several damages at once.

use std::path::Path;

use emberkeep_disk::{ForgetfulFs, read_to_vec};
use emberkeep_wal::{DamageKind, Record, Recovery, RecoveryOptions, SegmentRange, recover};
use proptest::prelude::*;

use crate::rig::{self, ID, dir, disk_with, files, read, record};

/// A record with the bytes of the log that it takes.
struct Placed {
    file: usize,
    start: usize,
    end: usize,
    record: Record,
}

/// A log of two segments, the second with unused preallocation.
fn small_log() -> (Vec<(String, Vec<u8>)>, Vec<Placed>) {
    let fs = ForgetfulFs::new();
    let records: Vec<_> = [60, 0, 17, 100, 40, 33]
        .iter()
        .zip(1..)
        .map(|(len, number)| record(number, *len))
        .collect();
    rig::write(&fs, 0, 500, &records);
    let mut placed: Vec<Placed> = Vec::new();
    recover(&fs, dir(), ID, RecoveryOptions::default(), &mut |position, view| {
        let start = position.offset as usize;
        // Header of 44 bytes; protocol, arrival, tenant with its length, verdict.
        let verdict_len = if view.verdict.accepts_all() { 1 } else { 4 };
        let end = start + 44 + 1 + 8 + 1 + view.tenant.as_str().len() + verdict_len + view.body.len();
        placed.push(Placed {
            file: position.segment as usize,
            start,
            end,
            record: view.to_record(),
        });
        Ok(())
    })
    .unwrap();
    assert_eq!(placed.iter().map(|placed| placed.file).max(), Some(1));
    assert!(
        placed
            .windows(2)
            .all(|pair| pair[0].file != pair[1].file || pair[0].end == pair[1].start)
    );
    let files = files(&fs, dir());
    assert_eq!(
        placed
            .iter()
            .filter(|placed| placed.file == 0)
            .map(|placed| placed.end)
            .max(),
        Some(files[0].1.len())
    );
    assert_eq!(files[1].1.len(), 500);
    (files, placed)
}

/// Recovers twice; the second time must find the same and count nothing anew.
fn read_twice(fs: &ForgetfulFs) -> (Recovery, Vec<Record>) {
    let before = files(fs, dir());
    let (first, records) = read(fs, &[]).unwrap();
    assert!(first.damage.iter().all(|damage| !damage.seen_before));
    for damage in &first.damage {
        let copy = read_to_vec(fs, &damage.set_aside, 1 << 20).unwrap();
        let segment = &before[damage.segment as usize].1;
        assert_eq!(
            copy,
            segment[damage.offset as usize..(damage.offset + damage.length) as usize]
        );
    }
    let (mut second, again) = read(fs, &[]).unwrap();
    assert_eq!(again, records);
    assert!(second.damage.iter().all(|damage| damage.seen_before));
    second.damage.iter_mut().for_each(|damage| damage.seen_before = false);
    assert_eq!(second, first);
    assert_eq!(files(fs, dir()), before, "the log itself is never changed");
    (first, records)
}

fn expected(placed: &[Placed], survives: impl Fn(&Placed) -> bool) -> Vec<&Record> {
    placed
        .iter()
        .filter(|placed| survives(placed))
        .map(|placed| &placed.record)
        .collect()
}

#[test]
fn a_log_cut_at_any_offset_keeps_every_whole_record() {
    let (log, placed) = small_log();
    for file in 0..log.len() {
        for len in 0..log[file].1.len() {
            let mut cut = log.clone();
            cut[file].1.truncate(len);
            let (recovery, records) = read_twice(&disk_with(&cut));
            let whole = expected(&placed, |placed| placed.file != file || placed.end <= len);
            assert!(records.iter().eq(whole), "file {file} cut to {len}");
            let ends: Vec<_> = placed.iter().filter(|p| p.file == file).map(|p| p.end).collect();
            let is_between = [0, 40].contains(&len) || ends.contains(&len) || ends.iter().all(|end| *end <= len);
            assert_eq!(
                recovery.damage.len(),
                usize::from(!is_between),
                "file {file} cut to {len}"
            );
            let kind = if file == 0 {
                DamageKind::Damaged
            } else {
                DamageKind::TornTail
            };
            assert!(
                recovery.damage.iter().all(|damage| damage.kind == kind),
                "file {file} cut to {len}"
            );
        }
    }
}

#[test]
fn a_bit_flipped_at_any_offset_costs_at_most_its_record() {
    let (log, placed) = small_log();
    for file in 0..log.len() {
        for offset in 0..log[file].1.len() {
            let mut flipped = log.clone();
            flipped[file].1[offset] ^= 1 << (offset % 8);
            let (recovery, records) = read_twice(&disk_with(&flipped));
            let is_hit = |placed: &Placed| placed.file == file && (placed.start..placed.end).contains(&offset);
            assert!(
                records.iter().eq(expected(&placed, |placed| !is_hit(placed))),
                "file {file} offset {offset}"
            );
            let [damage] = &recovery.damage[..] else {
                panic!("file {file} offset {offset}: {:?}", recovery.damage)
            };
            let is_last = file == 1 && offset >= placed.last().unwrap().start;
            let kind = if is_last {
                DamageKind::TornTail
            } else {
                DamageKind::Damaged
            };
            assert_eq!(damage.kind, kind, "file {file} offset {offset}");
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_overwritten_the_other_records_come_back(
        damages in prop::collection::vec((0_usize..2, 0_usize..500, prop::collection::vec(any::<u8>(), 1..120)), 1..5),
    ) {
        let (log, placed) = small_log();
        let mut damaged = log.clone();
        for (file, offset, bytes) in &damages {
            let content = &mut damaged[*file].1;
            let end = (offset + bytes.len()).min(content.len());
            if *offset < end {
                content[*offset..end].copy_from_slice(&bytes[..end - offset]);
            }
        }
        let is_intact = |placed: &Placed| {
            let range = placed.start..placed.end;
            log[placed.file].1[range.clone()] == damaged[placed.file].1[range]
        };
        let (recovery, records) = read_twice(&disk_with(&damaged));
        prop_assert!(records.iter().eq(expected(&placed, is_intact)));
        let mut stretches: Vec<_> =
            recovery.damage.iter().map(|d| (d.segment, d.offset, d.offset + d.length)).collect();
        stretches.sort_unstable();
        prop_assert!(stretches.windows(2).all(|pair| pair[0].0 < pair[1].0 || pair[0].2 < pair[1].1));
    }

    #[test]
    fn arbitrary_bytes_yield_no_record_and_no_panic(bytes: Vec<u8>) {
        let fs = disk_with(&[("00000000000000000000.wal".to_owned(), bytes.clone())]);
        let (recovery, records) = read_twice(&fs);
        prop_assert!(records.is_empty());
        prop_assert_eq!(recovery.damage.len(), usize::from(bytes.iter().any(|byte| *byte != 0)));
    }
}

#[test]
fn a_torn_tail_stays_torn_when_the_log_goes_on() {
    let (mut log, placed) = small_log();
    let last = placed.last().unwrap();
    log[1].1[last.end - 1] ^= 1;
    let fs = disk_with(&log);
    let (recovery, _) = read(&fs, &[]).unwrap();
    assert_eq!(recovery.damage[0].kind, DamageKind::TornTail);
    rig::write(&fs, recovery.last_segment.unwrap() + 1, 500, &[record(50, 10)]);
    let (recovery, records) = read(&fs, &[]).unwrap();
    assert_eq!(records.len(), placed.len());
    let [damage] = &recovery.damage[..] else {
        panic!("{:?}", recovery.damage)
    };
    assert!(damage.seen_before && damage.kind == DamageKind::TornTail);
    // Once its segment is trimmed it is no longer found, and the copy stays.
    emberkeep_wal::remove(&fs, dir(), SegmentRange { from: 0, to: 1 }).unwrap();
    let (recovery, _) = read(&fs, &[]).unwrap();
    assert!(recovery.damage.is_empty());
    assert_eq!(files(&fs, Path::new("/wal/set-aside")).len(), 1);
}

#[test]
fn a_record_inside_a_body_is_not_taken_for_one() {
    // A sender cannot know the id; one that did could still not be where the header says.
    let (log, placed) = small_log();
    let copy = bytes::Bytes::copy_from_slice(&log[0].1[placed[0].start..placed[0].end]);
    let fs = ForgetfulFs::new();
    let mut hostile = record(7, 0);
    hostile.body = copy;
    rig::write(&fs, 0, 500, &[hostile, record(8, 5)]);
    let mut written = files(&fs, dir());
    written[0].1[41] ^= 1;
    let (recovery, records) = read_twice(&disk_with(&written));
    assert_eq!(records, [record(8, 5)]);
    assert_eq!(recovery.damage.len(), 1);
}
