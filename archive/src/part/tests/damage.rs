//! Files that are cut, changed or somebody else's.

use std::sync::LazyLock;

use object_store::{ObjectStoreExt, PutPayload};
use proptest::prelude::*;

use emberkeep_model::TimeRange;

use super::super::{PartFiles, PartReader, PartSummary};
use super::round_trip::many_series;
use super::{drain, fill, query, small, stored, writer};
use crate::{ArchiveError, FileKind};

/// The part that is damaged, whole.
static WHOLE: LazyLock<(PartSummary, PartFiles<Vec<u8>>)> =
    LazyLock::new(|| fill(writer(small()), &many_series(300, |i| 10 + i % 50)));

/// Opens and reads everything.
fn read_all(samples: Vec<u8>, series: Vec<u8>, summary: &PartSummary) -> Result<usize, ArchiveError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (store, entry) = stored(summary, PartFiles { samples, series }).await;
        let part = PartReader::open(store, &entry).await?;
        Ok(drain(
            part.scan(query("anonymous", TimeRange::ALL, vec![]), 5000),
            TimeRange::ALL,
        )
        .await?
        .len())
    })
}

fn is_corrupt(result: &Result<usize, ArchiveError>) -> bool {
    matches!(result, Err(ArchiveError::Corrupt { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn changed_bytes_are_an_error_or_go_unnoticed_and_never_a_panic(
        at: prop::sample::Index,
        change in 1_u8..=255,
        tail: bool,
        in_samples: bool,
    ) {
        let (summary, PartFiles { mut samples, mut series }) = WHOLE.clone();
        let damaged = if in_samples { &mut samples } else { &mut series };
        // Footer and page index are where a reader could be led astray.
        let first = if tail { damaged.len().saturating_sub(3000) } else { 0 };
        let at = first + at.index(damaged.len() - first);
        damaged[at] ^= change;
        let result = read_all(samples, series, &summary);
        let is_allowed = matches!(result, Ok(_) | Err(ArchiveError::Corrupt { .. } | ArchiveError::NewerVersion { .. }));
        prop_assert!(is_allowed, "{result:?}");
    }

    #[test]
    fn a_cut_file_is_corrupt(at: prop::sample::Index, in_samples: bool) {
        let (summary, PartFiles { mut samples, mut series }) = WHOLE.clone();
        let cut = if in_samples { &mut samples } else { &mut series };
        cut.truncate(at.index(cut.len()));
        let result = read_all(samples, series, &summary);
        prop_assert!(is_corrupt(&result), "{result:?}");
    }
}

#[test]
fn files_of_another_part_or_kind_are_refused() {
    let (summary, files) = fill(writer(small()), &many_series(5, |_| 5));
    assert!(is_corrupt(&read_all(
        files.series.clone(),
        files.series.clone(),
        &summary
    )));
    let mut other = summary.clone();
    other.files[0].rows += 1;
    assert!(is_corrupt(&read_all(
        files.samples.clone(),
        files.series.clone(),
        &other
    )));
    assert!(read_all(files.samples, files.series, &summary).is_ok());
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
    let (summary, files) = fill(writer(small()), &many_series(5, |_| 5));
    let mut samples = files.samples;
    let version = b"{\"version\":1,";
    let at = samples
        .windows(version.len())
        .position(|bytes| bytes == version)
        .unwrap();
    samples[at + version.len() - 2] = b'2';
    let error = read_all(samples, files.series, &summary).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("has version 2, this program reads 1: upgrade"),
        "{error}"
    );
}
