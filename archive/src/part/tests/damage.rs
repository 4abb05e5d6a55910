//! Files that are cut, changed or somebody else's.

use std::sync::LazyLock;

use object_store::{ObjectStoreExt, PutPayload};
use proptest::prelude::*;

use super::super::{PartReader, PartSummary};
use super::kinds::{AllContent, fill_all, many_of_all_kinds, read_back};
use super::round_trip::many_series;
use super::{Files, everything, fill, run_async, small, stored, writer};
use crate::{ArchiveError, FileKind};

/// The part that is damaged, whole: all kinds.
static WHOLE: LazyLock<(PartSummary, Files)> = LazyLock::new(|| fill_all(writer(small()), &many_of_all_kinds(60)));

/// Opens and reads everything.
fn read_all(files: Files, summary: &PartSummary) -> Result<AllContent, ArchiveError> {
    run_async(async {
        let (store, entry) = stored(summary, files).await;
        let part = PartReader::open(store, &entry).await?;
        read_back(&part, &everything("anonymous"), 5000).await
    })
}

fn is_corrupt<T>(result: &Result<T, ArchiveError>) -> bool {
    matches!(result, Err(ArchiveError::Corrupt { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn changed_bytes_are_an_error_or_go_unnoticed_and_never_a_panic(
        at: prop::sample::Index,
        change in 1_u8..=255,
        tail: bool,
        kind in prop::sample::select(FileKind::ALL.to_vec()),
    ) {
        let (summary, mut files) = WHOLE.clone();
        let damaged = files.get_mut(&kind).unwrap();
        // Footer and page index are where a reader could be led astray.
        let first = if tail { damaged.len().saturating_sub(5000) } else { 0 };
        let at = first + at.index(damaged.len() - first);
        damaged[at] ^= change;
        let result = read_all(files, &summary);
        let is_allowed = matches!(result, Ok(_) | Err(ArchiveError::Corrupt { .. } | ArchiveError::NewerVersion { .. }));
        prop_assert!(is_allowed, "{result:?}");
    }

    #[test]
    fn a_cut_file_is_corrupt(at: prop::sample::Index, kind in prop::sample::select(FileKind::ALL.to_vec())) {
        let (summary, mut files) = WHOLE.clone();
        let cut = files.get_mut(&kind).unwrap();
        cut.truncate(at.index(cut.len()));
        let result = read_all(files, &summary);
        prop_assert!(is_corrupt(&result), "{result:?}");
    }
}

#[test]
fn the_whole_part_is_read() {
    let (summary, files) = WHOLE.clone();
    assert_eq!(files.len(), 5);
    assert_eq!(read_all(files, &summary).unwrap(), many_of_all_kinds(60));
}

#[test]
fn files_of_another_part_or_kind_are_refused() {
    let (summary, files) = fill(writer(small()), &many_series(5, |_| 5));
    let mut swapped = files.clone();
    swapped.insert(FileKind::Samples, files[&FileKind::Series].clone());
    assert!(is_corrupt(&read_all(swapped, &summary)));
    let mut other = summary.clone();
    other.files[0].rows += 1;
    assert!(is_corrupt(&read_all(files.clone(), &other)));
    assert!(read_all(files, &summary).is_ok());
}

#[test]
fn a_file_that_the_series_table_needs_and_the_entry_does_not_name_is_missed() {
    for kind in [FileKind::Samples, FileKind::Histograms, FileKind::Exemplars] {
        let (mut summary, mut files) = WHOLE.clone();
        summary.files.retain(|file| file.kind != kind);
        files.remove(&kind);
        assert!(is_corrupt(&read_all(files, &summary)), "{kind:?}");
    }
}

#[tokio::test]
async fn a_part_that_was_removed_is_not_found_and_not_corrupt() {
    let (summary, files) = fill(writer(small()), &many_series(5, |_| 5));
    let (store, entry) = stored(&summary, files).await;
    let path = entry.file(FileKind::Samples).unwrap().location().unwrap();
    store.delete(&path).await.unwrap();
    let error = PartReader::open(store.clone(), &entry).await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    store.put(&path, PutPayload::default()).await.unwrap();
    assert!(matches!(
        PartReader::open(store, &entry).await,
        Err(ArchiveError::Corrupt { .. })
    ));
}

#[test]
fn a_newer_footer_is_refused_by_name() {
    let (summary, mut files) = fill(writer(small()), &many_series(5, |_| 5));
    let samples = files.get_mut(&FileKind::Samples).unwrap();
    let version = b"{\"version\":3,";
    let at = samples
        .windows(version.len())
        .position(|bytes| bytes == version)
        .unwrap();
    samples[at + version.len() - 2] = b'4';
    let error = read_all(files, &summary).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has version 4, this program reads 3: upgrade"),
        "{error}"
    );
}
