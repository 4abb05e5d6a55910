//! Reading the log back after a crash: every valid record is handed over, everything else is set aside and reported.
//!
//! Segments are read in order, one record at a time. Nothing in them is changed or deleted: a second recovery finds the same
//! and, by the names in `set-aside/`, knows it. It must never hand over a record whose checksum is wrong, never drop one whose
//! checksum is right, and come to an end whatever a record does to the process.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use emberkeep_disk::{File, FileSystem};

use crate::attempts::Attempts;
use crate::format::{self, PLACE_LEN, RECORD_HEADER_LEN, SEALED_MAGIC, SegmentHeader};
use crate::scan::{Found, SegmentScan};
use crate::sealing::{self, OpenError, RecordSealing};
use crate::set_aside::{SetAside, Stretch};
use crate::survey::{Survey, Surveyed, survey_sealed};
use crate::{Position, RecordView, RecoveryOptions, SegmentRange, WalError, WalId};

pub use crate::set_aside::{Damage, DamageKind};

/// Takes the records of a recovery, in the order of the log.
pub trait Visit {
    /// Called before each segment is read, when no record is noted: it may wait, and a death in it is blamed on none. [`ControlFlow::Break`]
    /// ends the recovery with [`WalError::Stopped`].
    fn segment(&mut self, next: NextSegment) -> ControlFlow<()>;

    /// Takes one record, and must have done all that can fail with it on return: a crash afterwards is blamed on the next one.
    ///
    /// # Errors
    ///
    /// What becomes of the record.
    fn record(&mut self, position: Position, record: RecordView<'_>) -> Result<(), Refusal>;

    /// Learns of a stretch that is not handed over, as soon as it is set aside.
    fn damage(&mut self, damage: &Damage);
}

/// The segment that is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextSegment {
    /// Its number.
    pub number: u64,
    /// Bytes of the surveyed segments before it, preallocated ones included.
    pub bytes_before: u64,
    /// Whether records are noted, because earlier starts died: whatever else could kill the process should wait meanwhile.
    pub is_careful: bool,
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Something is wrong with the record: it is set aside with this reason, and recovery goes on.
    Poison(String),
    /// Nothing is wrong with the record: recovery ends with [`WalError::Stopped`].
    Stop,
}

/// What a recovery found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records handed over with success.
    pub records: u64,
    /// Bytes of these records, headers included.
    pub bytes: u64,
    /// What was not handed over, in the order of the log but for its torn end, which [`recover`] puts last and [`replay`] leaves out.
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

/// Surveys the log in `dir` and hands every valid record to `visit`, in order. An error of `visit` sets the record aside with that reason.
///
/// # Errors
///
/// As [`survey_sealed`] and [`replay`].
pub fn recover(
    fs: &dyn FileSystem,
    dir: &Path,
    id: WalId,
    options: RecoveryOptions<'_>,
    visit: &mut dyn FnMut(Position, RecordView<'_>) -> Result<(), String>,
) -> Result<Recovery, WalError> {
    let survey = survey_sealed(fs, dir, id, options.skip, options.sealing)?;
    let mut recovery = replay(fs, dir, id, &survey, options, &mut Plain(visit))?;
    recovery.damage.extend(survey.torn);
    Ok(recovery)
}

/// Hands every valid record of the surveyed segments to `visit`, in order. Segments that were made since the survey are not looked at.
///
/// # Errors
///
/// [`WalError::Stopped`], [`WalError::TooNew`], and [`WalError::Io`] when the disk cannot be read or has no space for what must be set
/// aside. What was visited since the last segment that `visit` has closed for itself must then be thrown away.
pub fn replay(
    fs: &dyn FileSystem,
    dir: &Path,
    id: WalId,
    survey: &Survey,
    options: RecoveryOptions<'_>,
    visit: &mut dyn Visit,
) -> Result<Recovery, WalError> {
    let mut recovery = Recovery {
        last_segment: survey.last_segment,
        foreign: survey.foreign.clone(),
        ..Recovery::default()
    };
    let is_skipped = |number: u64| options.skip.iter().any(|range| range.contains(number));
    if survey.segments.iter().all(|segment| is_skipped(segment.number)) {
        return Ok(recovery);
    }
    let mut replay = Replay {
        dir,
        id,
        options,
        set_aside: SetAside::open(fs, dir)?,
        attempts: Attempts::begin(fs, dir, options.purpose)?,
        torn: &survey.torn,
        visit,
        recovery: &mut recovery,
    };
    let mut bytes_before = 0;
    let read = survey.segments.iter().try_for_each(|segment| {
        if !is_skipped(segment.number) {
            replay.segment(fs, segment, bytes_before)?;
        }
        bytes_before += segment.len;
        Ok(())
    });
    match read {
        Ok(()) => replay.attempts.finish()?,
        Err(error) => {
            replay.attempts.withdraw();
            return Err(error);
        }
    }
    Ok(recovery)
}

/// The payload of a whole record, decrypted where it is encrypted.
pub(crate) fn payload<'r>(
    sealing: Option<&dyn RecordSealing>,
    position: Position,
    record: &'r [u8],
) -> Result<Cow<'r, [u8]>, OpenError> {
    let (header, payload) = record.split_at(RECORD_HEADER_LEN);
    if header[..SEALED_MAGIC.len()] != SEALED_MAGIC {
        return Ok(Cow::Borrowed(payload));
    }
    sealing::open(sealing, position, &header[..PLACE_LEN], payload).map(Cow::Owned)
}

/// A visitor that only wants records.
struct Plain<'v>(&'v mut dyn FnMut(Position, RecordView<'_>) -> Result<(), String>);

impl Visit for Plain<'_> {
    fn segment(&mut self, _: NextSegment) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn record(&mut self, position: Position, record: RecordView<'_>) -> Result<(), Refusal> {
        (self.0)(position, record).map_err(Refusal::Poison)
    }

    fn damage(&mut self, _: &Damage) {}
}

/// One run through the segments.
struct Replay<'a, 'v> {
    dir: &'a Path,
    id: WalId,
    options: RecoveryOptions<'a>,
    set_aside: SetAside<'a>,
    attempts: Attempts<'a>,
    /// The torn end of the log, which the survey has set aside and reports.
    torn: &'a [Damage],
    visit: &'v mut dyn Visit,
    recovery: &'a mut Recovery,
}

impl Replay<'_, '_> {
    fn segment(&mut self, fs: &dyn FileSystem, segment: &Surveyed, bytes_before: u64) -> Result<(), WalError> {
        let (number, path) = (segment.number, &segment.path);
        self.attempts.rest()?;
        let next = NextSegment {
            number,
            bytes_before,
            is_careful: self.attempts.is_careful(),
        };
        if self.visit.segment(next).is_break() {
            return Err(self.stopped());
        }
        let file = fs.open(path).map_err(WalError::io("open", path))?;
        let (header, mut scan) = SegmentScan::open(file, self.id, number).map_err(WalError::io("read", path))?;
        if let SegmentHeader::Newer { version } = header {
            return Err(WalError::TooNew {
                path: path.clone(),
                version,
                known: format::VERSION,
            });
        }
        scan.know_content_end(segment.content_end);
        let range = self.recovery.segments.get_or_insert(SegmentRange {
            from: number,
            to: number,
        });
        range.to = number;
        while let Some(found) = scan.next().map_err(WalError::io("read", path))? {
            match found {
                Found::Record { offset, len } => self.record(&mut scan, path, number, offset, len)?,
                // The end of the log is known, so whatever else does not parse has something valid behind it.
                Found::Damage { offset, len } | Found::Tail { offset, len } => {
                    let stretch = Stretch {
                        segment: number,
                        offset,
                        len,
                    };
                    self.damage(scan.file(), &stretch)?;
                }
            }
        }
        Ok(())
    }

    /// Hands one record over, or sets it aside.
    fn record(
        &mut self,
        scan: &mut SegmentScan,
        path: &Path,
        segment: u64,
        offset: u64,
        len: usize,
    ) -> Result<(), WalError> {
        if self.options.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(self.stopped());
        }
        let position = Position { segment, offset };
        let stretch = Stretch {
            segment,
            offset,
            len: len as u64,
        };
        if let Some((kind, path)) = self.set_aside.find(&stretch, &[DamageKind::Poison]) {
            self.report(stretch.damage(kind, path, true));
            return Ok(());
        }
        let reason = if self.attempts.condemned() == Some(position) {
            "five starts in a row died while replaying it".to_owned()
        } else {
            self.attempts.note(position)?;
            let bytes = scan.record(offset, len).map_err(WalError::io("read", path))?;
            let payload = match payload(self.options.sealing, position, bytes) {
                Err(OpenError::Key(reason)) => {
                    let path = path.to_path_buf();
                    return Err(WalError::Key { path, reason });
                }
                Err(OpenError::Damaged(reason)) => Err(reason),
                Ok(payload) => Ok(payload),
            };
            let record = payload
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|payload| RecordView::decode(payload));
            let visited = match record {
                Err(reason) => Err(Refusal::Poison(reason)),
                Ok(record) => {
                    let arrival = record.arrival;
                    self.visit.record(position, record).map(|()| arrival)
                }
            };
            match visited {
                Ok(arrival) => {
                    self.recovery.records += 1;
                    self.recovery.bytes += stretch.len;
                    self.recovery.newest_arrival = self.recovery.newest_arrival.max(Some(arrival));
                    return Ok(());
                }
                Err(Refusal::Stop) => return Err(self.stopped()),
                Err(Refusal::Poison(reason)) => reason,
            }
        };
        tracing::error!(%position, reason, "record is set aside");
        // The reason first: once the copy is there, the record is not looked at again.
        self.set_aside.put_reason(&stretch, &reason)?;
        let path = self.set_aside.put(scan.file(), &stretch, DamageKind::Poison)?;
        self.report(stretch.damage(DamageKind::Poison, path, false));
        Ok(())
    }

    fn damage(&mut self, file: &dyn File, stretch: &Stretch) -> Result<(), WalError> {
        let is_torn = |torn: &Damage| (torn.segment, torn.offset) == (stretch.segment, stretch.offset);
        if !self.torn.iter().any(is_torn) {
            let damage = self.set_aside.keep_damage(file, stretch, DamageKind::Damaged)?;
            self.report(damage);
        }
        Ok(())
    }

    fn report(&mut self, damage: Damage) {
        self.visit.damage(&damage);
        self.recovery.damage.push(damage);
    }

    fn stopped(&self) -> WalError {
        WalError::Stopped {
            path: self.dir.to_path_buf(),
        }
    }
}
