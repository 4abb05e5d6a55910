//! The segment that is being written.
//!
//! Bytes before `end` are whole records; `end` never moves back, and a segment that was left is never written again.

use std::io;
use std::path::{Path, PathBuf};

use emberkeep_disk::{File, FileSystem, is_out_of_space};

use crate::format::{self, SEGMENT_HEADER_LEN};
use crate::{Position, WalId};

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    number: u64,
    path: PathBuf,
    file: Box<dyn File>,
    end: u64,
    capacity: u64,
    is_dirty: bool,
}

impl Segment {
    /// Creates a segment, preallocates it and makes its name durable; out of space leaves nothing behind.
    ///
    /// The content needs no sync of its own here: no record in it is acknowledged before a sync of the file, and that
    /// covers header and length as well. The name is not covered by it, hence the sync of the directory.
    pub(crate) fn create(fs: &dyn FileSystem, dir: &Path, id: &WalId, number: u64, capacity: u64) -> io::Result<Self> {
        let path = dir.join(format::segment_name(number));
        let file = fs.create_new(&path)?;
        let prepared = file
            .allocate(capacity)
            .and_then(|()| file.write_all_at(&format::segment_header(id, number), 0));
        if let Err(error) = prepared {
            if is_out_of_space(&error)
                && let Err(error) = fs.remove_file(&path)
            {
                // It holds no record, is not written again, and goes when its number is trimmed.
                tracing::warn!(path = %path.display(), %error, "cannot remove a segment that found no space");
            }
            return Err(error);
        }
        fs.sync_dir(dir).map_err(io::Error::other)?;
        Ok(Self {
            number,
            path,
            file,
            end: SEGMENT_HEADER_LEN as u64,
            capacity,
            is_dirty: false,
        })
    }

    /// Where the next record starts.
    pub(crate) fn next_position(&self) -> Position {
        Position {
            segment: self.number,
            offset: self.end,
        }
    }

    /// Whether a record of this length fits.
    pub(crate) fn has_room(&self, len: u64) -> bool {
        self.end.checked_add(len).is_some_and(|end| end <= self.capacity)
    }

    /// Writes one record in two pieces; on an error `end` stays at the last whole record.
    pub(crate) fn write(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        self.file.write_all_at(head, self.end)?;
        let middle = self.end + head.len() as u64;
        if !body.is_empty() {
            self.file.write_all_at(body, middle)?;
        }
        self.end = middle + body.len() as u64;
        self.is_dirty = true;
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

    /// Cuts off what lies after the last whole record: unused preallocation, or the first bytes of a record that
    /// found no space.
    ///
    /// Nothing depends on the cut becoming durable. Zeros are skipped by recovery, a torn record is set aside, and a
    /// record that was whole after all was refused with "no space", so its sender sends it again and it counts once.
    pub(crate) fn cut(&self) -> io::Result<()> {
        match self.file.set_len(self.end) {
            Err(error) if is_out_of_space(&error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot cut a segment");
                Ok(())
            }
            result => result,
        }
    }
}
