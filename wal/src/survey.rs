//! What a start learns of a log before it reads it: which segments there are, that none is newer than this program, and where it ended.
//!
//! It takes as long for a long log as for a short one: a few bytes of each segment, and all of the last one. Where the log ended must be
//! judged before anything new is written, because a torn end is one that nothing valid follows. It must never hand a record over.

use std::path::{Path, PathBuf};

use emberkeep_disk::{File, FileSystem};

use crate::format::{self, RECORD_HEADER_LEN, SEALED_MAGIC, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::recovery::payload;
use crate::scan::{Found, SegmentScan};
use crate::sealing::{OpenError, RecordSealing};
use crate::set_aside::{Damage, DamageKind, SetAside, Stretch};
use crate::trim::segments_of;
use crate::{Position, RecordView, SegmentRange, WalError, WalId};

/// What lies in the directory of a log that is not running yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The segments to read, in the order of the log; segments that are made later are none of them.
    pub(crate) segments: Vec<Surveyed>,
    /// The greatest segment number of any file, skipped and foreign ones included; new segments start above it.
    pub last_segment: Option<u64>,
    /// The newest arrival time in the last segment that has records, in milliseconds since the Unix epoch.
    pub newest_arrival: Option<i64>,
    /// The newest validator version in that segment.
    pub newest_validator: Option<u32>,
    /// The torn end of the log, set aside: bytes that do not parse, in the order of the log, and nothing valid follows.
    pub torn: Vec<Damage>,
    /// Files with a valid header of another log (or of another segment under a wrong name); left alone.
    pub foreign: Vec<PathBuf>,
}

/// A segment to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Surveyed {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    /// Bytes, preallocated ones included.
    pub(crate) len: u64,
    /// Where the last byte ends that is not zero, when the survey has seen it.
    pub(crate) content_end: Option<u64>,
}

impl Survey {
    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Bytes of the segments to read, preallocated ones included.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }
}

/// Looks at the log in `dir` and sets its torn end aside. Segments in `skip` are replaced by parts and not looked at.
///
/// # Errors
///
/// [`WalError::TooNew`], and [`WalError::Io`] when the disk cannot be read or synced or has no space for what must be set aside.
pub fn survey(fs: &dyn FileSystem, dir: &Path, id: WalId, skip: &[SegmentRange]) -> Result<Survey, WalError> {
    survey_sealed(fs, dir, id, skip, None)
}

/// As [`survey`], with the keys of encrypted records.
///
/// # Errors
///
/// As [`survey`], and [`WalError::Key`] when the key of a segment is missing or wrong.
pub fn survey_sealed(
    fs: &dyn FileSystem,
    dir: &Path,
    id: WalId,
    skip: &[SegmentRange],
    sealing: Option<&dyn RecordSealing>,
) -> Result<Survey, WalError> {
    let files = segments_of(fs, dir)?;
    let mut survey = Survey {
        last_segment: files.last().map(|(number, _)| *number),
        ..Survey::default()
    };
    for (number, entry) in files {
        if skip.iter().any(|range| range.contains(number)) {
            continue;
        }
        let path = dir.join(&entry.name);
        match header(fs, &path, id, number)? {
            SegmentHeader::Ours | SegmentHeader::Missing => {
                check_key(fs, &path, (id, number), sealing)?;
                survey.segments.push(Surveyed {
                    number,
                    path,
                    len: entry.len,
                    content_end: None,
                });
            }
            SegmentHeader::Newer { version } => {
                return Err(WalError::TooNew {
                    path,
                    version,
                    known: format::VERSION,
                });
            }
            SegmentHeader::Foreign { id, segment } => {
                tracing::warn!(path = %path.display(), %id, segment, "segment of another log is left alone");
                survey.foreign.push(path);
            }
        }
    }
    let mut ends = Vec::new();
    for segment in survey.segments.iter_mut().rev() {
        let end = read_end(fs, id, segment, sealing)?;
        segment.content_end = end.content_end;
        survey.newest_arrival = end.newest_arrival;
        survey.newest_validator = end.newest_validator;
        ends.extend(end.tail.map(|stretch| (stretch, end.file)));
        if end.has_records {
            break;
        }
    }
    if !ends.is_empty() {
        let mut set_aside = SetAside::open(fs, dir)?;
        for (stretch, file) in ends.iter().rev() {
            survey
                .torn
                .push(set_aside.keep_damage(&**file, stretch, DamageKind::TornTail)?);
        }
    }
    Ok(survey)
}

fn header(fs: &dyn FileSystem, path: &Path, id: WalId, number: u64) -> Result<SegmentHeader, WalError> {
    let file = fs.open(path).map_err(WalError::io("open", path))?;
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    let mut filled = 0;
    while filled < bytes.len() {
        match file
            .read_at(&mut bytes[filled..], filled as u64)
            .map_err(WalError::io("read", path))?
        {
            0 => break,
            count => filled += count,
        }
    }
    Ok(format::read_segment_header(&bytes[..filled], &id, number))
}

/// Whether the key of a segment is there, judged by its first record, when that is whole: a damaged key id must not stop a start. Only the
/// bytes of that record are read.
fn check_key(
    fs: &dyn FileSystem,
    path: &Path,
    (id, segment): (WalId, u64),
    sealing: Option<&dyn RecordSealing>,
) -> Result<(), WalError> {
    let file = fs.open(path).map_err(WalError::io("open", path))?;
    let mut magic = SEALED_MAGIC.map(|_| 0);
    let read = file.read_at(&mut magic, SEGMENT_HEADER_LEN as u64);
    if read.map_err(WalError::io("read", path))? < magic.len() || magic != SEALED_MAGIC {
        return Ok(());
    }
    let (_, mut scan) = SegmentScan::open(file, id, segment).map_err(WalError::io("read", path))?;
    let first = scan.first_record().map_err(WalError::io("read", path))?;
    let Some(sealed) = first else {
        return Ok(());
    };
    let checked = match sealing {
        Some(sealing) => sealing.check(&sealed[RECORD_HEADER_LEN..]),
        None => Err("it is encrypted, and no key is configured".to_owned()),
    };
    checked.map_err(|reason| WalError::Key {
        path: path.to_path_buf(),
        reason,
    })
}

/// What the last segments are read for.
struct End {
    file: Box<dyn File>,
    has_records: bool,
    newest_arrival: Option<i64>,
    newest_validator: Option<u32>,
    content_end: Option<u64>,
    tail: Option<Stretch>,
}

/// Walks one segment to its end.
///
/// It is synced first. A killed process leaves bytes in the page cache that no sync covered; what is handed over later will be readable,
/// and what is readable must survive. All segments before the last one with records need none: the writer has synced a segment before it
/// writes a record to the next.
fn read_end(
    fs: &dyn FileSystem,
    id: WalId,
    segment: &Surveyed,
    sealing: Option<&dyn RecordSealing>,
) -> Result<End, WalError> {
    let path = &segment.path;
    let file = fs.open(path).map_err(WalError::io("open", path))?;
    file.sync_data().map_err(WalError::io("sync", path))?;
    let (_, mut scan) = SegmentScan::open(file, id, segment.number).map_err(WalError::io("read", path))?;
    let (mut newest_arrival, mut newest_validator) = (None, None);
    let (mut has_records, mut tail) = (false, None);
    while let Some(found) = scan.next().map_err(WalError::io("read", path))? {
        match found {
            Found::Record { offset, len } => {
                has_records = true;
                let bytes = scan.record(offset, len).map_err(WalError::io("read", path))?;
                let position = Position {
                    segment: segment.number,
                    offset,
                };
                let payload = match payload(sealing, position, bytes) {
                    Err(OpenError::Key(reason)) => {
                        let path = path.clone();
                        return Err(WalError::Key { path, reason });
                    }
                    opened => opened.ok(),
                };
                if let Some(Ok(record)) = payload.as_deref().map(RecordView::decode) {
                    newest_arrival = newest_arrival.max(Some(record.arrival));
                    newest_validator = newest_validator.max(Some(record.verdict.validator()));
                }
            }
            // A record follows it: it is judged when the log is read.
            Found::Damage { .. } => {}
            Found::Tail { offset, len } => {
                tail = Some(Stretch {
                    segment: segment.number,
                    offset,
                    len,
                });
            }
        }
    }
    Ok(End {
        content_end: scan.content_end(),
        file: scan.into_file(),
        has_records,
        newest_arrival,
        newest_validator,
        tail,
    })
}
