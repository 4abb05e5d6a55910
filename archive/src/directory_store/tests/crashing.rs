//! What an answer is worth: after a crash of the machine, at any step, an object that was answered for is there and whole.

use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, Result};

use emberkeep_disk::{CrashMode, ForgetfulFs, SyncKind};

use super::at_once;
use crate::DirectoryStore;

const ROOT: &str = "/data/archive";
const NAME: &str = "_archive/log/r.1";

/// Longer than a sector, so that it can tear.
fn content() -> Bytes {
    (0..2000_u32)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect::<Vec<_>>()
        .into()
}

fn open(fs: &ForgetfulFs) -> std::result::Result<DirectoryStore, crate::ArchiveError> {
    DirectoryStore::open(Arc::new(fs.clone()), ROOT)
}

/// An operation that makes the object [`NAME`] with [`content`].
type Operation = fn(&DirectoryStore) -> Result<()>;

fn create(store: &DirectoryStore) -> Result<()> {
    let path = Path::from(NAME);
    at_once(store.put_opts(&path, PutPayload::from_bytes(content()), PutMode::Create.into())).map(drop)
}

fn overwrite(store: &DirectoryStore) -> Result<()> {
    at_once(store.put(&Path::from(NAME), PutPayload::from_bytes(content()))).map(drop)
}

fn multipart(store: &DirectoryStore) -> Result<()> {
    at_once(async {
        let mut upload = store.put_multipart(&Path::from(NAME)).await?;
        upload.put_part(PutPayload::from_bytes(content().slice(..700))).await?;
        upload.put_part(PutPayload::from_bytes(content().slice(700..))).await?;
        upload.complete().await.map(drop)
    })
}

const OPERATIONS: [(&str, Operation); 3] = [("create", create), ("overwrite", overwrite), ("multipart", multipart)];

/// What is found after the power came back: nothing, or the object, which must be whole.
fn is_there(fs: &ForgetfulFs, mode: CrashMode, what: &str) -> bool {
    let store = open(&fs.crash(mode)).unwrap();
    match at_once(async { store.get(&Path::from(NAME)).await?.bytes().await }) {
        Ok(found) => {
            assert_eq!(found, content(), "{what}: the object is torn");
            true
        }
        Err(Error::NotFound { .. }) => false,
        Err(error) => panic!("{what}: {error}"),
    }
}

fn crash_modes() -> impl Iterator<Item = CrashMode> {
    std::iter::once(CrashMode::LoseAll).chain((0..16).map(CrashMode::Torn))
}

#[test]
fn a_crash_at_any_step_leaves_the_object_whole_or_absent_and_present_once_answered() {
    for (name, operation) in OPERATIONS {
        let steps = {
            let fs = ForgetfulFs::new();
            operation(&open(&fs).unwrap()).unwrap();
            fs.steps()
        };
        assert!(steps > 8, "{name} has only {steps} steps");
        for step in 1..=steps + 1 {
            let fs = ForgetfulFs::new();
            fs.crash_at(step);
            let answered = open(&fs).is_ok_and(|store| operation(&store).is_ok());
            for mode in crash_modes() {
                let what = format!("{name}, step {step} of {steps}, {mode:?}");
                assert!(is_there(&fs, mode, &what) || !answered, "{what}: answered and lost");
            }
        }
    }
}

#[test]
fn every_sync_is_needed() {
    let is_content =
        |kind: SyncKind, path: &FilePath| kind != SyncKind::Directory && path.starts_with("/data/archive/.tmp");
    for (name, operation) in OPERATIONS {
        let loses = |ignored: &str, filter: fn(SyncKind, &FilePath) -> bool| {
            let fs = ForgetfulFs::new();
            fs.ignore_sync(filter);
            operation(&open(&fs).unwrap()).unwrap();
            let survived = std::panic::catch_unwind(|| is_there(&fs, CrashMode::LoseAll, ignored));
            assert!(
                !survived.unwrap_or(false),
                "{name} survives without the sync of {ignored}"
            );
        };
        loses("the content", is_content);
        loses("the object's name", |kind, path| {
            kind == SyncKind::Directory && path.ends_with("_archive/log")
        });
        loses("the folder of the object", |kind, path| {
            kind == SyncKind::Directory && path.ends_with("_archive")
        });
        loses("the folder of the folder", |kind, path| {
            kind == SyncKind::Directory && path.ends_with(ROOT)
        });
        loses("the root's name", |kind, path| {
            kind == SyncKind::Directory && path.ends_with("/data")
        });
    }
}

/// A process that is killed between naming an object and syncing the name; the machine goes on.
fn named_and_not_synced() -> ForgetfulFs {
    let fs = ForgetfulFs::new();
    let store = open(&fs).unwrap();
    fs.ignore_sync(|kind, path| kind == SyncKind::Directory && path.ends_with("_archive/log"));
    create(&store).unwrap();
    assert!(!is_there(&fs, CrashMode::LoseAll, "not synced"));
    fs.ignore_sync(|_, _| false);
    fs
}

#[test]
fn what_the_next_process_finds_is_durable() {
    let fs = named_and_not_synced();
    open(&fs).unwrap();
    assert!(is_there(
        &fs,
        CrashMode::LoseAll,
        "after the next process opened the store"
    ));
}

#[test]
fn what_is_refused_as_existing_is_durable() {
    let fs = named_and_not_synced();
    let files = DirectoryStore {
        files: Arc::new(super::super::files::Files::without_sync(fs.clone(), ROOT)),
    };
    assert!(matches!(create(&files), Err(Error::AlreadyExists { .. })));
    assert!(is_there(
        &fs,
        CrashMode::LoseAll,
        "after somebody was told that it exists"
    ));
}

#[test]
fn a_deletion_that_was_answered_stays() {
    let fs = ForgetfulFs::new();
    let store = open(&fs).unwrap();
    create(&store).unwrap();
    at_once(store.delete(&Path::from(NAME))).unwrap();
    for mode in crash_modes() {
        assert!(!is_there(&fs, mode, "deleted"));
    }
}

#[test]
fn a_full_disk_leaves_nothing_behind_that_could_be_read() {
    let fs = ForgetfulFs::new();
    let store = open(&fs).unwrap();
    fs.set_space(1000);
    for (name, operation) in OPERATIONS {
        assert!(operation(&store).is_err(), "{name}");
        assert!(
            matches!(at_once(store.head(&Path::from(NAME))), Err(Error::NotFound { .. })),
            "{name}"
        );
        assert_eq!(fs.used_space(), 0, "{name} leaves an unfinished file");
    }
    fs.unlimited_space();
    create(&store).unwrap();
}
