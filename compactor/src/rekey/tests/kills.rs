//! A change of keys that is killed after each change of the store, and run again.
//!
//! Between two changes the store is as the first one left it, so these are all the states in which a kill can leave it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use emberkeep_disk::{Entry, File, FileSystem, RealFs};

use super::*;

/// A disk on which nothing can be done any more after some files got their names: the process is dead.
#[derive(Debug)]
struct Deadly {
    left: AtomicUsize,
}

impl Deadly {
    fn alive(&self) -> io::Result<RealFs> {
        match self.left.load(Ordering::Relaxed) {
            0 => Err(io::Error::other("killed")),
            _ => Ok(RealFs),
        }
    }

    /// One more change that others see.
    fn changed(&self) {
        let down = |left: usize| left.checked_sub(1);
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, down);
    }
}

impl FileSystem for Deadly {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.alive()?.create_new(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.alive()?.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let renamed = self.alive()?.rename(from, to);
        self.changed();
        renamed
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        let linked = self.alive()?.hard_link(original, link);
        self.changed();
        linked
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.alive()?.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.alive()?.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.alive()?.remove_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.alive()?.read_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        self.alive()?.metadata(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.alive()?.sync_dir(path)
    }
}

#[tokio::test]
async fn killed_after_any_change_it_has_lost_nothing_and_can_be_run_again() {
    let original = filled(Archive::new().with_keys(keys(Some("k-1"), &["k-1"]))).await;
    let before = rows(&original).await;
    let both = || keys(Some("k-2"), &["k-1", "k-2"]);
    for changes in 1.. {
        let disk = Arc::new(Deadly {
            left: AtomicUsize::new(changes),
        });
        let archive = original.copied().with_keys(both());
        let archive = archive.with_disk(Arc::clone(&disk) as Arc<dyn FileSystem>);
        let ended = rekey(&archive).await;
        let is_killed = disk.alive().is_err();
        assert!(is_killed || ended.is_ok(), "{ended:?}");
        // Another process, with both keys.
        let archive = archive.with_keys(both());
        assert_eq!(rows(&archive).await, before, "after {changes} changes");
        let done = rekey(&archive).await.unwrap();
        assert!(
            done.left.is_empty() && done.denied == 0,
            "after {changes} changes: {done:?}"
        );
        let waiting = needed(&archive).await;
        assert!(
            waiting.iter().all(|needed| needed.until.is_some()),
            "after {changes} changes something live is under the old key: {waiting:?}"
        );
        // As it said, all that is live needs the new key alone.
        let archive = archive.with_keys(keys(Some("k-2"), &["k-2"]));
        assert_eq!(
            rows(&archive).await,
            before,
            "after {changes} changes, with the new key"
        );
        assert!(archive.catalog.live().await.unwrap().quarantined().is_empty());
        if !is_killed {
            assert!(changes > 20, "only {changes} changes were seen");
            return;
        }
    }
}
