//! The writer thread: takes whatever waits, writes it, syncs once, answers all of it.
//!
//! While a sync runs, callers queue the next group, so the number of syncs follows the disk and not the callers. The
//! thread must never answer before the sync that covers the answer, and never go on after a failed one: the page cache may
//! have dropped what it could not write, and a second sync would report success.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use emberkeep_disk::{FileSystem, is_out_of_space};
use tokio::sync::oneshot;

use crate::format::{self, RECORD_HEADER_LEN, SEGMENT_HEADER_LEN};
use crate::queue::Item;
use crate::segment::Segment;
use crate::wal::Shared;
use crate::{AppendError, Options, Position, Record, SegmentRange, WalId};

/// Bodies up to this length are copied behind their header, so that the record takes one write; a longer one is written
/// from where it is.
const COPIED_BODY_BYTES: usize = 32 * 1024;

/// The state of the writer thread.
pub(crate) struct Writer {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    id: WalId,
    options: Options,
    shared: Arc<Shared>,
    current: Option<Segment>,
    next_segment: u64,
    /// The open generation: its first segment number, and how many records it has.
    generation_from: u64,
    generation_records: u64,
    /// Head of the record being written: frame, payload up to the body, and a short body.
    scratch: Vec<u8>,
}

/// An answer that waits for the sync. Dropped instead of given, it tells its waiter that the log stopped.
enum Answer {
    Append(
        oneshot::Sender<Result<Position, AppendError>>,
        Result<Position, AppendError>,
    ),
    Rotate(
        oneshot::Sender<Result<Option<SegmentRange>, AppendError>>,
        Option<SegmentRange>,
    ),
}

impl Answer {
    fn give(self) {
        // A waiter that went away needs no answer.
        match self {
            Self::Append(done, result) => drop(done.send(result)),
            Self::Rotate(done, range) => drop(done.send(Ok(range))),
        }
    }
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
        options: Options,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            fs,
            dir,
            id,
            options,
            shared,
            current: None,
            next_segment: first_segment,
            generation_from: first_segment,
            generation_records: 0,
            scratch: Vec::new(),
        }
    }

    /// Runs until the queue is closed and empty, or until the disk fails.
    pub(crate) fn run(mut self, on_fatal: &dyn Fn(&io::Error)) {
        let _fail_on_panic = FailOnPanic(Arc::clone(&self.shared));
        while let Some((items, weight)) = self.shared.queue.take() {
            match self.write_group(items) {
                Ok(answers) => {
                    self.shared.queue.release(weight);
                    answers.into_iter().for_each(Answer::give);
                }
                // The group's waiters were told by the drop of their senders. Nothing is accepted from here on.
                Err(error) => {
                    self.shared.queue.fail();
                    on_fatal(&error);
                    return;
                }
            }
        }
    }

    /// Writes a group and syncs; an error is one after which nothing is known about the disk.
    fn write_group(&mut self, items: Vec<Item>) -> io::Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(items.len());
        // A new segment is tried once per group: what found no space a moment ago finds none now.
        let mut is_full = false;
        for item in items {
            answers.push(match item {
                Item::Append { record, done } => {
                    let result = self.append(&record, is_full)?;
                    is_full |= result == Err(AppendError::Full);
                    self.shared.counters.count_append(&record, result.is_ok());
                    Answer::Append(done, result)
                }
                Item::Rotate { done } => Answer::Rotate(done, self.rotate()?),
            });
        }
        self.sync()?;
        Ok(answers)
    }

    /// Writes one record. With `is_full` no new segment is tried.
    fn append(&mut self, record: &Record, is_full: bool) -> io::Result<Result<Position, AppendError>> {
        self.scratch.clear();
        self.scratch.resize(RECORD_HEADER_LEN, 0);
        record.encode_prefix(&mut self.scratch);
        let payload_len = self.scratch.len() - RECORD_HEADER_LEN + record.body.len();
        let Ok(payload_len) = u32::try_from(payload_len) else {
            return Ok(Err(AppendError::TooLarge));
        };
        let len = RECORD_HEADER_LEN as u64 + u64::from(payload_len);
        if !self.current.as_ref().is_some_and(|segment| segment.has_room(len)) {
            if is_full {
                return Ok(Err(AppendError::Full));
            }
            if let Err(error) = self.open_segment(len) {
                return full_or_fatal(error);
            }
        }
        let Some(segment) = &mut self.current else {
            return Ok(Err(AppendError::Full));
        };
        let position = segment.next_position();
        let prefix = &self.scratch[RECORD_HEADER_LEN..];
        let header = format::record_header(&self.id, position, payload_len, prefix, &record.body);
        self.scratch[..RECORD_HEADER_LEN].copy_from_slice(&header);
        let mut body: &[u8] = &record.body;
        if body.len() <= COPIED_BODY_BYTES {
            self.scratch.extend_from_slice(body);
            body = &[];
        }
        if let Err(error) = segment.write(&self.scratch, body) {
            // What is whole in this segment stays; its torn end is cut off and the segment is never written again.
            if is_out_of_space(&error) {
                self.leave_segment()?;
            }
            return full_or_fatal(error);
        }
        self.generation_records += 1;
        Ok(Ok(position))
    }

    /// Leaves the current segment and opens the next one, large enough for a record of `record_len` bytes.
    fn open_segment(&mut self, record_len: u64) -> io::Result<()> {
        self.leave_segment()?;
        let number = self.next_segment;
        // Also after a failure: a number is never used twice, and ranges may have gaps.
        self.next_segment += 1;
        let capacity = self.options.segment_bytes.max(SEGMENT_HEADER_LEN as u64 + record_len);
        self.current = Some(Segment::create(&*self.fs, &self.dir, &self.id, number, capacity)?);
        self.shared.counters.count_segment();
        Ok(())
    }

    fn leave_segment(&mut self) -> io::Result<()> {
        if let Some(segment) = &self.current {
            segment.cut()?;
        }
        self.sync()?;
        self.current = None;
        Ok(())
    }

    /// Closes the generation: every segment number since the last rotation, those without a record included, so that
    /// the ranges of all generations follow each other without a gap.
    fn rotate(&mut self) -> io::Result<Option<SegmentRange>> {
        if self.generation_records == 0 {
            return Ok(None);
        }
        self.leave_segment()?;
        let range = SegmentRange {
            from: self.generation_from,
            to: self.next_segment - 1,
        };
        self.generation_from = self.next_segment;
        self.generation_records = 0;
        Ok(Some(range))
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
}

/// No space is the caller's answer and the log goes on; anything else ends it.
fn full_or_fatal<T>(error: io::Error) -> io::Result<Result<T, AppendError>> {
    if is_out_of_space(&error) {
        Ok(Err(AppendError::Full))
    } else {
        Err(error)
    }
}
