//! The writer thread: takes whatever waits, writes it, syncs once, answers all of it.
//!
//! While a sync runs, callers queue the next group, so the number of syncs follows the disk and not the callers. The
//! thread must never answer before the sync that covers the answer, and never go on after a failed one: the page cache may
//! have dropped what it could not write, and a second sync would report success.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use emberkeep_disk::{DirectBuffer, FileSystem};

use crate::answer::{Answer, Answers};
use crate::format::{self, CLEAR_VERSION, RECORD_HEADER_LEN, RECORD_MAGIC, SEALED_MAGIC, SEALED_VERSION};
use crate::queue::Item;
use crate::segment::{Layout, Segment};
use crate::shortage::shortage;
use crate::spare::Spare;
use crate::wal::Shared;
use crate::{AppendError, Position, Record, RecordSealing, SegmentRange, SegmentSealing, WalId};

/// Blocks that are written at a time: a megabyte, beyond which a longer write is no cheaper.
const BUFFER_BLOCKS: usize = 256;

/// How much longer encryption makes a payload, at most, in bytes: room for it is made before its key is.
const SEAL_OVERHEAD_MAX: usize = 256;

/// The length of a payload that was found to fit.
fn of_payload(len: usize) -> u32 {
    u32::try_from(len).expect("longer payloads were refused before")
}

/// The state of the writer thread.
pub(crate) struct Writer {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    id: WalId,
    layout: Layout,
    shared: Arc<Shared>,
    current: Option<Segment>,
    next_segment: u64,
    spare: Spare,
    /// The open generation: its first segment number, and how many records it has.
    generation_from: u64,
    generation_records: u64,
    /// The end of the current segment.
    buffer: DirectBuffer,
    /// Header of the record being taken, and its payload up to the body.
    head: Vec<u8>,
    sealing: Option<Arc<dyn RecordSealing>>,
    /// The key of the current segment, when its records are encrypted.
    seal: Option<Box<dyn SegmentSealing>>,
    /// The encrypted payload of the record being taken.
    sealed: Vec<u8>,
    /// Length of that record in the log.
    record_len: u64,
    answers: Answers,
    /// What ran out in this group, space or files: what found none a moment ago finds none now.
    shortage: Option<AppendError>,
}

/// Fails what waits when the thread ends by a panic, so that nobody waits for ever.
struct FailOnPanic(Arc<Shared>);

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.fail();
        }
    }
}

impl Writer {
    pub(crate) fn new(
        fs: Arc<dyn FileSystem>,
        dir: PathBuf,
        id: WalId,
        first_segment: u64,
        (layout, spare, sealing): (Layout, Spare, Option<Arc<dyn RecordSealing>>),
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            fs,
            dir,
            id,
            layout,
            shared,
            current: None,
            next_segment: first_segment,
            spare,
            generation_from: first_segment,
            generation_records: 0,
            buffer: DirectBuffer::new(BUFFER_BLOCKS),
            head: Vec::new(),
            sealing,
            seal: None,
            sealed: Vec::new(),
            record_len: 0,
            answers: Answers::default(),
            shortage: None,
        }
    }

    /// Runs until the queue is closed and empty, or until the disk fails.
    #[inline(never)]
    pub(crate) fn run(mut self, on_fatal: &dyn Fn(&io::Error)) {
        let _fail_on_panic = FailOnPanic(Arc::clone(&self.shared));
        let mut items = Vec::new();
        while let Some(weight) = self.shared.queue.take(&mut items) {
            match self.write_group(&mut items) {
                Ok(()) => {
                    self.shared.queue.release(weight);
                    self.answers.give(&self.shared.counters);
                }
                // Nothing is accepted from here on.
                Err(error) => {
                    self.answers.abandon();
                    items.clear();
                    self.shared.queue.fail();
                    on_fatal(&error);
                    return;
                }
            }
        }
        self.spare.remove();
    }

    /// Writes a group and syncs; an error is one after which nothing is known about the disk.
    fn write_group(&mut self, items: &mut Vec<Item>) -> io::Result<()> {
        self.shortage = None;
        let mut left = items.len();
        for item in items.drain(..) {
            left -= 1;
            match item {
                Item::Append { record, done } => {
                    let result = self.append(&record)?;
                    self.answers.push(Answer::Append {
                        done,
                        result,
                        body_len: record.body.len() as u64,
                        record_len: self.record_len,
                    });
                }
                Item::Rotate { done } => {
                    let range = self.rotate(left > 0)?;
                    self.answers.push(Answer::Rotate { done, range });
                }
            }
        }
        self.write()?;
        self.sync()
    }

    /// Takes one record; it is written with the rest of the group, or when the buffer is full.
    fn append(&mut self, record: &Record) -> io::Result<Result<Position, AppendError>> {
        self.head.clear();
        self.head.resize(RECORD_HEADER_LEN, 0);
        record.encode_prefix(&mut self.head);
        let payload_len = self.head.len() - RECORD_HEADER_LEN + record.body.len();
        let longer = if self.sealing.is_some() { SEAL_OVERHEAD_MAX } else { 0 };
        if u32::try_from(payload_len + longer).is_err() {
            return Ok(Err(AppendError::TooLarge));
        }
        let len = (RECORD_HEADER_LEN + payload_len + longer) as u64;
        if !self.current.as_ref().is_some_and(|segment| segment.has_room(len)) {
            self.leave_segment()?;
            if let Some(shortage) = self.shortage {
                return Ok(Err(shortage));
            }
            if let Err(error) = self.open_segment(len) {
                return Ok(Err(self.note_shortage(error)?));
            }
        }
        let Some(segment) = &mut self.current else {
            return Ok(Err(AppendError::Full));
        };
        let position = segment.next_position();
        let prefix = &self.head[RECORD_HEADER_LEN..];
        let pieces: [&[u8]; 2] = match &mut self.seal {
            None => {
                let place = format::place(RECORD_MAGIC, &self.id, position, of_payload(payload_len));
                let header = format::record_header(place, prefix, &record.body);
                self.head[..RECORD_HEADER_LEN].copy_from_slice(&header);
                [&self.head, &record.body]
            }
            Some(seal) => {
                let sealed_len = of_payload(payload_len + seal.overhead());
                let place = format::place(SEALED_MAGIC, &self.id, position, sealed_len);
                self.sealed.clear();
                seal.seal(position, &place, [prefix, &record.body], &mut self.sealed);
                let header = format::record_header(place, &self.sealed, &[]);
                self.head[..RECORD_HEADER_LEN].copy_from_slice(&header);
                [&self.head[..RECORD_HEADER_LEN], &self.sealed]
            }
        };
        self.record_len = pieces.iter().map(|piece| piece.len() as u64).sum();
        if let Err(error) = segment.append(pieces, &mut self.buffer) {
            return Ok(Err(self.refuse_unwritten(error)?));
        }
        self.generation_records += 1;
        Ok(Ok(position))
    }

    /// Opens the next segment, large enough for a record of `record_len` bytes.
    fn open_segment(&mut self, record_len: u64) -> io::Result<()> {
        let (number, capacity) = (self.next_segment, self.layout.capacity(record_len));
        let adopted = self.spare.adopt(number, capacity)?;
        let is_prepared = adopted.is_some();
        let file = match adopted {
            Some(file) => file,
            None => {
                // Also after a failure: a number is never used twice, and ranges may have gaps.
                self.next_segment += 1;
                let file = Segment::create_file(&*self.fs, &self.dir, number, self.layout, capacity)?;
                (file, capacity)
            }
        };
        self.next_segment = number + 1;
        self.seal = match &self.sealing {
            Some(sealing) => sealing.segment()?,
            None => None,
        };
        let version = if self.seal.is_some() {
            SEALED_VERSION
        } else {
            CLEAR_VERSION
        };
        self.current = Some(Segment::begin(
            &self.dir,
            &self.id,
            number,
            self.layout,
            (version, file.0, file.1),
            &mut self.buffer,
        ));
        self.shared.counters.count_segment(is_prepared);
        self.spare.begin(self.next_segment);
        Ok(())
    }

    /// Writes what is in the buffer. What finds no space is refused, and the segment left.
    fn write(&mut self) -> io::Result<()> {
        let Some(segment) = &mut self.current else {
            return Ok(());
        };
        match segment.write(&mut self.buffer) {
            Ok(()) => {
                self.spare.progress(segment.first_unwritten().offset);
                Ok(())
            }
            Err(error) => self.refuse_unwritten(error).map(drop),
        }
    }

    /// After a failed write: what is whole in this segment stays; its torn end is cut off and it is never written again.
    fn refuse_unwritten(&mut self, error: io::Error) -> io::Result<AppendError> {
        let shortage = self.note_shortage(error)?;
        if let Some(segment) = &self.current {
            let from = segment.first_unwritten();
            self.generation_records -= self.answers.refuse(from, shortage);
        }
        self.leave_written()?;
        Ok(shortage)
    }

    fn leave_segment(&mut self) -> io::Result<()> {
        self.write()?;
        self.leave_written()
    }

    /// Leaves the segment; what is in the buffer and not in the file is dropped.
    fn leave_written(&mut self) -> io::Result<()> {
        let is_torn = self.current.as_ref().is_some_and(Segment::is_torn);
        if !is_torn {
            // The sync of a cut costs more: it commits the file system's journal.
            self.sync()?;
        }
        if let Some(segment) = &self.current {
            segment.cut()?;
        }
        if is_torn {
            self.sync()?;
        }
        self.current = None;
        Ok(())
    }

    /// Closes the generation: every segment number since the last rotation, those without a record included, so that
    /// the ranges of all generations follow each other without a gap.
    fn rotate(&mut self, is_followed: bool) -> io::Result<Option<SegmentRange>> {
        // What finds no space now does not count.
        self.write()?;
        let range = if self.generation_records == 0 {
            None
        } else {
            self.leave_segment()?;
            let range = SegmentRange {
                from: self.generation_from,
                to: self.next_segment - 1,
            };
            self.generation_from = self.next_segment;
            self.generation_records = 0;
            Some(range)
        };
        if !is_followed && self.shared.queue.is_empty() {
            self.spare.rest()?;
        }
        Ok(range)
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(segment) = &mut self.current else {
            return Ok(());
        };
        let started = Instant::now();
        // A sync that reports "no space" (delayed allocation, quotas) is as fatal as any: its pages may be gone.
        if segment.sync().map_err(io::Error::other)? {
            self.shared.counters.count_sync(started.elapsed());
        }
        Ok(())
    }

    /// No space and no files are the caller's answer and the log goes on; anything else ends it.
    fn note_shortage(&mut self, error: io::Error) -> io::Result<AppendError> {
        self.shortage = shortage(&error);
        self.shortage.ok_or(error)
    }
}
