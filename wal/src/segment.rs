//! The segment that is being written.
//!
//! Bytes before `end` are whole records, those before `written` are in the file. Neither moves back but after a write that
//! found no space, and a segment that was left is never written again.

use std::io;
use std::path::{Path, PathBuf};

use emberkeep_disk::{DIRECT_BLOCK_BYTES, DirectBuffer, File, FileSystem, is_out_of_space};

use crate::format::{self, SEGMENT_HEADER_LEN};
use crate::prepared::Prepared;
use crate::shortage::{is_out_of_files, shortage};
use crate::{Position, WalId};

/// Segments from this size on are written in whole blocks past the page cache; for smaller ones a block would be a good part
/// of the segment.
pub(crate) const DIRECT_SEGMENT_BYTES_MIN: u64 = 64 << 10;

/// How segments of one log are laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The unit of writing: [`DIRECT_BLOCK_BYTES`], or 1 where writes go through the page cache.
    block: usize,
    segment_bytes: u64,
}

impl Layout {
    pub(crate) fn new(segment_bytes: u64) -> Self {
        let is_direct = segment_bytes >= DIRECT_SEGMENT_BYTES_MIN;
        Self {
            block: if is_direct { DIRECT_BLOCK_BYTES } else { 1 },
            segment_bytes,
        }
    }

    /// Whether segments are written past the page cache, and prepared ahead.
    pub(crate) fn is_direct(self) -> bool {
        self.block > 1
    }

    /// The length of a segment that a record of `record_len` bytes must fit into.
    pub(crate) fn capacity(self, record_len: u64) -> u64 {
        self.segment_bytes
            .max(SEGMENT_HEADER_LEN as u64 + record_len)
            .next_multiple_of(self.block as u64)
    }

    /// Opens a segment for writing.
    pub(crate) fn open(self, fs: &dyn FileSystem, path: &Path) -> io::Result<Box<dyn File>> {
        if self.is_direct() {
            fs.open_direct(path)
        } else {
            fs.open(path)
        }
    }
}

/// An open segment. Its last bytes are in a buffer that the writer lends to each call; the buffer belongs to the segment
/// from its creation until it is left.
#[derive(Debug)]
pub(crate) struct Segment {
    number: u64,
    path: PathBuf,
    file: Box<dyn File>,
    block: usize,
    /// Where the next record starts.
    end: u64,
    /// Where the last record ends that the file took whole.
    written: u64,
    /// Where in the file the first byte of the buffer belongs.
    buffered_from: u64,
    capacity: u64,
    /// Whether bytes that are no whole record may follow `written`.
    is_torn: bool,
    is_dirty: bool,
}

impl Segment {
    /// Creates the file of a segment, preallocates it and makes its name durable; out of space leaves nothing behind.
    ///
    /// The content needs no sync of its own here: no record in it is acknowledged before a sync of the file, and that
    /// covers header and length as well. The name is not covered by it, hence the sync of the directory.
    pub(crate) fn create_file(
        fs: &dyn FileSystem,
        dir: &Path,
        number: u64,
        layout: Layout,
        capacity: u64,
    ) -> io::Result<Box<dyn File>> {
        let path = dir.join(format::segment_name(number));
        let created = fs.create_new(&path)?;
        let begin = || {
            created.allocate(capacity)?;
            let file = layout.open(fs, &path)?;
            publish(fs, dir)?;
            Ok(file)
        };
        begin().inspect_err(|error| {
            if shortage(error).is_some()
                && let Err(error) = fs.remove_file(&path)
            {
                // It holds no record, is not written again, and goes when its number is trimmed.
                tracing::warn!(path = %path.display(), %error, "cannot remove a segment that cannot be begun");
            }
        })
    }

    /// Makes a prepared file the segment of this number, long enough for `capacity` bytes; out of space leaves it as it was.
    pub(crate) fn adopt_file(
        fs: &dyn FileSystem,
        dir: &Path,
        number: u64,
        layout: Layout,
        prepared: &mut Prepared,
        capacity: u64,
    ) -> io::Result<Box<dyn File>> {
        if prepared.capacity < capacity {
            fs.open(&prepared.path(dir))?.allocate(capacity)?;
            prepared.capacity = capacity;
        }
        prepared.name(fs, dir, number)?;
        layout.open(fs, &prepared.path(dir))
    }

    /// Begins to write a new segment; the buffer gets its header.
    pub(crate) fn begin(
        dir: &Path,
        id: &WalId,
        number: u64,
        layout: Layout,
        (version, file, capacity): (u32, Box<dyn File>, u64),
        buffer: &mut DirectBuffer,
    ) -> Self {
        buffer.clear();
        buffer.fill(&format::segment_header(version, id, number));
        Self {
            number,
            path: dir.join(format::segment_name(number)),
            file,
            block: layout.block,
            end: SEGMENT_HEADER_LEN as u64,
            written: SEGMENT_HEADER_LEN as u64,
            buffered_from: 0,
            capacity,
            is_torn: false,
            is_dirty: false,
        }
    }

    /// Where the next record starts.
    pub(crate) fn next_position(&self) -> Position {
        Position {
            segment: self.number,
            offset: self.end,
        }
    }

    /// Where the first record starts that is not wholly in the file.
    pub(crate) fn first_unwritten(&self) -> Position {
        Position {
            segment: self.number,
            offset: self.written,
        }
    }

    /// Whether a record of this length fits.
    pub(crate) fn has_room(&self, len: u64) -> bool {
        self.end.checked_add(len).is_some_and(|end| end <= self.capacity)
    }

    /// Takes one record in pieces; what the buffer cannot hold is written. After an error the segment must be left.
    pub(crate) fn append(&mut self, pieces: [&[u8]; 2], buffer: &mut DirectBuffer) -> io::Result<()> {
        for mut piece in pieces {
            loop {
                piece = &piece[buffer.fill(piece)..];
                if piece.is_empty() {
                    break;
                }
                self.write_buffer(buffer)?;
            }
        }
        self.end += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Writes what the file does not have yet. After an error the segment must be left.
    pub(crate) fn write(&mut self, buffer: &mut DirectBuffer) -> io::Result<()> {
        if self.end > self.written {
            self.write_buffer(buffer)?;
        }
        Ok(())
    }

    /// The last block is written with zeros behind the last record, and again when more came: what was acknowledged of it is
    /// written over by the same bytes.
    fn write_buffer(&mut self, buffer: &mut DirectBuffer) -> io::Result<()> {
        let len = buffer.len();
        self.is_dirty = true;
        self.file
            .write_all_at(buffer.padded(self.block), self.buffered_from)
            .inspect_err(|_| self.is_torn = true)?;
        self.buffered_from += (len - len % self.block) as u64;
        buffer.keep_last(self.block);
        self.written = self.end;
        Ok(())
    }

    /// Makes what was written durable; answers whether there was anything.
    pub(crate) fn sync(&mut self) -> io::Result<bool> {
        if self.is_dirty {
            self.file.sync_data()?;
            self.is_dirty = false;
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether bytes of a record that found no space may follow the last whole one.
    pub(crate) fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Cuts off what lies after the last whole record: unused preallocation, or the first bytes of records that found no
    /// space.
    ///
    /// Nothing depends on the cut becoming durable. Zeros are skipped by recovery, a torn record is set aside, and a
    /// record that was whole after all was refused with "no space", so its sender sends it again and it counts once.
    pub(crate) fn cut(&self) -> io::Result<()> {
        // Cutting inside of a block would bring that block into the page cache, only to make zeros of zeros.
        let unit = if self.is_torn { 1 } else { self.block as u64 };
        // Without a whole record there may be a part of the header.
        let whole = if self.written > SEGMENT_HEADER_LEN as u64 {
            self.written
        } else {
            0
        };
        match self.file.set_len(whole.next_multiple_of(unit)) {
            Err(error) if is_out_of_space(&error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot cut a segment");
                Ok(())
            }
            result => result,
        }
    }
}

/// Makes the names of segments durable. An error is never one of space: nothing is known about the directory then. A directory that could
/// not be opened is as it was.
pub(crate) fn publish(fs: &dyn FileSystem, dir: &Path) -> io::Result<()> {
    fs.sync_dir(dir).map_err(|error| {
        if is_out_of_files(&error) {
            error
        } else {
            io::Error::other(error)
        }
    })
}
