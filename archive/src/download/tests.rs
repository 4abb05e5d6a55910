//! A file that comes from a directory is the same file under a second name, goes on when the object goes, and is never believed unread.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use emberkeep_disk::RealFs;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use tempfile::TempDir;

use super::*;
use crate::{DirectoryStore, FileKind, crc32c, upload_file};

struct Place {
    fs: Arc<dyn FileSystem>,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            fs: Arc::new(RealFs),
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn bucket(&self) -> DirectoryStore {
        DirectoryStore::open(Arc::clone(&self.fs), self.path("bucket")).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn inode(&self, name: &str) -> u64 {
        std::fs::metadata(self.path(name)).unwrap().ino()
    }
}

fn entry(content: &[u8]) -> FileEntry {
    FileEntry {
        kind: FileKind::Samples,
        path: "a/b.parquet".to_owned(),
        rows: 1,
        bytes: content.len() as u64,
        crc32c: crc32c(content),
    }
}

async fn put(store: &dyn ObjectStore, content: &[u8]) {
    let payload = PutPayload::from(content.to_vec());
    store.put(&Path::from("a/b.parquet"), payload).await.unwrap();
}

#[tokio::test]
async fn what_a_directory_has_gets_a_second_name() {
    let (place, content) = (Place::new(), b"rows".repeat(100_000));
    let store = place.bucket();
    put(&store, &content).await;
    download(&store, &entry(&content), &place.fs, &place.path("here"))
        .await
        .unwrap();
    assert_eq!(place.inode("here"), place.inode("bucket/a/b.parquet"));
    store.delete(&Path::from("a/b.parquet")).await.unwrap();
    assert_eq!(std::fs::read(place.path("here")).unwrap(), content);
}

#[tokio::test]
async fn what_another_store_has_is_copied() {
    let (place, content) = (Place::new(), b"rows".repeat(100_000));
    let store = InMemory::new();
    put(&store, &content).await;
    download(&store, &entry(&content), &place.fs, &place.path("here"))
        .await
        .unwrap();
    assert_eq!(std::fs::read(place.path("here")).unwrap(), content);
}

#[tokio::test]
async fn damage_is_found_and_nothing_stays() {
    let (place, content) = (Place::new(), b"rows".repeat(100_000));
    let store = place.bucket();
    let mut damaged = content.clone();
    damaged[200_000] ^= 1;
    for stored in [&damaged[..], &content[1..], b""] {
        put(&store, stored).await;
        let brought = download(&store, &entry(&content), &place.fs, &place.path("here")).await;
        assert!(matches!(brought, Err(ArchiveError::Corrupt { .. })), "{brought:?}");
        let left = std::fs::metadata(place.path("here")).unwrap();
        assert_eq!(left.nlink(), 1, "the object has no second name");
        std::fs::remove_file(place.path("here")).unwrap();
    }
}

#[tokio::test]
async fn a_large_file_becomes_an_object_under_a_second_name() {
    let (place, content) = (Place::new(), b"0123456789abcdef".repeat((17 << 20) / 16));
    let store = place.bucket();
    std::fs::write(place.path("made"), &content).unwrap();
    upload_file(&store, &entry(&content), &place.fs, &place.path("made"))
        .await
        .unwrap();
    assert_eq!(place.inode("made"), place.inode("bucket/a/b.parquet"));
    std::fs::remove_file(place.path("made")).unwrap();
    assert_eq!(std::fs::read(place.path("bucket/a/b.parquet")).unwrap(), content);
    let left = std::fs::read_dir(place.path("bucket/.tmp")).unwrap().count();
    assert_eq!(left, 0, "no other name is left");
}

#[tokio::test]
async fn a_large_file_that_is_not_what_was_written_becomes_no_object() {
    let (place, content) = (Place::new(), b"0123456789abcdef".repeat((17 << 20) / 16));
    let store = place.bucket();
    std::fs::write(place.path("made"), &content[16..]).unwrap();
    let sent = upload_file(&store, &entry(&content), &place.fs, &place.path("made")).await;
    assert!(matches!(sent, Err(ArchiveError::Corrupt { .. })), "{sent:?}");
    assert!(!place.path("bucket/a/b.parquet").exists());
    assert_eq!(std::fs::read(place.path("made")).unwrap(), content[16..]);
    let left = std::fs::read_dir(place.path("bucket/.tmp")).unwrap().count();
    assert_eq!(left, 0, "no other name is left");
}
