//! The running log: appends and rotations from any thread, written by one.
//!
//! A log that was started writes new segments only: what an earlier process left is read by recovery and never touched
//! again, so damage stays where it was found.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use emberkeep_disk::{FileSystem, create_dir_all_durable};

use crate::prepared::remove_leftover;
use crate::queue::Queue;
use crate::segment::Layout;
use crate::spare::Spare;
use crate::stats::Counters;
use crate::trim::segments_of;
use crate::writer::Writer;
use crate::{AppendError, Options, PendingAppend, PendingRotation, Record, RecordSealing, Stats, WalError, WalId};

/// What callers and the writer thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
}

/// A log that accepts records. Dropping it closes it.
#[derive(Debug)]
pub struct Wal {
    id: WalId,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Wal {
    /// Starts the writer thread on a directory, which is created when missing. The first file is created by the first
    /// append.
    ///
    /// `first_segment` must be greater than every number in the directory ([`crate::Recovery::last_segment`] plus one).
    /// `on_fatal` is called once, by the writer thread, after an error of a sync or an error of a write that is not
    /// for want of space; the process should exit in it, since only a replay knows what is on disk. From then on every
    /// append answers [`AppendError::Fatal`].
    ///
    /// # Errors
    ///
    /// [`WalError::SegmentExists`] when the number is too low, [`WalError::Io`] when the directory or the thread
    /// cannot be made.
    pub fn start(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        id: WalId,
        first_segment: u64,
        options: Options,
        on_fatal: Box<dyn Fn(&io::Error) + Send>,
    ) -> Result<Self, WalError> {
        Self::start_sealed(fs, dir, id, first_segment, options, None, on_fatal)
    }

    /// As [`Wal::start`], with keys to encrypt what is appended.
    ///
    /// # Errors
    ///
    /// As [`Wal::start`].
    pub fn start_sealed(
        fs: Arc<dyn FileSystem>,
        dir: &Path,
        id: WalId,
        first_segment: u64,
        options: Options,
        sealing: Option<Arc<dyn RecordSealing>>,
        on_fatal: Box<dyn Fn(&io::Error) + Send>,
    ) -> Result<Self, WalError> {
        create_dir_all_durable(&*fs, dir).map_err(WalError::io("create", dir))?;
        if let Some((_, entry)) = segments_of(&*fs, dir)?
            .into_iter()
            .rfind(|(number, _)| *number >= first_segment)
        {
            return Err(WalError::SegmentExists {
                path: dir.join(entry.name),
                first: first_segment,
            });
        }
        let shared = Arc::new(Shared {
            queue: Queue::new(options.queue_bytes),
            counters: Counters::default(),
        });
        remove_leftover(&*fs, dir).map_err(WalError::io("clean up", dir))?;
        let layout = Layout::new(options.segment_bytes);
        let spare = Spare::new(Arc::clone(&fs), dir.to_path_buf(), layout)
            .map_err(WalError::io("start the preparer of", dir))?;
        let writer = Writer::new(
            fs,
            dir.to_path_buf(),
            id,
            first_segment,
            (layout, spare, sealing),
            Arc::clone(&shared),
        );
        let thread = std::thread::Builder::new()
            .name("wal-writer".to_owned())
            .spawn(move || writer.run(&*on_fatal))
            .map_err(WalError::io("start the writer of", dir))?;
        Ok(Self {
            id,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The id in every header.
    pub fn id(&self) -> WalId {
        self.id
    }

    /// Enqueues a record. The order of the calls is the order in the log.
    ///
    /// A queue at its bound answers [`AppendError::Overloaded`] at once. The record may become durable also when the
    /// answer is dropped or is an error.
    #[inline(never)]
    pub fn append(&self, record: Record) -> PendingAppend {
        self.shared.queue.append(record)
    }

    /// Enqueues the end of a generation: it resolves to the segments that hold exactly the records whose `append` was
    /// called before this call and after the last rotation, and succeeded. Later records go to later segments.
    pub fn rotate(&self) -> PendingRotation {
        self.shared.queue.rotate()
    }

    /// What the log did since its start.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats(self.shared.queue.weight() as u64)
    }

    /// Refuses new calls with [`AppendError::Closed`], writes and answers what waits, and returns when that is done.
    pub fn close(&self) {
        self.shared.queue.close(AppendError::Closed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may be dropped by `on_fatal`, on the writer thread itself, which cannot wait for itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic of the thread was reported by its hook, and its waiters were told.
            drop(thread.join());
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}
