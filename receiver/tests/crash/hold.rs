//! A file system that holds whoever opens or creates a certain file, so that a replay stands still where the test wants it.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use emberkeep_disk::{Entry, File, FileSystem, ForgetfulFs};

use crate::ledger::Ledger;
use crate::life::{Ground, Life};

/// The first file that a replay makes.
pub(crate) const BEFORE_REPLAY: &str = "replay-attempts.tmp";

#[derive(Default)]
struct Held {
    at: Option<String>,
    is_there: bool,
}

/// The file system and the hold; clones share it.
#[derive(Clone)]
pub(crate) struct Hold {
    inner: ForgetfulFs,
    held: Arc<(Mutex<Held>, Condvar)>,
}

impl Hold {
    fn new(inner: &ForgetfulFs, at: &str) -> Self {
        let held = Held {
            at: Some(at.to_owned()),
            is_there: false,
        };
        Self {
            inner: inner.clone(),
            held: Arc::new((Mutex::new(held), Condvar::new())),
        }
    }

    /// Lets whoever is held go on, up to another file or for good.
    fn let_go(&self, next: Option<&str>) {
        let (held, changed) = &*self.held;
        *held.lock().unwrap() = Held {
            at: next.map(str::to_owned),
            is_there: false,
        };
        changed.notify_all();
    }

    fn is_there(&self) -> bool {
        self.held.0.lock().unwrap().is_there
    }

    fn pass(&self, path: &Path) -> &ForgetfulFs {
        let (held, changed) = &*self.held;
        let mut held = held.lock().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        while held.at.as_deref() == Some(name) {
            held.is_there = true;
            held = changed.wait(held).unwrap();
        }
        &self.inner
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").finish_non_exhaustive()
    }
}

impl FileSystem for Hold {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.pass(path).create_new(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.pass(path).open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        self.inner.hard_link(original, link)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.inner.read_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        self.inner.metadata(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }
}

/// A life whose replay is held, at first before it begins.
pub(crate) struct HeldLife {
    pub(crate) life: Life,
    hold: Hold,
}

impl HeldLife {
    /// Starts on a machine with a log; each segment of it becomes a generation of its own.
    pub(crate) fn start(fs: &ForgetfulFs, ledger: &Ledger) -> Self {
        Self::start_on(Ground {
            flush_bytes: 1,
            ..Ground::new(fs, ledger)
        })
    }

    pub(crate) fn start_on(ground: Ground) -> Self {
        let hold = Hold::new(&ground.fs, BEFORE_REPLAY);
        let ground = Ground {
            local_fs: Arc::new(hold.clone()),
            ..ground
        };
        let life = Life::start(ground).unwrap();
        life.until(|_| hold.is_there()).unwrap();
        Self { life, hold }
    }

    /// Lets the replay go on until it opens this file, and waits for that.
    pub(crate) fn move_to(&self, file: &str) {
        self.hold.let_go(Some(file));
        self.life.until(|_| self.hold.is_there()).unwrap();
    }

    /// Lets the replay go on for good.
    pub(crate) fn let_go(&self) {
        self.hold.let_go(None);
    }

    /// What is there when the process is killed now.
    pub(crate) fn kill(self) -> ForgetfulFs {
        self.life.ground.fs.restart()
    }
}

impl Drop for HeldLife {
    fn drop(&mut self) {
        // The end of the runtime waits for its threads.
        self.let_go();
    }
}
