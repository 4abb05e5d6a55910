//! Encrypted parts: they hold what clear ones hold, show nothing of it, and say which key is wanted.

use std::sync::{Arc, LazyLock};

use object_store::ObjectStore;
use proptest::prelude::*;

use super::super::{DescribedFile, PartReader, PartSettings, PartSummary};
use super::kinds::{AllContent, fill_all, many_of_all_kinds, read_back};
use super::{Files, everything, run_async, small, stored, writer};
use crate::{ArchiveError, FileKind, KeyError, KeyedStore, Keys};

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::single("k-1", [7; 32]).unwrap());

/// An encrypted part of all kinds, of several row groups.
static SEALED: LazyLock<(PartSummary, Files)> = LazyLock::new(|| fill_all(writer(sealed()), &many_of_all_kinds(60)));

fn sealed() -> PartSettings {
    PartSettings {
        keys: KEYS.clone(),
        ..small()
    }
}

async fn in_store(summary: &PartSummary, files: Files, keys: &Keys) -> (Arc<dyn ObjectStore>, crate::PartEntry) {
    let (store, entry) = stored(summary, files).await;
    (KeyedStore::wrap(store, keys), entry)
}

fn read_with(files: Files, summary: &PartSummary, keys: &Keys) -> Result<AllContent, ArchiveError> {
    run_async(async {
        let (store, entry) = in_store(summary, files, keys).await;
        let part = PartReader::open(store, &entry).await?;
        read_back(&part, &everything("anonymous"), 5000).await
    })
}

#[test]
fn an_encrypted_part_holds_what_a_clear_one_holds() {
    let (summary, files) = SEALED.clone();
    assert_eq!(files.len(), 5);
    for bytes in files.values() {
        assert!(bytes.starts_with(b"PARE") && bytes.ends_with(b"PARE"));
    }
    assert_eq!(read_with(files, &summary, &KEYS).unwrap(), many_of_all_kinds(60));
    // A clear part is read all the same: an archive may hold both.
    let (summary, files) = fill_all(writer(small()), &many_of_all_kinds(60));
    assert_eq!(read_with(files, &summary, &KEYS).unwrap(), many_of_all_kinds(60));
}

#[test]
fn sizes_and_checksums_are_those_of_the_encrypted_files() {
    let (summary, files) = SEALED.clone();
    for file in &summary.files {
        let bytes = &files[&file.kind];
        assert_eq!((file.bytes, file.crc32c), (bytes.len() as u64, crate::crc32c(bytes)));
    }
}

#[test]
fn nothing_of_the_content_can_be_seen() {
    let canaries: [&[u8]; 5] = [b"__name__", b"anonymous", b"series_id", b"emberkeep.part", b"dataset"];
    let (_, clear) = fill_all(writer(small()), &many_of_all_kinds(60));
    let shows = |files: &Files, canary: &[u8]| {
        files
            .values()
            .any(|bytes| bytes.windows(canary.len()).any(|w| w == canary))
    };
    assert!(canaries.iter().any(|canary| shows(&clear, canary)));
    for canary in canaries {
        assert!(!shows(&SEALED.1, canary), "{}", String::from_utf8_lossy(canary));
    }
}

#[test]
fn two_files_of_the_same_rows_have_nothing_in_common() {
    let (_, again) = fill_all(writer(sealed()), &many_of_all_kinds(60));
    let (one, other) = (&SEALED.1[&FileKind::Samples], &again[&FileKind::Samples]);
    let of_other: std::collections::HashSet<&[u8]> = other.windows(16).collect();
    // The form of the key metadata is the same, of which the salt is not.
    let crypto_metadata = one.len() - 4000;
    assert!(
        one[..crypto_metadata]
            .windows(16)
            .all(|piece| !of_other.contains(piece))
    );
}

#[test]
fn errors_name_the_key() {
    let (summary, files) = SEALED.clone();
    let unknown = KeyError::Unknown { key: "k-1".to_owned() };
    let wrong = KeyError::Wrong { key: "k-1".to_owned() };
    let other_id = Keys::single("k-2", [7; 32]).unwrap();
    let other_key = Keys::single("k-1", [8; 32]).unwrap();
    for (keys, expected) in [(Keys::default(), &unknown), (other_id, &unknown), (other_key, &wrong)] {
        match read_with(files.clone(), &summary, &keys) {
            Err(ArchiveError::Key { object, source }) => {
                assert_eq!(&source, expected);
                assert!(object.contains("level0/"), "{object}");
            }
            other => panic!("{other:?}"),
        }
        let described = run_async(async {
            let (store, entry) = in_store(&summary, files.clone(), &keys).await;
            let file = entry.file(FileKind::Series).unwrap();
            DescribedFile::read(&*store, &file.location().unwrap(), file.bytes).await
        });
        assert!(matches!(described, Err(ArchiveError::Key { .. })), "{described:?}");
    }
}

#[test]
fn several_keys_are_readable_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let sources = ["k-1", "k-2"].map(|id| {
        let path = directory.path().join(id);
        let byte = if id == "k-1" { "07" } else { "09" };
        std::fs::write(&path, byte.repeat(32)).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        crate::KeySource::new(id, Some(path), None, None).unwrap()
    });
    let both = Keys::read(Some("k-2"), &sources).unwrap();
    let (summary, files) = SEALED.clone();
    assert_eq!(read_with(files, &summary, &both).unwrap(), many_of_all_kinds(60));
    let settings = PartSettings {
        keys: both.clone(),
        ..small()
    };
    let (summary, files) = fill_all(writer(settings), &many_of_all_kinds(5));
    assert!(matches!(
        read_with(files.clone(), &summary, &KEYS),
        Err(ArchiveError::Key { source: KeyError::Unknown { key }, .. }) if key == "k-2"
    ));
    assert_eq!(read_with(files, &summary, &both).unwrap(), many_of_all_kinds(5));
}

#[test]
fn a_file_under_another_files_name_is_not_taken() {
    let (summary, mut files) = SEALED.clone();
    let (_, again) = fill_all(writer(sealed()), &many_of_all_kinds(60));
    // Pages of the one with the footer of the other: same sizes, same key id, another identity and another key.
    let (ours, theirs) = (&SEALED.1[&FileKind::Samples], &again[&FileKind::Samples]);
    assert_eq!(ours.len(), theirs.len());
    let half = ours.len() / 2;
    files.insert(FileKind::Samples, [&theirs[..half], &ours[half..]].concat());
    let result = read_with(files, &summary, &KEYS);
    assert!(matches!(result, Err(ArchiveError::Corrupt { .. })), "{result:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_changed_byte_changes_nothing_that_is_read(
        at: prop::sample::Index,
        change in 1_u8..=255,
        tail: bool,
        kind in prop::sample::select(FileKind::ALL.to_vec()),
    ) {
        let (summary, mut files) = SEALED.clone();
        let damaged = files.get_mut(&kind).unwrap();
        let first = if tail { damaged.len().saturating_sub(3000) } else { 0 };
        let at = first + at.index(damaged.len() - first);
        damaged[at] ^= change;
        match read_with(files, &summary, &KEYS) {
            // Of a page index that nobody needs, or the magic at the front.
            Ok(content) => prop_assert_eq!(content, many_of_all_kinds(60)),
            Err(ArchiveError::Corrupt { .. } | ArchiveError::Key { .. }) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn a_cut_file_is_corrupt(at: prop::sample::Index, kind in prop::sample::select(FileKind::ALL.to_vec())) {
        let (summary, mut files) = SEALED.clone();
        let cut = files.get_mut(&kind).unwrap();
        cut.truncate(at.index(cut.len()));
        let result = read_with(files, &summary, &KEYS);
        prop_assert!(matches!(result, Err(ArchiveError::Corrupt { .. })), "{result:?}");
    }
}
