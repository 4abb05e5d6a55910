//! A gate in front of a file system: the store is down, its answer is lost, or local segments cannot be removed.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use emberkeep_disk::{Entry, File, FileSystem, ForgetfulFs};

/// A file system that can be out of reach.
#[derive(Clone)]
pub(crate) struct Gate {
    inner: ForgetfulFs,
    is_down: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
    /// The gate closes right after an object of this kind got its name, before the answer.
    loses_answer_of: Option<&'static str>,
    /// How many removals of segments still fail.
    removals_failing: Arc<AtomicUsize>,
}

impl Gate {
    pub(crate) fn new(inner: &ForgetfulFs) -> Self {
        Self {
            inner: inner.clone(),
            is_down: Arc::default(),
            refused: Arc::default(),
            loses_answer_of: None,
            removals_failing: Arc::default(),
        }
    }

    /// A gate that goes down for good once an object whose name holds `text` was created.
    pub(crate) fn losing_answer_of(inner: &ForgetfulFs, text: &'static str) -> Self {
        Self {
            loses_answer_of: Some(text),
            ..Self::new(inner)
        }
    }

    /// A gate at which the next removal of a segment fails.
    pub(crate) fn failing_a_removal(inner: &ForgetfulFs) -> Self {
        let gate = Self::new(inner);
        gate.removals_failing.store(1, Ordering::SeqCst);
        gate
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    pub(crate) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::SeqCst)
    }

    /// How many calls were refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    fn pass(&self) -> io::Result<&ForgetfulFs> {
        if self.is_down() {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::other("the store is down"));
        }
        Ok(&self.inner)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("is_down", &self.is_down)
            .finish_non_exhaustive()
    }
}

/// Open files stay open: an outage is seen by the next call that names something.
impl FileSystem for Gate {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.pass()?.create_new(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.pass()?.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.pass()?.rename(from, to)
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        self.pass()?.hard_link(original, link)?;
        if self
            .loses_answer_of
            .is_some_and(|text| link.to_str().unwrap().contains(text))
        {
            self.inner.sync_dir(link.parent().unwrap())?;
            self.set_down(true);
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let is_segment = path.extension().is_some_and(|extension| extension == "wal");
        let fails = |left: usize| left.checked_sub(1);
        if is_segment
            && self
                .removals_failing
                .try_update(Ordering::SeqCst, Ordering::SeqCst, fails)
                .is_ok()
        {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::other("the name cannot be removed"));
        }
        self.pass()?.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.pass()?.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.pass()?.remove_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.pass()?.read_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        self.pass()?.metadata(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.pass()?.sync_dir(path)
    }
}
