//! Reading the log back after a crash: every valid record is handed over, everything else is set aside and reported.
//!
//! Segments are read in order, one record at a time. Nothing in them is changed or deleted: a second recovery finds the same
//! and, by the names in `set-aside/`, knows it. It must never hand over a record whose checksum is wrong, never drop one whose
//! checksum is right, and come to an end whatever a record does to the process.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use emberkeep_disk::{Entry, FileSystem};

use crate::attempts::Attempts;
use crate::format::{self, RECORD_HEADER_LEN, SegmentHeader};
use crate::scan::{Found, SegmentScan};
use crate::set_aside::{SetAside, Stretch};
use crate::trim::segments_of;
use crate::{Position, RecordView, RecoveryOptions, SegmentRange, WalError, WalId};

pub use crate::set_aside::DamageKind;

/// Takes the records of a recovery, in the order of the log. An error sets the record aside with that reason.
type Visit<'v> = dyn FnMut(Position, RecordView<'_>) -> Result<(), String> + 'v;

/// What a recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records handed over with success.
    pub records: u64,
    /// Bytes of these records, headers included.
    pub bytes: u64,
    /// What was not handed over, in the order of the log but for tails, which are judged last.
    pub damage: Vec<Damage>,
    /// The greatest segment number of any file, skipped and foreign ones included; new segments start above it.
    pub last_segment: Option<u64>,
    /// The newest arrival time of a record, in milliseconds since the Unix epoch.
    pub newest_arrival: Option<i64>,
    /// From the first to the last segment that was read: what the recovered records replace once they are staged.
    pub segments: Option<SegmentRange>,
    /// Files with a valid header of another log (or of another segment under a wrong name); left alone.
    pub foreign: Vec<PathBuf>,
}

/// A stretch of the log that was not handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u64,
    /// Offset in the segment in bytes.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// What it is; as first judged, when it was seen before.
    pub kind: DamageKind,
    /// The copy.
    pub set_aside: PathBuf,
    /// Whether an earlier recovery set it aside; it is counted already then.
    pub seen_before: bool,
}

/// Reads the log in `dir` and hands every valid record to `visit`, in order.
///
/// `visit` must have done all that can fail with a record when it returns: a crash after it returned is blamed on the
/// next record. When this returns an error, what was visited so far must be thrown away.
///
/// # Errors
///
/// [`WalError::TooNew`] before anything of that segment is visited, [`WalError::Stopped`], and [`WalError::Io`] when
/// the disk cannot be read or has no space for what must be set aside.
pub fn recover(
    fs: &dyn FileSystem,
    dir: &Path,
    id: WalId,
    options: RecoveryOptions<'_>,
    visit: &mut Visit<'_>,
) -> Result<Recovery, WalError> {
    let segments = segments_of(fs, dir)?;
    let mut recovery = Recovery {
        last_segment: segments.last().map(|(number, _)| *number),
        ..Recovery::default()
    };
    let is_skipped = |number: u64| options.skip.iter().any(|range| range.contains(number));
    let read: Vec<_> = segments
        .into_iter()
        .filter(|(number, _)| !is_skipped(*number))
        .collect();
    if read.is_empty() {
        return Ok(recovery);
    }
    let set_aside = SetAside::open(fs, dir)?;
    let attempts = Attempts::begin(fs, dir)?;
    let mut replay = Replay {
        fs,
        dir,
        id,
        options,
        set_aside,
        attempts,
        tails: Vec::new(),
        recovery: &mut recovery,
    };
    match replay.run(&read, visit) {
        Ok(()) => replay.attempts.finish()?,
        Err(error) => {
            replay.attempts.withdraw();
            return Err(error);
        }
    }
    Ok(recovery)
}

/// One run through the segments.
struct Replay<'a> {
    fs: &'a dyn FileSystem,
    dir: &'a Path,
    id: WalId,
    options: RecoveryOptions<'a>,
    set_aside: SetAside<'a>,
    attempts: Attempts<'a>,
    /// Ends of segments that do not parse. Whether they are torn tails shows when all of the log was read.
    tails: Vec<Stretch>,
    recovery: &'a mut Recovery,
}

impl Replay<'_> {
    fn run(&mut self, segments: &[(u64, Entry)], visit: &mut Visit<'_>) -> Result<(), WalError> {
        for (number, entry) in segments {
            self.read_segment(*number, &self.dir.join(&entry.name), visit)?;
        }
        self.judge_tails(DamageKind::TornTail)
    }

    fn read_segment(&mut self, segment: u64, path: &Path, visit: &mut Visit<'_>) -> Result<(), WalError> {
        let file = self.fs.open(path).map_err(WalError::io("open", path))?;
        // A killed process leaves bytes in the page cache that no sync covered. What is handed over will be readable, and what is readable
        // must survive.
        file.sync_data().map_err(WalError::io("sync", path))?;
        let (header, mut scan) = SegmentScan::open(file, self.id, segment).map_err(WalError::io("read", path))?;
        match header {
            SegmentHeader::Ours | SegmentHeader::Missing => {}
            SegmentHeader::Newer { version } => {
                return Err(WalError::TooNew {
                    path: path.to_path_buf(),
                    version,
                    known: format::VERSION,
                });
            }
            SegmentHeader::Foreign { id, segment: number } => {
                tracing::warn!(path = %path.display(), %id, number, "segment of another log is left alone");
                self.recovery.foreign.push(path.to_path_buf());
                return Ok(());
            }
        }
        let range = self.recovery.segments.get_or_insert(SegmentRange {
            from: segment,
            to: segment,
        });
        range.to = segment;
        while let Some(found) = scan.next().map_err(WalError::io("read", path))? {
            match found {
                Found::Record { offset, len } => {
                    if self.options.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                        return Err(WalError::Stopped {
                            path: self.dir.to_path_buf(),
                        });
                    }
                    self.judge_tails(DamageKind::Damaged)?;
                    self.replay(
                        &mut scan,
                        path,
                        Stretch {
                            segment,
                            offset,
                            len: len as u64,
                        },
                        visit,
                    )?;
                }
                Found::Damage { offset, len } => {
                    self.judge_tails(DamageKind::Damaged)?;
                    let stretch = Stretch { segment, offset, len };
                    self.put_damage(&scan, &stretch, DamageKind::Damaged)?;
                }
                Found::Tail { offset, len } => self.tails.push(Stretch { segment, offset, len }),
            }
        }
        Ok(())
    }

    /// Hands one record over, or sets it aside.
    fn replay(
        &mut self,
        scan: &mut SegmentScan,
        path: &Path,
        stretch: Stretch,
        visit: &mut Visit<'_>,
    ) -> Result<(), WalError> {
        let position = Position {
            segment: stretch.segment,
            offset: stretch.offset,
        };
        if let Some((kind, path)) = self.set_aside.find(&stretch, &[DamageKind::Poison]) {
            self.report(&stretch, kind, path, true);
            return Ok(());
        }
        let outcome = if self.attempts.condemned() == Some(position) {
            Err("two starts in a row died while replaying it".to_owned())
        } else {
            self.attempts.note(position)?;
            let len = usize::try_from(stretch.len).unwrap_or(usize::MAX);
            let bytes = scan.record(stretch.offset, len).map_err(WalError::io("read", path))?;
            RecordView::decode(&bytes[RECORD_HEADER_LEN..]).and_then(|record| {
                let arrival = record.arrival;
                visit(position, record).map(|()| arrival)
            })
        };
        match outcome {
            Ok(arrival) => {
                self.recovery.records += 1;
                self.recovery.bytes += stretch.len;
                self.recovery.newest_arrival = self.recovery.newest_arrival.max(Some(arrival));
            }
            Err(reason) => {
                tracing::error!(%position, reason, "record is set aside");
                // The reason first: once the copy is there, the record is not looked at again.
                self.set_aside.put_reason(&stretch, &reason)?;
                let path = self.set_aside.put(scan.file(), &stretch, DamageKind::Poison)?;
                self.report(&stretch, DamageKind::Poison, path, false);
            }
        }
        Ok(())
    }

    /// Sets the ends of earlier segments aside: as damage once something valid followed, as torn when nothing did.
    fn judge_tails(&mut self, kind: DamageKind) -> Result<(), WalError> {
        for stretch in std::mem::take(&mut self.tails) {
            let path = self.dir.join(format::segment_name(stretch.segment));
            let file = self.fs.open(&path).map_err(WalError::io("open", &path))?;
            let (_, scan) = SegmentScan::open(file, self.id, stretch.segment).map_err(WalError::io("read", &path))?;
            self.put_damage(&scan, &stretch, kind)?;
        }
        Ok(())
    }

    fn put_damage(&mut self, scan: &SegmentScan, stretch: &Stretch, kind: DamageKind) -> Result<(), WalError> {
        // What was torn when it was found is still torn when later starts have written more.
        if let Some((kind, path)) = self
            .set_aside
            .find(stretch, &[DamageKind::Damaged, DamageKind::TornTail])
        {
            self.report(stretch, kind, path, true);
            return Ok(());
        }
        let path = self.set_aside.put(scan.file(), stretch, kind)?;
        self.report(stretch, kind, path, false);
        Ok(())
    }

    fn report(&mut self, stretch: &Stretch, kind: DamageKind, set_aside: PathBuf, seen_before: bool) {
        let Stretch {
            segment,
            offset,
            len: length,
        } = *stretch;
        self.recovery.damage.push(Damage {
            segment,
            offset,
            length,
            kind,
            set_aside,
            seen_before,
        });
    }
}
