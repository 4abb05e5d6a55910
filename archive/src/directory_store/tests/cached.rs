//! Ranges that are in memory come without a thread that waits, and are those that the file has.

#![expect(clippy::single_range_in_vec_init, reason = "a store is asked for several ranges")]

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use emberkeep_disk::{CachedRead, Entry, File, FileSystem, RealFs};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::super::files::MOST_CACHED_BYTES;
use super::at_once;
use crate::DirectoryStore;

/// The real file system, with an answer of the test's to who asks what is in memory.
#[derive(Debug)]
struct Telling {
    answer: Mutex<CachedRead>,
    asked: AtomicUsize,
    opened: AtomicUsize,
}

impl Telling {
    fn new(answer: CachedRead) -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(answer),
            asked: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
        })
    }

    /// How often it was asked, and how many files were opened.
    fn counts(&self) -> [usize; 2] {
        [&self.asked, &self.opened].map(|count| count.load(Ordering::Relaxed))
    }
}

impl FileSystem for Telling {
    fn read_cached(&self, _: &FilePath, _: &[Range<u64>]) -> CachedRead {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.answer.lock().clone()
    }
    fn open(&self, path: &FilePath) -> io::Result<Box<dyn File>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        RealFs.open(path)
    }
    fn create_new(&self, path: &FilePath) -> io::Result<Box<dyn File>> {
        RealFs.create_new(path)
    }
    fn rename(&self, from: &FilePath, to: &FilePath) -> io::Result<()> {
        RealFs.rename(from, to)
    }
    fn hard_link(&self, original: &FilePath, link: &FilePath) -> io::Result<()> {
        RealFs.hard_link(original, link)
    }
    fn remove_file(&self, path: &FilePath) -> io::Result<()> {
        RealFs.remove_file(path)
    }
    fn create_dir(&self, path: &FilePath) -> io::Result<()> {
        RealFs.create_dir(path)
    }
    fn remove_dir(&self, path: &FilePath) -> io::Result<()> {
        RealFs.remove_dir(path)
    }
    fn read_dir(&self, path: &FilePath) -> io::Result<Vec<Entry>> {
        RealFs.read_dir(path)
    }
    fn metadata(&self, path: &FilePath) -> io::Result<Entry> {
        RealFs.metadata(path)
    }
    fn sync_dir(&self, path: &FilePath) -> io::Result<()> {
        RealFs.sync_dir(path)
    }
}

/// A store with one object, and what `get_ranges` gives of it, twice.
fn twice(fs: &Arc<Telling>, object: PutPayload, range: Range<u64>) -> [Bytes; 2] {
    let directory = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(Arc::<Telling>::clone(fs), directory.path()).unwrap();
    let path = Path::from("object");
    at_once(store.put(&path, object)).unwrap();
    let read = || {
        at_once(store.get_ranges(&path, std::slice::from_ref(&range)))
            .unwrap()
            .remove(0)
    };
    [read(), read()]
}

#[test]
fn what_is_in_memory_is_taken_from_there() {
    let fs = Telling::new(CachedRead::Whole(vec![b"memory".to_vec()]));
    assert_eq!(twice(&fs, "a file".into(), 0..6), ["memory", "memory"]);
    assert_eq!(fs.counts(), [2, 0]);
}

#[test]
fn what_is_not_is_read() {
    let fs = Telling::new(CachedRead::NotNow);
    assert_eq!(twice(&fs, "a file".into(), 2..6), ["file", "file"]);
    assert_eq!(fs.counts(), [2, 2]);
    let fs = Telling::new(CachedRead::Unsupported);
    assert_eq!(twice(&fs, "a file".into(), 2..6), ["file", "file"]);
    assert_eq!(fs.counts(), [1, 2], "who cannot tell is asked once");
    let fs = Telling::new(CachedRead::NotNow);
    let much = vec![7; usize::try_from(MOST_CACHED_BYTES).unwrap() + 1];
    let range = 0..much.len() as u64;
    assert_eq!(twice(&fs, much.clone().into(), range), [&much, &much]);
    assert_eq!(fs.counts(), [0, 2], "much is left to who may take long");
}

/// On one thread: were it kept, nobody else would ever run.
#[tokio::test]
async fn others_run_while_everything_is_in_memory() {
    let fs = Telling::new(CachedRead::Whole(vec![vec![1]]));
    let directory = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(fs, directory.path()).unwrap();
    let has_run = Arc::new(AtomicBool::new(false));
    let other = Arc::clone(&has_run);
    tokio::spawn(async move { other.store(true, Ordering::Relaxed) });
    let mut reads = 0;
    while !has_run.load(Ordering::Relaxed) && reads < 10_000 {
        store.get_ranges(&Path::from("object"), &[0..1]).await.unwrap();
        reads += 1;
    }
    assert!(reads < 10_000);
}

proptest! {
    /// Objects come, are replaced and go; what is in memory of one that was there before is nothing.
    #[test]
    fn ranges_are_those_of_the_object_that_is_there(
        steps in prop::collection::vec((0_usize..3, 0_usize..3, any::<u8>(), 0_usize..9000, any::<[prop::sample::Index; 2]>()), 1..12),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(Arc::new(RealFs), directory.path()).unwrap();
        let mut held: HashMap<usize, Vec<u8>> = HashMap::new();
        for (step, object, byte, length, places) in steps {
            let path = Path::from(format!("folder/{object}"));
            match step {
                0 => {
                    let content: Vec<u8> = (0..length).map(|i| byte.wrapping_add((i / 3) as u8)).collect();
                    at_once(store.put(&path, content.clone().into())).unwrap();
                    held.insert(object, content);
                }
                1 if held.remove(&object).is_some() => at_once(store.delete(&path)).unwrap(),
                _ => {}
            }
            let content = held.get(&object);
            let [a, b] = places.map(|place| place.index(content.map_or(1, |content| content.len() + 1)));
            let range = a.min(b)..a.max(b);
            let found = at_once(store.get_ranges(&path, &[range.start as u64..range.end as u64]));
            match content {
                Some(content) => prop_assert_eq!(&found.unwrap()[0], &content[range]),
                None => prop_assert!(found.is_err()),
            }
            let behind = content.map_or(0, Vec::len) as u64;
            prop_assert!(at_once(store.get_ranges(&path, &[behind..behind + 1])).is_err());
        }
    }
}
