//! Each helper under a crash at every step, and with each of its syncs taken out.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{self, Write};
use std::path::Path;

use super::*;
use crate::{CrashMode, ForgetfulFs, RealFs, Sequential, SyncKind};

const PATH: &str = "/data/file";

fn prepared() -> ForgetfulFs {
    let fs = ForgetfulFs::new();
    create_dir_all_durable(&fs, Path::new("/data")).unwrap();
    fs
}

fn modes() -> impl Iterator<Item = CrashMode> {
    std::iter::once(CrashMode::LoseAll).chain((0..16).map(CrashMode::Torn))
}

/// Runs `write` with a crash at every step and in every mode; hands what is found then, and whether `write` had
/// returned success, to `is_right`. Answers whether it always was right.
fn survives_crashes(
    start: impl Fn() -> ForgetfulFs,
    write: impl Fn(&ForgetfulFs) -> io::Result<()>,
    is_right: impl Fn(&ForgetfulFs, bool) -> bool,
) -> bool {
    for step in 1.. {
        let fs = start();
        fs.crash_at(fs.steps() + step);
        let succeeded = write(&fs).is_ok();
        if !modes().all(|mode| is_right(&fs.crash(mode), succeeded)) {
            return false;
        }
        if !fs.has_crashed() {
            return true;
        }
    }
    unreachable!("the loop ends when no step is left")
}

fn content(fs: &ForgetfulFs) -> Option<Vec<u8>> {
    read_to_vec(fs, Path::new(PATH), 1 << 20).ok()
}

fn without(kind: SyncKind, start: impl Fn() -> ForgetfulFs) -> impl Fn() -> ForgetfulFs {
    move || {
        let fs = start();
        fs.ignore_sync(move |asked, _| asked == kind);
        fs
    }
}

#[test]
fn a_new_file_is_there_whole_once_it_was_reported() {
    let bytes = vec![7; 3000];
    let write = |fs: &ForgetfulFs| write_new_durable(fs, Path::new(PATH), &bytes);
    let is_right = |fs: &ForgetfulFs, succeeded: bool| !succeeded || content(fs).as_ref() == Some(&bytes);
    assert!(survives_crashes(prepared, write, is_right));
    assert!(!survives_crashes(without(SyncKind::All, prepared), write, is_right));
    assert!(!survives_crashes(
        without(SyncKind::Directory, prepared),
        write,
        is_right
    ));
}

#[test]
fn a_replaced_file_is_old_or_new_and_whole_at_every_moment() {
    let (old, new) = (vec![1; 2000], vec![2; 5000]);
    let start = || {
        let fs = prepared();
        write_new_durable(&fs, Path::new(PATH), &old).unwrap();
        fs
    };
    let write = |fs: &ForgetfulFs| replace_durable(fs, Path::new(PATH), &new);
    let is_right = |fs: &ForgetfulFs, succeeded: bool| {
        let found = content(fs);
        found.as_ref() == Some(&new) || (!succeeded && found.as_ref() == Some(&old))
    };
    assert!(survives_crashes(start, write, is_right));
    assert!(!survives_crashes(without(SyncKind::All, start), write, is_right));
    assert!(!survives_crashes(without(SyncKind::Directory, start), write, is_right));
}

#[test]
fn a_leftover_of_an_earlier_replacement_is_no_obstacle() {
    let fs = prepared();
    write_new_durable(&fs, Path::new("/data/file.tmp"), b"half").unwrap();
    replace_durable(&fs, Path::new(PATH), b"whole").unwrap();
    assert_eq!(content(&fs).unwrap(), b"whole");
    assert_eq!(fs.read_dir(Path::new("/data")).unwrap().len(), 1);
}

#[test]
fn created_directories_survive() {
    let path = Path::new("/a/b/c");
    let write = |fs: &ForgetfulFs| create_dir_all_durable(fs, path);
    let is_right = |fs: &ForgetfulFs, succeeded: bool| !succeeded || fs.metadata(path).is_ok();
    assert!(survives_crashes(ForgetfulFs::new, write, is_right));
    assert!(!survives_crashes(
        without(SyncKind::Directory, ForgetfulFs::new),
        write,
        is_right
    ));
    // A process that died between creating and syncing left a live name that is not durable, wherever it was.
    for step in 1.. {
        let killed = || {
            let fs = ForgetfulFs::new();
            fs.crash_at(step);
            let _ = create_dir_all_durable(&fs, path);
            fs.restart()
        };
        assert!(survives_crashes(killed, write, is_right), "killed at step {step}");
        if killed().metadata(path).is_ok() {
            break;
        }
    }
}

#[test]
fn a_file_in_the_way_of_a_directory_is_an_error() {
    let fs = prepared();
    write_new_durable(&fs, Path::new(PATH), b"").unwrap();
    let error = create_dir_all_durable(&fs, Path::new(PATH)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn a_file_longer_than_expected_is_not_read() {
    let fs = prepared();
    write_new_durable(&fs, Path::new(PATH), &[0; 10]).unwrap();
    assert_eq!(
        read_to_vec(&fs, Path::new(PATH), 9).unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
    assert_eq!(read_to_vec(&fs, Path::new(PATH), 10).unwrap().len(), 10);
}

#[test]
fn a_tree_is_removed_and_missing_is_fine() {
    let fs = prepared();
    create_dir_all_durable(&fs, Path::new("/data/x/y")).unwrap();
    write_new_durable(&fs, Path::new("/data/x/y/z"), b"1").unwrap();
    remove_dir_all(&fs, Path::new("/data/x")).unwrap();
    assert!(fs.read_dir(Path::new("/data")).unwrap().is_empty());
    remove_dir_all(&fs, Path::new("/data/x")).unwrap();
}

#[test]
fn the_real_file_system_does_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("a/b");
    create_dir_all_durable(&RealFs, &below).unwrap();
    create_dir_all_durable(&RealFs, &below).unwrap();
    let path = below.join("file");
    write_new_durable(&RealFs, &path, b"old").unwrap();
    let error = write_new_durable(&RealFs, &path, b"other").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("b/file"), "{error}");
    replace_durable(&RealFs, &path, b"new").unwrap();
    assert_eq!(read_to_vec(&RealFs, &path, 3).unwrap(), b"new");
    remove_dir_all(&RealFs, &directory.path().join("a")).unwrap();
    assert!(RealFs.read_dir(directory.path()).unwrap().is_empty());
}

#[test]
fn a_sequential_writer_appends() {
    let fs = prepared();
    let mut writer = Sequential::new(fs.create_new(Path::new(PATH)).unwrap());
    writer.write_all(b"one ").unwrap();
    writer.write_all(b"two").unwrap();
    assert_eq!(writer.offset(), 7);
    writer.file().sync_data().unwrap();
    assert_eq!(content(&fs).unwrap(), b"one two");
}
