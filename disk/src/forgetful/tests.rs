//! The forgetful file system: what it forgets, and that its live view is that of the real one.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsString;
use std::io;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::{DIRECT_BLOCK_BYTES, Entry, EntryKind, File, FileSystem, RealFs};

const A: &str = "/a";

fn read(fs: &dyn FileSystem, path: &str) -> io::Result<Vec<u8>> {
    crate::read_to_vec(fs, Path::new(path), 1 << 20)
}

fn exists(fs: &dyn FileSystem, path: &str) -> bool {
    fs.metadata(Path::new(path)).is_ok()
}

#[test]
fn content_is_durable_only_after_a_sync_of_the_file() {
    for sync in [|file: &dyn File| file.sync_data(), |file: &dyn File| file.sync_all()] {
        let fs = ForgetfulFs::new();
        let file = fs.create_new(Path::new(A)).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        file.write_all_at(b"kept", 0).unwrap();
        assert_eq!(read(&fs.crash(CrashMode::LoseAll), A).unwrap(), b"");
        sync(&*file).unwrap();
        file.write_all_at(b"lost", 4).unwrap();
        assert_eq!(read(&fs, A).unwrap(), b"keptlost");
        assert_eq!(read(&fs.crash(CrashMode::LoseAll), A).unwrap(), b"kept");
    }
}

#[test]
fn names_are_durable_only_after_a_sync_of_their_directory() {
    let fs = ForgetfulFs::new();
    let root = Path::new("/");
    fs.create_new(Path::new(A)).unwrap().sync_all().unwrap();
    assert!(
        !exists(&fs.crash(CrashMode::LoseAll), A),
        "the sync of a file does not persist its name"
    );
    fs.sync_dir(root).unwrap();
    fs.rename(Path::new(A), Path::new("/b")).unwrap();
    let found = fs.crash(CrashMode::LoseAll);
    assert!(exists(&found, A) && !exists(&found, "/b"));
    fs.sync_dir(root).unwrap();
    let found = fs.crash(CrashMode::LoseAll);
    assert!(!exists(&found, A) && exists(&found, "/b"));
    fs.hard_link(Path::new("/b"), Path::new("/c")).unwrap();
    fs.remove_file(Path::new("/b")).unwrap();
    let found = fs.crash(CrashMode::LoseAll);
    assert!(exists(&found, "/b") && !exists(&found, "/c"));
    fs.create_dir(Path::new("/d")).unwrap();
    fs.create_new(Path::new("/d/e")).unwrap();
    fs.sync_dir(Path::new("/d")).unwrap();
    assert!(
        !exists(&fs.crash(CrashMode::LoseAll), "/d/e"),
        "its directory has no durable name"
    );
    fs.sync_dir(root).unwrap();
    assert!(exists(&fs.crash(CrashMode::LoseAll), "/d/e"));
}

#[test]
fn torn_crashes_mix_sectors_and_names() {
    let fs = ForgetfulFs::new();
    let file = fs.create_new(Path::new(A)).unwrap();
    file.write_all_at(&[1; 4 * SECTOR], 0).unwrap();
    file.sync_all().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    file.write_all_at(&[2; 4 * SECTOR], 0).unwrap();
    for name in ["/x", "/y"] {
        fs.create_new(Path::new(name)).unwrap();
    }
    let (mut sectors, mut names) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for seed in 0..400 {
        let found = fs.crash(CrashMode::Torn(seed));
        let bytes = read(&found, A).unwrap();
        assert_eq!(bytes.len(), 4 * SECTOR);
        assert!(
            bytes
                .chunks(SECTOR)
                .all(|sector| sector.iter().all(|byte| *byte == sector[0]))
        );
        sectors.insert(bytes.chunks(SECTOR).map(|sector| sector[0]).collect::<Vec<_>>());
        names.insert((exists(&found, "/x"), exists(&found, "/y")));
        let again = fs.crash(CrashMode::Torn(seed));
        assert_eq!(read(&again, A).unwrap(), bytes, "the same seed tears the same");
    }
    assert_eq!((sectors.len(), names.len()), (16, 4));
}

#[test]
fn what_a_crash_left_is_durable_and_independent() {
    let fs = ForgetfulFs::new();
    let file = fs.create_new(Path::new(A)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    file.write_all_at(b"1", 0).unwrap();
    let found = fs.crash(CrashMode::Torn(3));
    let survived = read(&found, A).unwrap();
    file.write_all_at(b"2", 0).unwrap();
    fs.remove_file(Path::new(A)).unwrap();
    assert_eq!(read(&found.crash(CrashMode::LoseAll), A).unwrap(), survived);
}

#[test]
fn a_restarted_process_sees_all_and_owes_the_same_syncs() {
    let fs = ForgetfulFs::new();
    fs.create_new(Path::new(A)).unwrap().write_all_at(b"1", 0).unwrap();
    let restarted = fs.restart();
    assert_eq!(read(&restarted, A).unwrap(), b"1");
    assert!(!exists(&restarted.crash(CrashMode::LoseAll), A));
    restarted.sync_dir(Path::new("/")).unwrap();
    assert_eq!(read(&restarted.crash(CrashMode::LoseAll), A).unwrap(), b"");
    restarted.open(Path::new(A)).unwrap().sync_data().unwrap();
    assert_eq!(read(&restarted.crash(CrashMode::LoseAll), A).unwrap(), b"1");
}

#[test]
fn from_the_crash_point_on_nothing_works_and_nothing_changes() {
    let fs = ForgetfulFs::new();
    let file = fs.create_new(Path::new(A)).unwrap();
    file.write_all_at(b"1", 0).unwrap();
    assert_eq!(fs.steps(), 2);
    fs.crash_at(4);
    file.sync_all().unwrap();
    assert!(!fs.has_crashed());
    assert!(fs.sync_dir(Path::new("/")).is_err());
    assert!(fs.has_crashed());
    assert!(read(&fs, A).is_err() && file.len().is_err() && fs.read_dir(Path::new("/")).is_err());
    assert!(!exists(&fs.crash(CrashMode::LoseAll), A));
}

#[test]
fn syncs_can_be_taken_out_and_are_logged() {
    let fs = ForgetfulFs::new();
    fs.ignore_sync(|kind, path| kind == SyncKind::Data && path == Path::new(A));
    let file = fs.create_new(Path::new(A)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    file.write_all_at(b"1", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(read(&fs.crash(CrashMode::LoseAll), A).unwrap(), b"");
    file.sync_all().unwrap();
    assert_eq!(read(&fs.crash(CrashMode::LoseAll), A).unwrap(), b"1");
    let expected = [(SyncKind::Directory, "/"), (SyncKind::Data, A), (SyncKind::All, A)];
    assert_eq!(fs.sync_log(), expected.map(|(kind, path)| (kind, PathBuf::from(path))));
}

#[test]
fn time_passes_with_each_call_and_only_so() {
    let fs = ForgetfulFs::new();
    let modified = || fs.metadata(Path::new(A)).unwrap().modified;
    let file = fs.create_new(Path::new(A)).unwrap();
    let created = modified();
    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(modified(), created);
    file.write_all_at(b"1", 0).unwrap();
    assert_eq!(modified(), created + Duration::from_millis(2));
}

#[test]
fn space_runs_out_and_comes_back() {
    let fs = ForgetfulFs::new();
    let file = fs.create_new(Path::new(A)).unwrap();
    fs.set_space(10);
    let error = file.write_all_at(b"0123456789ab", 0).unwrap_err();
    assert!(crate::is_out_of_space(&error));
    assert_eq!(read(&fs, A).unwrap(), b"0123456789", "what fits is written");
    file.write_all_at(b"xy", 0).unwrap();
    let other = fs.create_new(Path::new("/b")).unwrap();
    assert!(crate::is_out_of_space(&other.allocate(1).unwrap_err()));
    assert!(crate::is_out_of_space(&other.set_len(1).unwrap_err()));
    fs.remove_file(Path::new(A)).unwrap();
    assert_eq!(fs.used_space(), 0);
    other.allocate(10).unwrap();
    fs.unlimited_space();
    other.allocate(11).unwrap();
    assert_eq!(fs.used_space(), 11);
}

#[test]
fn chosen_writes_stop_half_way() {
    let fs = ForgetfulFs::new();
    let file = fs.create_new(Path::new(A)).unwrap();
    fs.shorten_write(2, 3, io::ErrorKind::Other);
    file.write_all_at(b"whole", 0).unwrap();
    assert_eq!(file.write_all_at(b"short", 5).unwrap_err().kind(), io::ErrorKind::Other);
    assert_eq!(read(&fs, A).unwrap(), b"wholesho");
    file.write_all_at(b"rt", 8).unwrap();
    assert_eq!(read(&fs, A).unwrap(), b"wholeshort");
}

#[test]
fn writes_into_allocated_space_can_run_out_too() {
    let fs = ForgetfulFs::new();
    let file = fs.create_new(Path::new(A)).unwrap();
    file.allocate(10).unwrap();
    fs.limit_writes(5, io::ErrorKind::StorageFull);
    file.write_all_at(b"abc", 0).unwrap();
    for (bytes, expected) in [(&b"defg"[..], &b"abcde\0\0\0\0\0"[..]), (b"x", b"abcde\0\0\0\0\0")] {
        assert_eq!(
            file.write_all_at(bytes, 3).unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        assert_eq!(read(&fs, A).unwrap(), expected);
    }
    fs.unlimited_writes();
    file.write_all_at(b"defg", 3).unwrap();
}

#[test]
fn a_chosen_call_fails_without_effect() {
    let fs = ForgetfulFs::new();
    fs.fail_call(2, io::ErrorKind::PermissionDenied);
    let file = fs.create_new(Path::new(A)).unwrap();
    assert_eq!(file.allocate(5).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert!(file.is_empty().unwrap());
    file.write_all_at(b"lost", 0).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs.fail_call(1, io::ErrorKind::Other);
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(
        read(&fs.crash(CrashMode::LoseAll), A).unwrap(),
        [0; 4],
        "a failed sync drops the pages"
    );
}

#[test]
fn direct_writes_must_be_aligned() {
    let fs = ForgetfulFs::new();
    fs.create_new(Path::new(A)).unwrap();
    let file = fs.open_direct(Path::new(A)).unwrap();
    let mut buffer = crate::DirectBuffer::new(2);
    buffer.fill(b"aligned");
    let block = buffer.padded(DIRECT_BLOCK_BYTES);
    file.write_all_at(block, 4096).unwrap();
    for (bytes, offset) in [(&block[..7], 0), (block, 512), (&block[1..], 0)] {
        let refused = file.write_all_at(bytes, offset).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_failed_sync_drops_what_it_should_have_written() {
    let fs = ForgetfulFs::new();
    let file = fs.create_new(Path::new(A)).unwrap();
    file.sync_all().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs.fail_sync(2);
    fs.sync_dir(Path::new("/")).unwrap();
    file.write_all_at(b"1", 0).unwrap();
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(
        read(&fs.crash(CrashMode::LoseAll), A).unwrap(),
        b"\0",
        "the later sync has nothing dirty to write"
    );
    file.write_all_at(b"1", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(read(&fs.crash(CrashMode::LoseAll), A).unwrap(), b"1");
}

/// One call; paths are relative, handles are indices into all that were opened so far.
#[derive(Clone, Debug)]
enum Call {
    CreateNew(String),
    Open(String),
    Rename(String, String),
    HardLink(String, String),
    RemoveFile(String),
    CreateDir(String),
    RemoveDir(String),
    ReadDir(String),
    Metadata(String),
    SyncDir(String),
    Write(prop::sample::Index, Vec<u8>, u64),
    Read(prop::sample::Index, usize, u64),
    Allocate(prop::sample::Index, u64),
    SetLen(prop::sample::Index, u64),
    Len(prop::sample::Index),
    SyncData(prop::sample::Index),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let path = || "[ab](/[ab]){0,2}";
    let index = || any::<prop::sample::Index>();
    let call = prop_oneof![
        4 => path().prop_map(Call::CreateNew),
        4 => path().prop_map(Call::CreateDir),
        2 => path().prop_map(Call::Open),
        3 => (path(), path()).prop_map(|(from, to)| Call::Rename(from, to)),
        2 => (path(), path()).prop_map(|(from, to)| Call::HardLink(from, to)),
        1 => path().prop_map(Call::RemoveFile),
        1 => path().prop_map(Call::RemoveDir),
        2 => path().prop_map(Call::ReadDir),
        2 => path().prop_map(Call::Metadata),
        1 => path().prop_map(Call::SyncDir),
        3 => (index(), prop::collection::vec(any::<u8>(), 0..40), 0_u64..2000).prop_map(|(i, b, o)| Call::Write(i, b, o)),
        3 => (index(), 0_usize..2500, 0_u64..2000).prop_map(|(i, n, o)| Call::Read(i, n, o)),
        1 => (index(), 1_u64..2000).prop_map(|(i, n)| Call::Allocate(i, n)),
        1 => (index(), 0_u64..2000).prop_map(|(i, n)| Call::SetLen(i, n)),
        2 => index().prop_map(Call::Len),
        1 => index().prop_map(Call::SyncData),
    ];
    prop::collection::vec(call, 1..60)
}

/// What a call answered, comparable between file systems.
#[derive(Debug, PartialEq)]
enum Answer {
    Nothing,
    Bytes(Vec<u8>),
    Number(u64),
    Entries(Vec<(OsString, EntryKind, u64)>),
}

fn perform(
    fs: &dyn FileSystem,
    root: &Path,
    handles: &mut Vec<Box<dyn File>>,
    call: &Call,
) -> Result<Answer, io::ErrorKind> {
    let at = |path: &String| root.join(path);
    let summary = |entry: Entry| (entry.name, entry.kind, entry.len);
    let result = match call {
        Call::CreateNew(path) => fs.create_new(&at(path)).map(|file| handles.push(file)),
        Call::Open(path) => fs.open(&at(path)).map(|file| handles.push(file)),
        Call::Rename(from, to) => fs.rename(&at(from), &at(to)),
        Call::HardLink(original, link) => fs.hard_link(&at(original), &at(link)),
        Call::RemoveFile(path) => fs.remove_file(&at(path)),
        Call::CreateDir(path) => fs.create_dir(&at(path)),
        Call::RemoveDir(path) => fs.remove_dir(&at(path)),
        Call::SyncDir(path) => fs.sync_dir(&at(path)),
        Call::ReadDir(path) => {
            let entries = fs.read_dir(&at(path)).map_err(|error| error.kind())?;
            return Ok(Answer::Entries(entries.into_iter().map(summary).collect()));
        }
        Call::Metadata(path) => {
            let entry = fs.metadata(&at(path)).map_err(|error| error.kind())?;
            return Ok(Answer::Entries(vec![summary(entry)]));
        }
        _ if handles.is_empty() => Ok(()),
        Call::Write(index, bytes, offset) => index.get(handles).write_all_at(bytes, *offset),
        Call::Allocate(index, len) => index.get(handles).allocate(*len),
        Call::SetLen(index, len) => index.get(handles).set_len(*len),
        Call::SyncData(index) => index.get(handles).sync_data(),
        Call::Len(index) => {
            return index
                .get(handles)
                .len()
                .map(Answer::Number)
                .map_err(|error| error.kind());
        }
        Call::Read(index, count, offset) => {
            let mut bytes = vec![0; *count];
            let count = index
                .get(handles)
                .read_at(&mut bytes, *offset)
                .map_err(|error| error.kind())?;
            bytes.truncate(count);
            return Ok(Answer::Bytes(bytes));
        }
    };
    result.map(|()| Answer::Nothing).map_err(|error| error.kind())
}

proptest! {
    #[test]
    fn the_live_view_is_that_of_the_real_file_system(calls in calls()) {
        let directory = tempfile::tempdir().unwrap();
        let forgetful = ForgetfulFs::new();
        let (mut real_handles, mut handles) = (Vec::new(), Vec::new());
        for (number, call) in calls.iter().enumerate() {
            let expected = perform(&RealFs, directory.path(), &mut real_handles, call);
            let answer = perform(&forgetful, Path::new("/"), &mut handles, call);
            prop_assert_eq!(answer, expected, "call {}: {:?}", number, call);
        }
    }
}
