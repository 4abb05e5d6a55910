//! The promise: at whatever step the power fails, every acknowledged record is there; and each sync is why.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use emberkeep_disk::{CrashMode, ForgetfulFs, SyncKind};
use emberkeep_wal::{DamageKind, remove};

use crate::rig::{dir, number, read, record, small_segments, start, write};

/// What the workload is doing, so that syncs of the same kind and path can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Start,
    Write,
    Trim,
}

/// Syncs that are needed for the same reason.
type Class = (Phase, SyncKind, &'static str);

const CLASSES: [Class; 4] = [
    (Phase::Start, SyncKind::Directory, "parent of the log"),
    (Phase::Write, SyncKind::Data, "segment"),
    (Phase::Write, SyncKind::Directory, "log"),
    (Phase::Trim, SyncKind::Directory, "log"),
];

fn class(phase: u8, kind: SyncKind, path: &Path) -> Class {
    let phase = [Phase::Start, Phase::Write, Phase::Trim][usize::from(phase)];
    let place = match path.to_str().unwrap() {
        "/" => "parent of the log",
        "/wal" => "log",
        name if name.ends_with(".wal") => "segment",
        _ => "something else",
    };
    (phase, kind, place)
}

/// What the users of the log were told.
#[derive(Debug, Default)]
struct Told {
    acknowledged: BTreeSet<u32>,
    /// Records of a generation whose trim was begun: they may be there or not.
    trimming: BTreeSet<u32>,
    /// Records of a generation whose trim was reported as done: they must not come back.
    trimmed: BTreeSet<u32>,
    appended: BTreeSet<u32>,
}

/// How large segments and records are: written as they come, or in blocks and prepared ahead.
#[derive(Clone, Copy, Debug)]
struct Scale {
    segment_bytes: u64,
    /// What the lengths of the bodies are multiplied by.
    factor: usize,
    /// In how many ways each crash is torn.
    turns: u64,
}

const SMALL: Scale = Scale {
    segment_bytes: 700,
    factor: 1,
    turns: 12,
};

const BLOCKS: Scale = Scale {
    segment_bytes: 64 << 10,
    factor: 70,
    turns: 3,
};

/// Single records, groups, an oversized one, rotations and trims; ends at the first error.
fn work(fs: &ForgetfulFs, phase: &AtomicU8, scale: Scale) -> Told {
    let mut told = Told::default();
    let mut next = 0;
    phase.store(Phase::Start as u8, Ordering::SeqCst);
    let Ok(wal) = start(Arc::new(fs.clone()), 0, small_segments(scale.segment_bytes)) else {
        return told;
    };
    phase.store(Phase::Write as u8, Ordering::SeqCst);
    for group in [
        &[20, 30][..],
        &[1],
        &[100, 600, 2000, 5],
        &[700],
        &[10, 10, 10, 10],
        &[300, 300, 300],
        &[60],
    ] {
        let pending: Vec<_> = group
            .iter()
            .map(|len| {
                next += 1;
                told.appended.insert(next);
                (next, wal.append(record(next, *len * scale.factor)))
            })
            .collect();
        for (number, pending) in pending {
            if pending.wait().is_ok() {
                told.acknowledged.insert(number);
            }
        }
        if group.len() == 1 {
            let Ok(Some(range)) = wal.rotate().wait() else {
                return told;
            };
            if group[0] == 1 {
                told.trimming = std::mem::take(&mut told.acknowledged);
                phase.store(Phase::Trim as u8, Ordering::SeqCst);
                if remove(fs, dir(), range).is_err() {
                    return told;
                }
                told.trimmed = std::mem::take(&mut told.trimming);
                phase.store(Phase::Write as u8, Ordering::SeqCst);
            }
        }
    }
    told
}

/// Whether what a recovery finds is what the users were told.
fn is_right(found: &ForgetfulFs, told: &Told) -> bool {
    let (recovery, records) = read(found, &[]).unwrap();
    let numbers: Vec<_> = records.iter().map(number).collect();
    let set: BTreeSet<_> = numbers.iter().copied().collect();
    // Only what was appended, whole, in order, once.
    assert!(numbers.is_sorted() && set.len() == numbers.len() && set.is_subset(&told.appended));
    assert!(
        records
            .iter()
            .all(|found| *found == record(number(found), found.body.len()))
    );
    assert!(recovery.damage.iter().all(|damage| damage.kind != DamageKind::Poison));
    told.acknowledged.is_subset(&set) && told.trimmed.is_disjoint(&set)
}

/// Crashes the workload at every step, with one class of syncs taken out or none. Answers whether all was always right,
/// and which classes were seen.
fn crash_everywhere(ignored: Option<Class>, scale: Scale) -> (bool, BTreeSet<Class>) {
    let mut seen = BTreeSet::new();
    for step in 1.. {
        let fs = ForgetfulFs::new();
        let phase = Arc::new(AtomicU8::new(0));
        let asked = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
        let (phase_now, asked_now) = (Arc::clone(&phase), Arc::clone(&asked));
        fs.ignore_sync(move |kind, path| {
            let class = class(phase_now.load(Ordering::SeqCst), kind, path);
            asked_now.lock().unwrap().insert(class);
            ignored == Some(class)
        });
        fs.crash_at(step);
        let told = work(&fs, &phase, scale);
        seen.extend(asked.lock().unwrap().iter());
        let modes = [CrashMode::LoseAll]
            .into_iter()
            .chain((0..scale.turns).map(|seed| CrashMode::Torn(seed + step * 100)));
        for mode in modes {
            if !is_right(&fs.crash(mode), &told) {
                return (false, seen);
            }
        }
        assert!(
            is_right(&fs.restart(), &told),
            "when only the process dies, no sync is needed"
        );
        if !fs.has_crashed() {
            assert_eq!(told.acknowledged.len() + told.trimmed.len(), told.appended.len());
            return (true, seen);
        }
    }
    unreachable!("the loop ends when no step is left")
}

#[test]
fn every_acknowledged_record_survives_a_crash_at_every_step() {
    for scale in [SMALL, BLOCKS] {
        let (is_right, seen) = crash_everywhere(None, scale);
        assert!(is_right, "{scale:?}");
        assert_eq!(
            seen,
            BTreeSet::from(CLASSES),
            "a new sync needs a reason, and a test that misses it"
        );
    }
}

/// How often the story is told at most until a crash meets the sync that is left out.
const PLAYS: usize = 5;

#[test]
fn each_sync_is_needed() {
    for class in CLASSES {
        for scale in [SMALL, BLOCKS] {
            // A thread of the log prepares segments meanwhile. A sync of its own may come in between and stand in for the one that is left out.
            let is_lost = (0..PLAYS).any(|_| {
                let (is_right, seen) = crash_everywhere(Some(class), scale);
                assert!(seen.contains(&class));
                !is_right
            });
            assert!(is_lost, "nothing is lost without {class:?}, {scale:?}");
        }
    }
}

#[test]
fn a_crash_while_recovering_changes_nothing() {
    for step in (1..).step_by(3) {
        let fs = ForgetfulFs::new();
        fs.crash_at(step);
        let told = work(&fs, &AtomicU8::new(0), SMALL);
        for seed in [step, step + 1] {
            let found = fs.crash(CrashMode::Torn(seed));
            let before = found.steps();
            let (expected, records) = read(&found.restart(), &[]).unwrap();
            for again in 1.. {
                let crashing = found.restart();
                crashing.crash_at(before + again);
                if read(&crashing, &[]).is_ok() {
                    break;
                }
                let restarted = crashing.crash(CrashMode::Torn(again));
                let (recovery, records_again) = read(&restarted, &[]).unwrap();
                assert_eq!(records_again, records);
                let place = |d: &emberkeep_wal::Damage| (d.segment, d.offset, d.length, d.kind);
                assert!(recovery.damage.iter().map(place).eq(expected.damage.iter().map(place)));
                assert!(is_right(&restarted, &told));
            }
        }
        if !fs.has_crashed() {
            break;
        }
    }
}

/// A killed process leaves bytes in the page cache that no sync covered. A recovery hands them over, and from then on they are readable,
/// so they must survive.
#[test]
fn what_a_recovery_hands_over_survives_a_loss_of_power() {
    let written = ForgetfulFs::new();
    written.ignore_sync(|kind, _| kind == SyncKind::Data);
    write(&written, 0, 700, &[record(1, 10), record(2, 10)]);
    let after_power_loss = |ignored: fn(SyncKind, &Path) -> bool| {
        let killed = written.restart();
        killed.ignore_sync(ignored);
        assert_eq!(read(&killed, &[]).unwrap().1.len(), 2);
        read(&killed.crash(CrashMode::LoseAll), &[]).unwrap().1.len()
    };
    assert_eq!(after_power_loss(|_, _| false), 2);
    assert_eq!(
        after_power_loss(|kind, _| kind == SyncKind::Data),
        0,
        "the sync of the recovery is why"
    );
}
