//! Any single fault of the disk, anywhere: a failed sync or call, a write that stops half-way, a disk that fills up.
//!
//! Whatever goes wrong: what was acknowledged is there after a crash, nothing is there that was not sent, answers keep the order
//! of the calls, a log that only ran out of space goes on, and one that ended acknowledges nothing more.

use std::io;
use std::sync::Arc;

use emberkeep_disk::{CrashMode, ForgetfulFs};
use emberkeep_wal::{AppendError, DamageKind, PendingAppend, PendingRotation, Position, SegmentRange};
use proptest::prelude::*;

use crate::rig::{number, read, record, small_segments, start};

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// The n-th sync from then on fails.
    Sync(u64),
    /// The n-th call from then on fails.
    Call(u64, io::ErrorKind),
    /// The n-th write from then on writes so many bytes.
    ShortWrite(u64, usize, io::ErrorKind),
    /// After so many bytes, every write fails.
    WritesEnd(usize),
    /// There is space for so many bytes more.
    Space(u64),
}

#[derive(Clone, Debug)]
enum Call {
    /// Appends whose answers are waited for together.
    Group(Vec<usize>),
    Rotate,
}

fn kinds() -> impl Strategy<Value = io::ErrorKind> {
    prop_oneof![Just(io::ErrorKind::StorageFull), Just(io::ErrorKind::Other)]
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::None),
        (1..6_u64).prop_map(Fault::Sync),
        (1..20_u64, kinds()).prop_map(|(n, kind)| Fault::Call(n, kind)),
        (1..6_u64, 0..70_000_usize, kinds()).prop_map(|(n, written, kind)| Fault::ShortWrite(n, written, kind)),
        (0..200_000_usize).prop_map(Fault::WritesEnd),
        (0..200_000_u64).prop_map(Fault::Space),
    ]
}

fn calls(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        4 => prop::collection::vec(len, 1..6).prop_map(Call::Group),
        1 => Just(Call::Rotate),
    ];
    prop::collection::vec(call, 1..12)
}

/// Segments that hold a few of the records each, in both layouts.
fn scripts() -> impl Strategy<Value = (u64, Vec<Call>, usize, Fault)> {
    let scaled = prop_oneof![
        calls(0..400).prop_map(|calls| (700, calls)),
        calls(0..30_000).prop_map(|calls| (64 << 10, calls)),
    ];
    (scaled, 0..12_usize, faults()).prop_map(|((segment_bytes, calls), at, fault)| (segment_bytes, calls, at, fault))
}

fn order(fs: &ForgetfulFs, fault: Fault) {
    match fault {
        Fault::None => {}
        Fault::Sync(n) => fs.fail_sync(n),
        Fault::Call(n, kind) => fs.fail_call(n, kind),
        Fault::ShortWrite(n, written, kind) => fs.shorten_write(n, written, kind),
        Fault::WritesEnd(bytes) => fs.limit_writes(bytes, io::ErrorKind::StorageFull),
        Fault::Space(bytes) => fs.set_space(fs.used_space() + bytes),
    }
}

/// Everything that was asked for and answered.
#[derive(Debug, Default)]
struct Book {
    /// Every record in the order of the calls, with its answer.
    answers: Vec<(u32, usize, Result<Position, AppendError>)>,
    ranges: Vec<SegmentRange>,
    is_fatal: bool,
}

impl Book {
    fn group(&mut self, group: Vec<(u32, usize, PendingAppend)>) {
        for (number, len, pending) in group {
            let answer = pending.wait();
            self.heard(answer.err());
            self.answers.push((number, len, answer));
        }
    }

    fn rotation(&mut self, pending: PendingRotation) {
        let answer = pending.wait();
        self.heard(answer.err());
        self.ranges.extend(answer.ok().flatten());
    }

    /// Once the log has ended, nothing else is answered.
    fn heard(&mut self, error: Option<AppendError>) {
        assert!(!self.is_fatal || error == Some(AppendError::Fatal), "{error:?}");
        self.is_fatal |= error == Some(AppendError::Fatal);
    }

    fn check(&self) {
        let positions: Vec<_> = self.answers.iter().filter_map(|(.., answer)| answer.ok()).collect();
        assert!(
            positions.is_sorted_by(|a, b| a < b),
            "answers are in the order of the calls"
        );
        assert!(self.ranges.iter().all(|range| range.from <= range.to));
        assert!(self.ranges.windows(2).all(|pair| pair[0].to + 1 == pair[1].from));
    }

    /// Judges a machine that a crash has left.
    fn judge(&self, found: &ForgetfulFs) {
        let (recovery, records) = read(found, &[]).unwrap();
        let numbers: Vec<_> = records.iter().map(number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "each once, in order: {numbers:?}");
        for (found, number) in records.iter().zip(&numbers) {
            let (_, len, _) = self.answers[*number as usize];
            assert_eq!(*found, record(*number, len));
        }
        for (number, _, answer) in &self.answers {
            assert!(answer.is_err() || numbers.contains(number), "{number} was acknowledged");
        }
        assert!(recovery.damage.iter().all(|damage| damage.kind != DamageKind::Poison));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_fault_makes_an_acknowledgement_untrue((segment_bytes, calls, at, fault) in scripts()) {
        let fs = ForgetfulFs::new();
        let wal = start(Arc::new(fs.clone()), 0, small_segments(segment_bytes)).unwrap();
        let (mut book, mut next) = (Book::default(), 0);
        for (index, call) in calls.iter().enumerate() {
            if index == at {
                order(&fs, fault);
            }
            match call {
                Call::Group(lens) => {
                    let group = lens.iter().map(|len| {
                        next += 1;
                        (next - 1, *len, wal.append(record(next - 1, *len)))
                    });
                    book.group(group.collect());
                }
                Call::Rotate => book.rotation(wal.rotate()),
            }
        }
        // With space again the log goes on, unless it had to end.
        fs.unlimited_space();
        fs.unlimited_writes();
        let (mut is_well, tries) = (book.is_fatal, 21);
        for _ in 0..tries {
            book.group(vec![(next, 100, wal.append(record(next, 100)))]);
            next += 1;
            is_well |= book.is_fatal || book.answers.last().is_some_and(|(.., answer)| answer.is_ok());
        }
        prop_assert!(is_well);
        book.rotation(wal.rotate());
        book.check();
        book.judge(&fs.restart());
        for mode in [CrashMode::LoseAll, CrashMode::Torn(1), CrashMode::Torn(2)] {
            book.judge(&fs.crash(mode));
        }
        drop(wal);
        book.judge(&fs.crash(CrashMode::LoseAll));
    }
}
