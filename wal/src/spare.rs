//! The writer's side of the segment that is prepared ahead: what it has in hand, and the thread that makes the next.
//!
//! A log at rest has no segment beside those that hold records: whoever counts segments must not find one of no use. So a
//! rotation after which nothing waits takes the name of the prepared one away.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use emberkeep_disk::{File, FileSystem};

use crate::prepared::Prepared;
use crate::preparer::Preparer;
use crate::segment::{Layout, Segment};

/// The next segment, as far as it is there.
#[derive(Debug)]
pub(crate) struct Spare {
    fs: Arc<dyn FileSystem>,
    dir: PathBuf,
    layout: Layout,
    in_hand: Option<Prepared>,
    /// None for segments too small to be worth it.
    thread: Option<(Arc<Preparer>, JoinHandle<()>)>,
}

impl Spare {
    /// Starts the thread, where segments are prepared at all.
    pub(crate) fn new(fs: Arc<dyn FileSystem>, dir: PathBuf, layout: Layout) -> io::Result<Self> {
        let mut thread = None;
        if layout.is_direct() {
            let preparer = Arc::new(Preparer::new(Arc::clone(&fs), dir.clone(), layout));
            let running = Arc::clone(&preparer);
            let handle = std::thread::Builder::new()
                .name("wal-preparer".to_owned())
                .spawn(move || running.run())?;
            thread = Some((preparer, handle));
        }
        Ok(Self {
            fs,
            dir,
            layout,
            in_hand: None,
            thread,
        })
    }

    /// The prepared segment, opened under its number, with its length; none when there is none.
    pub(crate) fn adopt(&mut self, number: u64, capacity: u64) -> io::Result<Option<(Box<dyn File>, u64)>> {
        self.take()?;
        let Some(mut prepared) = self.in_hand.take() else {
            return Ok(None);
        };
        match Segment::adopt_file(&*self.fs, &self.dir, number, self.layout, &mut prepared, capacity) {
            Ok(file) => Ok(Some((file, prepared.capacity))),
            Err(error) => {
                self.in_hand = Some(prepared);
                Err(error)
            }
        }
    }

    /// A segment was begun: the one after it, of this number, may be prepared.
    pub(crate) fn begin(&self, next: u64) {
        if let Some((preparer, _)) = &self.thread {
            preparer.begin(next);
        }
    }

    /// The present segment is written so far.
    pub(crate) fn progress(&self, written: u64) {
        if let Some((preparer, _)) = &self.thread {
            preparer.progress(written);
        }
    }

    /// The log may rest from now on.
    pub(crate) fn rest(&mut self) -> io::Result<()> {
        self.take()?;
        if let Some(prepared) = &mut self.in_hand {
            prepared.take_name(&*self.fs, &self.dir);
        }
        Ok(())
    }

    /// The log was closed in order: nothing prepared is left behind.
    pub(crate) fn remove(mut self) {
        if let Err(error) = self.take() {
            tracing::warn!(path = %self.dir.display(), %error, "preparing a segment ended badly");
        }
        if let Some(prepared) = self.in_hand.take() {
            prepared.remove(&*self.fs, &self.dir);
        }
    }

    fn take(&mut self) -> io::Result<()> {
        if self.in_hand.is_none()
            && let Some((preparer, _)) = &self.thread
        {
            self.in_hand = preparer.take()?;
        }
        Ok(())
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some((preparer, handle)) = self.thread.take() {
            preparer.close();
            // A panic of the thread was reported by its hook; it held nothing that anybody waits for.
            drop(handle.join());
        }
    }
}
