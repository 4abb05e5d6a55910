//! Reads one segment: its records in order, and the stretches between them that do not parse.
//!
//! After damage it looks for the next header of this log that states its own position and has a right checksum. It must
//! never trust a length before the checksum, never hold more than one record and one window, and account for every byte that
//! is not zero as part of a record, of the header or of damage.

use std::io;

use emberkeep_disk::File;

use crate::format::{self, RECORD_HEADER_LEN, RECORD_MAGIC, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::{Position, WalId};

/// How much is read at a time, in bytes.
const WINDOW_BYTES: usize = 1 << 20;

/// What was found next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole record.
    Record { offset: u64, len: usize },
    /// Bytes that do not parse, and a whole record of this segment follows.
    Damage { offset: u64, len: u64 },
    /// Bytes that do not parse, and nothing in this segment follows; trailing zeros are not part of it.
    Tail { offset: u64, len: u64 },
}

/// A walk through one segment.
#[derive(Debug)]
pub(crate) struct SegmentScan {
    window: Window,
    id: WalId,
    segment: u64,
    offset: u64,
}

impl SegmentScan {
    /// Reads the header. Records can be read whether it is there or not; only for [`SegmentHeader::Ours`] it is not
    /// itself reported as damage.
    pub(crate) fn open(file: Box<dyn File>, id: WalId, segment: u64) -> io::Result<(SegmentHeader, Self)> {
        let mut window = Window::new(file)?;
        let bytes = window.at_least(0, SEGMENT_HEADER_LEN)?;
        let header = format::read_segment_header(bytes, &id, segment);
        let offset = if header == SegmentHeader::Ours {
            SEGMENT_HEADER_LEN as u64
        } else {
            0
        };
        Ok((
            header,
            Self {
                window,
                id,
                segment,
                offset,
            },
        ))
    }

    /// The next record or damage; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        let start = self.offset;
        if let Some(len) = self.record_at(start)? {
            self.offset = start + len as u64;
            return Ok(Some(Found::Record { offset: start, len }));
        }
        if let Some(next) = self.find_record(start)? {
            self.offset = next;
            return Ok(Some(Found::Damage {
                offset: start,
                len: next - start,
            }));
        }
        self.offset = self.window.file_len;
        Ok(self.end_of_content(start)?.map(|end| Found::Tail {
            offset: start,
            len: end - start,
        }))
    }

    /// The bytes of a record that [`Self::next`] found, header included.
    pub(crate) fn record(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let bytes = self.window.at_least(offset, len)?;
        bytes.get(..len).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The file, to copy from.
    pub(crate) fn file(&self) -> &dyn File {
        &*self.window.file
    }

    /// The length of the whole record at this offset, if there is one.
    fn record_at(&mut self, offset: u64) -> io::Result<Option<usize>> {
        let position = Position {
            segment: self.segment,
            offset,
        };
        let header = self.window.at_least(offset, RECORD_HEADER_LEN)?;
        let Some(payload_len) = format::claimed_payload_len(header, &self.id, position) else {
            return Ok(None);
        };
        let claimed = RECORD_HEADER_LEN as u64 + u64::from(payload_len);
        // Checked against the file before anything is read or reserved for it.
        if offset.checked_add(claimed).is_none_or(|end| end > self.window.file_len) {
            return Ok(None);
        }
        let len = usize::try_from(claimed).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let bytes = self.window.at_least(offset, len)?;
        Ok(bytes.get(..len).is_some_and(format::is_whole_record).then_some(len))
    }

    /// The offset of the first whole record after `start`.
    fn find_record(&mut self, start: u64) -> io::Result<Option<u64>> {
        let mut offset = start + 1;
        loop {
            let bytes = self.window.at_least(offset, RECORD_HEADER_LEN)?;
            if bytes.len() < RECORD_HEADER_LEN {
                return Ok(None);
            }
            match bytes.windows(RECORD_MAGIC.len()).position(|four| four == RECORD_MAGIC) {
                None => offset += (bytes.len() - RECORD_MAGIC.len() + 1) as u64,
                Some(distance) => {
                    offset += distance as u64;
                    if self.record_at(offset)?.is_some() {
                        return Ok(Some(offset));
                    }
                    offset += 1;
                }
            }
        }
    }

    /// The offset after the last byte from `start` on that is not zero.
    fn end_of_content(&mut self, start: u64) -> io::Result<Option<u64>> {
        let (mut offset, mut end) = (start, None);
        loop {
            let bytes = self.window.at_least(offset, 1)?;
            if bytes.is_empty() {
                return Ok(end);
            }
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = Some(offset + last as u64 + 1);
            }
            offset += bytes.len() as u64;
        }
    }
}

/// A stretch of the file in memory.
#[derive(Debug)]
struct Window {
    file: Box<dyn File>,
    file_len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn new(file: Box<dyn File>) -> io::Result<Self> {
        let file_len = file.len()?;
        Ok(Self {
            file,
            file_len,
            start: 0,
            bytes: Vec::new(),
        })
    }

    /// The bytes from the offset on: at least `count` of them, fewer only where the file ends.
    fn at_least(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.file_len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let end = self.start + self.bytes.len() as u64;
        if !(self.start..=end).contains(&offset) || end - offset < count.min(left) as u64 {
            self.load(offset, count.max(WINDOW_BYTES).min(left))?;
        }
        // After loading, the offset is inside of what is held.
        let skip = usize::try_from(offset - self.start)
            .unwrap_or(usize::MAX)
            .min(self.bytes.len());
        Ok(&self.bytes[skip..])
    }

    fn load(&mut self, offset: u64, count: usize) -> io::Result<()> {
        self.start = offset;
        // A single huge record must not pin its size for the rest of the segment.
        if self.bytes.capacity() > 2 * WINDOW_BYTES && count <= WINDOW_BYTES {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.bytes.resize(count, 0);
        let mut filled = 0;
        while filled < count {
            match self.file.read_at(&mut self.bytes[filled..], offset + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}
