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
    /// Known once something did not parse.
    content_end: Option<u64>,
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
                content_end: None,
            },
        ))
    }

    /// Spares the look for the end of the content, which another walk has found. Nothing was written since.
    pub(crate) fn know_content_end(&mut self, end: Option<u64>) {
        self.content_end = end;
    }

    /// Where the last byte ends that is not zero, once it was looked for.
    pub(crate) fn content_end(&self) -> Option<u64> {
        self.content_end
    }

    /// The next record or damage; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found>> {
        let start = self.offset;
        if let Some(len) = self.record_at(start)? {
            self.offset = start + len as u64;
            return Ok(Some(Found::Record { offset: start, len }));
        }
        // First, because behind the last record of a segment there is most often nothing but preallocated zeros.
        let end = self.end_of_content(start)?;
        if end <= start {
            self.offset = self.window.file_len;
            return Ok(None);
        }
        if let Some(next) = self.find_record(start, end)? {
            self.offset = next;
            return Ok(Some(Found::Damage {
                offset: start,
                len: next - start,
            }));
        }
        self.offset = self.window.file_len;
        Ok(Some(Found::Tail {
            offset: start,
            len: end - start,
        }))
    }

    /// The bytes of the first record, when one begins right behind the header; nothing else is looked for.
    pub(crate) fn first_record(&mut self) -> io::Result<Option<&[u8]>> {
        let offset = SEGMENT_HEADER_LEN as u64;
        match self.record_at(offset)? {
            Some(len) => self.record(offset, len).map(Some),
            None => Ok(None),
        }
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

    /// The file, when the walk is over.
    pub(crate) fn into_file(self) -> Box<dyn File> {
        self.window.file
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

    /// The offset of the first whole record after `start`; there is no byte but zeros from `end` on.
    fn find_record(&mut self, start: u64, end: u64) -> io::Result<Option<u64>> {
        let mut offset = start + 1;
        while offset < end {
            let bytes = self.window.at_least(offset, RECORD_HEADER_LEN)?;
            if bytes.len() < RECORD_HEADER_LEN {
                return Ok(None);
            }
            match bytes.windows(RECORD_MAGIC.len()).position(format::is_record_magic) {
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
        Ok(None)
    }

    /// The offset after the last byte of the file that is not zero; `start` when none from there on is.
    fn end_of_content(&mut self, start: u64) -> io::Result<u64> {
        if let Some(end) = self.content_end {
            return Ok(end);
        }
        let (mut offset, mut end) = (start, start);
        loop {
            let bytes = self.window.at_least(offset, 1)?;
            if bytes.is_empty() {
                self.content_end = Some(end);
                return Ok(end);
            }
            if let Some(last) = last_nonzero(bytes) {
                end = offset + last as u64 + 1;
            }
            offset += bytes.len() as u64;
        }
    }
}

/// The index of the last byte that is not zero. In blocks, which the compiler makes wide comparisons of: there may be many zeros.
fn last_nonzero(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 256;
    let mut end = bytes.len();
    for block in bytes.rchunks(BLOCK) {
        if block.iter().fold(0, |all, byte| all | byte) != 0 {
            return bytes[..end].iter().rposition(|byte| *byte != 0);
        }
        end -= block.len();
    }
    None
}

/// A stretch of the file in memory.
#[derive(Debug)]
struct Window {
    file: Box<dyn File>,
    file_len: u64,
    /// Where in the file the buffer begins.
    start: u64,
    /// The first `filled` bytes are the file's; the rest is room that is not cleared for each load.
    buffer: Vec<u8>,
    filled: usize,
}

impl Window {
    fn new(file: Box<dyn File>) -> io::Result<Self> {
        let file_len = file.len()?;
        Ok(Self {
            file,
            file_len,
            start: 0,
            buffer: Vec::new(),
            filled: 0,
        })
    }

    /// The bytes from the offset on: at least `count` of them, fewer only where the file ends.
    fn at_least(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.file_len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = count.min(left);
        let end = self.start + self.filled as u64;
        if !(self.start..=end).contains(&offset) || end - offset < wanted as u64 {
            self.load(offset, count.max(WINDOW_BYTES).min(left))?;
        }
        // After loading, the offset is inside of what is held.
        let skip = usize::try_from(offset - self.start)
            .unwrap_or(usize::MAX)
            .min(self.filled);
        Ok(&self.buffer[skip..self.filled])
    }

    /// Makes the buffer hold `count` bytes from the offset on; what it holds of them already is moved, not read again.
    fn load(&mut self, offset: u64, count: usize) -> io::Result<()> {
        let held = offset
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| *skip <= self.filled);
        let mut filled = 0;
        if let Some(skip) = held {
            self.buffer.copy_within(skip..self.filled, 0);
            filled = self.filled - skip;
        }
        // Nothing is held while a read may fail in between.
        (self.start, self.filled) = (offset, 0);
        // A single huge record must not pin its size for the rest of the segment.
        if self.buffer.len() > 2 * WINDOW_BYTES && count <= WINDOW_BYTES {
            self.buffer.truncate(count.max(filled));
            self.buffer.shrink_to_fit();
        }
        if self.buffer.len() < count {
            self.buffer.resize(count, 0);
        }
        while filled < count {
            match self
                .file
                .read_at(&mut self.buffer[filled..count], offset + filled as u64)?
            {
                0 => break,
                read => filled += read,
            }
        }
        self.filled = filled;
        Ok(())
    }
}
